//! What stands in front of an SMMU: DMA ports and engines.
//!
//! A master knows no SMMU: it sends transactions over its port and makes the data access that
//! comes back, like a device on the bus.
//!
//! ```
//! use smmu_arch::{Direction, Iova, Pa, PortId, StreamId};
//! use smmu_bus::{Actor, Answer, Message, Request, Step};
//! use smmu_master::{Dma, DmaEngine};
//!
//! let dma = Dma { stream: StreamId(1), substream: None, iova: Iova(0x1ff8), bytes: 16,
//!                 direction: Direction::Read, privileged: false };
//! // Sixteen bytes that cross a page are two transactions.
//! let mut engine = DmaEngine::new(PortId(0), vec![dma].into_iter());
//! let Step::Need(Request::Send { message: Message::Transaction(first), .. }) =
//!     engine.step(Answer::Start) else { panic!() };
//! assert_eq!(first.iova, Iova(0x1ff8));
//! ```

mod atc;
mod engine;

pub use atc::{Atc, AtcDrain, AtcRequest, AtcUse, grants, output};
pub use engine::{Completion, Dma, DmaEngine, DmaSummary};
