use axum::http::Request;

use super::*;

const LOCAL: &str = "127.0.0.1:8080";

fn guard() -> Guard {
    let hosts = ["flows.example".to_owned(), "other.example:9000".to_owned()];
    Guard::new(&hosts, &["https://friend.example".to_owned()], None)
}

fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri("/api/workflows/runs");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn admit(guard: &Guard, headers: &[(&str, &str)]) -> Result<Admitted, Refusal> {
    let parts = request("POST", headers);
    guard.admit(&parts, LOCAL.parse().unwrap(), Asked::Api)
}

#[test]
fn cross_site_matrix() {
    let hosts = [
        ("localhost:8080", true),
        ("LocalHost.:8080", true),
        ("127.0.0.1:8080", true),
        ("127.8.9.1:8080", true),
        ("[::1]:8080", true),
        ("flows.example", true),
        ("flows.example:443", true),
        ("other.example:9000", true),
        ("other.example", false),
        ("localhost", false),
        ("localhost:8081", false),
        ("localhost:99999", false),
        ("attacker.example:8080", false),
        ("localhost.attacker.example:8080", false),
        ("127.0.0.1.attacker.example:8080", false),
        ("attacker.example@localhost:8080", false),
        ("10.0.0.1:8080", false),
        ("0.0.0.0:8080", false),
        ("", false),
    ];
    let kinds = [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
    ];
    let sites = [
        (None, true),
        (Some("same-origin"), true),
        (Some("none"), true),
        (Some("same-site"), false),
        (Some("cross-site"), false),
        (Some("nonsense"), false),
    ];
    let mut seen = 0;
    for (host, is_right_host) in hosts {
        let own = format!("http://{host}");
        let own_tls = format!("https://{host}");
        let is_configured = host.contains("example");
        let origins = [
            (None, true, false),
            (Some(own.as_str()), true, false),
            (Some(own_tls.as_str()), is_configured, false),
            (Some("https://friend.example"), true, true),
            (Some("http://friend.example"), false, false),
            (Some("http://attacker.example"), false, false),
            (Some("http://localhost:3000"), false, false),
            (Some("null"), false, false),
            (Some("file://"), false, false),
            (Some(""), false, false),
        ];
        for (origin, is_right_origin, is_friend) in origins {
            for (site, is_right_site) in sites {
                for kind in kinds {
                    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"] {
                        let mut headers = vec![("host", host), ("content-type", kind)];
                        headers.extend(origin.map(|origin| ("origin", origin)));
                        headers.extend(site.map(|site| ("sec-fetch-site", site)));
                        let parts = request(method, &headers);
                        let local = LOCAL.parse().unwrap();
                        let admitted = guard().admit(&parts, local, Asked::Api);
                        let is_right =
                            is_right_host && is_right_origin && (is_right_site || is_friend);
                        assert_eq!(admitted.is_ok(), is_right, "{method} {headers:?}");
                        if let Ok(admitted) = admitted {
                            assert_eq!(admitted.reader.is_some(), is_friend, "{headers:?}");
                            assert!(!admitted.is_preflight);
                        }
                        seen += 1;
                    }
                }
            }
        }
    }
    assert_eq!(seen, 19 * 10 * 6 * 4 * 6);
}

#[test]
fn controller_not_public_by_accident() {
    // A gateway maps the port; visitors come by its name, or by its address.
    for host in [
        "gw.example:9834",
        "gw.example",
        "203.0.113.9:8080",
        "203.0.113.9",
    ] {
        assert_eq!(admit(&guard(), &[("host", host)]), Err(Refusal::Host));
    }
}

#[test]
fn headers_that_come_twice_or_not_at_all_are_refused() {
    let host = ("host", "localhost:8080");
    for (headers, refusal) in [
        (vec![], Refusal::Host),
        (vec![host, host], Refusal::Host),
        (vec![host, ("host", "attacker.example")], Refusal::Host),
        (
            vec![
                host,
                ("origin", "http://localhost:8080"),
                ("origin", "http://attacker.example"),
            ],
            Refusal::Origin,
        ),
        (
            vec![
                host,
                ("sec-fetch-site", "none"),
                ("sec-fetch-site", "cross-site"),
            ],
            Refusal::Origin,
        ),
    ] {
        assert_eq!(admit(&guard(), &headers), Err(refusal), "{headers:?}");
    }
}

