//! Has libFuzzer look for an input for which the property of the same name does not hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| graceful_fuzz::answer::hold(data));
