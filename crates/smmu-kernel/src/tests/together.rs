//! Several CPUs in one kernel, interleaved at every call.

use super::platform::{Bench, TestPlatform, USER, USER_PA, without_ranges};
use crate::client::iommufd::{DeviceFile, Iommufd};
use crate::client::{Container, Group, IommuType, Process};
use crate::iommufd_uapi::ALLOC_NEST_PARENT;
use crate::{Options, Personality};
use proptest::prelude::*;
use smmu_arch::IdRegisters;
use smmu_bus::{
    Actor, Answer, Condition, Cpu, CpuActor, Data, LockId, Memory, Platform, Request, Step,
    UserSpace,
};
use std::collections::BTreeSet;

/// Steps CPUs in an order that `choices` gives, until all are done.
fn interleave(platform: &TestPlatform, cpus: Vec<CpuActor<()>>, choices: &[u8]) {
    let mut cpus: Vec<_> = cpus.into_iter().map(|cpu| (cpu, Ok(Answer::Start))).collect();
    let mut held: BTreeSet<LockId> = BTreeSet::new();
    let mut choices = choices.iter().cycle();
    let mut idle = 0;
    while !cpus.is_empty() {
        let at = usize::from(*choices.next().unwrap()) % cpus.len();
        let (cpu, next) = &mut cpus[at];
        let answer = match *next {
            Ok(answer) => answer,
            Err(Condition::Lock(lock)) if held.insert(lock) => Answer::Resumed,
            Err(Condition::Time(ns)) => {
                platform.advance_to(ns);
                Answer::Resumed
            }
            Err(_) => {
                idle += 1;
                assert!(idle < 100_000, "every CPU waits for a lock");
                continue;
            }
        };
        idle = 0;
        *next = match cpu.step(answer) {
            Step::Need(request) => Ok(serve(platform, &mut held, request)),
            Step::Wait(condition) => Err(condition),
            Step::Done(()) => {
                drop(cpus.swap_remove(at));
                continue;
            }
        };
    }
    assert!(held.is_empty(), "{held:?} were never given back");
}

fn serve(platform: &TestPlatform, held: &mut BTreeSet<LockId>, request: Request) -> Answer {
    match request {
        Request::Read { pa, .. } => {
            platform.memory.read_word(pa).map_or(Answer::Aborted, Answer::Word)
        }
        Request::Write { pa, data: Data::Word(value), .. } => {
            platform.memory.write_word(pa, value).map_or(Answer::Aborted, |()| Answer::Done)
        }
        Request::MmioRead { address, bytes } => {
            Answer::Register(platform.mmio_read(address, bytes))
        }
        Request::MmioWrite { address, bytes, value } => {
            platform.mmio_write(address, bytes, value);
            Answer::Done
        }
        Request::Unlock(lock) => {
            assert!(held.remove(&lock));
            Answer::Done
        }
        Request::Now => Answer::Time(platform.now_ns()),
        Request::Promise(promise) => {
            platform.promise(promise);
            Answer::Done
        }
        Request::Barrier => Answer::Done,
        other => panic!("a driver does not ask for {other:?}"),
    }
}

/// A machine that lives as long as the CPUs' programs may.
fn machine(ids: IdRegisters, devices: usize, personality: Personality) -> &'static Bench {
    let bench = Bench::new(&[ids], &vec![0; devices], Options::new(personality));
    bench.desk().boot();
    Box::leak(Box::new(bench))
}

/// A process on a CPU.
fn on(bench: &'static Bench, program: impl FnOnce(&Process<'_>) + 'static) -> CpuActor<()> {
    CpuActor::new(move |cpu: &dyn Cpu| {
        let memory = UserSpace::new(&bench.platform.memory.ram);
        memory.map(USER, USER_PA, 1 << 24).unwrap();
        program(&Process { kernel: &bench.kernel, cpu, memory: &memory });
        assert_eq!(memory.pinned_pages(), 0);
    })
}

