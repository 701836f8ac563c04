//! russh as a peer of the interoperability table: `client` or `server`, then name=value words.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use russh::keys::PublicKeyOrCertificate;
use russh::client::KeyboardInteractiveAuthResponse;
use russh::keys::key::PrivateKeyWithHashAlg;
use russh::keys::{
    Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey, load_openssh_certificate,
    load_secret_key,
};
use russh::server::{Auth, ChannelOpenHandle, Msg, Response, Session, VerifiedPublicKey};
use russh::{Channel, Limits, Preferred, client, kex, server};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// What it was told.
#[derive(Clone)]
struct Words(Arc<HashMap<String, String>>);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().context("client or server")?;
    let words = arguments.filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let words = Words(Arc::new(words.collect()));
    if part == "server" {
        serve(words).await
    } else {
        connect(words).await
    }
}

impl Words {
    fn word(&self, name: &str) -> anyhow::Result<&str> {
        let word = self.0.get(name).with_context(|| format!("no {name}"))?;
        Ok(word)
    }

    fn public_key(&self, name: &str) -> anyhow::Result<PublicKey> {
        Ok(PublicKey::read_openssh_file(std::path::Path::new(self.word(name)?))?)
    }

    fn limits(&self) -> anyhow::Result<Limits> {
        let Some(bytes) = self.0.get("rekey") else {
            return Ok(Limits::default());
        };
        let bytes = bytes.parse()?;
        Ok(Limits::new(bytes, bytes, Duration::from_secs(3600)))
    }
}

/// Whatever it can do that anybody else can, also what it would not do by itself.
fn preferred() -> Preferred {
    let mut kex = Preferred::DEFAULT.kex.into_owned();
    kex.extend([
        kex::ECDH_SHA2_NISTP256,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP521,
    ]);
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    Preferred {
        kex: Cow::Owned(kex),
        host_key_certificates: Cow::Owned(vec![
            Algorithm::Ed25519,
            ecdsa(EcdsaCurve::NistP256),
            ecdsa(EcdsaCurve::NistP384),
            ecdsa(EcdsaCurve::NistP521),
            rsa(HashAlg::Sha512),
            rsa(HashAlg::Sha256),
        ]),
        ..Preferred::DEFAULT
    }
}

/// Both ways at once; the end of one half is passed on and ends nothing else.
async fn pump(mut channel: impl AsyncRead + AsyncWrite + Unpin, mut stream: TcpStream) {
    if let Err(error) = copy_bidirectional(&mut channel, &mut stream).await {
        eprintln!("stream broke: {error}");
    }
}

/// The client's half of the conversation.
struct Client {
    words: Words,
}

impl client::Handler for Client {
    type Error = anyhow::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> anyhow::Result<bool> {
        Ok(match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                key.key_data() == self.words.public_key("host_key")?.key_data()
            }
            PublicKeyOrCertificate::Certificate(certificate) => {
                let authority = self.words.public_key("authority")?;
                certificate
                    .validate([&authority.fingerprint(HashAlg::Sha256)])
                    .is_ok()
            }
        })
    }
}

async fn connect(words: Words) -> anyhow::Result<()> {
    let config = client::Config {
        limits: words.limits()?,
        preferred: preferred(),
        ..client::Config::default()
    };
    let port: u16 = words.word("port")?.parse()?;
    let handler = Client {
        words: words.clone(),
    };
    let mut session = client::connect(Arc::new(config), ("127.0.0.1", port), handler).await?;
    let (user, login) = (words.word("user")?, words.word("login")?);
    let is_in = match login {
        "password" => {
            let password = words.word("password")?;
            session
                .authenticate_password(user, password)
                .await?
                .success()
        }
        "keyboard-interactive" => answer(&mut session, &words).await?,
        _ => {
            let key = Arc::new(load_secret_key(words.word("key")?, None)?);
            if let Ok(certificate) = words.word("certificate") {
                let certificate = load_openssh_certificate(certificate)?;
                let result = session.authenticate_openssh_cert(user, key, certificate);
                result.await?.success()
            } else {
                let hash = match login {
                    "rsa-sha2-512" => Some(HashAlg::Sha512),
                    "rsa-sha2-256" => Some(HashAlg::Sha256),
                    _ => None,
                };
                let key = PrivateKeyWithHashAlg::new(key, hash);
                session.authenticate_publickey(user, key).await?.success()
            }
        }
    };
    ensure!(is_in, "login failed");
    let channel = session.channel_open_direct_tcpip("interop.test", 7, "127.0.0.1", 1);
    let channel = channel.await?;
    let service: u16 = words.word("service")?.parse()?;
    let service = TcpStream::connect(("127.0.0.1", service)).await?;
    pump(channel.into_stream(), service).await;
    // What is queued leaves while the connection lives; the other side ends it.
    session.await
}

