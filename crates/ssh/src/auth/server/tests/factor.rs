//! Logins of several steps: what was proved is kept, and so is what it holds the login to.

use super::*;
use crate::certificate::Restrictions;

const ALGORITHM: KeyAlgorithm = KeyAlgorithm::Ed25519Cert;
/// May forward, from two networks.
const OFFICE: &str = "192.0.2.0/24,2001:db8::/32";

/// A certificate for the key of that number that is good from those addresses alone.
fn certificate_from(number: u8, addresses: &str) -> Vec<u8> {
    let mut list = Vec::new();
    list.put_string(addresses.as_bytes());
    let critical = [("source-address", &list[..])];
    fake::certificate_with(number, &critical, &["permit-port-forwarding"])
}

/// What a client proves in one step.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Certificate(u8, &'a [u8]),
    Key(u8),
    Password,
    Dialog,
}

impl Bench {
    fn from(source: Option<&str>) -> Self {
        let mut bench = Self::open();
        let source = source.map(|source| source.parse().unwrap());
        bench.server = bench.server.coming_from(source);
        bench
    }

    /// Proves something and gives the question about it.
    fn prove(&mut self, step: Step<'_>) -> ServerQuestion {
        let by_key = |number, algorithm, shown: &[u8]| {
            let request = unsigned("anna", algorithm, shown);
            signed(request, SESSION, algorithm, &fake::ed25519(number))
        };
        match step {
            Step::Certificate(number, blob) => {
                self.take(&by_key(number, ALGORITHM, blob)).unwrap();
                self.key(AUTHORISED).unwrap();
            }
            Step::Key(number) => {
                let key = fake::ed25519(number);
                let request = by_key(number, KeyAlgorithm::Ed25519, &key);
                self.take(&request).unwrap();
                self.key(AUTHORISED).unwrap();
            }
            Step::Password => self.take(&password_request("anna", b"right")).unwrap(),
            Step::Dialog => {
                self.take(&dialog_request("anna")).unwrap();
                self.prompt(1).unwrap();
                self.take(&answers(1, &[b"right"])).unwrap();
            }
        }
        self.question()
    }

    /// Proves it, and more is wanted.
    fn prove_in_part(&mut self, step: Step<'_>) {
        let id = self.prove(step).id;
        let verdict = LoginVerdict::Partial {
            remaining: Method::ALL.to_vec(),
        };
        self.server
            .answer_login(id, verdict, self.now, &mut self.out)
            .unwrap();
        assert_eq!(
            sent(&mut self.out).last(),
            Some(&failure(ALL_METHODS, true))
        );
    }

    /// Proves it, and that is enough for the owner. Says whether it is for the login.
    fn prove_at_last(&mut self, step: Step<'_>) -> bool {
        let id = self.prove(step).id;
        sent(&mut self.out);
        self.server
            .answer_login(id, LoginVerdict::Accept, self.now, &mut self.out)
            .unwrap();
        let is_in = self.server.has_succeeded();
        if is_in {
            assert_eq!(sent(&mut self.out), [vec![52]]);
        } else {
            self.expect_refusal();
        }
        is_in
    }
}

#[test]
fn partial_success_keeps_restrictions() {
    let office = certificate_from(1, OFFICE);
    let desk = certificate_from(2, "192.0.2.7");
    let street = certificate_from(2, "198.51.100.0/24");
    let bare = fake::certificate(2);
    let here = Some("192.0.2.7");
    let (one, two) = (Step::Certificate(1, &office), Step::Certificate(2, &desk));
    for (steps, source, is_in, may_forward) in [
        (vec![one, two], here, true, true),
        (vec![one, two], Some("192.0.2.8"), false, true),
        (vec![two, one], Some("192.0.2.8"), false, true),
        // Each alone is good from somewhere, both together from nowhere.
        (vec![one, Step::Certificate(2, &street)], here, false, true),
        (
            vec![one, Step::Certificate(2, &street)],
            Some("198.51.100.1"),
            false,
            true,
        ),
        // What one does not permit is not permitted, whether it came first or last.
        (vec![one, Step::Certificate(2, &bare)], here, true, false),
        (vec![Step::Certificate(2, &bare), one], here, true, false),
        (
            vec![Step::Certificate(2, &bare), Step::Password],
            here,
            true,
            false,
        ),
        (
            vec![Step::Password, Step::Dialog, Step::Certificate(2, &bare)],
            here,
            true,
            false,
        ),
        // What comes behind a certificate frees nobody of it.
        (vec![one, Step::Key(3)], Some("203.0.113.9"), false, true),
        (vec![one, Step::Password], Some("203.0.113.9"), false, true),
        (vec![one, Step::Dialog], Some("203.0.113.9"), false, true),
        (vec![Step::Password, Step::Key(3)], None, true, true),
    ] {
        let mut bench = Bench::from(source);
        let (last, before) = steps.split_last().unwrap();
        for step in before {
            bench.prove_in_part(*step);
        }
        assert_eq!(
            bench.prove_at_last(*last),
            is_in,
            "{steps:?} from {source:?}"
        );
        if is_in {
            let permits = bench.server.restrictions().permit_forwarding();
            assert_eq!(permits, may_forward, "{steps:?}");
        }
    }
}

