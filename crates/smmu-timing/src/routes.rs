//! What each request costs: the way that it takes through the resources.
//!
//! This is all of the model that depends on what an SMMU is. Its choices are listed in the book.

use crate::account::Part;
use crate::actors::{Asked, Site, Stage};
use crate::parameters::LINE_BYTES;
use crate::resources::{PortResources, SmmuResources};
use crate::{Handle, Moment, Role, Timing};
use smmu_arch::{ConfigKey, Pa, Structure, TlbKey, Why};
use smmu_bus::{Answer, Message, Request};

/// log2 of the smallest page: misses of one page are merged.
const PAGE_LOG2: u32 = 12;

impl Timing {
    /// An actor asks. `true`: the request takes effect now; else [`Timing::next`] says when.
    ///
    /// `bytes` are those of the data access of a master, 0 for all else; `since_ns` is when its
    /// transaction arrived, if it had to wait for the master to take it up.
    pub fn ask(&mut self, actor: Handle, request: &Request, bytes: u64, since_ns: u64) -> bool {
        let record = self.actors.get(actor);
        record.asked = Asked::Other;
        let role = record.role;
        let mut route = std::mem::take(&mut record.route);
        route.clear();
        match role {
            Role::Cpu => self.cpu_asks(request, &mut route),
            Role::Master { port, .. } => {
                self.master_asks(actor, port, request, (bytes, since_ns), &mut route);
            }
            Role::Translation { port, .. } => {
                let port = self.resources.ports[port];
                self.translation_asks(actor, port, request, &mut route);
            }
            Role::Work { smmu } => self.work_asks(smmu, request, &mut route),
            Role::Stalled { .. } | Role::Endpoint | Role::Sync => route.push(Stage::Serve),
        }
        self.actors.get(actor).route = route;
        self.set_out(actor)
    }

    /// What the answer to a request adds to its way.
    pub(crate) fn route_back(&mut self, actor: Handle, answer: &Answer) {
        let record = self.actors.get(actor);
        let asked = record.asked;
        let Role::Translation { port, .. } = record.role else {
            if asked == Asked::End {
                self.end_transaction(actor);
            }
            return;
        };
        match (asked, answer) {
            (Asked::Configuration, Answer::Configuration(None)) => {
                let smmu = self.resources.smmus[self.resources.ports[port].smmu];
                let mut route = std::mem::take(&mut self.actors.get(actor).route);
                self.cross(actor, &smmu, &mut route);
                self.actors.get(actor).route = route;
            }
            (Asked::LookUp, Answer::Hit(None)) => self.begin_walking(actor),
            (Asked::Fill, _) => {
                self.stop_walking(actor);
                self.add_way_home(actor);
            }
            _ => {}
        }
    }

    /// A translation goes back to its port.
    pub(crate) fn route_home(&mut self, actor: Handle) {
        let record = self.actors.get(actor);
        record.route.clear();
        record.at = 0;
        self.add_way_home(actor);
    }

    fn add_way_home(&mut self, actor: Handle) {
        let record = self.actors.get(actor);
        let Role::Translation { port, .. } = record.role else { return };
        let port = self.resources.ports[port];
        let (site, held) = (record.site, record.held.clone());
        let link = self.resources.smmus[port.smmu].to_ifc;
        let (service, latency) = self.link(self.parameters.smmu_ifc_lat);
        let route = &mut self.actors.get(actor).route;
        route.extend(held.into_iter().map(Stage::Give));
        if site == Site::Shared {
            let part = Part::Link;
            route.push(Stage::Use { server: link, service, latency, part });
            route.push(Stage::At(Site::Port));
        }
    }

    /// How long it takes an actor to notice that it may go on.
    pub(crate) fn notice(&self, role: Role) -> Moment {
        match role {
            Role::Cpu => Moment::from_ns(self.parameters.cpu_lock_ns.into()),
            Role::Work { .. } => self.parameters.cycles(self.parameters.sync_lat),
            Role::Endpoint => Moment::from_ns(self.parameters.atc_lat_ns.into()),
            _ => Moment(0),
        }
    }

    fn link(&self, latency: u32) -> (Moment, Moment) {
        (self.parameters.cycles(self.parameters.link_gap), self.parameters.cycles(latency))
    }

    /// From the port to the shared part, where configuration is looked up once.
    fn cross(&mut self, actor: Handle, smmu: &SmmuResources, route: &mut Vec<Stage>) {
        let (service, latency) = self.link(self.parameters.ifc_smmu_lat);
        let lookup = self.parameters.cycles(self.parameters.cfg_lat);
        let record = self.actors.get(actor);
        if record.site == Site::Port {
            route.push(Stage::Use { server: smmu.to_smmu, service, latency, part: Part::Link });
            route.push(Stage::Take(smmu.xlate));
            route.push(Stage::At(Site::Shared));
        }
        if !std::mem::replace(&mut record.configured, true) {
            route.push(use_of(smmu.cfg, lookup, Part::Configuration));
        }
    }

