//! One SMMU: registers, structures, queues, and what runs in the background.

use crate::atc::AtcOutcome;
use crate::atos::Group;
use crate::command_queue::CommandContext;
use crate::control::Control;
use crate::event_queue;
use crate::globals::Globals;
use crate::hierarchy::Hierarchy;
use crate::in_flight::InFlight;
use crate::registers::RegisterFile;
use crate::stalls::Release;
use crate::structures::{StructureSizes, Structures};
use crate::translation::{Purpose, Refused, Response, Translation};
use crate::work::{Work, WorkOutcome};
use parking_lot::Mutex;
use smmu_arch::registers::{CmdqvParam, Cr0Ack, GatosCtrl, IrqCtrlAck, Register, VatosCtrl};
use smmu_arch::{
    Access, CommandFeatures, Direction, Features, IdRegisters, Origin, PageRequest, PortId, SmmuId,
    StallModel, StallTicket, TlbEntry, Transaction,
};
use smmu_bus::{Answer, Condition, Mmio, Observer, Request};
use smmu_cache::{GeometryError, Resident};
use std::sync::Arc;

/// What an SMMU is built from.
#[derive(Clone, Debug)]
pub struct SmmuConfig {
    /// Number in its machine.
    pub id: SmmuId,
    /// ID registers, taken verbatim. A feature that they announce and that is not modelled (LPAE
    /// tables, ATS, PRI, ...) is not there: `smmu-machine` refuses such a set.
    pub id_registers: IdRegisters,
    /// Structures.
    pub structures: StructureSizes,
    /// Ports.
    pub ports: u16,
    /// The PARAM register of a CMDQV in front of the SMMU, where there is one: log2 of its queues
    /// (7 at most), interfaces (6) and StreamID slots of an interface (4).
    pub cmdqv: Option<CmdqvParam>,
}

/// An SMMU. It is shared: look-ups from several threads do not lock.
#[derive(Debug)]
pub struct Smmu {
    id: SmmuId,
    features: Features,
    pub(crate) structures: Structures,
    pub(crate) in_flight: InFlight,
    control: Mutex<Control>,
    /// Held by whoever runs the background work; a CMD_SYNC that waits, one a queue, is kept in it.
    pub(crate) parked: Mutex<Vec<(Work, Condition)>>,
}

impl Smmu {
    /// An SMMU after reset.
    ///
    /// # Errors
    /// A geometry that no structure can have.
    pub fn new(config: &SmmuConfig) -> Result<Self, GeometryError> {
        let registers = RegisterFile::new(&config.id_registers);
        let hierarchy = Hierarchy::of(&config.structures.hierarchy);
        Ok(Self {
            id: config.id,
            features: *registers.features(),
            structures: Structures::new(&config.structures, config.ports)?,
            in_flight: InFlight::new(config.ports),
            control: Mutex::new(Control::new(registers, config.cmdqv, hierarchy)),
            parked: Mutex::new(Vec::new()),
        })
    }

    /// Number in its machine.
    #[must_use]
    pub fn id(&self) -> SmmuId {
        self.id
    }

    /// Features that its ID registers tell.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Ports.
    #[must_use]
    pub fn ports(&self) -> u16 {
        self.in_flight.ports()
    }