fn live_and_die(process: &Process<'_>, group: u32) {
    for _ in 0..2 {
        let container = Container::open(process).unwrap();
        let group = Group::open(process, group).unwrap();
        group.set_container(&container).unwrap();
        container.set_iommu(IommuType::Nesting).unwrap();
        container.map_dma(0, USER, 0x3000).unwrap();
        container.map_dma(0x20_0000, USER, 0x1000).unwrap();
        container.unmap_dma(0, 0x3000).unwrap();
        container.close().unwrap();
        group.close().unwrap();
    }
}

/// A virtual machine with a stage 1 of its own, twice, closed in another order each time.
fn nested(process: &Process<'_>, device: usize) {
    for round in 0..2 {
        let iommufd = Iommufd::open(process).unwrap();
        let file = DeviceFile::open(process, device).unwrap();
        let id = file.bind(&iommufd).unwrap();
        let space = iommufd.alloc_ioas().unwrap();
        let parent = iommufd.alloc_hwpt(id, space, ALLOC_NEST_PARENT).unwrap();
        let viommu = iommufd.alloc_viommu(id, parent).unwrap();
        iommufd.alloc_vdevice(viommu, id, 1).unwrap();
        iommufd.map(space, 0, USER, 0x4000).unwrap();
        let room = USER + 0x10_0000 + device as u64 * 0x1000;
        let stage1 = iommufd.alloc_nested(id, viommu, [0x5000 | 0b101 << 1 | 1, 0], room).unwrap();
        file.attach(stage1).unwrap();
        assert_eq!(iommufd.unmap(space, 0, 0x4000), Ok(0x4000));
        assert_eq!(iommufd.invalidate(viommu, &[[0x30, 0]; 3], room), (3, Ok(())));
        if round == 0 {
            iommufd.close().unwrap();
            file.close().unwrap();
        } else {
            file.close().unwrap();
            iommufd.close().unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn virtual_machines_come_and_go_on_three_cpus(
        choices in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let bench = machine(IdRegisters::REFERENCE, 3, Personality::RfcFixed);
        let cpus = (1..=3).map(|group| on(bench, move |process| live_and_die(process, group)));
        interleave(&bench.platform, cpus.collect(), &choices);
        let statistics = &bench.kernel.statistics().smmus[0];
        prop_assert_eq!((statistics.vmids_in_use, statistics.maps), (0, 12));
        prop_assert!(bench.kernel.log().is_empty());
    }

    #[test]
    fn two_cpus_map_and_unmap_in_one_container(
        choices in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let bench = machine(without_ranges(), 1, Personality::Upstream);
        let desk = bench.desk();
        let container = Container::open(&desk.process()).unwrap();
        let group = Group::open(&desk.process(), 1).unwrap();
        group.set_container(&container).unwrap();
        container.set_iommu(IommuType::Type1v2).unwrap();
        let fd = container.fd();
        let cpus = [0u64, 0x30_0000].map(|base| on(bench, move |process| {
            let container = Container::from_fd(process, fd);
            for round in 0..3 {
                let iova = base + round * 0x8000;
                container.map_dma(iova, USER, 0x4000).unwrap();
                assert_eq!(container.map_dma(iova, USER, 0x1000), Err(crate::Errno::EEXIST));
                assert_eq!(container.unmap_dma(iova, 0x4000), Ok(0x4000));
            }
        }));
        interleave(&bench.platform, cpus.into(), &choices);
        prop_assert_eq!(container.view().unwrap().mappings, 0);
        prop_assert!(bench.kernel.log().is_empty());
    }

    #[test]
    fn virtual_machines_start_and_end_beside_each_other(
        choices in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let bench = machine(IdRegisters::REFERENCE, 3, Personality::Upstream);
        let cpus = (0..3).map(|device| on(bench, move |process| nested(process, device)));
        interleave(&bench.platform, cpus.collect(), &choices);
        let statistics = &bench.kernel.statistics().smmus[0];
        prop_assert_eq!((statistics.vmids_in_use, statistics.maps), (0, 6));
        prop_assert!(bench.kernel.log().is_empty());
    }
}
