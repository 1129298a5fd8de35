//! The table that a person reads.

use super::results::{DeviceResult, Results, RunResult, VmResult, hit_rate};
use super::statistics::DeviceCounts;
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use std::fmt::Write;

/// All runs as text: a table for each, what sharing and the faults did, and what failed.
#[must_use]
pub fn render(results: &Results) -> String {
    let mut out = format!("{}\n", results.title);
    for run in &results.runs {
        render_run(&mut out, run);
    }
    if results.runs.len() > 1 {
        comparison(&mut out, &results.runs);
    }
    for run in &results.runs {
        complaints(&mut out, run);
    }
    out
}

fn render_run(out: &mut String, run: &RunResult) {
    let variant = run.variant.as_deref().map_or(String::new(), |name| format!("{name} · "));
    let faults = match run.faults.as_slice() {
        [] => String::new(),
        faults => format!(" · fault {}", faults.join(", ")),
    };
    let _ = write!(out, "\n{variant}{}{faults}\n{}\n", run.personality, devices(run));
    for smmu in &run.smmus {
        let counts = &smmu.counts;
        let _ = writeln!(
            out,
            "{}: {} commands ({} TLBI, {} CFGI, {} CMD_SYNC), {} entries dropped, {} evicted, {} events",
            smmu.name,
            counts.commands,
            counts.tlbi,
            counts.cfgi,
            counts.syncs,
            counts.dropped,
            counts.evicted,
            counts.events
        );
        let resident: Vec<String> = smmu.resident.iter().map(ToString::to_string).collect();
        if !resident.is_empty() {
            let _ = writeln!(out, "  resident at the fullest: {}", resident.join(", "));
        }
    }
}

impl std::fmt::Display for super::results::ResidentResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VMID {}", self.vmid)?;
        if let Some(asid) = self.asid {
            write!(f, " ASID {asid}")?;
        }
        write!(f, " {} ({})", self.entries, self.kind)
    }
}

/// Verdicts that are shown in full.
const VERDICTS_SHOWN: usize = 3;

const HEADER: [&str; 13] = [
    "VM",
    "device",
    "VMID",
    "DMA",
    "hits",
    "of which shared",
    "hit rate",
    "walks",
    "fetches",
    "TLBI",
    "dropped",
    "stale",
    "cross-VM hits",
];

/// A row a device, and a sum for VMs with more than one. VMs that did nothing are only counted.
fn devices(run: &RunResult) -> String {
    let mut table = Table::new();
    ruled(&mut table).set_header(HEADER);
    let (busy, idle): (Vec<_>, Vec<_>) = run.vms.iter().partition(|vm| is_busy(vm));
    for vm in &busy {
        for device in &vm.devices {
            table.add_row(row(vm, device, vm.devices.len() == 1));
        }
        if vm.devices.len() > 1 {
            table.add_row(sum(vm));
        }
    }
    match (busy.len(), idle.len()) {
        (0, idle) => format!("{idle} VMs, which did no DMA"),
        (_, 0) => table.to_string(),
        (_, idle) => format!("{table}\nand {idle} more VMs, which did no DMA"),
    }
}

fn is_busy(vm: &VmResult) -> bool {
    vm.counts.dropped > 0 || vm.devices.iter().any(|device| device.counts.dma > 0)
}

/// A line under the header and nothing else.
fn ruled(table: &mut Table) -> &mut Table {
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(rule))
}

fn row(vm: &VmResult, device: &DeviceResult, alone: bool) -> Vec<Cell> {
    let tag = match (device.vmid, device.asid) {
        (Some(vmid), Some(asid)) => format!("{vmid}, ASID {asid}"),
        (Some(vmid), None) => vmid.to_string(),
        _ => "–".to_owned(),
    };
    let of_vm = |count: u64| if alone { count.to_string() } else { String::new() };
    let commands = [of_vm(vm.counts.tlbi), of_vm(vm.counts.dropped)];
    cells(&vm.name, &device.name, tag, &device.counts, commands, device.stale)
}

fn sum(vm: &VmResult) -> Vec<Cell> {
    let counts = vm.devices.iter().fold(DeviceCounts::default(), |sum, d| sum.plus(&d.counts));
    let stale = vm.devices.iter().map(|device| device.stale).sum();
    let commands = [vm.counts.tlbi.to_string(), vm.counts.dropped.to_string()];
    cells(&vm.name, "all", String::new(), &counts, commands, stale)
}

fn cells(
    vm: &str,
    device: &str,
    tag: String,
    counts: &DeviceCounts,
    [tlbi, dropped]: [String; 2],
    stale: u64,
) -> Vec<Cell> {
    numbers(&[
        vm.to_owned(),
        device.to_owned(),
        tag,
        counts.dma.to_string(),
        counts.hits.to_string(),
        counts.shared_hits.to_string(),
        percent(hit_rate(counts.hits, counts.misses)),
        counts.misses.to_string(),
        counts.fetches.to_string(),
        tlbi,
        dropped,
        stale.to_string(),
        counts.cross_vm_hits.to_string(),
    ])
}

fn numbers(texts: &[String]) -> Vec<Cell> {
    let align = |index| if index < 2 { CellAlignment::Left } else { CellAlignment::Right };
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| Cell::new(text).set_alignment(align(index)))
        .collect()
}

fn percent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

/// One row a variant: what changed between them.
fn comparison(out: &mut String, runs: &[RunResult]) {
    let mut table = Table::new();
    ruled(&mut table).set_header([
        "variant",
        "DMA",
        "hit rate",
        "walks",
        "fetches",
        "resident",
        "TLBI",
        "dropped",
        "stale",
        "cross-VM hits",
    ]);
    for run in runs {
        let (hits, misses) = (run.sum(|d| d.counts.hits), run.sum(|d| d.counts.misses));
        let resident = run.smmus.iter().flat_map(|smmu| &smmu.resident);
        let cells = [
            run.variant.clone().unwrap_or_default(),
            run.sum(|d| d.counts.dma).to_string(),
            percent(hit_rate(hits, misses)),
            misses.to_string(),
            run.sum(|d| d.counts.fetches).to_string(),
            resident.map(|one| u64::from(one.entries)).sum::<u64>().to_string(),
            run.smmus.iter().map(|smmu| smmu.counts.tlbi).sum::<u64>().to_string(),
            run.smmus.iter().map(|smmu| smmu.counts.dropped).sum::<u64>().to_string(),
            run.sum(|d| d.stale).to_string(),
            run.sum(|d| d.counts.cross_vm_hits).to_string(),
        ];
        let align = |index| if index == 0 { CellAlignment::Left } else { CellAlignment::Right };
        table.add_row(
            cells.iter().enumerate().map(|(i, text)| Cell::new(text).set_alignment(align(i))),
        );
    }
    let _ = write!(out, "\n{table}\n");
}

fn complaints(out: &mut String, run: &RunResult) {
    let variant = run.variant.as_deref().map_or(String::new(), |name| format!(" ({name})"));
    for failure in &run.failures {
        let place = failure.step.map_or("at the end".to_owned(), |step| format!("step {step}"));
        let _ = writeln!(
            out,
            "\nFAILED{variant}, {place}: expected {}, found {}",
            failure.expected, failure.found
        );
    }
    for verdict in run.verdicts.iter().take(VERDICTS_SHOWN) {
        let _ = writeln!(out, "\nFOUND{variant}: {}", verdict.text);
    }
    let hidden = run.verdicts.len().saturating_sub(VERDICTS_SHOWN);
    if hidden > 0 {
        let _ = writeln!(out, "\nand {hidden} more{variant}; --json tells them all");
    }
}
