//! What a machine is made of: the machine file, its presets, and how bad input is shown.
//!
//! A [`MachineFile`] is read from TOML, checked, and worked out into a [`Blueprint`]. A
//! [`Document`] is the file with the places of everything in it, so that whatever is wrong with
//! a machine or a scenario becomes a [`Diagnostic`] with line, underlined place and remedy.
//!
//! ```
//! use smmu_machine::{Document, MachineFile};
//!
//! let file = "preset = 'ideal'\n[[smmu]]\nname = 'smmu0'\ntlb = { entries = 50, ways = 4 }\n";
//! let document = Document::parse("machine.toml", file).unwrap();
//! let error = MachineFile::load_document(&document).unwrap_err();
//! let cause = "machine.toml:4:19: 50 entries cannot be divided into sets of 4 ways";
//! assert_eq!(error.to_string(), cause);
//! assert!(error.remedy().unwrap().contains("use 48 or 52 entries"));
//! ```

pub mod document;
pub mod file;
pub mod hosted;
pub mod names;
pub mod presets;
pub mod runner;

pub use document::{Diagnostic, Document, Path, Problem, Segment, suggest};
pub use file::{
    Blueprint, Bytes, CacheBlueprint, DeviceBlueprint, HierarchyBlueprint, MachineFile,
    MemoryRegion, SetAssociative, SmmuBlueprint, TlbBlueprint, WalkCacheBlueprint,
};
pub use presets::Preset;
pub use runner::{
    ActorName, Board, BuildError, Did, DmaId, End, Family, Listener, Machine, MachineMemory,
    MemoryOrder, Order, Program, Shared, Stuck, Turn, device_ports, structure_sizes,
};

/// The JSON Schema of a file format, under a title.
#[must_use]
pub fn schema_of<T: schemars::JsonSchema>(title: &str) -> serde_json::Value {
    let mut schema = schemars::schema_for!(T).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), title.into());
    }
    schema
}
