//! See [`fuzz::spec`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::spec(input));
