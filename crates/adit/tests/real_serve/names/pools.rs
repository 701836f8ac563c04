//! Several connections that serve one site together.

use adit_testkit::wait;

use super::{Site, get, saying};

#[test]
fn several_agents_serve_one_name_when_their_grant_says_so() {
    adit_testkit::require!("ssh", "curl");
    let site = Site::new(|world| {
        vec![
            format!(
                "adit-names=\"app\",adit-pool=\"2\" {}",
                world.ann.public_line()
            ),
            format!(
                "adit-names=\"app\",adit-pool=\"2\" {}",
                world.bob.public_line()
            ),
        ]
    });
    let _gateway = site.start("");
    let forward = |text| format!("app:80:127.0.0.1:{}", saying(text));
    let one = site.ssh(&site.world.ann, &forward("one"));
    site.wait_for("app.gw.test", "one 200");
    let _two = site.ssh(&site.world.ann, &forward("two"));
    site.wait_for("app.gw.test", "two 200");
    let ask = || get("http://app.gw.test/", site.http.number(), &[]).unwrap();
    let mut said: Vec<_> = (0..4).map(|_| ask()).collect();
    said.sort();
    assert_eq!(said, ["one 200", "one 200", "two 200", "two 200"]);
    let words = site.refused(&site.world.ann, &forward("three"));
    assert!(
        words.contains("2 of your connections serve it already"),
        "{words}"
    );
    // Nothing of one principal is handed to another.
    let words = site.refused(&site.world.bob, &forward("bob"));
    assert!(words.contains("is in use"), "{words}");
    drop(one);
    wait::until("whoever is left serves alone", || {
        let said: Vec<_> = (0..3).map(|_| ask()).collect();
        if said.iter().all(|said| said == "two 200") {
            Ok(())
        } else {
            Err(said)
        }
    });
}
