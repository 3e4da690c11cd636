//! See [`fuzz::tar`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::tar(input));
