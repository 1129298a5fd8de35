//! Two virtual machines with stage 1 of their own over the emulated SMMU: iommufd, vIOMMUs and the
//! commands that guests send.
//!
//! Both guests use the same addresses, the same ASID and the same name for their device. What tells
//! them apart is the VMID that the kernel put under each.

use smmu_arch::{
    Asid, AtcInv, Cd, Command, Event, EventKind, Iova, Path, SmmuId, Stage, Ste, StreamConfig,
    StreamId, TlbiVmidAsid, Vmid,
};
use smmu_check::Blame;
use smmu_kernel::client::Process;
use smmu_kernel::client::iommufd::{DeviceFile, EventQueue, Iommufd};
use smmu_kernel::iommufd_uapi::ALLOC_NEST_PARENT;
use smmu_kernel::{Errno, FaultSwitch, Faults, Notice, Options, Personality};
use smmu_machine::Order;
use smmulator_tests::testbed::{Testbed, USER, Use};

const MACHINE: &str = "
    preset = 'reference'
    [[memory]]
    base = 0x8000_0000
    bytes = '1GiB'
    [[smmu]]
    name = 'smmu'
    [[device]]
    name = 'nic0'
    smmu = 'smmu'
    streams = [1]
    group = 0
    [[device]]
    name = 'nic1'
    smmu = 'smmu'
    streams = [2]
    group = 1
";
const DEVICES: [&str; 2] = ["nic0", "nic1"];
/// Guest-physical memory: 6 MiB from here on. Structures stand in the first 2 MiB.
const GUEST: u64 = 0x4000_0000;
const GUEST_BYTES: u64 = 6 << 20;
const CD: u64 = 0x1000;
const TABLE: u64 = 0x2000;
/// The process's own arrays, behind what the guest uses.
const ROOM: u64 = 0x10_0000;
/// The two blocks that a guest may map its address to.
const BLOCKS: [u64; 2] = [2 << 20, 4 << 20];
const BLOCK_BYTES: u64 = 2 << 20;
const VA: u64 = 0x1234_0000;
const ASID: Asid = Asid(5);
/// The guests' name for their only device.
const VIRTUAL: u64 = 0x77;

/// What a virtual machine has open, and its vIOMMU.
#[derive(Clone, Copy, Debug)]
struct Vm {
    index: usize,
    iommufd: i32,
    device: i32,
    /// Descriptor and number of the event queue.
    queue: (i32, u32),
    ioas: u32,
    viommu: u32,
}

/// Where the process has the memory of a guest.
const fn memory_of(index: usize) -> u64 {
    USER + index as u64 * (8 << 20)
}

/// A guest's context descriptor: 30 bits of input, blocks of 2 MiB, its own ASID.
fn context(table: u64) -> [u64; 8] {
    Cd { aset: true, ..Cd::lower_half(30, GUEST + table, ASID) }.encode()
}

/// A guest writes its own memory.
fn store(process: &Process<'_>, index: usize, offset: u64, words: &[u64]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    process.memory.write(memory_of(index) + offset, &bytes).expect("memory of the guest");
}

/// A guest maps its address to a block: not global, Access flag set, for all.
fn map_in_guest(process: &Process<'_>, index: usize, block: u64) {
    map_in(process, index, TABLE, block);
}

fn map_in(process: &Process<'_>, index: usize, table: u64, block: u64) {
    let descriptor = (GUEST + block) | 1 << 11 | 1 << 10 | 1 << 6 | 1;
    store(process, index, table + 8 * (VA / BLOCK_BYTES), &[descriptor]);
}

/// Words 0 and 1 of a guest's STE.
fn guest_entry(cd: u64) -> [u64; 2] {
    let ste = Ste {
        valid: true,
        config: StreamConfig::Stage1,
        s1_context_ptr: GUEST + cd,
        ..Ste::default()
    };
    let [first, second, ..] = ste.encode();
    [first, second]
}

/// Starts a virtual machine whose guest has turned its SMMU on.
fn start(process: &Process<'_>, index: usize) -> Result<Vm, Errno> {
    store(process, index, CD, &context(TABLE));
    map_in_guest(process, index, BLOCKS[0]);
    let iommufd = Iommufd::open(process)?;
    let device = DeviceFile::open(process, index)?;
    let id = device.bind(&iommufd)?;
    let ioas = iommufd.alloc_ioas()?;
    iommufd.map(ioas, GUEST, memory_of(index), GUEST_BYTES)?;
    let parent = iommufd.alloc_hwpt(id, ioas, ALLOC_NEST_PARENT)?;
    let viommu = iommufd.alloc_viommu(id, parent)?;
    let queue = iommufd.alloc_veventq(viommu, 16)?;
    iommufd.alloc_vdevice(viommu, id, VIRTUAL)?;
    let room = memory_of(index) + ROOM;
    device.attach(iommufd.alloc_nested(id, viommu, guest_entry(CD), room)?)?;
    let (iommufd, device, queue) = (iommufd.fd(), device.fd(), (queue.fd(), queue.id()));
    Ok(Vm { index, iommufd, device, queue, ioas, viommu })
}

