//! A machine that runs: SMMUs, devices, CPUs and memory, stepped by one host thread.
//!
//! All actors are kept in one list. Each turn, the [`Order`] picks one of those that can take a
//! step, and its request is answered. Same machine, programs and seed: same steps.

mod answers;
mod board;
mod broadcast;
mod endpoint;
mod listener;
mod name;
mod order;
mod schedule;
mod structures;
mod turn;
mod visibility;

pub use board::{Board, BuildError, Interrupts, MachineMemory, device_ports};
pub(crate) use board::{build_smmu, globals};
pub use listener::{Listener, Shared};
pub use name::{ActorName, Family};
pub use order::{MemoryOrder, Order};
pub use schedule::{DmaId, Machine, Program, Stuck};
pub use structures::structure_sizes;
pub use turn::{Did, End, Turn};
