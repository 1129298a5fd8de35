//! Performance Monitor Counter Groups: chapter "Performance Monitors Extension".

mod common;

use common::spaces::edit_ste;
use common::{Bench, Kind, Log, Setup, Space, read, write};
use proptest::prelude::*;
use smmu_arch::{
    ConfigKey, Eats, Epoch, Iova, Observation, Origin, Pa, PortId, SmmuId, StreamId, Transaction,
    TranslationRequest,
};
use smmu_bus::{Mmio, Observer};
use smmu_device::{Metered, Pmcg, PmcgConfig, PmcgEvent, PmcgInterrupt, Port};
use smmu_tables::Prot;
use std::sync::Arc;

const EVTYPER: u64 = 0x400;
const SMR: u64 = 0xa00;
const CNTENSET: u64 = 0xc00;
const CNTENCLR: u64 = 0xc20;
const INTENSET: u64 = 0xc40;
const OVSCLR: u64 = 0xc80;
const CFGR: u64 = 0xe00;
const CR: u64 = 0xe04;
const CEID0: u64 = 0xe20;
const IRQ_CTRL: u64 = 0xe50;
const IRQ_CFG0: u64 = 0xe58;
const IRQ_CFG1: u64 = 0xe60;
const SPAN: u64 = 1 << 29;

fn group() -> Arc<Pmcg> {
    Arc::new(Pmcg::new(&PmcgConfig::default()))
}

/// Counter `index` counts `event` of the streams that the match and span name, from `value` on.
fn program(pmcg: &Pmcg, index: u64, event: u64, stream_match: u64, value: u64) {
    pmcg.mmio_write(EVTYPER + index * 4, 4, event);
    pmcg.mmio_write(SMR + index * 4, 4, stream_match);
    pmcg.mmio_write(index * 4, 4, value);
    pmcg.mmio_write(CNTENSET, 8, 1 << index);
}

fn value(pmcg: &Pmcg, index: u64) -> u64 {
    pmcg.mmio_read(index * 4, 4)
}

/// All eight events of every stream, one a counter.
fn everything(pmcg: &Pmcg) {
    for event in 0..8 {
        program(pmcg, event, event | SPAN, u32::MAX.into(), 0);
    }
    pmcg.mmio_write(CR, 4, 1);
}

/// A bench with three streams that map 0x1000 to 0x4000, and a port with the group before a log.
fn bench(pmcg: &Arc<Pmcg>) -> (Bench, Port<Metered<Log>>, Vec<u32>) {
    let mut setup = Setup::default();
    setup.ids.idr0 |= 1 << 10;
    let mut bench = Bench::with(setup);
    let streams: Vec<u32> = (1..=3)
        .map(|asid| {
            let space = Space { kind: Kind::Stage1, vmid: 1, asid };
            bench.map(space, 0x1000, 0x40_1000, 0x4000, Prot::READ_WRITE);
            let stream = bench.stream_of(space);
            edit_ste(&bench, stream, |ste| ste.eats = Eats::Full);
            stream
        })
        .collect();
    let smmu = Arc::clone(&bench.smmu);
    let metered = Metered::new(Arc::clone(pmcg), Log::default());
    let port = Port::new(smmu, PortId(0), metered).expect("two ports");
    (bench, port, streams)
}

fn translate(bench: &Bench, port: &mut Port<Metered<Log>>, transaction: &Transaction) {
    let _ = port.translate(&bench.memory, transaction);
    port.end();
}

#[test]
fn it_tells_what_it_is() {
    let pmcg = group();
    assert_eq!(pmcg.mmio_read(CFGR, 4), 7 | 31 << 8 | 1 << 21);
    assert_eq!(pmcg.mmio_read(CEID0, 8), 0xff);
    let wide = Pmcg::new(&PmcgConfig { counters: 2, counter_bits: 48, msi: false });
    assert_eq!(wide.mmio_read(CFGR, 4), 1 | 47 << 8);
    wide.mmio_write(8, 8, u64::MAX);
    assert_eq!(wide.mmio_read(8, 8), (1 << 48) - 1, "counter 1");
    assert_eq!(
        (wide.mmio_read(12, 4), wide.mmio_read(16, 8)),
        (0xffff, 0),
        "there is no counter 2"
    );
}

#[test]
fn a_counter_counts_while_it_and_the_group_are_enabled() {
    let pmcg = group();
    let (bench, mut port, streams) = bench(&pmcg);
    program(&pmcg, 0, PmcgEvent::Transaction as u64 | SPAN, u32::MAX.into(), 0);
    let one = |port: &mut Port<Metered<Log>>| translate(&bench, port, &read(streams[0], 0x1000));
    one(&mut port);
    assert_eq!(value(&pmcg, 0), 0, "CR.E is 0");
    pmcg.mmio_write(CR, 4, 1);
    one(&mut port);
    assert_eq!(value(&pmcg, 0), 1);
    pmcg.mmio_write(CNTENCLR, 8, 1);
    one(&mut port);
    assert_eq!(value(&pmcg, 0), 1);
}

