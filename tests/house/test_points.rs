//! The test points of the architecture: each is held by tests that are there, or says why not.

use crate::repository::{none, read};
use serde::Deserialize;

#[derive(Deserialize)]
struct Sheet {
    point: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    number: usize,
    says: String,
    #[serde(default)]
    held_by: Vec<String>,
    not_held: Option<String>,
}

fn points() -> Vec<Point> {
    let sheet: Sheet = toml::from_str(&read("spec/testpoints.toml")).expect("the sheet is TOML");
    sheet.point
}

#[test]
fn every_point_is_held_or_says_why_not() {
    let points = points();
    assert!(points.iter().map(|point| point.number).eq(1..=points.len()), "numbered from 1");
    let undecided =
        points.iter().filter(|point| point.held_by.is_empty() != point.not_held.is_some());
    none(
        "Each point of spec/testpoints.toml has either `held_by` or `not_held`:",
        undecided.map(|point| format!("{}: {}", point.number, point.says)),
    );
}

#[test]
fn every_test_that_holds_a_point_is_there() {
    let missing = points().into_iter().flat_map(|point| {
        let gone = point.held_by.into_iter().filter(|test| !is_there(test));
        gone.map(move |test| format!("{}: {test}", point.number)).collect::<Vec<_>>()
    });
    none("Each `held_by` of spec/testpoints.toml is FILE under crates/ and a test in it:", missing);
}

/// `FILE NAME`: the file has a test of that name.
fn is_there(test: &str) -> bool {
    let Some((file, name)) = test.split_once(' ') else { return false };
    let text = read(&format!("crates/{file}"));
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let marked = before.rsplit_once("#[test]");
    marked.is_some_and(|(_, between)| !between.contains("fn "))
}
