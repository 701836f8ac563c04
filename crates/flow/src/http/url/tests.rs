use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn sent(url: &Url) -> String {
    url.as_sent().to_string()
}

#[test]
fn a_path_is_joined_by_one_slash_and_encoded() {
    for (base, path, expected) in [
        ("http://h", "", "http://h/"),
        ("http://h", "/", "http://h/"),
        ("http://h/", "/process", "http://h/process"),
        ("http://h/v1", "", "http://h/v1"),
        ("http://h/v1", "/", "http://h/v1/"),
        ("http://h/v1/", "//jobs", "http://h/v1/jobs"),
        ("http://h/v1", "jobs//x", "http://h/v1/jobs//x"),
        ("http://h", "/v1/jobs/a:b?x=1", "http://h/v1/jobs/a:b?x=1"),
        ("http://h?key=1", "/p?x=a b", "http://h/p?key=1&x=a%20b"),
        ("http://h", "/p?", "http://h/p"),
        ("http://h", "/p?a=1#2?3", "http://h/p?a=1%232?3"),
        ("http://h", "/a b/#c", "http://h/a%20b/%23c"),
        ("http://h", "/100%/%41%zz%2", "http://h/100%25/%41%25zz%252"),
        ("http://h", "/한", "http://h/%ED%95%9C"),
        ("http://h", "/a\\..\\b", "http://h/a%5C..%5Cb"),
        ("http://h", "/./a", "http://h/a"),
        ("http://h", "//evil.example/x", "http://h/evil.example/x"),
        (
            "http://h",
            "http://evil.example",
            "http://h/http://evil.example",
        ),
        ("http://h", "@evil.example", "http://h/@evil.example"),
        ("http://[::1]:9000/v1", "x", "http://[::1]:9000/v1/x"),
        ("HTTPS://EXAMPLE.org:443", "X", "https://example.org/X"),
        ("http://h", "/p?f[a]=1", "http://h/p?f[a]=1"),
    ] {
        let url = Url::under(base, path).unwrap();
        assert_eq!(sent(&url), expected, "{base} {path}");
    }
}

#[test]
fn a_path_does_not_lead_out_of_its_base() {
    for path in ["..", "/../x", "a/../../b", "%2e%2E/x", ".%2e", "/x/.."] {
        let error = Url::under("http://h/v1", path);
        assert_eq!(error, Err(UrlError::Leaves), "{path}");
    }
}

#[test]
fn what_is_no_url_of_http_says_why() {
    let scheme = |scheme: &str| UrlError::Scheme {
        scheme: scheme.to_owned(),
    };
    for (text, expected) in [
        ("example.org/x", UrlError::NoScheme),
        ("", UrlError::NoScheme),
        ("://x", UrlError::NoScheme),
        ("/path?u=http://x", UrlError::NoScheme),
        ("ftp://example.org", scheme("ftp")),
        ("file:///etc/passwd", scheme("file")),
        ("http:///callback", UrlError::NoHost),
        ("http://:80/", UrlError::NoHost),
        ("http://", UrlError::NoHost),
        ("http://?x", UrlError::NoHost),
        ("http://h/\r\nx", UrlError::Control),
        ("http://h/\u{7f}", UrlError::Control),
    ] {
        assert_eq!(Url::endpoint(text), Err(expected), "{text:?}");
    }
    for text in [
        "http://h:99999/",
        "http://[::1",
        "http://a b/",
        "http://u@/",
    ] {
        let error = Url::endpoint(text);
        assert!(matches!(error, Err(UrlError::Syntax { .. })), "{text}");
    }
}

#[test]
fn a_url_is_shown_without_user_password_and_query() {
    let url = Url::endpoint("https://me:p%40ss@h:8443/a?token=hush#f").unwrap();
    assert_eq!(url.to_string(), "https://h:8443/a");
    assert_eq!(format!("{url:?}"), "Url(https://h:8443/a)");
    assert_eq!(sent(&url), "https://h:8443/a?token=hush");
    // me:p@ss
    assert_eq!(url.login(), Some("Basic bWU6cEBzcw=="));
    assert_eq!(Url::endpoint("http://h").unwrap().login(), None);
}

