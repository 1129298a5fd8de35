//! Stage 2 parents, guests' SMMUs, and what they send and are told.

use super::platform::{
    Bench, Desk, EVENTQ_BASE, EVENTQ_PROD, USER, narrow_vmids, stage1_only, stage2_only,
    without_ranges,
};
use crate::client::iommufd::{DeviceFile, EventQueue, Iommufd};
use crate::iommufd_uapi::{
    self as api, HwQueueAlloc, HwptAlloc, HwptInvalidate, VeventqAlloc, ViommuAlloc,
};
use crate::{Errno, FaultSwitch, Faults, Options, Personality};
use smmu_arch::{
    Access, Direction, Event, EventKind, FaultClass, IdRegisters, Iova, Ipa, Pa, SmmuId, Stage,
    StageEvent, StreamConfig, StreamId, Vmid,
};
use smmu_bus::{Memory, UserMemory};
use zerocopy::IntoBytes;

const PAGE: u64 = 4096;
const ROOM: u64 = USER + 0x10_0000;
const STREAM: StreamId = StreamId(8);
/// By which the guest knows device 0.
const VIRTUAL: u64 = 0x21;
/// Guest entries: stage 1 with a context descriptor at 0x5000, bypass, abort.
const STAGE1: [u64; 2] = [0x5000 | 0b101 << 1 | 1, 0];
const BYPASS: [u64; 2] = [0b100 << 1 | 1, 0];
const INVALID: [u64; 2] = [0, 0];

fn bench(ids: IdRegisters) -> Bench {
    Bench::booted(ids, Options::new(Personality::Upstream))
}

/// A virtual machine with device 0: its objects, and all of them in order of their numbers.
struct Machine<'d> {
    iommufd: Iommufd<'d>,
    file: DeviceFile<'d>,
    device: u32,
    ioas: u32,
    parent: u32,
    viommu: u32,
}

fn machine<'d>(desk: &'d Desk<'_>, number: usize) -> Machine<'d> {
    let process = desk.process();
    let iommufd = Iommufd::open(&process).unwrap();
    let file = DeviceFile::open(&process, number).unwrap();
    let device = file.bind(&iommufd).unwrap();
    let ioas = iommufd.alloc_ioas().unwrap();
    let parent = iommufd.alloc_hwpt(device, ioas, api::ALLOC_NEST_PARENT).unwrap();
    let viommu = iommufd.alloc_viommu(device, parent).unwrap();
    Machine { iommufd, file, device, ioas, parent, viommu }
}

impl Machine<'_> {
    fn nested(&self, ste: [u64; 2]) -> Result<u32, Errno> {
        self.iommufd.alloc_nested(self.device, self.viommu, ste, ROOM)
    }

    fn send(&self, commands: &[[u64; 2]]) -> (u32, Result<(), Errno>) {
        self.iommufd.invalidate(self.viommu, commands, ROOM)
    }
}

#[test]
fn a_parent_takes_its_vmid_when_it_is_made() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let first = machine(&desk, 0);
    assert_eq!(desk.trace(), ["VMID 0x1 was assigned"]); // never 0, and before any attach
    let second = machine(&desk, 1);
    assert_eq!(desk.trace(), ["VMID 0x2 was assigned"]);
    second.iommufd.destroy(second.viommu).unwrap();
    second.iommufd.destroy(second.parent).unwrap();
    // No TLBI: nobody was attached.
    assert_eq!(desk.trace(), ["VMID 0x2 was freed"]);
    first.file.attach(first.parent).unwrap();
    assert_eq!((bench.ste(STREAM).config, bench.ste(STREAM).vmid), (StreamConfig::Stage2, Vmid(1)));
}

