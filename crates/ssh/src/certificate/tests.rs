use std::net::IpAddr;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::algorithm::SignatureAlgorithm;
use crate::provider::aws_lc::{provider, sign};
use crate::wire::Write as _;

const USER: u32 = 1;
const HOST: u32 = 2;

static AUTHORITY: LazyLock<Arc<dyn Signer>> = LazyLock::new(|| sign::ed25519(&[1; 32]).unwrap());
static SUBJECT: LazyLock<Arc<dyn Signer>> = LazyLock::new(|| sign::ed25519(&[2; 32]).unwrap());

/// What to put into a certificate; the lists are already encoded.
#[derive(Clone)]
struct Draft {
    type_name: &'static str,
    point: Vec<u8>,
    serial: u64,
    kind: u32,
    key_id: Vec<u8>,
    principals: Vec<u8>,
    valid_after: u64,
    valid_before: u64,
    critical: Vec<u8>,
    extensions: Vec<u8>,
    reserved: Vec<u8>,
    authority: Vec<u8>,
}

impl Draft {
    fn user() -> Self {
        Self {
            type_name: "ssh-ed25519-cert-v01@openssh.com",
            point: SUBJECT.public_key().blob()[19..].to_vec(),
            serial: 7,
            kind: USER,
            key_id: b"alice's laptop".to_vec(),
            principals: strings(&["alice"]),
            valid_after: 1_000,
            valid_before: 2_000,
            critical: Vec::new(),
            extensions: options(&[("permit-port-forwarding", b"")]),
            reserved: Vec::new(),
            authority: AUTHORITY.public_key().blob().to_vec(),
        }
    }

    fn host(principals: &[&str]) -> Self {
        Self {
            kind: HOST,
            principals: strings(principals),
            extensions: Vec::new(),
            ..Self::user()
        }
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        blob.put_string(self.type_name.as_bytes());
        blob.put_string(&[9; 32]);
        blob.put_string(&self.point);
        blob.put_uint64(self.serial);
        blob.put_uint32(self.kind);
        blob.put_string(&self.key_id);
        blob.put_string(&self.principals);
        blob.put_uint64(self.valid_after);
        blob.put_uint64(self.valid_before);
        blob.put_string(&self.critical);
        blob.put_string(&self.extensions);
        blob.put_string(&self.reserved);
        blob.put_string(&self.authority);
        blob
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = self.unsigned();
        let signature = AUTHORITY.sign(SignatureAlgorithm::Ed25519, &blob).unwrap();
        blob.put_string(&signature);
        blob
    }

    fn signed(&self) -> Result<Certificate, CertificateError> {
        Certificate::from_blob(&self.blob())
    }
}

fn strings(list: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for string in list {
        out.put_string(string.as_bytes());
    }
    out
}

fn options(list: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in list {
        out.put_string(name.as_bytes());
        out.put_string(data);
    }
    out
}

fn wire_string(text: &str) -> Vec<u8> {
    strings(&[text])
}

/// A login of alice from a known address in the middle of the time.
const LOGIN: Wanted<'static> = Wanted::Login {
    principals: &["alice"],
    source: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
};

fn check_as(draft: &Draft, wanted: Wanted<'_>, now: u64) -> Result<Approval, Refusal> {
    draft.signed().unwrap().check(
        provider().verifier.as_ref(),
        &Question {
            authorities: &[AUTHORITY.public_key().clone()],
            is_revoked: &|_| false,
            wanted,
            now,
        },
    )
}

fn check(draft: &Draft) -> Result<Approval, Refusal> {
    check_as(draft, LOGIN, 1_500)
}

#[test]
fn a_good_certificate_is_good() {
    let certificate = Draft::user().signed().unwrap();
    assert_eq!(certificate.key(), SUBJECT.public_key());
    assert_eq!(certificate.authority(), AUTHORITY.public_key());
    assert_eq!(certificate.kind(), CertificateKind::User);
    assert_eq!(certificate.serial(), 7);
    assert_eq!(certificate.key_id().as_str(), "alice's laptop");
    assert_eq!(certificate.principals(), ["alice"]);
    assert_eq!(
        (certificate.valid_after(), certificate.valid_before()),
        (1_000, 2_000)
    );
    assert_eq!(certificate.key_algorithms(), [KeyAlgorithm::Ed25519Cert]);
    assert_eq!(
        check(&Draft::user()),
        Ok(Approval {
            expires: Some(2_000),
            permits_port_forwarding: true,
            requires_touch: true,
            requires_verification: false,
        })
    );
}

