//! The rules of the house, read from the repository as it lies there.
//!
//! They are few, and each failure says which rule, where, and why it is one. A rule that stands
//! in the way of something better is changed here, in the same commit and with the reason.

mod front_pages;
mod fuzz_targets;
mod manifests;
mod repository;
mod rooms;
mod sources;
mod test_points;
mod walls;
