//! The kernel over a tiny machine.

mod ats;
mod boot;
mod host;
mod iommufd;
mod iommufd_close;
mod iommufd_groups;
mod iommufd_nesting;
mod iommufd_random;
mod lifecycle;
mod platform;
mod sequences;
mod together;
mod vfio;
mod vmid;