fn machine(faults: Faults, order: Order) -> (Testbed, [Vm; 2]) {
    let options = Options { faults, ..Options::new(Personality::Upstream) };
    let mut testbed = Testbed::new(MACHINE, options, order);
    let vms = [0, 1].map(|index| {
        testbed.call(move |process| start(process, index)).expect("a virtual machine")
    });
    (testbed, vms)
}

/// One DMA of a guest's device to `VA`: where it went, or `None` if it was refused.
fn dma(testbed: &mut Testbed, index: usize) -> Option<Use> {
    testbed.take_uses();
    let summary = testbed.dma(DEVICES[index], VA, 8);
    assert_eq!(summary.transactions, 1);
    testbed.take_uses().pop()
}

/// Whether the same needed a walk.
fn walks(testbed: &mut Testbed, index: usize) -> Option<bool> {
    dma(testbed, index).map(|used| used.path == Path::Walk)
}

/// The physical address of a guest's block, with the offset of `VA` in it.
fn place(testbed: &mut Testbed, index: usize, block: u64) -> u64 {
    let runs = testbed.call(move |process| {
        let address = memory_of(index) + block + VA % BLOCK_BYTES;
        let runs = process.memory.pin(address, 8).expect("memory of the guest");
        runs.iter().for_each(|run| process.memory.unpin(run));
        runs
    });
    runs[0].pa.0
}

/// A guest sends commands of its own queue.
fn send(testbed: &mut Testbed, vm: Vm, commands: Vec<Command>) -> (u32, Result<(), Errno>) {
    testbed.call(move |process| {
        let words: Vec<_> = commands.iter().map(Command::encode).collect();
        let iommufd = Iommufd::from_fd(process, vm.iommufd);
        iommufd.invalidate(vm.viommu, &words, memory_of(vm.index) + ROOM)
    })
}

fn forget_asid(vmid: u16) -> Vec<Command> {
    vec![Command::TlbiNhAsid(TlbiVmidAsid { vmid: Vmid(vmid), asid: ASID })]
}

#[test]
fn equal_addresses_and_asids_of_two_guests_are_told_apart() {
    let (mut testbed, _) = machine(Faults::NONE, Order::Direct);
    let mut vmids = Vec::new();
    for index in [0, 1] {
        let expected = place(&mut testbed, index, BLOCKS[0]);
        for walks in [true, false] {
            let used = dma(&mut testbed, index).expect("a mapped address");
            assert_eq!((used.output.0, used.path == Path::Walk), (expected, walks));
            vmids.push(used.space.expect("a translation").vmid);
        }
    }
    assert_eq!(vmids, [Vmid(1), Vmid(1), Vmid(2), Vmid(2)]);
    assert_eq!(testbed.verdicts(), []);
}

#[test]
fn a_guest_forgets_its_own_entries_and_nobody_elses() {
    let (mut testbed, [first, _]) = machine(Faults::NONE, Order::Direct);
    let [old, new] = BLOCKS.map(|block| place(&mut testbed, 0, block));
    for index in [0, 1] {
        dma(&mut testbed, index).expect("a mapped address");
    }
    testbed.call(|process| map_in_guest(process, 0, BLOCKS[1]));
    // Without a TLBI the old translation may be used, and is.
    assert_eq!(dma(&mut testbed, 0).map(|used| used.output.0), Some(old));
    // The guest names the VMID of the other; its own is meant.
    assert_eq!(send(&mut testbed, first, forget_asid(2)), (1, Ok(())));
    assert_eq!(dma(&mut testbed, 0).map(|used| used.output.0), Some(new));
    assert_eq!(walks(&mut testbed, 1), Some(false));
    // Everything of EL1 is everything of one guest.
    assert_eq!(send(&mut testbed, first, vec![Command::TlbiNsnhAll]), (1, Ok(())));
    assert_eq!([0, 1].map(|index| walks(&mut testbed, index)), [Some(true), Some(false)]);
    assert_eq!(testbed.verdicts(), []);
}

