//! The table that a person reads.

use super::occupancy::{Blast, Tags, WINDOW, WorkingSet};
use super::results::{
    DeviceResult, EvictionResult, ResidentResult, Results, RunResult, SmmuResult, VmResult,
};
use super::results::{VerdictResult, WalkAccessResult, hit_rate};
use super::statistics::DeviceCounts;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use std::fmt::Write;

/// Verdicts that say different things, shown in full.
const VERDICTS_SHOWN: usize = 5;
/// Items of a list that are shown.
const ITEMS_SHOWN: usize = 8;
/// Where such a list goes on in a new line; what may follow is short.
const COLUMNS_MAX: usize = 104;

/// All runs as text: a table for each, what sharing and the faults did, and what failed.
#[must_use]
pub fn render(results: &Results) -> String {
    let order = results.interleave.map(|seed| format!(", interleaved by seed {seed}"));
    let mut out = format!("{}{}\n", results.title, order.unwrap_or_default());
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
    let _ = writeln!(out, "\n{variant}personality {}{faults}\n{}", run.personality, devices(run));
    for smmu in &run.smmus {
        of_smmu(out, smmu);
    }
    interference(out, run);
    let (checked, allowed) = (run.checked, run.stale_allowed);
    let _ = write!(out, "checker: {checked} transactions compared with the tables");
    let _ = match allowed {
        0 => writeln!(out),
        _ => writeln!(out, ", {allowed} used what was stale and not yet promised to be over"),
    };
}

/// Who took whose entries, the most first, where there is more than one VM.
fn interference(out: &mut String, run: &RunResult) {
    let Some(jain) = run.jain_index else { return };
    let _ = writeln!(out, "fairness of hit rates (Jain): {jain:.3}");
    let mut lost: Vec<&EvictionResult> = run.evictions.iter().collect();
    lost.sort_by_key(|eviction| std::cmp::Reverse(eviction.entries));
    if !lost.is_empty() {
        list(out, "entries lost to fills:", &lost);
    }
}

/// A list in as many lines as it takes; what is beyond the first few is counted.
fn list(out: &mut String, head: &str, items: &[impl std::fmt::Display]) {
    out.push_str(head);
    let mut column = head.len();
    for (index, item) in items.iter().take(ITEMS_SHOWN).enumerate() {
        let text = item.to_string();
        out.push_str(if index == 0 { "" } else { ";" });
        column += text.len() + 2;
        if column > COLUMNS_MAX {
            out.push_str("\n   ");
            column = text.len() + 4;
        }
        let _ = write!(out, " {text}");
    }
    let hidden = items.len().saturating_sub(ITEMS_SHOWN);
    if hidden > 0 {
        let _ = write!(out, "; and {hidden} more");
    }
    out.push('\n');
}

impl std::fmt::Display for EvictionResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of, by, entries } = self;
        let by = if of == by { "itself" } else { by };
        write!(f, "{entries} of {of} to {by}")
    }
}

fn of_smmu(out: &mut String, smmu: &SmmuResult) {
    let (name, preset, counts) = (&smmu.name, &smmu.preset, &smmu.counts);
    let _ = writeln!(
        out,
        "{name} ({preset}): {} commands ({} TLBI, {} CFGI, {} CMD_SYNC), {} entries dropped, \
         {} evicted, {} events",
        counts.commands,
        counts.tlbi,
        counts.cfgi,
        counts.syncs,
        counts.dropped,
        counts.evicted,
        counts.events
    );
    if smmu.resident.is_empty() {
        return;
    }
    list(out, "main TLB at its fullest:", &smmu.resident);
    if smmu.walk_accesses.iter().any(|level| level.per_miss.is_some()) {
        list(out, "walk accesses a miss:", &smmu.walk_accesses);
    }
    list(out, &format!("pages touched in {WINDOW} transactions:"), &smmu.working_sets);
    let Blast { entries, refilled, largest } = smmu.blast;
    if entries > 0 {
        let _ = writeln!(
            out,
            "invalidations took {entries} translations, {largest} at most at once; {refilled} of \
             them came back unchanged"
        );
    }
}

