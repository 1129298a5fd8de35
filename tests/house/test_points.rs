//! The test points of the architecture: each is held by tests that bear its mark, or says why not.
//!
//! Which tests bear a mark is read from the sources, and told in the book. That a mark is passed
//! is only known after all tests have run:
//!
//! ```text
//! SMMULATOR_TESTPOINTS=$PWD/target/testpoints cargo test --workspace
//! SMMULATOR_TESTPOINTS_OF=$PWD/target/testpoints cargo test -p smmulator-tests --test house
//! ```

use crate::repository::{files, none, read, root};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

const PAGE: &str = "docs/src/test-points.md";

#[derive(Deserialize)]
struct Sheet {
    point: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    number: u16,
    says: String,
    not_held: Option<String>,
}

fn points() -> Vec<Point> {
    let sheet: Sheet = toml::from_str(&read("spec/testpoints.toml")).expect("the sheet is TOML");
    sheet.point
}

/// The tests that bear the mark of each point, as `file: test`.
fn marked() -> BTreeMap<u16, BTreeSet<String>> {
    let mut marked: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for file in files().into_iter().filter(|file| is_source(file)) {
        let mut test = "";
        let text = read(&file);
        for line in text.lines().map(str::trim_start) {
            if let Some(name) = line.strip_prefix("fn ") {
                test = name.split('(').next().unwrap_or_default();
            }
            for point in marks_in(line) {
                let place = file.trim_start_matches("crates/");
                marked.entry(point).or_default().insert(format!("{place}: {test}"));
            }
        }
    }
    marked
}

fn is_source(file: &str) -> bool {
    file.ends_with(".rs") && file.starts_with("crates/") && !file.contains("smmu-testpoint")
}

/// `testpoint!(1, 2);`
fn marks_in(line: &str) -> Vec<u16> {
    let numbers = line.strip_prefix("testpoint!(").and_then(|rest| rest.strip_suffix(");"));
    let numbers = numbers.unwrap_or_default().split(',');
    numbers.filter_map(|number| number.trim().parse().ok()).collect()
}

#[test]
fn every_point_is_held_or_says_why_not() {
    let (points, marked) = (points(), marked());
    assert!(points.iter().map(|point| point.number).eq(1..=282), "numbered from 1 to 282");
    let undecided = points
        .iter()
        .filter(|point| marked.contains_key(&point.number) == point.not_held.is_some());
    none(
        "Each point of spec/testpoints.toml is marked in a test, or has `not_held`:",
        undecided.map(|point| format!("{}: {}", point.number, point.says)),
    );
    let known: BTreeSet<_> = points.iter().map(|point| point.number).collect();
    let unknown = marked.keys().filter(|number| !known.contains(number));
    none("Each mark names a point of spec/testpoints.toml:", unknown.map(u16::to_string));
}

#[test]
fn the_book_lists_who_holds_each_point() {
    let page = page(&points(), &marked());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(root().join(PAGE), &page).expect("the page can be written");
    }
    assert!(read(PAGE) == page, "{PAGE} is out of date: run this test with UPDATE_EXPECT=1");
}

fn page(points: &[Point], marked: &BTreeMap<u16, BTreeSet<String>>) -> String {
    let held = points.iter().filter(|point| marked.contains_key(&point.number)).count();
    let mut page = format!(
        "# Test points\n\n\
         What can be observed of an SMMU, one statement a point, and the tests that fail if it is \
         not kept: {held} of {} points are held. A test bears the mark `testpoint!(NUMBER)` behind \
         its assertions. This page is made from the marks:\n\n\
         ```\n\
         UPDATE_EXPECT=1 cargo test -p smmulator-tests --test house test_points\n\
         ```\n\n\
         The statements are those of `spec/testpoints.toml`, which also says what holds unless a \
         point says otherwise.\n\n\
         | point | statement | held by |\n|---|---|---|\n",
        points.len()
    );
    for Point { number, says, not_held } in points {
        let tests = marked.get(number).into_iter().flatten().map(|test| format!("`{test}`"));
        let tests: Vec<_> = tests.collect();
        let by = match not_held {
            Some(reason) => format!("not held: {reason}"),
            None => tests.join(", "),
        };
        let says = says.replace('|', "\\|").replace('<', "&lt;");
        writeln!(page, "| {number} | {says} | {by} |").expect("a string takes it");
    }
    page
}

/// After all tests have run: no point is without a mark that was passed.
#[test]
fn every_mark_was_passed() {
    let Some(folder) = std::env::var_os("SMMULATOR_TESTPOINTS_OF") else {
        println!("skipped: no run of all tests has left its marks, see the head of this file");
        return;
    };
    let marks = smmu_testpoint::marks(&PathBuf::from(folder)).expect("the folder can be read");
    let passed: BTreeSet<u16> = marks.into_iter().map(|(point, _)| point).collect();
    let points = points();
    println!("{} of {} points were held by a test that ran", passed.len(), points.len());
    let open =
        points.iter().filter(|point| passed.contains(&point.number) == point.not_held.is_some());
    none(
        "Each point was held by a test that ran, or says why not:",
        open.map(|point| format!("{}: {}", point.number, point.says)),
    );
}
