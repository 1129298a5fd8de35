//! One table: every row beside its peer and its aim, rows lost included.
//!
//! The least of several runs counts, ours and the peer's in turn: other work on the host only adds
//! time.

use smmulator_benches::{Aim, Row, Workload, draw::Hash, rows};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Runs of each side: many short ones, so that some meet a quiet host.
const RUNS: usize = 101;
/// Time of one run, about.
const RUN: Duration = Duration::from_micros(700);

/// What a row came to, in nanoseconds an operation.
struct Result {
    ours: f64,
    peer: Option<f64>,
}

fn main() {
    // `cargo bench` hands over flags; the first other word is a part of the names wanted.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    header();
    let rows: Vec<Row> = rows().into_iter().filter(|row| row.name.contains(&wanted)).collect();
    let mut results = BTreeMap::new();
    let mut hash = Hash::default();
    for row in &rows {
        eprintln!("{}", row.name);
        results.insert(row.name.as_str(), measure(row, &mut hash));
    }
    println!("| row | ours, ns | crate smmu, ns | ratio | aim | |");
    println!("|---|--:|--:|--:|---|---|");
    let lost = rows.iter().filter(|row| !print(row, &results)).count();
    println!("\n{lost} of {} rows lost. Result hash {:016x}.", rows.len(), hash.0);
}

/// Machine, command, compiler.
fn header() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let rustc = Command::new("rustc").arg("--version").output().ok();
    let rustc = rustc.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("Machine: {model}, {cores} cores, {}", std::env::consts::ARCH);
    println!("Command: cargo bench -p smmulator-benches --bench compare");
    println!("Compiler: {}", rustc.trim());
    println!("Least of {RUNS} runs of about {RUN:?}, both sides in turn\n");
}

fn measure(row: &Row, hash: &mut Hash) -> Result {
    let mut ours = Side::new((row.ours)());
    let mut peer = row.peer.as_ref().map(|peer| Side::new(peer()));
    for _ in 0..RUNS {
        ours.run();
        peer.iter_mut().for_each(Side::run);
    }
    hash.add(ours.hash);
    Result { ours: ours.ns, peer: peer.map(|peer| peer.ns) }
}

/// One side of a row, with its best time.
struct Side {
    workload: Box<dyn Workload>,
    operations: u64,
    ns: f64,
    /// Of a fixed number of operations, checked.
    hash: u64,
}

impl Side {
    fn new(mut workload: Box<dyn Workload>) -> Self {
        const CHECKED: u64 = 4096;
        let first = workload.run(CHECKED);
        assert_eq!(first.hash, workload.expected(CHECKED), "wrong results are not worth timing");
        let ns = workload.run(CHECKED).ns().max(0.1);
        let operations = (RUN.as_nanos() as f64 / ns) as u64 + 1;
        Self { workload, operations, ns, hash: first.hash }
    }

    fn run(&mut self) {
        self.ns = self.ns.min(self.workload.run(self.operations).ns());
    }
}

/// Prints a row; whether it holds all its aims.
fn print(row: &Row, results: &BTreeMap<&str, Result>) -> bool {
    let result = &results[row.name.as_str()];
    let ratio = result.peer.map(|peer| peer / result.ours);
    let held = row.aims.iter().all(|aim| holds(aim, result, results));
    let aims: Vec<String> = row.aims.iter().map(describe).collect();
    println!(
        "| {} | {:.1} | {} | {} | {} | {} |",
        row.name,
        result.ours,
        result.peer.map_or("–".into(), |ns| format!("{ns:.1}")),
        ratio.map_or("–".into(), |ratio| format!("{ratio:.1}")),
        aims.join(", "),
        if row.aims.is_empty() {
            ""
        } else if held {
            "held"
        } else {
            "LOST"
        },
    );
    held
}

fn holds(aim: &Aim, result: &Result, results: &BTreeMap<&str, Result>) -> bool {
    match aim {
        Aim::Ns(ns) => result.ours <= *ns,
        Aim::Peer(times) => result.peer.is_some_and(|peer| peer >= times * result.ours),
        Aim::TimesRow(times, other) => {
            results.get(other.as_str()).is_none_or(|other| other.ours >= times * result.ours)
        }
    }
}

fn describe(aim: &Aim) -> String {
    match aim {
        Aim::Ns(ns) => format!("≤ {ns} ns"),
        Aim::Peer(times) => format!("≥ {times}× the peer"),
        Aim::TimesRow(times, other) => format!("≥ {times}× the rate of `{other}`"),
    }
}
