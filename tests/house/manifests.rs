//! Manifests: one version of everything, and lints that nobody opts out of.

use crate::repository::{files, none, read};
use toml::{Table, Value};

/// Crates that meet a foreign host and may hold `unsafe`; they state their own lints.
const EDGES: [&str; 3] = ["smmu-ffi", "smmu-preload", "smmu-python"];
/// What one member alone may name with a version of its own, by package: a peer that the benches
/// measure against, and that nobody else is to find in the root manifest.
const OWN: [(&str, &str); 1] = [("benches/Cargo.toml", "smmu")];
/// What every package takes from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "repository"];

/// Manifests of the workspace's members, by path.
fn members() -> Vec<(String, Table)> {
    let is_member = |path: &String| {
        path.ends_with("/Cargo.toml")
            && !path.starts_with("fuzz/")
            && !path.starts_with("integrations/")
    };
    let paths = files().into_iter().filter(is_member);
    let members: Vec<_> = paths.map(|path| (path.clone(), parse(&path))).collect();
    assert!(members.len() > 8, "the members of the workspace were not found");
    members
}

fn parse(path: &str) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// All tables of dependencies: normal, for tests, for build scripts, and of targets.
fn dependencies(manifest: &Table) -> Vec<(&String, &Value)> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(Value::as_table).into_iter();
    let targets = targets.flat_map(Table::values).filter_map(Value::as_table);
    let tables = std::iter::once(manifest).chain(targets);
    tables
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flatten()
        .collect()
}

/// Name of the package that a dependency means.
fn package_of<'a>(name: &'a str, value: &'a Value) -> &'a str {
    value.get("package").and_then(Value::as_str).unwrap_or(name)
}

/// Dependencies of a manifest that do not come from the workspace.
fn own_versions(path: &str, manifest: &Table) -> Vec<String> {
    let own = dependencies(manifest).into_iter().filter(|(_, value)| !inherits(Some(value)));
    let own = own.filter(|(name, value)| !OWN.contains(&(path, package_of(name, value))));
    own.map(|(name, _)| format!("{path}: {name}")).collect()
}

#[test]
fn every_dependency_has_one_version_and_it_stands_in_the_root() {
    let own = members().into_iter().flat_map(|(path, manifest)| own_versions(&path, &manifest));
    none("write `NAME.workspace = true`, and the version in [workspace.dependencies]:", own);
}

#[test]
fn every_package_takes_its_particulars_from_the_workspace() {
    let missing = members().into_iter().flat_map(|(path, manifest)| {
        let package =
            manifest.get("package").and_then(Value::as_table).cloned().unwrap_or_default();
        let mut missing: Vec<String> = INHERITED
            .iter()
            .filter(|key| !inherits(package.get(**key)))
            .map(|key| format!("{path}: {key}"))
            .collect();
        if !package.contains_key("description") {
            missing.push(format!("{path}: description"));
        }
        missing
    });
    none("a package states what the workspace states for all, or lacks a description:", missing);
}

#[test]
fn unsafe_is_forbidden_outside_the_edges() {
    let root = parse("Cargo.toml");
    let lint = root["workspace"]["lints"]["rust"]["unsafe_code"].as_str();
    assert_eq!(
        lint,
        Some("forbid"),
        "the workspace forbids unsafe code; no crate can allow it again"
    );
    let is_edge = |path: &str| EDGES.iter().any(|edge| path.contains(edge));
    let without = members().into_iter().filter(|(path, manifest)| {
        let inherited = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        !is_edge(path) && inherited.and_then(Value::as_bool) != Some(true)
    });
    none("write `[lints] workspace = true`:", without.map(|(path, _)| path));
}

#[test]
fn a_dependency_with_its_own_version_is_found() {
    let manifest: Table = "
        [dependencies]
        good.workspace = true
        peer = { package = 'smmu', version = '1' }
        [target.'cfg(unix)'.dev-dependencies]
        bad = '1'"
        .parse()
        .expect("the example is TOML");
    assert_eq!(own_versions("benches/Cargo.toml", &manifest), ["benches/Cargo.toml: bad"]);
    assert_eq!(own_versions("tests/Cargo.toml", &manifest).len(), 2);
}
