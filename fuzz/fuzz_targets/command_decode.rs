//! See `smmulator_tests::targets::command_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smmulator_tests::targets::command_decode(bytes));
