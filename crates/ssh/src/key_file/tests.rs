use pem_rfc7468::LineEnding;
use proptest::prelude::*;

use super::*;
use crate::wire::{Reader, Write as _};

const SEED: [u8; 32] = [7; 32];

fn armour(label: &str, body: &[u8]) -> Vec<u8> {
    pem_rfc7468::encode_string(label, LineEnding::LF, body)
        .unwrap()
        .into_bytes()
}

/// What a good file holds, to be changed one piece at a time.
struct Pieces {
    cipher: &'static str,
    kdf: &'static str,
    options: Vec<u8>,
    count: u32,
    public: Vec<u8>,
    private: Vec<u8>,
    end: Vec<u8>,
}

impl Pieces {
    fn good() -> Self {
        let file = write_ed25519(&SEED, "me").unwrap();
        let (_, body) = pem_rfc7468::decode_vec(file.as_bytes()).unwrap();
        let mut reader = Reader::new(body.strip_prefix(b"openssh-key-v1\0").unwrap());
        for _ in 0..3 {
            reader.string().unwrap();
        }
        reader.uint32().unwrap();
        Self {
            cipher: "none",
            kdf: "none",
            options: Vec::new(),
            count: 1,
            public: reader.string().unwrap().to_vec(),
            private: reader.string().unwrap().to_vec(),
            end: Vec::new(),
        }
    }

    fn bcrypt(rounds: u32) -> Self {
        let mut options = Vec::new();
        options.put_string(&[1; 16]);
        options.put_uint32(rounds);
        Self {
            cipher: "aes256-ctr",
            kdf: "bcrypt",
            options,
            ..Self::good()
        }
    }

    fn file(&self) -> Vec<u8> {
        let mut body = b"openssh-key-v1\0".to_vec();
        body.put_string(self.cipher.as_bytes());
        body.put_string(self.kdf.as_bytes());
        body.put_string(&self.options);
        body.put_uint32(self.count);
        body.put_string(&self.public);
        body.put_string(&self.private);
        body.put_bytes(&self.end);
        armour("OPENSSH PRIVATE KEY", &body)
    }

    fn error(&self) -> KeyFileError {
        parse(&self.file(), Some(b"secret")).unwrap_err()
    }
}

fn malformed(error: KeyFileError) -> &'static str {
    let KeyFileError::Malformed { what, .. } = error else {
        panic!("{error}");
    };
    what
}

#[test]
fn a_written_key_is_read_again() {
    for comment in ["", "a", "seven b", "longer than one block of eight"] {
        let file = write_ed25519(&SEED, comment).unwrap();
        let signer = parse(file.as_bytes(), None).unwrap();
        assert_eq!(
            signer.public_key(),
            crate::provider::aws_lc::sign::ed25519(&SEED)
                .unwrap()
                .public_key()
        );
        assert_eq!(&public_key(file.as_bytes()).unwrap(), signer.public_key());
        // Windows line ends, a byte order mark and text in front are no harm.
        let windows = format!("\u{feff}Bag Attributes\r\n{}", file.replace('\n', "\r\n"));
        assert!(parse(windows.as_bytes(), None).is_ok());
    }
}

