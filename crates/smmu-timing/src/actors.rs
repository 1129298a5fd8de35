//! What is known of each actor that is under way.

use crate::account::{Part, Split};
use crate::resources::{PoolId, ServerId};
use crate::timing::Role;
use crate::{Handle, Moment};
use smmu_arch::AddressSpace;

/// One thing on the way of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Time passes.
    Pass(Moment, Part),
    /// A server is used: it is taken for `service`, and the actor goes on after `latency`.
    Use { server: ServerId, service: Moment, latency: Moment, part: Part },
    /// A slot of a pool is taken and kept.
    Take(PoolId),
    /// A slot is given back.
    Give(PoolId),
    /// The actor is in the shared part from here on, or back at its port.
    At(Site),
    /// The request takes effect.
    Serve,
}

/// Where a translation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Site {
    /// At its port (TBU).
    Port,
    /// In the shared part (TCU).
    Shared,
}

/// A page of an address space of an SMMU.
pub(crate) type Page = (usize, AddressSpace, u64);

/// An actor.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) role: Role,
    pub(crate) route: Vec<Stage>,
    /// The next stage of the route.
    pub(crate) at: usize,
    pub(crate) held: Vec<PoolId>,
    pub(crate) site: Site,
    /// The shared part has looked its configuration up.
    pub(crate) configured: bool,
    /// What was looked up last; a walk that begins is for it.
    pub(crate) page: Option<Page>,
    /// Others wait for its walk, or may.
    pub(crate) walks: bool,
    /// What is asked has effect on the route once it is answered.
    pub(crate) asked: Asked,
    /// Since when it waits for a condition.
    pub(crate) waits_since: Moment,
    pub(crate) transaction: Option<Transaction>,
}

/// Requests after whose answer more happens than going on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Configuration,
    LookUp,
    Fill,
    End,
    Other,
}

/// The transaction that a master has under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) begun: Moment,
    pub(crate) split: Split,
    pub(crate) bytes: u64,
}

impl Record {
    pub(crate) fn new(number: u64, role: Role, now: Moment) -> Self {
        Self {
            number,
            role,
            route: Vec::new(),
            at: 0,
            held: Vec::new(),
            site: if matches!(role, Role::Translation { .. }) { Site::Port } else { Site::Shared },
            configured: false,
            page: None,
            walks: false,
            asked: Asked::Other,
            waits_since: now,
            transaction: None,
        }
    }

    pub(crate) fn holds(&self, pool: PoolId) -> bool {
        self.held.contains(&pool)
    }
}

/// Records by handle; places are used again.
#[derive(Clone, Default, Debug)]
pub(crate) struct Actors {
    records: Vec<Record>,
    free: Vec<Handle>,
}

impl Actors {
    pub(crate) fn insert(&mut self, number: u64, role: Role, now: Moment) -> Handle {
        let Some(handle) = self.free.pop() else {
            self.records.push(Record::new(number, role, now));
            return Handle(self.records.len() as u32 - 1);
        };
        // The lists keep the room that they have.
        let old = &mut self.records[handle.0 as usize];
        let (mut route, mut held) = (std::mem::take(&mut old.route), std::mem::take(&mut old.held));
        route.clear();
        held.clear();
        *old = Record { route, held, ..Record::new(number, role, now) };
        handle
    }

    pub(crate) fn remove(&mut self, handle: Handle) {
        self.free.push(handle);
    }

    #[inline]
    pub(crate) fn get(&mut self, handle: Handle) -> &mut Record {
        &mut self.records[handle.0 as usize]
    }
}
