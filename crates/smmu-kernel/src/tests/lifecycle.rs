//! Whatever a process does, in whatever order: the kernel keeps its rules, and nothing is left when
//! all is closed.

use super::platform::{Bench, USER, narrow_vmids, stage2_only};
use crate::client::{Container, Group, IommuType};
use crate::uapi;
use crate::{Errno, FaultSwitch, Faults, Options, Personality};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use smmu_arch::{IdRegisters, StreamConfig, StreamId};

const DEVICES: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    OpenContainer,
    OpenGroup(u32),
    SetContainer(usize, usize),
    Unset(usize),
    SetIommu(usize, IommuType),
    SetVmid(usize, u32),
    Map(usize, u64, u64),
    Unmap(usize, u64, u64),
    UnmapAll(usize),
    Device(usize, u32),
    Dup(usize),
    Close(usize),
    /// Any request with any argument.
    Raw(usize, u32, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let fd = 0usize..8;
    let iova = (0u64..12).prop_map(|page| page * 0x1000);
    let size = (1u64..5).prop_map(|pages| pages * 0x1000);
    let kind = prop::sample::select(vec![
        IommuType::Type1,
        IommuType::Type1v2,
        IommuType::Nesting,
        IommuType::Nesting,
    ]);
    prop_oneof![
        2 => Just(Step::OpenContainer),
        4 => (1..=DEVICES).prop_map(Step::OpenGroup),
        6 => (fd.clone(), fd.clone()).prop_map(|(group, container)| {
            Step::SetContainer(group, container)
        }),
        1 => fd.clone().prop_map(Step::Unset),
        5 => (fd.clone(), kind).prop_map(|(fd, kind)| Step::SetIommu(fd, kind)),
        2 => (fd.clone(), prop_oneof![0u32..5, any::<u32>()]).prop_map(|(fd, vmid)| {
            Step::SetVmid(fd, vmid)
        }),
        6 => (fd.clone(), iova.clone(), size.clone()).prop_map(|(f, i, s)| Step::Map(f, i, s)),
        4 => (fd.clone(), iova, size).prop_map(|(f, i, s)| Step::Unmap(f, i, s)),
        1 => fd.clone().prop_map(Step::UnmapAll),
        2 => (fd.clone(), 0..DEVICES).prop_map(|(fd, device)| Step::Device(fd, device)),
        1 => fd.clone().prop_map(Step::Dup),
        1 => fd.clone().prop_map(Step::Close),
        1 => (fd, uapi::GET_API_VERSION..0x3b7d, any::<u64>()).prop_map(|(fd, request, argument)| {
            Step::Raw(fd, request, argument)
        }),
    ]
}

/// At the moment of a promise no TLBI waits for its CMD_SYNC.
fn check_promises(trace: &[String]) {
    let mut pending = false;
    for line in trace {
        match () {
            () if line.starts_with("CMD_SYNC") => pending = false,
            () if line.starts_with("CMD_") => pending = true,
            () if line.contains("went back")
                || line.ends_with("returned")
                || line.contains("freed") =>
            {
                assert!(!pending, "promised too early: {trace:#?}");
            }
            () => {}
        }
    }
}

fn check(ids: IdRegisters, personality: Personality, steps: &[Step]) {
    check_with(ids, Options::new(personality), steps);
}

