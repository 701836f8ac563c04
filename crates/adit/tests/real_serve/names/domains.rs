//! Domains that their owners prove.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::thread;

use adit_testkit::wait;

use super::{Site, get, saying};

/// What a name server says to whoever asks it for a TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Says {
    Texts(Vec<String>),
    NoSuchName,
    Failure,
}

/// A name server of one record, and how often it was asked.
struct NameServer {
    says: Arc<Mutex<(Says, u32)>>,
    address: String,
}

/// The record's name, as it is on the wire, in lower case.
const RECORD: &[u8] = b"\x05_adit\x04blog\x07example\x03org\x00";

impl NameServer {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let says = Arc::new(Mutex::new((Says::NoSuchName, 0)));
        let server = Self {
            says: Arc::clone(&says),
            address: socket.local_addr().unwrap().to_string(),
        };
        thread::spawn(move || {
            let mut bytes = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let asked = {
                    let mut says = says.lock().unwrap();
                    says.1 += 1;
                    says.0.clone()
                };
                if let Some(answer) = answer(bytes.get(..length).unwrap(), &asked) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        server
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap() = (says, 0);
    }

    /// Waits until it was asked so often since it was told what to say.
    fn wait_for_questions(&self, count: u32) {
        wait::until("the name server is asked", || {
            let asked = self.says.lock().unwrap().1;
            if asked >= count { Ok(()) } else { Err(asked) }
        });
    }
}

/// RFC 1035 section 4.1.
fn answer(question: &[u8], says: &Says) -> Option<Vec<u8>> {
    const HEAD: usize = 12;
    let end = HEAD + question.get(HEAD..)?.iter().position(|byte| *byte == 0)? + 1;
    let is_it = question.get(HEAD..end)?.eq_ignore_ascii_case(RECORD);
    let says = if is_it { says } else { &Says::NoSuchName };
    let (code, texts) = match says {
        Says::Texts(texts) => (0, texts.clone()),
        Says::NoSuchName => (3, Vec::new()),
        Says::Failure => (2, Vec::new()),
    };
    let count = u8::try_from(texts.len()).unwrap();
    let mut answer = question.get(..2)?.to_vec();
    // An answer, with recursion; one question, so many records.
    answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question.get(HEAD..end + 4)?);
    for text in texts {
        let length = u8::try_from(text.len()).unwrap();
        // The question's name, TXT, IN, a second.
        answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1, 0, length + 1, length]);
        answer.extend(text.as_bytes());
    }
    Some(answer)
}

#[test]
fn a_domain_is_whose_record_says_so_for_as_long_as_it_does() {
    adit_testkit::require!("ssh", "curl");
    let dns = NameServer::start();
    let site = Site::new(|world| {
        [&world.ann, &world.bob]
            .map(|key| format!("adit-own-domains {}", key.public_line()))
            .into()
    });
    let _gateway = site.start(&format!(
        "names: {{dns: \"{}\", recheck: 1s, withdraw_after: 2s}}\n",
        dns.address
    ));
    let forward = format!("blog.example.org:80:127.0.0.1:{}", saying("blog"));
    let (ann, bob) = (&site.world.ann, &site.world.bob);
    let proof = |said: &str| {
        assert!(said.contains("_adit.blog.example.org"), "{said}");
        let proof = said
            .split_whitespace()
            .find(|word| word.starts_with("adit="));
        let is_part = |byte: char| byte.is_ascii_alphanumeric() || byte == '=';
        proof
            .unwrap()
            .trim_end_matches(|byte| !is_part(byte))
            .to_owned()
    };
    let own = proof(&site.refused(ann, &forward));
    dns.say(Says::Failure);
    let said = site.refused(ann, &forward);
    assert!(said.contains("no name server answers"), "{said}");
    assert_eq!(proof(&said), own);
    dns.say(Says::Texts(vec![own.clone()]));
    let held = site.ssh(ann, &forward);
    site.wait_for("blog.example.org", "blog 200");
    // What proves it to be one's is no proof for another.
    let others = proof(&site.refused(bob, &forward));
    assert_ne!(own, others);
    dns.say(Says::Texts(vec![own.clone(), others]));
    let said = site.refused(bob, &forward);
    assert!(said.contains("is in use"), "{said}");
    dns.say(Says::Texts(vec![own]));
    dns.wait_for_questions(2);
    // A name server that is away takes nothing from anybody.
    dns.say(Says::Failure);
    dns.wait_for_questions(6);
    site.wait_for("blog.example.org", "blog 200");
    // One that says it is gone does, after a while.
    dns.say(Says::NoSuchName);
    wait::until("the name is gone", || {
        let got = get("http://blog.example.org/", site.http.number(), &[])?;
        if got.ends_with(" 404") {
            Ok(())
        } else {
            Err(got)
        }
    });
    drop(held);
    let said = site.refused(ann, &forward);
    assert!(said.contains("ask again once a TXT record"), "{said}");
    // Nobody proves what anybody has names under.
    let said = site.refused(ann, &forward.replacen("blog.example.org", "co.uk", 1));
    assert!(said.contains("anybody has names under it"), "{said}");
}
