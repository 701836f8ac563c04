//! Which names somebody may have, and who else may not.

use std::process::Command;

use adit_testkit::process::Process;
use adit_testkit::wait;

use super::{Site, get, saying};
use crate::world::World;

#[test]
fn a_pattern_gives_what_it_stands_for_and_no_reserved_name() {
    adit_testkit::require!("ssh", "curl");
    let site = Site::new(|world| {
        vec![
            format!("adit-names=\"dev-*\" {}", world.ann.public_line()),
            format!("adit-names=\"*,mail\" {}", world.bob.public_line()),
        ]
    });
    let _gateway = site.start("names: {reserved: relay}\n");
    let service = saying("hello");
    let forward = |name: &str| format!("{name}:80:127.0.0.1:{service}");
    let (ann, bob) = (&site.world.ann, &site.world.bob);
    let _dev = site.ssh(ann, &forward("dev-1"));
    site.wait_for("dev-1.gw.test", "hello 200");
    let said = site.refused(ann, &forward("app"));
    assert!(said.contains("no name of yours (yours: dev-*)"), "{said}");
    for name in ["www", "relay", "wpad", "xn--bcher-kva"] {
        let said = site.refused(bob, &forward(name));
        assert!(said.contains("is not to be had"), "{name}: {said}");
    }
    let said = site.refused(bob, &forward("dev-1"));
    assert!(said.contains("is in use"), "{said}");
    // What the operator has written in these very words, and the whole name.
    let _mail = site.ssh(bob, &forward("mail.gw.test"));
    site.wait_for("mail.gw.test", "hello 200");
}

#[test]
fn a_name_that_was_given_back_is_kept_from_others() {
    adit_testkit::require!("ssh", "curl");
    let site = Site::new(|world| {
        [&world.ann, &world.bob]
            .map(|key| format!("adit-names=\"*\" {}", key.public_line()))
            .into()
    });
    let mut gateway = site.start("leases: {grace: 1s}\n");
    let forward = format!("app:80:127.0.0.1:{}", saying("hello"));
    let ann = site.ssh(&site.world.ann, &forward);
    site.wait_for("app.gw.test", "hello 200");
    drop(ann);
    wait::until("nothing is there any more", || {
        let got = get("http://app.gw.test/", site.http.number(), &[])?;
        if got.ends_with(" 404") {
            Ok(())
        } else {
            Err(got)
        }
    });
    let refused = || {
        for port in ["80", "443"] {
            let said = site.refused(&site.world.bob, &forward.replacen("80", port, 1));
            assert!(said.contains("is in use"), "{said}");
        }
    };
    refused();
    gateway.kill();
    let _gateway = site.start("leases: {grace: 1s}\n");
    refused();
    let _ann = site.ssh(&site.world.ann, &forward);
    site.wait_for("app.gw.test", "hello 200");
}

#[test]
fn a_domain_that_is_shared_is_told_of_and_one_of_everybodys_is_refused() {
    let world = World::new();
    let serve = |domain: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["serve", "--ssh", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--domain", domain, "--data"])
            .arg(world.path("data"))
            .args(more);
        Process::spawn(&mut command)
    };
    let mut refused = serve("co.uk", &["--check"]);
    assert_eq!(refused.wait(wait::DEADLINE).code(), Some(1));
    let said = refused.stderr();
    assert!(
        said.contains("anybody registers names under co.uk"),
        "{said}"
    );
    let mut shared = serve("Tunnels.Example.net.", &[]);
    let said = shared.wait_for_text("try: ");
    assert!(said.contains("part of example.net"), "{said}");
    drop(shared);
    let said = serve("example-tunnels.net", &[]).wait_for_text("try: ");
    assert!(!said.contains("part of"), "{said}");
}
