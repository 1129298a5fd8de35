//! What the driver stores, sends and promises, and in which order.

use super::platform::{Bench, CMDQ_CONS, Desk, EVENTQ_BASE, EVENTQ_PROD, USER, USER_PA};
use super::platform::{stage2_only, without_ranges};
use crate::client::{Container, Group, IommuType};
use crate::{FaultSwitch, Faults, Notice, Options, Personality};
use smmu_arch::{Event, EventKind, IdRegisters, Pa, SmmuId, StreamConfig, StreamId, Vmid};
use smmu_bus::Memory;

fn options(personality: Personality) -> Options {
    Options::new(personality)
}

/// A container with `nic0`, ready to map.
fn ready<'d>(desk: &'d Desk<'_>, kind: IommuType) -> (Container<'d>, Group<'d>) {
    let process = desk.process();
    let container = Container::open(&process).unwrap();
    let group = Group::open(&process, 1).unwrap();
    group.set_container(&container).unwrap();
    container.set_iommu(kind).unwrap();
    (container, group)
}

/// Commands by name, without arguments and promises.
fn commands(trace: &[String]) -> Vec<&str> {
    let first = |line: &'_ str| line.starts_with("CMD_");
    trace.iter().filter(|line| first(line)).map(|l| l.split(' ').next().unwrap()).collect()
}

#[test]
fn attach_prepares_the_entry_and_then_makes_it_count() {
    let bench = Bench::booted(IdRegisters::REFERENCE, options(Personality::RfcFixed));
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Nesting);
    let forget = "CMD_CFGI_STE stream=0x8 leaf";
    assert_eq!(
        desk.trace(),
        [
            "VMID 0x1 was assigned",
            forget, // fields that an aborting entry ignores
            "CMD_SYNC cs=none",
            forget, // the word with Config
            "CMD_SYNC cs=none",
        ]
    );
    let ste = bench.ste(StreamId(8));
    assert_eq!((ste.config, ste.vmid), (StreamConfig::Stage2, Vmid(1)));
    assert_eq!(container.view().unwrap().domains[0].vmid, Some(Vmid(1)));
    assert_eq!(bench.kernel.statistics().smmus[0].ste_breaks, 0);
}

#[test]
fn upstream_containers_are_stage_1_with_an_asid() {
    let bench = Bench::booted(IdRegisters::REFERENCE, options(Personality::Upstream));
    let desk = bench.desk();
    let (container, group) = ready(&desk, IommuType::Type1v2);
    assert_eq!(
        commands(&desk.trace()),
        [
            "CMD_CFGI_CD",
            "CMD_SYNC",
            "CMD_CFGI_CD",
            "CMD_SYNC", // the CD, invalid at first
            "CMD_CFGI_STE",
            "CMD_SYNC",
            "CMD_CFGI_STE",
            "CMD_SYNC",
        ]
    );
    let domain = &container.view().unwrap().domains[0];
    assert_eq!((domain.vmid, domain.asid.unwrap().0), (None, 1));
    group.unset_container().unwrap();
    let trace = desk.trace();
    let tail: Vec<_> = trace[trace.len() - 5..].iter().map(String::as_str).collect();
    assert_eq!(
        tail,
        [
            "CMD_SYNC cs=none",
            "CMD_TLBI_NH_ASID vmid=0x0 asid=0x1",
            "CMD_SYNC cs=none",
            "stream 0x8 was detached",
            "ASID 0x1 was freed",
        ]
    );
}

