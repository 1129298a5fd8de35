//! Errors and states of the VFIO objects, request by request.

use super::platform::{Bench, Desk, RAM_BYTES, USER, USER_PA};
use crate::client::{Container, Group, IommuType};
use crate::uapi::{self, DirtyBitmap, DmaMap, DmaUnmap, IovaRange, Type1Info};
use crate::{Errno, Options, Personality};
use smmu_arch::{IdRegisters, StreamConfig, StreamId};
use std::mem::size_of;
use zerocopy::{FromBytes, IntoBytes};

fn bench() -> Bench {
    Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream))
}

fn ready<'d>(desk: &'d Desk<'_>, kind: IommuType) -> (Container<'d>, Group<'d>) {
    let process = desk.process();
    let container = Container::open(&process).unwrap();
    let group = Group::open(&process, 1).unwrap();
    group.set_container(&container).unwrap();
    container.set_iommu(kind).unwrap();
    (container, group)
}

#[test]
fn version_and_extensions() {
    for (personality, nesting) in [(Personality::Upstream, false), (Personality::Rfc, true)] {
        let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(personality));
        let desk = bench.desk();
        let container = Container::open(&desk.process()).unwrap();
        assert_eq!(desk.process().ioctl(container.fd(), uapi::GET_API_VERSION, 0), Ok(0));
        let supported: Vec<_> =
            (0..16).filter(|&number| container.check_extension(number).unwrap()).collect();
        let expected: &[u32] = if nesting { &[1, 3, 6, 9] } else { &[1, 3, 9] };
        assert_eq!(supported, expected);
    }
}

#[test]
fn paths() {
    let bench = bench();
    let desk = bench.desk();
    for path in ["/dev/vfio/3", "/dev/vfio/0", "/dev/vfio/01", "/dev/vfio", "/dev/null", ""] {
        assert_eq!(bench.kernel.open(&desk.cpu, path), Err(Errno::ENOENT), "{path}");
    }
    assert_eq!(bench.kernel.open(&desk.cpu, "/dev/vfio/1"), Ok(3));
    assert_eq!(bench.kernel.open(&desk.cpu, "/dev/vfio/1"), Err(Errno::EBUSY));
    assert_eq!(bench.kernel.dup(&desk.cpu, 3), Ok(4));
    let process = desk.process();
    process.close(3).unwrap();
    assert_eq!(bench.kernel.open(&desk.cpu, "/dev/vfio/1"), Err(Errno::EBUSY));
    process.close(4).unwrap();
    assert_eq!(bench.kernel.open(&desk.cpu, "/dev/vfio/1"), Ok(3));
    assert_eq!(process.close(4), Err(Errno::EBADF));
    assert_eq!(process.ioctl(4, uapi::GET_API_VERSION, 0), Err(Errno::EBADF));
}

#[test]
fn set_iommu() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let container = Container::open(&process).unwrap();
    let set = |kind: u64| process.ioctl(container.fd(), uapi::SET_IOMMU, kind);
    assert_eq!(set(3), Err(Errno::EINVAL)); // no group
    let group = Group::open(&process, 1).unwrap();
    group.set_container(&container).unwrap();
    for unknown in [0, 2, 4, 5, 6, 7, 8, 10, 99] {
        assert_eq!(set(unknown), Err(Errno::ENODEV), "{unknown}");
    }
    assert_eq!(set(9), Err(Errno::EINVAL)); // an extension that is no IOMMU
    assert_eq!(set(3), Ok(0));
    assert_eq!(set(3), Err(Errno::EINVAL)); // set already
}

#[test]
fn other_requests_on_a_container() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let empty = Container::open(&process).unwrap();
    for request in [uapi::IOMMU_MAP_DMA, uapi::IOMMU_GET_INFO, 0x3b7c] {
        assert_eq!(process.ioctl(empty.fd(), request, 0), Err(Errno::EINVAL));
    }
    let (container, group) = ready(&desk, IommuType::Type1v2);
    assert_eq!(process.ioctl(container.fd(), 0x3b7c, 0), Err(Errno::ENOTTY));
    assert_eq!(process.ioctl(group.fd(), 0x3b7c, 0), Err(Errno::ENOTTY));
    let device = group.device("nic0").unwrap();
    assert_eq!(process.ioctl(device.fd(), 0x3b7c, 0), Err(Errno::ENOTTY));
}

