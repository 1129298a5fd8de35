//! Errors and states of iommufd's objects and of VFIO device files, request by request.

use super::platform::{Bench, Desk, USER, USER_PA, stage2_only};
use crate::client::iommufd::{DeviceFile, Iommufd};
use crate::client::{Container, Group, IommuType};
use crate::iommufd_uapi::{
    self as api, HwInfo, HwptSetDirtyTracking, IoasAllowIovas, IoasCopy, IoasIovaRanges, IoasMap,
    IommuOption, IovaRange,
};
use crate::uapi::{self, AttachIommufdPt, BindIommufd};
use crate::{Errno, Options, Personality};
use smmu_arch::{IdRegisters, StreamConfig, StreamId};
use smmu_bus::UserMemory;
use zerocopy::IntoBytes;

const PAGE: u64 = 4096;
/// Where tests put arrays: the last page but one of what they use.
const ROOM: u64 = USER + 0x10_0000;
const STREAM: StreamId = StreamId(8);
const MSI: u64 = 0x0800_0000;

fn bench() -> Bench {
    Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream))
}

/// Device `number`, bound; and its object.
fn bound<'d>(desk: &'d Desk<'_>, iommufd: &Iommufd<'_>, number: usize) -> (DeviceFile<'d>, u32) {
    let device = DeviceFile::open(&desk.process(), number).unwrap();
    let id = device.bind(iommufd).unwrap();
    (device, id)
}

#[test]
fn paths() {
    for personality in [Personality::Rfc, Personality::RfcFixed] {
        let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(personality));
        for path in ["/dev/iommu", "/dev/vfio/devices/vfio0"] {
            // The series is older than iommufd.
            assert_eq!(bench.kernel.open(&bench.desk().cpu, path), Err(Errno::ENOENT));
        }
    }
    let bench = bench();
    let desk = bench.desk();
    for path in ["/dev/vfio/devices/vfio2", "/dev/vfio/devices/vfio00", "/dev/vfio/devices/"] {
        assert_eq!(bench.kernel.open(&desk.cpu, path), Err(Errno::ENOENT), "{path}");
    }
    assert_eq!(bench.kernel.open(&desk.cpu, "/dev/iommu"), Ok(3));
    assert_eq!(bench.kernel.open(&desk.cpu, "/dev/vfio/devices/vfio1"), Ok(4));
}

