//! Two live tunnels of one key that want one name: whichever has it, the name is never left away while one of them is
//! there.

use std::time::{Duration, Instant};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{require, wait};

use crate::crowd::{Visitor, service};
use crate::site::{Site, Tunnel};

/// How long a name may be away when its holder ends and another one that wants it is there. An agent that had to ask
/// for itself would not come for minutes, and a stock ssh never.
const AWAY: Duration = Duration::from_secs(5);

/// How long nobody takes anything: an agent that came back at once would be here after half a second.
const CALM: Duration = Duration::from_secs(3);

struct Twins {
    site: Site,
    key: KeyPair,
}

impl Twins {
    fn new() -> Self {
        let mut key = None;
        let lines = |world: &crate::world::World| {
            let made = KeyPair::generate(world.folder.path(), "twin", KeyKind::Ed25519);
            let line = format!("adit-names=\"one,two\" {}", made.public_line());
            key = Some(made);
            vec![line]
        };
        let site = Site::start(lines, "takeover: newest\n");
        Self {
            site,
            key: key.unwrap(),
        }
    }

    fn start(&self, tunnel: Tunnel, words: &str, names: &[&str]) -> Process {
        let port = service(words);
        let forwards: Vec<_> = names
            .iter()
            .map(|name| ((*name).to_owned(), port))
            .collect();
        let process = self.site.forward(tunnel, &self.key, &forwards);
        self.all_answer(names, words);
        process
    }

    fn all_answer(&self, names: &[&str], words: &str) {
        for name in names {
            self.answers(name, words);
        }
    }

    fn answers(&self, name: &str, words: &str) {
        let host = format!("{name}.gw.test");
        let wanted = format!("{words} {host}");
        wait::until("the name answers", || {
            match Visitor::new(self.site.http).ask(&host) {
                Some((_, text)) if text == wanted => Ok(()),
                other => Err((wanted.clone(), other)),
            }
        });
    }
}

fn is_back_when_the_other_one_ends(tunnel: Tunnel, taken: &[&str]) {
    let twins = Twins::new();
    let _first = twins.start(tunnel, "first", &["one", "two"]);
    let mut second = twins.start(tunnel, "second", taken);
    // Who lost it does not take it back from one that is there: it would be back by now several times.
    let since = Instant::now();
    while since.elapsed() < CALM {
        for name in taken {
            let host = format!("{name}.gw.test");
            let answer = Visitor::new(twins.site.http).ask(&host);
            let answer = answer.map(|(_, text)| text);
            assert_eq!(answer, Some(format!("second {host}")));
        }
    }
    second.kill();
    let ended = Instant::now();
    twins.all_answer(&["one", "two"], "first");
    let away = ended.elapsed();
    println!("{tunnel:?}: {taken:?} back after {} ms", away.as_millis());
    assert!(away < AWAY, "{away:?}");
}

#[test]
fn a_name_of_several_goes_back_to_an_agent_that_is_there_still() {
    require!("ssh-keygen");
    is_back_when_the_other_one_ends(Tunnel::Agent, &["one"]);
}

#[test]
fn an_agent_that_has_lost_every_name_stays_and_has_them_back() {
    require!("ssh-keygen");
    is_back_when_the_other_one_ends(Tunnel::Agent, &["one", "two"]);
}

#[test]
fn a_name_of_several_goes_back_to_a_stock_ssh_that_would_never_ask_again() {
    require!("ssh-keygen", "ssh");
    is_back_when_the_other_one_ends(Tunnel::Ssh, &["one"]);
}
