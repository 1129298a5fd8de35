//! Driver logs: what a real driver did to an SMMU, fed to this one and compared.
//!
//! The format is described in `docs/`, "Driver logs". What goes in are the machine, the words that
//! CPUs stored, register writes and the accesses of masters; what is compared are register reads,
//! commands, MSIs, event records and what became of the accesses.

mod bench;
mod compare;
mod record;
mod report;

pub use compare::Place;
pub use record::{Init, Line, Number, Record};
pub use report::{Kind, LogReport, Mismatch, Tally};

use bench::{Bench, Consumed, Outcome};
use compare::{Pairs, is_doorbell, same_event};
use record::{Access, Words};
use smmu_arch::{Command, Event};
use thiserror::Error;

/// The most bytes of one access.
const ACCESS_MAX: u64 = 1 << 30;
/// SMMU_IIDR names the maker of the SMMU, which is another one here.
const IIDR: u64 = 0x18;

/// Input that is no log.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{cause}")]
pub struct LogError {
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl LogError {
    fn new(cause: impl Into<String>, remedy: &'static str) -> Self {
        Self { cause: cause.into(), remedy }
    }
}

/// Whether the first line of a file is that of a driver log.
#[must_use]
pub fn is_log(first_line: &[u8]) -> bool {
    matches!(serde_json::from_slice(first_line), Ok(Line { record: Record::Init(_), .. }))
}

/// A replay in progress: records go in one by one.
#[derive(Default)]
pub struct LogReplay {
    bench: Option<Bench>,
    report: LogReport,
    commands: Pairs<Consumed>,
    syncs: Pairs<(u64, u32)>,
    messages: Pairs<(u64, u32)>,
    events: Pairs<Event>,
}

impl LogReplay {
    /// Takes the next record.
    ///
    /// # Errors
    /// A record that cannot be: before `init` or a second one, memory that does not exist, an
    /// access that is too long.
    pub fn record(&mut self, place: Place, record: Record) -> Result<(), LogError> {
        self.report.records += 1;
        if let Record::Init(init) = record {
            return self.init(&init);
        }
        let Some(bench) = &mut self.bench else {
            let remedy = "begin the log with its `init` record";
            return Err(LogError::new("a record stands before `init`", remedy));
        };
        match record {
            Record::Mw(words) => store(bench, &words)?,
            Record::W(write) => bench.write(write.off.0, write.sz, write.v.0),
            Record::R(read) if read.off.0 == IIDR => self.report.pass_over("IIDR", 1),
            Record::R(read) => {
                let got = bench.read(read.off.0, read.sz);
                let (sides, equal) = ((&read.v.0, &got), got == read.v.0);
                let tell = |value: &u64| format!("{value:#x} at offset {:#x}", read.off.0);
                self.report.compare(Some(place), Kind::Register, sides, equal, tell);
            }
            Record::Cmd(command) => {
                let words = command.d.map(|word| word.0);
                let expected = Consumed { pa: command.pa.0, words, failed: false };
                self.commands.expect(place, expected);
            }
            Record::Dw(words) => self.device_write(place, &words)?,
            Record::Dma(access) => self.access(place, &access)?,
            Record::Init(_)
            | Record::Warm(_)
            | Record::Promise(_)
            | Record::Irq {}
            | Record::Audit {}
            | Record::Stale {}
            | Record::Note {} => {}
            Record::Unknown => self.report.pass_over("records of an unknown kind", 1),
        }
        self.pair();
        Ok(())
    }

    fn init(&mut self, init: &Init) -> Result<(), LogError> {
        if self.bench.is_some() {
            let remedy = "give each log a file of its own";
            return Err(LogError::new("the log has a second `init` record", remedy));
        }
        let remedy = "ram_size is a multiple of 4 KiB that the host can hold";
        let bench = Bench::new(init).map_err(|error| LogError::new(error.to_string(), remedy))?;
        self.bench = Some(bench);
        Ok(())
    }

    fn device_write(&mut self, place: Place, words: &Words) -> Result<(), LogError> {
        match words.what.as_str() {
            "evt" => {
                let event = event_of(words)?;
                self.events.expect(place, event);
                // The stall was told before the access ends.
                if event.is_stall()
                    && self.events.lacks()
                    && let Some(bench) = &mut self.bench
                {
                    bench.stall(&event);
                }
            }
            "sync-msi" | "msi" => {
                let [data] = words.v[..] else {
                    return Err(LogError::new("an MSI has one word", "write `v` with one word"));
                };
                let message = (words.pa.0, data.0 as u32);
                let pairs =
                    if is_doorbell(words.pa.0) { &mut self.messages } else { &mut self.syncs };
                pairs.expect(place, message);
            }
            _ => self.report.pass_over("writes of the device of an unknown kind", 1),
        }
        Ok(())
    }

