//! Interrupts and wake-up events on their way out.
//!
//! Architecture: section "Interrupts and notifications". An MSI is a physical write that does not
//! pass through translation; a wired interrupt is pulsed whenever its source is enabled, whatever
//! the address of the MSI.

use crate::registers::GlobalError;
use smmu_arch::{Pa, PortId, Why};
use smmu_bus::{Actor, Answer, Data, InterruptLine, Message, Request, Step};

/// One notification, from the MSI to the wire.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Notification {
    /// Where to write what.
    pub(crate) msi: Option<(Pa, u32)>,
    /// The wired interrupt.
    pub(crate) line: Option<InterruptLine>,
    /// SEV.
    pub(crate) send_event: bool,
    /// The global error that an aborted MSI becomes.
    pub(crate) abort: Option<GlobalError>,
}

/// Sends one notification.
#[derive(Clone, Debug)]
pub struct Notifier {
    notification: Notification,
    stage: Stage,
    aborted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Message,
    Line,
    Event,
    Done,
}

impl Notifier {
    pub(crate) const fn new(notification: Notification) -> Self {
        Self { notification, stage: Stage::Message, aborted: false }
    }

    /// The next thing to send, if any is left.
    fn next(&mut self) -> Option<Request> {
        loop {
            let stage = self.stage;
            self.stage = match stage {
                Stage::Message => Stage::Line,
                Stage::Line => Stage::Event,
                Stage::Event => Stage::Done,
                Stage::Done => return None,
            };
            let request = match stage {
                Stage::Message => self.notification.msi.map(|(pa, data)| Request::Write {
                    pa,
                    data: Data::Half(data),
                    why: Why::Msi,
                }),
                Stage::Line => self.notification.line.map(|line| send(Message::Interrupt(line))),
                _ => self.notification.send_event.then(|| send(Message::SendEvent)),
            };
            if request.is_some() {
                return request;
            }
        }
    }
}

fn send(message: Message) -> Request {
    Request::Send { port: PortId(0), message }
}

/// How a notification ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotifyOutcome {
    error: Option<GlobalError>,
}

impl NotifyOutcome {
    /// The global error that an aborted MSI becomes.
    pub(crate) const fn error(self) -> Option<GlobalError> {
        self.error
    }
}

impl Actor for Notifier {
    type Outcome = NotifyOutcome;

    fn step(&mut self, answer: Answer) -> Step<NotifyOutcome> {
        self.aborted |= answer == Answer::Aborted;
        match self.next() {
            Some(request) => Step::Need(request),
            None => {
                let error = self.notification.abort.filter(|_| self.aborted);
                Step::Done(NotifyOutcome { error })
            }
        }
    }
}
