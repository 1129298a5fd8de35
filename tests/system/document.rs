//! The VMID document of the patch series as a program: a VM with two devices, each in a container of
//! its own, whose second container is to bear the VMID that the first one got.
//!
//! The document has two fragments. The first opens a nesting container and asks it for its VMID; the
//! second opens another one and tells it that number. They are played line by line against each
//! personality of the kernel, on a real machine: what counts is not what an ioctl returns, but which
//! VMID stands in the STE and tags what a device's DMA left in the TLB.

use smmu_arch::{Path, SmmuId, StreamConfig, StreamId, Vmid};
use smmu_kernel::client::{Container, Group, IommuType, Process};
use smmu_kernel::{Errno, Options, Personality, uapi};
use smmu_machine::Order;
use smmulator_tests::testbed::{Testbed, USER};

const SMMU: SmmuId = SmmuId(0);
/// Groups of the two devices of the machine, in the order of its StreamIDs.
const GROUPS: [u32; 2] = [0, 1];
const DEVICES: [&str; 2] = ["nic0", "nic1"];
const STREAMS: [StreamId; 2] = [StreamId(1), StreamId(2)];
/// Where the guest has its RAM.
const GUEST: u64 = 0x4000_0000;
/// Fewer pages than one contiguous entry holds.
const BYTES: u64 = 0x8000;

const MACHINE: &str = "
preset = 'reference'
[[memory]]
base = 0x8000_0000
bytes = '1GiB'
[[device]]
name = 'nic0'
streams = [1]
group = 0
[[device]]
name = 'nic1'
streams = [2]
group = 1
";

fn testbed(personality: Personality) -> Testbed {
    Testbed::new(MACHINE, Options::new(personality), Order::Direct)
}

/// The lines that both fragments begin with: a container, and a device's group in it.
fn open<'k>(process: &Process<'k>, group: u32) -> Result<(Container<'k>, Group<'k>), Errno> {
    let container = Container::open(process)?;
    let group = Group::open(process, group)?;
    group.set_container(&container)?;
    Ok((container, group))
}

/// The first fragment: the first device of the VM. The number is asked for after SET_IOMMU, and
/// only by who has none yet.
fn first_fragment(process: &Process<'_>, vmid: Option<u32>) -> Result<(i32, Option<u32>), Errno> {
    let (container, _) = open(process, GROUPS[0])?;
    assert_eq!(container.check_extension(uapi::TYPE1_NESTING_IOMMU), Ok(true));
    container.set_iommu(IommuType::Nesting)?;
    let vmid = match vmid {
        Some(vmid) => Some(vmid),
        None => container.get_vmid()?,
    };
    Ok((container.fd(), vmid))
}

/// When the second fragment tells the number: its example does after SET_IOMMU, the text before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tell {
    BeforeSetIommu,
    AfterSetIommu,
}

/// The second fragment: a further device of the VM.
fn second_fragment(process: &Process<'_>, vmid: u32, tell: Tell) -> Result<i32, Errno> {
    let (container, _) = open(process, GROUPS[1])?;
    if tell == Tell::BeforeSetIommu {
        container.set_vmid(vmid)?;
    }
    container.set_iommu(IommuType::Nesting)?;
    if tell == Tell::AfterSetIommu {
        container.set_vmid(vmid)?;
    }
    Ok(container.fd())
}

fn map(bed: &mut Testbed, fd: i32) {
    let mapped =
        bed.call(move |process| Container::from_fd(process, fd).map_dma(GUEST, USER, BYTES));
    mapped.expect("a mapping of the guest's RAM");
}

/// The number in the STE of a device, which must be one of stage 2 alone.
fn vmid_in_ste(bed: &Testbed, device: usize) -> Vmid {
    let ste = bed.ste(SMMU, STREAMS[device]).expect("the stream has a place");
    assert_eq!((ste.valid, ste.config), (true, StreamConfig::Stage2));
    ste.vmid
}

