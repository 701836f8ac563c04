//! Attacks on the key exchange: section 1B of the attack table, by number.

#[path = "../support/mod.rs"]
mod support;

mod choice;
mod rekey;
mod strict;

const STRICT: &str = "kex-strict-c-v00@openssh.com";
const CHACHA: &str = "chacha20-poly1305@openssh.com";

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
