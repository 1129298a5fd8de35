//! What an SMMU remembers: TLBs, walk caches, and the STE and CD caches.
//!
//! Every structure has a look-up, a fill and one `invalidate` that takes a scope of `smmu-arch`.
//! They hold no rule of their own about what a scope covers: they ask the scope, and only arrange
//! the entries so that the answer is found fast.
//!
//! An [`InvalidationLog`] gives the order between fills and scopes. Whoever executes a command
//! announces its scope to the log *first*, then calls `invalidate` on the structures, and then
//! lets its epoch begin ([`InvalidationLog::take_effect`]); a fill checks the log while it holds
//! the structure's lock. So an entry that was fetched before the scope took effect is either seen
//! by `invalidate` or refused by the check.
//!
//! Architecture: sections "TLB tagging, VMIDs, ASIDs", "TLB invalidation" and "Caching of
//! configuration structures" of the *Arm System Memory Management Unit Architecture
//! Specification, version 3* (IHI 0070).
//!
//! ```
//! use smmu_arch::*;
//! use smmu_cache::{Fill, InvalidationLog, Tlb, TlbGeometry};
//!
//! let log = InvalidationLog::new();
//! let tlb = Tlb::new(TlbGeometry::default().into())?;
//! let space = AddressSpace {
//!     world: StreamWorld::NsEl1,
//!     kind: EntryKind::Stage1,
//!     vmid: Vmid(1),
//!     asid: Asid(7),
//!     aset: false,
//! };
//! let mut context = tlb.resolve(&space);
//! assert!(tlb.look_up(&mut context, 0x1234).is_none());
//!
//! let begin = log.now();
//! let entry = TlbEntry {
//!     space,
//!     global: false,
//!     input: 0x1000,
//!     size_log2: 12,
//!     output: Pa(0x8000),
//!     permissions: Permissions::ALL,
//!     attributes: Attributes::DEFAULT,
//!     stage1: Some(Leaf { base: 0x1000, span_log2: 12, level: 3, granule: Granule::K4 }),
//!     stage2: None,
//! };
//! assert!(matches!(tlb.fill(&entry, begin, &log), Fill::Filled { .. }));
//! assert_eq!(tlb.look_up(&mut context, 0x1234).unwrap().output, Pa(0x8234));
//!
//! let scope = TlbScope::s12_vmall(Vmid(1));
//! let dropped = log.take_effect(&Invalidation::Translations(scope), || tlb.invalidate(&scope));
//! assert_eq!(dropped, 1);
//! assert!(tlb.look_up(&mut context, 0x1234).is_none());
//! # Ok::<(), smmu_cache::GeometryError>(())
//! ```

mod array;
mod config;
mod log;
pub mod policy;
mod tlb;
mod walk;

pub use array::{Array, Found};
pub use config::{ConfigCache, ConfigFill};
pub use log::InvalidationLog;
pub use tlb::{
    Context, Division, Evicted, Fill, GeometryError, IndexFunction, Resident, Split, Tlb,
    TlbGeometry, TlbShape,
};
pub use walk::{WalkCache, WalkFill};
