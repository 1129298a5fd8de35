//! The crate graph is the hardware's block diagram. This reads the graph that cargo resolved,
//! normal dependencies only: what a test uses does not end up in anyone's build.

use crate::repository::{none, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const ARCH: &str = "smmu-arch";
const BUS: &str = "smmu-bus";
const TABLES: &str = "smmu-tables";
const CACHE: &str = "smmu-cache";
const DEVICE: &str = "smmu-device";
const MASTER: &str = "smmu-master";
const TIMING: &str = "smmu-timing";
const CHECK: &str = "smmu-check";
const KERNEL: &str = "smmu-kernel";
const MACHINE: &str = "smmu-machine";
const EXPLORE: &str = "smmu-explore";
const LAB: &str = "smmu-lab";
const COMMAND_LINE: &str = "smmulator";
const TESTS: &str = "smmulator-tests";
const BENCHES: &str = "smmulator-benches";

/// Which crates of the workspace a crate may name, and what it is there for.
const ROOMS: &[(&str, &[&str], &str)] = &[
    (ARCH, &[], "words and values, no behaviour"),
    (BUS, &[ARCH], "the wires carry values and know nobody at their ends"),
    (TABLES, &[ARCH, BUS], "what lies in memory is the same whoever reads it"),
    (CACHE, &[ARCH], "a cache keeps what it is given and fetches nothing"),
    (DEVICE, &[ARCH, BUS, TABLES, CACHE], "the SMMU knows neither driver, master nor time"),
    (MASTER, &[ARCH, BUS, CACHE], "a master reaches the SMMU by its port alone"),
    (
        TIMING,
        &[ARCH, BUS, CACHE, DEVICE],
        "time is charged around the rules, which are not repeated",
    ),
    (CHECK, &[ARCH, BUS], "who judges walks the tables itself"),
    (KERNEL, &[ARCH, BUS, TABLES], "a driver sees registers and memory, never the device"),
    (
        MACHINE,
        &[ARCH, BUS, TABLES, CACHE, DEVICE, MASTER, CHECK, KERNEL],
        "a machine is put together here, and runs without a model of time",
    ),
    (
        EXPLORE,
        &[ARCH, BUS, MASTER, CHECK, MACHINE],
        "an explorer chooses the order in which a machine steps, and touches no structure of it",
    ),
    (
        LAB,
        &[ARCH, BUS, TABLES, CACHE, DEVICE, MASTER, TIMING, CHECK, KERNEL, MACHINE, EXPLORE],
        "experiments stand on everything and below the command line",
    ),
    ("smmu-testpoint", &[], "tests leave marks there, and nobody else"),
    (COMMAND_LINE, &[LAB, EXPLORE, MACHINE, ARCH], "the command line parses, calls and prints"),
    ("smmu-ffi", &[MACHINE], "an edge is a machine in another language"),
    ("smmu-preload", &[MACHINE], "an edge is a machine under another program"),
    ("smmu-python", &[MACHINE, LAB], "an edge is a laboratory in another language"),
];

/// What must not be reached by any way round.
const NEVER: &[(&str, &str, &str)] = &[
    (KERNEL, DEVICE, "a driver that could name the device would not be driving it by registers"),
    (KERNEL, CACHE, "a driver cannot look into a TLB"),
    (KERNEL, CHECK, "a driver is judged, and does not know how"),
    (KERNEL, TIMING, "a driver reads a clock through its CPU"),
    (CHECK, CACHE, "the checker must not share an error with the caches that it judges"),
    (CHECK, DEVICE, "the checker must not share an error with the device that it judges"),
    (CHECK, TABLES, "the checker must not share an error with the walker that it judges"),
    (MASTER, DEVICE, "a master sends transactions and knows no SMMU"),
    (MASTER, TABLES, "a master never sees a translation table"),
    (TABLES, CACHE, "a walk says what it needs; who keeps it is not its affair"),
    (CACHE, TABLES, "a cache cannot walk"),
    (DEVICE, TIMING, "the rules know no cycles"),
    (MACHINE, TIMING, "a machine runs without a model of time"),
];

/// Packages that are measured against, or with: only the benches may build them.
const PEERS: [&str; 2] = ["smmu", "criterion"];

/// Normal dependencies, by package name.
struct Graph {
    members: BTreeSet<String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read() -> Self {
        let host = host();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &host]);
        let output = cargo.current_dir(root()).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::of(&serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON"))
    }

    fn of(metadata: &Value) -> Self {
        let packages = list(&metadata["packages"]);
        let name_of = |id: &Value| {
            let package = packages.iter().find(|package| package["id"] == *id);
            text(&package.expect("every id belongs to a package")["name"])
        };
        let edges = list(&metadata["resolve"]["nodes"]).iter().map(|node| {
            let normal = list(&node["deps"]).iter().filter(|dependency| is_normal(dependency));
            (name_of(&node["id"]), normal.map(|dependency| name_of(&dependency["pkg"])).collect())
        });
        let members = list(&metadata["workspace_members"]).iter().map(name_of).collect();
        Self { members, edges: edges.collect() }
    }

    /// Workspace crates that `from` names in its manifest.
    fn named_by(&self, from: &str) -> impl Iterator<Item = &String> {
        self.edges.get(from).into_iter().flatten().filter(|name| self.members.contains(*name))
    }

    /// A way from one package to another, both included.
    fn way(&self, from: &str, to: &str) -> Option<Vec<&str>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open: Vec<&str> =
            self.edges.get_key_value(from).map(|(k, _)| &**k).into_iter().collect();
        while let Some(at) = open.pop() {
            if at == to {
                let mut way = vec![at];
                while let Some(&previous) = before.get(way[way.len() - 1]).filter(|p| **p != at) {
                    way.push(previous);
                }
                way.reverse();
                return Some(way);
            }
            for next in self.edges.get(at).into_iter().flatten() {
                if next != from && !before.contains_key(&**next) {
                    before.insert(next, at);
                    open.push(next);
                }
            }
        }
        None
    }

    fn broken_walls(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for member in self.members.iter().filter(|name| ![TESTS, BENCHES].contains(&&***name)) {
            let Some((_, allowed, why)) = ROOMS.iter().find(|(room, ..)| room == member) else {
                broken.push(format!("{member} has no room in the table of tests/house/walls.rs"));
                continue;
            };
            let refused = self.named_by(member).filter(|name| !allowed.contains(&name.as_str()));
            broken.extend(refused.map(|name| format!("{member} depends on {name}: {why}")));
        }
        for (from, to, why) in NEVER {
            if let Some(way) = self.way(from, to) {
                broken.push(format!("{}: {why}", way.join(" -> ")));
            }
        }
        broken
    }
}

fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc -vV names its host").to_owned()
}

fn is_normal(dependency: &Value) -> bool {
    list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a name is a string").to_owned()
}

#[test]
fn the_crate_graph_keeps_its_walls() {
    none("a wall of the house is broken:", Graph::read().broken_walls());
}

#[test]
fn only_the_benches_build_what_they_are_measured_against() {
    let graph = Graph::read();
    let members = graph.members.iter().filter(|name| *name != BENCHES);
    let ways = members.flat_map(|from| PEERS.iter().filter_map(|to| graph.way(from, to)));
    none("a user of the project would build a peer:", ways.map(|way| way.join(" -> ")));
}

#[test]
fn the_graph_is_the_real_one() {
    let graph = Graph::read();
    assert!(graph.members.contains(ARCH) && graph.members.contains(COMMAND_LINE));
    assert!(graph.named_by(DEVICE).any(|name| name == CACHE));
    assert_eq!(graph.way(LAB, ARCH).map(|way| (way[0], way[way.len() - 1])), Some((LAB, ARCH)));
    assert_eq!(graph.way(ARCH, LAB), None);
}

#[test]
fn a_wall_that_is_broken_round_a_corner_is_found() {
    let edge = |from: &str, to: &[&str]| {
        (from.to_owned(), to.iter().map(|name| (*name).to_owned()).collect())
    };
    let edges = BTreeMap::from([edge(KERNEL, &["helper"]), edge("helper", &[DEVICE])]);
    let members = BTreeSet::from([KERNEL.to_owned()]);
    let broken = Graph { members, edges }.broken_walls();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].starts_with("smmu-kernel -> helper -> smmu-device: "), "{broken:?}");
}
