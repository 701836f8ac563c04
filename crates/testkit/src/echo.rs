//! A service that gives back what it was given, once the visitor has finished.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;

/// Serves at a port of the loopback that the system chooses, and gives it. It ends with the test's
/// process.
///
/// # Panics
///
/// When no port can be had.
#[track_caller]
pub fn service() -> u16 {
    let (listener, port) = loopback();
    serve(listener, Vec::new());
    port
}

/// The same with its own port, in digits, behind each answer.
///
/// # Panics
///
/// When no port can be had.
#[track_caller]
pub fn named_service() -> u16 {
    let (listener, port) = loopback();
    serve(listener, port.to_string().into_bytes());
    port
}

/// Serves at a listener, with `suffix` behind each answer.
pub fn serve(listener: TcpListener, suffix: Vec<u8>) {
    run(move || Ok(listener.accept()?.0), suffix);
}

/// Serves at a Unix socket.
pub fn serve_unix(listener: UnixListener) {
    run(move || Ok(listener.accept()?.0), Vec::new());
}

#[track_caller]
fn loopback() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

fn run<S>(accept: impl Fn() -> io::Result<S> + Send + 'static, suffix: Vec<u8>)
where
    S: Read + Write + Send + 'static,
{
    thread::spawn(move || {
        while let Ok(mut visitor) = accept() {
            let suffix = suffix.clone();
            thread::spawn(move || {
                let mut bytes = Vec::new();
                if visitor.read_to_end(&mut bytes).is_ok() {
                    bytes.extend_from_slice(&suffix);
                    // A visitor that has left wants no answer.
                    drop(visitor.write_all(&bytes));
                }
            });
        }
    });
}