#[test]
fn group_status_and_container() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let group = Group::open(&process, 1).unwrap();
    let container = Container::open(&process).unwrap();
    assert_eq!(group.status(), Ok(1));
    let mut short = [4u32, 0];
    assert_eq!(
        process.ioctl_with(group.fd(), uapi::GROUP_GET_STATUS, &mut short),
        Err(Errno::EINVAL)
    );
    assert_eq!(process.ioctl(group.fd(), uapi::GROUP_GET_STATUS, 8), Err(Errno::EFAULT));

    let set = |mut fd: i32| process.ioctl_with(group.fd(), uapi::GROUP_SET_CONTAINER, &mut fd);
    assert_eq!(group.unset_container(), Err(Errno::EINVAL));
    assert_eq!(process.ioctl(group.fd(), uapi::GROUP_SET_CONTAINER, 8), Err(Errno::EFAULT));
    assert_eq!(set(-1), Err(Errno::EBADF));
    assert_eq!(set(99), Err(Errno::EBADF));
    assert_eq!(set(group.fd()), Err(Errno::EBADFD));
    assert_eq!(set(container.fd()), Ok(0));
    assert_eq!(set(container.fd()), Err(Errno::EINVAL));
    assert_eq!(group.status(), Ok(3));

    assert_eq!(group.device("nic0").err(), Some(Errno::EINVAL)); // no IOMMU
    container.set_iommu(IommuType::Type1v2).unwrap();
    assert_eq!(group.device("nic1").err(), Some(Errno::ENODEV)); // of another group
    let device = group.device("nic0").unwrap();
    assert_eq!(group.unset_container(), Err(Errno::EBUSY));
    device.reset().unwrap();
    device.close().unwrap();
    assert_eq!(group.unset_container(), Ok(()));
    assert_eq!(group.device("nic0").err(), Some(Errno::EINVAL)); // no container
}

#[test]
fn map_dma() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let (container, _) = ready(&desk, IommuType::Type1v2);
    let map = |argsz, flags, (iova, vaddr, size)| {
        let mut map = DmaMap { argsz, flags, vaddr, iova, size };
        process.ioctl_with(container.fd(), uapi::IOMMU_MAP_DMA, &mut map)
    };
    let page = (0x10_0000, USER, 0x1000);
    let cases = [
        (31, 3, page, Errno::EINVAL),                     // argsz
        (32, 8, page, Errno::EINVAL),                     // unknown flag
        (32, 4, page, Errno::EINVAL),                     // VADDR is not offered
        (32, 0, page, Errno::EINVAL),                     // neither read nor write
        (32, 3, (0x10_0000, USER, 0), Errno::EINVAL),     // size 0
        (32, 3, (0x10_0000, USER, 0x800), Errno::EINVAL), // misaligned
        (32, 3, (0x10_0800, USER, 0x1000), Errno::EINVAL),
        (32, 3, (0x10_0000, USER + 8, 0x1000), Errno::EINVAL),
        (32, 3, (!0xfff, USER, 0x2000), Errno::EOVERFLOW),
        (32, 3, (0x10_0000, !0xfff, 0x2000), Errno::EOVERFLOW),
        (32, 3, (1 << 48, USER, 0x1000), Errno::EINVAL), // outside of the IOVAs
        (32, 3, (0x0800_0000, USER, 0x1000), Errno::EINVAL), // doorbells of MSIs
        (32, 3, (0x07ff_f000, USER, 0x2000), Errno::EINVAL),
        (32, 3, (0x10_0000, 0x1000, 0x1000), Errno::EFAULT), // no such memory
        (32, 3, (0x10_0000, USER + RAM_BYTES / 2 - 0x1000, 0x2000), Errno::EFAULT),
    ];
    for (argsz, flags, range, errno) in cases {
        assert_eq!(map(argsz, flags, range), Err(errno), "{argsz} {flags} {range:x?}");
    }
    assert_eq!(process.ioctl(container.fd(), uapi::IOMMU_MAP_DMA, 8), Err(Errno::EFAULT));
    assert_eq!(desk.memory.pinned_pages(), 0);
    assert_eq!(map(32, 3, page), Ok(0));
    assert_eq!(map(32, 1, page), Err(Errno::EEXIST));
    assert_eq!(map(32, 3, (0x0f_f000, USER, 0x4000)), Err(Errno::EEXIST));
    // The last page before the window, and the one behind.
    assert_eq!(map(32, 3, (0x07ff_f000, USER, 0x1000)), Ok(0));
    assert_eq!(map(32, 3, (0x0810_0000, USER, 0x1000)), Ok(0));
}

