//! Benchmarks of Smmulator, beside the peer that does the same work: the crate `smmu`.
//!
//! A [`Row`] names a piece of work, builds it for Smmulator and, where the peer can do it, for the
//! peer, and says what it is held to. Every [`Workload`] measures itself, draws its inputs on the
//! fly from a fixed seed, and gives a hash of all results beside the hash that the mappings call
//! for.
//!
//! - `cargo bench -p smmulator-benches --bench rows`: every row by criterion;
//! - `cargo bench -p smmulator-benches --bench compare`: one table of all rows, aims and losses;
//! - `cargo test -p smmulator-benches`: every row with few operations, results checked.
//!
//! Threads are pinned, each to a processor of its own. Nothing is kept from the optimiser but by
//! the hash.
//!
//! ```
//! let row = &smmulator_benches::rows()[0];
//! let mut ours = (row.ours)();
//! let measured = ours.run(64);
//! assert_eq!(measured.hash, ours.expected(measured.operations));
//! ```

pub mod counting;
pub mod draw;
pub mod layout;
pub mod machine;
pub mod measure;
pub mod peer;
pub mod rows;
pub mod workloads;

pub use measure::{Measured, Workload};
pub use rows::{Aim, Row, rows};
