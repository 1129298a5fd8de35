//! Every fault of the driver is found in its scenario, and nothing is found without it. The table in
//! the book is what this test sees: `UPDATE_EXPECT=1 cargo test -p smmu-lab --test faults` writes it.

use smmu_lab::run::{RunOptions, RunResult, run};
use smmu_lab::{FaultSwitch, LoadOptions, Loaded, Scenario};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Orders that are tried for a fault that needs a race.
const SEEDS: u64 = 1000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The scenario in the kernel without mistakes of its own: the variants that show those are left out.
fn load(scenario: &str) -> Loaded {
    let path = root().join(format!("scenarios/{scenario}.toml"));
    let mut loaded =
        Scenario::load(&path, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    loaded.runs.retain(|run| matches!(run.variant.as_deref(), None | Some("repaired")));
    assert_eq!(loaded.runs.len(), 1, "{scenario}: one run without mistakes");
    loaded
}

fn outcome(loaded: &Loaded, interleave: Option<u64>) -> RunResult {
    let results = run(loaded, &RunOptions { interleave, ..RunOptions::default() });
    let results = results.unwrap_or_else(|error| panic!("{}: {error}", loaded.title));
    results.runs.into_iter().next().expect("a scenario has a run")
}

/// How a run shows that something is wrong.
fn evidence(result: &RunResult) -> Option<String> {
    let oops = result.failures.iter().find(|failure| failure.found.starts_with("oops"));
    if let Some(oops) = oops {
        return Some(oops.found.clone());
    }
    if let Some(verdict) = result.verdicts.first() {
        let cause = verdict.cause.replace('|', "/");
        return Some(match verdict.missing.as_str() {
            "" => cause,
            missing => format!("{cause}; missing: `{missing}`"),
        });
    }
    let failure = result.failures.first()?;
    Some(format!("expected {}, found {}", failure.expected, failure.found))
}

/// The first order in which the fault is found, and how; the same order without it must be clean.
fn found(switch: FaultSwitch, scenario: &str) -> Option<(Option<u64>, String)> {
    let clean = load(scenario);
    let mut spoiled = clean.clone();
    spoiled.runs[0].scenario.faults.push(switch.info().name.to_owned());
    for order in std::iter::once(None).chain((0..SEEDS).map(Some)) {
        let without = outcome(&clean, order);
        assert!(without.passed(), "{scenario}, {order:?}: {:?}", evidence(&without));
        if let Some(evidence) = evidence(&outcome(&spoiled, order)) {
            return Some((order, evidence));
        }
    }
    None
}

#[test]
fn every_fault_is_found_and_the_book_says_how() {
    let mut page = String::from(
        "# Faults\n\n<!-- Written by a test: UPDATE_EXPECT=1 cargo test -p smmu-lab --test faults \
         -->\n\nEach fault is a mistake that somebody made in such a driver, or that a reading of a \
         driver's code shows. `smmulator check scenarios/SCENARIO.toml --fault NAME` switches one \
         on. Every scenario comes out clean without its fault, in the same order. The order is the \
         functional one, or that of the first seed of `--interleave` in which the fault shows.\n\n\
         | Fault | What the driver does wrong | Source | Scenario | Order | Found by |\n\
         |---|---|---|---|---|---|\n",
    );
    let (mut unseen, mut missed) = (String::new(), Vec::new());
    for &switch in FaultSwitch::ALL {
        let info = switch.info();
        let Some(scenario) = info.scenario else {
            let _ = writeln!(unseen, "| `{}` | {} | {} |", info.name, info.breaks, info.source);
            continue;
        };
        let Some((order, evidence)) = found(switch, scenario) else {
            missed.push(format!("{switch} in {scenario}"));
            continue;
        };
        let order = order.map_or("direct".to_owned(), |seed| format!("seed {seed}"));
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | `{scenario}` | {order} | {evidence} |",
            info.name, info.breaks, info.source
        );
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
    page.push_str(
        "\nThese switches break something that no scenario can show: it has no structure in this \
         model, or it needs an order that the runners do not make.\n\n\
         | Fault | What the driver does wrong | Source |\n|---|---|---|\n",
    );
    page.push_str(&unseen);
    let path = root().join("docs/src/faults.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "faults.md is out of date: run this test with UPDATE_EXPECT=1");
}
