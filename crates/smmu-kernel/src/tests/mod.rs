//! The kernel over a tiny machine.

mod boot;
mod platform;
mod sequences;
mod vfio;
mod vmid;
