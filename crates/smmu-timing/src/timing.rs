//! The model: actors on their way through resources.

use crate::account::{Part, PortFigures};
use crate::actors::{Actors, Asked, Page, Site, Stage, Transaction};
use crate::events::EventQueue;
use crate::last_level::LastLevel;
use crate::resources::{Plan, PoolId, ResourceFigures, Resources};
use crate::trace::Trace;
use crate::{Moment, Parameters};
use rustc_hash::FxHashMap;
use smmu_bus::Answer;

/// An actor, as the model knows it. Handles are used again when their actors have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle(pub(crate) u32);

/// What an actor is, as far as time is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A CPU.
    Cpu,
    /// One of those that make the transactions of a port.
    Master {
        /// Port: index into [`Plan::ports`].
        port: usize,
        /// Which of them, from 0.
        lane: usize,
    },
    /// The translation of a master's transaction.
    Translation {
        /// Port: index into [`Plan::ports`].
        port: usize,
        /// The master.
        master: Handle,
    },
    /// A transaction of a master that the SMMU holds.
    Stalled {
        /// The master.
        master: Handle,
    },
    /// Background work of an SMMU.
    Work {
        /// SMMU: index into [`Plan::smmus`].
        smmu: usize,
    },
    /// An endpoint that was asked to forget.
    Endpoint,
    /// The part of an SMMU in a DSB.
    Sync,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// The request of the actor of this number takes effect: answer it, and say so by
    /// [`Timing::answered`] when there is an answer.
    Serve(u64),
    /// The actor of this number takes its next step.
    Step(u64),
}

/// When the steps of a machine happen.
#[derive(Clone, Debug)]
pub struct Timing {
    pub(crate) parameters: Parameters,
    now: Moment,
    counted_since: Moment,
    events: EventQueue,
    /// Whose step is due now, if that was known without the event queue.
    due: Option<Handle>,
    pub(crate) actors: Actors,
    pub(crate) resources: Resources,
    pub(crate) last_level: Option<LastLevel>,
    /// Pages that are being walked for, and who waits for each.
    walks: FxHashMap<Page, Vec<Handle>>,
    /// When the line of a word that CPUs replace is free again.
    pub(crate) lines: FxHashMap<u64, Moment>,
    ports: Vec<PortFigures>,
    port_names: Vec<String>,
    trace: Option<Trace>,
}

/// How far an actor came.
enum Way {
    /// Something is to happen first.
    Waits,
    /// Its request takes effect.
    Serves,
    /// It is at the end of its way.
    Over,
}

impl Timing {
    /// Nothing has happened yet.
    ///
    /// # Panics
    /// If the parameters are [impossible](Parameters::impossible), or a port of the plan has no
    /// SMMU.
    #[must_use]
    pub fn new(parameters: &Parameters, plan: &Plan) -> Self {
        Self {
            parameters: *parameters,
            now: Moment(0),
            counted_since: Moment(0),
            events: EventQueue::default(),
            due: None,
            actors: Actors::default(),
            resources: Resources::new(parameters, plan),
            last_level: LastLevel::new(parameters),
            walks: FxHashMap::default(),
            lines: FxHashMap::default(),
            ports: vec![PortFigures::default(); plan.ports.len()],
            port_names: plan.ports.iter().map(|port| port.name.clone()).collect(),
            trace: None,
        }
    }

