//! The invalidations that were seen, in their order.

use super::Moment;
use super::remembered::Remembered;
use smmu_arch::{
    AsidMatch, CommandQueueId, ConfigScope, Epoch, Invalidation, Maintenance, Stages, TlbScope,
    VmidMatch, Worlds,
};
use std::collections::VecDeque;
use std::fmt;

/// An invalidation that took effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Effect {
    pub at: Moment,
    pub scope: Invalidation,
    pub dropped: u32,
    pub by: Maintenance,
    /// Epoch of the SMMU from which on it holds.
    pub epoch: Epoch,
    /// When a CMD_SYNC behind it completed, or a DSB behind a broadcast.
    pub completed: Option<Moment>,
}

/// The invalidations of one SMMU in their order.
#[derive(Debug, Default)]
pub(super) struct Commands {
    effects: VecDeque<Effect>,
    /// Effects at the end, from the first on that is not complete yet.
    open: usize,
}

impl Commands {
    /// Invalidations that are kept.
    const KEPT: usize = 1 << 16;

    pub(super) fn invalidated(&mut self, effect: Effect) {
        if self.effects.len() == Self::KEPT {
            self.effects.pop_front();
            self.open = self.open.min(self.effects.len());
        }
        self.effects.push_back(effect);
        self.open += 1;
    }

    /// A CMD_SYNC completes every command before it in its own queue, for later ones of the queue
    /// do not start before.
    pub(super) fn synchronised(&mut self, at: Moment, queue: CommandQueueId) {
        self.complete_all(at, |effect| effect.by == Maintenance::Command(queue));
    }

    /// A DSB that began at `epoch` completes the broadcasts of any PE that held then. Those that
    /// came while it waited are for the next one.
    pub(super) fn broadcast_synchronised(&mut self, at: Moment, epoch: Epoch) {
        self.complete_all(at, |effect| {
            effect.by == Maintenance::Broadcast && effect.epoch <= epoch
        });
    }

    fn complete_all(&mut self, at: Moment, completes: impl Fn(&Effect) -> bool) {
        let first = self.effects.len() - self.open;
        for effect in self.effects.range_mut(first..) {
            if effect.completed.is_none() && completes(effect) {
                effect.completed = Some(at);
            }
        }
        let complete = |effect: &&Effect| effect.completed.is_some();
        self.open = self.effects.range(first..).skip_while(complete).count();
    }

    /// Invalidations that took effect after `time`.
    pub(super) fn since(&self, time: Moment) -> impl DoubleEndedIterator<Item = &Effect> {
        let first = self.effects.partition_point(|effect| effect.at <= time);
        self.effects.range(first..)
    }

    /// The last invalidation after `since` that covers `what` and was complete before `before`.
    pub(super) fn complete(
        &self,
        what: &Remembered,
        since: Moment,
        before: Moment,
    ) -> Option<&Effect> {
        let complete = |effect: &&Effect| effect.completed.is_some_and(|at| at < before);
        self.since(since).rev().filter(complete).find(|effect| what.is_covered(&effect.scope))
    }
}

/// The name and operands of the command that has a scope; for a broadcast, of the command that
/// would have it.
pub(super) struct ScopeText<'a>(pub &'a Invalidation, pub Maintenance);

impl fmt::Display for ScopeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 == Maintenance::Broadcast {
            f.write_str("broadcast like ")?;
        }
        match self.0 {
            Invalidation::Configuration(scope) => config_text(f, scope),
            Invalidation::Translations(scope) => tlbi_text(f, scope),
        }
    }
}

fn config_text(f: &mut fmt::Formatter<'_>, scope: &ConfigScope) -> fmt::Result {
    match scope {
        ConfigScope::Ste { stream, .. } => write!(f, "CMD_CFGI_STE stream={stream}"),
        ConfigScope::SteRange { first, log2 } => {
            write!(f, "CMD_CFGI_STE_RANGE stream={first} range={}", log2.saturating_sub(1))
        }
        ConfigScope::All => f.write_str("CMD_CFGI_ALL"),
        ConfigScope::Cd { stream, substream, .. } => {
            write!(f, "CMD_CFGI_CD stream={stream} substream={substream}")
        }
        ConfigScope::CdAll { stream } => write!(f, "CMD_CFGI_CD_ALL stream={stream}"),
    }
}

