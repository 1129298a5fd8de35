//! A machine whose CPUs and memory belong to somebody else: another emulator, a virtual machine
//! monitor, a kernel that runs as a process.
//!
//! A [`Hosted`] machine has SMMUs, ports and endpoints' caches, and is called: registers are read
//! and written, transactions are translated, and everything that follows from a call is done before
//! it returns. It may be called from several host threads.
//!
//! Stores are not seen as they are made, for software writes its memory behind our back. A store
//! is found out when the word is read for a translation, and otherwise by comparison, at every
//! register write, transaction and promise: see [`Seen`]. A word that changed twice in between has
//! not changed for the checker.

mod judge;
mod machine;
mod masters;
mod outputs;
mod seen;

pub use machine::{Hosted, HostedOptions};
pub use masters::{Access, AccessError, Done, Stall};
pub use outputs::Host;
pub use seen::Seen;