#[test]
fn a_filter_is_exact_or_a_span() {
    let pmcg = group();
    let (bench, mut port, streams) = bench(&pmcg);
    let event = PmcgEvent::Transaction as u64;
    // Streams 16, 17 and 18.
    assert_eq!(streams, [16, 17, 18]);
    program(&pmcg, 0, event, 17, 0);
    program(&pmcg, 1, event | SPAN, 16, 0); // 0b10000: 16 and 17
    program(&pmcg, 2, event | SPAN, 17, 0); // 0b10001: 16 to 19
    program(&pmcg, 3, event | SPAN, u32::MAX.into(), 0);
    pmcg.mmio_write(CR, 4, 1);
    for stream in streams {
        translate(&bench, &mut port, &read(stream, 0x1000));
    }
    assert_eq!([0, 1, 2, 3].map(|index| value(&pmcg, index)), [1, 2, 3, 3]);
}

#[test]
fn an_overflow_sets_its_status_and_interrupts_once() {
    let pmcg = group();
    pmcg.mmio_write(IRQ_CFG0, 8, 0x9000_0000);
    pmcg.mmio_write(IRQ_CFG1, 4, 0x77);
    pmcg.mmio_write(INTENSET, 8, 1);
    pmcg.mmio_write(IRQ_CTRL, 4, 1);
    pmcg.mmio_write(IRQ_CFG1, 4, 0x88); // guarded
    program(&pmcg, 0, PmcgEvent::Cycle as u64, 0, 0xffff_fff0);
    program(&pmcg, 1, PmcgEvent::Cycle as u64, 0, 0xffff_fff0);
    pmcg.mmio_write(CR, 4, 1);
    pmcg.pass(15);
    assert_eq!((value(&pmcg, 0), pmcg.take_interrupt()), (0xffff_ffff, None));
    pmcg.pass(3);
    assert_eq!((value(&pmcg, 0), pmcg.mmio_read(OVSCLR, 8)), (2, 3));
    let msi = Some((Pa(0x9000_0000), 0x77));
    assert_eq!(pmcg.take_interrupt(), Some(PmcgInterrupt { msi }));
    assert_eq!(pmcg.take_interrupt(), None);
    pmcg.mmio_write(OVSCLR, 8, 1);
    assert_eq!(pmcg.mmio_read(OVSCLR, 8), 2);
}

#[test]
fn a_counter_enabled_under_a_transaction_knows_its_stream() {
    let pmcg = group();
    let mut metered = Metered::new(Arc::clone(&pmcg), Log::default());
    let origin = Origin { smmu: SmmuId(0), transaction: None, begin: Epoch(0) };
    metered.observe(&origin, &Observation::Began(read(7, 0x1000)));
    program(&pmcg, 0, PmcgEvent::ConfigMiss as u64, 7, 0);
    program(&pmcg, 1, PmcgEvent::ConfigMiss as u64, 8, 0);
    pmcg.mmio_write(CR, 4, 1);
    let key = ConfigKey::Ste(StreamId(7));
    metered.observe(&origin, &Observation::ConfigLookedUp { key, hit: false });
    assert_eq!([0, 1].map(|index| value(&pmcg, index)), [1, 0]);
}

/// What a listener counts: the statistic that the counters are held against.
fn statistic(log: &Log) -> [u64; 8] {
    let mut counts = [0; 8];
    for (_, observation) in &log.0 {
        match observation {
            Observation::Began(_) => counts[1] += 1,
            Observation::LookedUp { hit: None, .. } => counts[2] += 1,
            Observation::ConfigLookedUp { hit: false, .. } => counts[3] += 1,
            Observation::Fetched { why, .. } if why.is_walk() => counts[4] += 1,
            Observation::Fetched { why, .. } if why.is_configuration() => counts[5] += 1,
            Observation::AtsCompleted { .. } => counts[6] += 1,
            Observation::AtsTranslated { .. } => {
                counts[1] += 1;
                counts[7] += 1;
            }
            _ => {}
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A counter equals the exact statistic.
    #[test]
    fn counters_equal_the_statistic(
        steps in prop::collection::vec((0..6u8, 0..3usize, 0..6u64, any::<bool>()), 1..60),
    ) {
        let pmcg = group();
        let (mut bench, mut port, streams) = bench(&pmcg);
        everything(&pmcg);
        for (kind, stream, page, writes) in steps {
            let (stream, iova) = (streams[stream], page << 12);
            let transaction = if writes { write(stream, iova) } else { read(stream, iova) };
            match kind {
                0 => bench.command([0x30, 0]), // TLBI_NSNH_ALL
                1 => bench.command([0x04, 31]), // CFGI_ALL
                2 => {
                    let request = TranslationRequest {
                        stream: StreamId(stream),
                        substream: None,
                        iova: Iova(iova),
                        no_write: !writes,
                        execute: false,
                        privileged: false,
                    };
                    port.request_translation(&bench.memory, &request);
                }
                3 => {
                    let _ = port.translated(&bench.memory, &transaction);
                    port.end();
                }
                _ => translate(&bench, &mut port, &transaction),
            }
        }
        let counted: Vec<u64> = (0..8).map(|index| value(&pmcg, index)).collect();
        prop_assert_eq!(counted, statistic(&port.observer().inner));
    }

    /// Nothing that software writes panics, and reads change nothing.
    #[test]
    fn any_access_is_harmless(
        accesses in prop::collection::vec((0..0x1000u64, 0..9u8, any::<u64>(), any::<bool>()), 0..60),
    ) {
        let pmcg = group();
        for (offset, bytes, value, writes) in accesses {
            if writes {
                pmcg.mmio_write(offset, bytes, value);
            }
            pmcg.pass(value);
            prop_assert_eq!(pmcg.mmio_read(offset & !7, 8), pmcg.mmio_read(offset & !7, 8));
        }
    }
}
