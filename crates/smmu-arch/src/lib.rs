//! Words and values of the Arm SMMUv3 architecture: encode, decode, legality. No behaviour.
//!
//! Every register, structure, command, event record and descriptor has one home here. A word that
//! a guest wrote is decoded once into a plain value; past this crate nobody shifts or masks.
//!
//! The architecture is cited by section name: *Arm System Memory Management Unit Architecture
//! Specification, SMMU architecture version 3* (IHI 0070), and for translation tables the *Arm
//! Architecture Reference Manual for A-profile* (DDI 0487), chapter "VMSAv8-64".
//!
//! ```
//! use smmu_arch::{Command, CommandFeatures, Invalidation, TlbScope, Vmid};
//!
//! let command = Command::decode(&[0x0000_0005_0000_0028, 0])?;
//! assert_eq!(command.to_string(), "CMD_TLBI_S12_VMALL vmid=0x5");
//! assert_eq!(
//!     command.scope(&CommandFeatures::ALL, false, 0),
//!     Some(Invalidation::Translations(TlbScope::s12_vmall(Vmid(5)))),
//! );
//! # Ok::<(), smmu_arch::CommandError>(())
//! ```

mod attributes;
mod command;
mod event;
mod fault;
mod granule;
mod ids;
mod invalidation;
mod layout;
mod leaf;
mod permissions;
#[allow(unreachable_pub, reason = "constructors that modular-bitfield generates")]
mod pri;
mod tlb;
mod transaction;
mod world;

pub use attributes::{Attributes, MemoryType, Shareability};
pub use command::{
    AtcInv, CfgiCd, CfgiCdAll, CfgiSte, CfgiSteRange, CfgiVmsPidm, CmdSync, Command, CommandError,
    CommandFeatures, DptiPa, IllegalCommand, PrefetchAddr, PrefetchConfig, PriResp, PriResponse,
    Resume, ResumeAction, StallTerm, SyncSignal, TlbiAsid, TlbiEl2Va, TlbiEl2Vaa, TlbiIpa,
    TlbiRange, TlbiVa, TlbiVaa, TlbiVmid, TlbiVmidAsid,
};
pub use event::{
    AtsRequestEvent, Event, EventKind, FetchEvent, ForbiddenEvent, PageRequestEvent, StageEvent,
    TlbConflictEvent, UnknownEvent, UnsupportedEvent, WalkAbortEvent,
};
pub use fault::{Fault, FaultClass, Stage, StageFault, StageFaultKind};
pub use granule::{Granule, stage2_concatenation_log2, stage2_start_level};
pub use ids::{Asid, Iova, Ipa, Pa, PortId, SmmuId, StreamId, SubstreamId, Vmid};
pub use invalidation::{
    AddressScope, AsidMatch, ConfigScope, Invalidation, Stages, TlbScope, VmidMatch, Worlds,
};
pub use layout::Field;
pub use leaf::Leaf;
pub use permissions::{Permissions, StageRights};
pub use pri::PageRequest;
pub use tlb::{
    AddressSpace, ConfigEntry, ConfigKey, EntryKind, Epoch, Hit, Structure, TlbEntry, TlbKey,
};
pub use transaction::{Access, Direction, Transaction};
pub use world::StreamWorld;
