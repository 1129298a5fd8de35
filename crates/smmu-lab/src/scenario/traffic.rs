//! What a workload puts on the bus: generators that a reader recognises.

use schemars::JsonSchema;
use serde::Deserialize;
use smmu_machine::Bytes;

/// A generator of DMA; exactly one. All addresses lie in the RAM of the device's VM.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// A network card with descriptor rings.
    NicRing(NicRing),
    /// Accesses at random places of a window, as pcie-bench makes them.
    Window(Window),
    /// Ring pointer, data, notification: the synthetic packets of HyperSIO.
    TenantRing(TenantRing),
    /// Blocks of an NVMe drive, with their queues.
    Nvme(Nvme),
    /// Messages of an accelerator that shares the address space of a process (SVA).
    Accelerator(Accelerator),
}

/// A network card: descriptors of 16 bytes in a ring, a page for each packet.
///
/// The rings stand at the start of RAM, the buffers after them; buffers are taken in turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NicRing {
    /// Packets of each device. Default: 2000.
    pub packets: u64,
    /// Descriptors of a ring, a power of two, 8 to 65536. Default: 256.
    pub ring: u32,
    /// Bytes of a packet, 64 to 65536. Default: 1500.
    pub mtu: u32,
    /// Buffers of each direction, each in pages of its own. Default: as many as `ring`.
    pub buffers: Option<u32>,
    /// Which way the packets go. Default: `both`, in turn.
    pub direction: RingDirection,
    /// Descriptors that the card fetches ahead for transmission, at most. Default: 40.
    pub tx_prefetch: u32,
    /// Transmit descriptors that are written back together. Default: 8.
    pub tx_writeback: u32,
    /// Receive descriptors that the driver refills together. Default: 32.
    pub rx_refill: u32,
    /// Received packets between two writes of the head pointer. Default: 8.
    pub rx_head: u32,
    /// Packets between two interrupts. Default: 32.
    pub interrupt: u32,
    /// One transmitted packet in this many is lost, and sent again from the same buffer; 0 for none.
    /// Default: 0.
    pub drop_every: u32,
}

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RingDirection {
    /// Received and transmitted in turn.
    #[default]
    Both,
    /// Received: the card writes.
    Rx,
    /// Transmitted: the card reads.
    Tx,
}

/// Accesses at random aligned places of a window at the start of RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Window {
    /// Size of the window; pcie-bench uses 1 KiB to 64 MiB. Default: 1 MiB.
    pub window: Bytes,
    /// Bytes of an access, 8 to 4096; pcie-bench uses 8 to 512. Default: 64.
    pub transfer: Bytes,
    /// Accesses of each device. Default: 10000.
    pub transfers: u64,
    /// What an access is. Default: `read`.
    pub access: Access,
}

/// What an access of a window is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// A read.
    #[default]
    Read,
    /// A write.
    Write,
    /// A write, and a read of the same place.
    WriteRead,
}

/// For each packet one access to a 4 KiB page of ring pointers, one to a 2 MiB area of data, one
/// to a 4 KiB page of notifications. Each device is a tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantRing {
    /// Packets of each tenant. Default: 1000.
    pub packets: u64,
    /// Bytes of a packet's data, 64 to 65536. Default: 1542.
    pub bytes: u32,
    /// Areas of data, 2 MiB each, used in turn. Default: 1.
    pub areas: u32,
    /// Which tenant is next. Default: `round-robin`.
    pub order: Order,
    /// Packets before the next tenant has its turn. Default: 1.
    pub burst: u32,
}

/// An NVMe drive: for each command an entry of the submission queue is read, the block moved, and an
/// entry of the completion queue written. Queues stand at the start of RAM, data behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Nvme {
    /// Commands of each device. Default: 10000.
    pub commands: u64,
    /// Bytes of a block, whole pages, 4 KiB to 1 MiB: 4 KiB at random or 128 KiB in sequence are
    /// usual. Default: 4 KiB.
    pub block: Bytes,
    /// Where the blocks lie. Default: `random`.
    pub pattern: Pattern,
    /// Commands under way in each job, 1 to 1024, each with a buffer of its own. Default: 64.
    pub depth: u32,
    /// Jobs, 1 to 64, each with queues of its own, in turn. Default: 1.
    pub jobs: u32,
    /// Commands that write to memory (reads of the drive), in percent. Default: 100.
    pub reads: u8,
}

