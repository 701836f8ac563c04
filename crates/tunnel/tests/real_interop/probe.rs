//! What a peer speaks, read from its first KEXINIT: no list of ours can be wrong about it.

use std::collections::BTreeSet;

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm, MacAlgorithm};
use adit_ssh::negotiate::Preferences;
use adit_ssh::version::OURS;
use adit_ssh::wire::Reader;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::terms::{Known, Login};

/// The algorithms that a peer named.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    kex: BTreeSet<String>,
    host_key: BTreeSet<String>,
    cipher: BTreeSet<String>,
    mac: BTreeSet<String>,
}

impl Offer {
    /// Reads it from a peer of either role, which is then left alone.
    pub(crate) async fn read(stream: TcpStream) -> Result<Self, String> {
        read(stream).await.map_err(|error| error.to_string())
    }

    /// What of it our end knows too, in the order in which our client prefers it.
    pub(crate) fn known(&self, login: Vec<Login>) -> Known {
        let Preferences {
            host_key: mut host_keys,
            cipher: ciphers,
            ..
        } = Preferences::client(true);
        // The default of a pair is the plain key.
        host_keys.sort_by_key(|key| key.is_certificate());
        Known {
            kex: shared(&self.kex, KexAlgorithm::ALL, KexAlgorithm::name),
            host_key: shared(&self.host_key, &host_keys, KeyAlgorithm::name),
            cipher: shared(&self.cipher, &ciphers, CipherAlgorithm::name),
            mac: shared(&self.mac, MacAlgorithm::ALL, MacAlgorithm::name),
            login,
            is_strict: self.kex.iter().any(|name| name.starts_with("kex-strict-")),
        }
    }
}

fn shared<T: Copy>(theirs: &BTreeSet<String>, ours: &[T], name: fn(T) -> &'static str) -> Vec<T> {
    let both = ours.iter().filter(|known| theirs.contains(name(**known)));
    both.copied().collect()
}

async fn read(stream: TcpStream) -> Result<Offer, Box<dyn std::error::Error>> {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{OURS}\r\n").as_bytes()).await?;
    loop {
        let mut line = Vec::new();
        let count = stream.read_until(b'\n', &mut line).await?;
        if count == 0 {
            return Err("peer hung up before its identification".into());
        }
        if line.starts_with(b"SSH-") {
            break;
        }
    }
    let length = usize::try_from(stream.read_u32().await?)?;
    if length > 35_000 {
        return Err(format!("peer's first packet has {length} bytes").into());
    }
    let padding = usize::from(stream.read_u8().await?);
    let mut payload = vec![0; length - 1];
    stream.read_exact(&mut payload).await?;
    payload.truncate(payload.len() - padding);
    let mut reader = Reader::new(&payload);
    if reader.byte()? != 20 {
        return Err("peer's first packet is no KEXINIT".into());
    }
    reader.array::<16>()?;
    let mut names = || -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
        let list = std::str::from_utf8(reader.string()?)?;
        Ok(list.split(',').map(str::to_owned).collect())
    };
    let (kex, host_key, cipher) = (names()?, names()?, names()?);
    names()?;
    let mac = names()?;
    Ok(Offer {
        kex,
        host_key,
        cipher,
        mac,
    })
}
