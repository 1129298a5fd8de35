//! From the generators of a scenario to transfers on the bus.
//!
//! Sources of the generators: pcie-bench (window), the descriptor handling of common network
//! drivers (ring), HyperSIO's synthetic packets (tenant ring), the queues of NVM Express (nvme), and
//! an accelerator whose counters were published on the iommu list in 2021 (accelerator).

use crate::scenario::{
    Accelerator, Access, NicRing, Nvme, Order, Pattern, RingDirection, TenantRing, Traffic, Window,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use smmu_arch::{Direction, Iova, StreamId};
use smmu_master::Dma;

const PAGE: u64 = 0x1000;
const DATA_AREA: u64 = 2 << 20;

/// Transfers of one device, each group of them one packet or access.
pub(super) type Packets = Box<dyn Iterator<Item = Vec<Dma>>>;

/// What one device does, whose RAM begins at `ram`. The draws depend on `seed` alone.
pub(super) fn packets(traffic: &Traffic, stream: StreamId, ram: u64, seed: u64) -> Packets {
    let bus = Bus { stream, ram };
    match *traffic {
        Traffic::NicRing(nic) => Box::new((0..nic.packets).map(move |n| nic_packet(&nic, bus, n))),
        Traffic::Window(window) => {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            Box::new((0..window.transfers).map(move |_| window_access(&window, bus, &mut rng)))
        }
        Traffic::TenantRing(tenant) => {
            Box::new((0..tenant.packets).map(move |n| tenant_packet(&tenant, bus, n)))
        }
        Traffic::Nvme(nvme) => {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            Box::new((0..nvme.commands).map(move |n| nvme_command(&nvme, bus, n, &mut rng)))
        }
        Traffic::Accelerator(accelerator) => {
            let turns = 0..accelerator.messages * u64::from(accelerator.reuse);
            Box::new(turns.map(move |n| accelerator_message(&accelerator, bus, n)))
        }
    }
}

/// The order in which devices have their turns: indices into the devices of the workload.
///
/// `lengths` are the packets of each. All generators take turns packet by packet, but for a tenant
/// ring, which says how.
pub(super) fn turns(traffic: &Traffic, lengths: &[u64], seed: u64) -> Vec<usize> {
    let (order, burst) = match traffic {
        Traffic::TenantRing(tenant) => (tenant.order, u64::from(tenant.burst.max(1))),
        _ => (Order::RoundRobin, 1),
    };
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut left = lengths.to_vec();
    let mut turns = Vec::with_capacity(lengths.iter().sum::<u64>() as usize);
    let mut next = 0;
    while left.iter().any(|&left| left > 0) {
        let device = match order {
            Order::RoundRobin => next % left.len(),
            Order::Random => rng.random_range(0..left.len()),
        };
        next += 1;
        let now = burst.min(left[device]);
        left[device] -= now;
        turns.extend((0..now).map(|_| device));
    }
    turns
}

/// Packets of each device.
pub(super) const fn length(traffic: &Traffic) -> u64 {
    match traffic {
        Traffic::NicRing(nic) => nic.packets,
        Traffic::Window(window) => window.transfers,
        Traffic::TenantRing(tenant) => tenant.packets,
        Traffic::Nvme(nvme) => nvme.commands,
        Traffic::Accelerator(accelerator) => accelerator.messages * accelerator.reuse as u64,
    }
}

#[derive(Clone, Copy)]
struct Bus {
    stream: StreamId,
    ram: u64,
}

impl Bus {
    fn dma(self, offset: u64, bytes: u64, direction: Direction) -> Dma {
        let iova = Iova(self.ram + offset);
        Dma { stream: self.stream, substream: None, iova, bytes, direction, privileged: false }
    }
}

/// One packet of a network card. The transmit ring and its buffers stand first, then the receive
/// ring and its buffers, then the page with the head pointer.
fn nic_packet(nic: &NicRing, bus: Bus, number: u64) -> Vec<Dma> {
    let transmits = match nic.direction {
        RingDirection::Tx => true,
        RingDirection::Rx => false,
        RingDirection::Both => number.is_multiple_of(2),
    };
    let turn = if nic.direction == RingDirection::Both { number / 2 } else { number };
    let mut dma = if transmits { transmit(nic, bus, turn) } else { receive(nic, bus, turn) };
    if (number + 1).is_multiple_of(u64::from(nic.interrupt.max(1))) {
        dma.push(bus.dma(head_page(nic), 4, Direction::Write)); // status behind the interrupt
    }
    dma
}

fn side_bytes(nic: &NicRing) -> u64 {
    nic.ring_bytes() + u64::from(nic.buffers()) * nic.buffer_bytes()
}

fn head_page(nic: &NicRing) -> u64 {
    2 * side_bytes(nic)
}

/// Descriptors `first..first + count` of a ring at `ring`, cut where the ring wraps.
fn descriptors(nic: &NicRing, ring: u64, first: u64, count: u64) -> Vec<(u64, u64)> {
    let entries = u64::from(nic.ring);
    let count = count.min(entries);
    let start = first % entries;
    let until_wrap = count.min(entries - start);
    let span =
        |at: u64, n: u64| (ring + at * NicRing::DESCRIPTOR_BYTES, n * NicRing::DESCRIPTOR_BYTES);
    let mut spans = vec![span(start, until_wrap)];
    if count > until_wrap {
        spans.push(span(0, count - until_wrap));
    }
    spans
}

fn ring_access(
    nic: &NicRing,
    bus: Bus,
    (ring, first, count): (u64, u64, u64),
    direction: Direction,
) -> impl Iterator<Item = Dma> {
    descriptors(nic, ring, first, count)
        .into_iter()
        .map(move |(offset, bytes)| bus.dma(offset, bytes, direction))
}

/// Prefetch of descriptors, the packet, and the write-back of a batch of descriptors.
fn transmit(nic: &NicRing, bus: Bus, turn: u64) -> Vec<Dma> {
    let (prefetch, batch) = (u64::from(nic.tx_prefetch.max(1)), u64::from(nic.tx_writeback.max(1)));
    let mut dma = Vec::new();
    if turn.is_multiple_of(prefetch) {
        dma.extend(ring_access(nic, bus, (0, turn, prefetch), Direction::Read));
    }
    let buffer = nic.ring_bytes() + turn % u64::from(nic.buffers()) * nic.buffer_bytes();
    dma.push(bus.dma(buffer, u64::from(nic.mtu), Direction::Read));
    if nic.drop_every != 0 && (turn + 1).is_multiple_of(nic.drop_every.into()) {
        // Lost on the wire: the stack hands the same buffer over again.
        dma.push(bus.dma(buffer, u64::from(nic.mtu), Direction::Read));
    }
    if (turn + 1).is_multiple_of(batch) {
        dma.extend(ring_access(nic, bus, (0, turn + 1 - batch, batch), Direction::Write));
    }
    dma
}

/// Refill of descriptors, the packet, its descriptor, and the head pointer now and then.
fn receive(nic: &NicRing, bus: Bus, turn: u64) -> Vec<Dma> {
    let (refill, head) = (u64::from(nic.rx_refill.max(1)), u64::from(nic.rx_head.max(1)));
    let ring = side_bytes(nic);
    let mut dma = Vec::new();
    if turn.is_multiple_of(refill) {
        dma.extend(ring_access(nic, bus, (ring, turn, refill), Direction::Read));
    }
    let buffer = ring + nic.ring_bytes() + turn % u64::from(nic.buffers()) * nic.buffer_bytes();
    dma.push(bus.dma(buffer, u64::from(nic.mtu), Direction::Write));
    dma.extend(ring_access(nic, bus, (ring, turn, 1), Direction::Write));
    if (turn + 1).is_multiple_of(head) {
        dma.push(bus.dma(head_page(nic), 8, Direction::Write));
    }
    dma
}

fn window_access(window: &Window, bus: Bus, rng: &mut Xoshiro256PlusPlus) -> Vec<Dma> {
    let bytes = window.transfer.0.max(1);
    let places = (window.window.0 / bytes).max(1);
    let offset = rng.random_range(0..places) * bytes;
    let one = |direction| bus.dma(offset, bytes, direction);
    match window.access {
        Access::Read => vec![one(Direction::Read)],
        Access::Write => vec![one(Direction::Write)],
        Access::WriteRead => vec![one(Direction::Write), one(Direction::Read)],
    }
}

/// Ring pointer, data, notification. The small pages come first; data starts at the next 2 MiB.
fn tenant_packet(tenant: &TenantRing, bus: Bus, number: u64) -> Vec<Dma> {
    let areas = u64::from(tenant.areas.max(1));
    let per_area = (DATA_AREA / u64::from(tenant.bytes.max(1))).max(1);
    let area = DATA_AREA * (1 + number / per_area % areas);
    let data = area + number % per_area * u64::from(tenant.bytes);
    vec![
        bus.dma(number * 8 % PAGE, 8, Direction::Read),
        bus.dma(data, u64::from(tenant.bytes), Direction::Write),
        bus.dma(PAGE + number * 8 % PAGE, 8, Direction::Write),
    ]
}

/// Submission, block, completion. A job's queues stand before its buffers.
fn nvme_command(nvme: &Nvme, bus: Bus, number: u64, rng: &mut Xoshiro256PlusPlus) -> Vec<Dma> {
    let (jobs, depth) = (u64::from(nvme.jobs), u64::from(nvme.depth));
    let (job, turn) = (number % jobs, number / jobs);
    let start = job * nvme.job_bytes();
    let [submissions, completions] = nvme.queue_bytes();
    let slot = turn % depth;
    let buffer = match nvme.pattern {
        Pattern::Random => rng.random_range(0..depth),
        Pattern::Sequential => slot,
    };
    let data = start + submissions + completions + buffer * nvme.block.0;
    let fills_memory = rng.random_range(0..100) < u32::from(nvme.reads);
    let direction = if fills_memory { Direction::Write } else { Direction::Read };
    let submission = start + slot * Nvme::SUBMISSION_BYTES;
    let completion = start + submissions + slot * Nvme::COMPLETION_BYTES;
    vec![
        bus.dma(submission, Nvme::SUBMISSION_BYTES, Direction::Read),
        bus.dma(data, nvme.block.0, direction),
        bus.dma(completion, Nvme::COMPLETION_BYTES, Direction::Write),
    ]
}

/// A message is read through, and a result of its size written. All messages come first, then all
/// results.
fn accelerator_message(accelerator: &Accelerator, bus: Bus, number: u64) -> Vec<Dma> {
    let bytes = accelerator.bytes.0;
    let message = number / u64::from(accelerator.reuse.max(1));
    let result = (accelerator.messages + message) * bytes;
    vec![bus.dma(message * bytes, bytes, Direction::Read), bus.dma(result, bytes, Direction::Write)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_machine::Bytes;

    fn all(traffic: Traffic) -> Vec<Vec<Dma>> {
        packets(&traffic, StreamId(1), 0x4000_0000, 7).collect()
    }

    /// Every generator stays inside of the RAM that it says it needs, makes as many packets as it
    /// says, and makes the same ones again.
    #[test]
    fn generators_keep_to_their_footprint() {
        let nic = NicRing { packets: 300, drop_every: 5, ..NicRing::default() };
        let nvme = Nvme { commands: 500, jobs: 3, reads: 50, ..Nvme::default() };
        let blocks = Nvme { block: Bytes::kib(128), pattern: Pattern::Sequential, ..nvme };
        let accelerator = Accelerator { messages: 3, reuse: 2, ..Accelerator::default() };
        let tenant = TenantRing { packets: 3000, areas: 2, ..TenantRing::default() };
        for traffic in [
            Traffic::NicRing(nic),
            Traffic::Window(Window { transfers: 400, ..Window::default() }),
            Traffic::TenantRing(tenant),
            Traffic::Nvme(nvme),
            Traffic::Nvme(blocks),
            Traffic::Accelerator(accelerator),
        ] {
            let made = all(traffic);
            assert_eq!(made.len() as u64, length(&traffic), "{traffic:?}");
            assert_eq!(made, all(traffic), "{traffic:?}");
            let last = made.iter().flatten().map(|dma| dma.iova.0 + dma.bytes).max();
            let used = last.map_or(0, |last| last - 0x4000_0000);
            assert!(used > 0 && used <= traffic.footprint(), "{traffic:?}: {used:#x}");
        }
    }

    #[test]
    fn a_drive_reads_its_command_moves_the_block_and_tells() {
        let nvme = Nvme {
            commands: 4,
            jobs: 2,
            depth: 2,
            pattern: Pattern::Sequential,
            ..Nvme::default()
        };
        let made = all(Traffic::Nvme(nvme));
        let places: Vec<Vec<u64>> = made
            .iter()
            .map(|dma| dma.iter().map(|dma| dma.iova.0 - 0x4000_0000).collect())
            .collect();
        // Each job: a page of submissions, one of completions, two buffers.
        assert_eq!(places[0], [0, 0x2000, 0x1000]);
        assert_eq!(places[1], [0x4000, 0x6000, 0x5000]);
        assert_eq!(places[2], [64, 0x3000, 0x1010]);
        assert!(made.iter().all(|dma| dma[1].direction == Direction::Write));
    }

    #[test]
    fn a_message_is_reused_before_the_next_one_comes() {
        let accelerator = Accelerator { messages: 2, bytes: Bytes::kib(4), reuse: 3 };
        let reads: Vec<u64> = all(Traffic::Accelerator(accelerator))
            .iter()
            .map(|dma| dma[0].iova.0 & 0xffff)
            .collect();
        assert_eq!(reads, [0, 0, 0, 0x1000, 0x1000, 0x1000]);
    }

    #[test]
    fn a_lost_packet_is_read_again() {
        let nic = NicRing { packets: 20, direction: RingDirection::Tx, ..NicRing::default() };
        let reads = |nic| {
            let all = all(Traffic::NicRing(nic));
            all.iter().flatten().filter(|dma| dma.bytes == 1500).count()
        };
        assert_eq!((reads(nic), reads(NicRing { drop_every: 5, ..nic })), (20, 24));
    }
}
