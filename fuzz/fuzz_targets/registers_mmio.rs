//! See `smmulator_tests::targets::registers_mmio`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smmulator_tests::targets::registers_mmio(bytes));