    fn translation_asks(
        &mut self,
        actor: Handle,
        port: PortResources,
        request: &Request,
        route: &mut Vec<Stage>,
    ) {
        let smmu = self.resources.smmus[port.smmu];
        match *request {
            Request::LookUpConfig { .. } => self.actors.get(actor).asked = Asked::Configuration,
            Request::Read { pa, why, .. } if why.is_configuration() => {
                self.cross(actor, &smmu, route);
                if !self.actors.get(actor).holds(smmu.cfg_fetch) {
                    route.push(Stage::Take(smmu.cfg_fetch));
                }
                return self.walk_access(pa, Part::Configuration, route);
            }
            Request::Read { pa, .. } | Request::CompareAndSwap { pa, .. } => {
                let part = self.enter_walk(actor, &smmu, route);
                return self.walk_access(pa, part, route);
            }
            Request::LookUpWalk { .. } => {
                let part = self.enter_walk(actor, &smmu, route);
                let lookup = self.parameters.cycles(self.parameters.walk_lat);
                route.push(use_of(smmu.walk, lookup, part));
            }
            Request::FillConfig { ref entry, .. } if matches!(entry.key, ConfigKey::Cd(..)) => {
                self.end_configuration(actor, &smmu, route);
            }
            Request::LookUp { structure, key } => {
                self.end_configuration(actor, &smmu, route);
                self.look_up(actor, port, (structure, key), route);
            }
            Request::Fill { .. } => self.actors.get(actor).asked = Asked::Fill,
            _ => {}
        }
        route.push(Stage::Serve);
    }

    fn look_up(
        &mut self,
        actor: Handle,
        port: PortResources,
        (structure, key): (Structure, TlbKey),
        route: &mut Vec<Stage>,
    ) {
        let micro = structure == Structure::MicroTlb;
        let (server, latency) = match micro {
            true => (port.utlb, self.parameters.utlb_lat),
            false => (port.tlb, self.parameters.tlb_lat),
        };
        route.push(use_of(server, self.parameters.cycles(latency), Part::LookUp));
        if micro == port.misses_in_utlb {
            let record = self.actors.get(actor);
            record.asked = Asked::LookUp;
            record.page = Some((port.smmu, key.space, key.input >> PAGE_LOG2));
        }
    }

    /// Walks go on in the shared part, and hold a walk slot. One for the address of a CD is part of
    /// the fetch of configuration: whoever waited for a walk slot there, and for a fetch slot with a
    /// walk slot, could wait for ever.
    fn enter_walk(&mut self, actor: Handle, smmu: &SmmuResources, route: &mut Vec<Stage>) -> Part {
        if self.actors.get(actor).holds(smmu.cfg_fetch) {
            return Part::Configuration;
        }
        self.cross(actor, smmu, route);
        if !self.actors.get(actor).holds(smmu.ptw) {
            route.push(Stage::Take(smmu.ptw));
        }
        Part::Walk
    }

    /// Who has its CD, or asks for translations, has fetched all configuration.
    fn end_configuration(&mut self, actor: Handle, smmu: &SmmuResources, route: &mut Vec<Stage>) {
        if self.actors.get(actor).holds(smmu.cfg_fetch) {
            route.push(Stage::Give(smmu.cfg_fetch));
        }
    }

    /// A fetch of the SMMU: through the last-level cache, where there is one.
    fn walk_access(&mut self, pa: Pa, part: Part, route: &mut Vec<Stage>) {
        if self.last_level.as_mut().is_some_and(|last_level| last_level.refer(pa)) {
            let hit = Moment::from_ns(self.parameters.llc_lat_ns.into());
            return route.extend([Stage::Pass(hit, part), Stage::Serve]);
        }
        self.memory_access(LINE_BYTES, part, route);
    }

    /// An access to memory, which takes effect at its end.
    fn memory_access(&self, bytes: u64, part: Part, route: &mut Vec<Stage>) {
        let slots = self.resources.memory_slots;
        let latency = Moment::from_ns(self.parameters.mem_lat_ns.into());
        route.push(Stage::Take(slots));
        route.push(use_of(self.resources.memory, self.parameters.transfer(bytes), part));
        route.extend([Stage::Pass(latency, part), Stage::Serve, Stage::Give(slots)]);
    }