    /// Changes whenever anything changes that a port may have kept of the configuration.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.structures.generation()
    }

    pub(crate) fn globals(&self) -> Globals {
        self.control.lock().globals
    }

    /// Answers the requests that concern the structures; `None` for all others, which are the
    /// runner's.
    pub fn answer<O: Observer>(
        &self,
        origin: &Origin,
        request: &Request,
        observer: &mut O,
    ) -> Option<Answer> {
        self.structures.answer(origin, request, observer)
    }

    /// Whether a condition of this SMMU holds.
    ///
    /// A CMD_SYNC also waits for the records of transactions that were terminated before it.
    #[must_use]
    pub fn holds(&self, condition: Condition) -> bool {
        match condition {
            Condition::Drained(epoch) => {
                self.in_flight.drained(epoch) && self.control.lock().is_drained()
            }
            Condition::Ended(epoch) => self.in_flight.drained(epoch),
            Condition::Released(ticket) => self.control.lock().stalls.is_released(ticket),
            Condition::Time(_) | Condition::Lock(_) | Condition::Register { .. } => false,
        }
    }

    /// The next background actor that can start, if any. Ask again until there is none: one of
    /// each kind can be under way.
    ///
    /// Records that cannot be written are discarded here, so that a CMD_SYNC may be able to go on
    /// although no actor was given: ask [`Smmu::holds`] afterwards.
    pub fn work<O: Observer>(&self, observer: &mut O) -> Option<Work> {
        let mut lost = Vec::new();
        let now = self.structures.log.now();
        let work =
            self.control.lock().next_work(&mut lost, self.command_context(), self.look_up(), now);
        for observation in lost {
            observer.observe(&self.background_origin(), &observation);
        }
        work
    }

    /// An endpoint asks for a page (PRI). The request is queued, or dropped and answered, in the
    /// background. Without IDR0.PRI nothing takes it.
    pub fn request_page(&self, request: &PageRequest) {
        if self.features.pri {
            self.control.lock().page_requests.request(*request);
        }
    }

    /// An endpoint has taken an invalidation request and will complete it later: a CMD_SYNC waits.
    pub fn atc_invalidation_begun(&self) {
        self.control.lock().atc.begun();
    }

    /// An endpoint has ended an invalidation request that had begun.
    pub fn atc_invalidation_ended(&self, outcome: AtcOutcome) {
        self.control.lock().atc.ended(outcome);
    }

    /// The look-up of the STE of a page request that is to be answered.
    fn look_up(&self) -> impl Fn(&Globals, &PageRequest) -> Translation + '_ {
        |globals, request| {
            let access = Access::data(Direction::Read);
            let (stream, iova) = (request.stream, request.address);
            let transaction = Transaction { stream, substream: None, iova, access };
            let purpose = Purpose::PageResponse { ppar: None };
            Translation::new(transaction, self.structures.log.now(), *globals, purpose)
        }
    }

    /// Applies what a background actor came to.
    pub fn complete<O: Observer>(&self, outcome: &WorkOutcome, observer: &mut O) {
        let observation = {
            let mut control = self.control.lock();
            let observation = control.complete(outcome);
            self.acknowledge(&mut control);
            observation
        };
        if let Some(observation) = observation {
            observer.observe(&self.background_origin(), &observation);
        }
    }

    /// Origin of what no transaction does.
    pub fn background_origin(&self) -> Origin {
        Origin { smmu: self.id, transaction: None, begin: self.structures.log.now() }
    }

    /// A refused transaction leaves its record, where it has one. Where it stalls it is held: then
    /// its response tells the ticket.
    pub(crate) fn record(&self, transaction: &Transaction, refused: &mut Refused) {
        let record = event_queue::record_of(transaction, refused, self.features.oas_bits);
        let Some(event) = record else { return };
        let mut control = self.control.lock();
        if refused.response == Response::Stall {
            let held = control.hold(event);
            refused.response = held.map_or(Response::Abort, Response::Held);
        }
        if !matches!(refused.response, Response::Held(_)) {
            control.events.record(event);
        }
    }

    /// What is to become of a stalled transaction; `None` while software has not decided. The
    /// answer is given once.
    #[must_use]
    pub fn released(&self, ticket: StallTicket) -> Option<Release> {
        self.control.lock().stalls.take(ticket)
    }

    pub(crate) fn command_context(&self) -> impl Fn(&Globals) -> CommandContext + '_ {
        |globals| CommandContext {
            features: command_features(&globals.features),
            e2h: globals.e2h,
            vmid_ignore: globals.vmid_ignore,
            enabled: globals.enabled,
            now: self.structures.log.now(),
        }
    }

    /// Entries by address space of the main TLB; of those of all ports where each has one, and of
    /// the µTLBs where there is no main TLB. An address space may come several times then.
    #[must_use]
    pub fn resident(&self) -> Vec<Resident> {
        self.structures.hierarchy.keepers().iter().flat_map(|tlb| tlb.resident()).collect()
    }

    /// Live entries of the same.
    #[must_use]
    pub fn tlb_entries(&self) -> Vec<TlbEntry> {
        self.structures.hierarchy.keepers().iter().flat_map(|tlb| tlb.entries()).collect()
    }

    /// A port number exists.
    #[must_use]
    pub fn has_port(&self, port: PortId) -> bool {
        port.0 < self.ports()
    }
}

impl Mmio for Smmu {
    fn mmio_read(&self, offset: u64, bytes: u8) -> u64 {
        let mut control = self.control.lock();
        if [Cr0Ack::OFFSET, IrqCtrlAck::OFFSET].map(u64::from).contains(&offset) {
            self.acknowledge(&mut control);
        }
        let enhanced = control.commands.read_enhanced(offset, bytes);
        enhanced.unwrap_or_else(|| control.registers.read(offset, bytes))
    }

    /// Registers change at once; what follows from them is background work.
    fn mmio_write(&self, offset: u64, bytes: u8, value: u64) {
        let mut control = self.control.lock();
        let was_enabled = control.globals.enabled;
        control.commands.touched();
        control.commands.write_enhanced(offset, bytes, value);
        let Some(written) = control.registers.write(offset, bytes, value) else { return };
        match written.name {
            GatosCtrl::NAME => return control.lookups[Group::Global as usize].request(),
            VatosCtrl::NAME => return control.lookups[Group::Vm as usize].request(),
            _ => {}
        }
        control.registers.finish_gbpa_update();
        let globals = Globals::of(&control.registers, control.globals.hierarchy);
        if globals != control.globals {
            control.globals = globals;
            self.structures.outdate_ports();
        }
        if was_enabled && !globals.enabled {
            control.disabled_at = Some(self.structures.log.advance());
            control.disabled();
        }
        self.acknowledge(&mut control);
    }
}

/// The registers of the CMDQV in front of an SMMU: 0x83_0000 bytes, aligned to 64 KiB. Without one,
/// reads give 0 and writes are lost.
#[derive(Clone, Debug)]
pub struct CmdqvFrame(pub Arc<Smmu>);

impl Mmio for CmdqvFrame {
    fn mmio_read(&self, offset: u64, bytes: u8) -> u64 {
        self.0.control.lock().commands.read_cmdqv(offset, bytes)
    }

    fn mmio_write(&self, offset: u64, bytes: u8, value: u64) {
        self.0.control.lock().commands.write_cmdqv(offset, bytes, value);
    }
}

impl Smmu {
    fn acknowledge(&self, control: &mut Control) {
        if control.disabled_at.is_some_and(|epoch| self.in_flight.drained(epoch)) {
            control.disabled_at = None;
        }
        let busy = control.busy();
        control.registers.acknowledge_cr0(&busy);
        control.registers.acknowledge_irq_ctrl(&busy);
    }
}

/// What of the features decides about commands.
fn command_features(features: &Features) -> CommandFeatures {
    CommandFeatures {
        stage1: features.s1p,
        stage2: features.s2p,
        hyp: features.hyp,
        ats: features.ats,
        pri: features.pri,
        stall: features.stall_model != StallModel::TerminateOnly,
        vmid16: features.vmid16,
        asid16: features.asid16,
        ril: features.ril,
        mpam: false,
        dpt: false,
        ds: features.ds,
    }
}
