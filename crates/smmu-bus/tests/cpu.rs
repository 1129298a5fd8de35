//! One driver program on both kinds of CPU.

use smmu_arch::{BroadcastTlbi, Pa, PortId, Promise, SmmuId, Vmid, Why};
use smmu_bus::{
    Aborted, Actor, Answer, Condition, Cpu, CpuActor, Data, DirectCpu, LockId, Memory, Message,
    Platform, Ram, Request, Step,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

const BASE: Pa = Pa(0x1000);
const NOWHERE: Pa = Pa(0x9000);
const REGISTER: Pa = Pa(0x2_0000);
const LOCK: LockId = LockId(3);
const PROMISE: Promise = Promise::VmidFreed { smmu: SmmuId(0), vmid: Vmid(7) };

/// A machine with a page of memory, one register and a clock. It answers like a [`Platform`], and
/// like the runner of an actor.
struct Board {
    ram: Ram,
    register: Cell<u64>,
    now_ns: Cell<u64>,
    promises: RefCell<Vec<Promise>>,
    broadcasts: RefCell<Vec<Message>>,
}

impl Board {
    fn new() -> Self {
        let ram = Ram::new([(BASE, 0x1000)]).unwrap();
        Self {
            ram,
            register: Cell::new(0),
            now_ns: Cell::new(100),
            promises: RefCell::default(),
            broadcasts: RefCell::default(),
        }
    }

    fn answer(&self, request: Request) -> Answer {
        let or_aborted = |answer: Result<Answer, Aborted>| answer.unwrap_or(Answer::Aborted);
        match request {
            Request::Read { pa, words: 1, .. } => {
                or_aborted(self.ram.read_word(pa).map(Answer::Word))
            }
            Request::Write { pa, data: Data::Word(value), .. } => {
                or_aborted(self.ram.write_word(pa, value).map(|()| Answer::Done))
            }
            Request::CompareAndSwap { pa, old, new, .. } => {
                or_aborted(self.ram.compare_and_swap(pa, old, new).map(Answer::Swapped))
            }
            Request::MmioRead { address, bytes } => {
                Answer::Register(self.mmio_read(address, bytes))
            }
            Request::MmioWrite { address, bytes, value } => {
                self.mmio_write(address, bytes, value);
                Answer::Done
            }
            Request::Now => Answer::Time(self.now_ns()),
            Request::Promise(promise) => {
                self.promise(promise);
                Answer::Done
            }
            Request::Send { message, .. } => {
                self.broadcasts.borrow_mut().push(message);
                Answer::Done
            }
            Request::Barrier | Request::Unlock(_) => Answer::Done,
            other => panic!("a CPU does not ask for {other:?}"),
        }
    }
}

impl Platform for Board {
    type Memory = Ram;
    fn memory(&self) -> &Ram {
        &self.ram
    }
    fn mmio_read(&self, address: Pa, bytes: u8) -> u64 {
        assert_eq!((address, bytes), (REGISTER, 4));
        self.register.get()
    }
    fn mmio_write(&self, address: Pa, bytes: u8, value: u64) {
        assert_eq!((address, bytes), (REGISTER, 4));
        self.register.set(value + 1);
    }
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }
    fn advance_to(&self, ns: u64) {
        self.now_ns.set(self.now_ns.get().max(ns));
    }
    fn promise(&self, promise: Promise) {
        self.promises.borrow_mut().push(promise);
    }
    fn tlbi(&self, tlbi: &BroadcastTlbi) {
        self.broadcasts.borrow_mut().push(Message::Tlbi(*tlbi));
    }
    fn broadcast_sync(&self) {
        self.broadcasts.borrow_mut().push(Message::BroadcastSync);
    }
}

/// Makes every call of [`Cpu`] once, and both ends of the accesses.
fn program(cpu: &dyn Cpu) -> Vec<u64> {
    cpu.lock(LOCK);
    cpu.store(BASE.offset(0x13), 5).unwrap();
    let loaded = cpu.load(BASE.offset(0x10)).unwrap();
    let lost = cpu.cas(BASE.offset(0x10), 4, 6).unwrap();
    let won = cpu.cas(BASE.offset(0x10), 5, 6).unwrap();
    cpu.barrier();
    cpu.tlbi(BroadcastTlbi::Alle1);
    cpu.dsb();
    cpu.mmio_write(REGISTER, 4, loaded + 1);
    let register = cpu.mmio_read(REGISTER, 4);
    cpu.unlock(LOCK);
    let before = cpu.now_ns();
    cpu.wait_until(before + 50);
    assert_eq!(cpu.load(NOWHERE), Err(Aborted(NOWHERE)));
    assert_eq!(cpu.store(NOWHERE, 1), Err(Aborted(NOWHERE)));
    assert_eq!(cpu.cas(NOWHERE, 1, 2), Err(Aborted(NOWHERE)));
    cpu.promise(PROMISE);
    vec![loaded, lost, won, register, before, cpu.now_ns()]
}

