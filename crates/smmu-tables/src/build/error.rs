//! Why a table cannot be changed as asked.

use smmu_bus::Aborted;
use thiserror::Error;

/// Why a table cannot be changed as asked. Unless it says otherwise the table is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BuildError {
    /// The start level does not fit granule and input size, or a size is not architected.
    #[error("no translation table has this start level and these sizes")]
    Geometry,
    /// Input, output or length is no multiple of the granule, or the length is zero.
    #[error("addresses and lengths are multiples of the granule, and no length is zero")]
    Misaligned,
    /// The range leaves the input or output size of the table.
    #[error("the range leaves the input or output size of the table")]
    OutOfRange,
    /// No access is asked for.
    #[error("a mapping allows reads or writes")]
    NoAccess,
    /// Something is mapped at this input address already.
    #[error("input address {0:#x} is mapped already")]
    AlreadyMapped(u64),
    /// The range covers a part of this block or contiguous group; blocks are not split.
    #[error("the range covers a part of the {bytes:#x} bytes that are mapped as one at {input:#x}")]
    PartOfLeaf {
        /// First input address of the block or group.
        input: u64,
        /// Its length.
        bytes: u64,
    },
    /// The allocator has no more pages.
    #[error("no memory for a table")]
    OutOfMemory,
    /// A table is not in memory that answers. The change may be half made.
    #[error("a table does not answer: {0}")]
    Aborted(#[from] Aborted),
}
