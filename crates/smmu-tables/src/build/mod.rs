//! The other side of the walk: software that builds and changes translation tables.
//!
//! Architecture: DDI 0487, "VMSAv8-64 translation table format descriptors" and "Using
//! break-before-make when updating translation table entries".
//!
//! A [`Table`] lives in memory alone and is changed by stores of a CPU, so that whoever listens to
//! stores sees the driver at work. Its rules are those of a careful driver:
//!
//! - A valid descriptor is never replaced by another valid one: [`Table::map`] fills only what is
//!   invalid, and [`Table::unmap`] only makes invalid.
//! - A table is complete before the one store that links it.
//! - A table that [`Table::unmap`] takes out is handed back, and is the caller's to free *after*
//!   the invalidation that its walks need.
//!
//! Callers serialise changes of one table.

mod error;
mod geometry;
mod map;
mod prot;
mod table;
mod unmap;

pub use error::BuildError;
pub use geometry::Geometry;
pub use prot::{MemoryKind, Prot, STAGE1_MAIR};
pub use table::{PageAllocator, Table};
pub use unmap::{Removed, Retired, Unmapped};