const BROADCASTS: [Message; 2] = [Message::Tlbi(BroadcastTlbi::Alle1), Message::BroadcastSync];
const RESULT: [u64; 6] = [5, 5, 5, 7, 100, 150];

/// Answers every step of one actor at once; gives its steps and its outcome.
fn run<T: 'static>(board: &Board, mut actor: CpuActor<T>) -> (Vec<Step<()>>, T) {
    let mut steps = Vec::new();
    let mut answer = Answer::Start;
    loop {
        answer = match actor.step(answer) {
            Step::Need(request) => {
                steps.push(Step::Need(request));
                board.answer(request)
            }
            Step::Wait(condition) => {
                steps.push(Step::Wait(condition));
                if let Condition::Time(ns) = condition {
                    board.advance_to(ns);
                }
                Answer::Resumed
            }
            Step::Done(outcome) => return (steps, outcome),
        };
    }
}

#[test]
fn a_program_on_a_direct_cpu_is_answered_at_once() {
    let board = Board::new();
    let cpu = DirectCpu::new(&board);
    assert_eq!(program(&cpu), RESULT);
    assert_eq!(board.ram.read_word(BASE.offset(0x10)), Ok(6));
    assert_eq!(*board.promises.borrow(), [PROMISE]);
    assert_eq!(*board.broadcasts.borrow(), BROADCASTS);
}

#[test]
fn a_program_on_a_scheduled_cpu_has_the_same_outcome_and_one_step_a_call() {
    let (why, pa) = (Why::Cpu, BASE.offset(0x10));
    let board = Board::new();
    let (steps, outcome) = run(&board, CpuActor::new(program));
    assert_eq!(outcome, RESULT);
    assert_eq!(board.ram.read_word(pa), Ok(6));
    assert_eq!(*board.promises.borrow(), [PROMISE]);
    assert_eq!(*board.broadcasts.borrow(), BROADCASTS);
    let send = |message| Step::Need(Request::Send { port: PortId(0), message });
    let expected = [
        Step::Wait(Condition::Lock(LOCK)),
        Step::Need(Request::Write { pa, data: Data::Word(5), why }),
        Step::Need(Request::Read { pa, words: 1, why }),
        Step::Need(Request::CompareAndSwap { pa, old: 4, new: 6, why }),
        Step::Need(Request::CompareAndSwap { pa, old: 5, new: 6, why }),
        Step::Need(Request::Barrier),
        send(BROADCASTS[0]),
        send(BROADCASTS[1]),
        Step::Need(Request::MmioWrite { address: REGISTER, bytes: 4, value: 6 }),
        Step::Need(Request::MmioRead { address: REGISTER, bytes: 4 }),
        Step::Need(Request::Unlock(LOCK)),
        Step::Need(Request::Now),
        Step::Wait(Condition::Time(150)),
        Step::Need(Request::Read { pa: NOWHERE, words: 1, why }),
        Step::Need(Request::Write { pa: NOWHERE, data: Data::Word(1), why }),
        Step::Need(Request::CompareAndSwap { pa: NOWHERE, old: 1, new: 2, why }),
        Step::Need(Request::Promise(PROMISE)),
        Step::Need(Request::Now),
    ];
    assert_eq!(steps, expected);
}

/// Adds one to a word `times` times, under the lock or not, with a step in between.
fn increments(locked: bool, times: u64) -> CpuActor<()> {
    CpuActor::new(move |cpu| {
        for _ in 0..times {
            if locked {
                cpu.lock(LOCK);
            }
            let value = cpu.load(BASE).unwrap();
            cpu.barrier();
            cpu.store(BASE, value + 1).unwrap();
            if locked {
                cpu.unlock(LOCK);
            }
        }
    })
}

/// Steps actors in turn; a lock goes to the first that waits for it. Gives the word at `BASE`.
fn interleave(actors: Vec<CpuActor<()>>) -> u64 {
    let board = Board::new();
    let mut ready: VecDeque<_> = actors.into_iter().map(|actor| (actor, Answer::Start)).collect();
    let mut waiting = VecDeque::new();
    let mut held = false;
    while let Some((mut actor, answer)) = ready.pop_front() {
        match actor.step(answer) {
            Step::Wait(Condition::Lock(LOCK)) if held => waiting.push_back(actor),
            Step::Wait(Condition::Lock(LOCK)) => {
                held = true;
                ready.push_back((actor, Answer::Resumed));
            }
            Step::Wait(other) => panic!("nobody waits for {other:?}"),
            Step::Need(request) => {
                if request == Request::Unlock(LOCK) {
                    held = !waiting.is_empty();
                    ready.extend(waiting.pop_front().map(|next| (next, Answer::Resumed)));
                }
                ready.push_back((actor, board.answer(request)));
            }
            Step::Done(()) => {}
        }
    }
    assert!(waiting.is_empty() && !held);
    board.ram.read_word(BASE).unwrap()
}

