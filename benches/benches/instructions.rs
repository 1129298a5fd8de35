//! Instructions of an operation, counted by callgrind: the same on every run of a build, whatever
//! else the host does.
//!
//! Each row runs twice in a process of its own, with one number of operations and with twice as
//! many; the difference is what the operations cost. Without valgrind it says so and ends.

use smmulator_benches::rows;
use std::env;
use std::process::{Command, ExitCode, Stdio};

/// Rows that are counted, by the beginnings of their names.
const COUNTED: [&str; 3] = ["translate/", "tlb/", "walk/"];
const OPERATIONS: u64 = 20_000;
const WORK: &str = "--work";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == WORK) {
        return work(&arguments[at + 1..]);
    }
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!("skipped: valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    println!("{:<44} instructions an operation", "row");
    for row in rows() {
        let counted = COUNTED.iter().any(|beginning| row.name.starts_with(beginning));
        // More threads take turns under valgrind, and wait for each other.
        if !counted || row.name.contains("threads=2") {
            continue;
        }
        match (instructions(&row.name, OPERATIONS), instructions(&row.name, 2 * OPERATIONS)) {
            (Some(once), Some(twice)) => {
                let each = (twice - once) as f64 / OPERATIONS as f64;
                println!("{:<44} {each:.1}", row.name);
            }
            _ => {
                eprintln!("{}: callgrind gave no count", row.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Runs one row for a number of operations.
fn work(arguments: &[String]) -> ExitCode {
    let [name, operations] = arguments else { return ExitCode::FAILURE };
    let row = rows().into_iter().find(|row| row.name == *name);
    let (Some(row), Ok(operations)) = (row, operations.parse()) else { return ExitCode::FAILURE };
    let mut workload = (row.ours)();
    workload.run(operations);
    ExitCode::SUCCESS
}

/// Instructions of a process that runs one row.
fn instructions(name: &str, operations: u64) -> Option<u64> {
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args([WORK, name, &operations.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&valgrind.stderr).into_owned();
    let collected = text.lines().find_map(|line| line.split_once("Collected :"))?;
    collected.1.trim().parse().ok()
}
