//! The target that is built to fail: see docs, "Fuzzing".
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smmulator_tests::targets::canary(bytes));