async fn answer(session: &mut client::Handle<Client>, words: &Words) -> anyhow::Result<bool> {
    let user = words.word("user")?;
    let mut reply = session
        .authenticate_keyboard_interactive_start(user, None)
        .await?;
    loop {
        let prompts = match reply {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts.len(),
        };
        let answers = vec![words.word("password")?.to_owned(); prompts];
        reply = session
            .authenticate_keyboard_interactive_respond(answers)
            .await?;
    }
}

/// The server's half of one conversation.
#[derive(Clone)]
struct Server {
    words: Words,
    authorized: Arc<Vec<PublicKey>>,
}

impl Server {
    fn judge(&self, is_good: bool) -> anyhow::Result<Auth> {
        Ok(if is_good {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }
}

impl server::Handler for Server {
    type Error = anyhow::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        key: VerifiedPublicKey<'_>,
    ) -> anyhow::Result<Auth> {
        let mut known = self.authorized.iter();
        self.judge(known.any(|known| known.key_data() == key.public_key.key_data()))
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> anyhow::Result<Auth> {
        let authority = self.words.public_key("authority")?;
        let is_valid = certificate.validate([&authority.fingerprint(HashAlg::Sha256)]);
        let mut names = certificate.valid_principals().iter();
        self.judge(is_valid.is_ok() && names.any(|name| name == user))
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> anyhow::Result<Auth> {
        self.judge(password == self.words.word("password")?)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> anyhow::Result<Auth> {
        let Some(mut response) = response else {
            return Ok(Auth::Partial {
                name: Cow::Borrowed(""),
                instructions: Cow::Borrowed(""),
                prompts: Cow::Owned(vec![(Cow::Borrowed("Password: "), false)]),
            });
        };
        let answer = response.next();
        let password = self.words.word("password")?.as_bytes();
        self.judge(answer.is_some_and(|answer| answer[..] == *password))
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> anyhow::Result<()> {
        let service = TcpStream::connect((host, u16::try_from(port)?)).await?;
        reply.accept().await;
        tokio::spawn(pump(channel.into_stream(), service));
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> anyhow::Result<bool> {
        let listener = TcpListener::bind((address, u16::try_from(*port)?)).await?;
        *port = u32::from(listener.local_addr()?.port());
        let (handle, address, port) = (session.handle(), address.to_owned(), *port);
        tokio::spawn(async move {
            while let Ok((visitor, _)) = listener.accept().await {
                let channel = handle
                    .channel_open_forwarded_tcpip(address.clone(), port, "127.0.0.1", 1)
                    .await;
                match channel {
                    Ok(channel) => drop(tokio::spawn(pump(channel.into_stream(), visitor))),
                    Err(_) => break,
                }
            }
        });
        Ok(true)
    }
}

async fn serve(words: Words) -> anyhow::Result<()> {
    let folder = PathBuf::from(words.word("folder")?);
    let authorized = std::fs::read_to_string(folder.join("authorized_keys"))?;
    // The line of the authority is no key of a user.
    let authorized = authorized.lines().map(PublicKey::from_openssh);
    let authorized = authorized.filter_map(Result::ok).collect();
    let mut config = server::Config {
        limits: words.limits()?,
        preferred: preferred(),
        auth_rejection_time: Duration::from_millis(5),
        ..server::Config::default()
    };
    for name in ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa"] {
        let path = folder.join(format!("host-{name}"));
        config.keys.push(load_secret_key(&path, None)?);
        let certificate = folder.join(format!("host-{name}-cert.pub"));
        config
            .certificates
            .push(load_openssh_certificate(certificate)?);
    }
    let config = Arc::new(config);
    let handler = Server {
        words,
        authorized: Arc::new(authorized),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        let (config, handler) = (Arc::clone(&config), handler.clone());
        tokio::spawn(async move {
            let ended = match server::run_stream(config, stream, handler).await {
                Ok(session) => session.await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                eprintln!("{error:#}");
            }
        });
    }
}
