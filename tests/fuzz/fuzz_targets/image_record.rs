//! See [`fuzz::image_record`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::image_record(input));
