//! A schedule as people read it: what CPUs did on the left, what the SMMU did on the right.

use crate::trial::Setup;
use crate::world::command_queue;
use smmu_arch::{Command, ConfigKey, Why};
use smmu_bus::{Condition, Data, Message, Request};
use smmu_machine::{ActorName, Did, End, Family, MemoryOrder, Turn};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Columns of the left half.
const LEFT: usize = 66;

/// Draws a schedule. Steps that only look something up, or end, are left out.
pub(crate) fn draw(setup: &Setup, turns: &[Turn]) -> String {
    let mut painter = Painter { setup, entries: BTreeMap::new() };
    let mut text = format!("  {:<LEFT$}│ SMMU\n  {:─<LEFT$}┼{:─<44}\n", "CPU", "", "");
    for (number, turn) in turns.iter().enumerate() {
        let Some(line) = painter.line(turn) else { continue };
        let who = painter.who(turn.actor);
        let line = format!("{:>3}  {who}{line}", number + 1);
        let _ = match turn.actor.family {
            Family::Cpu | Family::Store { .. } => writeln!(text, "  {line:<LEFT$}│"),
            _ => writeln!(text, "  {:<LEFT$}│ {line}", ""),
        };
    }
    text
}

struct Painter<'s> {
    setup: &'s Setup,
    /// Words that CPUs put into Command queues.
    entries: BTreeMap<u64, u64>,
}

impl Painter<'_> {
    fn who(&self, actor: ActorName) -> String {
        let block = |number: u32| match self.setup.litmus.dmas.get(number as usize) {
            Some(block) => format!("{}: ", block.name),
            None => format!("dma{number}: "),
        };
        match actor.family {
            Family::Cpu => format!("cpu{}: ", actor.number),
            Family::Store { cpu } => format!("cpu{cpu}:   "),
            Family::Dma => block(actor.number),
            Family::Walk { dma } | Family::Word { dma, .. } => block(dma),
            Family::Command { .. } => format!("command {}: ", actor.number),
            _ => format!("{actor}: "),
        }
    }

    fn line(&mut self, turn: &Turn) -> Option<String> {
        if let Some(Condition::Lock(_)) = turn.resumed {
            return Some("takes a lock".to_owned());
        }
        let resumed = match turn.resumed {
            Some(Condition::Register { least, .. }) => format!("sees CONS = {least}; "),
            Some(Condition::Drained(_)) => "nothing is in flight; ".to_owned(),
            _ => String::new(),
        };
        let did = match &turn.did {
            Did::Asked(request) => self.request(turn, request),
            Did::Ended(End::Command(Ok(command))) => Some(format!("{command} is consumed")),
            Did::Ended(End::Command(Err(error))) => Some(format!("{error}")),
            Did::Ended(End::Translation { refused: true }) => Some("is refused".to_owned()),
            _ => None,
        };
        match did {
            Some(did) => Some(format!("{resumed}{did}")),
            None if resumed.is_empty() => None,
            None => Some(resumed.trim_end_matches("; ").to_owned()),
        }
    }

    fn request(&mut self, turn: &Turn, request: &Request) -> Option<String> {
        Some(match request {
            Request::Write { pa, data: Data::Word(word), why: Why::Data } => {
                let _ = word;
                format!("writes {}", self.page(pa.0))
            }
            Request::Read { pa, why: Why::Data, .. } => format!("reads {}", self.page(pa.0)),
            Request::Write { pa, data: Data::Word(word), .. } => {
                return self.stored(turn, pa.0, *word);
            }
            Request::Read { pa, why, .. } => {
                let name = self.setup.world.names.get(&pa.0);
                let name = name.map_or_else(|| format!("at {pa}"), Clone::clone);
                match turn.actor.family {
                    Family::Command { .. } => "is fetched".to_owned(),
                    Family::Word { .. } => format!("reads {name}"),
                    _ => format!("reads {name}: {why}"),
                }
            }
            Request::Fill { entry, .. } => {
                format!("a TLB keeps {:#x} -> {}", entry.input, self.page(entry.output.0))
            }
            Request::FillWalk { entry, .. } if entry.leaf => return None,
            Request::FillWalk { entry, .. } => {
                format!("a walk cache keeps level {} of {:#x}", entry.reach.level, entry.reach.base)
            }
            Request::FillConfig { entry, .. } => match entry.key {
                ConfigKey::Ste(stream) => format!("the STE cache keeps stream {stream}"),
                ConfigKey::Cd(stream, _) => format!("the CD cache keeps that of stream {stream}"),
            },
            Request::Forget { .. } => "TLBs forget".to_owned(),
            Request::ForgetConfig { .. } => "STE and CD caches forget".to_owned(),
            Request::MmioWrite { value, .. } => format!("doorbell: PROD = {value}"),
            Request::Barrier => "barrier".to_owned(),
            Request::Unlock(_) => "gives a lock back".to_owned(),
            Request::Promise(promise) => format!("{promise}"),
            Request::Send { message, .. } => return self.sent(message),
            _ => return None,
        })
    }

    fn sent(&self, message: &Message) -> Option<String> {
        Some(match message {
            Message::Transaction(transaction) | Message::Translated(transaction) => {
                let what = if transaction.access.is_write() { "write" } else { "read" };
                let translated = match message {
                    Message::Translated(_) => " (translated)",
                    _ => "",
                };
                format!("{what} of {} begins{translated}", transaction.iova)
            }
            Message::TranslationRequest(request) => format!("asks for {}", request.iova),
            Message::InvalidateAtc(_) => "is sent to the endpoint".to_owned(),
            Message::Tlbi(tlbi) => format!("{tlbi}; TLBs forget"),
            Message::BroadcastSync => "dsb".to_owned(),
            _ => return None,
        })
    }

    /// A word that a CPU stores, or that memory sees.
    fn stored(&mut self, turn: &Turn, pa: u64, word: u64) -> Option<String> {
        let seen = matches!(turn.actor.family, Family::Store { .. });
        let verb = match (seen, self.setup.memory) {
            (true, _) => "memory sees",
            (false, MemoryOrder::Sc) => "store",
            (false, _) => "buffer",
        };
        if let Some(entry) = self.queue_entry(pa) {
            self.entries.insert(pa, word);
            let second = pa % 16 == 8;
            let words = [self.entries.get(&(pa & !15)).copied().unwrap_or(0), word];
            let command = match Command::decode(&words) {
                Ok(command) => command.to_string(),
                Err(error) => error.to_string(),
            };
            return match (seen, second) {
                (false, false) => None,
                (false, true) => Some(format!("queue entry {entry}: {command}")),
                (true, _) => Some(format!("{verb} queue entry {entry}, word {}", pa % 16 / 8)),
            };
        }
        let name = self.setup.world.names.get(&pa).cloned().unwrap_or_else(|| format!("{pa:#x}"));
        Some(format!("{verb} {name} = {word:#x}"))
    }

    fn queue_entry(&self, pa: u64) -> Option<u64> {
        let smmus = 0..self.setup.litmus.smmus.len();
        smmus.into_iter().find_map(|smmu| {
            let offset = pa.checked_sub(command_queue(smmu)).filter(|&offset| offset < 0x1000)?;
            Some(offset / 16)
        })
    }

    fn page(&self, pa: u64) -> String {
        let pages = self.setup.world.pages.iter().zip(&self.setup.litmus.pages);
        let mut it = pages.filter(|(first, page)| pa >> page.size_log2 == *first >> page.size_log2);
        it.next().map_or_else(|| format!("{pa:#x}"), |(_, page)| page.name.clone())
    }
}
