//! Local ports that get a name from a provider: `type: http-tunnel` in a file.
//!
//! The provider's own program does it, as a child under a [keeper](crate::process::keeper). What it says is read
//! for as long as it runs, for the name first and then so that it never has to wait; when it ends it is started
//! again. Secrets go to it in its environment, never in its arguments, which every user of a machine can read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_text::SecretSource;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{Addresses, PublicAddress, State};
use crate::file::Environment;
use crate::model::expose::{HttpDriver, HttpExpose};
use crate::process::{ChildEnvironment, Keeper, Pause, Program, SpawnError};

mod cloudflare;
mod ngrok;
mod running;

use running::{Running, Word};

/// What the programs of providers are started with.
#[derive(Clone, Copy, Debug)]
pub struct Provider<'a> {
    /// What they are under.
    pub keeper: &'a Keeper,
    /// The folder that they are run in, and that paths of the file are from.
    pub dir: &'a Path,
    /// What they get: `NGROK_AUTHTOKEN` for example.
    pub children: &'a ChildEnvironment,
    /// Where secrets of the file are that it names as variables.
    pub environment: &'a Environment,
}

/// Why ports can never be public.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The provider's program was not started.
    #[error("cannot start the program of {driver}, which has to be installed in a folder of PATH")]
    Spawn {
        /// The provider.
        driver: &'static str,
        /// Why not.
        source: SpawnError,
    },
    /// The token cannot be read.
    #[error("cannot read the token in {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The token's variable is not set.
    #[error("the environment variable {name}, which should hold the token, is not set")]
    TokenVariable {
        /// The variable.
        name: String,
    },
    /// There is no place for the program's configuration.
    #[error("cannot write the configuration of {driver}")]
    Configuration {
        /// The provider.
        driver: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Provider<'_> {
    /// Keeps the ports of a gateway public until `stop`, and tells `addresses` of each change. `gateway` is its place
    /// in [`Compose::exposes`](crate::model::Compose::exposes). When this returns nothing that it has started runs
    /// any more.
    ///
    /// # Errors
    ///
    /// They can never be public: only a person can mend that. A program that ends is started again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the programs as dropping a [`Child`](crate::process::Child) does.
    pub async fn keep(
        &self,
        gateway: usize,
        config: &HttpExpose,
        addresses: &Addresses,
        stop: &CancellationToken,
    ) -> Result<(), ProviderError> {
        let ports: Vec<u16> = config.ports.iter().map(|port| port.value).collect();
        let each = |job: fn(u16) -> Job| ports.iter().map(|port| job(*port)).collect();
        let jobs: Vec<Job> = match &config.driver {
            HttpDriver::Ngrok => each(ngrok::job),
            HttpDriver::CloudflareQuick => each(cloudflare::quick),
            HttpDriver::CloudflareToken { token, hostname } => {
                let token = self.secret(token)?;
                vec![cloudflare::by_token(&ports, &token, hostname.as_deref())]
            }
            HttpDriver::CloudflareNamed {
                tunnel,
                credentials_file,
                hostname,
            } => {
                let credentials = self.path(credentials_file);
                let job = cloudflare::named(&ports, tunnel, &credentials, hostname.as_deref());
                vec![job.map_err(|source| ProviderError::Configuration {
                    driver: cloudflare::DRIVER,
                    source,
                })?]
            }
        };
        let stop = stop.child_token();
        let mut all: FuturesUnordered<_> = jobs
            .iter()
            .map(|job| self.job(gateway, job, addresses, &stop))
            .collect();
        let mut kept = Ok(());
        // What one of them fails with, all do; the others are stopped in order.
        while let Some(ended) = all.next().await {
            if ended.is_err() {
                stop.cancel();
                kept = kept.and(ended);
            }
        }
        kept
    }

    /// Keeps one program.
    async fn job(
        &self,
        gateway: usize,
        job: &Job,
        addresses: &Addresses,
        stop: &CancellationToken,
    ) -> Result<(), ProviderError> {
        let tell = |port, state: State| {
            match &state {
                State::Up(address) => info!("HTTP tunnel started on port {port}: {}", address.url),
                State::Down(why) | State::Barred(why) => {
                    warn!("the HTTP tunnel of port {port} has no name: {why}");
                }
            }
            addresses.set(gateway, port, state);
        };
        let mut hopeful = Vec::with_capacity(job.ports.len());
        for port in &job.ports {
            match job.barred(*port) {
                Some(why) => tell(*port, State::Barred(why.to_owned())),
                None => hopeful.push(*port),
            }
        }
        let mut pause = Pause::new();
        let mut was_started = false;
        while !stop.is_cancelled() {
            let mut up_since = None;
            let why = match self.start(job) {
                Ok(running) => {
                    was_started = true;
                    let up = |url: &str| {
                        up_since = Some(Instant::now());
                        for port in &hopeful {
                            tell(*port, job.state(url));
                        }
                    };
                    running.attend(up, stop).await
                }
                // A newer one may be taking its place.
                Err(error) if was_started => error.to_string(),
                Err(source) => {
                    let driver = job.driver;
                    return Err(ProviderError::Spawn { driver, source });
                }
            };
            for port in &hopeful {
                addresses.set(gateway, *port, State::Down(why.clone()));
                if up_since.is_some() {
                    info!("HTTP tunnel stopped on port {port}");
                }
            }
            if stop.is_cancelled() {
                break;
            }
            let pause = pause.next(up_since.map_or(Duration::ZERO, |since| since.elapsed()));
            warn!("{why}; it is started again in {pause:?}");
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
        Ok(())
    }

    fn start(&self, job: &Job) -> Result<Running, SpawnError> {
        let own = job.env.iter().map(|(name, value)| (*name, value.as_str()));
        let program = Program {
            argv: job.argv.clone(),
            dir: self.dir.to_owned(),
            env: self.children.with(own),
        };
        Running::start(self.keeper, &program, job.driver, job.listen)
    }

    /// A path of the file: from the folder, or from the home folder if it begins with `~/`.
    fn path(&self, written: &Path) -> PathBuf {
        match (written.strip_prefix("~"), self.children.value("HOME")) {
            (Ok(rest), Some(home)) => Path::new(home).join(rest),
            (Err(_), _) | (_, None) => self.dir.join(written),
        }
    }

    fn secret(&self, source: &SecretSource) -> Result<Zeroizing<String>, ProviderError> {
        match source {
            SecretSource::Value(value) => Ok(Zeroizing::new(value.clone())),
            SecretSource::Environment(name) => match self.environment.value(name) {
                Some(value) => Ok(Zeroizing::new(value.to_owned())),
                None => Err(ProviderError::TokenVariable { name: name.clone() }),
            },
            SecretSource::File(path) => {
                let path = self.path(path);
                let text = std::fs::read_to_string(&path).map(Zeroizing::new);
                text.map(|text| Zeroizing::new(text.trim().to_owned()))
                    .map_err(|source| ProviderError::TokenFile { path, source })
            }
        }
    }
}

/// A program that makes ports public.
struct Job {
    driver: &'static str,
    ports: Vec<u16>,
    argv: Vec<String>,
    env: Vec<(&'static str, Zeroizing<String>)>,
    /// What a line of its output says.
    listen: fn(&str) -> Option<Word>,
    name: Name,
    /// Files that it reads, for as long as it may be started again.
    _files: Option<tempfile::TempDir>,
}

/// The public name of a program's ports.
enum Name {
    /// The one that it says, as a URL.
    Said,
    /// This URL.
    Known(String),
    /// This URL, which leads to the first port alone.
    OfFirst(String),
    /// Nobody knows.
    Unknown,
}

impl Job {
    /// Why a port never has a name: only who writes the file can give it one.
    fn barred(&self, port: u16) -> Option<&'static str> {
        match &self.name {
            Name::Said | Name::Known(_) => None,
            Name::OfFirst(_) => (self.ports.first() != Some(&port))
                .then_some("its gateway has one name, and that leads to the first of its ports"),
            Name::Unknown => Some("its gateway says no hostname"),
        }
    }

    /// Where a port that may have a name stands once the program is up and has said a URL.
    fn state(&self, said: &str) -> State {
        let url = match &self.name {
            Name::Said | Name::Unknown => said,
            Name::Known(url) | Name::OfFirst(url) => url,
        };
        let address = address(self.driver, url).map(State::Up);
        address.unwrap_or_else(|| {
            let shown = adit_text::show(url);
            State::Down(format!("{} has a URL that is none: {shown}", self.driver))
        })
    }
}

/// A public URL as an address; none if it is not one of HTTP, or holds more than a host and a port.
fn address(driver: &'static str, url: &str) -> Option<PublicAddress> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (rest, None),
    };
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    is_host.then(|| PublicAddress {
        host: host.to_owned(),
        port,
        url: url.trim_end_matches('/').to_owned(),
        driver: Some(driver),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_perhaps_a_port() {
        for (url, found) in [
            (
                "https://a-b.trycloudflare.com",
                Some(("a-b.trycloudflare.com", None)),
            ),
            ("https://x.ngrok.app/", Some(("x.ngrok.app", None))),
            ("http://127.0.0.1:4040", Some(("127.0.0.1", Some(4040)))),
            ("https://", None),
            ("https://a/b", None),
            ("https://a@b", None),
            ("https://a:b", None),
            ("tcp://a", None),
        ] {
            let address = address("d", url);
            let parts = address.as_ref().map(|one| (one.host.as_str(), one.port));
            assert_eq!(parts, found, "{url}");
            if let Some(address) = address {
                assert_eq!(address.url, url.trim_end_matches('/'));
            }
        }
    }
}
