//! The private service of the demo: one small web page, and the visitor that fetches it.
//!
//! The page speaks just enough HTTP/1.1 for a browser and for `fetch`: it reads a request head of
//! at most 8 KiB, answers, and closes.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::stop::Stop;

/// A web page at a free port of the loopback.
#[derive(Debug)]
pub(super) struct Page {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Binds a free port and serves it from a thread of its own.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
        let addr = listener.local_addr().context("a socket has no address")?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name("page".into())
            .spawn({
                let stop = Arc::clone(&stop);
                move || serve(&listener, addr, &stop)
            })
            .context("cannot start a thread")?;
        Ok(Self {
            addr,
            stop,
            thread: Some(thread),
        })
    }

    /// Where the page is served.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether a body that a visitor fetched is this page's and not something else's.
    pub(super) fn check(&self, body: &str) -> anyhow::Result<()> {
        if body.starts_with(&greeting(self.addr)) {
            Ok(())
        } else {
            bail!("the tunnel leads elsewhere: {body}")
        }
    }

    /// Ends the thread and waits for it.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.stop.store(true, Ordering::SeqCst);
        // The accept only looks at the flag when somebody comes.
        TcpStream::connect_timeout(&self.addr, TIMEOUT).context("cannot wake the page")?;
        thread.join().map_err(|_| anyhow!("the page panicked"))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Only on the way out of an error, which is what gets reported.
        self.end().ok();
    }
}

/// Fetches a page as a visitor would and returns its body.
pub(super) fn fetch(addr: SocketAddr, deadline: Duration, stop: &Stop) -> anyhow::Result<String> {
    let mut last = None;
    let body = stop.until("the page", deadline, || match fetch_once(addr) {
        Ok(body) => Ok(Some(body)),
        Err(error) => {
            last = Some(error);
            Ok(None)
        }
    });
    match (body, last) {
        (Err(error), Some(last)) => Err(error.context(format!("the last try: {last:#}"))),
        (body, _) => body,
    }
}

fn fetch_once(addr: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT).context("cannot connect")?;
    limit(&stream)?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    )
    .context("cannot send the request")?;
    let mut answer = String::new();
    stream
        .take(ANSWER_LIMIT)
        .read_to_string(&mut answer)
        .context("cannot read the answer")?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("no page, but {answer:?}");
    }
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok(body.trim_end().to_owned())
}

/// Serves until the flag is up; the scope joins the threads of the visitors.
fn serve(listener: &TcpListener, addr: SocketAddr, stop: &AtomicBool) {
    let visits = AtomicU64::new(0);
    let present = AtomicU64::new(0);
    thread::scope(|scope| {
        for visitor in listener.incoming() {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let Ok(visitor) = visitor else { continue };
            if present.load(Ordering::SeqCst) >= VISITOR_LIMIT {
                continue;
            }
            present.fetch_add(1, Ordering::SeqCst);
            let (visits, present) = (&visits, &present);
            scope.spawn(move || {
                // A visitor that goes away early is its own loss.
                answer(visitor, addr, visits).ok();
                present.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
}

fn answer(mut visitor: TcpStream, addr: SocketAddr, visits: &AtomicU64) -> anyhow::Result<()> {
    limit(&visitor)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_LIMIT {
            bail!("the request is too long");
        }
        let mut byte = [0];
        visitor.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let visit = visits.fetch_add(1, Ordering::SeqCst).saturating_add(1);
    let body = format!("{}, request {visit}\n", greeting(addr));
    write!(
        visitor,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

fn greeting(addr: SocketAddr) -> String {
    format!("hello from the private service at {addr}")
}

fn limit(stream: &TcpStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(())
}

/// For one read, write or connect on the loopback.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest request head, in bytes.
const HEAD_LIMIT: usize = 8 * 1024;

/// Longest answer a visitor reads, in bytes.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// Most visitors served at once; more are closed.
const VISITOR_LIMIT: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop;

    #[test]
    fn each_visitor_gets_the_page_and_the_number_of_the_visit() {
        let (stop, _signal) = stop::tests::silent();
        let page = Page::start().unwrap();
        for visit in 1..=3 {
            let body = fetch(page.addr(), TIMEOUT, &stop).unwrap();
            page.check(&body).unwrap();
            assert!(body.ends_with(&format!("request {visit}")), "{body}");
        }
        page.stop().unwrap();
    }

    #[test]
    fn a_page_of_somebody_else_is_told_apart() {
        let page = Page::start().unwrap();
        let other = Page::start().unwrap();
        assert!(page.check(&greeting(other.addr())).is_err());
    }

    #[test]
    fn a_fetch_without_a_page_says_why_it_failed() {
        let (stop, _signal) = stop::tests::silent();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let error = fetch(addr, Duration::ZERO, &stop).unwrap_err();
        assert!(format!("{error:#}").contains("cannot connect"), "{error:#}");
    }
}
