//! Smmulator under measurement: an SMMU whose streams, tables and queue lie in memory.

use crate::layout::{self, IOVA, PAGE, RAM, RAM_BYTES, Stages};
use smmu_arch::registers::{CmdqBase, CmdqProd, Cr0, Register, StrtabBase, StrtabBaseCfg};
use smmu_arch::{
    AddressSpace, Asid, Attributes, Cd, CdTable, Command, EntryKind, FaultPolicy, Granule,
    IdRegisters, Pa, Promise, Regime, SmmuId, Stage1Half, Stage1Regime, Stage2Regime, Ste,
    StreamConfig, StreamWorld, Vmid,
};
use smmu_bus::{DirectCpu, InterruptLine, Memory, Mmio, Outputs, Platform, Ram};
use smmu_cache::TlbGeometry;
use smmu_device::{HierarchySizes, Progress, Smmu, SmmuConfig, StructureSizes};
use smmu_tables::{Geometry, PageAllocator, Prot, STAGE1_MAIR, Table};
use std::sync::Arc;

const INPUT_BITS: u8 = 48;
const OUTPUT_BITS: u8 = 48;
/// log2 of the StreamIDs of the linear stream table.
const STREAMS_LOG2: u8 = 4;
/// log2 of the entries of the Command queue.
const QUEUE_LOG2: u8 = 8;
/// IPS and S2PS: 48 bits.
const OUTPUT_CODE: u8 = 5;

/// What a machine is built for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Main TLB.
    pub tlb: TlbGeometry,
    /// Streams, each with a port of its own.
    pub streams: usize,
    /// How they are translated.
    pub stages: Stages,
    /// Pages of each stream's working set, a power of two.
    pub pages: u64,
}

/// An SMMU and its memory.
#[derive(Debug)]
pub struct Machine {
    /// The SMMU, enabled.
    pub smmu: Arc<Smmu>,
    /// Its memory.
    pub ram: Ram,
    tables: Vec<Tables>,
    queue: Pa,
    /// Index and wrap of the next command.
    next: u32,
}

/// The tables of a stream.
#[derive(Debug)]
struct Tables {
    id: u16,
    stage1: Table,
    stage2: Option<Table>,
}

impl Machine {
    /// Builds tables and streams and enables the SMMU.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let smmu = Smmu::new(&SmmuConfig {
            id: SmmuId(0),
            id_registers: IdRegisters::REFERENCE,
            structures: StructureSizes {
                tlb: plan.tlb.into(),
                ste_cache: Some(64),
                cd_cache: Some(64),
                hierarchy: HierarchySizes::default(),
            },
            ports: plan.streams as u16,
            cmdqv: None,
        });
        let smmu = Arc::new(smmu.expect("a geometry that can be"));
        let ram = Ram::new([(Pa(RAM), RAM_BYTES)]).expect("a memory map that can be");
        let mut heap = Heap { next: RAM };
        let queue = heap.take(16 << QUEUE_LOG2);
        let streams = heap.take(Ste::BYTES << STREAMS_LOG2);
        let mut tables = Vec::new();
        for thread in 0..plan.streams {
            let built = build_tables(plan, thread, &ram, &mut heap);
            let ste = build_stream(&built.0, built.1, &ram);
            tables.push(built.0);
            let place = streams.offset(u64::from(layout::stream(thread)) * Ste::BYTES);
            store(&ram, place, &ste.encode());
        }
        let mut machine = Self { smmu, ram, tables, queue, next: 0 };
        machine.enable(streams);
        machine
    }

    /// What STE and CD of a thread's stream say, decoded.
    #[must_use]
    pub fn regime(&self, thread: usize) -> Regime {
        let Tables { id, stage1, stage2 } = &self.tables[thread];
        let half = Stage1Half {
            root: Some(stage1.root()),
            top_byte_ignored: false,
            hierarchy_disabled: false,
            unprivileged_disabled: false,
            sh: 0,
        };
        Regime {
            space: AddressSpace {
                world: StreamWorld::NsEl1,
                kind: if stage2.is_some() { EntryKind::Combined } else { EntryKind::Stage1 },
                vmid: Vmid(*id),
                asid: Asid(*id),
                aset: false,
            },
            stage1: Some(Stage1Regime {
                low: half,
                high: Some(Stage1Half { root: None, ..half }),
                output_bits: OUTPUT_BITS,
                mair: STAGE1_MAIR,
                access_flag_fault_disabled: false,
                hardware_access: false,
                hardware_dirty: false,
                write_execute_never: false,
                privileged_access_never: false,
                big_endian: false,
                two_privileges: true,
                has_asid: true,
            }),
            stage2: stage2.as_ref().map(|table| Stage2Regime {
                root: table.root(),
                output_bits: OUTPUT_BITS,
                access_flag_fault_disabled: false,
                hardware_access: false,
                hardware_dirty: false,
                protected_table_walk: false,
                forced_write_back: false,
                execute_by_privilege: true,
                big_endian: false,
                sh: 0,
            }),
            input_attributes: Attributes::DEFAULT,
            policy: FaultPolicy::default(),
            privilege_override: None,
            instruction_override: None,
        }
    }

    fn enable(&mut self, streams: Pa) {
        let base = StrtabBase::new().with_address(streams.0);
        self.write(base);
        self.write(StrtabBaseCfg::new().with_log2size(STREAMS_LOG2));
        self.write(CmdqBase::new().with_address(self.queue.0).with_log2size(QUEUE_LOG2));
        self.write(Cr0::new().with_cmdqen(true).with_smmuen(true));
    }

    fn write<R: Register>(&self, register: R) {
        let offset = u64::from(R::PAGE.base() + R::OFFSET);
        self.smmu.mmio_write(offset, (R::WIDTH / 8) as u8, register.to_word());
    }

    /// Puts commands into the queue, rings the doorbell, and lets the SMMU consume them.
    #[inline]
    pub fn submit(&mut self, commands: &[Command]) -> Progress {
        for command in commands {
            let slot = u64::from(self.next) & ((1 << QUEUE_LOG2) - 1);
            store(&self.ram, self.queue.offset(slot * 16), &command.encode());
            self.next = (self.next + 1) & ((2 << QUEUE_LOG2) - 1);
        }
        self.write(CmdqProd::new().with_wr(self.next));
        self.smmu.pump(&self.ram, &mut (), &mut Silent)
    }
}