    /// From now on everything is written down.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// What was written down.
    pub fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take()
    }

    /// Now.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// Its parameters.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The transactions of each port that have ended since counting began.
    #[must_use]
    pub fn ports(&self) -> &[PortFigures] {
        &self.ports
    }

    /// What each resource has done since counting began; those that were never used are left out.
    #[must_use]
    pub fn resources(&self) -> Vec<ResourceFigures> {
        self.resources.figures(self.now, self.counted())
    }

    /// What was counted up to now is forgotten; what is under way goes on.
    pub fn restart_counts(&mut self) {
        self.counted_since = self.now;
        self.resources.restart_counts(self.now);
        self.ports.fill_with(PortFigures::default);
    }

    /// Time since counting began.
    #[must_use]
    pub fn counted(&self) -> Moment {
        self.now - self.counted_since
    }

    /// Events so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events.scheduled()
    }

    /// An actor begins; its first step is due now. Numbers grow from one to the next.
    pub fn start(&mut self, number: u64, role: Role) -> Handle {
        let handle = self.actors.insert(number, role, self.now);
        self.events.schedule(self.now, number, handle.0);
        handle
    }

    /// An actor begins by waiting for a condition.
    pub fn start_waiting(&mut self, number: u64, role: Role) -> Handle {
        self.actors.insert(number, role, self.now)
    }

    /// An actor is no more.
    pub fn end(&mut self, handle: Handle) {
        self.stop_walking(handle);
        while let Some(pool) = self.actors.get(handle).held.pop() {
            self.give(pool);
        }
        self.actors.remove(handle);
    }

    /// A request was answered: its actor goes on its way.
    pub fn answered(&mut self, handle: Handle, answer: &Answer) {
        self.route_back(handle, answer);
        self.go_on(handle);
    }

    /// What a translation came to is known. `true`: its master may be told now; else the next step
    /// of the translation says when.
    pub fn translated(&mut self, handle: Handle) -> bool {
        self.stop_walking(handle);
        if self.actors.get(handle).site == Site::Port && self.actors.get(handle).held.is_empty() {
            return true;
        }
        self.route_home(handle);
        self.go_on(handle);
        false
    }

    /// An actor waits for a condition from now on.
    pub fn waits(&mut self, handle: Handle) {
        self.actors.get(handle).waits_since = self.now;
    }

    /// An actor waits for a moment: its next step is due then, or now.
    pub fn waits_until(&mut self, handle: Handle, ns: u64) {
        let number = self.actors.get(handle).number;
        self.events.schedule(self.now.max(Moment::from_ns(ns)), number, handle.0);
    }

    /// What an actor waited for is so: its next step is due as soon as it has noticed.
    pub fn resume(&mut self, handle: Handle) {
        let record = self.actors.get(handle);
        let (role, since) = (record.role, record.waits_since);
        record.route.clear();
        record.at = 0;
        if let Role::Stalled { .. } = role {
            self.charge(handle, Part::Stall, self.now - since);
        }
        let notice = self.notice(role);
        self.actors.get(handle).route.push(Stage::Pass(notice, Part::Queue));
        self.go_on(handle);
    }

    /// The next thing that is due; virtual time goes to its moment. `None` when nothing is.
    // Not an iterator: others change the model between two calls.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Due> {
        if let Some(handle) = self.due.take() {
            let number = self.actors.get(handle).number;
            if self.events.is_next(self.now, number) {
                return Some(Due::Step(number));
            }
            self.schedule(handle, Moment(0));
        }
        while let Some(event) = self.events.next() {
            self.now = event.at;
            match self.advance(Handle(event.place)) {
                Way::Waits => {}
                Way::Serves => return Some(Due::Serve(event.actor)),
                Way::Over => return Some(Due::Step(event.actor)),
            }
        }
        None
    }

    /// A request begins its way. `true`: it takes effect now.
    pub(crate) fn set_out(&mut self, handle: Handle) -> bool {
        self.actors.get(handle).at = 0;
        match self.advance(handle) {
            Way::Serves => true,
            Way::Waits => false,
            Way::Over => unreachable!("a request takes effect on its way"),
        }
    }

    /// After an answer: the step comes in its turn.
    fn go_on(&mut self, handle: Handle) {
        match self.advance(handle) {
            Way::Waits => {}
            Way::Serves => unreachable!("a request takes effect once"),
            Way::Over if self.due.is_none() => self.due = Some(handle),
            Way::Over => self.schedule(handle, Moment(0)),
        }
    }

    fn advance(&mut self, handle: Handle) -> Way {
        loop {
            let record = self.actors.get(handle);
            let Some(&stage) = record.route.get(record.at) else {
                return Way::Over;
            };
            record.at += 1;
            match stage {
                Stage::Serve => {
                    let parked = self.waits_for_a_walk(handle);
                    return if parked { Way::Waits } else { Way::Serves };
                }
                Stage::At(site) => record.site = site,
                Stage::Give(pool) => {
                    record.held.retain(|held| *held != pool);
                    self.give(pool);
                }
                Stage::Take(pool) => {
                    record.held.push(pool);
                    if !self.resources.pool_mut(pool).take(self.now, handle.0) {
                        return Way::Waits;
                    }
                    self.trace_pool(pool);
                }
                Stage::Pass(Moment(0), _) => {}
                Stage::Pass(time, part) => return self.pass(handle, time, part),
                Stage::Use { server, service, latency, part } => {
                    let (start, slot) = self.resources.server_mut(server).serve(self.now, service);
                    let wait = start - self.now;
                    if let Some(trace) = &mut self.trace {
                        let name = self.resources.server_name(server);
                        trace.slice(name, slot, part.name(), start, start + service);
                    }
                    self.charge(handle, Part::Queue, wait);
                    if wait + latency > Moment(0) {
                        self.charge(handle, part, latency);
                        self.schedule(handle, wait + latency);
                        return Way::Waits;
                    }
                }
            }
        }
    }

    fn pass(&mut self, handle: Handle, time: Moment, part: Part) -> Way {
        self.charge(handle, part, time);
        self.schedule(handle, time);
        Way::Waits
    }

    fn schedule(&mut self, handle: Handle, after: Moment) {
        let number = self.actors.get(handle).number;
        self.events.schedule(self.now + after, number, handle.0);
    }

    fn give(&mut self, pool: PoolId) {
        let next = self.resources.pool_mut(pool).give_back(self.now);
        self.trace_pool(pool);
        if let Some((waiting, wait)) = next {
            self.charge(Handle(waiting), Part::Queue, wait);
            self.schedule(Handle(waiting), Moment(0));
        }
    }

    /// Time that a transaction spent goes to its account.
    fn charge(&mut self, handle: Handle, part: Part, time: Moment) {
        let record = self.actors.get(handle);
        let payer = match record.role {
            Role::Translation { master, .. } | Role::Stalled { master } => self.actors.get(master),
            _ => record,
        };
        if let Some(transaction) = &mut payer.transaction {
            transaction.split.add(part, time);
        }
    }

    /// Whether the page of a look-up is being walked for by another: then it is parked.
    fn waits_for_a_walk(&mut self, handle: Handle) -> bool {
        let record = self.actors.get(handle);
        if record.asked != Asked::LookUp || !self.parameters.merge_misses {
            return false;
        }
        let Some(waiting) = record.page.and_then(|page| self.walks.get_mut(&page)) else {
            return false;
        };
        waiting.push(handle);
        let now = self.now;
        let record = self.actors.get(handle);
        record.at -= 1;
        record.waits_since = now;
        true
    }

    /// A look-up has found nothing: a walk for the page begins.
    pub(crate) fn begin_walking(&mut self, handle: Handle) {
        let record = self.actors.get(handle);
        let Some(page) = record.page.filter(|_| !record.walks) else { return };
        record.walks = true;
        self.walks.entry(page).or_default();
    }

    /// The walk is over: those who wait for its page look it up.
    pub(crate) fn stop_walking(&mut self, handle: Handle) {
        let record = self.actors.get(handle);
        if !std::mem::take(&mut record.walks) {
            return;
        }
        let waiting = record.page.and_then(|page| self.walks.remove(&page));
        for waiting in waiting.into_iter().flatten() {
            let since = self.actors.get(waiting).waits_since;
            self.charge(waiting, Part::Queue, self.now - since);
            self.schedule(waiting, Moment(0));
        }
    }

    /// A transaction of a master has arrived at `since`, and is taken up now.
    pub(crate) fn begin_transaction(&mut self, master: Handle, since: Moment) {
        let begun = since.min(self.now);
        let mut split = crate::account::Split::default();
        split.add(Part::Queue, self.now - begun);
        self.actors.get(master).transaction = Some(Transaction { begun, split, bytes: 0 });
    }

    /// The transaction of a master has ended.
    pub(crate) fn end_transaction(&mut self, master: Handle) {
        let record = self.actors.get(master);
        let Role::Master { port, lane } = record.role else { return };
        let Some(ended) = record.transaction.take() else { return };
        self.ports[port].ended(ended.begun, self.now, &ended.split, ended.bytes);
        if let Some(trace) = &mut self.trace {
            let track = format!("{}: transactions", self.port_names[port]);
            trace.transaction(&track, lane, &ended, self.now);
        }
    }

    fn trace_pool(&mut self, pool: PoolId) {
        if let Some(trace) = &mut self.trace {
            let taken = self.resources.pool_mut(pool).taken();
            trace.count(self.resources.pool_name(pool), taken, self.now);
        }
    }
}
