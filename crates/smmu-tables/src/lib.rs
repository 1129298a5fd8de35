//! What an SMMU finds in memory: stream table, CD tables, stage 1 and stage 2 tables, with the
//! walk that reads them and the builder that writes them side by side.
//!
//! Nothing here reads memory by itself. A [`Walk`] is a value that asks for one descriptor after
//! the other and is handed each word, at once or many cycles later; [`run`] answers it from a
//! memory.
//!
//! ```
//! use smmu_arch::*;
//! use smmu_tables::{Walk, WalkAnswer, WalkStep};
//!
//! # let format = DescriptorFormat::Bits48;
//! # let root =
//! #     TableRoot { base: 0x1000, input_bits: 21, granule: Granule::K4, start_level: 3, format };
//! # let regime = Regime {
//! #     space: AddressSpace {
//! #         world: StreamWorld::NsEl1,
//! #         kind: EntryKind::Stage2,
//! #         vmid: Vmid(1),
//! #         asid: Asid(0),
//! #         aset: false,
//! #     },
//! #     stage1: None,
//! #     stage2: Some(Stage2Regime {
//! #         root,
//! #         output_bits: 48,
//! #         access_flag_fault_disabled: false,
//! #         hardware_access: false,
//! #         hardware_dirty: false,
//! #         protected_table_walk: false,
//! #         forced_write_back: false,
//! #         execute_by_privilege: false,
//! #         big_endian: false,
//! #         sh: 0,
//! #     }),
//! #     input_attributes: Attributes::DEFAULT,
//! #     policy: FaultPolicy::default(),
//! #     privilege_override: None,
//! #     instruction_override: None,
//! # };
//! // Stage 2 alone, one level of 4K pages at 0x1000.
//! let mut walk = Walk::new(&regime, 0x2345, Access::data(Direction::Read));
//! let step = walk.step(&regime, WalkAnswer::Start);
//! let why = Why::Descriptor { stage: Stage::Stage2, level: 3 };
//! assert_eq!(step, WalkStep::Read { pa: Pa(0x1010), why });
//!
//! // The answer: a page at 0x9000, Access flag set, read-only, Normal Write-Back.
//! let page = 0x9000 | 1 << 10 | 1 << 6 | 0xf << 2 | 3;
//! let WalkStep::Done(Ok(walked)) = walk.step(&regime, WalkAnswer::Word(page)) else { panic!() };
//! assert_eq!(walked.output, Pa(0x9345));
//! assert!(!walked.entry.permissions.allows(Access::data(Direction::Write)));
//! ```
//!
//! Architecture: IHI 0070, sections "Translation procedure", "Translation tables and supported
//! granules" and "Permissions and attributes"; DDI 0487, chapter "VMSAv8-64".

mod build;
mod context;
mod stream;
mod walk;

pub use build::{
    BuildError, Geometry, MemoryKind, PageAllocator, Prot, Removed, Retired, STAGE1_MAIR, Table,
    Unmapped,
};
pub use context::{CdLocation, ContextTable};
pub use stream::{SteLocation, StreamTable};
pub use walk::{
    CachedAnswer, CachedStep, CachedWalk, UpdatingAnswer, UpdatingStep, UpdatingWalk, Walk,
    WalkAnswer, WalkStep, Walked, lookup_input, run,
};
