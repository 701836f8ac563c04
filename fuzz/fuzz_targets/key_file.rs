//! Private key files of every form. Without a passphrase: what a file may ask of a key derivation is
//! capped at seconds, which is for ever here, and behind it stands a checksum that no fuzzer guesses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    adit_ssh::key_file::public_key(input).ok();
    adit_ssh::key_file::parse(input, None).ok();
});
