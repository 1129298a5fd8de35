//! A Performance Monitor Counter Group: counters of what the SMMU does, on a page of its own.
//!
//! Architecture: chapter "Performance Monitors Extension". The group reads [`Observation`]s like
//! every other listener: a port that is [`Metered`] hands them on, and while no counter is enabled
//! that costs little more than a look at a flag. Its cycle counter counts the time that is passed in.

use parking_lot::Mutex;
use smmu_arch::registers::{
    PMCG_COUNTERS_MAX, PmcgCfgr, PmcgCr, PmcgEvtyper, PmcgIrqCfg0, PmcgIrqCfg2, PmcgIrqCtrl,
    PmcgRegister,
};
use smmu_arch::{Observation, Origin, Pa, StreamId, Structure};
use smmu_bus::{Mmio, Observer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Events that every group can count, by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u16)]
pub enum PmcgEvent {
    /// A cycle has passed.
    Cycle = 0,
    /// A transaction entered, a Translated one included.
    Transaction = 1,
    /// A look-up of the TLB found nothing.
    TlbMiss = 2,
    /// A look-up of an STE or CD found nothing.
    ConfigMiss = 3,
    /// A translation table descriptor was read.
    WalkAccess = 4,
    /// A configuration structure was read.
    ConfigAccess = 5,
    /// An ATS Translation Request was completed.
    AtsRequest = 6,
    /// An ATS Translated transaction entered.
    AtsTranslated = 7,
}

/// PMCG_CEID0: events 0 to 7.
const EVENTS: u64 = 0xff;

/// What a group is built from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PmcgConfig {
    /// Counters, 1 to 64.
    pub counters: u8,
    /// Bits of a counter, 32 to 64.
    pub counter_bits: u8,
    /// It can send MSIs.
    pub msi: bool,
}

impl Default for PmcgConfig {
    /// Eight counters of 32 bits, with MSIs.
    fn default() -> Self {
        Self { counters: 8, counter_bits: 32, msi: true }
    }
}

/// The overflow interrupt of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PmcgInterrupt {
    /// MSI to be written: address and data.
    pub msi: Option<(Pa, u32)>,
}

/// A Performance Monitor Counter Group.
#[derive(Debug)]
pub struct Pmcg {
    config: PmcgConfig,
    /// PMCG_CR.E, and at least one counter is enabled.
    counting: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    counters: Vec<Counter>,
    enabled: u64,
    interrupts: u64,
    overflows: u64,
    control: PmcgCr,
    irq_control: PmcgIrqCtrl,
    irq_address: PmcgIrqCfg0,
    irq_data: u32,
    irq_attributes: PmcgIrqCfg2,
    pending: bool,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    value: u64,
    kind: PmcgEvtyper,
    stream_match: u32,
}

impl Counter {
    const RESET: Self = Self { value: 0, kind: PmcgEvtyper::new(), stream_match: 0 };

    /// FILTER_SID_SPAN: the lowest zero bit of the match gives the span of StreamIDs.
    fn counts(&self, event: PmcgEvent, stream: Option<StreamId>) -> bool {
        if self.kind.event() != event as u16 {
            return false;
        }
        let Some(stream) = stream else { return true };
        let span = if self.kind.filter_sid_span() {
            self.stream_match ^ self.stream_match.wrapping_add(1)
        } else {
            0
        };
        (stream.0 ^ self.stream_match) & !span == 0
    }
}

impl Pmcg {
    /// A group after reset: nothing is counted. Counts outside of the ranges of [`PmcgConfig`] are
    /// taken as the nearest that is possible.
    #[must_use]
    pub fn new(config: &PmcgConfig) -> Self {
        let config = PmcgConfig {
            counters: config.counters.clamp(1, PMCG_COUNTERS_MAX),
            counter_bits: config.counter_bits.clamp(32, 64),
            ..*config
        };
        let state = State {
            counters: vec![Counter::RESET; config.counters.into()],
            enabled: 0,
            interrupts: 0,
            overflows: 0,
            control: PmcgCr::new(),
            irq_control: PmcgIrqCtrl::new(),
            irq_address: PmcgIrqCfg0::new(),
            irq_data: 0,
            irq_attributes: PmcgIrqCfg2::new(),
            pending: false,
        };
        Self { config, counting: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// The clock of the counter group ticked: whoever keeps the time says how often, for the
    /// device has none.
    pub fn pass(&self, ticks: u64) {
        self.count(PmcgEvent::Cycle, None, ticks);
    }

    /// The interrupt that became due, if any; it is told once.
    #[must_use]
    pub fn take_interrupt(&self) -> Option<PmcgInterrupt> {
        let mut state = self.state.lock();
        let due = std::mem::take(&mut state.pending);
        let address = Pa(state.irq_address.addr());
        let msi = self.config.msi && address != Pa(0);
        due.then(|| PmcgInterrupt { msi: msi.then_some((address, state.irq_data)) })
    }

    /// Whether anything is counted at all.
    #[inline]
    fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Relaxed)
    }

