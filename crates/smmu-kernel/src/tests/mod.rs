//! The kernel over a tiny machine.

mod boot;
mod platform;
