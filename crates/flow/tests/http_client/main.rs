//! What the HTTP client sends and makes of answers, byte for byte, next to a server on the loopback.

#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod limits;
mod redirects;
mod requests;
mod server;
mod tls;

use adit_flow::expr::Value;
use adit_flow::http::{Client, Config, Request, Url};
use adit_flow::model::method::Method;

use server::Server;

fn client() -> Client {
    Client::new(Config::default()).unwrap()
}

fn request(method: Method, server: &Server, path: &str) -> Request {
    Request::new(method, Url::under(&server.base(), path).unwrap())
}

fn get(server: &Server, path: &str) -> Request {
    request(Method::Get, server, path)
}

fn post(server: &Server, path: &str, body: impl Into<Value>) -> Request {
    Request {
        body: Some(body.into()),
        ..request(Method::Post, server, path)
    }
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Value)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect()
}
