//! Device registers.

/// A device with memory-mapped registers.
pub trait Mmio {
    /// Reads `bytes` (4 or 8) bytes at `offset` from the start of the device.
    fn mmio_read(&self, offset: u64, bytes: u8) -> u64;

    /// Writes `bytes` (4 or 8) bytes at `offset`.
    fn mmio_write(&self, offset: u64, bytes: u8, value: u64);
}
