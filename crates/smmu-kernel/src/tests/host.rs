//! The DMA API of the host: strict and lazy.

use super::platform::{Bench, USER_PA};
use crate::client::{Container, Group, IommuType};
use crate::{Errno, Idle, Options, Personality};
use smmu_arch::{IdRegisters, Iova, Pa, StreamConfig, StreamId};
use smmu_bus::Platform;

fn bench(lazy: bool) -> Bench {
    let idle = Idle::Dma { lazy };
    Bench::booted(IdRegisters::REFERENCE, Options { idle, ..Options::new(Personality::Upstream) })
}

/// Commands and promises in a trace: TLBIs, and unmaps that are promised.
fn counts(trace: &[String]) -> (usize, usize) {
    let count = |what: &str| trace.iter().filter(|line| line.starts_with(what)).count();
    (count("CMD_TLBI"), count("unmap"))
}

#[test]
fn strict_unmaps_are_invalidated_before_they_return() {
    let bench = bench(false);
    let cpu = bench.desk().cpu;
    let kernel = &bench.kernel;
    let iova = kernel.dma_map(&cpu, "nic0", USER_PA, 0x1000, true).unwrap();
    assert_eq!(iova, Iova(0xffff_f000));
    assert_eq!(kernel.dma_map(&cpu, "nic1", USER_PA, 0x1000, true), Ok(iova)); // a domain of its own
    bench.platform.take_trace();
    kernel.dma_unmap(&cpu, "nic0", iova, 0x1000).unwrap();
    assert_eq!(
        bench.platform.take_trace(),
        [
            "CMD_TLBI_NH_VA vmid=0x0 asid=0x1 va=0xfffff000 tg=4K num=0 scale=0 ttl=3 leaf",
            "CMD_SYNC cs=none",
            "unmap of stage 1 0xfffff000..=0xffffffff returned (VMID 0x0, ASID 0x1)",
            "0x1000 bytes at PA 0x60000000 went back to their owner",
        ]
    );
    assert_eq!(kernel.dma_map(&cpu, "nic0", USER_PA, 0x1000, true), Ok(iova));
}

/// The published rule of Linux: a queue of 256 entries, or 10 ms.
#[test]
fn lazy_unmaps_are_invalidated_together() {
    let bench = bench(true);
    let cpu = bench.desk().cpu;
    let kernel = &bench.kernel;
    let map = || kernel.dma_map(&cpu, "nic0", USER_PA, 0x1000, true).unwrap();
    let iovas: Vec<_> = (0..300).map(|_| map()).collect();
    bench.platform.take_trace();
    let unmap = |iova: &Iova| kernel.dma_unmap(&cpu, "nic0", *iova, 0x1000).unwrap();

    iovas[..255].iter().for_each(unmap);
    assert_eq!(counts(&bench.platform.take_trace()), (0, 0));
    // What waits is not given again, nor unmapped twice.
    assert!(!iovas.contains(&map()));
    assert_eq!(kernel.dma_unmap(&cpu, "nic0", iovas[0], 0x1000), Err(Errno::EINVAL));
    unmap(&iovas[255]); // finds the queue full
    let trace = bench.platform.take_trace();
    assert_eq!(counts(&trace), (1, 255));
    assert_eq!(trace[1], "CMD_TLBI_NH_ASID vmid=0x0 asid=0x1");
    assert_eq!(map(), iovas[0]);

    bench.platform.advance_to(9_999_999);
    kernel.tick(&cpu);
    assert_eq!(counts(&bench.platform.take_trace()), (0, 0));
    bench.platform.advance_to(10_000_000);
    kernel.tick(&cpu);
    assert_eq!(counts(&bench.platform.take_trace()), (1, 1));
    kernel.tick(&cpu);
    assert_eq!(counts(&bench.platform.take_trace()), (0, 0));
}

#[test]
fn a_container_takes_the_device_from_the_host_and_gives_it_back() {
    let bench = bench(true);
    let desk = bench.desk();
    let process = desk.process();
    let iova = bench.kernel.dma_map(&desk.cpu, "nic0", USER_PA, 0x1000, false).unwrap();
    let other = bench.kernel.dma_map(&desk.cpu, "nic0", USER_PA, 0x1000, false).unwrap();
    bench.kernel.dma_unmap(&desk.cpu, "nic0", other, 0x1000).unwrap();
    desk.trace();
    let group = Group::open(&process, 1).unwrap();
    let container = Container::open(&process).unwrap();
    group.set_container(&container).unwrap();
    assert_eq!(bench.ste(StreamId(8)).config, StreamConfig::Abort);
    assert_eq!(counts(&desk.trace()), (1, 1)); // what waited is over, by the flush of the detach
    let map = bench.kernel.dma_map(&desk.cpu, "nic0", USER_PA, 0x1000, false);
    assert_eq!(map, Err(Errno::ENODEV));
    container.set_iommu(IommuType::Type1v2).unwrap();
    group.close().unwrap();
    assert_eq!(bench.ste(StreamId(8)).config, StreamConfig::Stage1);
    assert_eq!(bench.kernel.dma_unmap(&desk.cpu, "nic0", iova, 0x1000), Ok(()));
}

#[test]
fn what_the_dma_api_refuses() {
    let bench = bench(false);
    let cpu = bench.desk().cpu;
    let map = |device, pa, bytes| bench.kernel.dma_map(&cpu, device, Pa(pa), bytes, true);
    assert_eq!(map("nic9", USER_PA.0, 0x1000), Err(Errno::ENODEV));
    assert_eq!(map("nic0", USER_PA.0, 0), Err(Errno::EINVAL));
    assert_eq!(map("nic0", USER_PA.0 + 8, 0x1000), Err(Errno::EINVAL));
    assert_eq!(map("nic0", USER_PA.0, 1 << 33), Err(Errno::ENOSPC));
    assert_eq!(map("nic0", 1 << 60, 0x1000), Err(Errno::EINVAL));
    let iova = map("nic0", USER_PA.0, 0x2000).unwrap();
    let unmap = |iova, bytes| bench.kernel.dma_unmap(&cpu, "nic0", Iova(iova), bytes);
    assert_eq!(unmap(iova.0, 0x1000), Err(Errno::EINVAL));
    assert_eq!(unmap(iova.0 + 0x1000, 0x1000), Err(Errno::EINVAL));
    assert_eq!(unmap(iova.0, 0), Err(Errno::EINVAL));
    assert_eq!(unmap(iova.0, 0x2000), Ok(()));
    assert_eq!(unmap(iova.0, 0x2000), Err(Errno::EINVAL));
    // A host without a DMA domain has no DMA API.
    let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream));
    let cpu = bench.desk().cpu;
    let map = bench.kernel.dma_map(&cpu, "nic0", USER_PA, 0x1000, true);
    assert_eq!(map, Err(Errno::ENODEV));
}
