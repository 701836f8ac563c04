//! The helper of model-compose's gateway examples, in place of its `uvicorn server:app`.
//!
//! `POST /process` is answered at once with the task's id; then the callback gets the data in capitals and
//! how many characters they are.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

/// Whether this process is the helper, and the arguments that it was started with.
pub(crate) const VARIABLE: &str = "STAND_IN_FOR_UVICORN";

/// No test: what a script called `uvicorn` runs this program for.
#[test]
fn stand_in() {
    let Ok(arguments) = std::env::var(VARIABLE) else {
        return;
    };
    let (_, port) = arguments.split_once("--port ").unwrap();
    let port: u16 = port.split_whitespace().next().unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        thread::spawn(move || serve(stream));
    }
}

/// One request. A connection without one is a look at whether anybody listens.
fn serve(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut is_first = true;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if is_first && line.is_empty() {
            return None;
        }
        is_first = false;
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let id = body["task_id"].as_str().unwrap_or("unknown");
    respond(reader.get_mut(), &json!({"task_id": id}).to_string());
    drop(reader);
    let data = body["data"].as_str()?;
    let url = body["callback_url"].as_str()?;
    if data == "never" {
        return None;
    }
    // By hand, so that the keys come in this order.
    let (capitals, length) = (json!(data.to_uppercase()), data.chars().count());
    let result = format!(r#"{{"processed_data": {capitals}, "length": {length}}}"#);
    let (status, _) = post(
        url,
        &format!(r#"{{"task_id": {}, "result": {result}}}"#, json!(id)),
    );
    assert_eq!(status, 200);
    Some(())
}

fn respond(stream: &mut TcpStream, body: &str) {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
}

/// Posts JSON to `http://host:port/path`, and gives the status and the body.
pub(crate) fn post(url: &str, body: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
