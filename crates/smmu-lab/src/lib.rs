//! What is done with machines: scenarios, workloads, statistics, reports, replay.
//!
//! [`replay`] runs cases of registers, memory, commands and DMA, and compares the answers with
//! those that another implementation gave.
//!
//! ```
//! use smmu_lab::replay::{Case, run};
//!
//! // After reset the SMMU is off, and transactions pass.
//! let line = r#"{"name": "off", "smmu": {"stage": "nested"}, "memory": [[1073745920, "01020304"]],
//!     "steps": [{"dma": {"sid": 1, "ssid": null, "iova": 1073745920, "rw": "r", "len": 4}}]}"#;
//! let case: Case = serde_json::from_str(line)?;
//! assert_eq!(run(&case).results[0].pa, Some(0x4000_1000));
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod replay;
