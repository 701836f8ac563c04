//! What proxies say, in any pieces, and what becomes of it.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Long enough for any test; the clock stands still.
const DEADLINE: Duration = Duration::from_secs(60);

fn proxy(url: &str) -> ProxyServer {
    url.parse().unwrap()
}

/// Asks a proxy that says `answer`, in pieces of that many bytes. Gives what it was sent, what became
/// of it, and what is left for the peer.
fn ask(url: &str, answer: &[u8], piece: usize) -> (Vec<u8>, Result<(), ProxyError>, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(async {
        let (mut near, far) = tokio::io::duplex(piece);
        let (mut ear, mut mouth) = tokio::io::split(far);
        let speaker = async {
            // Half of a duplex that is dropped ends nothing, so the end is said.
            mouth.write_all(answer).await.ok();
            mouth.shutdown().await.ok();
        };
        let asker = async {
            let result = proxy(url).ask(&mut near, "example.org", 22, DEADLINE).await;
            let mut rest = Vec::new();
            if result.is_ok() {
                near.read_to_end(&mut rest).await.unwrap();
            }
            drop(near);
            (result, rest)
        };
        let mut sent = Vec::new();
        let ((), (result, rest), heard) = tokio::join!(speaker, asker, ear.read_to_end(&mut sent));
        heard.unwrap();
        (sent, result, rest)
    })
}

/// How an answer ends, in words.
fn told(url: &str, answer: &[u8]) -> String {
    match ask(url, answer, 64).1 {
        Ok(()) => String::from("connected"),
        Err(error) => error.failure().to_string(),
    }
}

const NO_LOGIN: &[u8] = &[5, 0];
const LOGIN: &[u8] = &[5, 2];
const GRANTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// Where answers may begin well.
const BEGINNINGS: &[&[u8]] = &[
    b"",
    b"HTTP/1.1 ",
    b"HTTP/1.1 407 \r\nProxy-Authenticate:",
    NO_LOGIN,
    &[5, 0, 5, 0, 0, 3],
];