#[test]
fn vmids_run_out() {
    let bench = bench(narrow_vmids());
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let parent = || vm.iommufd.alloc_hwpt(vm.device, vm.ioas, api::ALLOC_NEST_PARENT);
    let parents: Vec<u32> = (1..255).map(|_| parent().unwrap()).collect();
    assert_eq!(parent(), Err(Errno::ENOSPC));
    let free = bench.kernel.statistics().heap_free_bytes;
    assert_eq!(parent(), Err(Errno::ENOSPC));
    assert_eq!(bench.kernel.statistics().heap_free_bytes, free); // its table went back
    vm.iommufd.destroy(parents[7]).unwrap();
    assert_eq!(parent(), Ok(parents[7]));
}

#[test]
fn what_is_made_of_a_device_and_an_object() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    desk.memory.write(ROOM, STAGE1.as_bytes()).unwrap();
    let alloc = |cmd: HwptAlloc| vm.iommufd.ioctl(api::HWPT_ALLOC, &mut cmd.clone());
    let paging = HwptAlloc { dev_id: vm.device, pt_id: vm.ioas, ..HwptAlloc::default() };
    assert_eq!(alloc(HwptAlloc { __reserved: 1, ..paging }), Err(Errno::EOPNOTSUPP));
    assert_eq!(alloc(HwptAlloc { data_len: 16, ..paging }), Err(Errno::EINVAL));
    assert_eq!(alloc(HwptAlloc { data_type: 2, ..paging }), Err(Errno::EINVAL));
    assert_eq!(alloc(HwptAlloc { dev_id: vm.ioas, ..paging }), Err(Errno::ENOENT));
    assert_eq!(alloc(HwptAlloc { pt_id: 99, ..paging }), Err(Errno::EINVAL));
    assert_eq!(alloc(HwptAlloc { pt_id: vm.device, ..paging }), Err(Errno::EINVAL));
    for flags in [2, 3, 4, 8, 9, 16] {
        assert_eq!(alloc(HwptAlloc { flags, ..paging }), Err(Errno::EOPNOTSUPP), "{flags}");
    }
    let nested = HwptAlloc {
        pt_id: vm.viommu,
        data_type: api::HWPT_DATA_ARM_SMMUV3,
        data_len: 16,
        data_uptr: ROOM,
        ..paging
    };
    assert_eq!(alloc(HwptAlloc { pt_id: vm.ioas, ..nested }), Err(Errno::EOPNOTSUPP));
    // A stage 1 directly above a parent: other SMMUs can, this driver wants a vIOMMU.
    assert_eq!(alloc(HwptAlloc { pt_id: vm.parent, ..nested }), Err(Errno::EOPNOTSUPP));
    assert_eq!(alloc(HwptAlloc { flags: 1, ..nested }), Err(Errno::EOPNOTSUPP));
    assert_eq!(alloc(HwptAlloc { data_type: 1, ..nested }), Err(Errno::EINVAL));
    assert_eq!(alloc(HwptAlloc { data_len: 15, ..nested }), Err(Errno::EINVAL));
    assert_eq!(alloc(HwptAlloc { data_uptr: 8, ..nested }), Err(Errno::EFAULT));
    assert_eq!(alloc(nested), Ok(()));
    desk.memory.write(ROOM + 16, &[1]).unwrap();
    assert_eq!(alloc(HwptAlloc { data_len: 24, ..nested }), Err(Errno::E2BIG));
    assert_eq!(vm.nested([STAGE1[0], 1 << 40]), Err(Errno::EIO)); // not the guest's field
}

#[test]
fn an_smmu_without_both_stages_has_no_parents() {
    for ids in [stage1_only(), stage2_only()] {
        let bench = bench(ids);
        let desk = bench.desk();
        let iommufd = Iommufd::open(&desk.process()).unwrap();
        let device = DeviceFile::open(&desk.process(), 0).unwrap().bind(&iommufd).unwrap();
        let ioas = iommufd.alloc_ioas().unwrap();
        let parent = iommufd.alloc_hwpt(device, ioas, api::ALLOC_NEST_PARENT);
        assert_eq!(parent, Err(Errno::EOPNOTSUPP));
        assert!(iommufd.alloc_hwpt(device, ioas, 0).is_ok());
    }
}