#[test]
fn unmap_is_promised_after_its_sync_and_pages_go_back_last() {
    let bench = Bench::booted(IdRegisters::REFERENCE, options(Personality::RfcFixed));
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Nesting);
    desk.trace();
    container.map_dma(0x10_0000, USER, 0x2000).unwrap();
    assert_eq!(
        desk.trace(),
        [format!("0x2000 bytes at PA {USER_PA} were lent to an address space")]
    );
    assert_eq!(container.unmap_dma(0x10_0000, 0x2000), Ok(0x2000));
    assert_eq!(
        desk.trace(),
        [
            "CMD_TLBI_S2_IPA vmid=0x1 ipa=0x100000 tg=4K num=0 scale=1 ttl=3 leaf".to_owned(),
            "CMD_SYNC cs=none".to_owned(),
            "unmap of stage 2 0x100000..=0x101fff returned (VMID 0x1)".to_owned(),
            format!("0x2000 bytes at PA {USER_PA} went back to their owner"),
        ]
    );
    assert_eq!(desk.memory.pinned_pages(), 0);
}

#[test]
fn the_last_device_flushes_its_vmid_before_it_is_freed() {
    let bench = Bench::booted(stage2_only(), options(Personality::Upstream));
    let desk = bench.desk();
    let (container, group) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0, USER, 0x1000).unwrap();
    desk.trace();
    group.unset_container().unwrap();
    let trace = desk.trace();
    assert_eq!(
        trace,
        [
            "CMD_CFGI_STE stream=0x8 leaf".to_owned(),
            "CMD_SYNC cs=none".to_owned(),
            "CMD_CFGI_STE stream=0x8 leaf".to_owned(), // fields that are ignored now
            "CMD_SYNC cs=none".to_owned(),
            "CMD_TLBI_S12_VMALL vmid=0x1".to_owned(),
            "CMD_SYNC cs=none".to_owned(),
            "stream 0x8 was detached".to_owned(),
            // The number is clean, so that the mapping goes without a TLBI.
            "unmap of stage 2 0x0..=0xfff returned (VMID 0x1)".to_owned(),
            format!("0x1000 bytes at PA {USER_PA} went back to their owner"),
            "VMID 0x1 was freed".to_owned(),
        ]
    );
}

#[test]
fn a_page_mapped_twice_goes_back_once() {
    let bench = Bench::booted(IdRegisters::REFERENCE, options(Personality::Upstream));
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0, USER, 0x1000).unwrap();
    container.map_dma(0x1000, USER, 0x1000).unwrap();
    let moved = |trace: Vec<String>| trace.iter().filter(|l| l.contains("bytes at PA")).count();
    assert_eq!(moved(desk.trace()), 1);
    container.unmap_dma(0, 0x1000).unwrap();
    assert_eq!(moved(desk.trace()), 0);
    container.unmap_dma(0x1000, 0x1000).unwrap();
    assert_eq!(moved(desk.trace()), 1);
}

/// Published counts: without range commands an unmap of 511 pages takes 511 TLBIs, one of 512 takes
/// one of the whole ASID; older kernels send 8192 for 32 MiB.
#[test]
fn many_tlbis_become_one_where_the_limit_holds() {
    let tlbis = |limit, bytes: u64, user: u64| {
        let options = Options { tlbi_limit: limit, ..options(Personality::Upstream) };
        let bench = Bench::booted(without_ranges(), options);
        let desk = bench.desk();
        let (container, _) = ready(&desk, IommuType::Type1v2);
        container.map_dma(0x1000_0000, user, bytes).unwrap();
        desk.trace();
        container.unmap_dma(0x1000_0000, bytes).unwrap();
        let trace = desk.trace();
        commands(&trace).into_iter().filter(|name| name.starts_with("CMD_TLBI")).count()
    };
    // Physical memory that is not aligned as the IOVA is, so that there is nothing but pages.
    let pages = USER + 0x1000;
    assert_eq!(tlbis(true, 511 << 12, pages), 511);
    assert_eq!(tlbis(true, 512 << 12, pages), 1);
    assert_eq!(tlbis(false, 32 << 20, pages), 8192);
    assert_eq!(tlbis(true, 32 << 20, pages), 1);
    // Sixteen blocks.
    assert_eq!(tlbis(true, 32 << 20, USER), 16);
}