/// The tables of one stream, and a page for its CD.
fn build_tables(plan: &Plan, thread: usize, ram: &Ram, heap: &mut Heap) -> (Tables, Pa) {
    let platform = Board { ram };
    let cpu = DirectCpu::new(&platform);
    let first = heap.next;
    let geometry = Geometry::stage1(Granule::K4, INPUT_BITS, OUTPUT_BITS);
    let stage1 = Table::new(&cpu, geometry, heap).expect("an empty table");
    for page in 0..plan.pages {
        let output = match plan.stages {
            Stages::One => layout::output(page, plan.pages),
            Stages::Nested => layout::ipa(page, plan.pages),
        };
        let input = IOVA + page * PAGE;
        stage1.map(&cpu, heap, input, output, PAGE, Prot::READ_WRITE).expect("a free page");
    }
    let cd = heap.take(PAGE);
    let guest = first..heap.next;
    let nested = plan.stages == Stages::Nested;
    let stage2 = nested.then(|| build_stage2(plan, guest, &cpu, heap));
    (Tables { id: layout::stream(thread), stage1, stage2 }, cd)
}

/// Writes the CD of a stream; gives the STE that leads to it.
fn build_stream(tables: &Tables, cd: Pa, ram: &Ram) -> Ste {
    store(ram, cd, &context(&tables.stage1, Asid(tables.id)).encode());
    let stage1 = Ste {
        valid: true,
        config: StreamConfig::Stage1,
        s1_context_ptr: cd.0,
        vmid: Vmid(tables.id),
        ..Ste::default()
    };
    match &tables.stage2 {
        None => stage1,
        Some(stage2) => Ste {
            config: StreamConfig::Nested,
            s2_t0sz: 64 - INPUT_BITS,
            s2_sl0: 2,
            s2_tg: Some(Granule::K4),
            s2_ps: OUTPUT_CODE,
            s2_aa64: true,
            s2_r: true,
            s2_ttb: stage2.root().base,
            ..stage1
        },
    }
}

fn context(stage1: &Table, asid: Asid) -> Cd {
    let nothing = Cd::default();
    let low = CdTable {
        tsz: 64 - INPUT_BITS,
        tg: Some(Granule::K4),
        ttb: stage1.root().base,
        ..nothing.tables[0]
    };
    let high = CdTable { epd: true, ..nothing.tables[1] };
    Cd {
        valid: true,
        tables: [low, high],
        ips: OUTPUT_CODE,
        aa64: true,
        r: true,
        a: true,
        asid,
        mair: STAGE1_MAIR,
        ..nothing
    }
}

/// Stage 2: what stage 1 is made of lies where it is, and the data is scattered. Pages are mapped
/// one by one, so that every walk has all its levels.
fn build_stage2(
    plan: &Plan,
    tables: std::ops::Range<u64>,
    cpu: &DirectCpu<'_, Board<'_>>,
    heap: &mut Heap,
) -> Table {
    let geometry = Geometry::stage2(Granule::K4, INPUT_BITS, OUTPUT_BITS);
    let stage2 = Table::new(cpu, geometry, heap).expect("an empty table");
    let mut map = |ipa, pa| {
        stage2.map(cpu, heap, ipa, pa, PAGE, Prot::READ_WRITE).expect("a free page");
    };
    tables.step_by(PAGE as usize).for_each(|at| map(at, at));
    for page in 0..plan.pages {
        map(layout::ipa(page, plan.pages), layout::output(page, plan.pages));
    }
    stage2
}

fn store(ram: &Ram, pa: Pa, words: &[u64]) {
    ram.write_words(pa, words).expect("inside the RAM");
}

/// Memory that is handed out once.
struct Heap {
    next: u64,
}

impl Heap {
    fn take(&mut self, bytes: u64) -> Pa {
        let at = self.next.next_multiple_of(bytes.next_power_of_two().max(PAGE));
        self.next = (at + bytes).next_multiple_of(PAGE);
        assert!(self.next <= RAM + RAM_BYTES, "the RAM of the benches is too small");
        Pa(at)
    }
}

impl PageAllocator for Heap {
    fn allocate(&mut self, bytes: u64) -> Option<Pa> {
        Some(self.take(bytes))
    }

    fn free(&mut self, _: Pa, _: u64) {}

    fn gives_zeroed(&self) -> bool {
        true
    }
}

/// What the builder of the tables needs of a machine: memory.
struct Board<'a> {
    ram: &'a Ram,
}

impl Platform for Board<'_> {
    type Memory = Ram;

    fn memory(&self) -> &Ram {
        self.ram
    }

    fn mmio_read(&self, _: Pa, _: u8) -> u64 {
        0
    }

    fn mmio_write(&self, _: Pa, _: u8, _: u64) {}

    fn now_ns(&self) -> u64 {
        0
    }

    fn advance_to(&self, _: u64) {}

    fn promise(&self, _: Promise) {}
}

/// Nobody listens to interrupts.
struct Silent;

impl Outputs for Silent {
    fn pulse(&mut self, _: SmmuId, _: InterruptLine) {}

    fn send_event(&mut self) {}
}
