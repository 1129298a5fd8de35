//! See `smmulator_tests::targets::walk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smmulator_tests::targets::walk(bytes));