#[test]
fn a_batch_holds_64_commands_and_one_sync_ends_all() {
    let bench = Bench::booted(without_ranges(), options(Personality::Upstream));
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0x1000_0000, USER + 0x1000, 200 << 12).unwrap();
    let before = bench.kernel.statistics().smmus[0].clone();
    container.unmap_dma(0x1000_0000, 200 << 12).unwrap();
    let after = bench.kernel.statistics().smmus[0].clone();
    assert_eq!(after.commands["CMD_TLBI_NH_VA"], 200);
    assert_eq!(after.syncs() - before.syncs(), 1);
    assert_eq!(after.doorbells - before.doorbells, 4); // 64 + 64 + 64 + 8 and the CMD_SYNC
}

#[test]
fn a_refused_command_becomes_a_sync_and_is_logged() {
    let bench = Bench::booted(IdRegisters::REFERENCE, options(Personality::RfcFixed));
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Nesting);
    container.map_dma(0, USER, 0x1000).unwrap();
    desk.trace();
    bench.platform.frames[0].refuse.set(Some(0x2a));
    container.unmap_dma(0, 0x1000).unwrap();
    assert_eq!(commands(&desk.trace()), ["CMD_SYNC", "CMD_SYNC"]);
    let log = bench.kernel.log();
    let [entry] = &log[..] else { panic!("{log:?}") };
    assert!(
        matches!(entry.notice, Notice::CommandSkipped { code: 1, words: [low, _] } if low as u8 == 0x2a)
    );
}

#[test]
fn a_queue_that_stands_still_is_given_up_after_a_second() {
    let bench = Bench::booted(IdRegisters::REFERENCE, options(Personality::RfcFixed));
    let desk = bench.desk();
    let (container, _) = ready(&desk, IommuType::Nesting);
    container.map_dma(0, USER, 0x1000).unwrap();
    bench.platform.frames[0].alive.set(false);
    container.unmap_dma(0, 0x1000).unwrap();
    let log = bench.kernel.log();
    let [entry] = &log[..] else { panic!("{log:?}") };
    assert_eq!(entry.notice, Notice::SyncTimeout);
    assert!((1_000_000_000..1_001_000_000).contains(&entry.at_ns), "{entry:?}");
    assert_ne!(bench.platform.frames[0].word(CMDQ_CONS), bench.platform.frames[0].word(0x98));
}

#[test]
fn events_are_drained_oldest_first_and_an_overflow_is_acknowledged() {
    let bench = Bench::booted(IdRegisters::REFERENCE, options(Personality::Upstream));
    let desk = bench.desk();
    let frame = &bench.platform.frames[0];
    let base = frame.word(EVENTQ_BASE) & 0x00ff_ffff_ffff_ffe0;
    let event =
        |stream| Event { stream: StreamId(stream), substream: None, kind: EventKind::BadSte };
    for (index, stream) in [(0, 7), (1, 9)] {
        let record = Pa(base + index * 32);
        bench.platform.memory.ram.write_words(record, &event(stream).encode()).unwrap();
    }
    frame.set(EVENTQ_PROD, 2 | 1 << 31);
    assert_eq!(bench.kernel.service_events(&desk.cpu, SmmuId(0)), [event(7), event(9)]);
    assert_eq!(desk.trace(), ["EVENTQ_CONS = 0x80000002"]);
    assert_eq!(bench.kernel.log()[0].notice, Notice::EventOverflow);
    assert_eq!(bench.kernel.service_events(&desk.cpu, SmmuId(0)), []);
    assert_eq!(desk.trace(), [""; 0]);
}

