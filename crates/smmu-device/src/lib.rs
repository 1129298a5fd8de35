//! The SMMU: register file, queues, command execution, translation, events.
//!
//! [`Smmu`] is the shared part, [`Port`] a source of transactions. Everything that takes time is
//! an actor of the protocol in `smmu-bus`: [`Translation`], and the background [`Work`]. The
//! functional runner drives them at once ([`Port::translate`], [`Smmu::pump`]); other runners step
//! them one request at a time ([`Port::start`], [`Smmu::work`]).
//!
//! ```
//! use smmu_arch::{Access, Direction, IdRegisters, Iova, Pa, PortId, SmmuId, StreamId, Transaction};
//! use smmu_bus::Ram;
//! use smmu_cache::{TlbGeometry, TlbShape};
//! use smmu_device::{HierarchySizes, MainTlb, Port, Smmu, SmmuConfig, StructureSizes};
//! use std::sync::Arc;
//!
//! let smmu = Arc::new(Smmu::new(&SmmuConfig {
//!     id: SmmuId(0),
//!     id_registers: IdRegisters::REFERENCE,
//!     structures: StructureSizes {
//!         tlb: TlbGeometry::default().into(),
//!         ste_cache: Some(64),
//!         cd_cache: Some(64), hierarchy: HierarchySizes::default(),
//!     },
//!     ports: 1,
//!     cmdqv: None,
//! })?);
//! let ram = Ram::new([(Pa(0x4000_0000), 1 << 20)])?;
//! let mut port = Port::new(smmu, PortId(0), ())?;
//! // After reset SMMUEN is 0 and GBPA lets transactions pass.
//! let transaction = Transaction {
//!     stream: StreamId(1),
//!     substream: None,
//!     iova: Iova(0x4000_0000),
//!     access: Access::data(Direction::Read),
//! };
//! assert_eq!(port.translate(&ram, &transaction).unwrap().output, Pa(0x4000_0000));
//! port.end();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atc;
mod atos;
mod broadcast;
mod cmdqv;
mod command_queue;
mod control;
mod ecmdq;
mod event_queue;
mod functional;
mod globals;
mod hierarchy;
mod in_flight;
mod notification;
mod pmcg;
mod port;
mod pri_queue;
mod regime;
mod registers;
mod smmu;
mod stalls;
mod structures;
mod translation;
mod work;

pub use atc::AtcOutcome;
pub use atos::{AtosLookup, AtosOutcome};
pub use broadcast::BroadcastSync;
pub use command_queue::{CommandConsumer, CommandOutcome};
pub use event_queue::{EventOutcome, EventWriter};
pub use functional::Progress;
pub use hierarchy::{HierarchySizes, MainTlb};
pub(crate) use notification::Notification;
pub use notification::{Notifier, NotifyOutcome};
pub use pmcg::{Metered, Pmcg, PmcgConfig, PmcgEvent, PmcgInterrupt};
pub use port::{NoSuchPort, Port};
pub use pri_queue::{PageRequestOutcome, PageRequestWriter, Responder};
pub use smmu::{CmdqvFrame, Smmu, SmmuConfig};
pub use smmu_cache::Resident;
pub use stalls::Release;
pub use structures::StructureSizes;
pub use translation::{Granted, Refused, Response, Translation, TranslationOutcome};
pub use work::{Work, WorkOutcome};
