//! The parts of the page that are words and numbers.

use super::figures::{Figure, run_name};
use super::markup::{Sheet, count, escape, percent};
use crate::run::{DeviceResult, Failure, Results, RunResult, VmResult, hit_rate};
use std::fmt::Write;

/// Figures with more groups than this take the page's whole width and keep their numbers folded.
const WIDE: usize = 12;

/// A card for each run: passed or failed, and what it came to.
pub(super) fn summary(results: &Results) -> String {
    results.runs.iter().map(card).collect()
}

fn card(run: &RunResult) -> String {
    let (class, word) = if run.passed() { ("good", "passed") } else { ("bad", "failed") };
    let (hits, misses) = (run.sum(|d| d.counts.hits), run.sum(|d| d.counts.misses));
    let stale = run.sum(|d| d.stale);
    let crossed = run.sum(|d| d.counts.cross_vm_hits);
    let facts = [
        ("DMA", count(run.sum(|d| d.counts.dma)), false),
        ("hit rate", rate(hits, misses), false),
        ("walks", count(misses), false),
        ("fetches", count(run.sum(|d| d.counts.fetches)), false),
        ("stale uses", count(stale), stale > 0),
        ("cross-VM hits", count(crossed), crossed > 0),
    ];
    let mut list = String::new();
    for (name, value, bad) in facts {
        let class = if bad { " class=\"bad\"" } else { "" };
        let _ = write!(list, "<div><dt>{name}</dt><dd{class}>{value}</dd></div>");
    }
    format!(
        "<article class=\"card\"><header><h3>{}</h3><span class=\"badge {class}\">{word}</span>\
         </header>\n<p>{}</p>\n<dl>{list}</dl></article>\n",
        escape(&run_name(run)),
        escape(&circumstances(run)),
    )
}

fn circumstances(run: &RunResult) -> String {
    let faults = match run.faults.as_slice() {
        [] => String::new(),
        faults => format!(" · fault {}", faults.join(", ")),
    };
    let checked = count(run.checked);
    format!("personality {}{faults} · {checked} translations checked", run.personality)
}

fn rate(hits: u64, misses: u64) -> String {
    if hits + misses == 0 { "–".to_owned() } else { percent(hit_rate(hits, misses) * 100.0) }
}

/// What failed and what the checker found; nothing where there is neither.
pub(super) fn complaints(results: &Results) -> String {
    let text: String = results.runs.iter().map(of_run).collect();
    if text.is_empty() {
        return text;
    }
    format!(
        "<section aria-labelledby=\"findings\">\n<h2 id=\"findings\">Failures and verdicts</h2>\n\
         {text}</section>"
    )
}

fn of_run(run: &RunResult) -> String {
    let name = escape(&run_name(run));
    let mut out = String::new();
    if !run.failures.is_empty() {
        let lines: Vec<String> = run.failures.iter().map(failure).collect();
        let _ =
            writeln!(out, "<h3>{name}: expectations that failed</h3>\n{}", pre(&lines.join("\n")));
    }
    for alike in run.verdicts_alike() {
        let (title, times) =
            (escape(&alike[0].title()), count(alike.iter().map(|v| v.count).sum()));
        let _ = writeln!(out, "<h3>{name}: {title}</h3>\n<p class=\"lead\">Found: {times}</p>");
        out.push_str(&pre(alike[0].story()));
        if alike.len() > 1 {
            let more: String = alike[1..].iter().map(|verdict| pre(&verdict.text)).collect();
            let number = count(alike.len() as u64 - 1);
            let _ = writeln!(
                out,
                "<details><summary>{number} more like it</summary>\n{more}</details>"
            );
        }
    }
    out
}

fn failure(failure: &Failure) -> String {
    format!("{}: expected {}, found {}", failure.place(), failure.expected, failure.found)
}

fn pre(text: &str) -> String {
    format!("<pre>{}</pre>\n", escape(text.trim_end()))
}

/// A figure: words, the place where the script draws, and its numbers.
pub(super) fn figure(figure: &Figure) -> String {
    let caption = &figure.caption;
    let many = figure.categories.len() > WIDE;
    let class = if many || caption.wide { " class=\"wide\"" } else { "" };
    let open = if many { "" } else { " open" };
    let (id, title, note) = (caption.id, caption.title, caption.note);
    let plot = if figure.is_flat() {
        "<p class=\"flat\">No value is above 0.</p>".to_owned()
    } else {
        format!(
            "<div class=\"plot\" id=\"plot-{id}\" role=\"img\" tabindex=\"0\" \
             aria-label=\"Bar chart: {title}. The numbers follow.\"></div>"
        )
    };
    format!(
        "<figure{class} aria-labelledby=\"title-{id}\">\n\
         <figcaption><h3 id=\"title-{id}\">{title}</h3><p>{note}</p></figcaption>\n{plot}\n\
         <details{open}><summary>Numbers</summary>\n{}</details>\n</figure>\n",
        figure_sheet(figure).html(),
    )
}

