//! See [`fuzz::zstd`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::zstd(input));