/// The number under which the DMA of a device was translated, and how each page was found.
fn dma(bed: &mut Testbed, device: usize) -> (Vec<Vmid>, usize) {
    bed.take_uses();
    let summary = bed.dma(DEVICES[device], GUEST, BYTES);
    assert_eq!((summary.moved, summary.refused), (BYTES / 4096, 0));
    let uses = bed.take_uses();
    let hits = uses.iter().filter(|one| matches!(one.path, Path::Hit(_))).count();
    let mut vmids: Vec<_> = uses.iter().map(|one| one.space.expect("no bypass").vmid).collect();
    vmids.dedup();
    (vmids, hits)
}

fn get_vmid(bed: &mut Testbed, fd: i32) -> Result<Option<u32>, Errno> {
    bed.call(move |process| Container::from_fd(process, fd).get_vmid())
}

fn set_vmid(bed: &mut Testbed, fd: i32, vmid: u32) -> Result<(), Errno> {
    bed.call(move |process| Container::from_fd(process, fd).set_vmid(vmid))
}

#[test]
fn repaired_every_container_of_the_vm_ends_with_one_vmid() {
    for tell in [Tell::BeforeSetIommu, Tell::AfterSetIommu] {
        let mut bed = testbed(Personality::RfcFixed);
        let (first, vmid) = bed.call(|process| first_fragment(process, None)).unwrap();
        let vmid = vmid.expect("a container with an IOMMU has a number");
        let second = bed.call(move |process| second_fragment(process, vmid, tell)).unwrap();
        for fd in [first, second] {
            assert_eq!(get_vmid(&mut bed, fd), Ok(Some(vmid)), "{tell:?}");
            map(&mut bed, fd);
        }
        let expected = Vmid(vmid as u16);
        assert_ne!(expected, Vmid(0), "0 is the number of streams without stage 2");
        for device in [0, 1] {
            assert_eq!(vmid_in_ste(&bed, device), expected, "{tell:?}, {}", DEVICES[device]);
        }
        // The second device finds what the first one filled: the TLB holds it once.
        let pages = (BYTES / 4096) as usize;
        assert_eq!(dma(&mut bed, 0), (vec![expected], 0), "{tell:?}");
        assert_eq!(dma(&mut bed, 1), (vec![expected], pages), "{tell:?}");
        let tlb = bed.machine.smmu(0).unwrap().tlb_entries();
        assert_eq!(tlb.len(), pages);
        assert!(tlb.iter().all(|entry| entry.space.vmid == expected));
        assert_eq!(bed.verdicts(), []);
    }
}

#[test]
fn repaired_a_device_that_works_is_moved_to_the_number_it_is_told() {
    let mut bed = testbed(Personality::RfcFixed);
    let (first, vmid) = bed.call(|process| first_fragment(process, None)).unwrap();
    let vmid = vmid.unwrap();
    let (second, _group) = bed
        .call(|process| {
            let (container, group) = open(process, GROUPS[1])?;
            container.set_iommu(IommuType::Nesting)?;
            Ok::<_, Errno>((container.fd(), group.fd()))
        })
        .unwrap();
    map(&mut bed, first);
    map(&mut bed, second);
    let own = vmid_in_ste(&bed, 1);
    assert_ne!(u32::from(own.0), vmid, "until then it has a number of its own");
    assert_eq!(dma(&mut bed, 1).0, [own]);
    assert_eq!(set_vmid(&mut bed, second, vmid), Ok(()));
    assert_eq!(vmid_in_ste(&bed, 1), Vmid(vmid as u16));
    assert_eq!(dma(&mut bed, 1).0, [Vmid(vmid as u16)]);
    // Nothing of the old number is left, and it can be given to another.
    let tlb = bed.machine.smmu(0).unwrap().tlb_entries();
    assert!(tlb.iter().all(|entry| entry.space.vmid != own));
    assert_eq!(bed.verdicts(), []);
}

