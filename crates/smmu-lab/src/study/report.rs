//! What comes out of a study, as text and as JSON.

use super::curve::Curve;
use super::gem5::HierarchyCounts;
use super::tags::TaggedBy;
use super::tlb::{Geometry, Outcome, Tally};
use super::trace::PassedOver;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// Rows of a table of contexts: what is more is summed up.
const ROWS_MAX: usize = 32;
/// Characters of the longest bar of a curve.
const BAR: f64 = 40.0;
/// Version of the JSON document.
const SCHEMA_VERSION: u32 = 1;

/// What comes out of a study.
#[derive(Clone, Debug)]
pub struct Report {
    subject: Counted,
    passed_over: u64,
}

#[derive(Clone, Debug)]
enum Counted {
    Tlb { geometry: Geometry, outcome: Outcome, curve: Option<Box<Curve>>, causes: bool },
    Gem5 { counts: HierarchyCounts, accesses: u64 },
}

impl Report {
    pub(super) fn of_tlb(
        geometry: Geometry,
        outcome: Outcome,
        curve: Option<Curve>,
        causes: bool,
    ) -> Self {
        let curve = curve.map(Box::new);
        Self { subject: Counted::Tlb { geometry, outcome, curve, causes }, passed_over: 0 }
    }

    pub(super) const fn of_gem5(counts: HierarchyCounts, accesses: u64) -> Self {
        Self { subject: Counted::Gem5 { counts, accesses }, passed_over: 0 }
    }

    pub(super) fn passed_over(self, passed: PassedOver) -> Self {
        Self { passed_over: passed.0, ..self }
    }

    /// The report as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut report = match &self.subject {
            Counted::Tlb { geometry, outcome, curve, causes } => {
                tlb_json(geometry, outcome, curve.as_deref(), *causes)
            }
            Counted::Gem5 { counts, accesses } => gem5_json(counts, *accesses),
        };
        report["schema_version"] = SCHEMA_VERSION.into();
        report["passed_over"] = self.passed_over.into();
        report
    }
}

fn tlb_json(geometry: &Geometry, outcome: &Outcome, curve: Option<&Curve>, causes: bool) -> Value {
    let names = names(geometry.tagged_by);
    let by_context = outcome.by_context.iter().map(|((first, second), tally)| {
        let mut row = tally_json(tally, causes);
        row[names[0]] = (*first).into();
        row[names[1]] = (*second).into();
        row
    });
    let by_size = outcome.by_size.iter().map(|(size, tally)| {
        let mut row = tally_json(tally, causes);
        row["page_bytes"] = (1u64 << size).into();
        row
    });
    let mut report = tally_json(&outcome.total, causes);
    report["hit_index_fnv64"] = outcome.hit_index_fnv64.0.into();
    report["invalidations"] = outcome.invalidations.into();
    report["dropped"] = outcome.dropped.into();
    report["by_context"] = by_context.collect();
    report["by_size"] = by_size.collect();
    if let Some(curve) = curve {
        report["curve"] = curve_json(curve);
    }
    report
}

fn tally_json(tally: &Tally, causes: bool) -> Value {
    let mut row = json!({
        "references": tally.references(),
        "hits": tally.hits,
        "misses": tally.misses,
    });
    if causes {
        let named = CAUSES.iter().zip(tally.causes);
        named.for_each(|(name, count)| row[*name] = count.into());
    }
    row
}

fn curve_json(curve: &Curve) -> Value {
    let points = sizes(curve)
        .map(|entries| json!({ "entries": entries, "miss_ratio": curve.miss_ratio(entries) }));
    json!({
        "pages": curve.pages(),
        "sampled": curve.sampled(),
        "error_bound": curve.error_bound(),
        "points": points.collect::<Vec<_>>(),
    })
}

fn gem5_json(counts: &HierarchyCounts, accesses: u64) -> Value {
    let mut report = counts.to_json();
    report.insert("accesses".to_owned(), accesses.into());
    Value::Object(report)
}

/// Names of the causes of misses, in the order of [`super::Miss`].
const CAUSES: [&str; 4] = ["compulsory", "invalidation", "capacity", "conflict"];

const fn names(tagged_by: TaggedBy) -> [&'static str; 2] {
    match tagged_by {
        TaggedBy::AddressSpace => ["vmid", "asid"],
        TaggedBy::Stream => ["sid", "ssid"],
    }
}

