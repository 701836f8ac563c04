//! Logins of machines that want to become devices, step by step, without a network.

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::provider::{Verified, aws_lc};
use adit_ssh::secret::Secret;

use super::*;
use crate::enroll::HostHash;

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// One code, which is good once and for whoever comes first.
#[derive(Debug)]
struct One {
    hash: String,
    by: Mutex<Option<Vec<u8>>>,
}

impl Enroll for One {
    fn redeem<'a>(
        &'a self,
        code: &'a Code,
        key: NewDeviceKey,
        _: IpAddr,
    ) -> Later<'a, Result<(), NotEnrolled>> {
        let mut by = self.by.lock().unwrap();
        let is_good = code.hash() == self.hash && by.as_ref().is_none_or(|by| *by == key.blob);
        if is_good {
            *by = Some(key.blob);
        }
        let reason = String::from("no");
        Box::pin(async move { is_good.then_some(()).ok_or(NotEnrolled { reason }) })
    }
}

fn host() -> HostHash {
    HostHash::of(&key(200).key)
}

fn code(seed: u8) -> Code {
    Code::new(&[seed; 21], host())
}

fn enrolment() -> Enrolment {
    Enrolment::new(Arc::new(One {
        hash: code(1).hash(),
        by: Mutex::default(),
    }))
}

fn key(seed: u8) -> PresentedKey {
    let signer = aws_lc::sign::ed25519(&[seed; 32]).unwrap();
    let key = signer.public_key().clone();
    PresentedKey {
        algorithm: KeyAlgorithm::from_name(b"ssh-ed25519").unwrap(),
        blob: key.blob().to_vec(),
        key,
        certificate: None,
    }
}

/// What is claimed now, and the key that was proved before.
fn question(claim: Claim, proved: Option<u8>) -> (Claim, Vec<Factor>) {
    let factor = proved.map(|seed| Factor::Key {
        key: key(seed),
        verified: Verified::default(),
    });
    (claim, factor.into_iter().collect())
}

fn answers(text: &str) -> Claim {
    Claim::Answers(vec![Secret::new(String::from(text))])
}

async fn step(
    enrolment: &Enrolment,
    applicant: &mut Applicant,
    (claim, proved): (Claim, Vec<Factor>),
) -> Step {
    enrolment.step(applicant, (&claim, &proved), SOURCE).await
}

fn is_rejected(step: &Step) -> bool {
    matches!(step, Step::Decided(Decision::Verdict(LoginVerdict::Reject)))
}

/// G42: neither a key nor a code is enough, and the code makes a device of the key that was proved in this login.
#[tokio::test]
async fn join_binds_key_and_code() {
    let all = enrolment();
    let text = code(1).text().to_string();
    let mut applicant = Applicant::default();
    let proved = Claim::ProvedKey {
        key: key(1),
        verified: Verified::default(),
    };
    let partial = step(&all, &mut applicant, question(proved, None)).await;
    assert!(matches!(
        partial,
        Step::Decided(Decision::Verdict(LoginVerdict::Partial { remaining }))
            if remaining == [Method::KeyboardInteractive]
    ));
    for claim in [
        Claim::Dialog,
        answers(&text),
        Claim::Password(Secret::new(text.clone())),
    ] {
        let without = step(&all, &mut Applicant::default(), question(claim, None)).await;
        assert!(is_rejected(&without), "{without:?}");
    }
    let asked = step(&all, &mut applicant, question(Claim::Dialog, Some(1))).await;
    assert!(matches!(
        asked,
        Step::Decided(Decision::Ask(prompts)) if !prompts.prompts[0].echo
    ));
    let done = step(&all, &mut applicant, question(answers(&text), Some(1))).await;
    assert!(matches!(done, Step::Enrolled(by) if *by == key(1)));
    // Another key with the same code is nobody; the same one gets the same answer.
    let other = step(
        &all,
        &mut Applicant::default(),
        question(answers(&text), Some(2)),
    )
    .await;
    assert!(is_rejected(&other));
    let again = step(
        &all,
        &mut Applicant::default(),
        question(answers(&text), Some(1)),
    )
    .await;
    assert!(matches!(again, Step::Enrolled(_)));
}

#[tokio::test]
async fn one_login_has_one_try() {
    let all = enrolment();
    let mut applicant = Applicant::default();
    let wrong = step(&all, &mut applicant, question(answers("hunter2"), Some(1))).await;
    assert!(is_rejected(&wrong));
    let good = code(1).text().to_string();
    for claim in [Claim::Dialog, answers(&good)] {
        assert!(is_rejected(
            &step(&all, &mut applicant, question(claim, Some(1))).await
        ));
    }
}

/// G41: ten codes of no use in a minute from one network; good ones are not counted.
#[tokio::test(start_paused = true)]
async fn a_network_that_guesses_is_not_heard_for_a_minute() {
    let all = enrolment();
    let good = code(1).text().to_string();
    for _ in 0..30 {
        let done = step(
            &all,
            &mut Applicant::default(),
            question(answers(&good), Some(1)),
        )
        .await;
        assert!(matches!(done, Step::Enrolled(_)));
    }
    let wrong = code(2).text().to_string();
    for _ in 0..TRIES {
        assert!(matches!(
            all.key(&key(1), SOURCE),
            KeyVerdict::Authorised(_)
        ));
        let answer = answers(&wrong);
        assert!(is_rejected(
            &step(&all, &mut Applicant::default(), question(answer, Some(1))).await
        ));
    }
    let neighbour = "192.0.2.99".parse().unwrap();
    assert_eq!(all.key(&key(1), neighbour), KeyVerdict::Refused);
    let late = step(
        &all,
        &mut Applicant::default(),
        question(answers(&good), Some(1)),
    )
    .await;
    assert!(is_rejected(&late));
    let elsewhere = "198.51.100.1".parse().unwrap();
    assert!(matches!(
        all.key(&key(1), elsewhere),
        KeyVerdict::Authorised(_)
    ));
    tokio::time::advance(MINUTE).await;
    assert!(matches!(
        all.key(&key(1), SOURCE),
        KeyVerdict::Authorised(_)
    ));
}

/// G44, S64.
#[test]
fn a_key_that_means_nothing_cannot_be_enrolled() {
    let all = enrolment();
    let mut blob = vec![0, 0, 0, 11];
    blob.extend_from_slice(b"ssh-ed25519");
    blob.extend_from_slice(&[0, 0, 0, 32, 1]);
    blob.extend_from_slice(&[0; 31]);
    let weak = PresentedKey {
        key: PublicKey::from_blob(&blob).unwrap(),
        blob,
        ..key(1)
    };
    assert_eq!(all.key(&weak, SOURCE), KeyVerdict::Refused);
    assert!(matches!(
        all.key(&key(1), SOURCE),
        KeyVerdict::Authorised(_)
    ));
}

#[test]
fn networks_that_are_counted_are_limited() {
    let mut tries = Tries::default();
    let start = now();
    for number in 0..=u32::try_from(NETWORKS).unwrap() {
        let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number << 8));
        assert!(tries.take(Network::of(address), start));
    }
    assert_eq!(tries.counts.len(), NETWORKS);
}
