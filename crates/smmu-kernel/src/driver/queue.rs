//! The Command queue: batches, doorbells and CMD_SYNC.
//!
//! Architecture: sections "Command queue" and "CMD_SYNC". Commands are gathered in batches of at
//! most 64, as Linux does; one doorbell publishes a batch, and the last one ends with a CMD_SYNC,
//! whose completion is polled in CMDQ_CONS.

use super::registers::{Pace, RegisterFrame};
use super::{Env, Smmu};
use crate::log::Notice;
use smmu_arch::registers::{CmdqCons, CmdqProd, Gerror, Gerrorn};
use smmu_arch::{CmdSync, Command, CommandError, Pa, Shareability, SyncSignal};

/// Commands that one doorbell publishes at most.
pub(crate) const BATCH_COMMANDS: usize = 64;

const ENTRY_BYTES: u64 = 16;

/// The CMD_SYNC of this driver: completion shows in CMDQ_CONS alone.
pub(crate) const SYNC: Command = Command::Sync(CmdSync {
    signal: SyncSignal::None,
    shareability: Shareability::Non,
    memory_attributes: 0,
    data: 0,
    address: Pa(0),
});

/// Software's side of the queue. Indexes count commands since the start; the registers show their
/// low bits with the wrap flag on top.
#[derive(Debug)]
pub(crate) struct CommandQueue {
    base: Pa,
    log2size: u32,
    produced: u64,
    consumed: u64,
}

impl CommandQueue {
    pub(crate) const fn new(base: Pa, log2size: u32) -> Self {
        Self { base, log2size, produced: 0, consumed: 0 }
    }

    /// Base address and log2 of the entries.
    pub(crate) const fn place(&self) -> (Pa, u32) {
        (self.base, self.log2size)
    }

    const fn entries(&self) -> u64 {
        1 << self.log2size
    }

    /// The index bits and the wrap flag of a count.
    const fn pointer(&self, count: u64) -> u32 {
        (count & (2 * self.entries() - 1)) as u32
    }

    fn entry(&self, count: u64) -> Pa {
        self.base.offset((count & (self.entries() - 1)) * ENTRY_BYTES)
    }

    /// Takes over what CMDQ_CONS shows. Never more than `entries` commands are outstanding, so
    /// that the difference of the low bits is the true one.
    fn refresh(&mut self, env: Env<'_>, frame: RegisterFrame) {
        let shown = frame.read::<CmdqCons>(env).rd();
        let seen = self.pointer(self.consumed);
        self.consumed += u64::from(shown.wrapping_sub(seen)) & (2 * self.entries() - 1);
        self.consumed = self.consumed.min(self.produced);
    }

    /// Stores commands behind the last one and rings the doorbell once.
    fn publish(&mut self, env: Env<'_>, smmu: &Smmu, commands: &[Command]) {
        for command in commands {
            let [low, high] = command.encode();
            let entry = self.entry(self.produced);
            // Queue memory is the kernel's own: a store that aborts there leaves an old command,
            // which the SMMU then executes or refuses.
            let _ = env.cpu.store(entry.offset(8), high);
            let _ = env.cpu.store(entry, low);
            self.produced += 1;
            smmu.counters.count_command(command);
        }
        env.cpu.barrier();
        let prod = CmdqProd::new().with_wr(self.pointer(self.produced));
        smmu.frame.write(env, prod);
        smmu.counters.doorbells.add_one();
    }
}

/// Commands on their way to one SMMU.
///
/// [`Batch::sync`] must end it for its commands to be known to have taken effect.
pub(crate) struct Batch<'a> {
    env: Env<'a>,
    smmu: &'a Smmu,
    commands: Vec<Command>,
}

impl<'a> Batch<'a> {
    pub(crate) const fn new(env: Env<'a>, smmu: &'a Smmu) -> Self {
        Self { env, smmu, commands: Vec::new() }
    }

