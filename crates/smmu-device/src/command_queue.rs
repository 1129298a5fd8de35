//! The Command queue: fetch, decode, execute, complete.
//!
//! Architecture: sections "Command queue", "Commands", "CMD_SYNC". One [`CommandConsumer`] is the
//! consumption of one command, of whatever Command queue. Only this module sets CMDQ_CONS.ERR and
//! GERROR.CMDQ_ERR; what the other queues are is said in `ecmdq` and `cmdqv`, and which of all is
//! next in `set`.

mod admission;
mod set;

pub(crate) use admission::{Admission, Guest};
pub(crate) use set::CommandQueues;

use crate::Notification;
use crate::registers::{GlobalError, RegisterFile};
use smmu_arch::{
    CmdSync, Command, CommandError, CommandFeatures, CommandQueueId, Epoch, Invalidation, Pa,
    PortId, Structure, SyncSignal, Why,
};
use smmu_bus::{Actor, Answer, Condition, InterruptLine, Message, Request, Step};

/// The consumption of one command, from its fetch to its completion.
#[derive(Clone, Debug)]
pub struct CommandConsumer {
    head: Head,
    context: CommandContext,
    phase: Phase,
}

/// What commands mean depends on these.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct CommandContext {
    pub(crate) features: CommandFeatures,
    pub(crate) e2h: bool,
    /// VMID bits that CR0.VMW ignores.
    pub(crate) vmid_ignore: u16,
    /// CR0.SMMUEN: without it no CMD_ATC_INV goes out.
    pub(crate) enabled: bool,
    /// Epoch after all commands ahead took effect.
    pub(crate) now: Epoch,
}

/// The command that a queue gives next.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Head {
    pub(crate) queue: CommandQueueId,
    pub(crate) entry: Pa,
    /// Which commands the queue may give.
    pub(crate) admission: Admission,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Fetch,
    Decode,
    Forget(Command),
    Drain(Command),
    Sent(Command),
}

impl CommandConsumer {
    pub(crate) fn new(head: Head, context: CommandContext) -> Self {
        Self { head, context, phase: Phase::Fetch }
    }

    /// The queue that gave the command.
    #[must_use]
    pub const fn queue(&self) -> CommandQueueId {
        self.head.queue
    }

    fn execute(&mut self, words: [u64; 2]) -> Result<Step<CommandOutcome>, CommandError> {
        let command = self.head.admission.admit(Command::decode(&words)?)?;
        let context = &self.context;
        command.check_supported(&context.features)?;
        if let Command::Sync(_) = command {
            self.phase = Phase::Drain(command);
            return Ok(Step::Wait(Condition::Drained(context.now)));
        }
        match command.scope(&context.features, context.e2h, context.vmid_ignore) {
            None => match self.message(&command) {
                None => Ok(self.done(Ok(command))), // a hint, or what follows at its completion
                Some(message) => {
                    self.phase = Phase::Sent(command);
                    Ok(Step::Need(Request::Send { port: PortId(0), message }))
                }
            },
            Some(scope) => {
                self.phase = Phase::Forget(command);
                Ok(Step::Need(forget(scope, self.head.queue)))
            }
        }
    }

    const fn done(&self, result: Result<Command, CommandError>) -> Step<CommandOutcome> {
        Step::Done(CommandOutcome { queue: self.head.queue, result })
    }

    /// What a command sends to an endpoint.
    fn message(&self, command: &Command) -> Option<Message> {
        match *command {
            Command::AtcInv(invalidation) if self.context.enabled => {
                Some(Message::InvalidateAtc(invalidation))
            }
            Command::PriResp(response) => Some(Message::PageResponse(response)),
            _ => None,
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CommandOutcome {
    /// Queue that it stands in.
    pub queue: CommandQueueId,
    /// The command as it was executed, or why it was not.
    pub result: Result<Command, CommandError>,
}

impl Actor for CommandConsumer {
    type Outcome = CommandOutcome;

    fn step(&mut self, answer: Answer) -> Step<CommandOutcome> {
        match (self.phase, answer) {
            (Phase::Fetch, _) => {
                self.phase = Phase::Decode;
                Step::Need(Request::Read { pa: self.head.entry, words: 2, why: Why::Command })
            }
            (Phase::Decode, Answer::Words([low, high, ..])) => {
                self.execute([low, high]).unwrap_or_else(|error| self.done(Err(error)))
            }
            (Phase::Decode, _) => self.done(Err(CommandError::Abort)),
            (Phase::Forget(command) | Phase::Drain(command) | Phase::Sent(command), _) => {
                self.done(Ok(command))
            }
        }
    }
}

fn forget(scope: Invalidation, by: CommandQueueId) -> Request {
    match scope {
        Invalidation::Translations(scope) => {
            Request::Forget { structure: Structure::MainTlb, scope, by }
        }
        Invalidation::Configuration(scope) => Request::ForgetConfig { scope, by },
    }
}

/// The next command of the main queue, if it has one and may run: CMDQEN, no active CMDQ_ERR.
fn head(registers: &RegisterFile) -> Option<Head> {
    let queue = registers.command_queue();
    let runs = registers.cr0().cmdqen() && !registers.is_active(GlobalError::CommandQueue);
    (runs && !queue.is_empty()).then(|| Head {
        queue: CommandQueueId::Main,
        entry: queue.consumer_entry(),
        admission: Admission::All,
    })
}

/// Applies the result of a command of the main queue to the registers. CONS passes the command
/// before its completion is signalled, so that who sees the signal sees the consumption.
fn complete(
    registers: &mut RegisterFile,
    result: &Result<Command, CommandError>,
) -> Option<Notification> {
    match result {
        Err(error) => {
            registers.set_command_error(error.code());
            registers.activate(GlobalError::CommandQueue)
        }
        Ok(command) => {
            let has_room = registers.command_queue().is_about_to_have_room();
            registers.advance_command_consumer();
            signals(registers, command, has_room)
        }
    }
}

/// What a consumed command sends: the signal of a CMD_SYNC, and an event to wake who waits for
/// room in the queue.
pub(crate) fn signals(
    registers: &RegisterFile,
    command: &Command,
    has_room: bool,
) -> Option<Notification> {
    let signal = match command {
        Command::Sync(sync) => completion_signal(registers, sync),
        _ => None,
    };
    let wakes = has_room && registers.features().sev;
    let sent = signal.or(wakes.then(Notification::default));
    sent.map(|sent| Notification { send_event: sent.send_event || wakes, ..sent })
}

/// CMD_SYNC.CS: an MSI and the wired interrupt, an event, or nothing.
fn completion_signal(registers: &RegisterFile, sync: &CmdSync) -> Option<Notification> {
    match sync.signal {
        SyncSignal::None => None,
        SyncSignal::Irq => Some(Notification {
            msi: registers.message(sync.address.0, sync.data),
            line: Some(InterruptLine::CommandSync),
            send_event: false,
            abort: Some(GlobalError::MsiCommandQueue),
        }),
        SyncSignal::Sev => registers
            .features()
            .sev
            .then(|| Notification { send_event: true, ..Notification::default() }),
    }
}
