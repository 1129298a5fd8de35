//! Interleavings of a machine: litmus programs, their exploration, and what was found.
//!
//! A [`Litmus`] is a small program of CPUs and devices, with outcomes that must not be. [`explore`]
//! runs it in every order of its steps that can make a difference, and judges each run by the
//! checker and by those outcomes. What fails is made short, and drawn.
//!
//! ```
//! use smmu_explore::{Litmus, Options, explore};
//!
//! let text = "
//!     page A
//!     space S asid 1 { map 0x1000 -> A }
//!     device nic uses S
//!     cpu {
//!         store pte[S, 0x1000] = invalid
//!         drop tlbi va 0x1000 asid 1
//!         sync
//!         free A
//!     }
//!     dma d nic { write 0x1000; write 0x1000 }
//!     forbid d.0 -> A free
//! ";
//! let litmus = Litmus::parse("unmap.litmus", text).unwrap();
//! let options = Options::default();
//! assert!(explore(&litmus, &options, &mut |_| ()).passed());
//!
//! let broken = litmus.broken(0).unwrap();
//! let finding = explore(&broken, &options, &mut |_| ()).finding.unwrap();
//! assert!(finding.what.contains("missing      CMD_TLBI_NH_VA"));
//! ```

mod bits;
mod exhaust;
mod footprint;
pub mod litmus;
mod program;
mod report;
mod saved;
mod schedule;
#[cfg(test)]
mod tests;
mod timeline;
mod trace;
mod trial;
mod world;

pub use litmus::Litmus;
pub use report::{Finding, Options, Report, explore};
pub use saved::Saved;
pub use schedule::Impossible;
pub use smmu_machine::{Diagnostic, MemoryOrder};
pub use trial::{Failure, FailureKind, Outcome};
