//! Channels and global requests of both roles, with an owner that opens, writes, reads, refuses and
//! resets as the input says.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adit_fuzz::{Owner, client, server, start, steps};
use adit_ssh::Connection;
use adit_ssh::block::Pool;
use adit_ssh::provider::{CryptoProvider, aws_lc};
use libfuzzer_sys::fuzz_target;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc::provider()));

fuzz_target!(|input: &[u8]| {
    let Some((role, input)) = input.split_first() else {
        return;
    };
    let (pool, mut now) = (Pool::new(64), start());
    let connection = if role & 1 == 0 {
        Connection::client_without_keys(client(&PROVIDER, &pool), now)
    } else {
        Connection::server_without_keys(&server(&PROVIDER, &pool), now)
    };
    let mut owner = Owner::new(connection, pool);
    for (action, payload) in steps(input) {
        if payload.is_empty() {
            owner.act(action, now);
        } else if owner.connection.receive_payload(now, payload).is_err() {
            break;
        }
        owner.answer(action, now);
        now += Duration::from_millis(u64::from(action));
        owner.connection.handle_timeout(now).ok();
    }
    // Nobody who goes leaves anything.
    owner.connection.close();
    assert_eq!(owner.connection.channels(), 0);
    assert_eq!(owner.connection.promised(), 0);
});