#[test]
fn parameters_come_after_those_that_are_there() {
    let url = Url::endpoint("http://h/p?a=1").unwrap();
    let list = Value::List(vec![Value::Integer(1), Value::Null, "x".into()]);
    let params = [
        ("b".to_owned(), Value::from("x y&z=한")),
        ("none".to_owned(), Value::Null),
        ("l".to_owned(), list),
        ("t".to_owned(), Value::Boolean(true)),
        ("e".to_owned(), Value::from("")),
        ("m".to_owned(), Value::from_json(b"{\"k\":[1]}").unwrap()),
    ];
    let url = url.with_params(&params).unwrap();
    assert_eq!(
        sent(&url),
        "http://h/p?a=1&b=x+y%26z%3D%ED%95%9C&l=1&l=x&t=true&e=&m=%7B%22k%22%3A%5B1%5D%7D"
    );
    let bare = Url::endpoint("http://h/p").unwrap();
    let bare = bare.with_params(&[("n".to_owned(), Value::Null)]).unwrap();
    assert_eq!(sent(&bare), "http://h/p");
    let bytes = [("b".to_owned(), Value::Bytes([0xff].into()))];
    let error = bare.with_params(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "parameter b: binary data has no text form"
    );
}

#[test]
fn a_redirect_is_read_from_where_it_came() {
    let url = Url::endpoint("http://me:pw@h/a/b?q").unwrap();
    for (location, expected) in [
        ("c", "http://h/a/c"),
        ("/c?d#e", "http://h/c?d"),
        ("//other/x", "http://other/x"),
        ("https://h/", "https://h/"),
        ("http://user:pw@h/", "http://h/"),
    ] {
        let next = url.redirected(location).unwrap();
        assert_eq!(sent(&next), expected);
        assert_eq!(next.login(), None);
    }
    assert!(url.redirected("file:///etc/passwd").is_err());
    assert!(url.redirected("javascript:x").is_err());
}

#[test]
fn this_machine_is_known_by_its_names_and_addresses() {
    for (text, is_loopback) in [
        ("http://localhost", true),
        ("http://LOCALHOST.:80", true),
        ("http://app.localhost", true),
        ("http://127.9.9.9", true),
        ("http://[::1]", true),
        ("http://[::ffff:127.0.0.1]", true),
        ("http://0.0.0.0", true),
        ("http://localhost.example.org", false),
        ("http://10.0.0.1", false),
        ("http://notlocalhost", false),
    ] {
        assert_eq!(
            Url::endpoint(text).unwrap().is_loopback(),
            is_loopback,
            "{text}"
        );
    }
}

#[test]
fn a_host_that_leads_here_is_seen_however_it_is_written() {
    for here in [
        "localhost",
        "LocalHost.",
        "a.localhost",
        "ip6-localhost",
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0",
        "0.0.0.0",
        "::",
        "::1",
        "[::1]",
        "::1%lo",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "[::ffff:7f00:1]",
    ] {
        assert!(is_here(here), "{here}");
    }
    for elsewhere in [
        "",
        "10.0.0.1",
        "128.1",
        "0x80.1",
        "fe80::1%eth0",
        "2001:db8::1",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "localhost@example.org",
        "example.org/localhost",
        "notlocalhost",
    ] {
        assert!(!is_here(elsewhere), "{elsewhere}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_path_arrives_as_it_was_written(path in "[^\\p{Cc}?%]{0,24}") {
        prop_assume!(!path.split('/').any(|segment| segment == "." || segment == ".."));
        let url = Url::under("http://h:1/base", &path).unwrap();
        prop_assert_eq!(url.as_sent().host_str(), Some("h"));
        prop_assert_eq!(url.as_sent().port(), Some(1));
        prop_assert_eq!(url.as_sent().query(), None);
        let read = percent_decode_str(url.as_sent().path()).decode_utf8().unwrap().into_owned();
        let expected = if path.is_empty() {
            "/base".to_owned()
        } else {
            format!("/base/{}", path.trim_start_matches('/'))
        };
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_path_changes_who_is_asked(path in "\\PC{0,24}") {
        if let Ok(url) = Url::under("http://h:1/base/", &path) {
            prop_assert_eq!(url.as_sent().host_str(), Some("h"));
            prop_assert_eq!(url.as_sent().port(), Some(1));
            prop_assert!(url.as_sent().path().starts_with("/base/"));
            prop_assert!(url.as_sent().as_str().bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        }
    }

    #[test]
    fn any_parameters_arrive_as_they_were_written(
        params in prop::collection::btree_map("[^\\p{Cc}]{0,8}", "\\PC{0,8}", 0..4),
    ) {
        let list: Vec<_> = params.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        let url = Url::endpoint("http://h/").unwrap().with_params(&list).unwrap();
        let read: BTreeMap<String, String> = url.as_sent().query_pairs().into_owned().collect();
        prop_assert_eq!(read, params);
    }

    #[test]
    fn any_text_is_a_url_or_an_error(text in "\\PC{0,40}") {
        if let Ok(url) = Url::endpoint(&text) {
            prop_assert!(!url.host().is_empty());
        }
    }
}
