//! A case file from end to end.

use super::case::Case;
use super::compare::{Verdict, compare};
use super::driver_log::{first_line, log_from};
use super::load::{load, load_from};
use super::report::Report;
use super::run::{Answers, run};
use crate::input::InputError;
use crate::log::is_log;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `replay` is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Case file; `-` is standard input.
    pub cases: PathBuf,
    /// Where to write this project's own answers, a line a case.
    pub answers: Option<PathBuf>,
    /// Report as JSON.
    pub json: bool,
    /// Cases run at once. No byte of output depends on it.
    pub jobs: NonZeroUsize,
}

/// The command `replay`: the report goes to `out`, what is wrong with the input to `err`. A file
/// whose first record is that of a driver log is replayed as such.
///
/// Gives the exit status: 0 if all that can be compared agrees, 1 if something does not, 2 if input
/// or output cannot be used.
pub fn command(options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let failed = match report(options) {
        Ok((agrees, text)) => match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => error.to_string(),
            _ => return u8::from(!agrees),
        },
        Err(error) => error.to_string(),
    };
    // Who cannot be told has the exit status.
    let _ = writeln!(err, "error: {failed}");
    2
}

/// Whether everything agrees, and the report as it is to be printed.
fn report(options: &Options) -> Result<(bool, String), InputError> {
    let path = options.cases.as_path();
    let (first, source) = first_line(path)?;
    if is_log(&first) {
        if options.answers.is_some() {
            let (cause, remedy) = ("a driver log has no answers", "leave --answers out");
            let (cause, remedy) = (cause.into(), remedy.into());
            return Err(InputError { cause, remedy, ..InputError::of(path) });
        }
        let report = log_from(path, source)?;
        let text = if options.json { report.to_json() } else { report.to_string() };
        return Ok((report.agrees(), text));
    }
    let cases = load_from(path, source)?;
    let report = replay_loaded(&cases, options.answers.as_deref(), options.jobs)?;
    let text = if options.json { report.to_json() } else { report.to_string() };
    Ok((report.agrees(), text))
}

/// Runs a case file, compares, and writes the answers if that is asked for.
///
/// # Errors
/// A case file that cannot be used, answers that cannot be written.
pub fn replay(
    path: impl AsRef<Path>,
    answers: Option<&Path>,
    jobs: NonZeroUsize,
) -> Result<Report, InputError> {
    replay_loaded(&load(path)?, answers, jobs)
}

fn replay_loaded(
    cases: &[Case],
    answers: Option<&Path>,
    jobs: NonZeroUsize,
) -> Result<Report, InputError> {
    let (all, report) = replay_cases(cases, jobs);
    if let Some(path) = answers {
        let remedy = "name a file that can be written";
        write_answers(path, &all).map_err(|error| InputError::file(path, &error, remedy))?;
    }
    Ok(report)
}

/// Runs cases, `jobs` at once, and compares; answers and report are in the order of the cases.
#[must_use]
pub fn replay_cases(cases: &[Case], jobs: NonZeroUsize) -> (Vec<Answers>, Report) {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(cases.len()));
    thread::scope(|scope| {
        for _ in 0..jobs.get().min(cases.len()) {
            scope.spawn(|| {
                while let Some((index, case)) = take(cases, &next) {
                    let answers = run(case);
                    let verdict = compare(case, &answers);
                    let mut done = done.lock().unwrap_or_else(|poison| poison.into_inner());
                    done.push((index, answers, verdict));
                }
            });
        }
    });
    in_order(cases, done.into_inner().unwrap_or_else(|poison| poison.into_inner()))
}

fn take<'a>(cases: &'a [Case], next: &AtomicUsize) -> Option<(usize, &'a Case)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    cases.get(index).map(|case| (index, case))
}

fn in_order(cases: &[Case], mut done: Vec<(usize, Answers, Verdict)>) -> (Vec<Answers>, Report) {
    done.sort_unstable_by_key(|&(index, ..)| index);
    let mut report = Report::default();
    let mut all = Vec::with_capacity(done.len());
    for (index, answers, verdict) in done {
        report.add(&cases[index], verdict);
        all.push(answers);
    }
    (all, report)
}

fn write_answers(path: &Path, all: &[Answers]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for answers in all {
        serde_json::to_writer(&mut file, answers)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
