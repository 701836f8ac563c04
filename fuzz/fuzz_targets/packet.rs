//! Packets in plain, and a whole handshake as a stranger may begin it, of both roles.
#![no_main]

use std::sync::{Arc, LazyLock};

use adit_fuzz::{client, server, start};
use adit_ssh::Connection;
use adit_ssh::block::Pool;
use adit_ssh::packet::Outgoing;
use adit_ssh::provider::{CryptoProvider, aws_lc};
use libfuzzer_sys::fuzz_target;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc::provider()));

fuzz_target!(|input: &[u8]| {
    adit_ssh::connection::fuzzing::packets(input);
    let (pool, now) = (Pool::new(4), start());
    let mut connection = if input.first().is_some_and(|first| first & 1 == 0) {
        Connection::client(client(&PROVIDER, &pool), now)
    } else {
        Connection::server(&server(&PROVIDER, &pool), now)
    };
    let mut out = Outgoing::new();
    connection.transmit(now, &mut out, 1 << 20).ok();
    connection.receive(now, b"SSH-2.0-fuzz\r\n").ok();
    let input = input.get(1..).unwrap_or_default();
    let mut at = 0;
    while let Ok(taken) = connection.receive(now, input.get(at..).unwrap_or_default()) {
        connection.trust_host();
        connection.transmit(now, &mut out, 1 << 20).ok();
        at += taken;
        if taken == 0 {
            break;
        }
    }
    while connection.poll_event().is_some() {}
});
