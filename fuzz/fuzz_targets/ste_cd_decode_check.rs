//! See `smmulator_tests::targets::ste_cd_decode_check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smmulator_tests::targets::ste_cd_decode_check(bytes));