#[test]
fn an_openssh_file_is_read_strictly() {
    assert!(parse(&Pieces::good().file(), None).is_ok());
    let of = |change: fn(&mut Pieces)| {
        let mut pieces = Pieces::good();
        change(&mut pieces);
        pieces.error()
    };
    let form = Form::OpenSsh;
    assert_eq!(
        malformed(of(|file| file.private[0] ^= 1)),
        "its check numbers differ"
    );
    assert_eq!(
        malformed(of(|file| *file.private.last_mut().unwrap() ^= 1)),
        "its padding is not 1, 2, 3"
    );
    assert_eq!(
        malformed(of(|file| file.private.extend(1..=16))),
        "its padding is not 1, 2, 3"
    );
    assert_eq!(
        malformed(of(|file| file.end.push(0))),
        "something is left over"
    );
    for change in [
        |file: &mut Pieces| file.count = 0,
        |file: &mut Pieces| file.count = 2,
        |file: &mut Pieces| file.count = u32::MAX,
        |file: &mut Pieces| file.cipher = "rot13",
        |file: &mut Pieces| (file.cipher, file.kdf) = ("none", "bcrypt"),
        |file: &mut Pieces| file.options = vec![0],
        |file: &mut Pieces| (file.cipher, file.kdf) = ("aes256-ctr", "none"),
        |file: &mut Pieces| (file.cipher, file.kdf) = ("aes256-ctr", "md5"),
    ] {
        let error = of(change);
        assert!(matches!(error, KeyFileError::Unsupported { .. }), "{error}");
    }
    // Another key's public half, in each of the places where it stands.
    let mismatch = KeyFileError::Mismatch { form };
    let other = crate::provider::aws_lc::sign::ed25519(&[8; 32]).unwrap();
    let mut pieces = Pieces::good();
    pieces.public = other.public_key().blob().to_vec();
    assert_eq!(pieces.error(), mismatch);
    let point = Pieces::good().public[19..].to_vec();
    let places: Vec<usize> = (0..Pieces::good().private.len() - 32)
        .filter(|at| Pieces::good().private[*at..][..32] == point[..])
        .collect();
    assert_eq!(places.len(), 2);
    for at in places {
        let mut pieces = Pieces::good();
        pieces.private[at] ^= 1;
        assert_eq!(pieces.error(), mismatch);
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let body = Pieces::good().file();
    let (_, body) = pem_rfc7468::decode_vec(&body).unwrap();
    for size in 0..body.len() {
        let error = parse(&armour("OPENSSH PRIVATE KEY", &body[..size]), None).unwrap_err();
        assert!(
            matches!(
                error,
                KeyFileError::Malformed { .. } | KeyFileError::Mismatch { .. }
            ),
            "{size}: {error}"
        );
    }
}

const PPK3: &str = "PuTTY-User-Key-File-3: ssh-ed25519
Encryption: aes256-cbc
Comment: c
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAIB/MjeSZ9tHiwEAtf7+DeBq1Q86keC6vcT48+eKs
rBUQ
Key-Derivation: Argon2id
Argon2-Memory: 8192
Argon2-Passes: 13
Argon2-Parallelism: 1
Argon2-Salt: 00112233445566778899aabbccddeeff
Private-Lines: 1
AAAAIE0pNYXC7mSKqHXpr9+KV3R6RO2D0/CIRS7ewrMFQp9hAAAAAAAAAAAAAAAA
Private-MAC: a9836e47699e71604eea9fb2c62a90e2ca4667281af5217e6b8ab7960f99aa7e
";

/// DER of an encrypted PKCS #8 file around a key derivation.
fn pkcs8(kdf: &[u8]) -> Vec<u8> {
    let tlv = |tag: u8, body: &[u8]| {
        assert!(body.len() < 256);
        [&[tag, 0x81, u8::try_from(body.len()).unwrap()][..], body].concat()
    };
    // aes256-CBC-PAD with an initial vector.
    let cipher = tlv(
        0x30,
        &[
            &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2a][..],
            &[4, 16],
            &[0; 16],
        ]
        .concat(),
    );
    let pbes2 = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 0x0d];
    let scheme = tlv(
        0x30,
        &[&pbes2[..], &tlv(0x30, &[kdf, &cipher].concat())].concat(),
    );
    let der = tlv(0x30, &[&scheme[..], &tlv(4, &[0; 32])].concat());
    armour("ENCRYPTED PRIVATE KEY", &shortest(&der))
}

/// DER wants the shortest lengths: what `tlv` wrote as 81 xx below 80 becomes xx, from the inside.
fn shortest(der: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = der;
    while let [tag, tail @ ..] = rest {
        let (size, tail) = match tail {
            [0x81, size, tail @ ..] | [size, tail @ ..] => (usize::from(*size), tail),
            [] => unreachable!("a tag without a length"),
        };
        let (body, tail) = tail.split_at(size);
        let body = if *tag == 0x30 {
            shortest(body)
        } else {
            body.to_vec()
        };
        out.push(*tag);
        if body.len() >= 0x80 {
            out.push(0x81);
        }
        out.push(u8::try_from(body.len()).unwrap());
        out.extend_from_slice(&body);
        rest = tail;
    }
    out
}

