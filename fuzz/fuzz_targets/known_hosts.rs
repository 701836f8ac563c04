//! known_hosts files: parsing and looking up.
#![no_main]

use std::path::Path;

use adit_tunnel::agent::login::known_hosts::{HostAddress, KnownHosts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(known) = KnownHosts::parse(Path::new("known_hosts"), input) {
        for (name, port) in [("example.org", 22), ("10.0.0.1", 2222)] {
            let host = HostAddress::new(name, port).unwrap();
            // Each line is told at most once, and by a number that the file has.
            let places = known.places(&host);
            let lines = input.split(|byte| *byte == b'\n').count();
            assert!(places.len() <= lines);
            assert!(places.iter().all(|place| (1..=lines).contains(&place.line)));
        }
    }
});
