//! See [`fuzz::index`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::index(input));