fn pbkdf2(iterations: &[u8]) -> Vec<u8> {
    let size = u8::try_from(iterations.len()).unwrap();
    let inner = [
        &[4, 8][..],
        &[1; 8],
        &[2, size],
        iterations,
        &[
            0x30, 12, 0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9, 5, 0,
        ],
    ]
    .concat();
    let oid = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 0x0c];
    sequence(&[&oid[..], &sequence(&inner)].concat())
}

fn scrypt(cost: &[u8], block: &[u8], lanes: &[u8]) -> Vec<u8> {
    let mut inner = [&[4, 8][..], &[1; 8]].concat();
    for number in [cost, block, lanes] {
        inner.extend_from_slice(&[2, u8::try_from(number.len()).unwrap()]);
        inner.extend_from_slice(number);
    }
    let oid = [0x06, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 4, 0x0b];
    sequence(&[&oid[..], &sequence(&inner)].concat())
}

fn sequence(body: &[u8]) -> Vec<u8> {
    [&[0x30, u8::try_from(body.len()).unwrap()][..], body].concat()
}

#[test]
fn keyfile_kdf_caps() {
    // Each of these would take seconds to centuries, so a test that ends says they were not begun.
    let costly = |file: &[u8], form: Form| {
        for passphrase in [None, Some(&b"secret"[..])] {
            let error = parse(file, passphrase).unwrap_err();
            assert!(
                matches!(error, KeyFileError::TooCostly { form: of, .. } if of == form),
                "{error}"
            );
            assert!(error.hint().is_some());
        }
    };
    for rounds in [limits::KEY_FILE_BCRYPT_ROUNDS + 1, 1 << 20, u32::MAX] {
        costly(&Pieces::bcrypt(rounds).file(), Form::OpenSsh);
    }
    for (line, dear) in [
        ("Argon2-Memory: 8192", "Argon2-Memory: 262145"),
        ("Argon2-Memory: 8192", "Argon2-Memory: 4294967295"),
        ("Argon2-Passes: 13", "Argon2-Passes: 65"),
        ("Argon2-Passes: 13", "Argon2-Passes: 4294967295"),
        ("Argon2-Parallelism: 1", "Argon2-Parallelism: 17"),
    ] {
        costly(PPK3.replace(line, dear).as_bytes(), Form::Ppk3);
    }
    let pkcs8_form = Form::EncryptedPkcs8;
    costly(&pkcs8(&pbkdf2(&[0x00, 0x98, 0x96, 0x81])), pkcs8_form);
    costly(&pkcs8(&pbkdf2(&[0x05, 0xf5, 0xe1, 0x00])), pkcs8_form);
    costly(&pkcs8(&scrypt(&[0x04, 0, 0], &[16], &[1])), pkcs8_form);
    costly(&pkcs8(&scrypt(&[0x40, 0, 0, 0], &[8], &[1])), pkcs8_form);
    costly(&pkcs8(&scrypt(&[0x40, 0], &[8], &[17])), pkcs8_form);
    // One over what can be made: not a number, not a power of two, nothing at all.
    for file in [
        PPK3.replace("8192", "4294967296").into_bytes(),
        PPK3.replace("Passes: 13", "Passes: -1").into_bytes(),
        PPK3.replace("Argon2-Memory: 8192\n", "").into_bytes(),
        PPK3.replace("Argon2-Memory: 8192", "Argon2-Memory: 0")
            .into_bytes(),
        PPK3.replace("00112233445566778899aabbccddeeff", "0")
            .into_bytes(),
        PPK3.replace("00112233445566778899aabbccddeeff", "zz")
            .into_bytes(),
        pkcs8(&scrypt(&[0], &[8], &[1])),
        pkcs8(&scrypt(&[3], &[8], &[1])),
        pkcs8(&scrypt(&[4], &[0], &[1])),
    ] {
        let error = parse(&file, Some(b"secret")).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
    }
    let mut no_salt = Vec::new();
    no_salt.put_string(b"");
    no_salt.put_uint32(16);
    let pieces = Pieces {
        options: no_salt,
        ..Pieces::bcrypt(16)
    };
    assert!(malformed(pieces.error()).contains("no salt"));
    assert!(malformed(Pieces::bcrypt(0).error()).contains("no rounds"));
}

