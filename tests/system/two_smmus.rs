//! A container that spans two SMMUs, with a group of two devices behind the first.
//!
//! Each SMMU has a domain of its own under a number of its own; what the container maps and unmaps
//! is mapped and unmapped on both, and each is told to forget.

use smmu_arch::registers::Idr0;
use smmu_arch::{IdRegisters, SmmuId, StreamConfig, StreamId, Vmid};
use smmu_kernel::client::{Container, Group, IommuType, Process};
use smmu_kernel::{Errno, FaultSwitch, Faults, Options, Personality};
use smmu_machine::Order;
use smmulator_tests::testbed::{Testbed, USER};

const GUEST: u64 = 0x4000_0000;
const BYTES: u64 = 0x8000;
const PAGES: u64 = BYTES / 4096;
/// Device, its SMMU and its StreamID: a pair in one group, one behind the other SMMU.
const DEVICES: [(&str, SmmuId, StreamId); 3] = [
    ("left0", SmmuId(0), StreamId(1)),
    ("left1", SmmuId(0), StreamId(2)),
    ("right", SmmuId(1), StreamId(1)),
];
const LEFT: u32 = 0;
const RIGHT: u32 = 1;
const OTHER: u32 = 2;

/// SMMUs without stage 1, so that every container gets a stage 2 and a VMID.
fn machine() -> String {
    let preset = Idr0::from(IdRegisters::REFERENCE.idr0);
    let idr0 = u32::from(preset.with_s1p(false).with_hyp(false));
    format!(
        "preset = 'reference'
        [[memory]]
        base = 0x8000_0000
        bytes = '1GiB'
        [[smmu]]
        name = 'smmu0'
        id = {{ idr0 = {idr0} }}
        [[smmu]]
        name = 'smmu1'
        id = {{ idr0 = {idr0} }}
        [[device]]
        name = 'left0'
        smmu = 'smmu0'
        streams = [1]
        group = {LEFT}
        [[device]]
        name = 'left1'
        smmu = 'smmu0'
        streams = [2]
        group = {LEFT}
        [[device]]
        name = 'right'
        smmu = 'smmu1'
        streams = [1]
        group = {RIGHT}
        [[device]]
        name = 'other'
        smmu = 'smmu0'
        streams = [3]
        group = {OTHER}"
    )
}

fn testbed(faults: Faults, order: Order) -> Testbed {
    let options = Options { faults, ..Options::new(Personality::Upstream) };
    Testbed::new(&machine(), options, order)
}

/// A container with these groups and the RAM of the guest mapped.
fn container(process: &Process<'_>, groups: &[u32]) -> Result<i32, Errno> {
    let container = Container::open(process)?;
    for &group in groups {
        Group::open(process, group)?.set_container(&container)?;
    }
    container.set_iommu(IommuType::Type1v2)?;
    container.map_dma(GUEST, USER, BYTES)?;
    Ok(container.fd())
}

/// The container over both SMMUs. Another one took a VMID of the first SMMU before, so that the two
/// numbers differ.
fn over_both(bed: &mut Testbed) -> i32 {
    bed.call(|process| {
        container(process, &[OTHER])?;
        container(process, &[LEFT, RIGHT])
    })
    .expect("a container over two SMMUs")
}

fn unmap(bed: &mut Testbed, fd: i32) {
    let unmapped = bed.call(move |process| Container::from_fd(process, fd).unmap_dma(GUEST, BYTES));
    assert_eq!(unmapped, Ok(BYTES));
}

fn vmid(bed: &Testbed, smmu: SmmuId, stream: StreamId) -> Vmid {
    let ste = bed.ste(smmu, stream).expect("the stream has a place");
    assert_eq!(ste.config, StreamConfig::Stage2);
    ste.vmid
}

fn fill(bed: &mut Testbed) {
    for (device, ..) in DEVICES {
        assert_eq!(bed.dma(device, GUEST, BYTES).moved, PAGES, "{device}");
    }
}

fn resident(bed: &Testbed, smmu: usize) -> usize {
    bed.machine.smmu(smmu).expect("an SMMU").tlb_entries().len()
}

