//! What fuzz targets, properties and kept inputs share: how a run of bytes becomes an input
//! ([`draw`], [`edited`]), and what must then hold ([`targets`]). Beside them the oracle that holds
//! the plain reference against the SMMU ([`mod@reference`]), and a machine with kernel, processes and
//! checker for the tests of the whole ([`testbed`]).
//!
//! A fuzz target is a name and a call. A property feeds the same oracle with random bytes, and
//! every input that once broke something lies in `fuzz/corpus-kept/` and is fed to it by
//! `cargo test`. So a defect found in any of the three ways is held by the other two.
//!
//! ```
//! use smmulator_tests::{TARGETS, targets};
//!
//! targets::command_decode(&[0x46, 0, 0, 0]); // CMD_SYNC
//! assert!(TARGETS.iter().any(|target| target.name == "command_decode"));
//! ```

pub mod draw;
pub mod edited;
pub mod reference;
pub mod structures;
pub mod targets;
pub mod testbed;

pub use targets::{TARGETS, Target};
