//! The plain reference and the checker: what the tables in memory allow, held against what an
//! SMMU did.
//!
//! [`Reference`] decodes the configuration and walks the tables itself. It is slow and obvious:
//! one rule a line, bit positions spelled out where they are used, nothing shared with the
//! walker or the decoders that it judges. [`Checker`] is told of stores, promises and
//! observations in the order in which they happened, and gives a [`Verdict`] for each use of a
//! translation that was over.
//!
//! The architecture is cited by section name: *Arm System Memory Management Unit Architecture
//! Specification, SMMU architecture version 3* (IHI 0070).
//!
//! ```
//! use smmu_arch::{Access, Direction, Features, IdRegisters, Iova, Pa, StreamId, Transaction};
//! use smmu_bus::{Memory, Ram};
//! use smmu_check::{Allowed, Globals, Reference};
//!
//! let ram = Ram::new([(Pa(0x4000_0000), 1 << 20)]).unwrap();
//! ram.write_word(Pa(0x4000_0000 + 64 * 5), 4 << 1 | 1).unwrap(); // STE 5: V, Config = bypass
//! let globals = Globals {
//!     smmuen: true,
//!     strtab_base: Pa(0x4000_0000),
//!     strtab_log2size: 4,
//!     ..Globals::default()
//! };
//! let reference = Reference { features: Features::decode(&IdRegisters::REFERENCE), globals };
//! let read = Transaction {
//!     stream: StreamId(5),
//!     substream: None,
//!     iova: Iova(0x1234),
//!     access: Access::data(Direction::Read),
//! };
//! assert_eq!(reference.rule(&ram, &read).allowed, Allowed::Bypass(Pa(0x1234)));
//! ```

mod checker;
mod reference;

pub use checker::*;
pub use reference::{Allowed, Globals, Reference, Ruling, Source, Translation, Update};
