#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| regshape_fuzz::inflate(data));