#[test]
fn viommus_and_vdevices() {
    let ids = [IdRegisters::REFERENCE; 2];
    let bench = Bench::new(&ids, &[0, 0, 1], Options::new(Personality::Upstream));
    let desk = bench.desk();
    desk.boot();
    let vm = machine(&desk, 0);
    let process = desk.process();
    let bind = |number| DeviceFile::open(&process, number).unwrap().bind(&vm.iommufd).unwrap();
    let (second, far) = (bind(1), bind(2));
    let plain = vm.iommufd.alloc_hwpt(vm.device, vm.ioas, 0).unwrap();
    let good =
        ViommuAlloc { type_: 1, dev_id: vm.device, hwpt_id: vm.parent, ..ViommuAlloc::default() };
    let viommu = |cmd: ViommuAlloc| vm.iommufd.ioctl(api::VIOMMU_ALLOC, &mut cmd.clone());
    assert_eq!(viommu(ViommuAlloc { flags: 1, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(viommu(ViommuAlloc { type_: 0, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(viommu(ViommuAlloc { dev_id: 99, ..good }), Err(Errno::ENOENT));
    assert_eq!(viommu(ViommuAlloc { type_: 2, ..good }), Err(Errno::EOPNOTSUPP)); // no CMDQV
    assert_eq!(viommu(ViommuAlloc { hwpt_id: vm.ioas, ..good }), Err(Errno::ENOENT));
    assert_eq!(viommu(ViommuAlloc { hwpt_id: plain, ..good }), Err(Errno::EINVAL));
    assert_eq!(viommu(ViommuAlloc { dev_id: far, ..good }), Err(Errno::EINVAL));

    let vdevice = |viommu, device, virt_id| vm.iommufd.alloc_vdevice(viommu, device, virt_id);
    assert_eq!(vdevice(99, vm.device, VIRTUAL), Err(Errno::ENOENT));
    assert_eq!(vdevice(vm.viommu, 99, VIRTUAL), Err(Errno::ENOENT));
    assert_eq!(vdevice(vm.viommu, far, VIRTUAL), Err(Errno::EINVAL));
    let first = vdevice(vm.viommu, vm.device, VIRTUAL).unwrap();
    assert_eq!(vdevice(vm.viommu, vm.device, VIRTUAL + 1), Err(Errno::EEXIST));
    assert_eq!(vdevice(vm.viommu, second, VIRTUAL), Err(Errno::EEXIST));
    assert!(vdevice(vm.viommu, second, VIRTUAL + 1).is_ok());
    assert_eq!(vm.iommufd.destroy(vm.viommu), Err(Errno::EBUSY));
    vm.iommufd.destroy(first).unwrap();
    assert!(vdevice(vm.viommu, vm.device, VIRTUAL).is_ok());

    let mut queue = HwQueueAlloc { viommu_id: vm.viommu, type_: 1, ..HwQueueAlloc::default() };
    assert_eq!(vm.iommufd.ioctl(api::HW_QUEUE_ALLOC, &mut queue), Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_guests_entry_stands_over_the_parents_stage_2() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let [translate, bypass, invalid] = [STAGE1, BYPASS, INVALID].map(|ste| vm.nested(ste).unwrap());
    assert_eq!(vm.file.attach(translate), Err(Errno::ENOENT)); // the guest has no name for it
    assert_eq!(vm.file.attach(invalid), Ok(invalid));
    assert_eq!(bench.ste(STREAM).config, StreamConfig::Abort);
    assert_eq!(vm.file.attach(bypass), Ok(bypass));
    let stage2 = bench.ste(STREAM);
    assert_eq!((stage2.config, stage2.vmid), (StreamConfig::Stage2, Vmid(1)));
    vm.iommufd.alloc_vdevice(vm.viommu, vm.device, VIRTUAL).unwrap();
    desk.trace();
    assert_eq!(vm.file.attach(translate), Ok(translate));
    let nested = bench.ste(STREAM);
    assert_eq!((nested.config, nested.vmid), (StreamConfig::Nested, Vmid(1)));
    assert_eq!((nested.s1_context_ptr, nested.s2_ttb), (0x5000, stage2.s2_ttb));
    assert!(nested.mev);
    // From one entry to another of the same VMID: nothing of it is forgotten.
    assert!(!desk.trace().iter().any(|line| line.contains("TLBI")));
    vm.file.detach().unwrap();
    assert!(desk.trace().contains(&"CMD_TLBI_S12_VMALL vmid=0x1".into()));
    assert_eq!(bench.ste(STREAM).config, StreamConfig::Abort);
}

/// A move that fails leaves the device where it was.
#[test]
fn without_memory_a_device_stays_at_its_page_table() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let stage1 = vm.iommufd.alloc_hwpt(vm.device, vm.ioas, 0).unwrap();
    vm.file.attach(vm.parent).unwrap();
    bench.exhaust_heap();
    desk.trace();
    assert_eq!(vm.file.attach(stage1), Err(Errno::ENOMEM)); // no context descriptor
    assert_eq!(desk.trace(), [""; 0]);
    assert_eq!((bench.ste(STREAM).config, bench.ste(STREAM).vmid), (StreamConfig::Stage2, Vmid(1)));
    assert_eq!(vm.iommufd.destroy(stage1), Ok(()));
    vm.file.detach().unwrap();
    assert!(desk.trace().contains(&"CMD_TLBI_S12_VMALL vmid=0x1".into()));
}

/// Commands of the driver, with their arguments.
fn commands(trace: &[String]) -> Vec<&str> {
    trace.iter().map(String::as_str).filter(|line| line.starts_with("CMD_")).collect()
}

#[test]
fn an_unmap_below_a_guests_stage_1_forgets_what_both_made() {
    let clear = "CMD_TLBI_NH_ALL vmid=0x1";
    let unmapped = |ids, faults, pages| {
        let bench = Bench::booted(ids, Options { faults, ..Options::new(Personality::Upstream) });
        let desk = bench.desk();
        let vm = machine(&desk, 0);
        vm.iommufd.map(vm.ioas, 0, USER, pages * PAGE).unwrap();
        desk.trace();
        // Nobody is attached: nothing can be cached.
        vm.iommufd.unmap(vm.ioas, 0, pages * PAGE).unwrap();
        assert_eq!(commands(&desk.trace()), [""; 0]);
        vm.file.attach(vm.parent).unwrap();
        vm.iommufd.map(vm.ioas, 0, USER, pages * PAGE).unwrap();
        desk.trace();
        vm.iommufd.unmap(vm.ioas, 0, pages * PAGE).unwrap();
        let trace = desk.trace();
        commands(&trace).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let reference = IdRegisters::REFERENCE;
    let trace = unmapped(reference, Faults::NONE, 1);
    assert!(trace[0].starts_with("CMD_TLBI_S2_IPA vmid=0x1"), "{trace:?}");
    assert!(trace[1].starts_with("CMD_SYNC") && trace[3].starts_with("CMD_SYNC"), "{trace:?}");
    assert_eq!((trace.len(), trace[2].as_str()), (4, clear));
    let faulty = unmapped(reference, Faults::NONE.with(FaultSwitch::SkipS1Clear), 1);
    assert_eq!((faulty.len(), faulty.contains(&clear.into())), (2, false));
    // What is too much for commands by address takes everything, and that needs no second.
    let trace = unmapped(without_ranges(), Faults::NONE, 511 + 512);
    assert_eq!(trace[0], "CMD_TLBI_S12_VMALL vmid=0x1");
    assert_eq!(trace.len(), 2);
}

#[test]
fn a_guests_commands_reach_its_own_vmid_and_streams_alone() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let _other = machine(&desk, 1); // takes VMID 1
    let vm = machine(&desk, 0);
    vm.iommufd.alloc_vdevice(vm.viommu, vm.device, VIRTUAL).unwrap();
    desk.trace();
    let commands_sent = [
        [0x30, 0],                     // everything of EL1
        [0x11 | 1 << 32 | 7 << 48, 0], // ASID 7 of VMID 1, which is another's
        [0x06 | VIRTUAL << 32, 0],     // the CDs of its stream
    ];
    assert_eq!(vm.send(&commands_sent), (3, Ok(())));
    let trace = desk.trace();
    assert_eq!(
        commands(&trace)[..3],
        [
            "CMD_TLBI_NH_ALL vmid=0x2",
            "CMD_TLBI_NH_ASID vmid=0x2 asid=0x7",
            "CMD_CFGI_CD_ALL stream=0x8",
        ]
    );
    assert!(commands(&trace)[3].starts_with("CMD_SYNC"));
}

#[test]
fn blocks_of_63_have_one_sync_each() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    desk.trace();
    assert_eq!(vm.send(&[[0x10, 0]; 130]), (130, Ok(())));
    let trace = desk.trace();
    let syncs: Vec<_> = (0..trace.len()).filter(|&at| trace[at].starts_with("CMD_SYNC")).collect();
    assert_eq!(syncs, [63, 127, 132]);
}

#[test]
fn invalidation_checks() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let nested = vm.nested(STAGE1).unwrap();
    desk.memory.write(ROOM, [0x10u64, 0, 1, 0].as_bytes()).unwrap();
    let good = HwptInvalidate {
        hwpt_id: vm.viommu,
        data_uptr: ROOM,
        data_type: api::INVALIDATE_DATA_ARM_SMMUV3,
        entry_len: 16,
        entry_num: 1,
        ..HwptInvalidate::default()
    };
    let send = |cmd: HwptInvalidate| {
        let mut cmd = cmd;
        let result = vm.iommufd.ioctl(api::HWPT_INVALIDATE, &mut cmd);
        (cmd.entry_num, result)
    };
    let refused = |errno| (0, Err(errno));
    assert_eq!(send(HwptInvalidate { __reserved: 1, ..good }), (1, Err(Errno::EOPNOTSUPP)));
    for entry_num in [0, (1 << 19) + 1] {
        assert_eq!(send(HwptInvalidate { entry_num, ..good }), refused(Errno::EINVAL));
    }
    for entry_len in [0, 4097] {
        assert_eq!(send(HwptInvalidate { entry_len, ..good }), refused(Errno::EINVAL));
    }
    assert_eq!(send(HwptInvalidate { data_uptr: 0, ..good }), refused(Errno::EINVAL));
    assert_eq!(send(HwptInvalidate { hwpt_id: 99, ..good }), refused(Errno::ENOENT));
    assert_eq!(send(HwptInvalidate { hwpt_id: nested, ..good }), refused(Errno::EOPNOTSUPP));
    assert_eq!(send(HwptInvalidate { hwpt_id: vm.parent, ..good }), refused(Errno::EINVAL));
    assert_eq!(send(HwptInvalidate { data_type: 0, ..good }), refused(Errno::EINVAL));
    assert_eq!(send(HwptInvalidate { data_uptr: 8, ..good }), refused(Errno::EFAULT));
    assert_eq!(send(HwptInvalidate { entry_len: 24, ..good }), refused(Errno::E2BIG));
    assert_eq!(send(good), (1, Ok(())));
    // Of a short entry the rest is zero.
    assert_eq!(send(HwptInvalidate { entry_len: 8, ..good }), (1, Ok(())));
}

/// As Linux 7.2: the count says what was looked at, and the last block was not sent.
#[test]
fn the_count_of_a_refused_call_is_higher_than_what_was_sent() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let stranger = [0x05 | 0x99 << 32, 0]; // CFGI_CD of a stream that the guest has not
    desk.trace();
    assert_eq!(vm.send(&[[0x30, 0], [0x10, 0], stranger]), (2, Err(Errno::EIO)));
    assert_eq!(desk.trace(), [""; 0]);
    let mut long = vec![[0x10, 0]; 70];
    long.push(stranger);
    assert_eq!(vm.send(&long), (70, Err(Errno::EIO)));
    let trace = desk.trace();
    assert_eq!(commands(&trace).len(), 64); // 63 and their CMD_SYNC
    // STE invalidations, stage 2 and CMD_SYNC are not the guest's.
    for opcode in [0x03, 0x04, 0x28, 0x2a, 0x46, 0x20] {
        assert_eq!(vm.send(&[[opcode, 0]]), (0, Err(Errno::EIO)), "{opcode:#x}");
    }
}

/// Two guests' SMMUs above one parent share its VMID, so their equal ASIDs cannot be told apart.
#[test]
fn two_viommus_of_one_parent_share_its_vmid() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let twin = vm.iommufd.alloc_viommu(vm.device, vm.parent).unwrap();
    desk.trace();
    for viommu in [vm.viommu, twin] {
        assert_eq!(vm.iommufd.invalidate(viommu, &[[0x11 | 5 << 48, 0]], ROOM), (1, Ok(())));
        let trace = desk.trace();
        assert_eq!(commands(&trace)[0], "CMD_TLBI_NH_ASID vmid=0x1 asid=0x5");
    }
}

fn fault(stream: StreamId, stage: Stage, input: u64) -> Event {
    let access = Access::data(Direction::Read);
    let fault = StageEvent {
        stag: 0,
        stall: false,
        access,
        ns_ipa: false,
        stage,
        class: FaultClass::In,
        descriptor_write: false,
        input: Iova(input),
        ipa: Ipa(0),
    };
    Event { stream, substream: None, kind: EventKind::Translation(fault) }
}

/// Puts events into the SMMU's queue behind `before` others; gives what the host keeps.
fn happen(bench: &Bench, before: u64, events: &[Event]) -> Vec<Event> {
    let frame = &bench.platform.frames[0];
    let base = frame.word(EVENTQ_BASE) & 0x00ff_ffff_ffff_ffe0;
    for (index, event) in events.iter().enumerate() {
        let record = Pa(base + (before + index as u64) * 32);
        bench.platform.memory.ram.write_words(record, &event.encode()).unwrap();
    }
    frame.set(EVENTQ_PROD, before + events.len() as u64);
    bench.kernel.service_events(&bench.desk().cpu, SmmuId(0))
}

#[test]
fn events_of_the_guests_stage_1_are_the_guests() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let queue = vm.iommufd.alloc_veventq(vm.viommu, 8).unwrap();
    vm.iommufd.alloc_vdevice(vm.viommu, vm.device, VIRTUAL).unwrap();
    let mine = fault(STREAM, Stage::Stage1, 0x7000);
    assert_eq!(happen(&bench, 0, &[mine]), [mine]); // not attached yet
    vm.file.attach(vm.nested(STAGE1).unwrap()).unwrap();
    let bad_cd = Event { stream: STREAM, substream: None, kind: EventKind::BadCd };
    let below = fault(STREAM, Stage::Stage2, 0x8000);
    let strange = fault(StreamId(0x108), Stage::Stage1, 0x9000);
    assert_eq!(happen(&bench, 1, &[mine, below, bad_cd, strange]), [below, strange]);
    let read = || queue.read(ROOM).unwrap().map(|(header, event)| (header.sequence, event));
    for (sequence, event) in [(0, mine), (1, bad_cd)] {
        let (number, record) = read().unwrap();
        let told = Event::decode(&record.unwrap().evt).unwrap();
        assert_eq!((number, told), (sequence, Event { stream: StreamId(VIRTUAL as u32), ..event }));
    }
    assert_eq!(read(), None);
}

#[test]
fn a_full_queue_says_that_events_were_lost() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let queue = vm.iommufd.alloc_veventq(vm.viommu, 2).unwrap();
    vm.iommufd.alloc_vdevice(vm.viommu, vm.device, VIRTUAL).unwrap();
    vm.file.attach(vm.nested(STAGE1).unwrap()).unwrap();
    let event = fault(STREAM, Stage::Stage1, 0x7000);
    assert_eq!(happen(&bench, 0, &[event; 4]), []);
    let read = |queue: &EventQueue<'_>| {
        let record = queue.read(ROOM).unwrap();
        record.map(|(header, event)| (header.flags, header.sequence, event.is_some()))
    };
    let process = desk.process();
    let whole = |bytes| process.kernel.read(process.cpu, process.memory, queue.fd(), ROOM, bytes);
    assert_eq!(whole(39), Ok(0)); // a record is never cut
    assert_eq!(read(&queue), Some((0, 0, true)));
    assert_eq!(read(&queue), Some((0, 1, true)));
    let readable = || process.kernel.is_readable(process.cpu, process.memory, queue.fd());
    assert_eq!((readable(), whole(7)), (Ok(true), Ok(0)));
    assert_eq!(read(&queue), Some((api::VEVENTQ_FLAG_LOST_EVENTS, 3, false)));
    assert_eq!((readable(), read(&queue)), (Ok(false), None));
    assert_eq!(happen(&bench, 4, &[event; 2]), []);
    assert_eq!(whole(200), Ok(80)); // both at once
    assert_eq!(process.kernel.read(process.cpu, process.memory, 99, ROOM, 40), Err(Errno::EBADF));
    let other = process.kernel.read(process.cpu, process.memory, vm.iommufd.fd(), ROOM, 40);
    assert_eq!(other, Err(Errno::EINVAL));
}

