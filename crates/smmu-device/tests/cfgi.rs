//! Each CFGI drops the configuration that it names, and never a translation. Section
//! "Configuration structure invalidation".

mod common;

use common::spaces::{cd_at, ste_at};
use common::{Bench, Kind, Space, read, with_substream};
use smmu_arch::{
    CfgiCd, CfgiCdAll, CfgiSte, CfgiSteRange, Command, Observation, Pa, StreamId, SubstreamId, Why,
};
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

/// Two streams with CDs 0 and 1 each, everything cached.
struct Streams {
    bench: Bench,
    streams: [u32; 2],
}

impl Streams {
    fn cached() -> Self {
        let mut bench = Bench::new();
        let streams = [1, 2].map(|asid| {
            let space = Space { kind: Kind::Stage1, vmid: 0, asid };
            bench.map(space, 0x1000, 0x8000, 0x1000, Prot::READ_WRITE);
            let stream = bench.stream_of(space);
            let words: [u64; 8] =
                std::array::from_fn(|word| bench.load(ste_at(stream).offset(word as u64 * 8)));
            // S1CDMax = 1 and S1DSS = 1: substreams 0 and 1.
            bench.store(ste_at(stream), &[words[0] | 1 << 59, words[1] | 1]);
            let cd: [u64; 8] =
                std::array::from_fn(|word| bench.load(cd_at(stream, 0).offset(word as u64 * 8)));
            bench.store(cd_at(stream, 1), &cd);
            stream
        });
        let mut this = Self { bench, streams };
        this.fetched();
        this
    }

    /// Which structures a transaction of each (stream, substream) has to fetch, in order.
    fn fetched(&mut self) -> Vec<(Why, Pa)> {
        self.bench.ports[0].observer().0.clear();
        for stream in self.streams {
            for substream in [0, 1] {
                let transaction = with_substream(read(stream, 0x1000), substream);
                self.bench.dma(&transaction).expect("mapped");
            }
        }
        let log = &self.bench.ports[0].observer().0;
        let fetches = log.iter().filter_map(|(_, observation)| match *observation {
            Observation::Fetched { pa, why } => Some((why, pa)),
            _ => None,
        });
        fetches.collect()
    }
}

/// After `command`, exactly `expected` of the eight structures are fetched again.
fn check(
    command: impl Fn([StreamId; 2]) -> Command,
    expected: impl Fn([u32; 2]) -> Vec<(Why, Pa)>,
) {
    let mut streams = Streams::cached();
    assert_eq!(streams.fetched(), [], "everything is cached");
    let ids = streams.streams;
    streams.bench.command(command(ids.map(StreamId)).encode());
    assert_eq!(streams.fetched(), expected(ids));
}

#[test]
fn cfgi_ste_drops_the_ste_and_its_cds() {
    check(
        |[a, _]| Command::CfgiSte(CfgiSte { stream: a, leaf: true }),
        |[a, _]| vec![(Why::Ste, ste_at(a)), (Why::Cd, cd_at(a, 0)), (Why::Cd, cd_at(a, 1))],
    );
    testpoint!(235);
}

#[test]
fn cfgi_cd_drops_one_cd() {
    check(
        |[a, _]| Command::CfgiCd(CfgiCd { stream: a, substream: SubstreamId(1), leaf: true }),
        |[a, _]| vec![(Why::Cd, cd_at(a, 1))],
    );
    testpoint!(233);
}

#[test]
fn cfgi_cd_all_drops_the_cds_and_keeps_the_ste() {
    check(
        |[_, b]| Command::CfgiCdAll(CfgiCdAll { stream: b }),
        |[_, b]| vec![(Why::Cd, cd_at(b, 0)), (Why::Cd, cd_at(b, 1))],
    );
}

#[test]
fn cfgi_ste_range_drops_an_aligned_block_of_streams() {
    check(
        // Streams 16 and 17; Range = 0 is two of them, from either.
        |[_, b]| Command::CfgiSteRange(CfgiSteRange { stream: b, range: 0 }),
        everything,
    );
    check(|_| Command::CfgiSteRange(CfgiSteRange { stream: StreamId(18), range: 0 }), |_| vec![]);
    testpoint!(236);
}

#[test]
fn cfgi_all_drops_everything() {
    check(|_| Command::CfgiAll, everything);
    testpoint!(237);
}

#[test]
fn tlbi_drops_no_configuration() {
    let mut streams = Streams::cached();
    streams.bench.command(Command::TlbiNsnhAll.encode());
    let fetched = streams.fetched();
    assert!(!fetched.is_empty() && fetched.iter().all(|(why, _)| why.is_walk()));
}

fn everything(streams: [u32; 2]) -> Vec<(Why, Pa)> {
    let of = |s| [(Why::Ste, ste_at(s)), (Why::Cd, cd_at(s, 0)), (Why::Cd, cd_at(s, 1))];
    streams.into_iter().flat_map(of).collect()
}

/// What was fetched is held, valid or not; only a failed fetch is not.
#[test]
fn an_invalid_ste_is_cached_until_cfgi_ste() {
    let mut bench = Bench::new();
    let bad = |bench: &mut Bench| bench.refusal(&read(3, 0)).0;
    assert_eq!(bad(&mut bench), "C_BAD_STE");
    bench.store(ste_at(3), &[1 | 4 << 1]); // valid, bypass
    assert_eq!(bad(&mut bench), "C_BAD_STE");
    bench.command(Command::CfgiSte(CfgiSte { stream: StreamId(3), leaf: true }).encode());
    assert_eq!(common::output(bench.dma(&read(3, 0x1234))), Pa(0x1234));
    testpoint!(52, 231);
}

#[test]
fn a_failed_fetch_is_not_cached() {
    let mut bench = Bench::new();
    bench.store(ste_at(3), &[1 | 4 << 1]);
    bench.memory.fail(ste_at(3), 64);
    assert_eq!(bench.refusal(&read(3, 0)).0, "F_STE_FETCH");
    bench.memory.repair_all();
    assert_eq!(common::output(bench.dma(&read(3, 0x1234))), Pa(0x1234));
}
