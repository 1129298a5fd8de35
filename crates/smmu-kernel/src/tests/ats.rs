//! What the driver does for a device with ATS: its entry, and what its cache is told to forget.

use super::platform::{Bench, Desk, USER};
use crate::client::{Container, Group, IommuType};
use crate::{FaultSwitch, Faults, Options, Personality};
use smmu_arch::{Eats, IdRegisters, StreamId};

const STREAM: StreamId = StreamId(8);
const FORGET_ALL: &str = "CMD_ATC_INV stream=0x8 address=0x0 size=52";

fn ids(ats: bool) -> IdRegisters {
    let reference = IdRegisters::REFERENCE;
    let bit = 1 << 10; // IDR0.ATS
    let idr0 = if ats { reference.idr0 | bit } else { reference.idr0 & !bit };
    IdRegisters { idr0, ..reference }
}

fn bench(smmu: bool, device: bool, faults: Faults) -> Bench {
    let options = Options { faults, ..Options::new(Personality::RfcFixed) };
    let bench = Bench::with_ats(ids(smmu), device, options);
    bench.desk().boot();
    bench
}

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
    let commands = trace.iter().filter(|line| line.starts_with("CMD_"));
    commands.map(|line| line.split(' ').next().unwrap()).collect()
}

fn count(trace: &[String]) -> usize {
    trace.iter().filter(|line| line.starts_with("CMD_ATC_INV")).count()
}

#[test]
fn ats_is_on_where_both_the_smmu_and_the_device_have_it() {
    for (smmu, device) in [(true, true), (true, false), (false, true), (false, false)] {
        for kind in [IommuType::Type1v2, IommuType::Nesting] {
            let bench = bench(smmu, device, Faults::NONE);
            let desk = bench.desk();
            let (container, group) = ready(&desk, kind);
            let on = smmu && device;
            let expected = if on { Eats::Full } else { Eats::Disabled };
            assert_eq!(bench.ste(STREAM).eats, expected, "{smmu} {device} {kind:?}");
            container.map_dma(0, USER, 0x1000).unwrap();
            container.unmap_dma(0, 0x1000).unwrap();
            group.unset_container().unwrap();
            assert_eq!(bench.ste(STREAM).eats, Eats::Disabled);
            assert_eq!(count(&desk.trace()), if on { 3 } else { 0 }, "attach, unmap, detach");
        }
    }
}

#[test]
fn an_endpoint_forgets_after_the_sync_of_the_tlbi_and_before_the_promise() {
    let bench = bench(true, true, Faults::NONE);
    let desk = bench.desk();
    let (container, _group) = ready(&desk, IommuType::Type1v2);
    container.map_dma(0x7000, USER, 0x2000).unwrap();
    desk.trace();
    container.unmap_dma(0x7000, 0x2000).unwrap();
    let trace = desk.trace();
    assert_eq!(commands(&trace), ["CMD_TLBI_NH_VA", "CMD_SYNC", "CMD_ATC_INV", "CMD_SYNC"]);
    assert!(trace[2].starts_with("CMD_ATC_INV stream=0x8"), "{trace:?}");
    let last_command = trace.iter().rposition(|line| line.starts_with("CMD_"));
    assert_eq!(last_command, Some(3), "promises come behind: {trace:?}");
}

#[test]
fn a_detached_endpoint_forgets_everything_once_its_entry_aborts() {
    let bench = bench(true, true, Faults::NONE);
    let desk = bench.desk();
    let (_container, group) = ready(&desk, IommuType::Type1v2);
    let attach = desk.trace();
    assert_eq!(commands(&attach)[commands(&attach).len() - 2..], ["CMD_ATC_INV", "CMD_SYNC"]);
    group.unset_container().unwrap();
    let trace = desk.trace();
    let at = |what: &str| trace.iter().position(|line| line.contains(what));
    assert!(at("CMD_CFGI_STE") < at("CMD_ATC_INV") && at("CMD_ATC_INV").is_some(), "{trace:?}");
    assert!(trace[at("CMD_ATC_INV").unwrap()].starts_with(FORGET_ALL), "{trace:?}");
    assert_eq!(trace[at("CMD_ATC_INV").unwrap() + 1], "CMD_SYNC cs=none");
}

#[test]
fn the_faults_leave_out_the_atc_inv_or_the_sync_behind_it() {
    let unmap = |fault| {
        let bench = bench(true, true, Faults::NONE.with(fault));
        let desk = bench.desk();
        let (container, group) = ready(&desk, IommuType::Type1v2);
        container.map_dma(0, USER, 0x1000).unwrap();
        desk.trace();
        container.unmap_dma(0, 0x1000).unwrap();
        let unmap = desk.trace();
        group.unset_container().unwrap();
        (commands(&unmap).join(" "), count(&desk.trace()))
    };
    let (trace, detach) = unmap(FaultSwitch::NoAtcInvalidation);
    assert_eq!((trace.as_str(), detach), ("CMD_TLBI_NH_VA CMD_SYNC", 0));
    assert_eq!(unmap(FaultSwitch::MissingSync).0, "CMD_TLBI_NH_VA CMD_ATC_INV");
}