#[test]
fn as_posted_the_first_fragment_fails_at_set_iommu() {
    let mut bed = testbed(Personality::Rfc);
    // B1: the number is read back after the attach, when that is no longer permitted.
    let opened = bed.call(|process| first_fragment(process, None));
    assert_eq!(opened, Err(Errno::EPERM));
    // Whoever brings a number along does not fail there; the ioctl itself is not the cause.
    let mut bed = testbed(Personality::Rfc);
    let second = bed.call(|process| second_fragment(process, 5, Tell::BeforeSetIommu));
    assert!(second.is_ok());
    // In the order of the example even the second fragment meets B1.
    let mut bed = testbed(Personality::Rfc);
    let second = bed.call(|process| second_fragment(process, 5, Tell::AfterSetIommu));
    assert_eq!(second, Err(Errno::EPERM));
}

#[test]
fn as_posted_a_number_told_late_reaches_only_the_word_of_the_container() {
    let mut bed = testbed(Personality::Rfc);
    let fd = bed.call(|process| second_fragment(process, 5, Tell::BeforeSetIommu)).unwrap();
    map(&mut bed, fd);
    assert_eq!(vmid_in_ste(&bed, 1), Vmid(5));
    assert_eq!(dma(&mut bed, 1).0, [Vmid(5)]);
    let ste = bed.ste(SMMU, STREAMS[1]);
    let commands = bed.kernel.statistics().smmus[0].clone();

    // B3: success, and the word says so ...
    assert_eq!(set_vmid(&mut bed, fd, 9), Ok(()));
    assert_eq!(get_vmid(&mut bed, fd), Ok(Some(9)));
    // ... but no entry, no command and no translation has heard of it.
    assert_eq!(bed.ste(SMMU, STREAMS[1]), ste);
    assert_eq!(bed.kernel.statistics().smmus[0], commands);
    let pages = (BYTES / 4096) as usize;
    assert_eq!(dma(&mut bed, 1), (vec![Vmid(5)], pages), "the old entries still serve");
    let view = bed.call(move |process| Container::from_fd(process, fd).view()).unwrap();
    assert_eq!((view.vmid, view.domains[0].vmid), (Some(9), Some(Vmid(5))));
    // A group that joins later follows the driver's copy, not the word.
    bed.call(move |process| {
        Group::open(process, GROUPS[0])?.set_container(&Container::from_fd(process, fd))
    })
    .unwrap();
    assert_eq!(vmid_in_ste(&bed, 0), Vmid(5));
}

#[test]
fn upstream_knows_neither_nesting_containers_nor_the_two_ioctls() {
    let mut bed = testbed(Personality::Upstream);
    let (fd, group) = bed
        .call(|process| {
            let (container, group) = open(process, GROUPS[0])?;
            assert_eq!(container.check_extension(uapi::TYPE1_NESTING_IOMMU), Ok(false));
            assert_eq!(container.set_iommu(IommuType::Nesting), Err(Errno::ENODEV));
            Ok::<_, Errno>((container.fd(), group.fd()))
        })
        .unwrap();
    let both = |bed: &mut Testbed| (get_vmid(bed, fd).map(drop), set_vmid(bed, fd, 1));
    assert_eq!(both(&mut bed), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    let set =
        bed.call(move |process| Container::from_fd(process, fd).set_iommu(IommuType::Type1v2));
    assert_eq!(set, Ok(()));
    assert_eq!(both(&mut bed), (Err(Errno::ENOTTY), Err(Errno::ENOTTY)));
    // Where there is a stage 1, that is what a container gets: tagged by an ASID of VMID 0.
    let ste = bed.ste(SMMU, STREAMS[0]).unwrap();
    assert_eq!((ste.config, ste.vmid), (StreamConfig::Stage1, Vmid(0)));
    map(&mut bed, fd);
    assert_eq!(dma(&mut bed, 0).0, [Vmid(0)]);
    let status = bed.call(move |process| Group::from_fd(process, group).status()).unwrap();
    assert_eq!(status, 3, "viable, and in a container");
}