#[test]
fn source_address_every_method_empty_non_ip() {
    let office = certificate_from(1, OFFICE);
    let nobody = certificate_from(1, "");
    let half = certificate_from(1, "192.0.2.0/24,example.com");
    let everybody = fake::certificate(1);
    for (certificate, source, is_good) in [
        (&office, Some("192.0.2.200"), true),
        (&office, Some("::ffff:192.0.2.200"), true),
        (&office, Some("2001:db8::1"), true),
        (&office, Some("203.0.113.9"), false),
        (&office, Some("::1"), false),
        // What has no address is in no list, and an empty list has no address.
        (&office, None, false),
        (&nobody, Some("192.0.2.200"), false),
        (&nobody, None, false),
        (&half, Some("192.0.2.200"), false),
        (&everybody, Some("203.0.113.9"), true),
        (&everybody, None, true),
    ] {
        let step = Step::Certificate(1, certificate);
        assert_eq!(
            Bench::from(source).prove_at_last(step),
            is_good,
            "from {source:?}"
        );
        for last in [Step::Password, Step::Dialog, Step::Key(2)] {
            for steps in [[step, last], [last, step]] {
                let mut bench = Bench::from(source);
                bench.prove_in_part(steps[0]);
                assert_eq!(
                    bench.prove_at_last(steps[1]),
                    is_good,
                    "{steps:?} from {source:?}"
                );
            }
        }
    }
}

#[test]
fn the_last_word_is_about_everything_that_was_proved() {
    let certificate = fake::certificate(1);
    let mut bench = Bench::open();
    assert!(bench.prove(Step::Password).proved.is_empty());
    let mut bench = Bench::open();
    bench.prove_in_part(Step::Certificate(1, &certificate));
    bench.prove_in_part(Step::Dialog);
    bench.prove_in_part(Step::Password);
    let question = bench.prove(Step::Key(2));
    let [Factor::Key { key, .. }, Factor::Dialog, Factor::Password] = &*question.proved else {
        panic!("{:?}", question.proved);
    };
    assert_eq!(key.blob, certificate);
    assert!(matches!(question.claim, Claim::ProvedKey { key, .. } if key.blob == fake::ed25519(2)));
    // What was refused was not proved.
    let (now, out) = (bench.now, &mut bench.out);
    bench
        .server
        .answer_login(question.id, LoginVerdict::Reject, now, out)
        .unwrap();
    bench.wait().unwrap();
    assert_eq!(bench.prove(Step::Password).proved.len(), 3);
}

#[test]
fn a_key_is_one_factor_however_often_it_comes() {
    let (key, certificate) = (fake::ed25519(1), fake::certificate(1));
    for first in [Step::Key(1), Step::Certificate(1, &certificate)] {
        for (algorithm, blob) in [
            (KeyAlgorithm::Ed25519, &key),
            (ALGORITHM, &certificate),
            (ALGORITHM, &certificate_from(1, OFFICE)),
        ] {
            let mut bench = Bench::open();
            bench.prove_in_part(first);
            bench.take(&query("anna", algorithm, blob)).unwrap();
            bench.expect_refusal();
            let again = signed(unsigned("anna", algorithm, blob), SESSION, algorithm, &key);
            bench.take(&again).unwrap();
            bench.expect_refusal();
            assert!(bench.prove_at_last(Step::Key(2)), "another is another");
        }
    }
}

#[test]
fn restrictions_are_narrowed_by_each_other_alone() {
    let blob = certificate_from(1, OFFICE);
    let certificate = crate::certificate::Certificate::from_blob(&blob).unwrap();
    let office = Restrictions::of(&certificate);
    assert_eq!(Restrictions::NONE.and(office.clone()), office);
    assert_eq!(office.clone().and(Restrictions::NONE), office);
    assert_eq!(office.expires(), None);
    assert!(Restrictions::NONE.permit_source(None));
}

#[test]
fn what_a_certificate_asks_of_a_security_key_is_asked_for_besides() {
    let lax = SecurityKeyRules {
        touch_required: false,
        verify_required: false,
    };
    for (critical, extensions, touch_required, verify_required) in [
        (&[][..], &[][..], true, false),
        (&[], &["no-touch-required"], false, false),
        (&[("verify-required", &[][..])], &[], true, true),
        (
            &[("verify-required", &[])],
            &["no-touch-required"],
            false,
            true,
        ),
    ] {
        let blob = fake::certificate_with(1, critical, extensions);
        let certificate = crate::certificate::Certificate::from_blob(&blob).unwrap();
        let wanted = SecurityKeyRules {
            touch_required,
            verify_required,
        };
        assert_eq!(lax.and_of(Some(&certificate)), wanted);
    }
    assert_eq!(lax.and_of(None), lax);
}
