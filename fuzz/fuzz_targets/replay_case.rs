//! See `smmulator_tests::targets::replay_case`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smmulator_tests::targets::replay_case(bytes));
