//! Answers from a memory, for runners that answer at once.

use crate::{Answer, Data, Memory, Request};

/// Answers a request that concerns memory; `None` for all others.
#[inline(always)]
pub fn serve_memory<M: Memory>(memory: &M, request: &Request) -> Option<Answer> {
    match *request {
        // Descriptors: by far the most.
        Request::Read { pa, words: 1, .. } => {
            Some(memory.read_word(pa).map_or(Answer::Aborted, Answer::Word))
        }
        _ => serve_other(memory, request),
    }
}

#[inline(never)]
fn serve_other<M: Memory>(memory: &M, request: &Request) -> Option<Answer> {
    let answer = match *request {
        Request::Read { pa, words: 2, .. } => memory
            .read_words::<2>(pa)
            .map(|[low, high]| Answer::Words([low, high, 0, 0, 0, 0, 0, 0])),
        Request::Read { pa, .. } => memory.read_words(pa).map(Answer::Words),
        Request::Write { pa, data, .. } => write(memory, pa, data).map(|()| Answer::Done),
        Request::CompareAndSwap { pa, old, new, .. } => {
            memory.compare_and_swap(pa, old, new).map(Answer::Swapped)
        }
        _ => return None,
    };
    Some(answer.unwrap_or(Answer::Aborted))
}

fn write<M: Memory>(memory: &M, pa: smmu_arch::Pa, data: Data) -> Result<(), crate::Aborted> {
    match data {
        Data::Half(value) => memory.write_bytes(pa, &value.to_le_bytes()),
        Data::Word(value) => memory.write_word(pa, value),
        Data::Pair(words) => memory.write_words(pa, &words),
        Data::Record(words) => memory.write_words(pa, &words),
    }
}