#[test]
fn event_queue_checks() {
    let bench = bench(IdRegisters::REFERENCE);
    let desk = bench.desk();
    let vm = machine(&desk, 0);
    let good = VeventqAlloc {
        viommu_id: vm.viommu,
        type_: api::VEVENTQ_TYPE_ARM_SMMUV3,
        veventq_depth: 1,
        ..VeventqAlloc::default()
    };
    let alloc = |cmd: VeventqAlloc| vm.iommufd.ioctl(api::VEVENTQ_ALLOC, &mut cmd.clone());
    assert_eq!(alloc(VeventqAlloc { flags: 1, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(alloc(VeventqAlloc { __reserved: 1, ..good }), Err(Errno::EOPNOTSUPP));
    assert_eq!(alloc(VeventqAlloc { type_: 0, ..good }), Err(Errno::EOPNOTSUPP));
    for veventq_depth in [0, (1 << 19) + 1] {
        assert_eq!(alloc(VeventqAlloc { veventq_depth, ..good }), Err(Errno::EINVAL));
    }
    assert_eq!(alloc(VeventqAlloc { viommu_id: vm.parent, ..good }), Err(Errno::ENOENT));
    let queue = vm.iommufd.alloc_veventq(vm.viommu, 1).unwrap();
    assert_eq!(alloc(good), Err(Errno::EEXIST));
    assert_eq!(vm.iommufd.destroy(vm.viommu), Err(Errno::EBUSY));
    assert_eq!(vm.iommufd.destroy(queue.id()), Err(Errno::EBUSY)); // its descriptor is open
    queue.close().unwrap();
    assert_eq!(vm.iommufd.destroy(queue.id()), Ok(()));
    assert_eq!(vm.iommufd.destroy(vm.viommu), Ok(()));
}