#[test]
fn what_is_certified_and_who_signs_are_told_apart_from_plain_keys() {
    let blob = Draft::user().blob();
    assert!(Certificate::is_certificate(&blob));
    assert_eq!(PublicKey::from_blob(&blob), Err(KeyError::UnknownType));
    let plain = SUBJECT.public_key().blob();
    assert!(!Certificate::is_certificate(plain));
    assert_eq!(
        Certificate::from_blob(plain),
        Err(CertificateError::UnknownType)
    );
    for name in [
        "",
        "-cert-v01@openssh.com",
        "ssh-dss-cert-v01@openssh.com",
        "ssh-ed25519-cert-v00@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com@openssh.com",
        "sk-ssh-ed25519@openssh.com-cert-v01@openssh.com",
        "rsa-sha2-512-cert-v01@openssh.com",
    ] {
        assert!(!Certificate::is_certificate(&wire_string(name)), "{name}");
    }
}

#[test]
fn the_signature_covers_every_byte_in_front_of_it() {
    let draft = Draft::user();
    let good = draft.blob();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        let Ok(certificate) = Certificate::from_blob(&changed) else {
            continue;
        };
        let refusal = certificate
            .check(
                provider().verifier.as_ref(),
                &Question {
                    authorities: &[AUTHORITY.public_key().clone()],
                    is_revoked: &|_| false,
                    wanted: LOGIN,
                    now: 1_500,
                },
            )
            .unwrap_err();
        assert!(
            matches!(
                refusal,
                Refusal::BadSignature | Refusal::UnknownAuthority | Refusal::SignatureAlgorithm
            ),
            "byte {at}: {refusal}"
        );
    }
}

#[test]
fn a_blob_cut_or_lengthened_anywhere_is_no_certificate() {
    let good = Draft::user().blob();
    for size in 0..good.len() {
        assert!(Certificate::from_blob(&good[..size]).is_err(), "{size}");
    }
    assert_eq!(
        Certificate::from_blob(&[&good[..], &[0]].concat()),
        Err(CertificateError::Malformed(WireError::Trailing))
    );
    assert!(Certificate::from_blob(&vec![0; limits::KEY_BLOB + 1]).is_err());
}

#[test]
fn nested_cert_refused() {
    let mut draft = Draft::user();
    // Deeper than 100 it is over the size of a blob, and refused unread.
    for depth in 1..=150 {
        draft.authority = draft.blob();
        let blob = draft.blob();
        let expected = if blob.len() <= limits::KEY_BLOB {
            CertificateError::Authority(KeyError::UnknownType)
        } else {
            assert!(depth > 10);
            CertificateError::Malformed(WireError::Long {
                limit: limits::KEY_BLOB,
            })
        };
        assert_eq!(Certificate::from_blob(&blob), Err(expected), "{depth} deep");
    }
}

#[test]
fn an_authority_that_is_not_ours_is_refused_before_anything_is_verified() {
    #[derive(Debug)]
    struct Never;
    impl crate::provider::Verifier for Never {
        fn verify(
            &self,
            _: &PublicKey,
            _: SignatureAlgorithm,
            _: &[u8],
            _: &[u8],
        ) -> Result<crate::provider::Verified, CryptoError> {
            panic!("a signature was verified for a stranger");
        }
    }
    let certificate = Draft::user().signed().unwrap();
    for authorities in [vec![], vec![SUBJECT.public_key().clone()]] {
        assert_eq!(
            certificate.check(
                &Never,
                &Question {
                    authorities: &authorities,
                    is_revoked: &|_| panic!("revocation was asked for a stranger"),
                    wanted: LOGIN,
                    now: 1_500,
                }
            ),
            Err(Refusal::UnknownAuthority)
        );
    }
}

