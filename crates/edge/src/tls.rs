//! TLS in front of names: which certificate, which protocol, for which name.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Certificates by the name that a visitor asks for, at each moment.
pub trait Certificates: fmt::Debug + Send + Sync {
    /// The certificate and key for a name in its canonical form; without a name, for visitors who say none. Nothing
    /// ends the handshake with `unrecognized_name`.
    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>>;
}

/// A certificate and its key, ready to be used.
pub type Certified = CertifiedKey;

/// Makes a chain and its key, both in DER, ready to be used.
///
/// # Errors
/// The key is of no kind that is served.
pub fn certified(chain: &[Vec<u8>], key: &[u8]) -> Result<Certified, rustls::Error> {
    let key = PrivateKeyDer::try_from(key)
        .map_err(|words| rustls::Error::General(String::from(words)))?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
    let chain = chain.iter().cloned().map(CertificateDer::from).collect();
    Ok(CertifiedKey::new(chain, key))
}

/// What a TLS handshake needs.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

/// A handshake that succeeded.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<Ahead>,
    /// The name that it was made for, in its canonical form.
    pub(crate) server_name: Option<String>,
    pub(crate) is_http2: bool,
}

/// Tickets after a handshake; each costs a seal and 250 bytes (spec/engines.md, part 2; nginx sends two).
const TICKETS: usize = 1;

impl Tls {
    /// With these certificates; TLS 1.2 and 1.3 by rustls' choice of suites.
    ///
    /// # Errors
    /// The provider has no ticketer or no suites.
    pub fn new(certificates: Arc<dyn Certificates>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByName(certificates)));
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = TICKETS;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(crate) async fn accept(&self, socket: Ahead) -> io::Result<Secured> {
        let stream = self.acceptor.accept(socket).await?;
        let (_, session) = stream.get_ref();
        Ok(Secured {
            server_name: session.server_name().map(canonical),
            is_http2: session.alpn_protocol() == Some(HTTP2),
            stream,
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// A socket of which some bytes were read already: they are read again, first.
#[derive(Debug)]
pub(crate) struct Ahead {
    said: Bytes,
    socket: TcpStream,
}

impl Ahead {
    pub(crate) const fn new(said: Bytes, socket: TcpStream) -> Self {
        Self { said, socket }
    }

    /// The socket, without what was not read again.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }
}

impl AsyncRead for Ahead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.said.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let length = self.said.len().min(buffer.remaining());
        buffer.put_slice(&self.said.split_to(length));
        if self.said.is_empty() {
            // What it was a part of is given back.
            self.said = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ahead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

#[derive(Debug)]
struct ByName(Arc<dyn Certificates>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(canonical);
        self.0.find(name.as_deref())
    }
}

/// A server name as hosts are ([`crate::host`]); rustls has read it as a DNS name.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
