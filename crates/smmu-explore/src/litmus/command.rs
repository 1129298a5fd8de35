//! Commands, as the language writes them.

use super::parse::{Parsed, Parser};
use super::token::Kind;
use super::{Order, Reach};
use smmu_arch::{Asid, Vmid};
use std::ops::Range;

const COMMANDS: [&str; 4] = ["tlbi", "cfgi", "atc_inv", "sync"];
const SCOPES: [&str; 7] = ["va", "vaa", "asid", "all", "vmid", "ipa", "everything"];
/// log2 of the bytes of an ATC invalidation that names all addresses.
const ALL_ADDRESSES_LOG2: u8 = 64;

impl Parser<'_> {
    /// A command after `queue`.
    pub(super) fn order(&mut self) -> Parsed<Order> {
        let span = self.span();
        let first = self.name(&COMMANDS)?;
        self.order_named(span, &first)
    }

    /// What follows the first word of a command.
    pub(super) fn order_named(&mut self, span: Range<usize>, first: &str) -> Parsed<Order> {
        match first {
            "tlbi" => self.tlbi(),
            "cfgi" => self.cfgi(),
            "atc_inv" => self.atc_inv(),
            "sync" => Ok(Order::Sync),
            other => Err(self.unknown(span, "command", other, &COMMANDS)),
        }
    }

    /// A scope of TLB maintenance.
    pub(super) fn tlbi(&mut self) -> Parsed<Order> {
        let span = self.span();
        Ok(match self.name(&SCOPES)?.as_str() {
            "va" => {
                let address = self.address()?;
                self.expect_name("asid")?;
                let asid = self.asid()?;
                let vmid = self.vmid()?;
                Order::Va(vmid, asid, self.reach(address)?)
            }
            "vaa" => {
                let address = self.address()?;
                let vmid = self.vmid()?;
                Order::Vaa(vmid, self.reach(address)?)
            }
            "asid" => {
                let asid = self.asid()?;
                Order::Asid(self.vmid()?, asid)
            }
            "all" => Order::All(self.vmid()?),
            "vmid" => Order::Vmid(Vmid(self.number(0..=0xffff)? as u16)),
            "ipa" => {
                let address = self.address()?;
                let vmid = self.vmid()?;
                Order::Ipa(vmid, self.reach(address)?)
            }
            "everything" => Order::Everything,
            other => return Err(self.unknown(span, "scope", other, &SCOPES)),
        })
    }

    fn cfgi(&mut self) -> Parsed<Order> {
        let words = ["ste", "cd", "all"];
        let span = self.span();
        match self.name(&words)?.as_str() {
            "ste" => Ok(Order::CfgiSte(self.device_name()?)),
            "cd" => Ok(Order::CfgiCd(self.device_name()?)),
            "all" => Ok(Order::CfgiAll),
            other => Err(self.unknown(span, "CFGI", other, &words)),
        }
    }

    /// `atc_inv DEVICE (all | ADDRESS [BYTES])`.
    fn atc_inv(&mut self) -> Parsed<Order> {
        let device = self.device_name()?;
        if self.take_name("all") {
            return Ok(Order::AtcInv(device, 0, ALL_ADDRESSES_LOG2));
        }
        let address = self.address()?;
        let bytes = match *self.peek() {
            Kind::Number(bytes) if bytes.is_power_of_two() => self.number(4096..=1 << 48)?,
            Kind::Number(_) => {
                return Err(self.here("a size is a power of two", "write 4K, 2M or the like"));
            }
            _ => 4096,
        };
        Ok(Order::AtcInv(device, address, bytes.trailing_zeros() as u8))
    }

    fn address(&mut self) -> Parsed<u64> {
        Ok(self.number(0..=(1 << 48) - 1)? & !0xfff)
    }

    fn asid(&mut self) -> Parsed<Asid> {
        Ok(Asid(self.number(0..=0xffff)? as u16))
    }

    fn vmid(&mut self) -> Parsed<Vmid> {
        let told = self.take_name("vmid");
        Ok(Vmid(if told { self.number(0..=0xffff)? as u16 } else { 0 }))
    }

    /// `[pages N] [leaf]`.
    fn reach(&mut self, address: u64) -> Parsed<Reach> {
        let told = self.take_name("pages");
        let pages = if told { self.number(1..=32)? as u8 } else { 1 };
        Ok(Reach { address, pages, leaf: self.take_name("leaf") })
    }
}
