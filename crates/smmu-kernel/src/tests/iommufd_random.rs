//! Whatever a process asks of an iommufd: nothing panics, and when it has closed everything, all is
//! as before.

use super::platform::{Bench, USER};
use crate::client::Process;
use crate::client::iommufd::{DeviceFile, EventQueue, Iommufd};
use crate::{Options, Personality};
use proptest::prelude::*;
use smmu_arch::{IdRegisters, StreamConfig, StreamId};
use smmu_bus::UserMemory;

const ROOM: u64 = USER + 0x10_0000;
const PAGE: u64 = 4096;

/// A client that asks for one thing after the other, with numbers small enough to be of something.
struct Client<'k> {
    process: Process<'k>,
    iommufd: Option<Iommufd<'k>>,
    devices: [Option<DeviceFile<'k>>; 2],
    queues: Vec<EventQueue<'k>>,
}

/// What to ask, and three numbers to ask it with.
type Wish = (u8, u32, u32, u64);

impl<'k> Client<'k> {
    fn ask(&mut self, (what, a, b, c): Wish) {
        let device = a as usize % 2;
        match what {
            0..=2 => self.bind(device),
            3 => self.devices[device].take().into_iter().for_each(|file| file.close().unwrap()),
            4 => _ = self.devices[device].map(|file| file.detach()),
            5..=7 => _ = self.devices[device].map(|file| file.attach(b)),
            8 => self.queues.pop().into_iter().for_each(|queue| queue.close().unwrap()),
            9 if c % 4 == 0 => {
                self.iommufd.take().into_iter().for_each(|file| file.close().unwrap());
            }
            _ => self.ask_iommufd((what, a, b, c)),
        }
    }

    fn bind(&mut self, number: usize) {
        let file = match self.devices[number] {
            Some(file) => file,
            None => DeviceFile::open(&self.process, number).unwrap(),
        };
        self.devices[number] = Some(file);
        if let Some(iommufd) = &self.iommufd {
            let _ = file.bind(iommufd);
        }
    }

    fn ask_iommufd(&mut self, (what, a, b, c): Wish) {
        let Some(iommufd) = &self.iommufd else {
            self.iommufd = Iommufd::open(&self.process).ok();
            return;
        };
        match what {
            10 | 11 => _ = iommufd.alloc_ioas(),
            12 | 13 => _ = iommufd.map(a, c % 64 * PAGE, USER, (u64::from(b) + 1) * PAGE),
            14 => _ = iommufd.unmap(a, c % 64 * PAGE, u64::from(b) * PAGE),
            15 => _ = iommufd.unmap(a, 0, u64::MAX),
            16..=18 => _ = iommufd.alloc_hwpt(a, b, (c % 3 == 0).into()),
            19 | 20 => _ = iommufd.alloc_viommu(a, b),
            21 | 22 => _ = iommufd.alloc_vdevice(a, b, c % 3),
            23 | 24 => _ = iommufd.alloc_nested(a, b, [0x5000 + c % 16, 0], ROOM),
            25 => _ = iommufd.invalidate(a, &[[c, u64::from(b)], [0x30, 0]], ROOM),
            26 => self.queues.extend(iommufd.alloc_veventq(a, b)),
            _ => _ = iommufd.destroy(a),
        }
    }

    fn close(mut self) {
        self.devices.into_iter().flatten().for_each(|file| file.close().unwrap());
        self.iommufd.take().into_iter().for_each(|file| file.close().unwrap());
        self.queues.into_iter().for_each(|queue| queue.close().unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn everything_comes_back(
        wishes in prop::collection::vec((0u8..32, 0u32..9, 0u32..9, any::<u64>()), 1..400),
    ) {
        let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream));
        let desk = bench.desk();
        // Context descriptors are made with the first attach to a stage 1, and kept.
        let warm_up = Iommufd::open(&desk.process()).unwrap();
        let space = warm_up.alloc_ioas().unwrap();
        let files = [0, 1].map(|number| DeviceFile::open(&desk.process(), number).unwrap());
        for file in files {
            file.bind(&warm_up).unwrap();
            file.attach(space).unwrap();
        }
        files.into_iter().for_each(|file| file.close().unwrap());
        warm_up.close().unwrap();
        let before = bench.kernel.statistics().heap_free_bytes;

        let process = desk.process();
        let mut client =
            Client { process, iommufd: None, devices: [None; 2], queues: Vec::new() };
        wishes.into_iter().for_each(|wish| client.ask(wish));
        client.close();

        let statistics = bench.kernel.statistics();
        let smmu = &statistics.smmus[0];
        prop_assert_eq!((smmu.vmids_in_use, smmu.asids_in_use), (0, 0));
        prop_assert_eq!(statistics.heap_free_bytes, before);
        prop_assert_eq!(desk.memory.pinned_pages(), 0);
        for stream in [8, 0x108] {
            prop_assert_eq!(bench.ste(StreamId(stream)).config, StreamConfig::Abort);
        }
        prop_assert!(bench.kernel.log().is_empty(), "{:?}", bench.kernel.log());
        prop_assert!(bench.kernel.open(&desk.cpu, "/dev/vfio/1").is_ok());
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        request in 0x3b60u32..0x3b98,
        mut words in prop::collection::vec(prop_oneof![0u32..20, any::<u32>()], 1..24),
        size in 0u32..80,
        onto_device: bool,
    ) {
        let bench = Bench::booted(IdRegisters::REFERENCE, Options::new(Personality::Upstream));
        let desk = bench.desk();
        let process = desk.process();
        let iommufd = Iommufd::open(&process).unwrap();
        let file = DeviceFile::open(&process, 0).unwrap();
        let device = file.bind(&iommufd).unwrap();
        let space = iommufd.alloc_ioas().unwrap();
        iommufd.map(space, PAGE, USER, PAGE).unwrap();
        let parent = iommufd.alloc_hwpt(device, space, 1).unwrap();
        let viommu = iommufd.alloc_viommu(device, parent).unwrap();
        iommufd.alloc_vdevice(viommu, device, 1).unwrap();
        words[0] = size;
        desk.memory.write(ROOM, &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>()).unwrap();
        let fd = if onto_device { file.fd() } else { iommufd.fd() };
        let _ = process.ioctl(fd, request, ROOM);
        let _ = file.close();
        let _ = iommufd.close();
    }
}