    fn access(&mut self, place: Place, access: &Access) -> Result<(), LogError> {
        if access.len.0 > ACCESS_MAX {
            let cause = format!("an access of {} bytes", access.len.0);
            return Err(LogError::new(cause, "an access has 1 GiB at most"));
        }
        let Some(bench) = &mut self.bench else { return Ok(()) };
        if access.stale.0 != 0 {
            // What a stale hit leads to depends on what a model caches, and so do its records.
            self.pair();
            let records = self.events.pass_over() as u64;
            self.report
                .pass_over("accesses that met stale entries, and their records", records + 1);
            return Ok(());
        }
        let got = bench.access(access);
        let Some(fault) = got.fault else {
            self.report.pass_over("accesses that are still stalled here", 1);
            return Ok(());
        };
        let expected = Outcome {
            fault: Some(access.fault.0),
            pas: access.pas.iter().map(|pa| pa.0).collect(),
        };
        // Before a fault a log may or may not name the pieces that were translated.
        let pas = fault != 0 && expected.pas.is_empty() || expected.pas == got.pas;
        let equal = expected.fault == got.fault && pas;
        let sides = (&expected, &got);
        let tell = |outcome: &Outcome| tell_outcome(outcome, access);
        self.report.compare(Some(place), Kind::Access, sides, equal, tell);
        Ok(())
    }

    /// Compares what both sides have by now.
    fn pair(&mut self) {
        let Some(bench) = &mut self.bench else { return };
        let done = bench.done();
        self.commands.obtain(done.commands.drain(..));
        self.events.obtain(done.events.drain(..));
        for message in done.messages.drain(..) {
            let pairs = if is_doorbell(message.0) { &mut self.messages } else { &mut self.syncs };
            pairs.obtain(std::iter::once(message));
        }
        let report = &mut self.report;
        while let Some((place, expected, got)) = self.commands.next_command() {
            let equal = (expected.pa, expected.words) == (got.pa, got.words);
            report.compare(Some(place), Kind::Command, (&expected, &got), equal, tell_command);
        }
        for (pairs, kind) in
            [(&mut self.syncs, Kind::SyncMessage), (&mut self.messages, Kind::Message)]
        {
            while let Some((place, expected, got)) = pairs.next() {
                let equal = expected == got;
                report.compare(Some(place), kind, (&expected, &got), equal, tell_message);
            }
        }
        while let Some((place, expected, got)) = self.events.next() {
            bench.same_stag(&expected, &got);
            let equal = same_event(&expected, &got);
            report.compare(Some(place), Kind::Event, (&expected, &got), equal, Event::to_string);
        }
    }

    /// The end of the log. What one side alone has is a mismatch.
    ///
    /// # Errors
    /// A log without `init`.
    pub fn finish(mut self) -> Result<LogReport, LogError> {
        if self.bench.is_none() {
            let remedy = "begin the log with its `init` record";
            return Err(LogError::new("there is no record in it", remedy));
        }
        self.pair();
        let mut report = self.report;
        end(&mut report, Kind::Command, self.commands, tell_command);
        end(&mut report, Kind::SyncMessage, self.syncs, tell_message);
        // A log may have them as interrupt lines alone, whose order is free.
        let raised = self.messages.more_obtained();
        report.pass_over("messages to the doorbell that the log has as interrupts", raised);
        end(&mut report, Kind::Message, self.messages, tell_message);
        end(&mut report, Kind::Event, self.events, Event::to_string);
        Ok(report)
    }
}

fn end<T>(report: &mut LogReport, kind: Kind, pairs: Pairs<T>, tell: impl Fn(&T) -> String) {
    let (expected, obtained) = pairs.leftovers();
    for (place, expected) in expected {
        report.differs(Some(place), kind, tell(&expected), "nothing".to_owned());
    }
    for obtained in obtained {
        report.differs(None, kind, "nothing".to_owned(), tell(&obtained));
    }
}

fn store(bench: &Bench, words: &Words) -> Result<(), LogError> {
    for (index, word) in words.v.iter().enumerate() {
        let pa = words.pa.0.wrapping_add(index as u64 * 8);
        if !pa.is_multiple_of(8) || !bench.store(pa, word.0) {
            let cause = format!("a CPU stored to {pa:#x}, where no word of RAM is");
            return Err(LogError::new(cause, "`pa` is a multiple of 8 below ram_size"));
        }
    }
    Ok(())
}

/// A record of eight words of 32 bits.
fn event_of(words: &Words) -> Result<Event, LogError> {
    let remedy = "an `evt` has the eight 32-bit words of an event record";
    let halves: [u64; 8] = words
        .v
        .iter()
        .map(|word| word.0 & 0xffff_ffff)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| LogError::new("an event record has eight words", remedy))?;
    let words = [0, 2, 4, 6].map(|at| halves[at] | halves[at + 1] << 32);
    Event::decode(&words).map_err(|error| LogError::new(error.to_string(), remedy))
}

fn tell_command(command: &Consumed) -> String {
    let Consumed { pa, words: [low, high], .. } = command;
    let name = Command::decode(&command.words).map_or("no command", |command| command.name());
    format!("{name} {low:#x} {high:#x} at {pa:#x}")
}

fn tell_message((pa, data): &(u64, u32)) -> String {
    format!("{data:#x} written to {pa:#x}")
}

fn tell_outcome(outcome: &Outcome, access: &Access) -> String {
    let (stream, iova) = (access.sid.0, access.iova.0);
    let who = format!("of stream {stream:#x} at {iova:#x}");
    let pas: Vec<_> = outcome.pas.iter().map(|pa| format!("{pa:#x}")).collect();
    let pas = pas.join(" ");
    match outcome.fault {
        Some(0) => format!("an access {who} to {pas}"),
        Some(fault) => format!("an access {who} with fault {fault:#x} after [{pas}]"),
        None => format!("an access {who} that is stalled"),
    }
}
