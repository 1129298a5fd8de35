//! The laboratory: scenarios and what comes out of them, and the replay of neutral cases.
//!
//! A scenario file says who does DMA on which machine and what must come out; [`Scenario::load`]
//! reads it with its machine and its variants, and refuses bad input with line and remedy.
//! [`run`] runs it, [`report`] makes a page of what came out. [`replay`] holds the SMMU against
//! answers of other implementations.
//!
//! ```
//! use smmu_lab::{Document, LoadOptions, Scenario};
//!
//! let file = "
//!     title = 'one VM'
//!     machine = 'reference'
//!     [[vm]]
//!     name = 'A'
//!     devices = ['nic0']
//!     [[step]]
//!     dma = { device = 'nic0', iova = 0x4000_0000, bytes = '64KiB' }
//!     [expect]
//!     misses = 16
//! ";
//! let document = Document::parse("one.toml", file).unwrap();
//! let loaded =
//!     Scenario::load_document(document, "".as_ref(), &LoadOptions::default()).unwrap();
//! assert_eq!(loaded.runs[0].scenario.vms[0].name, "A");
//! ```

pub mod decode;
mod input;
pub mod log;
pub mod reference;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod study;

pub use input::InputError;
pub use scenario::{LoadOptions, Loaded, Run, Scenario, ScenarioFile};
pub use smmu_kernel::{FaultInfo, FaultSwitch};
pub use smmu_machine::{Diagnostic, Document};