/// The checks that all requests have in common, in their order.
#[test]
fn every_request_looks_at_its_size_first() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let iommufd = Iommufd::open(&process).unwrap();
    let raw = |request: u32, words: &[u32]| {
        let mut bytes = words.as_bytes().to_vec();
        process.ioctl_bytes(iommufd.fd(), request, &mut bytes)
    };
    assert_eq!(process.ioctl(iommufd.fd(), api::IOAS_ALLOC, 8), Err(Errno::EFAULT));
    assert_eq!(raw(0x3b7f, &[12, 0, 0]), Err(Errno::ENOTTY));
    assert_eq!(raw(0x3b95, &[12, 0, 0]), Err(Errno::ENOTTY));
    assert_eq!(raw(uapi::IOMMU_GET_VMID, &[0]), Err(Errno::ENOTTY));
    assert_eq!(raw(api::IOAS_ALLOC, &[11, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(raw(api::IOAS_ALLOC, &[16, 0, 0, 0]), Ok(0)); // longer, and zero there
    assert_eq!(raw(api::IOAS_ALLOC, &[16, 0, 0, 1]), Err(Errno::E2BIG));
    assert_eq!(raw(api::IOAS_ALLOC, &[64, 0, 0, 0]), Err(Errno::EFAULT));
    assert_eq!(raw(api::IOAS_ALLOC, &[12, 1, 0]), Err(Errno::EOPNOTSUPP));
    assert_eq!(iommufd.alloc_ioas(), Ok(2));
    assert_eq!((iommufd.destroy(1), iommufd.destroy(1)), (Ok(()), Err(Errno::ENOENT)));
    assert_eq!(iommufd.alloc_ioas(), Ok(1)); // the lowest free number
    assert_eq!(iommufd.destroy(0), Err(Errno::ENOENT));
}

fn map_cmd(ioas: u32, iova: u64, length: u64) -> IoasMap {
    let flags = api::MAP_FIXED_IOVA | api::MAP_READABLE;
    IoasMap { flags, ioas_id: ioas, user_va: USER, length, iova, ..IoasMap::default() }
}

#[test]
fn map_checks() {
    let bench = bench();
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let ioas = iommufd.alloc_ioas().unwrap();
    let map = |cmd: IoasMap| iommufd.ioctl(api::IOAS_MAP, &mut cmd.clone());
    let good = map_cmd(ioas, PAGE, PAGE);
    assert_eq!(map(IoasMap { flags: 8, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(map(IoasMap { __reserved: 1, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(map(IoasMap { iova: u64::MAX, ..good }), Err(Errno::EOVERFLOW));
    assert_eq!(map(IoasMap { length: u64::MAX, ..good }), Err(Errno::EOVERFLOW));
    assert_eq!(map(IoasMap { flags: api::MAP_FIXED_IOVA, ..good }), Err(Errno::EINVAL));
    assert_eq!(map(IoasMap { ioas_id: 99, ..good }), Err(Errno::ENOENT));
    assert_eq!(map(IoasMap { length: 0, ..good }), Err(Errno::EINVAL));
    assert_eq!(map(IoasMap { iova: u64::MAX - 1, ..good }), Err(Errno::EOVERFLOW));
    // Without a page table nothing needs to be aligned, or even be there.
    assert_eq!(map(IoasMap { iova: 3, length: 5, user_va: 1, ..good }), Ok(()));
    assert_eq!(map(IoasMap { iova: 7, length: 5, user_va: 1, ..good }), Err(Errno::EEXIST));
    assert_eq!(map(IoasMap { iova: 8, length: 5, user_va: 1, ..good }), Ok(()));
}

#[test]
fn unmap_checks() {
    let bench = bench();
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let ioas = iommufd.alloc_ioas().unwrap();
    assert_eq!(iommufd.unmap(99, 0, PAGE), Err(Errno::ENOENT));
    assert_eq!(iommufd.unmap(ioas, 0, u64::MAX), Ok(0)); // all, and there is nothing
    assert_eq!(iommufd.unmap(ioas, 0, PAGE), Err(Errno::ENOENT));
    assert_eq!(iommufd.unmap(ioas, 0, 0), Err(Errno::EINVAL));
    assert_eq!(iommufd.unmap(ioas, u64::MAX, 1), Err(Errno::EOVERFLOW));
    assert_eq!(iommufd.unmap(ioas, PAGE, u64::MAX - 1), Err(Errno::EOVERFLOW));
    for page in [1, 3, 5] {
        iommufd.map(ioas, page * 2 * PAGE, USER, 2 * PAGE).unwrap();
    }
    // Whole mappings go, a hole between them does not matter; one that would be cut stays.
    assert_eq!(iommufd.unmap(ioas, 3 * PAGE, PAGE), Err(Errno::ENOENT));
    assert_eq!(iommufd.unmap(ioas, 2 * PAGE, PAGE), Err(Errno::ENOENT));
    assert_eq!(iommufd.unmap(ioas, 0, 9 * PAGE), Ok(4 * PAGE));
    iommufd.map(ioas, 0, USER, PAGE).unwrap();
    assert_eq!(iommufd.unmap(ioas, 0, 11 * PAGE), Err(Errno::ENOENT));
    assert_eq!(iommufd.unmap(ioas, 0, PAGE), Err(Errno::ENOENT)); // the one before it is gone
    assert_eq!(iommufd.unmap(ioas, 0, u64::MAX), Ok(2 * PAGE));
}

#[test]
fn copies() {
    let bench = bench();
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let (from, to) = (iommufd.alloc_ioas().unwrap(), iommufd.alloc_ioas().unwrap());
    let (device, _) = bound(&desk, &iommufd, 0);
    device.attach(to).unwrap();
    iommufd.map(from, 0, USER, 2 * PAGE).unwrap();
    iommufd.ioctl(api::IOAS_MAP, &mut map_cmd(from, 2 * PAGE, PAGE)).unwrap(); // read-only
    let good = IoasCopy {
        flags: api::MAP_FIXED_IOVA | api::MAP_READABLE,
        dst_ioas_id: to,
        src_ioas_id: from,
        length: 2 * PAGE,
        dst_iova: 0x10_0000,
        src_iova: PAGE,
        ..IoasCopy::default()
    };
    let copy = |cmd: IoasCopy| iommufd.ioctl(api::IOAS_COPY, &mut cmd.clone());
    assert_eq!(copy(IoasCopy { flags: 16, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(copy(IoasCopy { length: u64::MAX, ..good }), Err(Errno::EOVERFLOW));
    assert_eq!(copy(IoasCopy { flags: 0, ..good }), Err(Errno::EINVAL));
    assert_eq!(copy(IoasCopy { length: 0, ..good }), Err(Errno::EINVAL));
    assert_eq!(copy(IoasCopy { src_ioas_id: 99, ..good }), Err(Errno::ENOENT));
    assert_eq!(copy(IoasCopy { dst_ioas_id: 99, ..good }), Err(Errno::ENOENT));
    assert_eq!(copy(IoasCopy { length: 3 * PAGE, ..good }), Err(Errno::ENOENT));
    assert_eq!(
        copy(IoasCopy { flags: good.flags | api::MAP_WRITEABLE, ..good }),
        Err(Errno::EPERM)
    );
    // A copy over two mappings stands for itself: the source may go.
    assert_eq!(copy(good), Ok(()));
    assert_eq!(copy(good), Err(Errno::EEXIST));
    assert_eq!(iommufd.unmap(from, 0, u64::MAX), Ok(3 * PAGE));
    assert_eq!(iommufd.unmap(to, 0x10_0000, 2 * PAGE), Ok(2 * PAGE));
}

#[test]
fn ranges_and_allowed_ranges() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let iommufd = Iommufd::open(&process).unwrap();
    let ioas = iommufd.alloc_ioas().unwrap();
    let ranges = |slots: u32| {
        let mut cmd = IoasIovaRanges {
            ioas_id: ioas,
            num_iovas: slots,
            allowed_iovas: ROOM,
            ..IoasIovaRanges::default()
        };
        let result = iommufd.ioctl(api::IOAS_IOVA_RANGES, &mut cmd);
        let mut told = vec![IovaRange::default(); cmd.num_iovas.min(slots) as usize];
        desk.memory.read(ROOM, told.as_mut_bytes()).unwrap();
        let told: Vec<_> = told.iter().map(|range| (range.start, range.last)).collect();
        (result, cmd.num_iovas, cmd.out_iova_alignment, told)
    };
    assert_eq!(ranges(1), (Ok(()), 1, 1, vec![(0, u64::MAX)]));
    assert_eq!(ranges(0), (Err(Errno::EMSGSIZE), 1, 1, vec![]));

    let (device, id) = bound(&desk, &iommufd, 0);
    let hwpt = iommufd.alloc_hwpt(id, ioas, 0).unwrap();
    let last = (1 << 48) - 1;
    assert_eq!(ranges(4), (Ok(()), 1, PAGE, vec![(0, last)]));
    device.attach(hwpt).unwrap();
    let both = vec![(0, MSI - 1), (MSI + 0x10_0000, last)];
    assert_eq!(ranges(4), (Ok(()), 2, PAGE, both.clone()));
    assert_eq!(ranges(1), (Err(Errno::EMSGSIZE), 2, PAGE, both[..1].to_vec()));

    let allow = |allowed: &[(u64, u64)]| {
        let allowed: Vec<_> =
            allowed.iter().map(|&(start, last)| IovaRange { start, last }).collect();
        desk.memory.write(ROOM, allowed.as_bytes()).unwrap();
        let mut cmd = IoasAllowIovas {
            ioas_id: ioas,
            num_iovas: allowed.len() as u32,
            allowed_iovas: ROOM,
            ..IoasAllowIovas::default()
        };
        iommufd.ioctl(api::IOAS_ALLOW_IOVAS, &mut cmd)
    };
    assert_eq!(allow(&[(5, 5)]), Err(Errno::EINVAL));
    assert_eq!(allow(&[(0, 0xfff), (0x800, 0x1fff)]), Err(Errno::EINVAL));
    assert_eq!(allow(&[(0, MSI)]), Err(Errno::EADDRINUSE));
    assert_eq!(allow(&[(0x4000_0000, 0x4000_ffff)]), Ok(()));
    // The kernel picks there, and only there.
    let mut cmd = IoasMap { flags: api::MAP_READABLE, ..map_cmd(ioas, 0, 0x1_0000) };
    assert_eq!(iommufd.ioctl(api::IOAS_MAP, &mut cmd), Ok(()));
    assert_eq!(cmd.iova, 0x4000_0000);
    assert_eq!(iommufd.ioctl(api::IOAS_MAP, &mut cmd), Err(Errno::ENOSPC));
    assert_eq!(allow(&[]), Ok(()));
    assert_eq!(iommufd.ioctl(api::IOAS_MAP, &mut cmd), Ok(()));
    assert_eq!(cmd.iova, 0x1_0000); // aligned to its size, and never 0

    // With a page table, alignment counts and user memory must be there.
    let map = |cmd: IoasMap| iommufd.ioctl(api::IOAS_MAP, &mut cmd.clone());
    let good = map_cmd(ioas, 0x10_0000, PAGE);
    assert_eq!(map(IoasMap { iova: 0x10_0008, ..good }), Err(Errno::EINVAL));
    assert_eq!(map(IoasMap { length: 8, ..good }), Err(Errno::EINVAL));
    assert_eq!(map(IoasMap { user_va: USER + 8, ..good }), Err(Errno::EINVAL));
    assert_eq!(map(IoasMap { user_va: 0x1000, ..good }), Err(Errno::EFAULT));
    assert_eq!(map(IoasMap { iova: MSI, ..good }), Err(Errno::EINVAL));
    assert_eq!(map(IoasMap { iova: 1 << 48, ..good }), Err(Errno::EINVAL));
    assert_eq!(map(good), Ok(()));
}

#[test]
fn options() {
    let bench = bench();
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let option = |option_id, op, object_id, val64| {
        let mut cmd = IommuOption { option_id, op, object_id, val64, ..IommuOption::default() };
        iommufd.ioctl(api::OPTION, &mut cmd).map(|()| cmd.val64)
    };
    let (mode, huge) = (api::OPTION_RLIMIT_MODE, api::OPTION_HUGE_PAGES);
    let (set, get) = (api::OPTION_OP_SET, api::OPTION_OP_GET);
    assert_eq!(option(mode, get, 0, 7), Ok(0));
    assert_eq!(option(mode, set, 0, 2), Err(Errno::EINVAL));
    assert_eq!(option(mode, set, 0, 1), Ok(1));
    assert_eq!(option(mode, get, 1, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(option(2, get, 0, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(option(huge, get, 1, 0), Err(Errno::ENOENT));
    let ioas = iommufd.alloc_ioas().unwrap();
    assert_eq!(option(mode, set, 0, 0), Err(Errno::EBUSY));
    assert_eq!(option(huge, get, ioas, 0), Ok(1));
    assert_eq!(option(huge, set, ioas, 0), Ok(0));
    assert_eq!(option(huge, 2, ioas, 0), Err(Errno::EOPNOTSUPP));
    // Every page is a leaf of its own then: a table of them goes, and no block of level 2.
    let (device, _) = bound(&desk, &iommufd, 0);
    device.attach(ioas).unwrap();
    for (huge_pages, level) in [(0, "ttl=0"), (1, "ttl=2")] {
        option(huge, set, ioas, huge_pages).unwrap();
        iommufd.map(ioas, 0x20_0000, USER, 2 << 20).unwrap();
        desk.trace();
        iommufd.unmap(ioas, 0x20_0000, 2 << 20).unwrap();
        let trace = desk.trace();
        assert!(trace[0].starts_with("CMD_TLBI_NH_VA ") && trace[0].contains(level), "{trace:?}");
    }
}

#[test]
fn binding() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let (iommufd, other) = (Iommufd::open(&process).unwrap(), Iommufd::open(&process).unwrap());
    let device = DeviceFile::open(&process, 0).unwrap();
    let good = BindIommufd { argsz: 24, iommufd: iommufd.fd(), ..BindIommufd::default() };
    let bind = |cmd: BindIommufd| {
        process.ioctl_with(device.fd(), uapi::DEVICE_BIND_IOMMUFD, &mut cmd.clone())
    };
    // Nothing works before it.
    for request in [uapi::DEVICE_GET_INFO, uapi::DEVICE_ATTACH_IOMMUFD_PT, 0x3b7c] {
        assert_eq!(process.ioctl(device.fd(), request, 0), Err(Errno::EINVAL));
    }
    assert_eq!(process.ioctl(device.fd(), uapi::DEVICE_BIND_IOMMUFD, 8), Err(Errno::EFAULT));
    assert_eq!(bind(BindIommufd { argsz: 15, ..good }), Err(Errno::EINVAL));
    assert_eq!(bind(BindIommufd { flags: 2, ..good }), Err(Errno::EINVAL));
    assert_eq!(bind(BindIommufd { iommufd: -1, ..good }), Err(Errno::EINVAL));
    let group = Group::open(&process, 1).unwrap();
    assert_eq!(bind(good), Err(Errno::EBUSY));
    group.close().unwrap();
    assert_eq!(bind(BindIommufd { iommufd: 99, ..good }), Err(Errno::EBADF));
    assert_eq!(bind(BindIommufd { iommufd: device.fd(), ..good }), Err(Errno::EBADFD));
    assert_eq!(device.bind(&iommufd), Ok(1));
    assert_eq!(device.bind(&other), Err(Errno::EINVAL));
    assert_eq!(DeviceFile::open(&process, 0).unwrap().bind(&iommufd), Err(Errno::EINVAL));
    assert_eq!(Group::open(&process, 1).err(), Some(Errno::EBUSY));
    assert_eq!(iommufd.destroy(1), Err(Errno::EBUSY));
    assert_eq!(process.ioctl(device.fd(), uapi::DEVICE_RESET, 0), Ok(0));
    device.close().unwrap();
    assert_eq!(iommufd.destroy(1), Err(Errno::ENOENT));
    Group::open(&process, 1).unwrap();
}

#[test]
fn attaching() {
    // Two SMMUs: device 2 is behind the second.
    let ids = [IdRegisters::REFERENCE; 2];
    let bench = Bench::new(&ids, &[0, 0, 1], Options::new(Personality::Upstream));
    let desk = bench.desk();
    desk.boot();
    let process = desk.process();
    let iommufd = Iommufd::open(&process).unwrap();
    let (device, id) = bound(&desk, &iommufd, 0);
    let attach = |argsz, flags, pt_id| {
        let mut cmd = AttachIommufdPt { argsz, flags, pt_id, pasid: 0 };
        process.ioctl_with(device.fd(), uapi::DEVICE_ATTACH_IOMMUFD_PT, &mut cmd)
    };
    let ioas = iommufd.alloc_ioas().unwrap();
    assert_eq!(attach(11, 0, ioas), Err(Errno::EINVAL));
    assert_eq!(attach(16, 2, ioas), Err(Errno::EINVAL));
    assert_eq!(attach(16, 1, ioas), Err(Errno::EOPNOTSUPP)); // no PASIDs
    assert_eq!(attach(16, 0, 99), Err(Errno::ENOENT));
    assert_eq!(attach(16, 0, id), Err(Errno::EINVAL)); // a device is no page table
    device.detach().unwrap(); // of nothing: fine

    // An address space makes a page table for each SMMU, and devices share it.
    let hwpt = device.attach(ioas).unwrap();
    assert_eq!(bench.ste(STREAM).config, StreamConfig::Stage1);
    let (second, _) = bound(&desk, &iommufd, 1);
    assert_eq!(second.attach(ioas), Ok(hwpt));
    let (far, far_id) = bound(&desk, &iommufd, 2);
    let far_hwpt = far.attach(ioas).unwrap();
    assert_ne!(far_hwpt, hwpt);
    assert_eq!(far.attach(hwpt), Err(Errno::EINVAL)); // of another SMMU
    assert_eq!(iommufd.destroy(hwpt), Err(Errno::EBUSY));
    assert_eq!(iommufd.destroy(ioas), Err(Errno::EBUSY));

    // It goes with its last device.
    device.detach().unwrap();
    assert_eq!(bench.ste(STREAM).config, StreamConfig::Abort);
    second.detach().unwrap();
    assert_eq!(iommufd.destroy(hwpt), Err(Errno::ENOENT));
    far.detach().unwrap();
    assert_eq!(iommufd.destroy(ioas), Ok(()));

    // The doorbells of MSIs are not to be mapped.
    let ioas = iommufd.alloc_ioas().unwrap();
    iommufd.map(ioas, MSI, USER, PAGE).unwrap();
    assert_eq!(far.attach(ioas), Err(Errno::EADDRINUSE));
    // Nor what the page table cannot hold.
    iommufd.unmap(ioas, 0, u64::MAX).unwrap();
    iommufd.map(ioas, 1 << 48, USER, PAGE).unwrap();
    assert_eq!(iommufd.alloc_hwpt(far_id, ioas, 0), Err(Errno::EADDRINUSE));
    iommufd.unmap(ioas, 0, u64::MAX).unwrap();
    // What was mapped before is pinned now, and may turn out not to be there.
    iommufd.map(ioas, PAGE, 0x1000, PAGE).unwrap();
    assert_eq!(far.attach(ioas), Err(Errno::EFAULT));
    assert_eq!(bench.kernel.statistics().smmus[1].asids_in_use, 0);
    assert!(bench.kernel.log().is_empty());
}

#[test]
fn replacing_is_one_step() {
    let bench = Bench::booted(stage2_only(), Options::new(Personality::Upstream));
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let (device, id) = bound(&desk, &iommufd, 0);
    let (one, two) = (iommufd.alloc_ioas().unwrap(), iommufd.alloc_ioas().unwrap());
    iommufd.map(one, PAGE, USER, PAGE).unwrap();
    let first = iommufd.alloc_hwpt(id, one, 0).unwrap();
    let second = iommufd.alloc_hwpt(id, two, 0).unwrap();
    device.attach(first).unwrap();
    desk.trace();
    assert_eq!(device.attach(first), Ok(first)); // the same again: nothing happens
    assert_eq!(desk.trace(), Vec::<String>::new());
    device.attach(second).unwrap();
    let trace = desk.trace();
    // The entry passes from VMID 1 to VMID 2; then, and not before, 1 is forgotten.
    let flush = trace.iter().position(|line| line == "CMD_TLBI_S12_VMALL vmid=0x1").unwrap();
    let forget = trace.iter().rposition(|line| line.starts_with("CMD_CFGI_STE")).unwrap();
    assert!(forget < flush, "{trace:?}");
    assert_eq!(bench.ste(STREAM).vmid.0, 2);
    assert_eq!((iommufd.destroy(first), iommufd.destroy(second)), (Ok(()), Err(Errno::EBUSY)));
}

#[test]
fn what_is_mapped_is_pinned_while_a_page_table_holds_it() {
    let bench = bench();
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let (device, _) = bound(&desk, &iommufd, 0);
    let ioas = iommufd.alloc_ioas().unwrap();
    iommufd.map(ioas, PAGE, USER, PAGE).unwrap();
    assert_eq!(desk.memory.pin_count(USER_PA), 0);
    device.attach(ioas).unwrap();
    iommufd.map(ioas, 4 * PAGE, USER, PAGE).unwrap();
    assert_eq!(desk.memory.pin_count(USER_PA), 2);
    device.detach().unwrap();
    assert_eq!(desk.memory.pin_count(USER_PA), 0);
    device.attach(ioas).unwrap();
    assert_eq!(desk.memory.pin_count(USER_PA), 2);
    assert_eq!(iommufd.unmap(ioas, 0, u64::MAX), Ok(2 * PAGE));
    assert_eq!(desk.memory.pin_count(USER_PA), 0);
}

#[test]
fn locked_memory_is_limited() {
    let options = Options { memlock_bytes: 4 * PAGE, ..Options::new(Personality::Upstream) };
    let bench = Bench::booted(IdRegisters::REFERENCE, options);
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let (device, id) = bound(&desk, &iommufd, 0);
    let ioas = iommufd.alloc_ioas().unwrap();
    iommufd.map(ioas, 0, USER, 3 * PAGE).unwrap(); // not pinned yet
    iommufd.map(ioas, 0x10_0000, USER, 2 * PAGE).unwrap();
    assert_eq!(iommufd.alloc_hwpt(id, ioas, 0), Err(Errno::ENOMEM));
    assert_eq!(desk.memory.pinned_pages(), 0); // what was pinned before went back
    iommufd.unmap(ioas, 0x10_0000, 2 * PAGE).unwrap();
    device.attach(ioas).unwrap();
    assert_eq!(iommufd.map(ioas, 0x10_0000, USER, 2 * PAGE), Err(Errno::ENOMEM));
    assert_eq!(iommufd.map(ioas, 0x10_0000, USER, PAGE), Ok(()));
    iommufd.unmap(ioas, 0, 3 * PAGE).unwrap();
    assert_eq!(iommufd.map(ioas, 0, USER, 3 * PAGE), Ok(()));
}

#[test]
fn hardware_information() {
    let bench = bench();
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let (_device, id) = bound(&desk, &iommufd, 0);
    let reference = IdRegisters::REFERENCE;
    let info = iommufd.hw_info(id, ROOM).unwrap();
    assert_eq!((info.idr[0], info.idr[1], info.idr[3]), (0x094c_721b, 0x0e73_0410, reference.idr3));
    assert_eq!((info.idr[5], info.iidr, info.aidr), (reference.idr5, reference.iidr, 2));

    let good = HwInfo { dev_id: id, data_len: 40, data_uptr: ROOM, ..HwInfo::default() };
    let ask = |cmd: HwInfo| {
        let mut cmd = cmd;
        iommufd.ioctl(api::GET_HW_INFO, &mut cmd).map(|()| (cmd.data_len, cmd.data_type))
    };
    assert_eq!(ask(HwInfo { flags: 2, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(ask(HwInfo { __reserved: [0, 0, 1], ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(ask(HwInfo { dev_id: 99, ..good }), Err(Errno::ENOENT));
    let typed = |data_type| ask(HwInfo { flags: 1, data_type, ..good });
    assert_eq!((typed(2), typed(0)), (Ok((40, 2)), Ok((40, 2))));
    assert_eq!(typed(1), Err(Errno::EOPNOTSUPP)); // that of another vendor
    assert_eq!(ask(HwInfo { data_uptr: 8, ..good }), Err(Errno::EFAULT));
    // Too little room: cut, and the true length. Too much: zeroed behind it.
    desk.memory.write(ROOM, &[0xff; 64]).unwrap();
    assert_eq!(ask(HwInfo { data_len: 12, ..good }), Ok((40, 2)));
    assert_eq!(ask(HwInfo { data_len: 0, data_uptr: 0, ..good }), Ok((40, 2)));
    let mut bytes = [0; 64];
    desk.memory.read(ROOM, &mut bytes).unwrap();
    assert_eq!((&bytes[8..12], bytes[12]), (&0x094c_721bu32.to_le_bytes()[..], 0xff));
    assert_eq!(ask(HwInfo { data_len: 60, ..good }), Ok((40, 2)));
    desk.memory.read(ROOM, &mut bytes).unwrap();
    assert_eq!((&bytes[40..60], bytes[60]), (&[0; 20][..], 0xff));
}

#[test]
fn no_table_tracks_dirty_pages() {
    let bench = bench();
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let (_device, id) = bound(&desk, &iommufd, 0);
    let ioas = iommufd.alloc_ioas().unwrap();
    assert_eq!(iommufd.alloc_hwpt(id, ioas, 2), Err(Errno::EOPNOTSUPP));
    let hwpt_id = iommufd.alloc_hwpt(id, ioas, 0).unwrap();
    let track = |hwpt_id| {
        let mut cmd = HwptSetDirtyTracking { flags: 1, hwpt_id, ..HwptSetDirtyTracking::default() };
        iommufd.ioctl(api::HWPT_SET_DIRTY_TRACKING, &mut cmd)
    };
    assert_eq!((track(hwpt_id), track(ioas)), (Err(Errno::EOPNOTSUPP), Err(Errno::ENOENT)));
}

#[test]
fn containers_live_beside() {
    let bench = bench();
    let desk = bench.desk();
    let process = desk.process();
    let container = Container::open(&process).unwrap();
    Group::open(&process, 2).unwrap().set_container(&container).unwrap();
    container.set_iommu(IommuType::Type1v2).unwrap();
    container.map_dma(0, USER, PAGE).unwrap();
    let iommufd = Iommufd::open(&process).unwrap();
    assert_eq!(DeviceFile::open(&process, 1).unwrap().bind(&iommufd), Err(Errno::EBUSY));
    let (device, _) = bound(&desk, &iommufd, 0);
    let ioas = iommufd.alloc_ioas().unwrap();
    device.attach(ioas).unwrap();
    iommufd.map(ioas, 0, USER, PAGE).unwrap();
    assert_eq!(desk.memory.pin_count(USER_PA), 2);
    assert_eq!(
        process.kernel.container(process.cpu, process.memory, iommufd.fd()),
        Err(Errno::EBADFD)
    );
}

/// The last page of the 64-bit space, which a space without page tables has.
#[test]
fn a_copy_may_end_where_the_address_space_does() {
    let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream));
    let desk = bench.desk();
    let iommufd = Iommufd::open(&desk.process()).unwrap();
    let ioas = iommufd.alloc_ioas().unwrap();
    iommufd.map(ioas, 0, USER, 0x1000).unwrap();
    let mut copy = api::IoasCopy {
        flags: api::MAP_FIXED_IOVA | api::MAP_READABLE,
        dst_ioas_id: ioas,
        src_ioas_id: ioas,
        length: 0x1000,
        dst_iova: u64::MAX - 0xfff,
        src_iova: 0,
        ..api::IoasCopy::default()
    };
    assert_eq!(iommufd.ioctl(api::IOAS_COPY, &mut copy), Ok(()));
}