    fn work_asks(&mut self, smmu: usize, request: &Request, route: &mut Vec<Stage>) {
        let smmu = self.resources.smmus[smmu];
        let none = Part::Queue; // no transaction pays
        match *request {
            Request::Read { why: Why::Command, .. } => {
                self.memory_access(LINE_BYTES, none, route);
                let execution = self.parameters.cycles(self.parameters.cmd_lat);
                return route.push(Stage::Pass(execution, none));
            }
            Request::Read { pa, .. } => return self.walk_access(pa, none, route),
            Request::Write { .. } | Request::CompareAndSwap { .. } => {
                return self.memory_access(LINE_BYTES, none, route);
            }
            Request::LookUpWalk { .. } => {
                let lookup = self.parameters.cycles(self.parameters.walk_lat);
                route.push(use_of(smmu.walk, lookup, none));
            }
            Request::Forget { .. } | Request::ForgetConfig { .. } => {
                return self.invalidation(&smmu, route);
            }
            Request::Send { message, .. } => {
                let ns = match message {
                    Message::InvalidateAtc(_) | Message::PageResponse(_) => {
                        self.parameters.atc_lat_ns
                    }
                    _ => self.parameters.irq_lat_ns,
                };
                route.push(Stage::Pass(Moment::from_ns(ns.into()), none));
            }
            _ => {}
        }
        route.push(Stage::Serve);
    }

    /// A message to the ports, the search of their structures, and their acknowledgement.
    fn invalidation(&self, smmu: &SmmuResources, route: &mut Vec<Stage>) {
        let none = Part::Queue;
        let (gap, to_ports) = self.link(self.parameters.smmu_ifc_lat);
        let (_, back) = self.link(self.parameters.ifc_smmu_lat);
        let search = self.parameters.cycles(self.parameters.inv_lat);
        let message = |server, latency| Stage::Use { server, service: gap, latency, part: none };
        route.extend([
            Stage::Take(smmu.inv),
            message(smmu.to_ifc, to_ports),
            Stage::Pass(search, none),
            Stage::Serve,
            message(smmu.to_smmu, back),
            Stage::Give(smmu.inv),
        ]);
    }

    fn master_asks(
        &mut self,
        master: Handle,
        port: usize,
        request: &Request,
        (bytes, since_ns): (u64, u64),
        route: &mut Vec<Stage>,
    ) {
        let device = Moment::from_ns(self.parameters.device_lat_ns.into());
        let way = Stage::Pass(device, Part::Link);
        match *request {
            Request::Send { message: Message::End, .. } => {
                self.actors.get(master).asked = Asked::End;
                route.push(Stage::Serve);
            }
            Request::Send { message, .. } => {
                let asks = matches!(message, Message::TranslationRequest(_));
                self.take_up(master, asks, since_ns);
                route.extend([way, Stage::Serve]);
                if asks {
                    route.push(way); // the completion
                }
            }
            Request::Read { .. } | Request::Write { .. } => {
                if let Some(transaction) = &mut self.actors.get(master).transaction {
                    transaction.bytes = bytes;
                }
                let bus = self.resources.ports[port].bus;
                route.push(use_of(bus, self.parameters.beats(bytes), Part::Memory));
                self.memory_access(bytes, Part::Memory, route);
                if matches!(request, Request::Read { .. }) {
                    route.push(way); // the data; writes are posted
                }
            }
            _ => route.push(Stage::Serve),
        }
    }

    /// A transaction begins, unless it goes on from the completion of its own Translation Request.
    /// A request that led to nothing has ended where the next one begins.
    fn take_up(&mut self, master: Handle, asks: bool, since_ns: u64) {
        if self.actors.get(master).transaction.is_some() {
            if !asks {
                return;
            }
            self.end_transaction(master);
        }
        let since = if since_ns == 0 { self.now() } else { Moment::from_ns(since_ns) };
        self.begin_transaction(master, since);
    }

    fn cpu_asks(&mut self, request: &Request, route: &mut Vec<Stage>) {
        let p = &self.parameters;
        let ns = match *request {
            Request::Read { .. } => p.cpu_load_ns,
            Request::Write { .. } => p.cpu_store_ns,
            Request::CompareAndSwap { pa, .. } => {
                route.push(Stage::Pass(self.own_line(pa), Part::Queue));
                return route.push(Stage::Serve);
            }
            Request::MmioRead { .. } => p.mmio_read_ns,
            Request::MmioWrite { .. } => p.mmio_write_ns,
            Request::Barrier => p.cpu_barrier_ns,
            Request::Unlock(_) => p.cpu_lock_ns,
            Request::Send { message: Message::Tlbi(_), .. } => p.cpu_tlbi_ns,
            _ => 0,
        };
        route.extend([Stage::Pass(Moment::from_ns(ns.into()), Part::Queue), Stage::Serve]);
    }

    /// How long a CPU needs to have the line of a word for itself, and to replace the word.
    fn own_line(&mut self, pa: Pa) -> Moment {
        let now = self.now();
        let cas = Moment::from_ns(self.parameters.cpu_cas_ns.into());
        let free_at = self.lines.entry(pa.0 / LINE_BYTES).or_default();
        *free_at = now.max(*free_at) + cas;
        *free_at - now
    }
}

fn use_of(server: crate::resources::ServerId, time: Moment, part: Part) -> Stage {
    Stage::Use { server, service: time, latency: time, part }
}
