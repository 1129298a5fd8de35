//! One SMMU with every feature, and anything that software, devices and endpoints can do to it.

use crate::draw::Draw;
use crate::structures::deep;
use smmu_arch::registers::REGISTERS;
use smmu_arch::{
    Access, Asid, BroadcastTlbi, Cd, Direction, Eats, IdRegisters, Iova, Maintenance, Observation,
    Origin, Pa, PageRequest, PeContext, PortId, SmmuId, StallTicket, Ste, StreamConfig, StreamId,
    SubstreamId, TlbiInstruction, Transaction, TranslationRequest, Vmid,
};
use smmu_bus::{
    Actor, Answer, AtcAnswer, InterruptLine, Memory, Mmio, Observer, Outputs, Ram, Step,
};
use smmu_cache::TlbGeometry;
use smmu_device::{AtcOutcome, HierarchySizes, Port, Response, Smmu, SmmuConfig, StructureSizes};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of memory, at 0.
const MEMORY_BYTES: u64 = 1 << 18;
/// Where tables and queues are likely: the first pages.
const LIKELY_BYTES: u64 = 1 << 14;

/// What a run of operations came to. Equal bytes give equal figures.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Operations {
    /// Operations.
    pub count: u64,
    /// Transactions that were let through.
    pub granted: u64,
    /// Transactions that were refused.
    pub refused: u64,
    /// Transactions that were held.
    pub held: u64,
    /// Commands consumed or refused.
    pub commands: u64,
    /// Event records written or lost.
    pub events: u64,
    /// Broadcast TLBIs that took effect.
    pub broadcasts: u64,
    /// A digest of everything that was seen.
    pub digest: u64,
}

/// Endpoints that answer invalidations later.
#[derive(Default)]
struct Endpoints {
    outstanding: u32,
}

impl Outputs for Endpoints {
    fn pulse(&mut self, _: SmmuId, _: InterruptLine) {}
    fn send_event(&mut self) {}
    fn invalidate_atc(&mut self, _: SmmuId, _: &smmu_arch::AtcInv) -> AtcAnswer {
        self.outstanding += 1;
        AtcAnswer::Later
    }
}

/// Counts what the SMMU says.
#[derive(Default)]
struct Tally {
    commands: u64,
    events: u64,
    broadcasts: u64,
}

impl Observer for Tally {
    fn observe(&mut self, _: &Origin, observation: &Observation) {
        match observation {
            Observation::CommandConsumed(_)
            | Observation::CommandFailed(_)
            | Observation::Synchronised(_) => self.commands += 1,
            Observation::EventRecorded(_) | Observation::EventLost(_) => self.events += 1,
            Observation::Invalidated { by: Maintenance::Broadcast, .. } => self.broadcasts += 1,
            _ => {}
        }
    }
}

/// Every feature of the Non-secure state that this model has.
fn everything() -> IdRegisters {
    let ids = IdRegisters::REFERENCE;
    IdRegisters {
        // STALL_MODEL = 0; BTM, ATS, ATOS, PRI, VATOS, ATSRECERR; HTTU = 2.
        idr0: ids.idr0 & !(3 << 24)
            | 1 << 5
            | 1 << 10
            | 1 << 15
            | 1 << 16
            | 1 << 20
            | 1 << 23
            | 2 << 6,
        idr1: ids.idr1 | 4 << 11,
        idr5: ids.idr5 | 3 << 16,
        ..ids
    }
}

fn smmu(ids: IdRegisters, hierarchy: HierarchySizes) -> Arc<Smmu> {
    let config = SmmuConfig {
        id: SmmuId(0),
        id_registers: ids,
        structures: StructureSizes {
            tlb: TlbGeometry { entries: 16, ways: 4, ..TlbGeometry::default() }.into(),
            ste_cache: Some(4),
            cd_cache: Some(4),
            hierarchy,
        },
        ports: 1,
        cmdqv: None,
    };
    Arc::new(Smmu::new(&config).expect("a geometry that exists"))
}