#[test]
fn a_weak_key_is_refused_on_either_side() {
    let mut draft = Draft::user();
    draft.point = vec![0; 32];
    assert_eq!(check(&draft), Err(Refusal::WeakKey));
    let mut blob = Vec::new();
    blob.put_string(b"ssh-ed25519");
    blob.put_string(&[0; 32]);
    draft = Draft::user();
    draft.authority.clone_from(&blob);
    assert_eq!(
        draft.signed().unwrap().check(
            provider().verifier.as_ref(),
            &Question {
                authorities: &[PublicKey::from_blob(&blob).unwrap()],
                is_revoked: &|_| false,
                wanted: LOGIN,
                now: 1_500,
            }
        ),
        Err(Refusal::UnknownAuthority)
    );
}

#[test]
fn the_authoritys_signature_is_of_an_algorithm_of_ours() {
    for name in ["ssh-rsa", "ssh-dss", "rsa-sha2-512", "", "ssh-ed25519 "] {
        let mut blob = Draft::user().unsigned();
        let mut signature = Vec::new();
        signature.put_string(name.as_bytes());
        signature.put_string(&[1; 64]);
        blob.put_string(&signature);
        let certificate = Certificate::from_blob(&blob).unwrap();
        assert_eq!(
            certificate.check(
                provider().verifier.as_ref(),
                &Question {
                    authorities: &[AUTHORITY.public_key().clone()],
                    is_revoked: &|_| false,
                    wanted: LOGIN,
                    now: 1_500,
                }
            ),
            Err(Refusal::SignatureAlgorithm),
            "{name}"
        );
    }
}

#[test]
fn revoked_ca_refuses_cert() {
    let certificate = Draft::user().signed().unwrap();
    let (subject, authority) = (SUBJECT.public_key(), AUTHORITY.public_key());
    let revoked: [&dyn Fn(Revocable<'_>) -> bool; 4] = [
        &|what| what == Revocable::Key(subject),
        &|what| what == Revocable::Key(authority),
        &|what| {
            what == Revocable::Serial {
                authority,
                serial: 7,
            }
        },
        &|what| {
            what == Revocable::KeyId {
                authority,
                key_id: b"alice's laptop",
            }
        },
    ];
    for is_revoked in revoked {
        assert_eq!(
            certificate.check(
                provider().verifier.as_ref(),
                &Question {
                    authorities: std::slice::from_ref(authority),
                    is_revoked,
                    wanted: LOGIN,
                    now: 1_500,
                }
            ),
            Err(Refusal::Revoked)
        );
    }
}

#[test]
fn cert_type_time_wildcard() {
    let host = Wanted::Host {
        name: "a.example.com",
    };
    assert_eq!(
        check_as(&Draft::user(), host, 1_500),
        Err(Refusal::WrongKind)
    );
    assert_eq!(
        check_as(&Draft::host(&["alice"]), LOGIN, 1_500),
        Err(Refusal::WrongKind)
    );
    for kind in [0, 3, u32::MAX] {
        let draft = Draft {
            kind,
            ..Draft::user()
        };
        assert_eq!(draft.signed(), Err(CertificateError::Kind));
    }

    for (now, expected) in [
        (0, Some(Refusal::NotYetValid)),
        (999, Some(Refusal::NotYetValid)),
        (1_000, None),
        (1_999, None),
        (2_000, Some(Refusal::Expired)),
        (u64::MAX, Some(Refusal::Expired)),
    ] {
        assert_eq!(
            check_as(&Draft::user(), LOGIN, now).err(),
            expected,
            "{now}"
        );
    }
    let ever = Draft {
        valid_after: 0,
        valid_before: u64::MAX,
        ..Draft::user()
    };
    assert_eq!(check_as(&ever, LOGIN, 0).unwrap().expires, None);
    assert!(check_as(&ever, LOGIN, u64::MAX - 1).is_ok());
    let never = Draft {
        valid_after: 1_500,
        valid_before: 1_500,
        ..Draft::user()
    };
    assert_eq!(check(&never), Err(Refusal::Expired));

    // Patterns are for hosts; in a user's certificate they are letters.
    for (principals, is_host, is_user) in [
        (&["a.example.com"][..], true, false),
        (&["*.example.com"], true, false),
        (&["b.example.com", "?.example.com"], true, false),
        (&["*"], true, false),
        (&["a"], false, false),
        (&["alice"], false, true),
        (&["bob", "alice"], false, true),
        (&["Alice"], false, false),
        (&["al*"], false, false),
        (&["alice "], false, false),
        (&["alice,bob"], false, false),
        (&[""], false, false),
    ] {
        assert_eq!(
            check_as(&Draft::host(principals), host, 1_500).is_ok(),
            is_host,
            "{principals:?}"
        );
        let user = Draft {
            principals: strings(principals),
            ..Draft::user()
        };
        assert_eq!(check(&user).is_ok(), is_user, "{principals:?}");
    }
}

#[test]
fn cert_empty_principals_refused() {
    let user = Draft {
        principals: Vec::new(),
        ..Draft::user()
    };
    assert_eq!(check(&user), Err(Refusal::NoPrincipals));
    let host = Wanted::Host { name: "a" };
    assert_eq!(
        check_as(&Draft::host(&[]), host, 1_500),
        Err(Refusal::NoPrincipals)
    );
    let nobody = Wanted::Login {
        principals: &[],
        source: None,
    };
    assert_eq!(
        check_as(&Draft::user(), nobody, 1_500),
        Err(Refusal::WrongPrincipal)
    );
}

#[test]
fn principals_and_options_are_capped() {
    let names: Vec<String> = (0..=limits::CERTIFICATE_PRINCIPALS)
        .map(|number| format!("{number:03}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let with = |names: &[&str]| Draft {
        principals: strings(names),
        ..Draft::user()
    };
    assert!(with(&names[1..]).signed().is_ok());
    assert_eq!(
        with(&names).signed(),
        Err(CertificateError::TooManyPrincipals)
    );
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &b""[..])).collect();
    let with = |count: usize| Draft {
        extensions: options(&entries[..count]),
        ..Draft::user()
    };
    assert!(with(limits::CERTIFICATE_OPTIONS).signed().is_ok());
    assert_eq!(
        with(limits::CERTIFICATE_OPTIONS + 1).signed(),
        Err(CertificateError::TooManyOptions)
    );
    // A count that lies: half a string at the end of a list.
    let mut cut = strings(&["alice"]);
    cut.extend_from_slice(&[0, 0, 0, 9, b'x']);
    let draft = Draft {
        principals: cut,
        ..Draft::user()
    };
    assert_eq!(
        draft.signed(),
        Err(CertificateError::Malformed(WireError::Short))
    );
}

