//! As much HTTP/1.1 as both ends of a measurement need: bodies with a length, connections that are kept.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

/// A connection to a server that asks one thing after the other.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

/// What a server says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Connects. What takes longer than `patience`, now and later, is an error.
    pub(super) fn dial(host: SocketAddr, patience: Duration) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&host, patience).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            stream: BufReader::new(stream),
            host,
        })
    }

    /// Asks for something.
    pub(super) fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.host
        ))?;
        self.answer()
    }

    /// Sends JSON and waits for what is said to it.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.begin(path, body.to_string().as_bytes())?;
        self.answer()
    }

    /// Sends what is said to be JSON, and does not wait.
    pub(super) fn begin(&mut self, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.send(request)
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref()).context("nothing is taken")
    }

    /// The next answer.
    pub(super) fn answer(&mut self) -> anyhow::Result<Answer> {
        let message = read(&mut self.stream)?.context("it goes without an answer")?;
        let status = message.first_line.split(' ').nth(1);
        let status = status.and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.with_context(|| format!("no answer: {}", message.first_line))?,
            body: message.body,
        })
    }
}

impl Answer {
    /// What a good answer says.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        if self.status != 200 {
            bail!("{}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        serde_json::from_slice(&self.body).context("the answer is no JSON")
    }
}

/// A request or an answer.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) first_line: String,
    pub(super) body: Vec<u8>,
}

/// Reads the next message; `None` where the peer has gone before it.
pub(super) fn read(stream: &mut impl BufRead) -> anyhow::Result<Option<Message>> {
    let mut first_line = String::new();
    if stream.read_line(&mut first_line).context("cannot read")? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).context("cannot read a head")? == 0 {
            bail!("a head without an end");
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value
                .trim()
                .parse()
                .map_err(|_| anyhow!("no length: {line}"))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("a body without a length");
        }
    }
    let mut body = Vec::new();
    let count = stream.take(length).read_to_end(&mut body)?;
    if u64::try_from(count)? < length {
        bail!("a body without its end");
    }
    Ok(Some(Message {
        first_line: first_line.trim_end().to_owned(),
        body,
    }))
}

/// Answers with this JSON, or with nothing.
pub(super) fn write(mut stream: &TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_one_another_on_a_stream() {
        let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}\
            HTTP/1.1 404 Not Found\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
        let first = read(&mut bytes).unwrap().unwrap();
        assert_eq!(
            (first.first_line.as_str(), first.body.as_slice()),
            ("HTTP/1.1 200 OK", &b"{}"[..])
        );
        assert_eq!(read(&mut bytes).unwrap().unwrap().body, b"");
        let error = read(&mut bytes).unwrap_err().to_string();
        assert_eq!(error, "a body without its end");
        assert!(read(&mut bytes).unwrap().is_none());
    }
}