#[test]
fn two_scheduled_cpus_interleave_and_a_lock_keeps_them_apart() {
    assert_eq!(interleave(vec![increments(true, 10), increments(true, 10)]), 20);
    assert_eq!(interleave(vec![increments(false, 10), increments(false, 10)]), 10, "updates lost");
}

#[test]
fn threads_that_share_a_direct_cpu_exclude_each_other_by_its_locks() {
    struct Shared(Ram, AtomicU64);
    impl Platform for Shared {
        type Memory = Ram;
        fn memory(&self) -> &Ram {
            &self.0
        }
        fn mmio_read(&self, _: Pa, _: u8) -> u64 {
            0
        }
        fn mmio_write(&self, _: Pa, _: u8, _: u64) {}
        fn now_ns(&self) -> u64 {
            self.1.load(Ordering::Relaxed)
        }
        fn advance_to(&self, ns: u64) {
            self.1.fetch_max(ns, Ordering::Relaxed);
        }
        fn promise(&self, _: Promise) {}
    }
    let platform = Shared(Ram::new([(BASE, 0x1000)]).unwrap(), AtomicU64::new(0));
    let cpu = DirectCpu::new(&platform);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..1_000 {
                    cpu.lock(LOCK);
                    let value = cpu.load(BASE).unwrap();
                    std::thread::yield_now();
                    cpu.store(BASE, value + 1).unwrap();
                    cpu.unlock(LOCK);
                }
            });
        }
    });
    assert_eq!(platform.0.read_word(BASE), Ok(4_000));
}

#[test]
#[should_panic(expected = "LockId(3) is taken by the thread that holds it")]
fn a_lock_taken_twice_by_one_thread_is_named() {
    let board = Board::new();
    let cpu = DirectCpu::new(&board);
    cpu.lock(LockId(4));
    cpu.lock(LOCK);
    cpu.lock(LOCK);
}

#[test]
#[should_panic(expected = "LockId(3) is given back by a thread that does not hold it")]
fn a_lock_given_back_that_is_not_held_is_named() {
    let board = Board::new();
    DirectCpu::new(&board).unlock(LOCK);
}

#[test]
#[should_panic(expected = "Word(1) is no answer to Need(Now)")]
fn an_answer_to_another_question_is_named() {
    let mut actor = CpuActor::new(|cpu| cpu.now_ns());
    actor.step(Answer::Start);
    actor.step(Answer::Word(1));
}

#[test]
#[should_panic(expected = "the first answer to a CPU")]
fn an_actor_starts_with_start() {
    CpuActor::new(|cpu| cpu.now_ns()).step(Answer::Done);
}

/// Takes a lock and gives it back when it goes.
struct Guard<'c>(&'c dyn Cpu, Rc<Cell<bool>>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.unlock(LOCK);
        self.1.set(true);
    }
}

#[test]
fn dropping_an_unfinished_actor_runs_the_destructors_of_its_program() {
    let dropped = Rc::new(Cell::new(false));
    let seen = Rc::clone(&dropped);
    let mut actor = CpuActor::new(move |cpu| {
        cpu.lock(LOCK);
        let _guard = Guard(cpu, seen);
        cpu.wait_until(u64::MAX);
    });
    actor.step(Answer::Start);
    assert_eq!(actor.step(Answer::Resumed), Step::Wait(Condition::Time(u64::MAX)));
    drop(actor);
    assert!(dropped.get());
}

#[test]
fn dropping_an_actor_that_never_ran_drops_its_program() {
    let shared = Rc::new(());
    let held = Rc::clone(&shared);
    let actor = CpuActor::new(move |_| drop(held));
    assert_eq!(Rc::strong_count(&shared), 2);
    drop(actor);
    assert_eq!(Rc::strong_count(&shared), 1);
}

#[test]
fn a_panic_of_a_program_comes_out_of_the_step() {
    let dropped = Rc::new(Cell::new(false));
    let seen = Rc::clone(&dropped);
    let mut actor = CpuActor::new(move |cpu| {
        let _guard = Guard(cpu, seen);
        cpu.barrier();
        std::panic::resume_unwind(Box::new("driver"));
    });
    actor.step(Answer::Start);
    let panic = catch_unwind(AssertUnwindSafe(|| actor.step(Answer::Done))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"driver"));
    assert!(dropped.get());
}

#[test]
fn a_program_may_have_a_deeper_stack() {
    fn depth(cpu: &dyn Cpu, left: u32) -> u64 {
        let padding = std::hint::black_box([u64::from(left); 128]);
        if left == 0 { cpu.now_ns() } else { depth(cpu, left - 1) + padding[0] - padding[127] }
    }
    let actor = CpuActor::with_stack_bytes(8 << 20, |cpu| depth(cpu, 2_000)).unwrap();
    assert_eq!(run(&Board::new(), actor).1, 100);
}
