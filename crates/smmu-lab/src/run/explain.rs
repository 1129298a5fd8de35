//! One DMA, every fetch, every structure, drawn as a tree.

mod fetched;

use super::engine::Engine;
use super::{RunError, RunOptions};
use crate::scenario::Run;
use fetched::Reader;
use serde::Serialize;
use smmu_arch::{
    AddressSpace, ConfigKey, Direction, EntryKind, Features, Iova, Observation, Pa, Path,
    StageRights, TlbEntry,
};
use smmu_bus::Memory;
use smmu_machine::Order;
use smmu_master::Dma;
use std::fmt::Write;

/// What is to be explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// Name of the device.
    pub device: String,
    /// Address that it puts on the bus.
    pub iova: u64,
    /// It writes.
    pub write: bool,
    /// Steps of the scenario that are done before.
    pub after: usize,
}

/// The answer: the DMA as it comes, and once more with what the first has left.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub title: String,
    /// The first time.
    pub first: Vec<Line>,
    /// The second time.
    pub again: Vec<Line>,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    /// How deep it hangs in the tree, from 0.
    pub depth: usize,
    /// What it was.
    pub text: String,
}

/// Runs the scenario up to the question and asks it.
///
/// # Errors
/// As [`super::run`].
pub fn explain(
    run: &Run,
    question: &Question,
    options: &RunOptions,
) -> Result<Explanation, RunError> {
    let order = options.interleave.map_or(Order::Direct, Order::Seeded);
    let mut engine = Engine::new(run.clone(), order)?;
    for index in 0..question.after.min(run.scenario.steps.len()) {
        engine.step_number(index)?;
    }
    let verb = if question.write { "writes to" } else { "reads" };
    let title = format!("{} {verb} IOVA {:#x}", question.device, question.iova);
    let first = engine.watch_one(question)?;
    let again = engine.watch_one(question)?;
    Ok(Explanation { title, first, again })
}

impl Engine {
    /// Makes the DMA and tells what was seen.
    fn watch_one(&mut self, question: &Question) -> Result<Vec<Line>, RunError> {
        let device = self.device(&question.device);
        let dma = Dma {
            stream: self.first_stream(device),
            substream: None,
            iova: Iova(question.iova),
            bytes: 1, // more could lie in two pages, and be two transactions
            direction: if question.write { Direction::Write } else { Direction::Read },
            privileged: false,
        };
        self.machine.listener().with(|watch| watch.tape = Some(Vec::new()));
        let id = self.machine.start_dma(device, std::iter::once(dma));
        self.machine.wait(id)?;
        self.machine.settle()?;
        let tape = self.machine.listener().with(|watch| watch.tape.take()).unwrap_or_default();
        let memory = self.machine.memory();
        let ids = self.run.machine.smmus[self.run.machine.devices[device].smmu].ids;
        let mut reader = Reader::new(Features::decode(&ids), |pa: Pa| memory.read_word(pa).ok());
        Ok(tape.iter().filter_map(|(_, observation)| line(observation, &mut reader)).collect())
    }
}

fn line(
    observation: &Observation,
    reader: &mut Reader<impl Fn(Pa) -> Option<u64>>,
) -> Option<Line> {
    let (depth, text) = match observation {
        Observation::Began(transaction) => (0, format!("StreamID {}", transaction.stream)),
        Observation::ConfigLookedUp { key, hit } => {
            (1, format!("{}: {}", config(key), if *hit { "hit" } else { "miss" }))
        }
        Observation::LookedUp { structure, space, input, hit } => {
            let found = hit.map_or("miss".to_owned(), |fill| format!("hit on fill {fill}"));
            (1, format!("{structure}, {}, address {input:#x}: {found}", tags(space)))
        }
        Observation::Fetched { pa, why } => (2, reader.fetched(*pa, *why)),
        Observation::Filled { structure, number, entry, .. } => {
            (2, format!("{structure}: kept as fill {number}: {}", shown(entry)))
        }
        Observation::Promoted { number, .. } => (2, format!("µTLB: a copy of fill {number} kept")),
        Observation::WalkFilled { structure, number, .. } => {
            (2, format!("{structure}: kept as fill {number}"))
        }
        Observation::ConfigFilled { key: ConfigKey::Ste(_) } => (2, "STE kept".to_owned()),
        Observation::ConfigFilled { key: ConfigKey::Cd(..) } => (2, "CD kept".to_owned()),
        Observation::FillOvertaken { .. } => {
            (2, "not kept: an invalidation overtook it".to_owned())
        }
        Observation::Translated { output, path, .. } => {
            let how = match path {
                Path::Bypass => "untranslated",
                Path::Hit(_) => "by a TLB hit",
                Path::Walk => "by a walk",
            };
            (1, format!("PA {output}, {how}"))
        }
        Observation::Refused { fault: Some(fault), .. } => (1, format!("refused: {fault}")),
        Observation::Refused { fault: None, .. } => (1, "refused without a record".to_owned()),
        Observation::Stalled { fault, .. } => (1, format!("stalled: {fault}")),
        Observation::EventRecorded(event) => (1, format!("event record: {event}")),
        Observation::EventLost(event) => (1, format!("event record lost: {event}")),
        _ => return None,
    };
    Some(Line { depth, text })
}

fn config(key: &ConfigKey) -> String {
    match key {
        ConfigKey::Ste(stream) => format!("STE cache, StreamID {stream}"),
        ConfigKey::Cd(stream, index) => format!("CD cache, StreamID {stream}, CD {index}"),
    }
}

fn tags(space: &AddressSpace) -> String {
    let kind = match space.kind {
        EntryKind::Stage1 => "stage 1",
        EntryKind::Stage2 => "stage 2",
        EntryKind::Combined => "stages 1 and 2",
    };
    let asid =
        if space.kind.has_stage1() { format!(", ASID {}", space.asid) } else { String::new() };
    format!("{kind}, VMID {}{asid}", space.vmid)
}

fn shown(entry: &TlbEntry) -> String {
    let rights = |rights: StageRights| {
        [(StageRights::READ_UNPRIVILEGED, 'r'), (StageRights::WRITE_UNPRIVILEGED, 'w')]
            .map(|(right, letter)| if rights.contains(right) { letter } else { '-' })
            .iter()
            .collect::<String>()
    };
    let both = entry.permissions.stage1().intersection(entry.permissions.stage2());
    format!("{:#x} to {:#x} → {}, {}", entry.input, entry.last_input(), entry.output, rights(both))
}

impl Explanation {
    /// As text, with branches.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = format!("{}\n", self.title);
        draw(&mut out, &self.first);
        let _ = writeln!(out, "\n{}, once more", self.title);
        draw(&mut out, &self.again);
        out
    }
}

/// Branches: a line is the last of its depth when no later one of that depth hangs on the same.
fn draw(out: &mut String, lines: &[Line]) {
    for (index, line) in lines.iter().enumerate() {
        for depth in 1..=line.depth {
            let rest = lines[index + 1..].iter().take_while(|later| later.depth >= depth);
            let goes_on = rest.into_iter().any(|later| later.depth == depth);
            out.push_str(match (depth == line.depth, goes_on) {
                (true, true) => "├─ ",
                (true, false) => "└─ ",
                (false, true) => "│  ",
                (false, false) => "   ",
            });
        }
        let _ = writeln!(out, "{}", line.text);
    }
}
