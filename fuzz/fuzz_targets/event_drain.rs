//! See `smmulator_tests::targets::event_drain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = smmulator_tests::targets::event_drain(bytes);
});