#[test]
fn map_dma_limits() {
    let options = Options {
        dma_entry_limit: 2,
        memlock_bytes: 0x3000,
        ..Options::new(Personality::Upstream)
    };
    let bench = Bench::booted(IdRegisters::REFERENCE, options);
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0, USER, 0x1000).unwrap();
    assert_eq!(container.map_dma(0x1000, USER, 0x3000), Err(Errno::ENOMEM));
    container.map_dma(0x1000, USER, 0x1000).unwrap();
    assert_eq!(container.map_dma(0x2000, USER, 0x1000), Err(Errno::ENOSPC));
    container.unmap_dma(0x1000, 0x1000).unwrap();
    container.map_dma(0x2000, USER, 0x1000).unwrap();
}

#[test]
fn unmap_dma_v2() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let (container, _) = ready(&desk, IommuType::Type1v2);
    let unmap = |argsz, flags, iova, size| {
        let mut unmap = DmaUnmap { argsz, flags, iova, size };
        process.ioctl_with(container.fd(), uapi::IOMMU_UNMAP_DMA, &mut unmap).map(|_| unmap.size)
    };
    for iova in [0x1_0000, 0x2_0000, 0x3_0000] {
        container.map_dma(iova, USER, 0x4000).unwrap();
    }
    for (argsz, flags, iova, size) in [
        (23, 0, 0x1_0000, 0x4000),
        (24, 8, 0x1_0000, 0x4000), // unknown flag
        (24, 1, 0x1_0000, 0x4000), // a bitmap while tracking is off
        (24, 4, 0x1_0000, 0x4000), // VADDR is not offered
        (24, 0, 0x1_0000, 0),
        (24, 0, 0x1_0800, 0x1000),
        (24, 0, 0x1_0000, 0x800),
        (24, 0, 0x1_1000, 0x3000),   // cuts its beginning
        (24, 0, 0x1_0000, 0x2000),   // cuts its end
        (24, 0, 0x1_0000, 0x1_1000), // cuts the next one
        (24, 2, 0x1_0000, 0),        // ALL with an address
        (24, 2, 0, 0x4000),          // ALL with a size
    ] {
        assert_eq!(
            unmap(argsz, flags, iova, size),
            Err(Errno::EINVAL),
            "{flags} {iova:x} {size:x}"
        );
    }
    assert_eq!(unmap(24, 0, !0xfff, 0x2000), Err(Errno::EOVERFLOW));
    assert_eq!(process.ioctl(container.fd(), uapi::IOMMU_UNMAP_DMA, 8), Err(Errno::EFAULT));
    assert_eq!(unmap(24, 0, 0x8_0000, 0x1000), Ok(0)); // nothing there
    assert_eq!(unmap(24, 0, 0, 0x2_8000), Ok(0x8000)); // several whole ones
    assert_eq!(unmap(24, 2, 0, 0), Ok(0x4000)); // ALL
    assert_eq!(unmap(24, 2, 0, 0), Ok(0));
    assert_eq!(unmap(24, 0, 0, 1 << 63), Ok(0));
}

#[test]
fn unmap_dma_v1() {
    let bench = bench();
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Type1);
    container.map_dma(0x1_0000, USER, 0x4000).unwrap();
    assert_eq!(container.unmap_dma(0x1_1000, 0x1000), Ok(0)); // starts inside
    assert_eq!(container.unmap_dma(0x1_0000, 0x1000), Ok(0x4000)); // starts on its first byte
}

#[test]
fn iommu_get_info() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let (container, _) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0, USER, 0x1000).unwrap();
    let get = |argsz: u32, room: usize| {
        let mut bytes = argsz.as_bytes().to_vec();
        bytes.resize(room, 0xaa);
        process.ioctl_bytes(container.fd(), uapi::IOMMU_GET_INFO, &mut bytes).map(|_| bytes)
    };
    assert_eq!(get(15, 24), Err(Errno::EINVAL));
    assert_eq!(get(16, 15), Err(Errno::EFAULT));

    // Too little room: the size that is needed, and no offset.
    let short = get(24, 24).unwrap();
    let info = Type1Info::read_from_bytes(&short).unwrap();
    let needed = 24 + 32 + 16 + 16 + 2 * size_of::<IovaRange>() as u32;
    assert_eq!((info.argsz, info.flags, info.cap_offset), (needed, 3, 0));
    assert_eq!(info.iova_pgsizes, 1 << 12 | 1 << 21 | 1 << 30);
    // An old caller's structure ends before the offset.
    assert_eq!(get(16, 24).unwrap()[16..], [0xaa; 8]);

    let bytes = get(needed, needed as usize).unwrap();
    let word = |at: usize| u64::read_from_bytes(&bytes[at..at + 8]).unwrap();
    let mut chain = Vec::new();
    let mut at = u32::read_from_bytes(&bytes[16..20]).unwrap() as usize;
    while at != 0 {
        chain.push((u16::read_from_bytes(&bytes[at..at + 2]).unwrap(), at));
        at = u32::read_from_bytes(&bytes[at + 4..at + 8]).unwrap() as usize;
    }
    assert_eq!(chain, [(2, 24), (3, 56), (1, 72)]); // migration, available, IOVA ranges
    assert_eq!(word(24 + 16), 0x1000); // page size of dirty bitmaps
    assert_eq!(word(56 + 8) as u32, 65_534); // one mapping is taken
    assert_eq!(word(72 + 8), 2);
    assert_eq!([88, 96, 104, 112].map(word), [0, 0x07ff_ffff, 0x0810_0000, (1 << 48) - 1]);
}

