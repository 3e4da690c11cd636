//! See [`fuzz::load`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::load(input));