/// Carries out the operations that the bytes say: register accesses, stores, transactions, ATS and
/// page requests, broadcasts of CPUs, decisions about stalls. Nothing panics, and everything comes to rest.
pub fn operations(bytes: &[u8]) -> Operations {
    let mut draw = Draw::new(bytes);
    let first = draw.byte();
    let hierarchy = if first & 0x40 != 0 { deep() } else { HierarchySizes::default() };
    let smmu = smmu(everything(), hierarchy);
    let memory = Ram::new([(Pa(0), MEMORY_BYTES)]).expect("one region of memory");
    let mut port = Port::new(Arc::clone(&smmu), PortId(0), ()).expect("the SMMU has a port");
    let (mut endpoints, mut tally) = (Endpoints::default(), Tally::default());
    let (mut held, mut done) = (VecDeque::new(), Operations::default());
    if !first.is_multiple_of(8) {
        set_up(&smmu, &memory);
    }
    while !draw.is_empty() {
        done.count += 1;
        let seen = match draw.byte() % 16 {
            0..=2 => store(&memory, &mut draw),
            3 => broadcast(&smmu, &mut tally, &mut draw),
            4..=5 => write(&smmu, &mut draw),
            6..=7 => command(&smmu, &memory, &mut draw),
            8 => read(&smmu, &mut draw),
            9..=11 => transact(&mut port, &memory, &mut draw, &mut held, &mut done),
            12 => request(&mut port, &memory, &mut draw),
            13 => {
                let outcome = port.translated(&memory, &transaction(&mut draw));
                port.end();
                outcome.map_or(1, |granted| granted.output.0)
            }
            14 => ask_for_a_page(&smmu, &mut draw),
            _ => decide(&smmu, &mut endpoints, &mut held, &mut draw),
        };
        done.digest = (done.digest ^ seen).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
        let _ = smmu.pump(&memory, &mut tally, &mut endpoints);
    }
    let Tally { commands, events, broadcasts } = tally;
    Operations { commands, events, broadcasts, ..done }
}

/// A word that means something more often than by chance.
fn likely(draw: &mut Draw<'_>) -> u64 {
    let word = draw.word();
    match draw.byte() % 8 {
        0 => word,
        1 => word & 0x3f,                                // an index, a small field
        2 => word & (LIKELY_BYTES - 1) & !0xfff | 3,     // a table descriptor
        3 => word & 0x3_f000 | 0x4c3 | (word & 1 << 51), // a leaf
        4 => word & 0x3fc0 | [1, 0xb, 0xd, 0xf][word as usize >> 14 & 3], // an STE
        5 => word & 0x30ff_003f | 1 << 31 | 1 << 41 | 0x19, // a CD
        6 => {
            word & 0xffff_ffff_0000_0000
                | [1, 3, 5, 0x10, 0x11, 0x40, 0x44, 0x46][word as usize & 7]
        }
        _ => 0,
    }
}

/// Where the queues and tables of a driver lie.
const STREAMS: u64 = 0x1000;
const CDS: u64 = 0x2000;
const TABLE: u64 = 0x3000;
const COMMANDS: u64 = 0x3800;
const COMMANDS_LOG2: u32 = 4;

/// What a driver does first: 32 streams that translate by stage 1, most of which stall, and
/// everything enabled.
fn set_up(smmu: &Smmu, memory: &Ram) {
    let ste = Ste {
        valid: true,
        config: StreamConfig::Stage1,
        s1_context_ptr: CDS,
        eats: Eats::Full,
        ..Ste::default()
    };
    for stream in 0..32 {
        memory.write_words(Pa(STREAMS + stream * 64), &ste.encode()).expect("RAM");
    }
    let cd = Cd { ha: true, hd: true, s: true, ..Cd::lower_half(25, TABLE, Asid(0)) };
    memory.write_words(Pa(CDS), &cd.encode()).expect("RAM");
    // Blocks of 2 MiB, every other one writable-clean and not accessed.
    for block in 0..8 {
        let attributes = if block % 2 == 0 { 0x441 } else { 1 << 51 | 0xc1 };
        memory.write_word(Pa(TABLE + block * 8), block << 21 | attributes).expect("RAM");
    }
    for (offset, value) in [
        (0x80, STREAMS),
        (0x90, COMMANDS | u64::from(COMMANDS_LOG2)),
        (0xa0, 0x3c00 | 4),
        (0xc0, 0x3e00 | 3),
    ] {
        smmu.mmio_write(offset, 8, value);
    }
    smmu.mmio_write(0x88, 4, 5); // STRTAB_BASE_CFG
    smmu.mmio_write(0x20, 4, 0xf); // CR0
}

/// A command into the queue where a driver has it, and PROD behind it.
fn command(smmu: &Smmu, memory: &Ram, draw: &mut Draw<'_>) -> u64 {
    const PROD: u64 = 0x98;
    const OPCODES: [u64; 16] = [
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x2a, 0x30, 0x40, 0x41, 0x44, 0x45,
        0x46,
    ];
    let prod = smmu.mmio_read(PROD, 4);
    let at = COMMANDS + (prod & ((1 << COMMANDS_LOG2) - 1)) * 16;
    let fields = draw.word() & 0x0003_001f_0001_3000;
    let words = [draw.pick(&OPCODES) | fields, likely(draw)];
    memory.write_words(Pa(at), &words).expect("RAM");
    smmu.mmio_write(PROD, 4, (prod + 1) & ((2 << COMMANDS_LOG2) - 1));
    // Whoever drives it acknowledges errors, most times.
    if !draw.byte().is_multiple_of(4) {
        smmu.mmio_write(0x64, 4, smmu.mmio_read(0x60, 4));
    }
    at
}

