//! The Event queue between faults and a software that drains it as it likes.

use crate::draw::Draw;
use smmu_arch::{
    Access, Direction, Event, IdRegisters, Iova, Observation, Origin, Pa, PortId, SmmuId, StreamId,
    Transaction,
};
use smmu_bus::{InterruptLine, Memory, Mmio, Observer, Outputs, Ram};
use smmu_cache::TlbGeometry;
use smmu_device::{HierarchySizes, Port, Smmu, SmmuConfig, StructureSizes};
use std::collections::VecDeque;
use std::sync::Arc;

const EVENTQ_BASE: u64 = 0xa0;
const CR0: u64 = 0x20;
const PROD: u64 = 0x1_00a8;
const CONS: u64 = 0x1_00ac;
/// log2 of the entries of the queue.
const LOG2: u32 = 2;
/// Index and wrap.
const INDEX: u32 = (2 << LOG2) - 1;
const OVERFLOW: u32 = 1 << 31;
const STEPS_MAX: usize = 256;

/// What the SMMU says of its records.
#[derive(Default)]
struct Account {
    recorded: VecDeque<Event>,
    lost: u64,
}

impl Observer for Account {
    fn observe(&mut self, _: &Origin, observation: &Observation) {
        match observation {
            Observation::EventRecorded(event) => self.recorded.push_back(*event),
            Observation::EventLost(_) => self.lost += 1,
            _ => {}
        }
    }
}

impl Outputs for Account {
    fn pulse(&mut self, _: SmmuId, _: InterruptLine) {}
    fn send_event(&mut self) {}
}

/// Faults, drains, acknowledges and EVENTQEN in any order: what lies between CONS and PROD is what
/// was recorded and not yet drained, in order; every fault is recorded or lost; and what is lost in
/// an enabled queue shows as an overflow.
///
/// # Panics
///
/// Where that does not hold.
pub fn event_drain(bytes: &[u8]) {
    let config = SmmuConfig {
        id: SmmuId(0),
        id_registers: IdRegisters::REFERENCE,
        structures: StructureSizes {
            tlb: TlbGeometry::default().into(),
            ste_cache: None,
            cd_cache: None,
            hierarchy: HierarchySizes::default(),
        },
        ports: 1,
        cmdqv: None,
    };
    let smmu = Arc::new(Smmu::new(&config).expect("the default geometry"));
    let memory = Ram::new([(Pa(0), 1 << 16)]).expect("one region of memory");
    let mut port = Port::new(Arc::clone(&smmu), PortId(0), ()).expect("the SMMU has a port");
    smmu.mmio_write(EVENTQ_BASE, 8, 0x8000 | u64::from(LOG2));
    let mut account = Account::default();
    let (mut faults, mut drained, mut enabled) = (0, 0, false);
    let mut draw = Draw::new(bytes);
    for _ in 0..STEPS_MAX {
        if draw.is_empty() {
            break;
        }
        let read = |offset| smmu.mmio_read(offset, 4) as u32;
        match draw.byte() % 8 {
            0..=3 => {
                faults += u64::from(fault(&mut port, &memory, &mut draw));
            }
            4 => {
                enabled = draw.flag();
                smmu.mmio_write(CR0, 4, 1 | u64::from(enabled) << 2);
            }
            5 => {
                let acknowledged = read(CONS) & INDEX | read(PROD) & OVERFLOW;
                smmu.mmio_write(CONS, 4, acknowledged.into());
            }
            _ => drained += drain(&smmu, &memory, &mut account, draw.byte()),
        }
        let lost_before = account.lost;
        let mut sink = Account::default();
        let _ = smmu.pump(&memory, &mut account, &mut sink);
        let pending = (read(PROD) ^ read(CONS)) & OVERFLOW != 0;
        if account.lost > lost_before && enabled {
            assert!(pending, "a record was lost, and no overflow shows");
        }
        let in_queue = (read(PROD).wrapping_sub(read(CONS)) & INDEX) as usize;
        assert_eq!(in_queue, account.recorded.len(), "between CONS and PROD");
        assert_eq!(faults, drained + in_queue as u64 + account.lost, "recorded or lost");
    }
}

/// A transaction of a stream without an STE. Whether it leaves a record: not while SMMUEN is 0.
fn fault(port: &mut Port, memory: &Ram, draw: &mut Draw<'_>) -> bool {
    let transaction = Transaction {
        stream: StreamId(u32::from(draw.byte())),
        substream: None,
        iova: Iova(draw.word()),
        access: Access::data(Direction::Read),
    };
    let outcome = port.translate(memory, &transaction);
    port.end();
    outcome.is_err_and(|refused| refused.record)
}

/// Takes up to `most` records out of the queue; how many there were.
fn drain(smmu: &Smmu, memory: &Ram, account: &mut Account, most: u8) -> u64 {
    let mut count = 0;
    for _ in 0..most % 8 {
        let (prod, cons) = (smmu.mmio_read(PROD, 4) as u32, smmu.mmio_read(CONS, 4) as u32);
        if (prod ^ cons) & INDEX == 0 {
            break;
        }
        let at = Pa(0x8000 + u64::from(cons & (INDEX >> 1)) * 32);
        let words = memory.read_words(at).expect("the queue lies in memory");
        assert_eq!(Event::decode(&words).ok(), account.recorded.pop_front());
        smmu.mmio_write(CONS, 4, (cons & OVERFLOW | (cons + 1) & INDEX).into());
        count += 1;
    }
    count
}
