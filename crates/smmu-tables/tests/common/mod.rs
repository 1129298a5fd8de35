//! Memory, processor and regimes that the tests share.
#![allow(dead_code, unreachable_pub)]

use smmu_arch::*;
use smmu_bus::{Aborted, Cpu, LockId, Memory};
use smmu_tables::{PageAllocator, STAGE1_MAIR};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Memory that is zero everywhere, but for `holes` that do not answer. It is its own processor.
#[derive(Default)]
pub struct Words {
    pub words: RefCell<BTreeMap<u64, u64>>,
    pub holes: RefCell<BTreeSet<u64>>,
    /// Addresses read, in order.
    pub reads: RefCell<Vec<u64>>,
    /// Stores, in order.
    pub stores: RefCell<Vec<(u64, u64)>>,
}

impl Words {
    pub fn new(words: &[(u64, u64)]) -> Self {
        let memory = Self::default();
        memory.words.borrow_mut().extend(words.iter().copied());
        memory
    }

    pub fn set(&self, at: u64, word: u64) {
        self.words.borrow_mut().insert(at, word);
    }

    pub fn get(&self, at: u64) -> u64 {
        self.words.borrow().get(&at).copied().unwrap_or(0)
    }

    fn answers(&self, pa: Pa) -> Result<u64, Aborted> {
        if self.holes.borrow().contains(&pa.0) { Err(Aborted(pa)) } else { Ok(pa.0) }
    }
}

impl Memory for Words {
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        self.reads.borrow_mut().push(pa.0);
        self.answers(pa).map(|at| self.get(at))
    }
    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.answers(pa).map(|at| self.set(at, value))
    }
    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        let found = self.answers(pa).map(|at| self.get(at))?;
        if found == old {
            self.set(pa.0, new);
        }
        Ok(found)
    }
}

impl Cpu for Words {
    fn load(&self, pa: Pa) -> Result<u64, Aborted> {
        self.answers(pa).map(|at| self.get(at))
    }
    fn store(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.stores.borrow_mut().push((pa.0, value));
        self.write_word(pa, value)
    }
    fn cas(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        self.compare_and_swap(pa, old, new)
    }
    fn mmio_read(&self, _: Pa, _: u8) -> u64 {
        0
    }
    fn mmio_write(&self, _: Pa, _: u8, _: u64) {}
    fn barrier(&self) {}
    fn tlbi(&self, _: BroadcastTlbi) {}
    fn dsb(&self) {}
    fn lock(&self, _: LockId) {}
    fn unlock(&self, _: LockId) {}
    fn wait_until(&self, _: u64) {}
    fn now_ns(&self) -> u64 {
        0
    }
    fn promise(&self, _: Promise) {}
}

/// Gives pages from `next` on, as long as `left` lasts, and knows which are out.
pub struct Pages {
    pub next: u64,
    pub left: usize,
    pub zeroed: bool,
    pub out: BTreeMap<u64, u64>,
}

impl Pages {
    pub fn from(next: u64) -> Self {
        Self { next, left: usize::MAX, zeroed: true, out: BTreeMap::new() }
    }
}

impl PageAllocator for Pages {
    fn allocate(&mut self, bytes: u64) -> Option<Pa> {
        self.left = self.left.checked_sub(1)?;
        let pa = self.next.next_multiple_of(bytes);
        self.next = pa + bytes;
        self.out.insert(pa, bytes);
        Some(Pa(pa))
    }
    fn free(&mut self, pa: Pa, bytes: u64) {
        assert_eq!(self.out.remove(&pa.0), Some(bytes), "{pa} was not given");
    }
    fn gives_zeroed(&self) -> bool {
        self.zeroed
    }
}

pub const fn root(base: u64, input_bits: u8, granule: Granule, start_level: i8) -> TableRoot {
    TableRoot { base, input_bits, granule, start_level, format: DescriptorFormat::Bits48 }
}

pub const fn stage1(root: TableRoot) -> Stage1Regime {
    Stage1Regime {
        low: Stage1Half {
            root: Some(root),
            top_byte_ignored: false,
            hierarchy_disabled: false,
            unprivileged_disabled: false,
            sh: 0,
        },
        high: None,
        output_bits: 48,
        mair: STAGE1_MAIR,
        access_flag_fault_disabled: false,
        hardware_access: false,
        hardware_dirty: false,
        write_execute_never: false,
        privileged_access_never: false,
        big_endian: false,
        two_privileges: true,
        has_asid: true,
    }
}

pub const fn stage2(root: TableRoot) -> Stage2Regime {
    Stage2Regime {
        root,
        output_bits: 48,
        access_flag_fault_disabled: false,
        hardware_access: false,
        hardware_dirty: false,
        protected_table_walk: false,
        forced_write_back: false,
        execute_by_privilege: true,
        big_endian: false,
        sh: 0,
    }
}

pub fn regime(stage1: Option<Stage1Regime>, stage2: Option<Stage2Regime>) -> Regime {
    let kind = match (&stage1, &stage2) {
        (Some(_), Some(_)) => EntryKind::Combined,
        (Some(_), None) => EntryKind::Stage1,
        _ => EntryKind::Stage2,
    };
    let asid = Asid(if stage1.is_some() { 7 } else { 0 });
    Regime {
        space: AddressSpace { world: StreamWorld::NsEl1, kind, vmid: Vmid(3), asid, aset: false },
        stage1,
        stage2,
        input_attributes: Attributes::DEFAULT,
        policy: FaultPolicy::default(),
        privilege_override: None,
        instruction_override: None,
    }
}

pub const READ: Access = Access::data(Direction::Read);
pub const WRITE: Access = Access::data(Direction::Write);

/// Access flag, unprivileged, page or table bits: the words of hand-written tables.
pub const TABLE: u64 = 3;
pub const PAGE: u64 = 3;
pub const BLOCK: u64 = 1;
pub const AF: u64 = 1 << 10;
pub const UNPRIVILEGED: u64 = 1 << 6;
pub const READ_ONLY: u64 = 1 << 7;
pub const NOT_GLOBAL: u64 = 1 << 11;
/// S2AP read and write, and Normal Write-Back.
pub const S2_READ: u64 = 1 << 6;
pub const S2_WRITE: u64 = 1 << 7;
pub const S2_NORMAL: u64 = 0xf << 2;

pub const fn stage_fault(kind: StageFaultKind, stage: Stage, class: FaultClass, ipa: u64) -> Fault {
    Fault::Stage(StageFault { kind, stage, class, ipa: Ipa(ipa), descriptor_write: false })
}
