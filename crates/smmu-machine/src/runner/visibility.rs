//! What of memory is seen when: stores that wait in a CPU, and structures that are read word by
//! word.
//!
//! A store that waits is an actor of one step, as is the read of a word: so that whoever orders
//! the steps of a machine orders these as well.

use super::listener::Listener;
use super::name::ActorName;
use super::order::MemoryOrder;
use super::schedule::{CpuId, DmaId, Machine, Running, Slot, State};
use super::turn::Did;
use smmu_arch::{Pa, Why};
use smmu_bus::{Answer, Data, Memory, Message, Request, serve_memory};

/// Words of an STE or CD.
const WORDS: usize = 8;

impl<L: Listener> Machine<L> {
    /// Whether a CPU's request waits until memory has seen its stores.
    pub(super) fn is_ordered(&self, request: &Request) -> bool {
        self.memory_order != MemoryOrder::Sc
            && matches!(
                request,
                Request::Barrier
                    | Request::CompareAndSwap { .. }
                    | Request::Unlock(_)
                    | Request::Send { message: Message::BroadcastSync, .. }
            )
    }

    /// The request of a CPU whose stores memory has seen by now.
    pub(super) fn answer_ordered(&mut self, index: usize, request: &Request) {
        self.did = Did::Asked(*request);
        let Running::Cpu { id, .. } = self.actors[index].actor else { return };
        if let Some(answer) = self.answer_cpu(id, request) {
            self.actors[index].state = State::Ready(answer);
        }
    }

    /// Whether a CPU has stores that memory has not seen.
    pub(super) fn has_stores(&self, cpu: CpuId) -> bool {
        self.stores(cpu).next().is_some()
    }

    /// Whether no store of the CPU has to be seen before this one.
    pub(super) fn is_next_store(&self, cpu: CpuId, pa: Pa, name: ActorName) -> bool {
        let in_order = self.memory_order == MemoryOrder::Tso;
        let mut first = self.stores(cpu).filter(|&(_, of, _)| in_order || of == pa);
        first.next().is_some_and(|(first, ..)| first == name)
    }

    /// A store goes into the buffer, and a load finds what is there.
    pub(super) fn answer_from_buffer(&mut self, cpu: CpuId, request: &Request) -> Option<Answer> {
        match *request {
            Request::Write { pa, data, .. } if self.memory_order != MemoryOrder::Sc => {
                self.start(Running::Store { cpu, pa, data });
                Some(Answer::Done)
            }
            Request::Read { pa, words: 1, .. } => {
                let newest = self.stores(cpu).filter(|&(_, of, _)| of == pa).last()?;
                match newest.2 {
                    Data::Word(word) => Some(Answer::Word(word)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Memory sees a store.
    pub(super) fn make_store(&mut self, index: usize) {
        let Running::Store { pa, data, .. } = self.actors.remove(index).actor else { return };
        let request = Request::Write { pa, data, why: Why::Cpu };
        self.did = Did::Asked(request);
        // A store that meets no memory is lost: an SError would come too late to name it.
        let _ = serve_memory(&*self.board.memory, &request);
    }

    /// Stores of a CPU that memory has not seen, in program order.
    fn stores(&self, cpu: CpuId) -> impl Iterator<Item = (ActorName, Pa, Data)> {
        self.actors.iter().filter_map(move |slot| match slot.actor {
            Running::Store { cpu: of, pa, data } if of == cpu => Some((slot.name, pa, data)),
            _ => None,
        })
    }

    /// Whether a structure is read a word at a time.
    pub(super) fn is_torn(&self, pa: Pa) -> bool {
        self.torn.range(pa..pa.offset(8 * WORDS as u64)).next().is_some()
    }

    /// The words of a structure are read for a translation, in any order.
    pub(super) fn gather(&mut self, index: usize, pa: Pa) {
        let Running::Translation { master, .. } = self.actors[index].actor else { return };
        self.did = Did::Waits;
        self.actors[index].state = State::Gathering([0; WORDS], WORDS);
        for index in 0..WORDS {
            self.start(Running::Word { master, index, pa: pa.offset(8 * index as u64) });
        }
    }

    /// A word of a structure is read; the last one lets the translation go on.
    pub(super) fn fetch_word(&mut self, index: usize) {
        let Running::Word { master, index, pa } = self.actors.remove(index).actor else { return };
        // What for is told where the whole structure is asked for.
        self.did = Did::Asked(Request::Read { pa, words: 1, why: Why::Ste });
        let word = self.board.memory.read_word(pa);
        let Some(state) = self.gathering(master) else { return };
        let State::Gathering(mut words, missing) = *state else { return };
        *state = match word {
            Err(_) => State::Ready(Answer::Aborted),
            Ok(word) => {
                words[index] = word;
                match missing - 1 {
                    0 => State::Ready(Answer::Words(words)),
                    missing => State::Gathering(words, missing),
                }
            }
        };
    }

    fn gathering(&mut self, master: DmaId) -> Option<&mut State> {
        let mut slots = self.actors.iter_mut();
        let it = slots.find(|slot| match slot {
            Slot {
                actor: Running::Translation { master: of, .. },
                state: State::Gathering(..),
                ..
            } => *of == master,
            _ => false,
        });
        it.map(|slot| &mut slot.state)
    }
}
