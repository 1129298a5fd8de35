//! The stream table, linear or with two levels, and the rewriting of its entries.
//!
//! Architecture: sections "Stream table" and "Configuration structure invalidation".

use super::entries::{self, Words};
use super::entry_writer::{self, EntryKind, Step};
use super::queue::{self, Batch};
use super::{Env, Refusal, Smmu};
use crate::Errno;
use crate::faults::FaultSwitch;
use rustc_hash::FxHashMap;
use smmu_arch::registers::{StrtabBase, StrtabBaseCfg};
use smmu_arch::{CfgiCd, CfgiSte, Command, Features, L1Std, Pa, Ste, StreamId, SubstreamId};

/// StreamID bits that a level 2 table resolves: 256 entries, 16 KiB.
const SPLIT: u8 = 8;
/// The level 1 table has at most 2^17 descriptors: 1 MiB.
const LEVEL1_LOG2_MAX: u8 = 17;

const L1STD_BYTES: u64 = 8;
const CD_BYTES: u64 = 64;

/// Software's side of the stream table.
#[derive(Debug)]
pub(crate) struct StreamTable {
    base: Pa,
    /// log2 of the StreamIDs that have a place.
    log2size: u8,
    two_level: bool,
    /// Context descriptors by stream, made once and kept.
    contexts: FxHashMap<StreamId, Pa>,
}

impl StreamTable {
    /// Takes memory for the table. A linear one is filled with entries that abort; of a 2-level one
    /// the level 1 descriptors are all invalid at first.
    pub(super) fn new(env: Env<'_>, features: &Features) -> Result<Self, Refusal> {
        let two_level = features.two_level_stream_table && features.sid_bits > SPLIT;
        let log2size = match two_level {
            true => features.sid_bits.min(LEVEL1_LOG2_MAX + SPLIT),
            false => features.sid_bits,
        };
        let bytes = match two_level {
            true => L1STD_BYTES << (log2size - SPLIT),
            false => Ste::BYTES << log2size,
        };
        let base = env.driver.heap.allocate(env, bytes)?;
        if !two_level {
            fill(env, base, 1 << log2size).map_err(Refusal::Memory)?;
        }
        Ok(Self { base, log2size, two_level, contexts: FxHashMap::default() })
    }

    /// What the registers say of it.
    pub(super) fn registers(&self) -> (StrtabBase, StrtabBaseCfg) {
        let base = StrtabBase::new().with_address(self.base.0).with_ra(true);
        let config = StrtabBaseCfg::new().with_log2size(self.log2size);
        match self.two_level {
            true => (base, config.with_split(SPLIT).with_fmt(1)),
            false => (base, config),
        }
    }

    /// Address of the level 1 descriptor of a stream.
    fn level1(&self, stream: StreamId) -> Pa {
        self.base.offset(u64::from(stream.0 >> SPLIT) * L1STD_BYTES)
    }

    /// Address of the entry of a stream that has a place.
    fn entry(&self, env: Env<'_>, stream: StreamId) -> Result<Pa, Errno> {
        if !self.two_level {
            return Ok(self.base.offset(u64::from(stream.0) * Ste::BYTES));
        }
        let descriptor = L1Std::decode(env.cpu.load(self.level1(stream))?);
        let index = stream.0 & ((1 << SPLIT) - 1);
        descriptor.entry_address(index, SPLIT).map(Pa).ok_or(Errno::ENODEV)
    }
}

/// Entries that abort.
fn fill(env: Env<'_>, table: Pa, entries: u64) -> Result<(), Errno> {
    let [first, ..] = entries::abort();
    for index in 0..entries {
        env.cpu.store(table.offset(index * Ste::BYTES), first)?;
    }
    env.cpu.barrier();
    Ok(())
}

