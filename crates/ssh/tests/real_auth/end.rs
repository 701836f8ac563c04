//! An end of a connection over a socket of this machine, driven by the thread that waits for it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use adit_ssh::error::ConnectionError;
use adit_ssh::packet::Outgoing;
use adit_ssh::{Connection, Event};
use adit_testkit::wait;

/// One end.
pub(crate) struct End {
    pub(crate) connection: Connection,
    stream: TcpStream,
    out: Outgoing,
    unread: Vec<u8>,
    gives_up: Instant,
}

impl End {
    pub(crate) fn new(connection: Connection, stream: TcpStream) -> Self {
        Self {
            connection,
            stream,
            out: Outgoing::new(),
            unread: Vec::new(),
            gives_up: now() + wait::DEADLINE,
        }
    }

    /// Lets it talk until it has something to tell, or is over.
    pub(crate) fn next_event(&mut self) -> Result<Event, ConnectionError> {
        loop {
            if let Some(event) = self.connection.poll_event() {
                return Ok(event);
            }
            // What waited for an answer is heard first.
            self.hear()?;
            self.flush()?;
            if let Some(error) = self.connection.error() {
                return Err(error.clone());
            }
            if let Some(event) = self.connection.poll_event() {
                return Ok(event);
            }
            self.wait()?;
        }
    }

    /// Sends all that it has to say.
    pub(crate) fn flush(&mut self) -> Result<(), ConnectionError> {
        let said = self.connection.transmit(now(), &mut self.out, usize::MAX);
        let bytes: Vec<u8> = self.out.slices().flatten().copied().collect();
        self.out.advance(bytes.len());
        if self.stream.write_all(&bytes).is_err() {
            return Err(self.connection.end_of_input());
        }
        said
    }

    /// Waits for bytes or for a deadline of the connection.
    fn wait(&mut self) -> Result<(), ConnectionError> {
        let now = now();
        assert!(
            now < self.gives_up,
            "nothing happens: {:?}",
            self.connection
        );
        let deadline = self.connection.next_deadline().unwrap_or(self.gives_up);
        let patience = deadline
            .min(self.gives_up)
            .saturating_duration_since(now)
            .max(Duration::from_micros(100));
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let length = self.unread.len();
        self.unread.resize(length + 4_096, 0);
        let read = self.stream.read(&mut self.unread[length..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.unread.truncate(length + count);
        match read {
            Ok(0) => return Err(self.connection.end_of_input()),
            Ok(_) => self.hear()?,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        let now = crate::end::now();
        if self
            .connection
            .next_deadline()
            .is_some_and(|due| due <= now)
        {
            self.connection.handle_timeout(now)?;
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<(), ConnectionError> {
        let taken = self.connection.receive(now(), &self.unread)?;
        self.unread.drain(..taken);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "real programs live in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
