//! Statements of a CPU.

use super::parse::{Parsed, Parser};
use super::token::Kind;
use super::{Action, Dropped, Order, Place, Pledge, Statement, SteValue, Value};
use smmu_arch::{Asid, Vmid};

const STATEMENTS: [&str; 20] = [
    "store",
    "tlbi",
    "cfgi",
    "atc_inv",
    "sync",
    "queue",
    "doorbell",
    "wait",
    "broadcast",
    "dmb",
    "dsb",
    "wmb",
    "lock",
    "unlock",
    "free",
    "lend",
    "assign",
    "unmapped",
    "detached",
    "drop",
];

impl Parser<'_> {
    /// A statement, and what becomes of it in the broken variant.
    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        let is_dropped = self.take_name("drop");
        let start = self.span().start;
        let action = self.action()?;
        let span = start..self.end_of_last();
        let dropped = if !is_dropped {
            None
        } else if self.take_name("else") {
            let start = self.span().start;
            let action = self.action()?;
            Some(Dropped::Else(action, start..self.end_of_last()))
        } else {
            Some(Dropped::Nothing)
        };
        Ok(Statement { action, dropped, span })
    }

    fn action(&mut self) -> Parsed<Action> {
        let span = self.span();
        let first = self.name(&STATEMENTS)?;
        Ok(match first.as_str() {
            "store" => self.store()?,
            "queue" => {
                let order = self.order()?;
                Action::Queue(self.on(order)?, order)
            }
            "tlbi" | "cfgi" | "atc_inv" | "sync" => {
                let order = self.order_named(span, &first)?;
                Action::Issue(self.on(order)?, order)
            }
            "doorbell" => Action::Doorbell(self.on_smmu()?.unwrap_or(0)),
            "wait" => Action::Wait(self.on_smmu()?.unwrap_or(0)),
            "broadcast" => Action::Broadcast(self.tlbi()?),
            "dmb" | "wmb" => Action::Barrier,
            "dsb" => Action::Dsb,
            "lock" => Action::Lock(self.lock()?),
            "unlock" => Action::Unlock(self.lock()?),
            "free" => Action::Promise(self.free()?),
            "lend" => Action::Promise(Pledge::Lend(self.page_name()?)),
            "assign" => Action::Promise(self.assign()?),
            "unmapped" => Action::Promise(self.unmapped()?),
            "detached" => Action::Promise(Pledge::Detached(self.device_name()?)),
            other => return Err(self.unknown(span, "statement", other, &STATEMENTS)),
        })
    }

    fn store(&mut self) -> Parsed<Action> {
        let places = ["pte", "entry", "ste", "cd"];
        let span = self.span();
        let what = self.name(&places)?;
        self.expect("[")?;
        let place = match what.as_str() {
            "pte" => {
                let space = self.space_name()?;
                self.expect(",")?;
                let input = self.number(0..=(1 << 48) - 1)?;
                let level = if self.take(",") { self.number(0..=3)? as i8 } else { 3 };
                Place::Pte { space, input, level }
            }
            "entry" => {
                let table = self.table_name()?;
                self.expect(",")?;
                Place::Entry { table, input: self.number(0..=(1 << 48) - 1)? }
            }
            "ste" => Place::Ste(self.device_name()?, self.word()?),
            "cd" => Place::Cd(self.device_with_cd()?, self.word()?),
            other => return Err(self.unknown(span, "place", other, &places)),
        };
        self.expect("]")?;
        self.expect("=")?;
        Ok(Action::Store(place, self.value(place)?))
    }

    fn device_with_cd(&mut self) -> Parsed<usize> {
        let device = self.device_name()?;
        let has_cd = match self.litmus.devices[device].start {
            SteValue::Space(space) => self.litmus.spaces[space].asid.is_some(),
            _ => false,
        };
        if has_cd {
            return Ok(device);
        }
        Err(self.before("a device with a CD", "name one that uses a space with `asid` at first"))
    }

    fn word(&mut self) -> Parsed<Option<u8>> {
        Ok(if self.take(",") { Some(self.number(0..=7)? as u8) } else { None })
    }

    fn value(&mut self, place: Place) -> Parsed<Value> {
        if self.take_name("invalid") {
            return Ok(match place {
                Place::Ste(..) => Value::Ste(SteValue::Invalid),
                _ => Value::Invalid,
            });
        }
        match place {
            Place::Ste(..) if self.take_name("abort") => Ok(Value::Ste(SteValue::Abort)),
            Place::Ste(..) if self.take_name("bypass") => Ok(Value::Ste(SteValue::Bypass)),
            Place::Ste(..) => Ok(Value::Ste(SteValue::Space(self.space_name()?))),
            Place::Cd(..) => {
                let space = self.space_name()?;
                match self.litmus.spaces[space].asid {
                    Some(_) => Ok(Value::Cd(space)),
                    None => Err(self.before("a space of stage 1", "a CD has an `asid`")),
                }
            }
            Place::Pte { level, .. } if level < 3 && self.take_name("table") => {
                Ok(match self.peek() {
                    Kind::Name(_) => Value::Table(self.table_name()?),
                    _ => Value::OldTable,
                })
            }
            Place::Pte { space, .. } => {
                let nested = self.litmus.spaces[space].over.is_some();
                Ok(Value::Leaf(self.leaf(nested)?))
            }
            Place::Entry { table, .. } => {
                let nested = self.litmus.spaces[self.litmus.tables[table].space].over.is_some();
                Ok(Value::Leaf(self.leaf(nested)?))
            }
        }
    }

    /// `on SMMU`.
    pub(super) fn on_smmu(&mut self) -> Parsed<Option<usize>> {
        Ok(if self.take_name("on") { Some(self.smmu_name()?) } else { None })
    }

    /// The SMMU of a command: as told, or that of the device that it names, or the first.
    fn on(&mut self, order: Order) -> Parsed<usize> {
        let device = match order {
            Order::CfgiSte(device) | Order::CfgiCd(device) | Order::AtcInv(device, ..) => {
                Some(self.litmus.devices[device].smmu)
            }
            _ => None,
        };
        Ok(self.on_smmu()?.or(device).unwrap_or(0))
    }

    fn lock(&mut self) -> Parsed<u32> {
        let name = self.name(&[])?;
        let known = self.locks.iter().position(|lock| *lock == name);
        let index = known.unwrap_or_else(|| {
            self.locks.push(name);
            self.locks.len() - 1
        });
        Ok(index as u32)
    }

    fn free(&mut self) -> Parsed<Pledge> {
        if self.take_name("vmid") {
            let vmid = Vmid(self.number(0..=0xffff)? as u16);
            return Ok(Pledge::FreeVmid(self.on_smmu()?.unwrap_or(0), vmid));
        }
        if self.take_name("asid") {
            let asid = Asid(self.number(0..=0xffff)? as u16);
            return Ok(Pledge::FreeAsid(self.on_smmu()?.unwrap_or(0), asid));
        }
        if self.take_name("table") {
            let space = self.space_name()?;
            self.expect(",")?;
            let input = self.number(0..=(1 << 48) - 1)?;
            self.expect_name("level")?;
            return Ok(Pledge::FreeTable { space, input, level: self.number(1..=3)? as i8 });
        }
        Ok(Pledge::FreePage(self.page_name()?))
    }

    fn assign(&mut self) -> Parsed<Pledge> {
        let words = ["vmid", "asid"];
        let span = self.span();
        let which = self.name(&words)?;
        let number = self.number(0..=0xffff)? as u16;
        let smmu = self.on_smmu()?.unwrap_or(0);
        match which.as_str() {
            "vmid" => Ok(Pledge::AssignVmid(smmu, Vmid(number))),
            "asid" => Ok(Pledge::AssignAsid(smmu, Asid(number))),
            other => Err(self.unknown(span, "tag", other, &words)),
        }
    }

    /// `unmapped SPACE, ADDRESS [BYTES] [on SMMU]`.
    fn unmapped(&mut self) -> Parsed<Pledge> {
        let space = self.space_name()?;
        self.expect(",")?;
        let first = self.number(0..=(1 << 48) - 1)?;
        let bytes = match *self.peek() {
            Kind::Number(_) => self.number(1..=1 << 47)?,
            _ => 4096,
        };
        let smmu = self.on_smmu()?.unwrap_or(0);
        Ok(Pledge::Unmapped(space, first, first + (bytes - 1), smmu))
    }
}
