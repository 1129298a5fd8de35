//! Studies of TLBs over traces: no tables, no translations, only what hits and what misses.
//!
//! A trace is a stream of [`Record`](trace::Record)s: accesses, and invalidations between them. A
//! [`Study`] fills a TLB of any [`Geometry`] by it and tells its misses apart, a [`Curve`] gives the
//! misses of every size at once, and [`gem5`] has the hierarchy of gem5's SMMUv3 model, to the last
//! hit.

mod command;
mod count;
mod curve;
pub mod gem5;
mod misses;
mod report;
mod tags;
mod tlb;
pub mod trace;
pub mod workload;

pub use command::{Options, StudyError, Subject, study};
pub use curve::Curve;
pub use misses::Miss;
pub use report::Report;
pub use smmu_cache::IndexFunction as Index;
pub use smmu_cache::policy::PolicyKind;
pub use tags::{Fnv64, TaggedBy};
pub use tlb::{Geometry, NoTlb, Outcome, Study, Tally};