fn tlbi_text(f: &mut fmt::Formatter<'_>, scope: &TlbScope) -> fmt::Result {
    let el2 = scope.worlds != Worlds::NsEl1;
    let by_address = scope.address.is_some();
    f.write_str(match (el2, scope.stages, scope.asid, by_address, scope.vmid) {
        (true, _, AsidMatch::Any, false, _) => "CMD_TLBI_EL2_ALL",
        (true, _, _, false, _) => "CMD_TLBI_EL2_ASID",
        (true, _, AsidMatch::Any, true, _) => "CMD_TLBI_EL2_VAA",
        (true, _, _, true, _) => "CMD_TLBI_EL2_VA",
        (false, Stages::Both, _, _, VmidMatch::Any) => "CMD_TLBI_NSNH_ALL",
        (false, Stages::Both, ..) => "CMD_TLBI_S12_VMALL",
        (false, Stages::Stage2, ..) => "CMD_TLBI_S2_IPA",
        (false, Stages::Stage1, AsidMatch::Any, false, _) => "CMD_TLBI_NH_ALL",
        (false, Stages::Stage1, _, false, _) => "CMD_TLBI_NH_ASID",
        (false, Stages::Stage1, AsidMatch::Any, true, _) => "CMD_TLBI_NH_VAA",
        (false, Stages::Stage1, _, true, _) => "CMD_TLBI_NH_VA",
    })?;
    if let VmidMatch::Like { vmid, .. } = scope.vmid {
        write!(f, " vmid={vmid}")?;
    }
    if let AsidMatch::NonGlobal(asid) | AsidMatch::OrGlobal(asid) = scope.asid {
        write!(f, " asid={asid}")?;
    }
    match scope.address {
        Some(range) if range.first == range.last => write!(f, " address={:#x}", range.first)?,
        Some(range) => write!(f, " address={:#x}..={:#x}", range.first, range.last)?,
        None => {}
    }
    f.write_str(if scope.address.is_some_and(|range| range.leaf) { " leaf" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_arch::{AddressScope, Asid, Vmid};

    const MAIN: Maintenance = Maintenance::Command(CommandQueueId::Main);

    #[test]
    fn a_sync_completes_what_came_before_it() {
        let mut commands = Commands::default();
        commands.invalidated(effect(1, MAIN));
        commands.synchronised(Moment(2), CommandQueueId::Main);
        commands.invalidated(effect(3, MAIN));
        assert_eq!(completed(&commands), [Some(Moment(2)), None]);
    }

    #[test]
    fn a_sync_completes_nothing_of_another_queue() {
        let mut commands = Commands::default();
        let guest = CommandQueueId::Virtual(1);
        commands.invalidated(effect(1, MAIN));
        commands.invalidated(effect(2, Maintenance::Command(guest)));
        commands.synchronised(Moment(3), guest);
        assert_eq!(completed(&commands), [None, Some(Moment(3))]);
        commands.synchronised(Moment(4), CommandQueueId::Main);
        assert_eq!(completed(&commands), [Some(Moment(4)), Some(Moment(3))]);
        assert_eq!(commands.open, 0);
    }

    #[test]
    fn a_sync_leaves_broadcasts_open_and_a_dsb_commands() {
        let mut commands = Commands::default();
        commands.invalidated(effect(1, Maintenance::Broadcast));
        commands.invalidated(effect(2, MAIN));
        commands.synchronised(Moment(3), CommandQueueId::Main);
        assert_eq!(completed(&commands), [None, Some(Moment(3))]);
        commands.invalidated(effect(4, MAIN));
        commands.broadcast_synchronised(Moment(5), Epoch(4));
        assert_eq!(completed(&commands), [Some(Moment(5)), Some(Moment(3)), None]);
    }

    #[test]
    fn a_dsb_leaves_open_what_came_while_it_waited() {
        let mut commands = Commands::default();
        commands.invalidated(effect(1, Maintenance::Broadcast));
        commands.invalidated(effect(2, Maintenance::Broadcast));
        commands.broadcast_synchronised(Moment(3), Epoch(1));
        assert_eq!(completed(&commands), [Some(Moment(3)), None]);
        commands.broadcast_synchronised(Moment(4), Epoch(2));
        assert_eq!(completed(&commands), [Some(Moment(3)), Some(Moment(4))]);
    }

    /// Takes effect at a moment, and at the epoch of the same number.
    fn effect(at: u64, by: Maintenance) -> Effect {
        let scope = Invalidation::Translations(TlbScope::NSNH_ALL);
        Effect { at: Moment(at), scope, dropped: 0, by, epoch: Epoch(at), completed: None }
    }

    fn completed(commands: &Commands) -> Vec<Option<Moment>> {
        commands.since(Moment(0)).map(|effect| effect.completed).collect()
    }

    #[test]
    fn a_scope_reads_as_its_command() {
        let text = |scope| ScopeText(&Invalidation::Translations(scope), MAIN).to_string();
        assert_eq!(text(TlbScope::s12_vmall(Vmid(1))), "CMD_TLBI_S12_VMALL vmid=0x1");
        assert_eq!(text(TlbScope::NSNH_ALL), "CMD_TLBI_NSNH_ALL");
        let range =
            AddressScope { first: 0x1000, last: 0x1000, leaf: true, level: 0, granule: None };
        let asid = AsidMatch::OrGlobal(Asid(7));
        let nh_va = TlbScope {
            stages: Stages::Stage1,
            asid,
            address: Some(range),
            ..TlbScope::s12_vmall(Vmid(1))
        };
        assert_eq!(text(nh_va), "CMD_TLBI_NH_VA vmid=0x1 asid=0x7 address=0x1000 leaf");
    }
}