/// Critical options and what comes of them.
type Case<'a> = (&'a [(&'a str, &'a [u8])], Option<Refusal>);

#[test]
fn cert_options_table() {
    let address = |list: &str| wire_string(list);
    let trailing = [&address("192.0.2.7")[..], &[0]].concat();
    let ours = address("192.0.2.0/24");
    let critical: [Case<'_>; 17] = [
        (&[], None),
        (&[("source-address", &ours)], None),
        (
            &[("source-address", &address("192.0.2.7,2001:db8::/32"))],
            None,
        ),
        (
            &[("source-address", &address("192.0.2.8"))],
            Some(Refusal::SourceAddress),
        ),
        (
            &[("source-address", &address(""))],
            Some(Refusal::SourceAddress),
        ),
        (
            &[("source-address", &address("192.0.2.7,nonsense"))],
            Some(Refusal::CriticalOption),
        ),
        (
            &[("source-address", &address("192.0.2.7/24"))],
            Some(Refusal::CriticalOption),
        ),
        (&[("source-address", b"")], Some(Refusal::CriticalOption)),
        (
            &[("source-address", b"192.0.2.7")],
            Some(Refusal::CriticalOption),
        ),
        (
            &[("source-address", &trailing)],
            Some(Refusal::CriticalOption),
        ),
        (&[("verify-required", b"")], None),
        (
            &[("verify-required", &address(""))],
            Some(Refusal::CriticalOption),
        ),
        (&[("source-address", &ours), ("verify-required", b"")], None),
        (
            &[("force-command", &address("true"))],
            Some(Refusal::CriticalOption),
        ),
        (
            &[("permit-port-forwarding", b"")],
            Some(Refusal::CriticalOption),
        ),
        (&[("", b"")], Some(Refusal::CriticalOption)),
        (&[("Source-address", &ours)], Some(Refusal::CriticalOption)),
    ];
    for (entries, expected) in critical {
        let draft = Draft {
            critical: options(entries),
            ..Draft::user()
        };
        assert_eq!(check(&draft).err(), expected, "{entries:?}");
        // In a host's certificate none is known.
        let host = Draft {
            critical: options(entries),
            ..Draft::host(&["a"])
        };
        assert_eq!(
            check_as(&host, Wanted::Host { name: "a" }, 1_500).is_ok(),
            entries.is_empty(),
            "{entries:?}"
        );
    }
    let from_nowhere = Wanted::Login {
        principals: &["alice"],
        source: None,
    };
    let draft = Draft {
        critical: options(&[("source-address", &address("0.0.0.0/0,::/0"))]),
        ..Draft::user()
    };
    assert_eq!(
        check_as(&draft, from_nowhere, 1_500),
        Err(Refusal::SourceAddress)
    );
    let draft = Draft {
        critical: options(&[("verify-required", b"")]),
        ..Draft::user()
    };
    assert!(check(&draft).unwrap().requires_verification);
}

