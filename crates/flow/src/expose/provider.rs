//! Local ports that get a name from a provider: `type: http-tunnel` in a file.
//!
//! The provider's own program does it, as a child under a [keeper](crate::process::keeper). What it says is read
//! for as long as it runs, for the name first and then so that it never has to wait; when it ends it is started
//! again. Secrets go to it in its environment, never in its arguments, which every user of a machine can read.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adit_text::SecretSource;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use zeroize::Zeroizing;

use super::{Addresses, PublicAddress, State};
use crate::file::Environment;
use crate::model::expose::{HttpDriver, HttpExpose};
use crate::process::{ChildEnvironment, Followed, Keeper, Pause, Program, SpawnError};

mod cloudflare;
mod ngrok;

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
                let credentials = self.dir.join(credentials_file);
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
        let mut pause = Pause::new();
        while !stop.is_cancelled() {
            let mut running = self.start(job)?;
            let (mut up_since, said) = (None, running.said.clone());
            let why = tokio::select! {
                () = stop.cancelled() => running.stop().await,
                why = running.ended() => why,
                named = timeout(NAME_WITHIN, name(&said)) => if let Ok(url) = named {
                    up_since = Some(Instant::now());
                    for port in &job.ports {
                        let state = job.state(*port, &url);
                        tell(*port, &state);
                        addresses.set(gateway, *port, state);
                    }
                    tokio::select! {
                        () = stop.cancelled() => running.stop().await,
                        why = running.ended() => why,
                    }
                } else {
                    running.stop().await;
                    let reason = said.reason();
                    format!("{} has not said a name in {NAME_WITHIN:?}{reason}", job.driver)
                },
            };
            for port in &job.ports {
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

    fn start(&self, job: &Job) -> Result<Running, ProviderError> {
        let own = job.env.iter().map(|(name, value)| (*name, value.as_str()));
        let program = Program {
            argv: job.argv.clone(),
            dir: self.dir.to_owned(),
            env: self.children.with(own),
        };
        let said = Said(Arc::new(watch::Sender::new(Heard::default())));
        let (listener, listen, driver) = (said.clone(), job.listen, job.driver);
        let follower = move |line: &str| {
            debug!("[{driver}] {line}");
            match listen(line) {
                Some(Word::Name(url)) => listener.name(url),
                Some(Word::Reason(why)) => listener.fail(&why),
                None => {}
            }
        };
        let program = Followed::start(self.keeper, &program, follower)
            .map_err(|source| ProviderError::Spawn { driver, source })?;
        Ok(Running { program, said })
    }

    fn secret(&self, source: &SecretSource) -> Result<Zeroizing<String>, ProviderError> {
        match source {
            SecretSource::Value(value) => Ok(Zeroizing::new(value.clone())),
            SecretSource::Environment(name) => match self.environment.value(name) {
                Some(value) => Ok(Zeroizing::new(value.to_owned())),
                None => Err(ProviderError::TokenVariable { name: name.clone() }),
            },
            SecretSource::File(path) => {
                let path = self.dir.join(path);
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
    /// Where a port stands once the program is up and has said a URL.
    fn state(&self, port: u16, said: &str) -> State {
        let url = match &self.name {
            Name::Said => said,
            Name::Known(url) => url,
            Name::OfFirst(url) if self.ports.first() == Some(&port) => url,
            Name::OfFirst(_) => {
                let why = "its gateway has one name, and that leads to the first of its ports";
                return State::Down(String::from(why));
            }
            Name::Unknown => return State::Down(String::from("its gateway says no hostname")),
        };
        let address = address(self.driver, url).map(State::Up);
        address.unwrap_or_else(|| {
            let shown = adit_text::show(url);
            State::Down(format!("{} has a URL that is none: {shown}", self.driver))
        })
    }
}

/// What a program says that somebody has to know.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// It is up, with this URL. Empty where it is known from elsewhere.
    Name(String),
    /// What is wrong.
    Reason(String),
}

/// A program that runs, and what was heard of it.
struct Running {
    program: Followed,
    said: Said,
}

#[derive(Clone)]
struct Said(Arc<watch::Sender<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    name: Option<String>,
    reason: Option<String>,
}

impl Said {
    /// The first name is the one.
    fn name(&self, url: String) {
        self.0.send_if_modified(|heard| {
            let is_first = heard.name.is_none();
            heard.name.get_or_insert(url);
            is_first
        });
    }

    fn fail(&self, why: &str) {
        let why = cut(why).into_owned();
        self.0.send_modify(|heard| heard.reason = Some(why));
    }

    /// How a message goes on that tells of a failure.
    fn reason(&self) -> String {
        let heard = self.0.borrow();
        let reason = heard.reason.as_ref();
        reason.map(|why| format!(": {why}")).unwrap_or_default()
    }
}

async fn name(said: &Said) -> String {
    let mut heard = said.0.subscribe();
    loop {
        if let Some(url) = heard.borrow_and_update().name.clone() {
            return url;
        }
        if heard.changed().await.is_err() {
            // The sender is in our hands.
            std::future::pending::<()>().await;
        }
    }
}

impl Running {
    /// Waits for its end, and says how it was.
    async fn ended(&mut self) -> String {
        let exit = match self.program.wait().await {
            Ok(exit) => format!("the tunnel's program has ended ({exit})"),
            Err(error) => format!("the tunnel's program cannot be followed ({error})"),
        };
        let reason = self.said.reason();
        if !reason.is_empty() {
            return exit + &reason;
        }
        match self.program.tail().last() {
            Some(line) => format!("{exit}: {}", cut(&line)),
            None => exit + " without a word",
        }
    }

    /// However it ends, it was asked to.
    async fn stop(&mut self) -> String {
        self.program.stop(GRACE).await.ok();
        String::from("its tunnel was stopped")
    }
}

fn tell(port: u16, state: &State) {
    match state {
        State::Up(address) => info!("HTTP tunnel started on port {port}: {}", address.url),
        State::Down(why) => warn!("the HTTP tunnel of port {port} has no name: {why}"),
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

fn cut(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(line.get(..end).unwrap_or_default().to_owned() + "…"),
        None => Cow::Borrowed(line),
    }
}

/// How long a program may take until it says its name; model-compose's own.
const NAME_WITHIN: Duration = Duration::from_secs(30);

/// How long a program may take to end; model-compose's own.
const GRACE: Duration = Duration::from_secs(5);

/// The most characters of a line that says what is wrong.
const SHOWN: usize = 200;

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