impl std::fmt::Display for WalkAccessResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stage, level, per_miss, .. } = self;
        write!(f, "stage {stage} level {level} {:.2}", per_miss.unwrap_or_default())
    }
}

impl std::fmt::Display for WorkingSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tags: Tags { vmid, asid }, mean_pages, max_pages, .. } = self;
        let asid = asid.map_or(String::new(), |asid| format!(", ASID {asid}"));
        write!(f, "VMID {vmid}{asid}: {mean_pages:.0}, {max_pages} at most")
    }
}

impl std::fmt::Display for ResidentResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind.as_str() {
            "stage1" => "stage 1",
            "stage2" => "stage 2",
            _ => "stages 1 and 2",
        };
        write!(f, "{} of VMID {}", self.entries, self.vmid)?;
        if let Some(asid) = self.asid {
            write!(f, " ASID {asid}")?;
        }
        write!(f, " ({kind})")
    }
}

/// A column: its title, and whether it holds words, which stand on the left.
type Column = (&'static str, bool);

const COLUMNS: [Column; 14] = [
    ("VM", true),
    ("device", true),
    ("VMID", false),
    ("ASID", false),
    ("DMA", false),
    ("hits", false),
    ("hit rate", false),
    ("shared hits", false),
    ("cross-VM hits", false),
    ("walks", false),
    ("fetches", false),
    ("TLBI", false),
    ("dropped", false),
    ("stale", false),
];
/// The column that only stage 1 has a use for.
const ASID: usize = 3;

/// A row a device, and a sum for VMs with more than one. VMs that did nothing are only counted.
fn devices(run: &RunResult) -> String {
    let (busy, idle): (Vec<_>, Vec<_>) = run.vms.iter().partition(|vm| is_busy(vm));
    let mut rows = Vec::new();
    for vm in &busy {
        let alone = vm.devices.len() == 1;
        rows.extend(vm.devices.iter().map(|device| row(vm, device, alone)));
        if !alone {
            rows.push(sum(vm));
        }
    }
    let mut columns = COLUMNS.to_vec();
    if rows.iter().all(|row| row[ASID].is_empty()) {
        columns.remove(ASID);
        rows.iter_mut().for_each(|row| drop(row.remove(ASID)));
    }
    match (busy.len(), idle.len()) {
        (0, idle) => format!("{idle} VMs, which did no DMA"),
        (_, 0) => ruled(&columns, rows),
        (_, idle) => format!("{}\nand {idle} more VMs, which did no DMA", ruled(&columns, rows)),
    }
}

fn is_busy(vm: &VmResult) -> bool {
    vm.counts.dropped > 0 || vm.devices.iter().any(|device| device.counts.dma > 0)
}

/// The rows under their titles and a line, two spaces apart, without spaces at the end of a line.
fn ruled(columns: &[Column], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table
        .load_style(TableStyle::new().header_separator(rule))
        .set_header(columns.iter().map(|(title, _)| title))
        .add_rows(rows);
    for (index, (_, words)) in columns.iter().enumerate() {
        let align = if *words { CellAlignment::Left } else { CellAlignment::Right };
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(align);
            column.set_padding((1, 0));
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn row(vm: &VmResult, device: &DeviceResult, alone: bool) -> Vec<String> {
    let tag = |tag: Option<u16>| tag.map_or(String::new(), |tag| tag.to_string());
    let tags = match device.vmid {
        Some(vmid) => [vmid.to_string(), tag(device.asid)],
        None => ["–".to_owned(), String::new()],
    };
    let of_vm = |count: u64| if alone { count.to_string() } else { String::new() };
    let commands = [of_vm(vm.counts.tlbi), of_vm(vm.counts.dropped)];
    cells(&vm.name, &device.name, tags, &device.counts, commands, device.stale)
}

fn sum(vm: &VmResult) -> Vec<String> {
    let counts = vm.devices.iter().fold(DeviceCounts::default(), |sum, d| sum.plus(&d.counts));
    let stale = vm.devices.iter().map(|device| device.stale).sum();
    let commands = [vm.counts.tlbi.to_string(), vm.counts.dropped.to_string()];
    cells(&vm.name, "all", Default::default(), &counts, commands, stale)
}

fn cells(
    vm: &str,
    device: &str,
    [vmid, asid]: [String; 2],
    counts: &DeviceCounts,
    [tlbi, dropped]: [String; 2],
    stale: u64,
) -> Vec<String> {
    vec![
        vm.to_owned(),
        device.to_owned(),
        vmid,
        asid,
        counts.dma.to_string(),
        counts.hits.to_string(),
        percent(counts.hits, counts.misses),
        counts.shared_hits.to_string(),
        counts.cross_vm_hits.to_string(),
        counts.misses.to_string(),
        counts.fetches.to_string(),
        tlbi,
        dropped,
        stale.to_string(),
    ]
}

fn percent(hits: u64, misses: u64) -> String {
    match hits + misses {
        0 => "–".to_owned(),
        _ => format!("{:.1} %", hit_rate(hits, misses) * 100.0),
    }
}

const COMPARED: [Column; 11] = [
    ("variant", true),
    ("DMA", false),
    ("hit rate", false),
    ("shared hits", false),
    ("cross-VM hits", false),
    ("walks", false),
    ("fetches", false),
    ("resident", false),
    ("TLBI", false),
    ("dropped", false),
    ("stale", false),
];

/// One row a variant: what changed between them.
fn comparison(out: &mut String, runs: &[RunResult]) {
    let row = |run: &RunResult| {
        let (hits, misses) = (run.sum(|d| d.counts.hits), run.sum(|d| d.counts.misses));
        let resident = run.smmus.iter().flat_map(|smmu| &smmu.resident);
        let of_smmus =
            |counter: fn(&SmmuResult) -> u64| -> u64 { run.smmus.iter().map(counter).sum() };
        vec![
            run.variant.clone().unwrap_or_default(),
            run.sum(|d| d.counts.dma).to_string(),
            percent(hits, misses),
            run.sum(|d| d.counts.shared_hits).to_string(),
            run.sum(|d| d.counts.cross_vm_hits).to_string(),
            misses.to_string(),
            run.sum(|d| d.counts.fetches).to_string(),
            resident.map(|one| u64::from(one.entries)).sum::<u64>().to_string(),
            of_smmus(|smmu| smmu.counts.tlbi).to_string(),
            of_smmus(|smmu| smmu.counts.dropped).to_string(),
            run.sum(|d| d.stale).to_string(),
        ]
    };
    let _ = write!(out, "\n{}\n", ruled(&COMPARED, runs.iter().map(row).collect()));
}

fn complaints(out: &mut String, run: &RunResult) {
    let variant = run.variant.as_deref().map_or(String::new(), |name| format!(" ({name})"));
    if !run.failures.is_empty() {
        out.push('\n');
    }
    for failure in &run.failures {
        let (place, expected, found) = (failure.place(), &failure.expected, &failure.found);
        let _ = writeln!(out, "FAILED{variant}, {place}: expected {expected}, found {found}");
    }
    let groups = run.verdicts_alike();
    for group in groups.iter().take(VERDICTS_SHOWN) {
        verdict(out, &variant, group);
    }
    let hidden = groups.len().saturating_sub(VERDICTS_SHOWN);
    if hidden > 0 {
        let _ = writeln!(out, "\nand {hidden} more{variant}; --json tells them all");
    }
    if !groups.is_empty() {
        out.push_str(
            "\n#N is the place of a moment in the order of all that happened in the run.\n",
        );
    }
}

/// The first of some verdicts alike in full, and how many there are.
fn verdict(out: &mut String, variant: &str, alike: &[&VerdictResult]) {
    let Some(first) = alike.first() else { return };
    let _ = writeln!(out, "\nFOUND{variant}: {}\n{}", first.title(), first.story().trim_end());
    if alike.len() > 1 {
        let uses: u64 = alike.iter().map(|verdict| verdict.count).sum();
        let _ = writeln!(
            out,
            "  alike        {} more pages, {uses} uses in all; --json tells them all",
            alike.len() - 1
        );
    }
}
