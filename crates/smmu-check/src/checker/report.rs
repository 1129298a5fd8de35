//! From a charge to a verdict: the commands that were seen, and those that were missing.

use super::commands::Effect;
use super::explain::Change;
use super::fills::Fill;
use super::history::Part;
use super::judge::{Case, Charge, Stale};
use super::remembered::Remembered;
use super::smmu::Smmu;
use super::verdict::{Blame, Changed, Done, Entry, Seen, Verdict};
use super::{Cause, Moment, remedy};
use crate::reference::Ruling;
use smmu_arch::{
    CmdSync, Command, ConfigKey, EntryKind, Maintenance, Origin, Promise, Stage, SubstreamId,
};

pub(super) fn verdict(
    origin: &Origin,
    smmu: &Smmu,
    case: &Case,
    done: Done,
    now: &Ruling,
    fill: Option<&Fill>,
    charge: Charge,
) -> Verdict {
    let first = charge.stale.first();
    let changed = first.and_then(|stale| match stale.change {
        Change::Store(store, why) => Some(Changed { store, why }),
        Change::Registers { .. } => None,
    });
    let what = first
        .map(|stale| stale.remembered)
        .or_else(|| fill.map(|fill| Remembered::in_tlb(fill.entry)));
    let since = match (first, fill) {
        (Some(stale), _) => stale.change.at().min(stale.since),
        (None, Some(fill)) => fill.at,
        (None, None) => case.began,
    };
    let commands = seen(smmu, case, what.as_ref(), since);
    let listed = commands.len().min(Verdict::COMMANDS);
    let space = charge.space.or(now.space);
    Verdict {
        blame: charge.blame,
        cause: charge.cause,
        smmu: origin.smmu,
        transaction: case.transaction,
        id: origin.transaction,
        began: case.began,
        at: case.at,
        vmid: space.filter(|space| space.world.has_vmid()).map(|space| space.vmid),
        asid: space
            .filter(|space| space.world.has_asid() && space.kind != EntryKind::Stage2)
            .map(|space| space.asid),
        done,
        now: now.allowed,
        entry: fill.map(|fill| Entry {
            number: fill.number,
            filled: fill.at,
            stream: fill.transaction.map(|made_by| made_by.stream),
        }),
        changed,
        promise: charge.promise,
        commands_before: commands.len() - listed,
        commands: commands[commands.len() - listed..].to_vec(),
        missing: missing(smmu, case, fill, &charge),
        count: 1,
    }
}

/// Every invalidation between the change and the use.
fn seen(smmu: &Smmu, case: &Case, what: Option<&Remembered>, since: Moment) -> Vec<Seen> {
    let until = smmu.commands.since(since).take_while(|effect| effect.at < case.at);
    let seen = until.map(|effect| Seen {
        at: effect.at,
        scope: effect.scope,
        dropped: effect.dropped,
        by: effect.by,
        completed: effect.completed,
        missed: what.map_or_else(Vec::new, |what| what.misses(&effect.scope)),
    });
    seen.collect()
}

/// The commands that software left out before it promised.
fn missing(smmu: &Smmu, case: &Case, fill: Option<&Fill>, charge: &Charge) -> Vec<Command> {
    let without_command = matches!(charge.cause, Cause::StillMapped | Cause::TagShared);
    if charge.blame == Blame::Hardware || without_command {
        return Vec::new();
    }
    let foreign = fill.and_then(|fill| fill.transaction);
    let foreign = foreign.is_some_and(|made_by| made_by.stream != case.transaction.stream);
    let mut commands = Vec::new();
    if charge.cause == Cause::TornConfiguration {
        commands.push(remedy::for_configuration(key(case, Part::Ste), false));
    }
    for stale in &charge.stale {
        commands.extend(for_stale(smmu, case, stale, charge, foreign));
    }
    if charge.stale.is_empty()
        && let (Some(fill), Some((promised, promise))) = (fill, &charge.promise)
        && !issued(smmu, &Remembered::in_tlb(fill.entry), fill.began, *promised)
    {
        let stage2 = matches!(promise, Promise::Unmapped { stage: Stage::Stage2, .. });
        let one = || remedy::for_translation(&fill.entry, false, stage2);
        commands.extend(remedy::for_tag(&fill.entry.space, promise).unwrap_or_else(one));
    }
    in_order(commands)
}

/// Configuration first: until it is gone, translations may be made again from it.
fn in_order(commands: Vec<Command>) -> Vec<Command> {
    let is_cfgi = |command: &Command| matches!(command, Command::CfgiSte(_) | Command::CfgiCd(_));
    let (cfgi, tlbi): (Vec<_>, Vec<_>) = commands.into_iter().partition(is_cfgi);
    let mut ordered: Vec<Command> = Vec::new();
    for group in [cfgi, tlbi] {
        let before = ordered.len();
        for command in group {
            if !ordered[before..].contains(&command) {
                ordered.push(command);
            }
        }
        if ordered.len() > before {
            ordered.push(Command::Sync(CmdSync::POLLED));
        }
    }
    if ordered.is_empty() {
        ordered.push(Command::Sync(CmdSync::POLLED));
    }
    ordered
}

/// A command that covers it was issued before the promise: only its CMD_SYNC is missing. That
/// would not have completed a broadcast.
fn issued(smmu: &Smmu, what: &Remembered, since: Moment, promised: Moment) -> bool {
    let mut effects = smmu.commands.since(since).take_while(|effect| effect.at < promised);
    let by_command = |effect: &Effect| matches!(effect.by, Maintenance::Command(_));
    effects.any(|effect| by_command(effect) && what.is_covered(&effect.scope))
}

fn for_stale(
    smmu: &Smmu,
    case: &Case,
    stale: &Stale,
    charge: &Charge,
    foreign: bool,
) -> Vec<Command> {
    let promised = charge.promise.map_or(case.began, |(at, _)| at);
    let mut commands = Vec::new();
    let by_entry = matches!(stale.remembered, Remembered::Translation { .. });
    if stale.part.is_configuration() && by_entry && !foreign {
        // The way to the tables was stale as well: entries would be made again from it.
        let what = Remembered::Configuration { key: key(case, stale.part), level1: false };
        if !issued(smmu, &what, stale.change.at(), promised) {
            commands.push(remedy::for_configuration(key(case, stale.part), false));
        }
    }
    if issued(smmu, &stale.remembered, stale.since, promised) {
        return commands;
    }
    match stale.remembered {
        Remembered::Configuration { key, level1 } => {
            commands.push(remedy::for_configuration(key, level1));
        }
        Remembered::Translation { entry, .. } => {
            let tag = charge.promise.and_then(|(_, p)| remedy::for_tag(&entry.space, &p));
            let table = stale.change.is_table();
            let stage2 = stale.part == Part::Stage2;
            let one = || remedy::for_translation(&entry, table, stage2);
            commands.extend(tag.unwrap_or_else(one));
        }
    }
    commands
}

fn key(case: &Case, part: Part) -> ConfigKey {
    let Case { transaction, .. } = case;
    match part {
        Part::Cd => {
            ConfigKey::Cd(transaction.stream, transaction.substream.unwrap_or(SubstreamId(0)))
        }
        _ => ConfigKey::Ste(transaction.stream),
    }
}
