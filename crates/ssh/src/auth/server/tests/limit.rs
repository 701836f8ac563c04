//! Attempts, queues and delays.

use super::*;

#[test]
fn auth_attempt_caps() {
    // Failures of any method.
    let mut bench = Bench::open();
    for attempt in 1..=limits::AUTH_FAILURES {
        bench.take(&password_request("anna", b"wrong")).unwrap();
        bench.login(LoginVerdict::Reject).unwrap();
        assert!(bench.out.is_empty());
        let ended = bench.wait();
        if attempt < limits::AUTH_FAILURES {
            ended.unwrap();
            assert_eq!(sent(&mut bench.out).len(), 1);
        } else {
            assert_eq!(code(ended), Some(D14));
            assert!(bench.out.is_empty());
        }
    }
    // Queries, refused or not.
    for verdict in [AUTHORISED, KeyVerdict::Refused] {
        let mut bench = Bench::open();
        let payload = query("anna", KeyAlgorithm::Ed25519, &fake::ed25519(1));
        for _ in 0..limits::AUTH_QUERIES {
            bench.take(&payload).unwrap();
            bench.key(verdict).unwrap();
            bench.wait().unwrap();
            assert_eq!(sent(&mut bench.out).len(), 1);
        }
        assert_eq!(code(bench.take(&payload)), Some(D14));
    }
    // Requests of any kind, partial successes among them.
    let mut bench = Bench::open();
    for _ in 0..limits::AUTH_REQUESTS {
        bench.take(&password_request("anna", b"right")).unwrap();
        bench
            .login(LoginVerdict::Partial {
                remaining: vec![Method::Password],
            })
            .unwrap();
        assert_eq!(sent(&mut bench.out), [failure("password", true)]);
    }
    assert_eq!(code(bench.take(&request("anna", "none"))), Some(D14));
}

#[test]
fn requests_sent_without_waiting_are_taken_in_order() {
    let mut bench = Bench::open();
    bench.take(&password_request("anna", b"one")).unwrap();
    bench.take(&request("anna", "none")).unwrap();
    bench.take(&password_request("anna", b"two")).unwrap();
    bench.login(LoginVerdict::Reject).unwrap();
    assert!(bench.out.is_empty(), "nothing overtakes the refusal");
    bench.wait().unwrap();
    assert_eq!(
        sent(&mut bench.out),
        [failure(ALL_METHODS, false), failure(ALL_METHODS, false)]
    );
    assert!(matches!(bench.question().claim, Claim::Password(secret) if secret.expose() == "two"));
}

#[test]
fn a_client_that_never_waits_is_cut_off() {
    let mut bench = Bench::open();
    for _ in 0..=limits::AUTH_QUEUE {
        bench.take(&password_request("anna", b"x")).unwrap();
    }
    assert_eq!(code(bench.take(&password_request("anna", b"x"))), Some(D2));
}

#[test]
fn what_waited_and_breaks_the_protocol_comes_out_of_the_answer() {
    let mut bench = Bench::open();
    bench.take(&request("anna", "none")).unwrap();
    bench
        .take(&query("anna", KeyAlgorithm::Ed25519, &fake::ed25519(1)))
        .unwrap();
    bench.take(&request("otto", "none")).unwrap();
    assert!(matches!(
        bench.key(AUTHORISED),
        Err(AnswerError::Peer(violation)) if violation.code == D2
    ));
}

#[test]
fn a_refusal_waits_for_its_time() {
    let mut bench = Bench::open();
    let began = bench.now;
    bench.take(&password_request("anna", b"x")).unwrap();
    assert_eq!(bench.server.next_deadline(), None);
    bench.login(LoginVerdict::Reject).unwrap();
    let due = bench.server.next_deadline().unwrap();
    let delay = due - began;
    assert!(delay >= limits::AUTH_DELAY && delay < Duration::from_micros(9_200));
    bench.now = due - Duration::from_nanos(1);
    bench
        .server
        .handle_timeout(bench.now, &mut bench.out)
        .unwrap();
    assert!(bench.out.is_empty());
    bench.server.handle_timeout(due, &mut bench.out).unwrap();
    assert_eq!(sent(&mut bench.out).len(), 1);
    assert_eq!(bench.server.next_deadline(), None);
}