    fn count(&self, event: PmcgEvent, stream: Option<StreamId>, times: u64) {
        if !self.is_counting() {
            return;
        }
        let limit = self.value_mask();
        let state = &mut *self.state.lock();
        for (index, counter) in state.counters.iter_mut().enumerate() {
            let bit = 1 << index;
            if state.enabled & bit == 0 || !counter.counts(event, stream) {
                continue;
            }
            let sum = u128::from(counter.value) + u128::from(times);
            counter.value = sum as u64 & limit;
            if sum > u128::from(limit) {
                let news = state.overflows & bit == 0;
                state.overflows |= bit;
                state.pending |= news && state.interrupts & bit != 0 && state.irq_control.irqen();
            }
        }
    }

    const fn value_mask(&self) -> u64 {
        u64::MAX >> (64 - self.config.counter_bits)
    }

    /// Bits of the registers that have one a counter.
    const fn counter_mask(&self) -> u64 {
        u64::MAX >> (PMCG_COUNTERS_MAX - self.config.counters)
    }

    /// No capture, and a filter for each counter.
    fn configuration(&self) -> PmcgCfgr {
        let PmcgConfig { counters, counter_bits, msi } = self.config;
        PmcgCfgr::new().with_nctr(counters - 1).with_size(counter_bits - 1).with_msi(msi)
    }

    fn read(&self, state: &State, register: PmcgRegister) -> u64 {
        use PmcgRegister as R;
        let counter = |index: u8| state.counters.get(usize::from(index)).copied();
        match register {
            R::Counter(index) => counter(index).map_or(0, |counter| counter.value),
            R::EventType(index) => counter(index).map_or(0, |counter| word(counter.kind)),
            R::StreamMatch(index) => {
                counter(index).map_or(0, |counter| counter.stream_match.into())
            }
            R::CounterEnableSet | R::CounterEnableClear => state.enabled,
            R::InterruptEnableSet | R::InterruptEnableClear => state.interrupts,
            R::OverflowSet | R::OverflowClear => state.overflows,
            R::Configuration => word(self.configuration()),
            R::Control => word(state.control),
            R::Events(0) => EVENTS,
            R::InterruptControl | R::InterruptControlAck => word(state.irq_control),
            R::InterruptAddress => state.irq_address.into(),
            R::InterruptData => state.irq_data.into(),
            R::InterruptAttributes => word(state.irq_attributes),
            R::Shadow(_) | R::Capture | R::SecurityControl | R::Identification | R::Events(_) => 0,
        }
    }

    fn write(&self, state: &mut State, register: PmcgRegister, value: u64) {
        use PmcgRegister as R;
        let bits = value & self.counter_mask();
        let counter = |state: &mut State, index: u8, change: &dyn Fn(&mut Counter)| {
            if let Some(counter) = state.counters.get_mut(usize::from(index)) {
                change(counter);
            }
        };
        let unguarded = !state.irq_control.irqen() && self.config.msi;
        let low = value as u32;
        match register {
            R::Counter(index) => {
                counter(state, index, &|counter| counter.value = value & self.value_mask());
            }
            R::EventType(index) => {
                counter(state, index, &|counter| counter.kind = event_type(low));
            }
            R::StreamMatch(index) => {
                counter(state, index, &|counter| counter.stream_match = low);
            }
            R::CounterEnableSet => state.enabled |= bits,
            R::CounterEnableClear => state.enabled &= !bits,
            R::InterruptEnableSet => state.interrupts |= bits,
            R::InterruptEnableClear => state.interrupts &= !bits,
            R::OverflowSet => state.overflows |= bits,
            R::OverflowClear => state.overflows &= !bits,
            R::Control => state.control.set_e(PmcgCr::from(low).e()),
            R::InterruptControl => state.irq_control.set_irqen(PmcgIrqCtrl::from(low).irqen()),
            R::InterruptAddress if unguarded => {
                state.irq_address.set_addr(PmcgIrqCfg0::from(value).addr());
            }
            R::InterruptData if unguarded => state.irq_data = low,
            R::InterruptAttributes if unguarded => {
                let written = PmcgIrqCfg2::from(low);
                state.irq_attributes.set_memattr(written.memattr());
                state.irq_attributes.set_sh(written.sh());
            }
            _ => {}
        }
        self.counting.store(state.control.e() && state.enabled != 0, Ordering::Relaxed);
    }

