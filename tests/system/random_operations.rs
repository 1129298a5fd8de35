//! Random operations on an SMMU with every feature: none is fatal, and equal seeds give equal bytes.
//!
//! `SMMULATOR_OPERATIONS=10000000 cargo test --release -p smmulator-tests --test random_operations
//! -- --nocapture` makes a campaign of it.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use smmulator_tests::targets::{Operations, operations};

/// Bytes that one SMMU is fed with, from reset on: some hundreds of operations.
const BYTES: usize = 1 << 13;

fn wanted() -> u64 {
    let wanted = std::env::var("SMMULATOR_OPERATIONS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(500_000)
}

fn run(seed: u64) -> Operations {
    let mut bytes = vec![0; BYTES];
    Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut bytes);
    operations(&bytes)
}

#[test]
fn random_operations_come_to_their_end() {
    let mut sum = Operations::default();
    let mut seeds = 0;
    while sum.count < wanted() {
        let one = run(seeds);
        seeds += 1;
        sum.count += one.count;
        sum.granted += one.granted;
        sum.refused += one.refused;
        sum.held += one.held;
        sum.commands += one.commands;
        sum.events += one.events;
        sum.broadcasts += one.broadcasts;
        sum.digest = sum.digest.rotate_left(1) ^ one.digest;
    }
    println!("seeds 0 to {}: {sum:?}", seeds - 1);
    for (what, met) in [
        ("a granted transaction", sum.granted),
        ("a refused one", sum.refused),
        ("a command", sum.commands),
        ("a held one", sum.held),
        ("an event", sum.events),
        ("a broadcast", sum.broadcasts),
    ] {
        assert!(met > 0, "{what} was never met");
    }
}

#[test]
fn equal_seeds_give_equal_figures() {
    for seed in 0..4 {
        assert_eq!(run(seed), run(seed));
    }
}