/// Sizes of a curve: two for each power of two, until all pages fit.
fn sizes(curve: &Curve) -> impl Iterator<Item = u64> {
    let all = curve.pages().max(1).next_power_of_two();
    let powers = std::iter::successors(Some(1u64), |size| Some(size * 2));
    powers
        .take_while(move |size| *size <= all)
        .flat_map(move |size| [Some(size), (size > 1 && size < all).then_some(size / 2 * 3)])
        .flatten()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Counted::Tlb { geometry, outcome, curve, causes } => {
                write_tlb(f, geometry, outcome, *causes)?;
                if let Some(curve) = curve {
                    write_curve(f, curve)?;
                }
            }
            Counted::Gem5 { counts, accesses } => write_gem5(f, counts, *accesses)?,
        }
        match self.passed_over {
            0 => Ok(()),
            lines => writeln!(f, "lines passed over   {lines}"),
        }
    }
}

fn write_tlb(
    f: &mut fmt::Formatter<'_>,
    geometry: &Geometry,
    outcome: &Outcome,
    causes: bool,
) -> fmt::Result {
    let total = &outcome.total;
    writeln!(f, "references          {}", total.references())?;
    writeln!(f, "hits                {} ({})", total.hits, percent(total.hits, total))?;
    writeln!(f, "misses              {} ({})", total.misses, percent(total.misses, total))?;
    if causes {
        for (name, count) in CAUSES.iter().zip(total.causes) {
            writeln!(f, "  {name:<17} {count} ({})", percent(count, total))?;
        }
    }
    if outcome.invalidations > 0 {
        writeln!(f, "invalidations       {}", outcome.invalidations)?;
        writeln!(f, "  entries dropped   {}", outcome.dropped)?;
    }
    writeln!(f, "FNV-64 of the hits  {:#018x}", outcome.hit_index_fnv64.0)?;
    let [first, second] = names(geometry.tagged_by);
    let by_first = outcome.by_first();
    let rows = by_first.iter().map(|(first, tally)| (vec![first.to_string()], tally));
    write_table(f, &[first], rows, causes)?;
    let contexts = outcome.by_context.iter();
    let rows = contexts.map(|((one, two), tally)| (vec![one.to_string(), two.to_string()], tally));
    write_table(f, &[first, second], rows, causes)?;
    let sizes = outcome.by_size.iter();
    let rows = sizes.map(|(size, tally)| (vec![bytes(1 << size)], tally));
    write_table(f, &["page"], rows, causes)
}

fn write_table<'a>(
    f: &mut fmt::Formatter<'_>,
    names: &[&str],
    rows: impl ExactSizeIterator<Item = (Vec<String>, &'a Tally)>,
    causes: bool,
) -> fmt::Result {
    let more = rows.len().saturating_sub(ROWS_MAX);
    if rows.len() < 2 {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    let mut header: Vec<&str> = names.to_vec();
    header.extend(["references", "hits", "hit ratio"]);
    if causes {
        header.extend(CAUSES);
    }
    table.set_header(header);
    for (mut row, tally) in rows.take(ROWS_MAX) {
        row.extend([tally.references().to_string(), tally.hits.to_string()]);
        row.push(percent(tally.hits, tally));
        if causes {
            row.extend(tally.causes.iter().map(u64::to_string));
        }
        table.add_row(row);
    }
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    writeln!(f, "{table}")?;
    if more > 0 {
        writeln!(f, "and {more} more: --json has them all")?;
    }
    Ok(())
}

fn write_curve(f: &mut fmt::Formatter<'_>, curve: &Curve) -> fmt::Result {
    writeln!(f, "\nmisses of a fully associative LRU TLB, by entries")?;
    for entries in sizes(curve) {
        let ratio = curve.miss_ratio(entries);
        let mut bar = String::new();
        (0..(ratio * BAR).round() as usize).try_for_each(|_| bar.write_char('█'))?;
        writeln!(f, "{entries:>9}  {:>7.3} %  {bar}", ratio * 100.0)?;
    }
    writeln!(f, "pages               {}", curve.pages())?;
    if curve.error_bound() > 0.0 {
        let sampled = curve.sampled();
        let bound = curve.error_bound() * 100.0;
        writeln!(f, "sampled references  {sampled}; error below {bound:.3} points in 95 of 100")?;
    }
    Ok(())
}

fn write_gem5(f: &mut fmt::Formatter<'_>, counts: &HierarchyCounts, accesses: u64) -> fmt::Result {
    writeln!(f, "{:<20}{accesses}", "accesses")?;
    counts.to_json().iter().try_for_each(|(name, count)| writeln!(f, "{name:<20}{count}"))
}

fn percent(part: u64, of: &Tally) -> String {
    match of.references() {
        0 => "–".to_owned(),
        all => format!("{:.3} %", part as f64 * 100.0 / all as f64),
    }
}

fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let unit = (bytes.ilog2() / 10) as usize;
    format!("{} {}", bytes >> (10 * unit), units[unit])
}
