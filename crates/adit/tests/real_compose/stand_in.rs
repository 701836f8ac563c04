//! A server in the place of `uvicorn`, which listens at its port and has nothing to say.

use std::net::TcpListener;

/// Whether this process is the server, and the arguments that it was started with.
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
    for visitor in listener.incoming() {
        drop(visitor.unwrap());
    }
}
