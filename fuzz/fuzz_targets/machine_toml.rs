//! See `smmulator_tests::targets::machine_toml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smmulator_tests::targets::machine_toml(bytes));
