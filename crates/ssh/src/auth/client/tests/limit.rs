//! Servers that go on for ever.

use super::*;

#[test]
fn client_auth_loop_ends() {
    // Banners by number and by size.
    let mut bench = Bench::new(Vec::new());
    for _ in 0..limits::BANNERS {
        bench.take(&banner(b"hello")).unwrap();
    }
    assert_eq!(code(bench.take(&banner(b"hello"))), D2);
    let mut bench = Bench::new(Vec::new());
    bench.take(&banner(&[b'x'; limits::BANNER_BYTES])).unwrap();
    assert_eq!(code(bench.take(&banner(b"x"))), D2);

    // Questions.
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive],
        "keyboard-interactive",
    );
    for _ in 0..limits::KBDINT_ROUNDS {
        bench.take(&info_request(0, &[])).unwrap();
    }
    assert_eq!(code(bench.take(&info_request(0, &[]))), D2);

    // Partial successes: every credential is tried once.
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive; 3],
        "keyboard-interactive",
    );
    for _ in 0..3 {
        assert_eq!(bench.sent(), [dialog_request("anna")]);
        bench.take(&failure("keyboard-interactive", true)).unwrap();
    }
    assert!(bench.sent().is_empty());
    assert_eq!(bench.failed().outcomes, [Outcome::Accepted; 3]);

    // Requests, however many credentials there are.
    let mut bench = Bench::new(vec![Credential::KeyboardInteractive; 100]);
    let mut requests = 1;
    while bench.client.progress() == Progress::WaitingForServer {
        bench.take(&failure("keyboard-interactive", true)).unwrap();
        requests += bench.sent().len();
    }
    assert_eq!(requests, 64);
    assert!(bench.failed().is_cut_short);
}

/// A message of a server, most of them nearly right.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let blob = fake::ed25519(1);
    let all = "publickey,password,keyboard-interactive";
    let seed = prop_oneof![
        Just(failure(all, false)),
        Just(failure(all, true)),
        Just(failure("password", false)),
        Just(banner(b"hello")),
        Just(info_request(1, &["Code: "])),
        Just(info_request(0, &[])),
        Just(pk_ok("ssh-ed25519", &blob)),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let change = proptest::option::weighted(0.05, (any::<prop::sample::Index>(), any::<u8>()));
    (seed, change).prop_map(|(mut payload, change)| {
        if let Some((index, byte)) = change
            && !payload.is_empty()
        {
            let index = index.index(payload.len());
            payload[index] = byte;
        }
        payload
    })
}

proptest! {
    #[test]
    fn whatever_a_server_sends_the_login_ends_within_its_limits(
        messages in proptest::collection::vec(any_message(), 1..300),
    ) {
        let mut credentials = vec![key(fake::ed25519(1)); 30];
        credentials.extend(vec![Credential::Password; 30]);
        credentials.extend(vec![Credential::KeyboardInteractive; 30]);
        let mut bench = Bench::new(credentials);
        let mut requests = 1_usize;
        for payload in messages {
            if bench.take(&payload).is_err() {
                break;
            }
            while let Some(event) = bench.client.poll_event() {
                let (client, out) = (&mut bench.client, &mut bench.out);
                let answered = match event {
                    ClientEvent::Sign(question) => {
                        let algorithm = question.algorithm.signature();
                        let signature = fake::sign(b"", algorithm, &question.data);
                        client.answer_signature(question.id, Some(&signature), out)
                    }
                    ClientEvent::Password { id, .. } => {
                        client.answer_password(id, Some(secret("x")), out)
                    }
                    ClientEvent::Prompts(question) => {
                        let answers = question.prompts.iter().map(|_| secret("x")).collect();
                        client.answer_prompts(question.id, Some(answers), out)
                    }
                    ClientEvent::Banner(_) | ClientEvent::Succeeded | ClientEvent::Failed(_) => {
                        Ok(())
                    }
                };
                prop_assert_eq!(answered, Ok(()));
            }
            for payload in bench.sent() {
                if payload[0] == message::USERAUTH_REQUEST {
                    prop_assert_ne!(method_of(&payload), "none");
                    requests = requests.saturating_add(1);
                }
            }
            prop_assert!(requests <= 64);
            prop_assert!(bench.client.banners <= limits::BANNERS);
        }
    }
}