fn check_with(ids: IdRegisters, options: Options, steps: &[Step]) {
    let personality = options.personality;
    let bench = Bench::new(&[ids], &[0; DEVICES as usize], options);
    let desk = bench.desk();
    desk.boot();
    let process = desk.process();
    let mut fds: Vec<i32> = Vec::new();
    for step in steps {
        let fd = |index: &usize| fds.get(*index % fds.len().max(1)).copied().unwrap_or(-1);
        let container = |index| Container::from_fd(&process, fd(index));
        let group = |index| Group::from_fd(&process, fd(index));
        let mut opened = None;
        match step {
            Step::OpenContainer => opened = Container::open(&process).ok().map(|c| c.fd()),
            Step::OpenGroup(number) => {
                opened = Group::open(&process, *number).ok().map(|group| group.fd());
            }
            Step::SetContainer(of, to) => _ = group(of).set_container(&container(to)),
            Step::Unset(of) => _ = group(of).unset_container(),
            Step::SetIommu(of, kind) => _ = container(of).set_iommu(*kind),
            Step::SetVmid(of, vmid) => _ = container(of).set_vmid(*vmid),
            Step::Map(of, iova, size) => _ = container(of).map_dma(*iova, USER + iova, *size),
            Step::Unmap(of, iova, size) => _ = container(of).unmap_dma(*iova, *size),
            Step::UnmapAll(of) => _ = container(of).unmap_all(),
            Step::Device(of, number) => {
                opened = group(of).device(&format!("nic{number}")).ok().map(|device| device.fd());
            }
            Step::Dup(of) => opened = bench.kernel.dup(&desk.cpu, fd(of)).ok(),
            Step::Close(of) => {
                let closed = fd(of);
                if process.close(closed).is_ok() {
                    fds.retain(|&open| open != closed);
                }
            }
            Step::Raw(of, request, argument) => {
                let result = process.ioctl(fd(of), *request, *argument);
                opened = result
                    .ok()
                    .filter(|_| *request == uapi::GROUP_GET_DEVICE_FD)
                    .map(|fd| fd as i32);
            }
        }
        fds.extend(opened);
        check_promises(&desk.trace());
        if bench.kernel.oops().is_some() {
            // The kernel has stopped: nothing is given back any more.
            assert_eq!(Container::open(&process).err(), Some(Errno::EIO));
            return;
        }
    }
    fds.into_iter().for_each(|fd| process.close(fd).unwrap());
    check_promises(&desk.trace());

    assert_eq!(desk.memory.pinned_pages(), 0);
    let statistics = bench.kernel.statistics();
    let smmu = &statistics.smmus[0];
    assert_eq!((smmu.vmids_in_use, smmu.asids_in_use), (0, 0));
    let used = bench.kernel.hardware().heap.1 - statistics.heap_free_bytes.unwrap();
    let mut devices = (0..DEVICES).map(|device| bench.ste(StreamId(0x100 * device + 8)).config);
    // The series leaves entries of freed domains behind (bug B2).
    if personality != Personality::Rfc {
        assert!(devices.all(|config| config == StreamConfig::Abort));
    }
    // Queues, stream table and context descriptors: all translation tables went back.
    assert!(used < 0x4_0000, "{used:#x}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn upstream_keeps_its_rules(steps in prop::collection::vec(step(), 1..60), stage2: bool) {
        let ids = if stage2 { stage2_only() } else { IdRegisters::REFERENCE };
        check(ids, Personality::Upstream, &steps);
    }

    #[test]
    fn the_fixed_series_keeps_its_rules(steps in prop::collection::vec(step(), 1..60)) {
        check(narrow_vmids(), Personality::RfcFixed, &steps);
    }

    #[test]
    fn the_series_as_posted_does_not_bring_the_model_down(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        check(narrow_vmids(), Personality::Rfc, &steps);
    }
}

/// The steps reach what they are to test: a driver that forgets its CMD_SYNC is found.
#[test]
fn a_missing_sync_is_found_by_these_steps() {
    let faults = Faults::NONE.with(FaultSwitch::MissingSync);
    let mut runner = TestRunner::deterministic();
    let found = runner.run(&prop::collection::vec(step(), 1..60), |steps| {
        let options = Options { faults, ..Options::new(Personality::Upstream) };
        let outcome = std::panic::catch_unwind(|| check_with(stage2_only(), options, &steps));
        prop_assert!(outcome.is_ok());
        Ok(())
    });
    assert!(found.is_err());
}