#[test]
fn within_the_caps_a_wrong_passphrase_is_said_to_be_one() {
    for (file, form) in [
        (Pieces::bcrypt(1).file(), Form::OpenSsh),
        (PPK3.as_bytes().to_vec(), Form::Ppk3),
        (pkcs8(&pbkdf2(&[1])), Form::EncryptedPkcs8),
        (pkcs8(&scrypt(&[4], &[1], &[1])), Form::EncryptedPkcs8),
    ] {
        assert_eq!(
            parse(&file, None).unwrap_err(),
            KeyFileError::NeedsPassphrase { form }
        );
        for passphrase in [&b"secret"[..], b""] {
            assert_eq!(
                parse(&file, Some(passphrase)).unwrap_err(),
                KeyFileError::WrongPassphrase { form }
            );
        }
    }
}

#[test]
fn the_public_half_is_there_without_a_passphrase() {
    let file = Pieces::bcrypt(16).file();
    assert_eq!(public_key(&file).unwrap().blob(), Pieces::good().public);
    assert!(public_key(PPK3.as_bytes()).is_ok());
    assert_eq!(
        public_key(&pkcs8(&pbkdf2(&[1]))).unwrap_err(),
        KeyFileError::NeedsPassphrase {
            form: Form::EncryptedPkcs8
        }
    );
}

#[test]
fn what_is_no_private_key_is_called_by_its_name() {
    let signer = crate::provider::aws_lc::sign::ed25519(&SEED).unwrap();
    let public = signer.public_key().to_openssh_text();
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
               DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let large = vec![b' '; limits::KEY_FILE + 1];
    let cases: [(&[u8], KeyFileError); 10] = [
        (b"", KeyFileError::UnknownForm),
        (b"hello", KeyFileError::UnknownForm),
        (b"-----BEGIN ", KeyFileError::UnknownForm),
        (
            b"-----BEGIN DSA PRIVATE KEY-----\n",
            KeyFileError::UnknownForm,
        ),
        (b"-----BEGIN CERTIFICATE-----\n", KeyFileError::UnknownForm),
        (public.as_bytes(), KeyFileError::PublicKey),
        (
            b"ssh-rsa-cert-v01@openssh.com AAAA",
            KeyFileError::PublicKey,
        ),
        (b"-----BEGIN PUBLIC KEY-----\n", KeyFileError::PublicKey),
        (old.as_bytes(), KeyFileError::OldEncryption),
        (&large, KeyFileError::TooLarge),
    ];
    for (file, error) in cases {
        assert_eq!(parse(file, None).unwrap_err(), error);
        assert_eq!(public_key(file).unwrap_err(), error);
    }
}

#[test]
fn a_security_key_is_left_to_the_ssh_agent() {
    let mut public = Vec::new();
    public.put_string(b"sk-ssh-ed25519@openssh.com");
    public.put_string(&[3; 32]);
    public.put_string(b"ssh:");
    let mut private = vec![0; 8];
    private.put_bytes(&public);
    let pieces = Pieces {
        public,
        private,
        ..Pieces::good()
    };
    assert_eq!(pieces.error(), KeyFileError::SecurityKey);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(
        label in proptest::sample::select(vec![
            "OPENSSH PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY",
            "RSA PRIVATE KEY", "EC PRIVATE KEY",
        ]),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        raw in any::<bool>(),
    ) {
        let file = if raw { body } else { armour(label, &body) };
        prop_assert!(parse(&file, None).is_err());
    }

    #[test]
    fn a_ppk_file_with_a_changed_byte_is_an_error(at in 0..PPK3.len(), to in 32_u8..127) {
        let mut file = PPK3.replace("8192", "16").replace("13", "1").into_bytes();
        if let Some(byte) = file.get_mut(at) {
            *byte = to;
        }
        prop_assert!(parse(&file, Some(b"secret")).is_err());
    }
}