    fn register(&self, offset: u64, bytes: u8) -> Option<(PmcgRegister, u32, u8)> {
        let aligned = matches!(bytes, 4 | 8) && offset.is_multiple_of(bytes.into());
        let (register, at, width) = PmcgRegister::at(offset, self.config.counter_bits > 32)?;
        let fits = bytes <= width && (bytes == 4 || at == offset);
        (aligned && fits).then_some((register, (offset - at) as u32 * 8, width))
    }
}

/// A register of 32 bits as it is read.
fn word(register: impl Into<u32>) -> u64 {
    register.into().into()
}

/// What is kept of PMCG_EVTYPERn: capture and the Secure filter are not there.
fn event_type(written: u32) -> PmcgEvtyper {
    let written = PmcgEvtyper::from(written);
    PmcgEvtyper::new().with_event(written.event()).with_filter_sid_span(written.filter_sid_span())
}

impl Mmio for Pmcg {
    fn mmio_read(&self, offset: u64, bytes: u8) -> u64 {
        let Some((register, shift, _)) = self.register(offset, bytes) else { return 0 };
        let value = self.read(&self.state.lock(), register) >> shift;
        if bytes == 4 { value & 0xffff_ffff } else { value }
    }

    fn mmio_write(&self, offset: u64, bytes: u8, value: u64) {
        let Some((register, shift, width)) = self.register(offset, bytes) else { return };
        let state = &mut *self.state.lock();
        // Half of a register that is set or cleared bit by bit leaves the other half alone.
        let keeps = matches!(register, PmcgRegister::Counter(_) | PmcgRegister::InterruptAddress);
        let value = if bytes == 4 && width == 8 {
            let half = 0xffff_ffff_u64 << shift;
            let other = if keeps { self.read(state, register) & !half } else { 0 };
            other | value << shift & half
        } else {
            value
        };
        self.write(state, register, value);
    }
}

/// A port's observer with a counter group in front of it.
#[derive(Clone, Debug)]
pub struct Metered<O> {
    pmcg: Arc<Pmcg>,
    /// Whoever listens besides.
    pub inner: O,
    /// Whose transaction is in flight at the port.
    stream: Option<StreamId>,
}

impl<O> Metered<O> {
    /// `inner`, heard by `pmcg` as well.
    pub const fn new(pmcg: Arc<Pmcg>, inner: O) -> Self {
        Self { pmcg, inner, stream: None }
    }

    #[cold]
    fn count(&self, observation: &Observation) {
        let event = match *observation {
            Observation::Began(_) => PmcgEvent::Transaction,
            Observation::LookedUp { structure: Structure::MainTlb, hit: None, .. } => {
                PmcgEvent::TlbMiss
            }
            Observation::ConfigLookedUp { hit: false, .. } => PmcgEvent::ConfigMiss,
            Observation::Fetched { why, .. } if why.is_walk() => PmcgEvent::WalkAccess,
            Observation::Fetched { why, .. } if why.is_configuration() => PmcgEvent::ConfigAccess,
            Observation::AtsCompleted { .. } => PmcgEvent::AtsRequest,
            Observation::AtsTranslated { .. } => {
                self.pmcg.count(PmcgEvent::AtsTranslated, self.stream, 1);
                PmcgEvent::Transaction
            }
            _ => return,
        };
        self.pmcg.count(event, self.stream, 1);
    }
}

impl<O: Observer> Observer for Metered<O> {
    #[inline]
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        // Known before anything is counted: a counter may be enabled under a transaction.
        match *observation {
            Observation::Began(transaction) => self.stream = Some(transaction.stream),
            Observation::AtsBegan(stream) => self.stream = Some(stream),
            _ => {}
        }
        if self.pmcg.is_counting() {
            self.count(observation);
        }
        self.inner.observe(origin, observation);
    }
}