/// An SMMU without ATS refuses the guest's ATC invalidation. The host skips it, and what stands
/// behind it in the queue, the guest's or another's, takes effect.
#[test]
fn a_command_that_the_smmu_refuses_holds_nobody_up() {
    let (mut testbed, [first, _]) = machine(Faults::NONE, Order::Direct);
    let new = place(&mut testbed, 0, BLOCKS[1]);
    dma(&mut testbed, 0).expect("a mapped address");
    testbed.call(|process| map_in_guest(process, 0, BLOCKS[1]));
    let mut commands = vec![Command::AtcInv(AtcInv {
        stream: StreamId(VIRTUAL as u32),
        substream: None,
        global: false,
        size_log2: 52,
        address: Iova(0),
    })];
    commands.extend(forget_asid(0));
    assert_eq!(send(&mut testbed, first, commands), (2, Ok(())));
    let log = testbed.kernel.log();
    assert!(matches!(log[0].notice, Notice::CommandSkipped { code: 1, .. }), "{log:?}");
    assert_eq!((log.len(), dma(&mut testbed, 0).map(|used| used.output.0)), (1, Some(new)));
    assert_eq!(testbed.verdicts(), []);
}

/// Linux 7.2 counts commands that it checked and did not send. A VMM that goes on behind them loses
/// a TLBI, and its guest uses what it has unmapped.
#[test]
fn a_vmm_that_trusts_the_count_loses_a_tlbi() {
    let (mut testbed, [first, _]) = machine(Faults::NONE, Order::Direct);
    let old = place(&mut testbed, 0, BLOCKS[0]);
    dma(&mut testbed, 0).expect("a mapped address");
    testbed.call(|process| map_in_guest(process, 0, BLOCKS[1]));
    let mut commands = forget_asid(0);
    commands.push(Command::TlbiEl2All); // not the guest's to send
    assert_eq!(send(&mut testbed, first, commands), (1, Err(Errno::EIO)));
    assert_eq!(dma(&mut testbed, 0).map(|used| used.output.0), Some(old));
}

fn unmap_below(testbed: &mut Testbed, vm: Vm) -> Option<Use> {
    dma(testbed, vm.index).expect("a mapped address");
    testbed
        .call(move |process| {
            Iommufd::from_fd(process, vm.iommufd).unmap(vm.ioas, GUEST, GUEST_BYTES)
        })
        .expect("the memory of the guest");
    dma(testbed, vm.index)
}

#[test]
fn an_unmap_below_the_guest_ends_its_dma_in_every_order() {
    for order in std::iter::once(Order::Direct).chain((0..20).map(Order::Seeded)) {
        let (mut testbed, [first, _]) = machine(Faults::NONE, order);
        assert_eq!(unmap_below(&mut testbed, first), None, "{order:?}");
        assert!(dma(&mut testbed, 1).is_some(), "{order:?}");
        assert_eq!(testbed.verdicts(), [], "{order:?}");
        // Stage 2 is the host's business, and the guest hears nothing.
        let events = host_events(&mut testbed);
        assert!(!events.is_empty() && events.iter().all(|event| event.stream == StreamId(1)));
        assert_eq!(guest_event(&mut testbed, first), None);
    }
}

#[test]
fn without_the_second_tlbi_what_both_stages_made_outlives_the_unmap() {
    let faults = Faults::NONE.with(FaultSwitch::SkipS1Clear);
    let (mut testbed, [first, _]) = machine(faults, Order::Direct);
    assert!(unmap_below(&mut testbed, first).is_some());
    let verdicts = testbed.verdicts();
    assert!(!verdicts.is_empty());
    assert!(verdicts.iter().all(|verdict| verdict.blame == Blame::Driver), "{verdicts:?}");
}

fn host_events(testbed: &mut Testbed) -> Vec<Event> {
    testbed.call(|process| process.kernel.service_events(process.cpu, SmmuId(0)))
}

fn guest_event(testbed: &mut Testbed, vm: Vm) -> Option<Event> {
    testbed.call(move |process| {
        let queue = EventQueue::from_fd(process, vm.queue.0, vm.queue.1);
        let record = queue.read(memory_of(vm.index) + ROOM).expect("room");
        record.map(|(_, event)| Event::decode(&event.expect("no lost event").evt).expect("one"))
    })
}

