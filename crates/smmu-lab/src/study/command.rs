//! A study from a trace to its report.

use super::count::count;
use super::curve::Curve;
use super::gem5::{Gem5Policy, Hierarchy};
use super::report::Report;
use super::tlb::{Geometry, NoTlb, Study};
use super::trace::{self, Format, Ids, Reading, open_as};
use crate::input::InputError;
use std::path::PathBuf;
use thiserror::Error;

/// What is studied.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Subject {
    /// One TLB.
    Tlb(Geometry),
    /// gem5's hierarchy, with or without its SMMU TLB.
    Gem5 {
        /// Policy of every cache.
        policy: Gem5Policy,
        /// The SMMU TLB is on.
        smmu_tlb: bool,
    },
}

/// What a study is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// Trace; `-` is standard input.
    pub trace: PathBuf,
    /// Its format; `None` for the one of its name.
    pub format: Option<Format>,
    /// Identifiers of the contexts of a packed trace.
    pub ids: Ids,
    /// What is studied.
    pub subject: Subject,
    /// Hits and misses alone: their causes are not told apart.
    pub count: bool,
    /// Miss-ratio curve over this share of the pages, above 0 and at most 1.
    pub curve: Option<f64>,
}

/// A study that cannot be made.
#[derive(Debug, Error)]
pub enum StudyError {
    /// The trace cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The TLB cannot be built.
    #[error(transparent)]
    Tlb(#[from] NoTlb),
}

/// Makes a study.
///
/// # Errors
/// The trace cannot be used, or the TLB cannot be built.
pub fn study(options: &Options) -> Result<Report, StudyError> {
    match options.subject {
        Subject::Gem5 { policy, smmu_tlb } => of_gem5(options, policy, smmu_tlb),
        Subject::Tlb(geometry) => of_tlb(options, geometry),
    }
}

fn of_tlb(options: &Options, geometry: Geometry) -> Result<Report, StudyError> {
    let Options { trace, format, ids, count: only_count, curve, .. } = options;
    if *only_count && curve.is_none() {
        let (format, source) = open_as(trace, *format)?;
        if format == Format::Packed {
            let reading = Reading { path: trace };
            let outcome =
                count::<StudyError>(&geometry, *ids, |each| Ok(reading.records(source, each)?))?;
            return Ok(Report::of_tlb(geometry, outcome, None, false));
        }
    }
    let mut study = Study::new(geometry, !only_count)?;
    let mut curve = curve.map(Curve::new);
    let passed = trace::read(trace, *format, *ids, |record| {
        study.take(&record, |tag| {
            if let Some(curve) = &mut curve {
                curve.refer(tag);
            }
        });
    })?;
    Ok(Report::of_tlb(geometry, study.outcome(), curve, !only_count).passed_over(passed))
}

/// Invalidations have no effect: gem5's are what it gets wrong, and its counts have none.
fn of_gem5(options: &Options, policy: Gem5Policy, smmu_tlb: bool) -> Result<Report, StudyError> {
    let mut hierarchy = Hierarchy::new(policy, smmu_tlb);
    let mut accesses = 0;
    let passed = trace::read(&options.trace, options.format, options.ids, |record| {
        for access in record.references() {
            hierarchy.refer(&access);
            accesses += 1;
        }
    })?;
    Ok(Report::of_gem5(hierarchy.counts, accesses).passed_over(passed))
}
