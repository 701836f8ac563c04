//! Who is let in, over the wire: nothing starts for a page of another site.

use crate::fake::{Fake, SEED};
use crate::http::{ask, ask_as, get, post_json};
use crate::served::{Served, config};

const RUNS: &str = "/api/workflows/runs";

#[tokio::test]
async fn nothing_starts_for_another_sites_page() {
    let served = Served::seed().await;
    let bodies = [
        ("application/json", "{}"),
        ("application/x-www-form-urlencoded", "input[data]=x"),
        (
            "multipart/form-data; boundary=X",
            "--X\r\nContent-Disposition: form-data; name=\"input[data]\"\r\n\r\nx\r\n--X--\r\n",
        ),
        ("text/plain", "{}"),
    ];
    let attempts: [(&str, &[(&str, &str)]); 6] = [
        ("HOST", &[("Origin", "https://attacker.example")]),
        ("HOST", &[("Origin", "null")]),
        ("HOST", &[("Sec-Fetch-Site", "cross-site")]),
        ("HOST", &[("Sec-Fetch-Site", "same-site")]),
        ("attacker.example", &[]),
        (
            "attacker.example:PORT",
            &[("Origin", "http://attacker.example:PORT")],
        ),
    ];
    for at in [served.api, served.page] {
        for (host, headers) in attempts {
            for (kind, body) in bodies {
                let port = at.port().to_string();
                let own = at.to_string();
                let host = host.replace("HOST", &own).replace("PORT", &port);
                let headers: Vec<(&str, String)> = headers
                    .iter()
                    .map(|(name, value)| (*name, value.replace("PORT", &port)))
                    .collect();
                let mut all = vec![("Host", host.as_str()), ("Content-Type", kind)];
                all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
                let answer = ask_as(at, "POST", RUNS, &all, body).await;
                assert_eq!(answer.status, 403, "{all:?} {answer:?}");
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
    }
    assert!(served.fake.started().is_empty());
}

#[tokio::test]
async fn a_configured_origin_may_ask_and_read_but_send_no_credentials() {
    let served = Served::seed().await;
    let friend = ("Origin", "https://friend.example");
    let preflight = [
        friend,
        ("Sec-Fetch-Site", "cross-site"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let answer = ask(served.api, "OPTIONS", RUNS, &preflight, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    let allowed = answer.header("access-control-allow-headers");
    assert_eq!(allowed, Some("Authorization, Content-Type"));
    let json = [
        friend,
        ("Sec-Fetch-Site", "cross-site"),
        ("Content-Type", "application/json"),
    ];
    let body = r#"{"wait_for_completion":false}"#;
    let run = ask(served.api, "POST", RUNS, &json, body).await;
    assert_eq!(run.status, 200);
    for answer in [answer, run] {
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin, Some("https://friend.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    // The page has no friends.
    let answer = ask(served.page, "OPTIONS", RUNS, &preflight, "").await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_token_is_wanted_for_all_but_the_pages_files() {
    let fake = Fake::of(SEED);
    let mut config = config();
    config.adapters[0].token = Some(adit_text::SecretSource::Value("t0ken-of-tests".to_owned()));
    let served = Served::of(fake, &config, Some("t0ken-of-tests")).await;
    for at in [served.api, served.page] {
        let answer = post_json(at, RUNS, "{}").await;
        let wanted = r#"{"detail":"A token is required."}"#;
        assert_eq!((answer.status, answer.body.as_str()), (401, wanted));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        for (token, status) in [("Bearer t0ken-of-tests", 200), ("Bearer t0ken", 401)] {
            let headers = [("Authorization", token)];
            let answer = ask(at, "GET", "/api/workflows", &headers, "").await;
            assert_eq!(answer.status, status);
        }
    }
    assert_eq!(get(served.page, "/").await.status, 200);
    assert!(served.fake.started().is_empty());
}

#[tokio::test]
async fn a_token_that_a_file_wants_has_to_be_there() {
    let mut config = config();
    config.adapters[0].token = Some(adit_text::SecretSource::Value(String::new()));
    let runs = Fake::of(SEED);
    let bound = adit_flow::controller::Controller::bind(&config, runs, &[None]).await;
    let error = bound.unwrap_err().to_string();
    assert_eq!(error, "the controller at 127.0.0.1:0 has no token");
}

#[tokio::test]
async fn pages_come_with_their_policy_and_nothing_from_elsewhere() {
    let served = Served::seed().await;
    let mut seen = 0;
    for path in ["/", "/index.html", "/app.js", "/style.css", "/words.js"] {
        let answer = get(served.page, path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        seen += answer.body.len();
    }
    assert!(seen > 10_000, "{seen}");
    assert_eq!(get(served.page, "/nothing.js").await.status, 404);
    assert_eq!(ask(served.page, "POST", "/", &[], "").await.status, 405);
    let head = ask(served.page, "HEAD", "/", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // A rebound name sees not even the page.
    let answer = ask_as(served.page, "GET", "/", &[("Host", "attacker.example")], "").await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_folder_is_served_beside_the_api() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<p>mine").unwrap();
    let served = Served::folder(folder.path().to_owned()).await;
    let answer = get(served.page, "/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "<p>mine"));
    assert_eq!(answer.header("content-length"), Some("7"));
    assert_eq!(
        get(served.page, "/api/health").await.body,
        r#"{"status":"ok"}"#
    );
    assert_eq!(get(served.page, "/../etc/passwd").await.status, 404);
}
