//! The figures of the page as data: what the charts draw and the tables beside them say.

use super::markup::{count, percent};
use crate::run::{DeviceResult, Results, RunResult, VmResult};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One number of a figure.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    /// There is nothing to say: no look-up, no such device.
    Absent,
    /// How many.
    Count(u64),
    /// A part of a hundred.
    Percent(f64),
}

impl Value {
    pub(super) fn text(self) -> String {
        match self {
            Self::Absent => "–".to_owned(),
            Self::Count(value) => count(value),
            Self::Percent(value) => percent(value),
        }
    }
}

/// How the values of a figure are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    Count,
    Percent,
}

/// What a figure shows, in words.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Caption {
    /// Name in the page's addresses.
    pub(super) id: &'static str,
    /// Title.
    pub(super) title: &'static str,
    /// What is counted.
    pub(super) note: &'static str,
    /// What a category is.
    pub(super) category_axis: &'static str,
    /// What is counted, with its unit.
    pub(super) value_axis: &'static str,
    /// How the values are written.
    pub(super) unit: Unit,
    /// Has many categories as a rule, or names that need room.
    #[serde(skip)]
    pub(super) wide: bool,
}

/// The values of a run, one a category.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Series {
    /// Name of the run.
    pub(super) name: String,
    /// As many as there are categories.
    pub(super) values: Vec<Value>,
}

/// Bars in groups: a group for each category, in it a bar for each run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    /// Words.
    #[serde(flatten)]
    pub(super) caption: Caption,
    /// Groups.
    pub(super) categories: Vec<String>,
    /// Runs.
    pub(super) series: Vec<Series>,
}

type Row = (String, Value);

impl Figure {
    /// Lays out what `rows` says of each run. A category stands where it comes up first; a run
    /// that lacks it has no value there.
    fn new(caption: Caption, results: &Results, rows: impl Fn(&RunResult) -> Vec<Row>) -> Self {
        let all: Vec<Vec<Row>> = results.runs.iter().map(rows).collect();
        let mut categories = Vec::new();
        let mut places = FxHashMap::default();
        for (name, _) in all.iter().flatten() {
            places.entry(name.clone()).or_insert_with(|| {
                categories.push(name.clone());
                categories.len() - 1
            });
        }
        let series = results.runs.iter().zip(all).map(|(run, rows)| {
            let mut values = vec![Value::Absent; categories.len()];
            for (name, value) in rows {
                values[places[&name]] = value;
            }
            Series { name: run_name(run), values }
        });
        Self { caption, series: series.collect(), categories }
    }

    /// No bar of it has a height.
    pub(super) fn is_flat(&self) -> bool {
        self.series.iter().flat_map(|series| &series.values).all(|value| match value {
            Value::Absent => true,
            Value::Count(value) => *value == 0,
            Value::Percent(value) => *value == 0.0,
        })
    }
}

/// What a run is called: its variant, or the personality where there are no variants.
pub(super) fn run_name(run: &RunResult) -> String {
    run.variant.clone().unwrap_or_else(|| run.personality.clone())
}

/// All figures of the page, in its order.
pub(super) fn of(results: &Results) -> Vec<Figure> {
    let device = |caption, value: fn(&DeviceResult) -> Value| {
        Figure::new(caption, results, move |run| by_device(run, value))
    };
    let vm = |caption, value: fn(&VmResult) -> u64| {
        Figure::new(caption, results, move |run| by_vm(run, value))
    };
    let mut figures = vec![
        device(HIT_RATE, hit_rate),
        device(SHARED_HITS, |device| Value::Count(device.counts.shared_hits)),
        device(WALKS, |device| Value::Count(device.counts.misses)),
        device(FETCHES, |device| Value::Count(device.counts.fetches)),
        resident(results),
        vm(TLBI, |vm| vm.counts.tlbi),
        vm(DROPPED, |vm| vm.counts.dropped),
    ];
    if results.runs.iter().any(|run| run.sum(|device| device.stale) > 0) {
        figures.push(device(STALE, |device| Value::Count(device.stale)));
    }
    figures
}

