//! Replay: cases of registers, memory, commands and DMA, run here and compared with the answers
//! that another implementation gave.
//!
//! The format is described in `docs/`, "Replay cases". A case is one machine from reset on: RAM of
//! 8 GiB, one SMMU with QEMU's ID registers, and one device that makes one access at a time.

mod case;
mod command;
mod compare;
mod driver_log;
mod load;
mod memory;
mod report;
mod run;

pub use case::{Bytes, Case, CaseStep, Comparison, Dma, DmaResult, Model, ReadWrite, Stages};
pub use command::{Options, command, replay, replay_cases};
pub use compare::{Answer, Difference, Verdict, compare};
pub use driver_log::replay_log;
pub use load::load;
pub use report::{Counts, Disagreement, Report, Skipped};
pub use run::{Answers, run};