/// Where blocks lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// In any of the job's buffers.
    #[default]
    Random,
    /// In the buffers one after the other.
    Sequential,
}

/// An accelerator that reads messages through and writes results of the same size beside them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Accelerator {
    /// Different messages. Default: 16.
    pub messages: u64,
    /// Bytes of a message, whole pages. Default: 1 MiB.
    pub bytes: Bytes,
    /// How often each is worked on before the next one comes, 1 to 5000. Default: 1.
    pub reuse: u32,
}

/// Which tenant is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Drawn by the scenario's seed.
    Random,
}

impl Default for NicRing {
    fn default() -> Self {
        Self {
            packets: 2000,
            ring: 256,
            mtu: 1500,
            buffers: None,
            direction: RingDirection::Both,
            tx_prefetch: 40,
            tx_writeback: 8,
            rx_refill: 32,
            rx_head: 8,
            interrupt: 32,
            drop_every: 0,
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self { window: Bytes::mib(1), transfer: Bytes(64), transfers: 10_000, access: Access::Read }
    }
}

impl Default for TenantRing {
    fn default() -> Self {
        Self { packets: 1000, bytes: 1542, areas: 1, order: Order::RoundRobin, burst: 1 }
    }
}

impl Default for Nvme {
    fn default() -> Self {
        Self {
            commands: 10_000,
            block: Bytes::kib(4),
            pattern: Pattern::Random,
            depth: 64,
            jobs: 1,
            reads: 100,
        }
    }
}

impl Default for Accelerator {
    fn default() -> Self {
        Self { messages: 16, bytes: Bytes::mib(1), reuse: 1 }
    }
}

const PAGE: u64 = 0x1000;

impl Nvme {
    /// Bytes of an entry of the submission queue.
    pub const SUBMISSION_BYTES: u64 = 64;
    /// Bytes of an entry of the completion queue.
    pub const COMPLETION_BYTES: u64 = 16;

    /// Bytes of the two queues of a job: whole pages each.
    #[must_use]
    pub fn queue_bytes(&self) -> [u64; 2] {
        let depth = u64::from(self.depth);
        [Self::SUBMISSION_BYTES, Self::COMPLETION_BYTES]
            .map(|entry| (depth * entry).next_multiple_of(PAGE))
    }

    /// Bytes that one job uses.
    #[must_use]
    pub fn job_bytes(&self) -> u64 {
        let [submissions, completions] = self.queue_bytes();
        u64::from(self.depth).saturating_mul(self.block.0).saturating_add(submissions + completions)
    }
}

impl NicRing {
    /// Bytes of a descriptor.
    pub const DESCRIPTOR_BYTES: u64 = 16;

    /// Buffers of each direction.
    #[must_use]
    pub fn buffers(&self) -> u32 {
        self.buffers.unwrap_or(self.ring)
    }

    /// Bytes from one buffer to the next: whole pages.
    #[must_use]
    pub fn buffer_bytes(&self) -> u64 {
        u64::from(self.mtu).next_multiple_of(PAGE)
    }

    /// Bytes of a ring: whole pages.
    #[must_use]
    pub fn ring_bytes(&self) -> u64 {
        (u64::from(self.ring) * Self::DESCRIPTOR_BYTES).next_multiple_of(PAGE)
    }
}

impl Traffic {
    /// RAM that the generator uses, in bytes from its start.
    #[must_use]
    pub fn footprint(&self) -> u64 {
        match self {
            // A ring and a set of buffers for each direction, and the page of head pointers.
            Self::NicRing(nic) => {
                let buffers = u64::from(nic.buffers()).saturating_mul(nic.buffer_bytes());
                let one_way = nic.ring_bytes().saturating_add(buffers);
                one_way.saturating_mul(2).saturating_add(PAGE)
            }
            Self::Window(window) => window.window.0,
            // The two small pages come first; data starts at the next 2 MiB.
            Self::TenantRing(tenant) => (u64::from(tenant.areas) + 1) << 21,
            Self::Nvme(nvme) => u64::from(nvme.jobs).saturating_mul(nvme.job_bytes()),
            Self::Accelerator(accelerator) => {
                accelerator.messages.saturating_mul(accelerator.bytes.0).saturating_mul(2)
            }
        }
    }
}