/// A CPU executes a TLBI and a DSB. No transaction is in flight, so that there is nothing to wait
/// for.
fn broadcast(smmu: &Smmu, tally: &mut Tally, draw: &mut Draw<'_>) -> u64 {
    let instruction = draw.pick(TlbiInstruction::ALL);
    let pe = PeContext { vmid: Vmid(u16::from(draw.byte() & 3)), host: draw.flag() };
    let xt = likely(draw) | u64::from(draw.byte() & 3) << 46;
    if let Some(tlbi) = BroadcastTlbi::of(instruction, xt, &pe) {
        smmu.broadcast(&tlbi, tally);
    }
    let mut sync = smmu.broadcast_sync().expect("IDR0.BTM");
    if let Step::Wait(condition) = sync.step(Answer::Start) {
        assert!(smmu.holds(condition), "{condition:?}");
    }
    smmu.broadcast_synchronised(&sync, tally);
    xt
}

fn store(memory: &Ram, draw: &mut Draw<'_>) -> u64 {
    let limit = if draw.byte().is_multiple_of(8) { MEMORY_BYTES } else { LIKELY_BYTES };
    let at = (draw.word() % limit) & !7;
    let word = likely(draw);
    memory.write_word(Pa(at), word).expect("the address lies in memory");
    at
}

fn place(draw: &mut Draw<'_>) -> (u64, u8) {
    let bytes = if draw.flag() { 8 } else { 4 };
    let register = draw.pick(&REGISTERS.iter().collect::<Vec<_>>());
    match draw.byte() % 16 {
        0 => (draw.word() % 0x4_0000, draw.byte()),
        _ => (register.frame_offset().into(), bytes.min(register.width as u8 / 8)),
    }
}

fn write(smmu: &Smmu, draw: &mut Draw<'_>) -> u64 {
    let (offset, bytes) = place(draw);
    let value = match draw.byte() % 4 {
        0 => likely(draw),
        1 => 0xf, // CR0: everything on
        2 => draw.word() & (LIKELY_BYTES - 1) & !0x1f | draw.word() & 7, // a base and a size
        _ => draw.word() & 0x3f,
    };
    smmu.mmio_write(offset, bytes, value);
    offset
}

fn read(smmu: &Smmu, draw: &mut Draw<'_>) -> u64 {
    let (offset, bytes) = place(draw);
    smmu.mmio_read(offset, bytes)
}

fn transaction(draw: &mut Draw<'_>) -> Transaction {
    let direction = if draw.flag() { Direction::Read } else { Direction::Write };
    let access = Access { privileged: draw.flag(), instruction: draw.flag(), direction };
    Transaction {
        stream: StreamId(u32::from(draw.byte() & 0x1f)),
        substream: draw.flag().then(|| SubstreamId(u32::from(draw.byte() & 3))),
        iova: Iova(likely(draw)),
        access,
    }
}

fn transact(
    port: &mut Port,
    memory: &Ram,
    draw: &mut Draw<'_>,
    held: &mut VecDeque<StallTicket>,
    done: &mut Operations,
) -> u64 {
    let outcome = port.translate(memory, &transaction(draw));
    port.end();
    match outcome {
        Ok(granted) => {
            done.granted += 1;
            granted.output.0
        }
        Err(refused) => {
            if let Response::Held(ticket) = refused.response {
                done.held += 1;
                held.push_back(ticket);
            } else {
                done.refused += 1;
            }
            refused.fault.map_or(0, |fault| fault.number().into())
        }
    }
}

fn request(port: &mut Port, memory: &Ram, draw: &mut Draw<'_>) -> u64 {
    let Transaction { stream, substream, iova, access } = transaction(draw);
    let request = TranslationRequest {
        stream,
        substream,
        iova,
        no_write: !access.is_write(),
        execute: access.instruction,
        privileged: access.privileged,
    };
    match port.request_translation(memory, &request) {
        smmu_arch::TranslationCompletion::Success(translation) => translation.address,
        _ => 1,
    }
}

fn ask_for_a_page(smmu: &Smmu, draw: &mut Draw<'_>) -> u64 {
    let request = PageRequest::decode(&[likely(draw), draw.word()]);
    smmu.request_page(&request);
    request.group.into()
}

/// An endpoint answers an invalidation, or a transaction learns what software decided.
fn decide(
    smmu: &Smmu,
    endpoints: &mut Endpoints,
    held: &mut VecDeque<StallTicket>,
    draw: &mut Draw<'_>,
) -> u64 {
    if endpoints.outstanding > 0 {
        endpoints.outstanding -= 1;
        let outcome = if draw.byte().is_multiple_of(8) {
            AtcOutcome::TimedOut
        } else {
            AtcOutcome::Completed
        };
        smmu.atc_invalidation_ended(outcome);
    }
    let Some(ticket) = held.pop_front() else { return 0 };
    match smmu.released(ticket) {
        None => {
            held.push_back(ticket);
            1
        }
        Some(release) => 2 + release as u64,
    }
}
