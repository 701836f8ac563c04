use super::*;
use proptest::prelude::*;
use proptest::sample::subsequence;

/// Any non-empty choice of a table's values, in any order.
fn choice<T: Clone + std::fmt::Debug + 'static>(
    all: &[T],
) -> impl Strategy<Value = Vec<T>> + use<T> {
    subsequence(all.to_vec(), 1..=all.len()).prop_shuffle()
}

fn preferences() -> impl Strategy<Value = Preferences> {
    (
        choice(KexAlgorithm::ALL),
        choice(KeyAlgorithm::ALL),
        choice(CipherAlgorithm::ALL),
        choice(MacAlgorithm::ALL),
    )
        .prop_map(|(kex, host_key, cipher, mac)| Preferences {
            kex,
            host_key,
            cipher,
            mac,
        })
}

/// RFC 4253 section 7.1 in one line: the client's first that the server has, too.
fn first<T: Copy + PartialEq>(client: &[T], server: &[T]) -> Option<T> {
    client
        .iter()
        .copied()
        .find(|wanted| server.contains(wanted))
}

proptest! {
    #[test]
    fn negotiation_is_rfc4253_7_1(client in preferences(), server in preferences()) {
        let from_client = build(&client, Role::Client, Occasion::First, [0; 16]);
        let from_server = build(&server, Role::Server, Occasion::First, [1; 16]);
        let at_server = KexInit::parse(&from_client).unwrap().choose(&server, Role::Server);
        let at_client = KexInit::parse(&from_server).unwrap().choose(&client, Role::Client);
        let cipher = first(&client.cipher, &server.cipher);
        let mac = first(&client.mac, &server.mac);
        let suite = cipher.and_then(|cipher| {
            let mac = if cipher.is_aead() { None } else { Some(mac?) };
            Some(Suite { cipher, mac })
        });
        let wanted = first(&client.kex, &server.kex)
            .zip(first(&client.host_key, &server.host_key))
            .zip(suite);
        match wanted {
            Some(((kex, host_key), suite)) => {
                let chosen = Chosen {
                    kex,
                    host_key,
                    client_to_server: suite,
                    server_to_client: suite,
                    skip_guess: false,
                };
                prop_assert_eq!(at_server.as_ref(), Ok(&chosen));
                prop_assert_eq!(at_client, Ok(chosen));
            }
            None => prop_assert!(at_server.is_err() && at_client.is_err()),
        }
    }

    #[test]
    fn any_bytes_are_a_kexinit_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(theirs) = KexInit::parse(&bytes) {
            theirs.choose(&Preferences::server(true), Role::Server).ok();
        }
    }
}

#[test]
fn weak_names_do_not_exist() {
    let names: Vec<&str> = (KexAlgorithm::ALL.iter().map(|kex| kex.name()))
        .chain(KeyAlgorithm::ALL.iter().map(|key| key.name()))
        .chain(CipherAlgorithm::ALL.iter().map(|cipher| cipher.name()))
        .chain(MacAlgorithm::ALL.iter().map(|mac| mac.name()))
        .collect();
    assert!(names.len() > 25);
    for weak in [
        "diffie-hellman",
        "group",
        "sha1",
        "ssh-rsa",
        "ssh-dss",
        "cbc",
        "3des",
        "arcfour",
        "none",
        "md5",
        "umac",
        "zlib",
        "ext-info",
        "kex-strict",
        "webauthn",
    ] {
        for name in &names {
            assert!(!name.contains(weak), "{name} is {weak}");
        }
    }
    for mac in MacAlgorithm::ALL {
        assert!(mac.name().ends_with("-etm@openssh.com"));
    }
}

#[test]
fn a_list_for_post_quantum_peers_alone_has_the_hybrids_and_no_rsa() {
    for preferences in [Preferences::client(true), Preferences::server(true)] {
        let narrowed = preferences.clone().pq_only();
        let hybrids = [
            KexAlgorithm::MlKem768X25519,
            KexAlgorithm::Sntrup761X25519,
            KexAlgorithm::Sntrup761X25519OpenSsh,
        ];
        assert_eq!(narrowed.kex, hybrids);
        let mut host_keys = narrowed.host_key.iter();
        assert!(host_keys.all(|key| !key.name().contains("rsa")));
        assert_eq!(narrowed.host_key.first(), preferences.host_key.first());
        assert_eq!(
            (narrowed.cipher, narrowed.mac),
            (preferences.cipher, preferences.mac)
        );
    }
}