    /// The context that the batch runs in.
    pub(crate) const fn env(&self) -> Env<'a> {
        self.env
    }

    /// Adds a command; a full batch is published.
    pub(crate) fn add(&mut self, command: Command) {
        if self.commands.len() == BATCH_COMMANDS {
            self.publish();
        }
        self.commands.push(command);
    }

    /// Publishes what was added and waits until all of it has completed.
    pub(crate) fn sync(mut self) {
        self.commands.push(SYNC);
        if let Some(target) = self.publish() {
            await_consumption(self.env, self.smmu, target);
        }
    }

    /// Publishes what was added and does not wait.
    pub(crate) fn leave(mut self) {
        if !self.commands.is_empty() {
            self.publish();
        }
    }

    /// Gives the count up to which the queue must be consumed, or `None` when it stayed full and
    /// the commands were dropped.
    fn publish(&mut self) -> Option<u64> {
        let commands = std::mem::take(&mut self.commands);
        let mut pace = Pace::start(self.env);
        loop {
            let published = self.smmu.queue.with(self.env.cpu, |queue| {
                let needed = commands.len() as u64;
                if queue.produced - queue.consumed + needed > queue.entries() {
                    queue.refresh(self.env, self.smmu.frame);
                }
                let room = queue.produced - queue.consumed + needed <= queue.entries();
                room.then(|| {
                    queue.publish(self.env, self.smmu, &commands);
                    queue.produced
                })
            });
            if published.is_some() {
                return published;
            }
            service_errors(self.env, self.smmu);
            if !pace.wait(self.env) {
                self.env.log(self.smmu, Notice::QueueFullTimeout);
                return None;
            }
        }
    }
}

/// Sends one command and waits for it.
pub(crate) fn send(env: Env<'_>, smmu: &Smmu, command: Command) {
    let mut batch = Batch::new(env, smmu);
    batch.add(command);
    batch.sync();
}

fn await_consumption(env: Env<'_>, smmu: &Smmu, target: u64) {
    let mut pace = Pace::start(env);
    loop {
        let done = smmu.queue.with(env.cpu, |queue| {
            queue.refresh(env, smmu.frame);
            queue.consumed >= target
        });
        if done {
            return;
        }
        service_errors(env, smmu);
        if !pace.wait(env) {
            // Linux prints a line and goes on as if the commands had completed.
            env.log(smmu, Notice::SyncTimeout);
            return;
        }
    }
}

/// Handles global errors: a command that the SMMU refuses becomes a CMD_SYNC, so that those behind
/// it are executed; everything is logged and acknowledged.
pub(crate) fn service_errors(env: Env<'_>, smmu: &Smmu) {
    smmu.queue.with(env.cpu, |queue| {
        let error = smmu.frame.read::<Gerror>(env);
        let acknowledged = smmu.frame.read::<Gerrorn>(env);
        let active = u32::from(error) ^ u32::from(acknowledged);
        if active == 0 {
            return;
        }
        if error.cmdq_err() != acknowledged.cmdq_err() {
            skip_command(env, smmu, queue);
        }
        let command_error = u32::from(Gerror::new().with_cmdq_err(true));
        if active & !command_error != 0 {
            env.log(smmu, Notice::GlobalError { bits: active & !command_error });
        }
        smmu.frame.write(env, Gerrorn::from(u32::from(error)));
    });
}

fn skip_command(env: Env<'_>, smmu: &Smmu, queue: &mut CommandQueue) {
    let cons = smmu.frame.read::<CmdqCons>(env);
    let entry = queue.entry(u64::from(cons.rd()));
    let word = |at| env.cpu.load(entry.offset(at)).unwrap_or(0);
    let words = [word(0), word(8)];
    env.log(smmu, Notice::CommandSkipped { code: cons.err(), words });
    // An external abort is tried again, an unconfirmed CMD_ATC_INV leaves the CMD_SYNC as it is.
    let retried = [CommandError::Abort.code(), CommandError::AtcInvSync.code()];
    if !retried.contains(&cons.err()) {
        let [low, high] = SYNC.encode();
        let _ = env.cpu.store(entry, low);
        let _ = env.cpu.store(entry.offset(8), high);
        env.cpu.barrier();
    }
}