#[test]
fn each_smmu_has_a_vmid_of_its_own_and_hears_every_unmap() {
    let mut bed = testbed(Faults::NONE, Order::Direct);
    let fd = over_both(&mut bed);
    let view = bed.call(move |process| Container::from_fd(process, fd).view()).unwrap();
    let domains: Vec<_> = view.domains.iter().map(|one| (one.smmu, one.vmid)).collect();
    assert_eq!(domains, [(SmmuId(0), Some(Vmid(2))), (SmmuId(1), Some(Vmid(1)))]);
    let vmids = DEVICES.map(|(_, smmu, stream)| vmid(&bed, smmu, stream));
    assert_eq!(vmids, [Vmid(2), Vmid(2), Vmid(1)], "both devices of the group, and the third");

    fill(&mut bed);
    let tags = bed.take_uses().into_iter().map(|one| (one.smmu, one.space.unwrap().vmid));
    let mut tags: Vec<_> = tags.collect();
    tags.dedup();
    assert_eq!(tags, [(SmmuId(0), Vmid(2)), (SmmuId(1), Vmid(1))]);
    // The devices of the group share one table, and so its entries.
    assert_eq!([0, 1].map(|smmu| resident(&bed, smmu)), [PAGES as usize; 2]);

    unmap(&mut bed, fd);
    assert_eq!([0, 1].map(|smmu| resident(&bed, smmu)), [0, 0], "both were told");
    for (device, ..) in DEVICES {
        assert_eq!(bed.dma(device, GUEST, BYTES).moved, 0, "{device}");
    }
    assert_eq!(bed.verdicts(), []);
}

#[test]
fn a_forgotten_invalidation_is_found_on_each_smmu() {
    for fault in [FaultSwitch::SkipUnmapTlbi, FaultSwitch::TlbiWrongVmid] {
        let mut bed = testbed(Faults::NONE.with(fault), Order::Direct);
        let fd = over_both(&mut bed);
        fill(&mut bed);
        unmap(&mut bed, fd);
        for (device, smmu, stream) in DEVICES {
            assert_eq!(bed.dma(device, GUEST, 8).moved, 1, "{device} reaches what was unmapped");
            let verdicts = bed.verdicts();
            let last = verdicts.last().expect("a verdict");
            assert_eq!((last.smmu, last.stream()), (smmu, stream), "{fault}");
            let expected = vmid(&bed, smmu, stream);
            assert_eq!(last.vmid, Some(expected));
            let missing = format!("CMD_TLBI_S2_IPA vmid={expected} ");
            assert!(last.missing_text().starts_with(&missing), "{}", last.missing_text());
        }
        assert_eq!(bed.verdicts().len(), DEVICES.len(), "{fault}");
    }
}

#[test]
fn the_first_device_of_a_group_cannot_leave_alone_and_the_last_group_takes_the_mappings() {
    let mut bed = testbed(Faults::NONE, Order::Direct);
    let (container, groups, devices) = bed
        .call(|process| {
            let container = Container::open(process)?;
            let groups = [LEFT, RIGHT].map(|number| Group::open(process, number));
            let [left, right] = groups;
            let (left, right) = (left?, right?);
            left.set_container(&container)?;
            right.set_container(&container)?;
            container.set_iommu(IommuType::Type1v2)?;
            container.map_dma(GUEST, USER, BYTES)?;
            let devices = [left.device("left0")?.fd(), left.device("left1")?.fd()];
            Ok::<_, Errno>((container.fd(), [left.fd(), right.fd()], devices))
        })
        .unwrap();
    fill(&mut bed);
    let close = |bed: &mut Testbed, fd: i32| bed.call(move |process| process.close(fd)).unwrap();
    close(&mut bed, devices[0]);
    let leaving = bed.call(move |process| Group::from_fd(process, groups[0]).unset_container());
    assert_eq!(leaving, Err(Errno::EBUSY), "its other device is open");
    close(&mut bed, devices[1]);
    close(&mut bed, groups[0]);
    assert_eq!(resident(&bed, 0), 0, "the last stream of the VMID has left");
    assert_eq!(bed.dma("left1", GUEST, BYTES).moved, 0);
    assert_eq!(bed.dma("right", GUEST, BYTES).moved, PAGES, "the other SMMU goes on");
    close(&mut bed, groups[1]);
    assert_eq!(bed.dma("right", GUEST, BYTES).moved, 0);
    let view = bed.call(move |process| Container::from_fd(process, container).view()).unwrap();
    assert_eq!((view.mappings, view.domains.len()), (0, 0));
    assert_eq!(bed.verdicts(), []);
}

