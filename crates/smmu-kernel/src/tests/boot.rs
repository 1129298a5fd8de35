//! Probing and bringing up.

use super::platform::{Bench, stage1_only, stage2_only};
use crate::{Idle, Options, Personality, ProbeError, Refusal};
use smmu_arch::{IdRegisters, SmmuId, StreamId};
use smmu_bus::Memory;

fn upstream() -> Options {
    Options::new(Personality::Upstream)
}

#[test]
fn an_smmu_is_brought_up_in_the_order_of_the_architecture() {
    let bench = Bench::new(&[IdRegisters::REFERENCE], &[0], upstream());
    let desk = bench.desk();
    bench.kernel.boot(&desk.cpu).unwrap();
    assert_eq!(
        desk.trace(),
        [
            "GBPA = 0x80100000", // everything aborts
            "CR0 = 0x0",
            "IRQ_CTRL = 0x0",
            "CR1 = 0xd75",
            "CR2 = 0x6",
            "STRTAB_BASE = 0x4000000040010000",
            "STRTAB_BASE_CFG = 0x10210", // 2^16 StreamIDs, 8 bits in level 2
            "CMDQ_BASE = 0x400000004000000c",
            "CMDQ_CONS = 0x0",
            "CR0 = 0x8",
            "CMD_CFGI_ALL",
            "CMD_SYNC cs=none",
            "CMD_TLBI_EL2_ALL",
            "CMD_TLBI_NSNH_ALL",
            "CMD_SYNC cs=none",
            "EVENTQ_BASE = 0x400000004002000c",
            "EVENTQ_PROD = 0x0",
            "EVENTQ_CONS = 0x0",
            "CR0 = 0xc",
            "IRQ_CTRL = 0x5",
            "CR0 = 0xd",
            "CMD_CFGI_STE stream=0x8", // the level 1 descriptor of the device, not only a leaf
            "CMD_SYNC cs=none",
        ]
    );
}

#[test]
fn el2_is_not_invalidated_where_it_is_not_implemented() {
    let bench = Bench::new(&[stage2_only()], &[], upstream());
    let ids = IdRegisters { idr0: stage2_only().idr0 & !(1 << 9), ..stage2_only() };
    let without = Bench::new(&[ids], &[], upstream());
    for (bench, expected) in [(bench, true), (without, false)] {
        let desk = bench.desk();
        bench.kernel.boot(&desk.cpu).unwrap();
        assert_eq!(desk.trace().contains(&"CMD_TLBI_EL2_ALL".to_owned()), expected);
    }
}

#[test]
fn what_cannot_be_driven_is_refused_with_the_reason() {
    type Edit = fn(&mut IdRegisters);
    let cases: &[(Edit, Refusal)] = &[
        (|ids| ids.idr0 &= !3, Refusal::NoStage),
        (|ids| ids.idr0 = ids.idr0 & !(3 << 2) | 1 << 2, Refusal::NoAarch64Tables),
        (|ids| ids.idr0 |= 3 << 21, Refusal::BigEndianOnly),
        (|ids| ids.idr5 &= !0x70, Refusal::NoGranule),
        (|ids| ids.idr1 |= 1 << 29, Refusal::Preset),
        (|ids| ids.idr1 |= 1 << 30, Refusal::Preset),
        (|ids| ids.idr1 = ids.idr1 & !(31 << 21) | 6 << 21, {
            Refusal::CommandQueueTooSmall { log2: 6 }
        }),
    ];
    for (edit, refusal) in cases {
        let mut ids = IdRegisters::REFERENCE;
        edit(&mut ids);
        let bench = Bench::new(&[ids], &[0], upstream());
        let desk = bench.desk();
        let refused = ProbeError::Refused { smmu: SmmuId(0), refusal: *refusal };
        assert_eq!(bench.kernel.boot(&desk.cpu), Err(refused));
        assert_eq!(bench.kernel.open(&desk.cpu, "/dev/vfio/1"), Err(crate::Errno::ENODEV));
    }
}

#[test]
fn a_device_whose_streamid_does_not_fit_is_refused() {
    // nic1 has StreamID 0x108, and the table resolves 6 bits.
    let reference = IdRegisters::REFERENCE;
    let ids = IdRegisters { idr1: reference.idr1 & !0x3f | 6, ..reference };
    let bench = Bench::new(&[ids], &[0, 0], upstream());
    let refusal = Refusal::StreamOutOfRange { stream: StreamId(0x108) };
    let refused = ProbeError::Refused { smmu: SmmuId(0), refusal };
    assert_eq!(bench.kernel.boot(&bench.desk().cpu), Err(refused));
}

#[test]
fn a_small_streamid_space_has_a_linear_table() {
    let reference = IdRegisters::REFERENCE;
    let ids = IdRegisters { idr1: reference.idr1 & !0x3f | 6, ..reference };
    let bench = Bench::new(&[ids], &[0], upstream());
    bench.kernel.boot(&bench.desk().cpu).unwrap();
    assert!(bench.platform.take_trace().contains(&"STRTAB_BASE_CFG = 0x6".to_owned()));
    // Every entry aborts: V = 1, Config = 0.
    let base = bench.platform.frames[0].word(0x80) & 0x00ff_ffff_ffff_ffc0;
    for stream in 0..64 {
        let entry = smmu_arch::Pa(base + stream * 64);
        assert_eq!(
            bench.platform.memory.ram.read_words::<8>(entry).unwrap(),
            [1, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}

#[test]
fn a_kernel_boots_once() {
    let bench = Bench::booted(stage1_only(), upstream());
    assert_eq!(bench.kernel.boot(&bench.desk().cpu), Err(ProbeError::AlreadyBooted));
}

#[test]
fn the_hosts_own_devices_pass_until_a_container_takes_them() {
    use crate::client::{Container, Group};
    let options = Options { idle: Idle::Identity, ..upstream() };
    let bench = Bench::booted(IdRegisters::REFERENCE, options);
    let desk = bench.desk();
    let process = desk.process();
    let config = || bench.ste(StreamId(8)).config;
    assert_eq!(config(), smmu_arch::StreamConfig::Bypass);
    let group = Group::open(&process, 1).unwrap();
    group.set_container(&Container::open(&process).unwrap()).unwrap();
    assert_eq!(config(), smmu_arch::StreamConfig::Abort);
    group.unset_container().unwrap();
    assert_eq!(config(), smmu_arch::StreamConfig::Bypass);
}
