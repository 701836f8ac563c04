use proptest::prelude::*;

use super::*;

/// Shows the bytes in pieces of a size: how many were handed on, and why no more.
fn hand_on(bytes: &[u8], piece: usize) -> (usize, Result<Part, BadRequest>) {
    let mut frame = Frame::new();
    let mut done = 0;
    let mut shown = 0;
    loop {
        match frame.advance(&bytes[done..shown]) {
            Ok(0) if shown == bytes.len() => return (done, Ok(frame.part())),
            Ok(0) => shown = bytes.len().min(shown + piece),
            Ok(taken) => done += taken,
            Err(error) => return (done, Err(error)),
        }
    }
}

fn verdict(request: &str) -> Result<usize, BadRequest> {
    let (done, end) = hand_on(request.as_bytes(), usize::MAX / 2);
    let (done_by_bytes, end_by_bytes) = hand_on(request.as_bytes(), 1);
    assert_eq!(end_by_bytes, end, "{request:?}");
    assert!(end.is_err() || done_by_bytes == done, "{request:?}");
    end.map(|_| done)
}

fn with(fields: &str, rest: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n{rest}")
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    use BadRequest::{Chunk, Coding, Connect, Folded, Length, LineEnd, Malformed, Version};
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let table = [
        (with(both, "0\r\n\r\n"), Length),
        (
            with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", ""),
            Length,
        ),
        (
            with("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
            Length,
        ),
        (
            with("Content-Length: 5\r\ncontent-length: 6\r\n", ""),
            Length,
        ),
        (with("Content-Length: 5, 5\r\n", ""), Length),
        (with("Content-Length: +5\r\n", ""), Length),
        (with("Content-Length: -5\r\n", ""), Length),
        (with("Content-Length: 0x5\r\n", ""), Length),
        (with("Content-Length:\r\n", ""), Length),
        (with("Content-Length: 99999999999999999999\r\n", ""), Length),
        (with("Transfer-Encoding: gzip, chunked\r\n", ""), Coding),
        (with("Transfer-Encoding: xchunked\r\n", ""), Coding),
        (with("Transfer-Encoding: chunked, identity\r\n", ""), Coding),
        (with("Transfer-Encoding: \"chunked\"\r\n", ""), Coding),
        (with("Transfer-Encoding: identity\r\n", ""), Coding),
        (with("Transfer-Encoding:\r\n", ""), Coding),
        (
            with(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "",
            ),
            Coding,
        ),
        (
            String::from("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Coding,
        ),
        (with("Transfer-Encoding : chunked\r\n", ""), Malformed),
        (with("X: a\r\n b\r\n", ""), Folded),
        (with("X: a\r\n\tb\r\n", ""), Folded),
        (with("X: a\nY: b\r\n", ""), LineEnd),
        (String::from("GET / HTTP/1.1\nHost: a\n\n"), LineEnd),
        (with("X: a\rb\r\n", ""), Malformed),
        (with("X: a\0b\r\n", ""), Malformed),
        (with("X: a\u{1}b\r\n", ""), Malformed),
        (with("X\r\n", ""), Malformed),
        (with(": a\r\n", ""), Malformed),
        (with("X[]: a\r\n", ""), Malformed),
        (with("Content-Length\u{b}: 5\r\n", ""), Malformed),
        (String::from("GET  / HTTP/1.1\r\n\r\n"), Malformed),
        (String::from("GET /a b HTTP/1.1\r\n\r\n"), Malformed),
        (String::from("GET / HTTP/1.1 \r\n\r\n"), Malformed),
        (String::from("GET / HTTP/2.0\r\n\r\n"), Version),
        (String::from("GET / HTTP/1.2\r\n\r\n"), Version),
        (String::from("GET /\r\n\r\n"), Malformed),
        (
            String::from("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
            Connect,
        ),
    ];
    for (request, wanted) in table {
        assert_eq!(verdict(&request), Err(wanted), "{request:?}");
    }
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (chunks, wanted) in [
        ("5\r\nhelloX", Chunk),
        ("5;a=\n\r\nhello\r\n", Chunk),
        ("5;a\nhello\r\n", Chunk),
        ("5\nhello", Chunk),
        ("\r\n", Chunk),
        ("0x5\r\nhello\r\n", Chunk),
        ("+5\r\nhello\r\n", Chunk),
        (" 5\r\nhello\r\n", Chunk),
        ("5 \r\nhello\r\n", Chunk),
        ("-1\r\n", Chunk),
        ("10000000000000000\r\n", Chunk),
        ("0\r\nX: a\n\r\n", Chunk),
        ("0\r\n X: a\r\n\r\n", Folded),
    ] {
        assert_eq!(verdict(&with(chunked, chunks)), Err(wanted), "{chunks:?}");
    }
}

#[test]
fn what_has_one_reading_is_handed_on_to_the_last_byte() {
    let requests = [
        with("", ""),
        with("Content-Length: 5\r\n", "hello"),
        with("Content-Length: 0\r\n", ""),
        with("content-LENGTH:\t 5 \t\r\n", "hello"),
        with("TRANSFER-encoding: Chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        with(
            "Transfer-Encoding: chunked\r\n",
            "5;a=b;c=\"d\"\r\nhello\r\nA\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\n",
        ),
        String::from("\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
        String::from("OPTIONS * HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\n\r\n"),
    ];
    for request in &requests {
        assert_eq!(verdict(request), Ok(request.len()), "{request:?}");
    }
    let all = requests.concat();
    assert_eq!(verdict(&all), Ok(all.len()), "one behind the other");
}

#[test]
fn behind_a_wish_for_another_protocol_nothing_goes_on_before_its_answer() {
    let head = "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    let more = format!("{head}GET / HTTP/1.1\r\n\r\n");
    let mut frame = Frame::new();
    assert_eq!(frame.advance(more.as_bytes()), Ok(head.len()));
    assert_eq!(frame.part(), Part::Held);
    assert_eq!(frame.advance(&more.as_bytes()[head.len()..]), Ok(0));
    frame.resume(false);
    assert_eq!(frame.advance(&more.as_bytes()[head.len()..]), Ok(18));
    let mut frame = Frame::new();
    assert_eq!(frame.advance(more.as_bytes()), Ok(head.len()));
    frame.resume(true);
    assert_eq!(frame.advance(b"\0\n\xff"), Ok(3));
    // With a body it is a request like any other.
    let request = with("Upgrade: websocket\r\nContent-Length: 5\r\n", "hello");
    assert_eq!(verdict(&request), Ok(request.len()));
}

#[test]
fn heads_have_limits() {
    let target = "a".repeat(TARGET_BYTES);
    let long = format!("GET /{target} HTTP/1.1\r\n\r\n");
    assert_eq!(verdict(&long), Err(BadRequest::LongTarget));
    let endless = "a".repeat(HEAD_BYTES);
    let (_, end) = hand_on(endless.as_bytes(), 1_000);
    assert_eq!(end, Err(BadRequest::LongTarget));
    let (_, end) = hand_on(with(&endless, "").as_bytes(), 1_000);
    assert_eq!(end, Err(BadRequest::LargeHead));
    let fields = |count| with(&"X: a\r\n".repeat(count), "");
    assert!(verdict(&fields(FIELDS - 1)).is_ok());
    assert_eq!(verdict(&fields(FIELDS)), Err(BadRequest::LargeHead));
    let size = format!("5;{}\r\n", "a".repeat(300));
    assert_eq!(
        verdict(&with("Transfer-Encoding: chunked\r\n", &size)),
        Err(BadRequest::Chunk)
    );
}

proptest! {
    #[test]
    fn how_bytes_come_in_pieces_changes_nothing(
        bytes in prop::collection::vec(prop::sample::select(
            b"GPET /HTTP/1.1\r\n\r\n:0159aAf;, \tchunkedContent-Length".to_vec()), 0..200),
        fields in prop::sample::subsequence(vec![
            "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n", "Upgrade: x\r\n", "A: b\r\n",
        ], 0..4),
        piece in 1_usize..64,
    ) {
        let mut request = with(&fields.concat(), "").into_bytes();
        request.extend(bytes);
        let (whole, pieces) = (handed_on(&request, request.len()), handed_on(&request, piece));
        prop_assert_eq!(pieces.1, whole.1);
        // What was wrong in a body shows behind what came before it.
        prop_assert!(pieces.0 == whole.0 || (whole.1.is_some() && pieces.0 > whole.0));
    }
}
