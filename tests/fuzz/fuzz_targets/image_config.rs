//! See [`fuzz::image_config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::image_config(input));
