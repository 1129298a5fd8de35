//! The functional runner's part of an SMMU: background work done at once, on the caller's thread.

use crate::smmu::Smmu;
use crate::work::Work;
use smmu_bus::{
    Actor, Answer, AtcAnswer, Condition, Memory, Message, Observer, Outputs, Request, Step,
    serve_memory,
};

/// How far the background work came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing is left to do.
    Idle,
    /// A CMD_SYNC waits for transactions in flight: call again when they have ended.
    Pending(Condition),
}

impl Smmu {
    /// Does all background work that can be done now: commands, event records, outputs.
    ///
    /// One thread at a time does it, others wait. So `outputs` must not pump by itself.
    pub fn pump<M: Memory, O: Observer>(
        &self,
        memory: &M,
        observer: &mut O,
        outputs: &mut dyn Outputs,
    ) -> Progress {
        let mut parked = self.parked.lock();
        loop {
            let released = parked.iter().position(|(_, condition)| self.holds(*condition));
            let (mut work, answer) = match released {
                Some(index) => (parked.remove(index).0, Answer::Resumed),
                None => match (self.work(observer), parked.first()) {
                    (Some(work), _) => (work, Answer::Start),
                    // What was waited for may have been a record that is lost by now.
                    (None, Some((_, condition))) if self.holds(*condition) => continue,
                    (None, Some((_, condition))) => return Progress::Pending(*condition),
                    (None, None) => return Progress::Idle,
                },
            };
            if let Some(condition) = self.run(&mut work, answer, memory, observer, outputs) {
                parked.push((work, condition));
            }
        }
    }

    /// Runs one actor to its end, or to the condition that it waits for.
    fn run<M: Memory, O: Observer>(
        &self,
        work: &mut Work,
        mut answer: Answer,
        memory: &M,
        observer: &mut O,
        outputs: &mut dyn Outputs,
    ) -> Option<Condition> {
        loop {
            match work.step(answer) {
                Step::Need(Request::Send { message, .. }) => {
                    match message {
                        Message::Interrupt(line) => outputs.pulse(self.id(), line),
                        Message::SendEvent => outputs.send_event(),
                        Message::InvalidateAtc(invalidation) => {
                            let answer = outputs.invalidate_atc(self.id(), &invalidation);
                            if answer == AtcAnswer::Later {
                                self.atc_invalidation_begun();
                            }
                        }
                        Message::PageResponse(response) => {
                            outputs.page_response(self.id(), &response);
                        }
                        Message::Transaction(_)
                        | Message::TranslationRequest(_)
                        | Message::Translated(_)
                        | Message::End
                        | Message::Tlbi(_)
                        | Message::BroadcastSync => {}
                    }
                    answer = Answer::Done;
                }
                Step::Need(request) => {
                    answer = self
                        .answer(&self.background_origin(), &request, observer)
                        .or_else(|| serve_memory(memory, &request))
                        .unwrap_or(Answer::Aborted);
                }
                Step::Wait(condition) if self.holds(condition) => answer = Answer::Resumed,
                Step::Wait(condition) => return Some(condition),
                Step::Done(outcome) => {
                    self.complete(&outcome, observer);
                    return None;
                }
            }
        }
    }
}