#[test]
fn a_vmm_may_die_in_any_order_while_its_devices_work() {
    // Container, groups, devices: every order of closing them.
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (seed, order) in (0..60).zip(orders.iter().cycle()) {
        let mut bed = testbed(Faults::NONE, Order::Seeded(seed));
        let before = bed.kernel.statistics().heap_free_bytes;
        let open = bed.call(|process| {
            let container = Container::open(process)?;
            let left = Group::open(process, LEFT)?;
            let right = Group::open(process, RIGHT)?;
            left.set_container(&container)?;
            right.set_container(&container)?;
            container.set_iommu(IommuType::Type1v2)?;
            container.map_dma(GUEST, USER, BYTES)?;
            let devices = vec![
                left.device("left0")?.fd(),
                left.device("left1")?.fd(),
                right.device("right")?.fd(),
            ];
            Ok::<_, Errno>([vec![container.fd()], vec![left.fd(), right.fd()], devices])
        });
        let open = open.unwrap();
        let dma = DEVICES.map(|(device, ..)| bed.start_dma(device, GUEST, BYTES, 12));
        let order = *order;
        bed.call(move |process| {
            for kind in order {
                open[kind].iter().for_each(|&fd| process.close(fd).unwrap());
            }
        });
        let sum = dma.map(|id| bed.machine.wait(id).unwrap());
        assert!(sum.iter().all(|one| one.bus_errors == 0), "seed {seed}: {sum:?}");
        assert_eq!(bed.verdicts(), [], "seed {seed}, order {order:?}");
        assert_eq!(bed.kernel.statistics().heap_free_bytes, before, "seed {seed}: a leak");
        let smmus = bed.kernel.statistics().smmus;
        assert!(smmus.iter().all(|smmu| smmu.vmids_in_use == 0), "seed {seed}: {smmus:?}");
    }
}

/// The second SMMU has no stage 2, so that SET_IOMMU fails there after the first has given a VMID.
#[test]
fn a_failed_set_iommu_leaves_no_vmid_behind() {
    let idr0 = Idr0::from(IdRegisters::REFERENCE.idr0);
    let first = u32::from(idr0.with_s1p(false).with_hyp(false));
    let second = u32::from(idr0.with_s2p(false).with_hyp(false).with_vmid16(false));
    let file = machine().replacen(&format!("idr0 = {first} }}"), "@", 1);
    let file = file.replace(&format!("idr0 = {first} }}"), &format!("idr0 = {second} }}"));
    let file = file.replace('@', &format!("idr0 = {first} }}"));
    let mut bed = Testbed::new(&file, Options::new(Personality::RfcFixed), Order::Direct);
    let (fd, right) = bed
        .call(|process| {
            let container = Container::open(process)?;
            let groups = [Group::open(process, LEFT)?, Group::open(process, RIGHT)?];
            groups.iter().try_for_each(|group| group.set_container(&container))?;
            assert_eq!(container.set_iommu(IommuType::Nesting), Err(Errno::EOPNOTSUPP));
            Ok::<_, Errno>((container.fd(), groups[1].fd()))
        })
        .unwrap();
    let told = bed.call(move |process| Container::from_fd(process, fd).get_vmid());
    assert_eq!(told, Ok(None), "the number is free again");
    // Another machine gets it, and the container that failed must not come to share it.
    let other = bed.call(|process| {
        let container = Container::open(process)?;
        Group::open(process, OTHER)?.set_container(&container)?;
        container.set_iommu(IommuType::Nesting)?;
        container.get_vmid()
    });
    let own = bed.call(move |process| {
        Group::from_fd(process, right).unset_container()?;
        let container = Container::from_fd(process, fd);
        container.set_iommu(IommuType::Nesting)?;
        container.get_vmid()
    });
    assert_ne!(own.unwrap(), other.unwrap());
}
