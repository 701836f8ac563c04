//! Who stands in front of names.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use adit_testkit::port::Port;
use adit_testkit::wait;

use super::{Site, get, nginx};

/// What a visitor gets who says that over a connection of its own.
fn say(site: &Site, words: &str) -> String {
    let mut visitor = TcpStream::connect(("127.0.0.1", site.http.number())).unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    visitor.write_all(words.as_bytes()).ok();
    let mut said = Vec::new();
    // A reset is no answer.
    visitor.read_to_end(&mut said).ok();
    String::from_utf8(said).unwrap()
}

#[test]
fn balancers_say_who_comes_and_proxies_are_believed_where_the_settings_say_so() {
    adit_testkit::require!("ssh", "nginx", "curl");
    let site = Site::new(|world| vec![format!("adit-names=\"app\" {}", world.ann.public_line())]);
    let own = Port::reserve();
    let _nginx = nginx(&site.world, &own);
    let forward = format!("app:80:127.0.0.1:{}", own.number());
    let request = "GET /x HTTP/1.1\r\nhost: app.gw.test\r\nconnection: close\r\n\r\n";

    let mut gateway = site.start("names: {proxy_protocol: 127.0.0.0/8}\n");
    let ann = site.ssh(&site.world.ann, &forward);
    let header = "PROXY TCP4 192.0.2.9 127.0.0.1 4000 80\r\n";
    wait::until("a balancer's visitor is served", || {
        let said = say(&site, &format!("{header}{request}"));
        if said.ends_with("app.gw.test http 192.0.2.9 /x") {
            Ok(())
        } else {
            Err(said)
        }
    });
    // Nobody comes past it.
    assert_eq!(say(&site, request), "");
    drop(ann);
    gateway.kill();

    let mut gateway = site.start("names: {trusted_proxies: 127.0.0.1}\n");
    let _ann = site.ssh(&site.world.ann, &forward);
    let forwarded = ["--header", "X-Forwarded-For: 192.0.2.8"];
    let ask = || get("http://app.gw.test/x", site.http.number(), &forwarded);
    wait::until("a proxy is believed", || {
        let got = ask()?;
        if got.contains("192.0.2.8") {
            Ok(())
        } else {
            Err(got)
        }
    });
    gateway.kill();
    // Nobody is who is not listed.
    let _gateway = site.start("");
    let _ann = site.ssh(&site.world.ann, &forward);
    wait::until("the site is there", || {
        let got = ask()?;
        if got.ends_with(" 200") {
            Ok(())
        } else {
            Err(got)
        }
    });
    assert_eq!(ask().as_deref(), Ok("app.gw.test http 127.0.0.1 /x 200"));
}
