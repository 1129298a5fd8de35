//! A CPU that is an actor.

use crate::{Aborted, Actor, Answer, Condition, Cpu, Data, LockId, Message, Request, Step};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use smmu_arch::{BroadcastTlbi, Pa, PortId, Promise, Why};
use std::{fmt, io, thread};

/// A program for a CPU, run as an [`Actor`]: every call of [`Cpu`] is a step.
///
/// The program is plain code on a stack of its own, which is kept while it waits for an answer.
/// Dropping an unfinished actor unwinds that stack. It cannot be cloned, nor sent to a thread.
///
/// A panic of the program comes out of [`Actor::step`].
///
/// ```
/// use smmu_arch::{Pa, Why};
/// use smmu_bus::{Actor, Answer, CpuActor, Request, Step};
///
/// let mut cpu = CpuActor::new(|cpu| cpu.load(Pa(0x1000)).unwrap() + 1);
/// let read = Request::Read { pa: Pa(0x1000), words: 1, why: Why::Cpu };
/// assert_eq!(cpu.step(Answer::Start), Step::Need(read));
/// assert_eq!(cpu.step(Answer::Word(41)), Step::Done(42));
/// ```
pub struct CpuActor<T> {
    program: Coroutine<Answer, Pause, T>,
}

impl<T: 'static> CpuActor<T> {
    /// Default size of the stack of a program, in bytes. Only what is touched is used.
    pub const STACK_BYTES: usize = 256 << 10;

    /// An actor that runs `program` from its first step on.
    ///
    /// # Panics
    /// If the host has no memory for a stack.
    pub fn new(program: impl FnOnce(&dyn Cpu) -> T + 'static) -> Self {
        Self::with_stack_bytes(Self::STACK_BYTES, program).expect("no memory for a CPU's stack")
    }

    /// An actor whose program has a stack of at least `bytes`.
    ///
    /// # Errors
    /// What the host says when it cannot reserve the stack.
    pub fn with_stack_bytes(
        bytes: usize,
        program: impl FnOnce(&dyn Cpu) -> T + 'static,
    ) -> io::Result<Self> {
        let stack = DefaultStack::new(bytes)?;
        let body = move |runner: &Yielder<Answer, Pause>, first: Answer| {
            assert_eq!(first, Answer::Start, "the first answer to a CPU");
            program(&ScheduledCpu { runner })
        };
        Ok(Self { program: Coroutine::with_stack(stack, body) })
    }
}

impl<T> Actor for CpuActor<T> {
    type Outcome = T;

    fn step(&mut self, answer: Answer) -> Step<T> {
        match self.program.resume(answer) {
            CoroutineResult::Yield(Pause::Need(request)) => Step::Need(request),
            CoroutineResult::Yield(Pause::Wait(condition)) => Step::Wait(condition),
            CoroutineResult::Return(outcome) => Step::Done(outcome),
        }
    }
}

impl<T> fmt::Debug for CpuActor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (started, done) = (self.program.started(), self.program.done());
        f.debug_struct("CpuActor").field("started", &started).field("done", &done).finish()
    }
}

/// A [`Step`] of a program that goes on.
#[derive(Clone, Copy, Debug)]
enum Pause {
    Need(Request),
    Wait(Condition),
}

/// The CPU that the program of a [`CpuActor`] is handed.
///
/// While the program is unwound, because it panicked or its actor is dropped, calls go nowhere and
/// find zeros: a destructor that gives a lock back has nobody to tell.
///
/// # Panics
/// Any call, if the runner hands it an answer to something else.
pub struct ScheduledCpu<'y> {
    runner: &'y Yielder<Answer, Pause>,
}

impl ScheduledCpu<'_> {
    /// Asks for something; `take` knows the answers that fit, and `unwound` stands for one.
    fn ask<R>(&self, pause: Pause, unwound: R, take: impl FnOnce(Answer) -> Option<R>) -> R {
        if thread::panicking() {
            return unwound;
        }
        let answer = self.runner.suspend(pause);
        take(answer).unwrap_or_else(|| panic!("{answer:?} is no answer to {pause:?}"))
    }

    fn need_done(&self, request: Request) {
        self.ask(Pause::Need(request), (), |answer| (answer == Answer::Done).then_some(()));
    }

    /// What a CPU sends goes to everybody, through no port.
    fn send(&self, message: Message) {
        self.need_done(Request::Send { port: PortId(0), message });
    }

    fn wait(&self, condition: Condition) {
        self.ask(Pause::Wait(condition), (), |answer| (answer == Answer::Resumed).then_some(()));
    }
}

impl Cpu for ScheduledCpu<'_> {
    fn load(&self, pa: Pa) -> Result<u64, Aborted> {
        let pa = pa.align_down(3);
        let request = Request::Read { pa, words: 1, why: Why::Cpu };
        self.ask(Pause::Need(request), Ok(0), |answer| match answer {
            Answer::Word(value) => Some(Ok(value)),
            Answer::Aborted => Some(Err(Aborted(pa))),
            _ => None,
        })
    }

    fn store(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        let pa = pa.align_down(3);
        let request = Request::Write { pa, data: Data::Word(value), why: Why::Cpu };
        self.ask(Pause::Need(request), Ok(()), |answer| match answer {
            Answer::Done => Some(Ok(())),
            Answer::Aborted => Some(Err(Aborted(pa))),
            _ => None,
        })
    }

    fn cas(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        let pa = pa.align_down(3);
        let request = Request::CompareAndSwap { pa, old, new, why: Why::Cpu };
        self.ask(Pause::Need(request), Ok(old), |answer| match answer {
            Answer::Swapped(found) => Some(Ok(found)),
            Answer::Aborted => Some(Err(Aborted(pa))),
            _ => None,
        })
    }

    fn mmio_read(&self, address: Pa, bytes: u8) -> u64 {
        let request = Request::MmioRead { address, bytes };
        self.ask(Pause::Need(request), 0, |answer| match answer {
            Answer::Register(value) => Some(value),
            _ => None,
        })
    }

    fn mmio_write(&self, address: Pa, bytes: u8, value: u64) {
        self.need_done(Request::MmioWrite { address, bytes, value });
    }

    fn barrier(&self) {
        self.need_done(Request::Barrier);
    }

    fn tlbi(&self, tlbi: BroadcastTlbi) {
        self.send(Message::Tlbi(tlbi));
    }

    fn dsb(&self) {
        self.send(Message::BroadcastSync);
    }

    fn lock(&self, lock: LockId) {
        self.wait(Condition::Lock(lock));
    }

    fn unlock(&self, lock: LockId) {
        self.need_done(Request::Unlock(lock));
    }

    fn wait_until(&self, ns: u64) {
        self.wait(Condition::Time(ns));
    }

    fn now_ns(&self) -> u64 {
        self.ask(Pause::Need(Request::Now), 0, |answer| match answer {
            Answer::Time(ns) => Some(ns),
            _ => None,
        })
    }

    fn promise(&self, promise: Promise) {
        self.need_done(Request::Promise(promise));
    }
}