#[test]
fn answers_of_http_proxies_are_told_apart() {
    for (url, answer, expected) in [
        (
            "http://p",
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "connected",
        ),
        ("http://p", "HTTP/1.0 204\nVia: x\n\n", "connected"),
        (
            "http://p",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "connected",
        ),
        (
            "http://p",
            "HTTP/1.1 403 Filtered\x1b[2J\r\nA: b\r\n\r\n",
            "says: 403 Filtered\\u{1b}[2J",
        ),
        ("http://p", "HTTP/1.1 101 Switching\r\n\r\n", "says: 101"),
        (
            "http://p",
            "HTTP/1.1 407 No\r\nProxy-authenticate: basic realm=x\r\n\r\n",
            "wants a user and a password",
        ),
        (
            "http://u:p@p",
            "HTTP/1.1 401 Unauthorized\r\n\r\n",
            "does not take the user and password",
        ),
        (
            "http://p",
            "HTTP/1.1 407 No\r\n\r\n",
            "wants a user and a password",
        ),
        (
            "http://u:p@p",
            "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic\r\n\r\n",
            "does not take the user and password",
        ),
        (
            "http://u:p@p",
            "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate x\r\n\r\n",
            "password: NTLM, Negotiate",
        ),
        ("http://p", "SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        ("http://p", "HTTP/2 200\r\n\r\n", "does not speak HTTP"),
        (
            "http://p",
            "HTTP/1.1 200 OK\r\n",
            "ended before it answered",
        ),
        ("http://p", "", "ended before it answered"),
    ] {
        let told = told(url, answer.as_bytes());
        assert!(told.contains(expected), "{answer:?}: {told}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(20_000));
    assert!(told("http://p", endless.as_bytes()).contains("does not speak HTTP"));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    assert!(told("http://p", interim.as_bytes()).contains("does not speak HTTP"));
}

#[test]
fn answers_of_socks_proxies_are_told_apart() {
    let refusal = |reply: u8| [NO_LOGIN, &[5, reply, 0, 1]].concat();
    for (url, answer, expected) in [
        ("socks5://p", [NO_LOGIN, GRANTED].concat(), "connected"),
        ("socks5://u:p@p", [NO_LOGIN, GRANTED].concat(), "connected"),
        (
            "socks5://u:p@p",
            [LOGIN, &[1, 0], GRANTED].concat(),
            "connected",
        ),
        (
            "socks5h://p",
            [NO_LOGIN, &[5, 0, 0, 3, 2, b'a', b'b', 0, 22]].concat(),
            "connected",
        ),
        (
            "socks5h://p",
            [NO_LOGIN, &[5, 0, 0, 4], &[0; 18]].concat(),
            "connected",
        ),
        (
            "socks5://u:p@p",
            [LOGIN, &[1, 1]].concat(),
            "does not take the user and password",
        ),
        ("socks5://p", vec![5, 0xff], "wants a user and a password"),
        ("socks5://u:p@p", vec![5, 0xff], "another login"),
        ("socks5://p", LOGIN.to_vec(), "wants a user and a password"),
        ("socks5://p", vec![5, 1], "does not speak SOCKS5"),
        (
            "socks5://p",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "does not speak SOCKS5",
        ),
        ("socks5://p", refusal(5), "says: connection refused"),
        ("socks5://p", refusal(2), "says: not allowed by its rules"),
        ("socks5://p", refusal(99), "says: reply 99"),
        (
            "socks5://p",
            [NO_LOGIN, &[5, 0, 0, 9]].concat(),
            "does not speak SOCKS5",
        ),
        (
            "socks5://p",
            [NO_LOGIN, &[5, 0, 0, 1, 0]].concat(),
            "ended before it answered",
        ),
    ] {
        let told = told(url, &answer);
        assert!(told.contains(expected), "{url} {answer:?}: {told}");
    }
}

#[test]
fn a_socks_proxy_gets_the_name_and_the_credentials() {
    let answer = [LOGIN, &[1, 0], GRANTED].concat();
    let (sent, result, _) = ask("socks5://me:a%3ab@p", &answer, 1);
    result.unwrap();
    let mut expected = vec![5, 2, 0, 2, 1, 2, b'm', b'e', 3, b'a', b':', b'b'];
    expected.extend_from_slice(&[5, 1, 0, 3, 11]);
    expected.extend_from_slice(b"example.org\0\x16");
    assert_eq!(sent, expected);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_does_not_answer_is_left() {
    for url in ["http://p", "socks5://p"] {
        let (mut near, _far) = tokio::io::duplex(1_000);
        let asked = proxy(url).ask(&mut near, "example.org", 22, DEADLINE).await;
        let error = asked.unwrap_err();
        assert!(matches!(error.failure(), ProxyFailure::TimedOut(_)));
        assert!(!error.is_permanent());
    }
}

#[test]
fn urls_are_read_and_what_is_wrong_is_named_without_them() {
    use ProxyUrlError::{Credentials, Host, Path, Port, Scheme};
    for (url, expected) in [
        ("http://proxy:3128", "HTTP proxy proxy port 3128"),
        ("http://proxy", "HTTP proxy proxy port 80"),
        ("HTTP://proxy:3128/", "HTTP proxy proxy port 3128"),
        ("proxy.lan:3128", "HTTP proxy proxy.lan port 3128"),
        ("socks5://[::1]", "SOCKS5 proxy ::1 port 1080"),
        ("socks5h://u:p@[::1]:1", "SOCKS5 proxy ::1 port 1"),
        ("http://a@b:c@proxy", "HTTP proxy proxy port 80"),
    ] {
        assert_eq!(proxy(url).to_string(), expected, "{url}");
    }
    for (url, expected) in [
        ("https://proxy", Scheme),
        ("socks4://proxy", Scheme),
        ("://proxy", Scheme),
        ("", Host),
        ("http://", Host),
        ("http://-proxy", Host),
        ("http://a b", Host),
        ("http://[::1", Host),
        ("http://[::1]1", Host),
        ("http://a\r\nb", Host),
        ("http://proxy:", Port),
        ("http://proxy:0", Port),
        ("http://proxy:+1", Port),
        ("http://proxy:65536", Port),
        ("http://::1:80", Host),
        ("http://a:1:2", Port),
        ("http://@proxy", Credentials),
        ("http://:hunter2@proxy", Credentials),
        ("http://u:hunter2%@proxy", Credentials),
        ("http://u:hunter2%zz@proxy", Credentials),
        ("http://u%3A:hunter2@proxy", Credentials),
        ("http://proxy/path", Path),
        ("http://proxy?query", Path),
    ] {
        let error = url.parse::<ProxyServer>().unwrap_err();
        assert_eq!(error, expected, "{url:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let long = format!("http://u:{}@proxy", "p".repeat(CREDENTIAL + 1));
    assert_eq!(long.parse::<ProxyServer>().unwrap_err(), Credentials);
}

#[test]
fn credentials_are_in_no_text_about_a_proxy() {
    let shown = proxy("http://user4711:hunter2@proxy:1");
    let (_, result, _) = ask("http://user4711:hunter2@proxy:1", b"", 1);
    let text = format!("{shown} {shown:?} {:?}", result.unwrap_err());
    assert!(
        !text.contains("hunter2") && !text.contains("user4711"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn what_follows_an_answer_is_the_peers_in_any_pieces(
        rest in proptest::collection::vec(any::<u8>(), 0..300),
        piece in 1_usize..400,
        lines in "([a-zA-Z]{1,9}: [a-z]{0,20}\r\n){0,5}",
    ) {
        let http = [format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes(), &rest].concat();
        let socks = [NO_LOGIN, GRANTED, &rest].concat();
        for (url, answer) in [("http://p", http), ("socks5://p", socks)] {
            let (_, result, got) = ask(url, &answer, piece);
            prop_assert!(result.is_ok());
            prop_assert_eq!(&got, &rest);
        }
    }

    #[test]
    fn no_answer_makes_a_proxy_panic_or_wait(
        answer in proptest::collection::vec(any::<u8>(), 0..300),
        beginning in proptest::sample::select(BEGINNINGS),
    ) {
        let answer = [beginning, &answer].concat();
        for url in ["http://p", "http://u:p@p", "socks5://p", "socks5://u:p@p"] {
            drop(ask(url, &answer, 7));
        }
    }

    #[test]
    fn no_text_makes_a_url_panic(text in "(http://|socks5://)?[a-z:@/%\\[\\]0-9\u{e9}]{0,30}") {
        drop(text.parse::<ProxyServer>());
    }
}
