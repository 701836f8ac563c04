use super::*;

fn request(target: &str, hosts: &[&str]) -> Request<()> {
    let mut request = Request::builder().uri(target);
    for host in hosts {
        request = request.header(HOST, *host);
    }
    request.body(()).unwrap()
}

/// A page of somebody else's, whose name leads here, asks by that name (security rule G124).
#[test]
fn metrics_private() {
    for host in [
        "localhost",
        "LOCALHOST:9100",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]",
        "[::1]:9100",
    ] {
        assert!(is_for_this_machine(&request("/metrics", &[host])), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "evil.example:9100",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:evil",
        "localhost:",
        "192.0.2.1",
        "0.0.0.0:9100",
        "[::]",
        "user@localhost",
    ] {
        assert!(
            !is_for_this_machine(&request("/metrics", &[host])),
            "{host}"
        );
    }
    assert!(!is_for_this_machine(&request("/metrics", &[])));
    let twice = request("/metrics", &["localhost", "evil.example"]);
    assert!(!is_for_this_machine(&twice));
    let proxied = request("http://evil.example/metrics", &["localhost"]);
    assert!(!is_for_this_machine(&proxied));
}
