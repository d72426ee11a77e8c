#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pod_core::fuzz::reference(data));