fn figure_sheet(figure: &Figure) -> Sheet {
    let names = figure.series.iter().map(|series| series.name.as_str());
    let header: Vec<&str> = std::iter::once(figure.caption.category_axis).chain(names).collect();
    let mut sheet = Sheet::new(figure.caption.value_axis, &header, 1);
    for (place, category) in figure.categories.iter().enumerate() {
        let values = figure.series.iter().map(|series| series.values[place].text());
        sheet.row(&std::iter::once(category.clone()).chain(values).collect::<Vec<_>>());
    }
    sheet
}

/// Everything that was counted, run by run.
pub(super) fn all(results: &Results) -> String {
    let mut out = String::new();
    for run in &results.runs {
        for sheet in [devices(run), smmus(run), resident(run)] {
            let _ = writeln!(out, "<div class=\"sheet\">{}</div>", sheet.html());
        }
    }
    out
}

const DEVICES: [&str; 17] = [
    "VM",
    "device",
    "container",
    "VMID, ASID",
    "DMA",
    "refused",
    "hits",
    "of which shared",
    "hit rate",
    "walks",
    "fetches",
    "STE and CD fetches",
    "events",
    "TLBI",
    "dropped",
    "stale",
    "cross-VM hits",
];

fn devices(run: &RunResult) -> Sheet {
    let caption = format!("{}: by VM and device", run_name(run));
    let mut sheet = Sheet::new(&caption, &DEVICES, 4);
    for vm in &run.vms {
        for device in &vm.devices {
            let label =
                [vm.name.clone(), device.name.clone(), device.container.to_string(), tag(device)];
            let empty = [String::new(), String::new()];
            sheet.row(&line(label, std::slice::from_ref(device), empty));
        }
        let label = [vm.name.clone(), "all".to_owned(), String::new(), String::new()];
        sheet.total(&line(label, &vm.devices, commands(vm)));
    }
    sheet
}

fn tag(device: &DeviceResult) -> String {
    match (device.vmid, device.asid) {
        (Some(vmid), Some(asid)) => format!("{vmid}, {asid}"),
        (Some(vmid), None) => vmid.to_string(),
        _ => "–".to_owned(),
    }
}

fn commands(vm: &VmResult) -> [String; 2] {
    [count(vm.counts.tlbi), count(vm.counts.dropped)]
}

/// The sums over some devices, between what they are called and what was commanded for them.
fn line(label: [String; 4], devices: &[DeviceResult], commands: [String; 2]) -> Vec<String> {
    let total = |counter: fn(&DeviceResult) -> u64| devices.iter().map(counter).sum::<u64>();
    let (hits, misses) = (total(|d| d.counts.hits), total(|d| d.counts.misses));
    let mut cells = Vec::from(label);
    cells.extend([
        count(total(|d| d.counts.dma)),
        count(total(|d| d.counts.aborts)),
        count(hits),
        count(total(|d| d.counts.shared_hits)),
        rate(hits, misses),
        count(misses),
        count(total(|d| d.counts.fetches)),
        count(total(|d| d.counts.config_fetches)),
        count(total(|d| d.counts.events)),
    ]);
    cells.extend(commands);
    cells.extend([count(total(|d| d.stale)), count(total(|d| d.counts.cross_vm_hits))]);
    cells
}

fn smmus(run: &RunResult) -> Sheet {
    let header = [
        "SMMU",
        "commands",
        "TLBI",
        "CFGI",
        "CMD_SYNC",
        "entries dropped",
        "evicted",
        "fills overtaken",
        "events",
        "events lost",
    ];
    let mut sheet = Sheet::new(&format!("{}: by SMMU", run_name(run)), &header, 1);
    for smmu in &run.smmus {
        let counts = &smmu.counts;
        let numbers = [
            counts.commands,
            counts.tlbi,
            counts.cfgi,
            counts.syncs,
            counts.dropped,
            counts.evicted,
            counts.overtaken,
            counts.events,
            counts.events_lost,
        ];
        sheet
            .row(&std::iter::once(smmu.name.clone()).chain(numbers.map(count)).collect::<Vec<_>>());
    }
    sheet
}

fn resident(run: &RunResult) -> Sheet {
    let caption = format!("{}: entries of the main TLB at its fullest", run_name(run));
    let mut sheet = Sheet::new(&caption, &["SMMU", "kind", "VMID", "ASID", "entries"], 2);
    for smmu in &run.smmus {
        for one in &smmu.resident {
            sheet.row(&[
                smmu.name.clone(),
                one.kind.clone(),
                one.vmid.to_string(),
                one.asid.map_or("–".to_owned(), |asid| asid.to_string()),
                count(one.entries.into()),
            ]);
        }
    }
    sheet
}

/// What made the page: seeds, shape of the data, command.
pub(super) fn footer(results: &Results) -> String {
    let (order, option) = match results.interleave {
        Some(seed) => (format!("seed {seed}"), format!(" --interleave {seed}")),
        None => ("functional order".to_owned(), String::new()),
    };
    let facts = [
        ("Seed", results.seed.to_string()),
        ("Interleaving", order),
        ("schema_version", results.schema_version.to_string()),
        ("Smmulator", env!("CARGO_PKG_VERSION").to_owned()),
        ("Made by", format!("smmulator run SCENARIO.toml{option} --report out.html")),
    ];
    facts
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
        .collect()
}