/// What an unmap and the end of a nesting container send with a fault switched on.
fn with_fault(fault: FaultSwitch) -> (Vec<String>, Vec<String>) {
    let faults = Faults::NONE.with(fault);
    let bench =
        Bench::booted(IdRegisters::REFERENCE, Options { faults, ..options(Personality::RfcFixed) });
    let desk = bench.desk();
    let (container, group) = ready(&desk, IommuType::Nesting);
    container.map_dma(0, USER, 0x1000).unwrap();
    desk.trace();
    container.unmap_dma(0, 0x1000).unwrap();
    let unmap = desk.trace();
    group.unset_container().unwrap();
    (unmap, desk.trace())
}

#[test]
fn each_fault_breaks_what_it_says() {
    let unmap = |fault| with_fault(fault).0;
    let end = |fault| with_fault(fault).1;
    let position = |trace: &[String], what: &str| trace.iter().position(|l| l.contains(what));

    assert_eq!(commands(&unmap(FaultSwitch::SkipUnmapTlbi)), ["CMD_SYNC"]);
    assert_eq!(commands(&unmap(FaultSwitch::MissingSync)), ["CMD_TLBI_S2_IPA"]);
    assert!(unmap(FaultSwitch::TlbiWrongVmid)[0].starts_with("CMD_TLBI_S2_IPA vmid=0x0"));
    assert_eq!(commands(&unmap(FaultSwitch::TlbiShortRange)), ["CMD_SYNC"]); // of one page
    assert!(unmap(FaultSwitch::TlbiWrongTtl)[0].ends_with("ttl=2 leaf"));
    let trace = unmap(FaultSwitch::FreeBeforeSync);
    assert!(position(&trace, "went back") < position(&trace, "CMD_SYNC"));

    let trace = end(FaultSwitch::ReuseWithoutTlbi);
    assert_eq!(position(&trace, "TLBI"), None);
    let trace = end(FaultSwitch::ReuseOrder);
    assert_eq!(trace.iter().rposition(|l| l.contains("CMD_SYNC")).map(|at| at + 1), {
        position(&trace, "CMD_TLBI_S12_VMALL")
    });
    let trace = end(FaultSwitch::SkipCfgiSte);
    assert_eq!(position(&trace, "CFGI_STE"), None);
    let trace = end(FaultSwitch::SteTorn);
    assert_eq!(commands(&trace), ["CMD_CFGI_STE", "CMD_SYNC", "CMD_TLBI_S12_VMALL", "CMD_SYNC"]);
}

#[test]
fn tables_that_were_removed_are_forgotten_with_leaf_0_unless_a_fault_says_otherwise() {
    let tlbi = |faults| {
        let options = Options { faults, ..options(Personality::RfcFixed) };
        let bench = Bench::booted(IdRegisters::REFERENCE, options);
        let desk = bench.desk();
        let (container, _) = ready(&desk, IommuType::Nesting);
        // Not aligned as the IOVA is: a whole table of pages.
        container.map_dma(0x20_0000, USER + 0x1000, 0x20_0000).unwrap();
        desk.trace();
        container.unmap_dma(0x20_0000, 0x20_0000).unwrap();
        desk.trace()[0].clone()
    };
    let right = "CMD_TLBI_S2_IPA vmid=0x1 ipa=0x200000 tg=4K num=0 scale=9 ttl=0";
    assert_eq!(tlbi(Faults::NONE), right);
    assert_eq!(tlbi(Faults::NONE.with(FaultSwitch::TlbiLeafOnly)), format!("{right} leaf"));
}

#[test]
fn the_level_2_table_of_a_stream_is_whole_before_it_is_linked() {
    let bench = Bench::new(&[IdRegisters::REFERENCE], &[0], options(Personality::Upstream));
    *bench.platform.memory.stores.borrow_mut() = Some(Vec::new());
    bench.kernel.boot(&bench.desk().cpu).unwrap();
    let stores = bench.platform.memory.stores.take().unwrap();
    let linked =
        stores.iter().position(|&(pa, value)| pa == Pa(0x4001_0000) && value != 0).unwrap();
    let filled = stores[..linked].iter().filter(|&&(_, value)| value == 1).count();
    assert!(filled >= 256, "{filled}");
}