#[test]
fn a_target_in_absolute_form_says_what_host_says() {
    for (uri, is_right) in [
        ("http://localhost:8080/x", true),
        ("http://attacker.example/x", false),
    ] {
        let request = Request::builder().uri(uri).header("host", "localhost:8080");
        let parts = request.body(()).unwrap().into_parts().0;
        let admitted = guard().admit(&parts, LOCAL.parse().unwrap(), Asked::Api);
        assert_eq!(admitted.is_ok(), is_right, "{uri}");
    }
}

#[test]
fn a_server_that_all_reach_is_asked_by_the_address_that_was_connected_to() {
    for (host, is_right) in [
        ("192.0.2.7:8080", true),
        ("192.0.2.8:8080", false),
        ("name.example:8080", false),
    ] {
        let parts = request("GET", &[("host", host)]);
        let admitted = guard().admit(&parts, "192.0.2.7:8080".parse().unwrap(), Asked::Api);
        assert_eq!(admitted.is_ok(), is_right, "{host}");
    }
}

#[test]
fn a_token_is_wanted_of_all_but_pages_and_preflights() {
    let friend = "https://friend.example";
    let guard = Guard::new(&[], &[friend.to_owned()], Token::new(" s3cret-token\n"));
    let host = ("host", "localhost:8080");
    for (shown, is_right) in [
        ("Bearer s3cret-token", true),
        ("bearer  s3cret-token ", true),
        ("Bearer s3cret-toke", false),
        ("Bearer s3cret-token2", false),
        ("Bearer ", false),
        ("Basic s3cret-token", false),
        ("s3cret-token", false),
        ("", false),
    ] {
        let admitted = admit(&guard, &[host, ("authorization", shown)]);
        assert_eq!(admitted.is_ok(), is_right, "{shown}");
    }
    assert_eq!(admit(&guard, &[host]), Err(Refusal::Token));
    let twice = [
        host,
        ("authorization", "Bearer s3cret-token"),
        ("authorization", "x"),
    ];
    assert_eq!(admit(&guard, &twice), Err(Refusal::Token));
    let local = LOCAL.parse().unwrap();
    let page = request("GET", &[host]);
    assert!(guard.admit(&page, local, Asked::Page).is_ok());
    let ask = ("access-control-request-method", "POST");
    let preflight = request("OPTIONS", &[host, ("origin", friend), ask]);
    let admitted = guard.admit(&preflight, local, Asked::Api).unwrap();
    assert!(admitted.is_preflight);
    let own = request("OPTIONS", &[host, ("origin", "http://localhost:8080"), ask]);
    assert_eq!(guard.admit(&own, local, Asked::Api), Err(Refusal::Token));
    assert_eq!(format!("{guard:?}").matches("s3cret").count(), 0);
}

#[test]
fn an_empty_token_is_none() {
    assert!(Token::new(" \n").is_none());
}

#[test]
fn another_sites_link_leads_to_a_page_and_to_nothing_else() {
    let link = [
        ("host", "localhost:8080"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let frame = [link[0], link[1], link[2], ("sec-fetch-dest", "iframe")];
    let local = LOCAL.parse().unwrap();
    for (headers, asked, is_right) in [
        (&link, Asked::Page, true),
        (&link, Asked::Api, false),
        (&frame, Asked::Page, false),
    ] {
        let admitted = guard().admit(&request("GET", headers), local, asked);
        assert_eq!(admitted.is_ok(), is_right, "{asked:?} {headers:?}");
    }
}

#[test]
fn any_origin_may_read_where_a_file_says_so_and_never_with_credentials() {
    let open = Guard::new(&[], &["*".to_owned()], None);
    let headers = [
        ("host", "localhost:8080"),
        ("origin", "https://anybody.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    let admitted = admit(&open, &headers).unwrap();
    let mut answer = HeaderMap::new();
    admitted.mark(&mut answer);
    Admitted::permit(&mut answer);
    assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
}
