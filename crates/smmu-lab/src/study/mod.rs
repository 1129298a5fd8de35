//! Studies of TLBs over traces: no tables, no translations, only what hits and what misses.
//!
//! A trace is a stream of [`Record`](trace::Record)s: accesses, and invalidations between them. A
//! [`Geometry`] is filled by it and its misses are told apart; [`gem5`] has the hierarchy of gem5's
//! SMMUv3 model instead, to the last hit.

pub mod gem5;
mod tags;
pub mod trace;
pub mod workload;

pub use tags::Fnv64;
