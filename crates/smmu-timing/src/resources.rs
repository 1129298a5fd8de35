//! The resources of a machine.

use crate::account::per;
use crate::resource::{Pool, Server, Usage};
use crate::{Moment, Parameters};

/// What there is to queue for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// SMMUs.
    pub smmus: Vec<SmmuPlan>,
    /// Ports, of all SMMUs.
    pub ports: Vec<PortPlan>,
}

/// An SMMU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmmuPlan {
    /// Name.
    pub name: String,
    /// Whose its main TLB is.
    pub main_tlb: MainTlbPlace,
}

/// Whose a main TLB is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MainTlbPlace {
    /// All ports queue for it.
    Shared,
    /// Each port has its own.
    PerPort,
    /// There is none: who misses in a µTLB walks.
    Absent,
}

/// A port: a device behind an SMMU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortPlan {
    /// Name.
    pub name: String,
    /// Its SMMU: index into [`Plan::smmus`].
    pub smmu: usize,
}

/// A resource at the end of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct ResourceFigures {
    /// Name.
    pub name: String,
    /// Slots.
    pub slots: u64,
    /// What it has done.
    pub usage: Usage,
    /// Time that passed.
    pub elapsed: Moment,
    /// Its slots are held, for as long as their holders need; else each is taken for a fixed time.
    pub is_pool: bool,
    /// Slots that are held now; pools only.
    pub taken: u64,
    /// How many wait for a slot now; pools only.
    pub waiting: u64,
}

impl ResourceFigures {
    /// Part of its slots that were taken, on average, 0 to 1.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        per(self.usage.busy.0 as f64, self.elapsed) / self.slots as f64
    }

    /// How many waited for it, on average (Little: rate times wait).
    #[must_use]
    pub fn queue_length(&self) -> f64 {
        per(self.usage.wait.0 as f64, self.elapsed)
    }
}

/// A server, by its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ServerId(u32);

/// A pool, by its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PoolId(pub(crate) u32);

/// What the transactions of a port use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortResources {
    pub(crate) smmu: usize,
    pub(crate) utlb: ServerId,
    pub(crate) tlb: ServerId,
    pub(crate) bus: ServerId,
    /// Who misses there walks.
    pub(crate) misses_in_utlb: bool,
}

/// What all of an SMMU uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SmmuResources {
    pub(crate) to_smmu: ServerId,
    pub(crate) to_ifc: ServerId,
    pub(crate) xlate: PoolId,
    pub(crate) cfg: ServerId,
    pub(crate) cfg_fetch: PoolId,
    pub(crate) walk: ServerId,
    pub(crate) ptw: PoolId,
    pub(crate) inv: PoolId,
}

#[derive(Clone, Debug)]
pub(crate) struct Resources {
    servers: Vec<(String, Server)>,
    pools: Vec<(String, Pool)>,
    pub(crate) ports: Vec<PortResources>,
    pub(crate) smmus: Vec<SmmuResources>,
    pub(crate) memory: ServerId,
    pub(crate) memory_slots: PoolId,
}

impl Resources {
    pub(crate) fn new(parameters: &Parameters, plan: &Plan) -> Self {
        let (memory, memory_slots) = (ServerId(0), PoolId(0));
        let mut all = Self {
            servers: Vec::new(),
            pools: Vec::new(),
            ports: Vec::new(),
            smmus: Vec::new(),
            memory,
            memory_slots,
        };
        all.server("memory", "channel", 1);
        all.pool("memory", "accesses", parameters.mem_slots);
        for smmu in &plan.smmus {
            let resources = all.smmu(&smmu.name, parameters);
            all.smmus.push(resources);
        }
        let mut shared = vec![None; plan.smmus.len()];
        for port in &plan.ports {
            let smmu = &plan.smmus[port.smmu];
            let own = smmu.main_tlb == MainTlbPlace::PerPort;
            let tlb = if own {
                all.server(&port.name, "main TLB", parameters.tlb_slots)
            } else {
                let new = || all.server(&smmu.name, "main TLB", parameters.tlb_slots);
                *shared[port.smmu].get_or_insert_with(new)
            };
            let resources = PortResources {
                smmu: port.smmu,
                utlb: all.server(&port.name, "µTLB", parameters.utlb_slots),
                tlb,
                bus: all.server(&port.name, "data", 1),
                misses_in_utlb: smmu.main_tlb == MainTlbPlace::Absent,
            };
            all.ports.push(resources);
        }
        all
    }

    fn smmu(&mut self, name: &str, parameters: &Parameters) -> SmmuResources {
        SmmuResources {
            to_smmu: self.server(name, "link to the shared part", 1),
            to_ifc: self.server(name, "link to the ports", 1),
            xlate: self.pool(name, "translations", parameters.xlate_slots),
            cfg: self.server(name, "configuration look-ups", parameters.cfg_slots),
            cfg_fetch: self.pool(name, "configuration fetches", parameters.cfg_fetch_slots),
            walk: self.server(name, "walk cache look-ups", parameters.walk_slots),
            ptw: self.pool(name, "walks", parameters.ptw_slots),
            inv: self.pool(name, "invalidations", parameters.inv_slots),
        }
    }

    fn server(&mut self, of: &str, what: &str, slots: u32) -> ServerId {
        self.servers.push((format!("{of}: {what}"), Server::new(slots)));
        ServerId(self.servers.len() as u32 - 1)
    }

    fn pool(&mut self, of: &str, what: &str, slots: u32) -> PoolId {
        self.pools.push((format!("{of}: {what}"), Pool::new(slots)));
        PoolId(self.pools.len() as u32 - 1)
    }

    pub(crate) fn server_mut(&mut self, id: ServerId) -> &mut Server {
        &mut self.servers[id.0 as usize].1
    }

    pub(crate) fn pool_mut(&mut self, id: PoolId) -> &mut Pool {
        &mut self.pools[id.0 as usize].1
    }

    pub(crate) fn server_name(&self, id: ServerId) -> &str {
        &self.servers[id.0 as usize].0
    }

    pub(crate) fn pool_name(&self, id: PoolId) -> &str {
        &self.pools[id.0 as usize].0
    }

    /// Those that were ever used, in the order of the plan.
    pub(crate) fn restart_counts(&mut self, now: Moment) {
        self.servers.iter_mut().for_each(|(_, server)| server.usage = Usage::default());
        self.pools.iter_mut().for_each(|(_, pool)| pool.restart_counts(now));
    }

    pub(crate) fn figures(&self, now: Moment, elapsed: Moment) -> Vec<ResourceFigures> {
        let pools = self.pools.iter().map(|(name, pool)| ResourceFigures {
            name: name.clone(),
            slots: pool.slots(),
            usage: pool.usage(now),
            elapsed,
            is_pool: true,
            taken: pool.taken(),
            waiting: pool.waiting(),
        });
        let servers = self.servers.iter().map(|(name, server)| ResourceFigures {
            name: name.clone(),
            slots: server.slots(),
            usage: server.usage,
            elapsed,
            is_pool: false,
            taken: 0,
            waiting: 0,
        });
        pools.chain(servers).filter(|one| one.usage.arrivals > 0).collect()
    }
}
