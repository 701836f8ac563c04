//! A site that asks for no name.

use std::process::Command;

use adit_testkit::key_pair::KeyPair;
use adit_testkit::process::Process;
use adit_testkit::wait;

use super::{Site, saying};

/// Stock ssh that shows its page, with that forward; and the host that the page names.
fn shown(site: &Site, key: &KeyPair, forward: &str) -> (Process, String) {
    let words = ["-T", "-o", "ExitOnForwardFailure=yes", "-R", forward];
    let mut command: Command = site.world.ssh(key, &words);
    let ssh = Process::spawn(&mut command);
    let end = format!(".gw.test:{}/", site.http.number());
    let host = wait::until("the page names a URL", || {
        let page = ssh.stdout();
        let found = page.split_whitespace().find_map(|word| {
            let name = word.strip_prefix("http://")?.strip_suffix(&end)?;
            Some(format!("{name}.gw.test"))
        });
        found.ok_or(page)
    });
    (ssh, host)
}

#[test]
fn a_site_without_a_name_is_given_one_that_stays() {
    adit_testkit::require!("ssh", "curl");
    let site = Site::new(|world| {
        [&world.ann, &world.bob]
            .map(|key| key.public_line().to_owned())
            .into()
    });
    let mut gateway = site.start("");
    let forward = format!("80:127.0.0.1:{}", saying("hello"));
    let (ann, name) = shown(&site, &site.world.ann, &forward);
    let label = name.strip_suffix(".gw.test").unwrap();
    assert_eq!(label.len(), 12, "{name}");
    let page = ann.stdout();
    let secure = format!("https://{name}:{}/", site.https.number());
    assert!(page.contains(&secure), "{page}");
    site.wait_for(&name, "hello 200");
    // Another key is given another, and another wish of the same a third.
    let (bob, other) = shown(&site, &site.world.bob, &forward);
    assert_ne!(name, other);
    let (second, third) = shown(&site, &site.world.ann, &format!("*:{forward}"));
    assert!(third != name && third != other, "{third}");
    drop((second, bob, ann));
    // Come back after a while, and after a restart, it is the same.
    let (ann, again) = shown(&site, &site.world.ann, &forward);
    assert_eq!(again, name);
    drop(ann);
    gateway.kill();
    let _gateway = site.start("");
    let (ann, again) = shown(&site, &site.world.ann, &forward);
    assert_eq!(again, name);
    site.wait_for(&name, "hello 200");
    drop(ann);
}

#[test]
fn a_port_that_may_be_had_goes_before_a_name() {
    adit_testkit::require!("ssh", "curl");
    let site = Site::new(|world| vec![format!("permitlisten=\"80\" {}", world.ann.public_line())]);
    let _gateway = site.start("");
    // Whoever is told where to listen is given no other place.
    let forward = format!("80:127.0.0.1:{}", saying("hello"));
    let said = site.refused(&site.world.ann, &forward);
    assert!(said.contains("port 80 is not yours"), "{said}");
}