/// Makes sure that a stream has a place in the table, in which it aborts at first.
pub(super) fn place(env: Env<'_>, smmu: &Smmu, stream: StreamId) -> Result<(), Refusal> {
    smmu.streams.with(env.cpu, |table| {
        if u64::from(stream.0) >> table.log2size != 0 {
            return Err(Refusal::StreamOutOfRange { stream });
        }
        let present = !table.two_level || table.entry(env, stream).is_ok();
        if present { Ok(()) } else { Ok(add_level2(env, smmu, table, stream)?) }
    })
}

/// Links a level 2 table, complete before its descriptor is valid. The invalid descriptor may be
/// cached, so it is invalidated as well.
fn add_level2(
    env: Env<'_>,
    smmu: &Smmu,
    table: &StreamTable,
    stream: StreamId,
) -> Result<(), Errno> {
    let level2 = env.driver.heap.allocate(env, Ste::BYTES << SPLIT)?;
    fill(env, level2, 1 << SPLIT)?;
    let descriptor = L1Std { span: SPLIT + 1, l2ptr: level2.0 };
    env.cpu.store(table.level1(stream), descriptor.encode())?;
    env.cpu.barrier();
    queue::send(env, smmu, Command::CfgiSte(CfgiSte { stream, leaf: false }));
    Ok(())
}

/// Rewrites the entry of a stream so that the SMMU never sees a mixture.
pub(super) fn write(
    env: Env<'_>,
    smmu: &Smmu,
    stream: StreamId,
    target: &Words,
) -> Result<(), Errno> {
    smmu.streams.with(env.cpu, |table| {
        let entry = table.entry(env, stream)?;
        smmu.counters.ste_writes.add_one();
        let current = load(env, entry)?;
        if entry_writer::breaks(&entry_writer::STE, &current, target) {
            smmu.counters.ste_breaks.add_one();
        }
        let steps = match env.has(FaultSwitch::SteTorn) {
            true => entry_writer::torn_plan(&current, target),
            false => entry_writer::plan(&entry_writer::STE, &current, target),
        };
        let forget = Command::CfgiSte(CfgiSte { stream, leaf: true });
        let forget = (!env.has(FaultSwitch::SkipCfgiSte)).then_some(forget);
        follow(env, smmu, entry, &steps, forget)
    })
}

/// Writes the context descriptor of a stream and gives its address.
pub(super) fn write_context(
    env: Env<'_>,
    smmu: &Smmu,
    stream: StreamId,
    target: &Words,
) -> Result<Pa, Errno> {
    smmu.streams.with(env.cpu, |table| {
        let context = match table.contexts.get(&stream) {
            Some(&context) => context,
            None => {
                let context = env.driver.heap.allocate(env, CD_BYTES)?;
                table.contexts.insert(stream, context);
                context
            }
        };
        rewrite(env, smmu, &entry_writer::CD, context, target, {
            Command::CfgiCd(CfgiCd { stream, substream: SubstreamId(0), leaf: true })
        })?;
        Ok(context)
    })
}

fn rewrite(
    env: Env<'_>,
    smmu: &Smmu,
    kind: &EntryKind,
    entry: Pa,
    target: &Words,
    forget: Command,
) -> Result<(), Errno> {
    let current = load(env, entry)?;
    let steps = entry_writer::plan(kind, &current, target);
    follow(env, smmu, entry, &steps, Some(forget))
}

fn load(env: Env<'_>, entry: Pa) -> Result<Words, Errno> {
    let mut words = [0; 8];
    for (at, word) in (0..).step_by(8).zip(&mut words) {
        *word = env.cpu.load(entry.offset(at))?;
    }
    Ok(words)
}

fn follow(
    env: Env<'_>,
    smmu: &Smmu,
    entry: Pa,
    steps: &[Step],
    forget: Option<Command>,
) -> Result<(), Errno> {
    for step in steps {
        match *step {
            Step::Store { word, value } => env.cpu.store(entry.offset(8 * word as u64), value)?,
            Step::Sync => {
                env.cpu.barrier();
                let mut batch = Batch::new(env, smmu);
                forget.into_iter().for_each(|command| batch.add(command));
                batch.sync();
            }
        }
    }
    Ok(())
}