#[test]
fn delays_depend_on_the_user_and_the_secret_alone() {
    let (one, two) = (fake::delay_secret(1), fake::delay_secret(2));
    let users: Vec<String> = (0..200).map(|number| format!("user{number}")).collect();
    let mut seen = std::collections::HashSet::new();
    for user in &users {
        let delay = one.delay(user);
        assert_eq!(delay, one.clone().delay(user));
        assert!(delay >= limits::AUTH_DELAY && delay < Duration::from_micros(9_200));
        seen.insert(delay);
    }
    assert!(seen.len() > 150, "{} delays for 200 users", seen.len());
    assert!(users.iter().any(|user| one.delay(user) != two.delay(user)));
}

#[test]
fn a_late_decision_is_seen_in_doublings_only() {
    let since = dawn();
    let delay = Duration::from_millis(6);
    for (decided_ms, due_ms) in [(0, 6), (5, 6), (6, 12), (11, 12), (12, 24), (100, 192)] {
        assert_eq!(
            delay::due(since, since + Duration::from_millis(decided_ms), delay),
            since + Duration::from_millis(due_ms)
        );
    }
    assert_eq!(delay::due(since, since, Duration::ZERO), since);
}

/// A message of a client, most of them nearly right.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let key = fake::ed25519(1);
    let algorithm = KeyAlgorithm::Ed25519;
    let seed = prop_oneof![
        Just(service(5, "ssh-userauth")),
        Just(request("anna", "none")),
        Just(request("anna", "hostbased")),
        Just(password_request("anna", b"x")),
        Just(dialog_request("anna")),
        Just(answers(1, &[b"x"])),
        Just(query("anna", algorithm, &key)),
        Just(signed(
            unsigned("anna", algorithm, &key),
            SESSION,
            algorithm,
            &key
        )),
        proptest::collection::vec(any::<u8>(), 0..60),
    ];
    (
        seed,
        proptest::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>())),
    )
        .prop_map(|(mut payload, change)| {
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
    fn whatever_a_client_sends_the_login_ends_within_its_limits(
        messages in proptest::collection::vec((any_message(), any::<u8>()), 1..200),
    ) {
        let mut bench = Bench::open();
        let mut replies = 0_usize;
        let mut took = 0_usize;
        for (payload, choice) in messages {
            if bench.take(&payload).is_err() {
                break;
            }
            took = took.saturating_add(1);
            while let Some(question) = bench.server.poll_question() {
                let (now, out) = (bench.now, &mut bench.out);
                let result = match (&question.claim, choice % 4) {
                    (Claim::Key(_), 0) => {
                        bench.server.answer_key(question.id, KeyVerdict::Refused, now, out)
                    }
                    (Claim::Key(_), _) => bench.server.answer_key(question.id, AUTHORISED, now, out),
                    (Claim::Dialog, 1 | 2) => {
                        bench.server.answer_prompts(question.id, &prompts(1), now, out)
                    }
                    (_, 3) => {
                        let remaining = vec![Method::Password, Method::KeyboardInteractive];
                        let verdict = LoginVerdict::Partial { remaining };
                        bench.server.answer_login(question.id, verdict, now, out)
                    }
                    _ => bench.server.answer_login(question.id, LoginVerdict::Reject, now, out),
                };
                if result.is_err() {
                    return Ok(());
                }
            }
            replies = replies.saturating_add(sent(&mut bench.out).len());
            if choice % 3 == 0 && bench.wait().is_err() {
                break;
            }
            prop_assert!(bench.server.queue.len() <= limits::AUTH_QUEUE);
            prop_assert!(bench.server.counts.requests <= limits::AUTH_REQUESTS);
            prop_assert!(bench.server.counts.queries <= limits::AUTH_QUERIES);
            prop_assert!(bench.server.counts.failures <= limits::AUTH_FAILURES);
            prop_assert!(replies <= took);
            prop_assert!(!bench.server.has_succeeded());
        }
    }
}
