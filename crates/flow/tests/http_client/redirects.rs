//! Redirects.

use adit_flow::http::{AskError, Client, Config, REDIRECTS};
use adit_flow::model::method::Method;
use adit_flow::stream::ByteSource;
use futures_util::{StreamExt as _, stream};

use super::server::{Server, reply};
use super::{client, get, headers, post, request};

/// Redirects `/STATUS` to `to`, and answers all else.
async fn redirecting(to: String) -> Server {
    Server::start(move |seen| {
        let path = seen.asked().split('/').nth(1).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        match path.parse() {
            Ok(status) => reply(status, &format!("Location: {to}\r\n"), "moved"),
            Err(_) => reply(200, "Content-Type: text/plain\r\n", "there"),
        }
    })
    .await
}

#[tokio::test]
async fn a_redirect_keeps_or_changes_the_method_as_browsers_do() {
    for (status, method, then) in [
        (301, Method::Get, "GET"),
        (301, Method::Post, "GET"),
        (301, Method::Put, "PUT"),
        (302, Method::Post, "GET"),
        (302, Method::Delete, "DELETE"),
        (303, Method::Post, "GET"),
        (303, Method::Put, "GET"),
        (303, Method::Head, "HEAD"),
        (307, Method::Post, "POST"),
        (308, Method::Patch, "PATCH"),
    ] {
        let server = redirecting("../there?x=1#part".to_owned()).await;
        let mut asked = post(&server, &format!("/{status}"), "body");
        asked.method = method;
        client().send(&asked).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].asked(), format!("{then} /there?x=1"), "{status}");
        if method.as_str() == then {
            assert_eq!(seen[1].text(), "body");
        } else {
            assert_eq!(seen[1].text(), "");
            assert_eq!(seen[1].header("content-type"), None);
        }
    }
}

#[tokio::test]
async fn what_is_no_redirect_is_an_answer() {
    for status in [300, 304, 305, 306] {
        let server = redirecting("/there".to_owned()).await;
        let answer = client().send(&get(&server, &format!("/{status}"))).await;
        assert_eq!(answer.unwrap().status, status);
    }
    let server = Server::start(|_| reply(302, "", "")).await;
    let answer = client().send(&get(&server, "/")).await.unwrap();
    assert_eq!(answer.status, 302);
}

#[tokio::test]
async fn redirect_drops_auth() {
    let other = redirecting(String::new()).await;
    for (to, is_kept) in [
        ("/there".to_owned(), true),
        (format!("{}/there", other.base()), false),
        (format!("//{}/there", other.addr), false),
        (format!("http://me:pw@{}/there", other.addr), false),
    ] {
        let server = redirecting(to.clone()).await;
        let mut asked = post(&server, "/307?key=hush", "body");
        asked.headers = headers(&[
            ("Authorization", "Bearer hush"),
            ("Cookie", "a=hush"),
            ("Proxy-Authorization", "Basic hush"),
            ("X-Api-Key", "hush"),
            ("Host", "virtual.example"),
            ("Accept", "text/plain"),
        ]);
        client().send(&asked).await.unwrap();
        let server = if is_kept { &server } else { &other };
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.asked(), "POST /there", "{to}");
        assert_eq!(seen.head.contains("hush"), is_kept, "{to}: {}", seen.head);
        assert_eq!(seen.header("authorization").is_some(), is_kept);
        assert_eq!(seen.header("host").unwrap() == "virtual.example", is_kept);
        assert_eq!(seen.header("accept").unwrap(), "text/plain");
        assert_eq!(
            seen.header("content-type").unwrap(),
            "text/plain; charset=utf-8"
        );
        assert_eq!(seen.text(), "body");
    }
}

#[tokio::test]
async fn credentials_do_not_come_back_with_the_first_origin() {
    let first = Server::start(|seen| match seen.asked() {
        "GET /back" => reply(200, "", ""),
        asked => {
            let to = asked.split_once("to=").unwrap().1;
            reply(302, &format!("Location: {to}\r\n"), "")
        }
    })
    .await;
    let other = redirecting(format!("{}/back", first.base())).await;
    let mut asked = get(&first, &format!("/?to=http://{}/302", other.addr));
    asked.headers = headers(&[("Authorization", "Bearer hush")]);
    client().send(&asked).await.unwrap();
    let seen = first.seen();
    assert_eq!(seen[0].header("authorization").unwrap(), "Bearer hush");
    assert_eq!(seen[1].asked(), "GET /back");
    assert_eq!(seen[1].header("authorization"), None);
}

#[tokio::test]
async fn redirects_without_end_are_given_up() {
    let server = redirecting("/302".to_owned()).await;
    let error = client()
        .send(&get(&server, "/302?secret"))
        .await
        .unwrap_err();
    let text = format!(
        "GET {}/302: the redirect is not followed: there were 5 before it",
        server.base()
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(server.seen().len(), REDIRECTS + 1);

    let last = Server::start(|seen| {
        let left = seen.asked().trim_start_matches("GET /").parse::<usize>();
        match left.unwrap() {
            0 => reply(200, "", ""),
            left => reply(302, &format!("Location: /{}\r\n", left - 1), ""),
        }
    })
    .await;
    client().send(&get(&last, "/5")).await.unwrap();
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_says_where_to() {
    for (to, reason) in [
        (
            "file:///etc/passwd",
            "it leads to only http and https can be asked, not file",
        ),
        ("http://h:99999/", "it leads to no URL: invalid port number"),
    ] {
        let server = redirecting(to.to_owned()).await;
        let error = client().send(&get(&server, "/302")).await.unwrap_err();
        let text = format!(
            "GET {}/302: the redirect is not followed: {reason}",
            server.base()
        );
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn a_stream_is_not_sent_twice() {
    let server = redirecting("/there".to_owned()).await;
    let chunks = stream::iter([Ok(bytes::Bytes::from_static(b"data"))]);
    let source = ByteSource::new(chunks.boxed());
    let error = client()
        .send(&post(&server, "/307", source.into_value()))
        .await;
    let error = error.unwrap_err();
    assert!(error.to_string().ends_with("which was a stream"), "{error}");
    assert!(error.is_lasting());

    let source = ByteSource::new(stream::empty().boxed());
    client()
        .send(&post(&server, "/303", source.into_value()))
        .await
        .unwrap();
}

#[tokio::test]
async fn hosts_that_may_not_be_asked_are_not_asked_by_redirects_either() {
    let config = Config {
        allow_hosts: Some(vec!["127.0.0.1".to_owned()]),
        ..Config::default()
    };
    let client = Client::new(config).unwrap();
    let other = redirecting(String::new()).await;
    let to = format!("http://localhost:{}/there", other.addr.port());
    let server = redirecting(to.clone()).await;
    client
        .send(&request(Method::Get, &server, "/there"))
        .await
        .unwrap();
    let error = client.send(&get(&server, "/302")).await.unwrap_err();
    let text = format!("GET {to}: host localhost is not among those that may be asked");
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, AskError::Host { .. }));
    assert!(other.seen().is_empty());
}
