//! KEXINIT: parsed and chosen from, as both roles.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    adit_ssh::connection::fuzzing::kexinit(input);
});
