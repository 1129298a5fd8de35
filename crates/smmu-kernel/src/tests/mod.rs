//! The kernel over a tiny machine.

mod boot;
mod host;
mod lifecycle;
mod platform;
mod sequences;
mod together;
mod vfio;
mod vmid;
