//! Descriptors closed in every order: what lives on, what goes, and when numbers are free again.

use super::platform::{Bench, USER, USER_PA};
use crate::client::Group;
use crate::client::iommufd::{DeviceFile, Iommufd};
use crate::iommufd_uapi::ALLOC_NEST_PARENT;
use crate::{Errno, Options, Personality};
use smmu_arch::{IdRegisters, StreamConfig, StreamId};

const ROOM: u64 = USER + 0x10_0000;
const STREAM: StreamId = StreamId(8);
const STAGE1: [u64; 2] = [0x5000 | 0b101 << 1 | 1, 0];

/// Which descriptors a virtual machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fd {
    Iommufd,
    Device,
    Queue,
}

const ORDERS: [[Fd; 3]; 6] = [
    [Fd::Iommufd, Fd::Device, Fd::Queue],
    [Fd::Iommufd, Fd::Queue, Fd::Device],
    [Fd::Device, Fd::Iommufd, Fd::Queue],
    [Fd::Device, Fd::Queue, Fd::Iommufd],
    [Fd::Queue, Fd::Iommufd, Fd::Device],
    [Fd::Queue, Fd::Device, Fd::Iommufd],
];

#[test]
fn whoever_goes_last_takes_everything_with_it() {
    for order in ORDERS {
        let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream));
        let desk = bench.desk();
        let process = desk.process();
        let free = || bench.kernel.statistics().heap_free_bytes;
        let at_start = free();

        let iommufd = Iommufd::open(&process).unwrap();
        let file = DeviceFile::open(&process, 0).unwrap();
        let device = file.bind(&iommufd).unwrap();
        let ioas = iommufd.alloc_ioas().unwrap();
        iommufd.map(ioas, 0, USER, 0x4000).unwrap();
        let parent = iommufd.alloc_hwpt(device, ioas, ALLOC_NEST_PARENT).unwrap();
        let viommu = iommufd.alloc_viommu(device, parent).unwrap();
        let queue = iommufd.alloc_veventq(viommu, 4).unwrap();
        iommufd.alloc_vdevice(viommu, device, 0x21).unwrap();
        file.attach(iommufd.alloc_nested(device, viommu, STAGE1, ROOM).unwrap()).unwrap();
        desk.trace();

        for (index, fd) in order.into_iter().enumerate() {
            let (nested, busy) = (bench.ste(STREAM).config == StreamConfig::Nested, index < 3);
            assert_eq!(nested, !order[..index].contains(&Fd::Device), "{order:?}");
            // Objects, number and pins survive until the last descriptor.
            assert_eq!(bench.kernel.statistics().smmus[0].vmids_in_use, u32::from(busy));
            assert_eq!(desk.memory.pin_count(USER_PA), 1, "{order:?}");
            match fd {
                Fd::Iommufd => iommufd.close().unwrap(),
                Fd::Device => file.close().unwrap(),
                Fd::Queue => queue.close().unwrap(),
            }
        }
        assert_eq!(bench.ste(STREAM).config, StreamConfig::Abort, "{order:?}");
        assert_eq!(bench.kernel.statistics().smmus[0].vmids_in_use, 0, "{order:?}");
        assert_eq!((desk.memory.pinned_pages(), free()), (0, at_start), "{order:?}");

        // The device was blocked, then the VMID forgotten, then the number given back.
        let trace = desk.trace();
        let at = |wanted: &str| trace.iter().position(|line| line.starts_with(wanted)).unwrap();
        assert!(at("CMD_CFGI_STE") < at("CMD_TLBI_S12_VMALL vmid=0x1"), "{order:?}");
        assert!(at("CMD_TLBI_S12_VMALL vmid=0x1") < at("VMID 0x1 was freed"), "{order:?}");
        let flushes = trace.iter().filter(|line| line.contains("VMALL")).count();
        assert_eq!(flushes, 1, "{order:?}: the unmaps after it find nothing to forget");
        assert!(Group::open(&process, 1).is_ok());
    }
}

#[test]
fn a_vdevice_goes_with_its_device_and_its_number_is_not_given_again() {
    let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream));
    let desk = bench.desk();
    let process = desk.process();
    let iommufd = Iommufd::open(&process).unwrap();
    let file = DeviceFile::open(&process, 0).unwrap();
    let device = file.bind(&iommufd).unwrap();
    let ioas = iommufd.alloc_ioas().unwrap();
    let parent = iommufd.alloc_hwpt(device, ioas, ALLOC_NEST_PARENT).unwrap();
    let viommu = iommufd.alloc_viommu(device, parent).unwrap();
    let vdevice = iommufd.alloc_vdevice(viommu, device, 0x21).unwrap();
    file.close().unwrap();

    assert_eq!(iommufd.alloc_ioas(), Ok(device)); // that of the device is free
    let next = iommufd.alloc_ioas().unwrap();
    assert!(next > vdevice);
    assert_eq!(iommufd.destroy(vdevice), Err(Errno::ENOENT));
    assert_eq!(iommufd.alloc_ioas(), Ok(vdevice)); // now it is known to be gone
    // The guest can name the device again once it is back.
    let device = DeviceFile::open(&process, 0).unwrap().bind(&iommufd).unwrap();
    assert!(iommufd.alloc_vdevice(viommu, device, 0x21).is_ok());
}

#[test]
fn objects_go_in_the_order_of_their_use() {
    let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream));
    let desk = bench.desk();
    let process = desk.process();
    let iommufd = Iommufd::open(&process).unwrap();
    let file = DeviceFile::open(&process, 0).unwrap();
    let device = file.bind(&iommufd).unwrap();
    let ioas = iommufd.alloc_ioas().unwrap();
    let parent = iommufd.alloc_hwpt(device, ioas, ALLOC_NEST_PARENT).unwrap();
    let viommu = iommufd.alloc_viommu(device, parent).unwrap();
    let vdevice = iommufd.alloc_vdevice(viommu, device, 0x21).unwrap();
    let nested = iommufd.alloc_nested(device, viommu, STAGE1, ROOM).unwrap();
    file.attach(nested).unwrap();
    for busy in [device, ioas, parent, viommu, nested] {
        assert_eq!(iommufd.destroy(busy), Err(Errno::EBUSY), "{busy}");
    }
    file.detach().unwrap();
    for gone in [nested, vdevice, viommu, parent, ioas] {
        assert_eq!(iommufd.destroy(gone), Ok(()), "{gone}");
    }
    assert_eq!(bench.kernel.statistics().smmus[0].vmids_in_use, 0);
}
