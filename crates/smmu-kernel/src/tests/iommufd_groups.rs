//! Two devices of one group under iommufd: they move together.

use super::platform::{Bench, Desk, EVENTQ_BASE, EVENTQ_PROD, USER};
use crate::client::iommufd::{DeviceFile, Iommufd};
use crate::iommufd_uapi as api;
use crate::{Errno, Options, Personality};
use smmu_arch::{Event, EventKind, IdRegisters, Pa, SmmuId, StreamConfig, StreamId};
use smmu_bus::Memory;

const ROOM: u64 = USER + 0x10_0000;
/// A guest's entry that translates.
const STAGE1: [u64; 2] = [0x5000 | 0b101 << 1 | 1, 0];
const STREAMS: [StreamId; 2] = [StreamId(8), StreamId(0x108)];

fn bench() -> Bench {
    Bench::one_group(IdRegisters::REFERENCE, Options::new(Personality::Upstream))
}

struct Pair<'d> {
    iommufd: Iommufd<'d>,
    files: [DeviceFile<'d>; 2],
    devices: [u32; 2],
    parent: u32,
    viommu: u32,
}

fn pair<'d>(desk: &'d Desk<'_>) -> Pair<'d> {
    let process = desk.process();
    let iommufd = Iommufd::open(&process).unwrap();
    let files = [0, 1].map(|number| DeviceFile::open(&process, number).unwrap());
    let devices = [0, 1].map(|at: usize| files[at].bind(&iommufd).unwrap());
    let ioas = iommufd.alloc_ioas().unwrap();
    let parent = iommufd.alloc_hwpt(devices[0], ioas, api::ALLOC_NEST_PARENT).unwrap();
    let viommu = iommufd.alloc_viommu(devices[0], parent).unwrap();
    Pair { iommufd, files, devices, parent, viommu }
}

#[test]
fn every_device_of_a_group_needs_a_name_in_the_guest() {
    let bench = bench();
    let desk = bench.desk();
    let pair = pair(&desk);
    pair.iommufd.alloc_vdevice(pair.viommu, pair.devices[0], 0x20).unwrap();
    let nested = pair.iommufd.alloc_nested(pair.devices[0], pair.viommu, STAGE1, ROOM).unwrap();
    assert_eq!(pair.files[0].attach(nested), Err(Errno::ENOENT));
    pair.iommufd.alloc_vdevice(pair.viommu, pair.devices[1], 0x21).unwrap();
    assert_eq!(pair.files[0].attach(nested), Ok(nested));
    assert!(STREAMS.iter().all(|&stream| bench.ste(stream).config == StreamConfig::Nested));
}

#[test]
fn a_group_that_moves_to_the_host_leaves_its_guest_alone() {
    let bench = bench();
    let desk = bench.desk();
    let pair = pair(&desk);
    let queue = pair.iommufd.alloc_veventq(pair.viommu, 8).unwrap();
    for (name, device) in (0x20..).zip(pair.devices) {
        pair.iommufd.alloc_vdevice(pair.viommu, device, name).unwrap();
    }
    let nested = pair.iommufd.alloc_nested(pair.devices[0], pair.viommu, STAGE1, ROOM).unwrap();
    for file in pair.files {
        file.attach(nested).unwrap();
    }
    pair.files[0].attach(pair.parent).unwrap();
    assert!(STREAMS.iter().all(|&stream| bench.ste(stream).config == StreamConfig::Stage2));

    let event = |stream| Event { stream, substream: None, kind: EventKind::BadCd };
    let events = STREAMS.map(event);
    let frame = &bench.platform.frames[0];
    let base = frame.word(EVENTQ_BASE) & 0x00ff_ffff_ffff_ffe0;
    for (place, event) in (base..).step_by(32).zip(&events) {
        bench.platform.memory.ram.write_words(Pa(place), &event.encode()).unwrap();
    }
    frame.set(EVENTQ_PROD, 2);
    assert_eq!(bench.kernel.service_events(&desk.cpu, SmmuId(0)), events);
    assert_eq!(queue.read(ROOM), Ok(None), "nothing is told to the guest");
}
