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
//! use smmu_arch::{Invalidation, TlbScope, Vmid};
//!
//! let scope = Invalidation::Translations(TlbScope::s12_vmall(Vmid(5)));
//! assert!(matches!(scope, Invalidation::Translations(_)));
//! ```

mod address_size;
mod ats;
mod attributes;
mod broadcast;
mod cd;
mod command;
mod descriptor;
mod event;
mod fault;
mod features;
#[allow(unreachable_pub, reason = "they stand in signatures that modular-bitfield generates")]
mod field_types;
mod granule;
mod ids;
mod invalidation;
mod layout;
mod leaf;
mod observation;
mod permissions;
#[allow(unreachable_pub, reason = "constructors that modular-bitfield generates")]
mod pri;
mod promise;

mod regime;
pub mod registers;
mod rules;
mod ste;
mod stream_table;
mod tlb;
mod transaction;
mod walk_cache;
mod why;
mod world;

pub use address_size::{PA_BITS_MAX, address_size_bits, output_size_bits};
pub use ats::{AtsTranslation, TranslationCompletion, TranslationRequest};
pub use attributes::{Attributes, MemoryType, Shareability};
pub use broadcast::{BroadcastTlbi, PeContext, TlbiInstruction};
pub use cd::{Cd, CdTable, CdWords, IllegalCd};
pub use command::{
    AtcInv, CfgiCd, CfgiCdAll, CfgiSte, CfgiSteRange, CfgiVmsPidm, CmdSync, Command, CommandError,
    CommandFeatures, DptiPa, IllegalCommand, PrefetchAddr, PrefetchConfig, PriResp, PriResponse,
    Resume, ResumeAction, StallTerm, SyncSignal, TlbiAsid, TlbiEl2Va, TlbiEl2Vaa, TlbiIpa,
    TlbiRange, TlbiVa, TlbiVaa, TlbiVmid, TlbiVmidAsid,
};
pub use descriptor::{
    DescriptorKind, Stage1LeafWord, Stage2LeafWord, TableWord, descriptor_address,
    descriptor_address_bits, descriptor_kind,
};
pub use event::{
    AtsRequestEvent, Event, EventKind, FetchEvent, ForbiddenEvent, PageRequestEvent, StageEvent,
    TlbConflictEvent, UnknownEvent, UnsupportedEvent, WalkAbortEvent,
};
pub use fault::{Fault, FaultClass, StageFault, StageFaultKind};
pub use features::{
    Endianness, Features, HardwareUpdate, IdRegisters, InconsistentId, StallModel, TermModel,
};
pub use granule::{DescriptorFormat, Granule, stage2_concatenation_log2, stage2_start_level};
pub use ids::{
    Asid, CommandQueueId, Iova, Ipa, Pa, PortId, SmmuId, StallTicket, StreamId, SubstreamId, Vmid,
};
pub use invalidation::{
    AddressScope, AsidMatch, ConfigScope, Invalidation, Stages, TlbScope, VmidMatch, Worlds,
};
pub use layout::FieldInfo;
pub use leaf::Leaf;
pub use observation::{Maintenance, Observation, Origin, Path, TransactionId};
pub use permissions::{Permissions, StageRights};
pub use pri::PageRequest;
pub use promise::Promise;
pub use regime::{FaultPolicy, Regime, Stage1Half, Stage1Regime, Stage2Regime, TableRoot};
pub use ste::{
    CdFormat, DefaultSubstream, Eats, IllegalSte, InstructionOverride, PrivilegeOverride, Ste,
    SteWords, StreamConfig,
};
pub use stream_table::{L1Cd, L1CdWord, L1Std, L1StdWord};
pub use tlb::{
    AddressSpace, ConfigEntry, ConfigKey, EntryKind, EntrySizes, Epoch, Hit, Structure, TlbEntry,
    TlbKey,
};
pub use transaction::{Access, Direction, Transaction};
pub use walk_cache::{TABLE_LEVELS, WalkCaches, WalkEntry, WalkKey};
pub use why::{Stage, Why};
pub use world::StreamWorld;
