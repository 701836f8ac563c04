//! Private key files of every form, with and without a passphrase.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    adit_ssh::key_file::public_key(input).ok();
    adit_ssh::key_file::parse(input, None).ok();
    adit_ssh::key_file::parse(input, Some(b"passphrase")).ok();
});