#[test]
fn a_fault_of_the_guests_stage_1_reaches_the_guest_under_its_own_names() {
    let (mut testbed, vms) = machine(Faults::NONE, Order::Direct);
    let unmapped = 0x3000_0000;
    assert_eq!(testbed.dma("nic1", unmapped, 8).refused, 1);
    assert_eq!(host_events(&mut testbed), []);
    assert_eq!(guest_event(&mut testbed, vms[0]), None);
    let event = guest_event(&mut testbed, vms[1]).expect("the fault");
    assert_eq!(event.stream, StreamId(VIRTUAL as u32));
    let EventKind::Translation(fault) = event.kind else { panic!("{event:?}") };
    assert_eq!((fault.stage, fault.input.0), (Stage::Stage1, unmapped));
    assert_eq!(testbed.verdicts(), []);
}

/// A VMM that dies under DMA: transactions abort, and the next one to get the VMID starts clean.
#[test]
fn the_next_user_of_a_vmid_finds_nothing_of_the_last() {
    for order in std::iter::once(Order::Direct).chain((0..20).map(Order::Seeded)) {
        let (mut testbed, [first, _]) = machine(Faults::NONE, order);
        let running = testbed.start_dma("nic0", VA, 8, 20);
        testbed.call(move |process| {
            for fd in [first.iommufd, first.queue.0, first.device] {
                process.close(fd).expect("an open descriptor");
            }
        });
        testbed.machine.wait(running).expect("an end");
        assert_eq!(dma(&mut testbed, 0), None, "{order:?}");
        let again = testbed.call(|process| start(process, 0)).expect("a virtual machine");
        let used = dma(&mut testbed, again.index).expect("a mapped address");
        let vmid = used.space.expect("a translation").vmid;
        assert_eq!((vmid, used.path), (Vmid(1), Path::Walk), "{order:?}");
        assert_eq!(testbed.verdicts(), [], "{order:?}");
    }
}

/// One guest with two SMMUs, each with a device, above one stage 2. Gives the devices' descriptors.
fn start_with_two_smmus(process: &Process<'_>) -> Result<[i32; 2], Errno> {
    let iommufd = Iommufd::open(process)?;
    let files = [0, 1].map(|index| DeviceFile::open(process, index).expect("a device"));
    let ids = files.map(|file| file.bind(&iommufd).expect("a device that is free"));
    let ioas = iommufd.alloc_ioas()?;
    iommufd.map(ioas, GUEST, memory_of(0), GUEST_BYTES)?;
    let parent = iommufd.alloc_hwpt(ids[0], ioas, ALLOC_NEST_PARENT)?;
    for (index, block) in BLOCKS.into_iter().enumerate() {
        let [cd, table] = [CD, TABLE].map(|place| place + 0x10_000 * index as u64);
        store(process, 0, cd, &context(table));
        map_in(process, 0, table, block);
        let viommu = iommufd.alloc_viommu(ids[index], parent)?;
        iommufd.alloc_vdevice(viommu, ids[index], VIRTUAL)?;
        let room = memory_of(0) + ROOM;
        files[index].attach(iommufd.alloc_nested(ids[index], viommu, guest_entry(cd), room)?)?;
    }
    Ok(files.map(|file| file.fd()))
}

fn two_smmus() -> (Testbed, [i32; 2]) {
    let mut testbed = Testbed::new(MACHINE, Options::new(Personality::Upstream), Order::Direct);
    let files = testbed.call(start_with_two_smmus).expect("a virtual machine");
    (testbed, files)
}

/// A defect of Linux 7.2: the vIOMMUs of one parent have one VMID, and a guest may well use one ASID
/// on each of its SMMUs for different address spaces.
#[test]
fn equal_asids_of_two_smmus_of_one_guest_are_confused() {
    let (mut testbed, _) = two_smmus();
    let [first, second] = BLOCKS.map(|block| place(&mut testbed, 0, block));
    assert_eq!(dma(&mut testbed, 0).map(|used| used.output.0), Some(first));
    // The second device has its own table, and is given the other's entry.
    let used = dma(&mut testbed, 1).expect("a mapped address");
    assert_ne!(used.output.0, second);
    assert_eq!((used.output.0, used.path == Path::Walk), (first, false));
}

#[test]
fn the_first_device_to_leave_takes_no_entries_of_the_second_with_it() {
    let (mut testbed, [first, second]) = two_smmus();
    dma(&mut testbed, 1).expect("a mapped address");
    testbed.call(move |process| process.close(first)).expect("an open descriptor");
    assert_eq!([0, 1].map(|index| walks(&mut testbed, index)), [None, Some(false)]);
    testbed.call(move |process| process.close(second)).expect("an open descriptor");
    let smmu = testbed.machine.smmu(0).expect("an SMMU");
    assert_eq!(smmu.tlb_entries().len(), 0, "the last one forgets everything of the VMID");
    assert_eq!(testbed.verdicts(), []);
}