const HIT_RATE: Caption = Caption {
    id: "hit-rate",
    title: "Hit rate",
    note: "Look-ups of the main TLB that found their translation. A device without look-ups has none.",
    category_axis: "VM and device",
    value_axis: "hits (% of look-ups)",
    unit: Unit::Percent,
    wide: false,
};
const SHARED_HITS: Caption = Caption {
    id: "shared-hits",
    title: "Hits on what another device filled",
    note: "Hits on an entry that another device of the same VM had brought in: what sharing a VMID gains.",
    category_axis: "VM and device",
    value_axis: "shared hits (count)",
    unit: Unit::Count,
    wide: false,
};
const WALKS: Caption = Caption {
    id: "walks",
    title: "Walks",
    note: "Look-ups of the main TLB that missed; each starts a translation table walk.",
    category_axis: "VM and device",
    value_axis: "walks (count)",
    unit: Unit::Count,
    wide: false,
};
const FETCHES: Caption = Caption {
    id: "fetches",
    title: "Descriptor fetches",
    note: "Translation table descriptors that the walks read from memory.",
    category_axis: "VM and device",
    value_axis: "descriptors fetched (count)",
    unit: Unit::Count,
    wide: false,
};
const RESIDENT: Caption = Caption {
    id: "resident",
    title: "Resident entries",
    note: "Entries of the main TLB by VMID, at its fullest moment between two steps. In brackets the VMs that had the VMID.",
    category_axis: "VMID (VM)",
    value_axis: "entries (count)",
    unit: Unit::Count,
    wide: true,
};
const TLBI: Caption = Caption {
    id: "tlbi",
    title: "TLBI commands",
    note: "Invalidations of translations that the driver issued on behalf of a VM.",
    category_axis: "VM",
    value_axis: "commands (count)",
    unit: Unit::Count,
    wide: false,
};
const DROPPED: Caption = Caption {
    id: "dropped",
    title: "Entries dropped",
    note: "TLB entries that those commands dropped.",
    category_axis: "VM",
    value_axis: "entries (count)",
    unit: Unit::Count,
    wide: false,
};
const STALE: Caption = Caption {
    id: "stale",
    title: "Stale uses",
    note: "Translations used although the driver had promised that they were over.",
    category_axis: "VM and device",
    value_axis: "uses (count)",
    unit: Unit::Count,
    wide: false,
};

fn by_device(run: &RunResult, value: fn(&DeviceResult) -> Value) -> Vec<Row> {
    let devices = run.vms.iter().flat_map(|vm| vm.devices.iter().map(move |one| (vm, one)));
    devices.map(|(vm, one)| (format!("{} · {}", vm.name, one.name), value(one))).collect()
}

fn by_vm(run: &RunResult, value: fn(&VmResult) -> u64) -> Vec<Row> {
    run.vms.iter().map(|vm| (vm.name.clone(), Value::Count(value(vm)))).collect()
}

fn hit_rate(device: &DeviceResult) -> Value {
    match device.counts.hits + device.counts.misses {
        0 => Value::Absent,
        _ => Value::Percent(device.hit_rate() * 100.0),
    }
}

/// SMMU, VMID, and the VMs that had it.
type Tag = (usize, u16, String);

/// Entries by VMID, in the order of VMIDs. Runs may give one VMID to different VMs, so it stands
/// once for each of them; with more than one SMMU, each has its own.
fn resident(results: &Results) -> Figure {
    let held: Vec<BTreeMap<Tag, u64>> = results.runs.iter().map(entries).collect();
    let tags: BTreeSet<&Tag> = held.iter().flat_map(BTreeMap::keys).collect();
    let smmus = results.runs.iter().map(|run| run.smmus.len()).max().unwrap_or(0);
    let name = |run: &RunResult, tag: &Tag| match run.smmus.get(tag.0) {
        Some(one) if smmus > 1 => format!("{} · {}", one.name, vmid_name(tag)),
        _ => vmid_name(tag),
    };
    Figure::new(RESIDENT, results, |run| {
        let (held, owners) = (entries(run), owners(run));
        let value = |tag: &Tag| match held.get(tag) {
            Some(&entries) => Value::Count(entries),
            None if owners.get(&tag.1) == Some(&tag.2) => Value::Count(0),
            None => Value::Absent,
        };
        let mut rows: Vec<Row> = tags.iter().map(|tag| (name(run, tag), value(tag))).collect();
        if tags.len() != 1 {
            rows.push(("all".to_owned(), Value::Count(held.values().sum())));
        }
        rows
    })
}

fn vmid_name((_, vmid, owner): &Tag) -> String {
    if owner.is_empty() { vmid.to_string() } else { format!("{vmid} ({owner})") }
}

fn entries(run: &RunResult) -> BTreeMap<Tag, u64> {
    let owners = owners(run);
    let mut held = BTreeMap::new();
    for (smmu, one) in run.smmus.iter().enumerate() {
        for resident in &one.resident {
            let owner = owners.get(&resident.vmid).cloned().unwrap_or_default();
            *held.entry((smmu, resident.vmid, owner)).or_default() += u64::from(resident.entries);
        }
    }
    held
}

/// The VMs that had a VMID last: by name, or how many where they are more than two.
fn owners(run: &RunResult) -> BTreeMap<u16, String> {
    let mut names: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for vm in &run.vms {
        let vmids: BTreeSet<u16> = vm.devices.iter().filter_map(|device| device.vmid).collect();
        for vmid in vmids {
            names.entry(vmid).or_default().push(&vm.name);
        }
    }
    let say = |names: Vec<&str>| match names.as_slice() {
        [] | [_] | [_, _] => names.join(", "),
        more => format!("{} VMs", more.len()),
    };
    names.into_iter().map(|(vmid, names)| (vmid, say(names))).collect()
}
