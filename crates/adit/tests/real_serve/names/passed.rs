//! TLS that is passed through to whoever has the certificate.

use std::process::Command;

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;

use super::{Site, get, saying};

/// A web server with a certificate of its own for `app.gw.test`, which it says itself.
fn secure(site: &Site, port: &Port) -> Process {
    let openssl = |words: &[&str]| {
        let mut command = Command::new(adit_testkit::real::find("openssl").unwrap());
        command.current_dir(site.world.folder.path()).args(words);
        command
    };
    let made = openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "own-key.pem",
        "-out",
        "own.pem",
        "-days",
        "2",
        "-subj",
        "/CN=app.gw.test",
        "-addext",
        "subjectAltName=DNS:app.gw.test",
    ])
    .output()
    .unwrap();
    assert!(made.status.success(), "{made:?}");
    let address = format!("127.0.0.1:{}", port.number());
    let mut server = openssl(&[
        "s_server",
        "-accept",
        &address,
        "-cert",
        "own.pem",
        "-key",
        "own-key.pem",
        "-www",
        "-quiet",
    ]);
    Process::spawn(&mut server)
}

#[test]
fn a_name_is_passed_through_unread_and_no_other() {
    adit_testkit::require!("ssh", "curl", "openssl");
    let site = Site::new(|world| {
        vec![
            format!("adit-names=\"app\" {}", world.ann.public_line()),
            format!("adit-names=\"app,other\" {}", world.bob.public_line()),
        ]
    });
    let _gateway = site.start("");
    let own = Port::reserve();
    let _server = secure(&site, &own);
    let forward = format!("app:443:127.0.0.1:{}", own.number());
    let _ann = site.ssh(&site.world.ann, &forward);
    let certificate = site.world.path("own.pem");
    let trusting = ["--cacert", certificate.to_str().unwrap()];
    let ask = |host: &str, more: &[&str]| {
        let url = format!("https://{host}/");
        get(&url, site.https.number(), more)
    };
    wait::until("its own certificate is seen", || {
        let got = ask("app.gw.test", &trusting)?;
        if got.ends_with(" 200") {
            Ok(())
        } else {
            Err(got)
        }
    });
    // Whoever ends TLS for a name, and whoever has it passed through, are one.
    let plain = saying("bob");
    let said = site.refused(&site.world.bob, &format!("app:80:127.0.0.1:{plain}"));
    assert!(said.contains("is in use"), "{said}");
    // Another name is the gateway's own to serve, and nobody's certificate but its own.
    let _bob = site.ssh(&site.world.bob, &format!("other:80:127.0.0.1:{plain}"));
    site.wait_for("other.gw.test", "bob 200");
    ask("other.gw.test", &trusting).unwrap_err();
    let authority = site.world.path("data").join("tls/authority.pem");
    let of_gateway = ["--cacert", authority.to_str().unwrap()];
    assert_eq!(ask("other.gw.test", &of_gateway).as_deref(), Ok("bob 200"));
    // It is no site here, not even over another name's connection.
    let got = get("http://app.gw.test/", site.http.number(), &[]).unwrap();
    assert!(got.ends_with(" 404"), "{got}");
    // Who proves certificates is not led there.
    let address = format!("127.0.0.1:{}", site.https.number());
    let challenge = Command::new(adit_testkit::real::find("openssl").unwrap())
        .args([
            "s_client",
            "-connect",
            &address,
            "-servername",
            "app.gw.test",
        ])
        .args(["-alpn", "acme-tls/1"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&challenge.stdout).into_owned();
    assert!(!said.contains("BEGIN CERTIFICATE"), "{said}");
}
