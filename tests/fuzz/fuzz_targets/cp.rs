//! See [`fuzz::cp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::cp(input));
