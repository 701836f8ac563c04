//! An agent that is away.

use std::path::Path;
use std::process::Command;
use std::thread;

use adit_testkit::process::Process;
use adit_testkit::wait;

use super::{Site, get, saying};

#[test]
fn visitors_wait_for_an_agent_that_comes_back_and_are_told_of_one_that_does_not() {
    adit_testkit::require!("ssh", "curl");
    let site = Site::new(|world| vec![format!("adit-names=\"app\" {}", world.ann.public_line())]);
    let _gateway = site.start("");
    let forward = format!("app:80:127.0.0.1:{}", saying("hello"));
    let ann = site.ssh(&site.world.ann, &forward);
    site.wait_for("app.gw.test", "hello 200");
    drop(ann);
    let leases = || {
        let output = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["lease", "show", "app:80", "--json", "--data"])
            .arg(site.world.path("data"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let lease_says = |words: &str| {
        wait::until("the lease is so", || {
            let said = leases();
            if said.contains(words) {
                Ok(())
            } else {
                Err(said)
            }
        });
    };
    lease_says("\"state\":\"grace\"");
    // Five seconds, and then a word when to ask again.
    let told = get(
        "http://app.gw.test/",
        site.http.number(),
        &["--dump-header", "-"],
    )
    .unwrap();
    assert!(told.ends_with(" 503"), "{told}");
    assert!(
        told.to_ascii_lowercase().contains("\r\nretry-after: "),
        "{told}"
    );
    // Logged in already, so that what comes next is one question long.
    let socket = site.world.path("master");
    let socket = socket.to_str().unwrap();
    let _ann = Process::spawn(&mut site.world.ssh(&site.world.ann, &["-N", "-M", "-S", socket]));
    wait::until("the master is there", || {
        if Path::new(socket).exists() {
            Ok(())
        } else {
            Err(())
        }
    });
    let port = site.http.number();
    let visitors: Vec<_> = (0..4)
        .map(|_| thread::spawn(move || get("http://app.gw.test/", port, &[])))
        .collect();
    lease_says("\"waiting\":4");
    let words = ["-S", socket, "-O", "forward", "-R", &forward];
    let forwarded = site.world.ssh(&site.world.ann, &words).output().unwrap();
    assert!(forwarded.status.success(), "{forwarded:?}");
    for visitor in visitors {
        assert_eq!(visitor.join().unwrap().as_deref(), Ok("hello 200"));
    }
}
