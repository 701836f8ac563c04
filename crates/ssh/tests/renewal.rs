//! The key pair that a client has made before its keys are renewed.

#![expect(clippy::wildcard_enum_match_arm, reason = "this is a test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_ssh::Event;
use adit_ssh::algorithm::KexAlgorithm;
use adit_ssh::provider::{ActiveKex, CryptoError, Digest, KexMethod, SharedSecret, aws_lc};
use support::channels::between;
use support::{Pair, read_all};

/// A key exchange that counts how often the engine itself made a key pair.
#[derive(Debug)]
struct Counting {
    method: Arc<dyn KexMethod>,
    started: AtomicUsize,
}

impl KexMethod for Counting {
    fn algorithms(&self) -> &[KexAlgorithm] {
        self.method.algorithms()
    }

    fn start(&self) -> Result<Box<dyn ActiveKex>, CryptoError> {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.method.start()
    }

    fn respond(&self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), CryptoError> {
        self.method.respond(client_init)
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        self.method.hash(parts)
    }
}

#[test]
fn a_key_pair_made_ahead_is_used_once_and_asked_for_in_time() {
    let counting = Arc::new(Counting {
        method: Arc::clone(
            aws_lc::provider()
                .kex(KexAlgorithm::Sntrup761X25519)
                .unwrap(),
        ),
        started: AtomicUsize::new(0),
    });
    let limit = 1 << 20;
    let mut pair = Pair::with(
        |client| {
            let mut provider = (*client.transport.provider).clone();
            provider.kex = vec![Arc::clone(&counting) as Arc<dyn KexMethod>];
            client.transport.provider = Arc::new(provider);
            client.transport.preferences.kex = vec![KexAlgorithm::Sntrup761X25519];
            client.transport.rekey.bytes = Some(limit);
        },
        |_| {},
    );
    pair.log_in();
    assert_eq!(counting.started.load(Ordering::Relaxed), 1);
    let (up, down) = between(&mut pair, 1 << 20);
    let mut asked = 0;
    let mut renewed = 0;
    let mut sent = 0;
    while renewed < 3 {
        let block = pair.block(&vec![7; 30_000]);
        pair.client.connection.write(up, block);
        sent += 30_000;
        pair.run();
        let now = pair.now;
        read_all(&mut pair.server, down, now);
        pair.run();
        while let Some(event) = pair.client.find(|_| true) {
            match event {
                Event::WantsKeyPair { kex, method } => {
                    asked += 1;
                    assert!(sent * 4 >= limit * 3 * asked, "asked after {sent} bytes");
                    let active = method.start().unwrap();
                    pair.client.connection.give_key_pair(kex, active);
                }
                Event::Rekeyed { .. } => renewed += 1,
                _ => {}
            }
        }
    }
    // Every pair was made by the owner, none while the traffic waited.
    assert_eq!(asked, renewed);
    let by_us = usize::try_from(asked).unwrap();
    assert_eq!(counting.started.load(Ordering::Relaxed), 1 + by_us);
    // One that nobody gives is made when it is needed.
    pair.client.connection.rekey(pair.now).unwrap();
    pair.run();
    assert_eq!(counting.started.load(Ordering::Relaxed), 2 + by_us);
}
