//! Traces: what a device did, and what was forgotten in between.

pub mod packed;

/// One access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// StreamID.
    pub sid: u32,
    /// SubstreamID; 0 where there is none.
    pub ssid: u32,
    /// VMID.
    pub vmid: u16,
    /// ASID.
    pub asid: u16,
    /// Address.
    pub iova: u64,
    /// log2 of the bytes of the page that it lies in, 12 to 52.
    pub size_log2: u8,
}

/// Which VMID and ASID the contexts of a packed trace have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Ids {
    /// VMID 1 to 4, ASID 1 to 4.
    #[default]
    Small,
    /// VMID 1 to 4, ASID 0x100, 0x240, 0x380, 0x4c0: they meet the index of a set at its upper bits.
    Spread,
}

impl Ids {
    /// The identifiers of a name; caches that are tagged by stream do not care.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "small" | "sid/ssid" => Some(Self::Small),
            "spread" => Some(Self::Spread),
            _ => None,
        }
    }
}
