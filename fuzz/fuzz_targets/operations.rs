//! See `smmulator_tests::targets::operations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = smmulator_tests::targets::operations(bytes);
});