#[test]
fn options_out_of_order_are_no_certificate() {
    let ours = wire_string("192.0.2.0/24");
    for entries in [
        &[("b", &b""[..]), ("a", b"")][..],
        &[("a", b""), ("a", b"")],
        &[("verify-required", b""), ("source-address", &ours)],
        &[("source-address", &ours), ("source-address", &ours)],
    ] {
        let (critical, extensions) = (options(entries), options(entries));
        for draft in [
            Draft {
                critical,
                ..Draft::user()
            },
            Draft {
                extensions,
                ..Draft::user()
            },
        ] {
            assert_eq!(draft.signed(), Err(CertificateError::OptionOrder));
        }
    }
}

#[test]
fn extensions_allow_and_unknown_ones_do_nothing() {
    let with = |entries: &[(&str, &[u8])]| {
        check(&Draft {
            extensions: options(entries),
            ..Draft::user()
        })
    };
    let none = with(&[]).unwrap();
    assert!(!none.permits_port_forwarding);
    assert!(none.requires_touch);
    let all = with(&[
        ("made-up@example.com", b"\0\0\0\x01x"),
        ("no-touch-required", b""),
        ("permit-X11-forwarding", b""),
        ("permit-port-forwarding", b""),
        ("permit-pty", b""),
    ])
    .unwrap();
    assert!(all.permits_port_forwarding);
    assert!(!all.requires_touch);
    for name in ["permit-port-forwarding", "no-touch-required"] {
        assert_eq!(with(&[(name, b"x")]), Err(Refusal::Extension), "{name}");
    }
}

#[test]
fn a_certified_key_needs_the_key_that_was_certified() {
    let certificate = Draft::user().signed().unwrap();
    let key = CertifiedKey::new(certificate.clone(), SUBJECT.clone()).unwrap();
    assert_eq!(key.blob(), certificate.blob());
    assert_eq!(key.key_algorithms(), [KeyAlgorithm::Ed25519Cert]);
    assert_eq!(
        CertifiedKey::new(certificate, AUTHORITY.clone()).unwrap_err(),
        CryptoError::BadKey
    );
}

proptest! {
    #[test]
    fn any_bytes_behind_the_type_are_read_without_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut blob = wire_string("ssh-ed25519-cert-v01@openssh.com");
        blob.extend_from_slice(&bytes);
        prop_assert!(Certificate::from_blob(&blob).is_err());
    }

    #[test]
    fn any_lists_are_read_without_harm(
        principals in proptest::collection::vec(any::<u8>(), 0..60),
        critical in proptest::collection::vec(any::<u8>(), 0..60),
        extensions in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let draft = Draft { principals, critical, extensions, ..Draft::user() };
        if draft.signed().is_ok() {
            let is_plain = draft.critical.is_empty();
            prop_assert!(is_plain || check(&draft).is_err());
        }
    }
}