#[test]
fn dirty_pages() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let dirty = |container: &Container<'_>, argsz, flags| {
        let mut dirty = DirtyBitmap { argsz, flags };
        process.ioctl_with(container.fd(), uapi::IOMMU_DIRTY_PAGES, &mut dirty)
    };
    {
        let (v1, group) = ready(&desk, IommuType::Type1);
        assert_eq!(dirty(&v1, 8, 1), Err(Errno::EACCES));
        group.close().unwrap();
    }
    let (container, _) = ready(&desk, IommuType::Type1v2);
    for (argsz, flags) in [(7, 1), (8, 0), (8, 3), (8, 8), (56, 4)] {
        assert_eq!(dirty(&container, argsz, flags), Err(Errno::EINVAL), "{argsz} {flags}");
    }
    assert_eq!(dirty(&container, 8, 1), Ok(0));
    container.map_dma(0x2000, USER, 0x2000).unwrap();
    let get = |pgsize: u64, bytes: u64| {
        let mut argument = [56u64 | 4 << 32, 0, 0x8000, pgsize, bytes, USER];
        process.ioctl_with(container.fd(), uapi::IOMMU_DIRTY_PAGES, &mut argument)
    };
    assert_eq!(get(0x20_0000, 8), Err(Errno::EINVAL)); // not the smallest page
    assert_eq!(get(0x1000, 4), Err(Errno::EINVAL)); // too small
    assert_eq!(get(0x1000, 8), Ok(0));
    let bitmap = smmu_bus::Memory::read_word(&bench.platform.memory.ram, USER_PA);
    assert_eq!(bitmap, Ok(0b1100));
    assert_eq!(dirty(&container, 8, 2), Ok(0));
    assert_eq!(get(0x1000, 8), Err(Errno::EINVAL)); // off
}

#[test]
fn a_container_that_is_closed_first_lives_on_in_its_groups() {
    let bench = bench();
    let desk = bench.desk();
    let (container, group) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0, USER, 0x1000).unwrap();
    container.close().unwrap();
    let config = || bench.ste(StreamId(8)).config;
    assert_eq!((config(), desk.memory.pinned_pages()), (StreamConfig::Stage1, 1));
    group.close().unwrap();
    assert_eq!((config(), desk.memory.pinned_pages()), (StreamConfig::Abort, 0));
}

#[test]
fn a_group_that_is_closed_first_lives_on_in_its_devices() {
    let bench = bench();
    let desk = bench.desk();
    let (container, group) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0, USER, 0x1000).unwrap();
    let device = group.device("nic0").unwrap();
    group.close().unwrap();
    assert_eq!(Group::open(&desk.process(), 1).err(), Some(Errno::EBUSY));
    assert_eq!(bench.ste(StreamId(8)).config, StreamConfig::Stage1);
    device.close().unwrap();
    assert_eq!(bench.ste(StreamId(8)).config, StreamConfig::Abort);
    assert_eq!(container.view().unwrap().mappings, 0);
    Group::open(&desk.process(), 1).unwrap();
}

#[test]
fn a_container_without_groups_is_as_new() {
    let bench = bench();
    let desk = bench.desk();
    let before = bench.kernel.statistics().heap_free_bytes;
    let (container, group) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0, USER, 0x20_1000).unwrap();
    group.unset_container().unwrap();
    assert_eq!(container.map_dma(0, USER, 0x1000), Err(Errno::EINVAL));
    group.set_container(&container).unwrap();
    container.set_iommu(IommuType::Type1).unwrap();
    assert_eq!(container.view().unwrap().mappings, 0);
    group.close().unwrap();
    // All tables went back; the context descriptor of the stream is kept.
    assert_eq!(bench.kernel.statistics().heap_free_bytes, before.map(|bytes| bytes - 64));
}
