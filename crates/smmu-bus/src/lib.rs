//! The wires of a machine: the protocol that its actors speak, physical and user memory, CPUs,
//! device registers, interrupts.
//!
//! ```
//! use smmu_arch::Pa;
//! use smmu_bus::{Memory, Ram};
//!
//! let ram = Ram::new([(Pa(0x4000_0000), 1 << 20)]).unwrap();
//! ram.write_word(Pa(0x4000_0008), 7).unwrap();
//! assert_eq!(ram.read_word(Pa(0x4000_0008)), Ok(7));
//! assert!(ram.read_word(Pa(0x5000_0000)).is_err());
//! ```

mod cpu;
mod memory;
mod mmio;
mod observer;
mod outputs;
mod protocol;
mod ram;
mod serve;
mod user;
mod wrappers;

pub use cpu::{Cpu, CpuActor, DirectCpu, Platform, ScheduledCpu};
pub use memory::{Aborted, Memory};
pub use mmio::Mmio;
pub use observer::Observer;
pub use outputs::{AtcAnswer, Outputs};
pub use protocol::{
    Actor, Answer, Condition, Data, InterruptLine, LockId, Message, Refusal, Request, Step,
};
pub use ram::{MemoryMapError, Ram};
pub use serve::serve_memory;
pub use user::{Pinned, UserFault, UserMemory, UserSpace, UserSpaceError};
pub use wrappers::{Faulting, Recording, StoreListener};
