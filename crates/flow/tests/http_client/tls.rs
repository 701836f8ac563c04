//! Certificates of servers, by OpenSSL's own server.

use std::path::Path;
use std::process::Command;

use adit_flow::http::{AskError, Client, Config, Request, Url};
use adit_flow::model::method::Method;
use adit_testkit::process::Process;
use adit_testkit::require;

use super::server::{Server, reply};

/// Which URL a child asks, and what it is to find.
const URL: &str = "ADIT_TEST_TLS_URL";
const EXPECTED: &str = "ADIT_TEST_TLS_EXPECTED";
const NAME: &str = "tls::a_server_is_believed_if_the_system_vouches_for_it";

/// What OpenSSL needs to make a certificate for the loopback.
const CERTIFICATE: &str = "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n\
    [dn]\nCN=adit test\n\
    [ext]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";

/// The environment, which names the system's roots, is the process's: this test runs itself again.
#[tokio::test]
async fn a_server_is_believed_if_the_system_vouches_for_it() {
    if let Ok(url) = std::env::var(URL) {
        return ask(&url, &std::env::var(EXPECTED).unwrap()).await;
    }
    let openssl = require!("openssl");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("config"), CERTIFICATE).unwrap();
    std::fs::write(at("empty.pem"), "").unwrap();
    let mut make = Command::new(&openssl);
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    make.args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    make.arg("-config").arg(at("config"));
    make.arg("-keyout").arg(at("key.pem"));
    make.arg("-out").arg(at("cert.pem"));
    let output = make.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut serve = Command::new(&openssl);
    serve.args(["s_server", "-www", "-accept", "127.0.0.1:0"]);
    serve.arg("-key").arg(at("key.pem"));
    serve.arg("-cert").arg(at("cert.pem"));
    let mut server = Process::spawn(&mut serve);
    let port = port(&server.wait_for_text("ACCEPT 127.0.0.1:"));
    let url = format!("https://127.0.0.1:{port}/");
    let other = format!("https://localhost:{port}/");
    let plain = Server::start(|_| reply(200, "Content-Type: text/html\r\n", "s_server")).await;

    let (known, none) = (at("cert.pem"), at("empty.pem"));
    run(&url, &known, "s_server").await;
    run(&other, &known, "not valid for name").await;
    run(&url, &none, "no certificate can be checked: ").await;
    run(&plain.base(), &none, "s_server").await;

    // The roots of this machine do not know it.
    ask(&url, "cannot connect: ").await;
}

/// Runs this test in a process whose roots are these.
async fn run(url: &str, roots: &Path, expected: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", NAME, "--nocapture"]);
    child.env(URL, url).env(EXPECTED, expected);
    child.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
    let output = tokio::task::spawn_blocking(move || child.output().unwrap());
    let output = output.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_good = output.status.success() && text.contains("1 passed");
    assert!(is_good, "{url}: {text}{errors}");
}

async fn ask(url: &str, expected: &str) {
    let client = Client::new(Config::default()).unwrap();
    let asked = Request::new(Method::Get, Url::endpoint(url).unwrap());
    let text = match client.send(&asked).await {
        Ok(answer) => answer.value.text_form().unwrap().into_owned(),
        Err(error) => {
            assert!(matches!(error, AskError::Connect { .. }), "{error}");
            error.to_string()
        }
    };
    assert!(text.contains(expected), "{url}: {text}");
}

fn port(text: &str) -> u16 {
    let (_, after) = text.split_once("ACCEPT 127.0.0.1:").unwrap();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
