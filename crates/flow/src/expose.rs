//! Which local ports are public, and how they are called there: `gateway:` in a file.
//!
//! [`Addresses`] is where those who make ports public tell it and where jobs ask. Nothing is public
//! before it is told, and nothing is after it is told otherwise; who asks in between waits.

use std::collections::BTreeMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::expr::{Map, Value};
use crate::model::Compose;
use crate::model::expose::{ExposeConfig, SshExpose};

pub mod provider;

/// The seam to whoever can make ports public over SSH: this crate knows no tunnels.
pub trait Expose: Send + Sync {
    /// Keeps the ports of a gateway public until `stop`, and tells `addresses` of each change.
    /// `gateway` is its place in [`Compose::exposes`]. When this returns, all that it started has
    /// ended.
    ///
    /// # Errors
    ///
    /// It can never be public: only a person can mend that.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends everything at once.
    fn keep<'a>(
        &'a self,
        gateway: usize,
        config: &'a SshExpose,
        addresses: &'a Addresses,
        stop: CancellationToken,
    ) -> Keeping<'a>;
}

/// The work of [`Expose::keep`].
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<(), KeepError>> + Send + 'a>>;

/// Why ports can never be public.
pub type KeepError = Box<dyn Error + Send + Sync>;

/// How a local port is called from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    /// The name or address, word for word as the file has it. IPv6 is without brackets.
    pub host: String,
    /// The port. None is that of the URL's scheme.
    pub port: Option<u16>,
    /// `http://host:port`, or what a provider has said.
    pub url: String,
    /// Whose program made it public; None is an SSH server.
    pub driver: Option<&'static str>,
}

impl PublicAddress {
    /// A port of an SSH server.
    pub fn of_port(host: &str, port: u16) -> Self {
        let url = format!("http://{}", joined(host, port));
        Self {
            host: host.to_owned(),
            port: Some(port),
            url,
            driver: None,
        }
    }

    /// `host:port`, or the host alone: what callback URLs are made from.
    pub fn address(&self) -> String {
        match self.port {
            Some(port) => joined(&self.host, port),
            None => self.host.clone(),
        }
    }

    /// What `${gateway:PORT}` stands for.
    pub fn value(&self, local_port: u16) -> Value {
        let mut map = Map::new();
        map.insert("public_address".into(), self.address().into());
        map.insert("public_host".into(), self.host.clone().into());
        let port = self
            .port
            .map_or(Value::Null, |port| Value::Integer(port.into()));
        map.insert("public_port".into(), port);
        map.insert("public_url".into(), self.url.clone().into());
        map.insert("local_port".into(), Value::Integer(local_port.into()));
        if let Some(driver) = self.driver {
            map.insert("driver".into(), driver.into());
        }
        Value::Map(map)
    }
}

/// An IPv6 address is put in brackets.
fn joined(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Where each local port stands that a gateway of the file serves. Clones show the same.
#[derive(Clone, Debug)]
pub struct Addresses(Arc<watch::Sender<BTreeMap<u16, Entry>>>);

#[derive(Clone, Debug)]
struct Entry {
    /// The first gateway of the file that serves the port, which is the one that counts.
    gateway: usize,
    state: State,
}

/// Where a port stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not public, and why.
    Down(String),
    /// Not public before a person has mended something, and why: nobody waits for that.
    Barred(String),
    /// Public.
    Up(PublicAddress),
}

/// Why there is no address for a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPublic {
    /// No gateway of the file serves the port.
    #[error("no gateway serves port {port}")]
    Unknown {
        /// The local port.
        port: u16,
    },
    /// Its gateway was not up in time.
    #[error("port {port} is not public: {why}")]
    Down {
        /// The local port.
        port: u16,
        /// What its gateway last told.
        why: String,
    },
}

impl Addresses {
    /// Those of a file, none of them public yet.
    pub fn new(compose: &Compose) -> Self {
        let mut entries = BTreeMap::new();
        for (gateway, expose) in compose.exposes.iter().enumerate() {
            let ports: Vec<u16> = match &expose.value {
                ExposeConfig::Ssh(ssh) => ssh.forwards.iter().map(|one| one.port).collect(),
                ExposeConfig::Http(http) => http.ports.iter().map(|port| port.value).collect(),
            };
            for port in ports {
                entries.entry(port).or_insert_with(|| Entry {
                    gateway,
                    state: State::Down(String::from("its gateway is not connected yet")),
                });
            }
        }
        Self(Arc::new(watch::Sender::new(entries)))
    }

    /// A gateway tells where one of its ports stands. A port whose gateway is another one stays.
    pub fn set(&self, gateway: usize, local_port: u16, state: State) {
        self.0.send_if_modified(|entries| {
            let entry = entries.get_mut(&local_port);
            let Some(entry) = entry.filter(|entry| entry.gateway == gateway) else {
                return false;
            };
            let is_new = entry.state != state;
            entry.state = state;
            is_new
        });
    }

    /// Whether a gateway of the file serves the port.
    pub fn serves(&self, local_port: u16) -> bool {
        self.0.borrow().contains_key(&local_port)
    }

    /// Where a port stands now.
    pub fn state(&self, local_port: u16) -> Option<State> {
        let entries = self.0.borrow();
        entries.get(&local_port).map(|entry| entry.state.clone())
    }

    /// Whether nothing is to be waited for at these gateways: each port is public, or barred.
    pub fn are_settled(&self, gateways: &[usize]) -> bool {
        let entries = self.0.borrow();
        let mut entries = entries.values();
        entries.all(|entry| {
            !gateways.contains(&entry.gateway) || !matches!(entry.state, State::Down(_))
        })
    }

    /// Changes with each state.
    pub fn changes(&self) -> Changes {
        Changes(self.0.subscribe())
    }

    /// The address of a port, as soon as there is one.
    ///
    /// # Errors
    ///
    /// No gateway serves the port, or none has made it public `within` that time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait(
        &self,
        local_port: u16,
        within: Duration,
    ) -> Result<PublicAddress, NotPublic> {
        let mut changes = self.0.subscribe();
        let up = async {
            loop {
                match changes.borrow_and_update().get(&local_port) {
                    None => return Err(NotPublic::Unknown { port: local_port }),
                    Some(Entry {
                        state: State::Up(address),
                        ..
                    }) => return Ok(address.clone()),
                    Some(Entry {
                        state: State::Barred(why),
                        ..
                    }) => {
                        return Err(NotPublic::Down {
                            port: local_port,
                            why: why.clone(),
                        });
                    }
                    Some(_) => {}
                }
                if changes.changed().await.is_err() {
                    return Err(NotPublic::Unknown { port: local_port });
                }
            }
        };
        match timeout(within, up).await {
            Ok(found) => found,
            Err(_) => Err(NotPublic::Down {
                port: local_port,
                why: match self.state(local_port) {
                    Some(State::Down(why) | State::Barred(why)) => why,
                    Some(State::Up(_)) | None => String::from("it has changed a moment ago"),
                },
            }),
        }
    }
}

/// Waits for changes of [`Addresses`].
#[derive(Debug)]
pub struct Changes(watch::Receiver<BTreeMap<u16, Entry>>);

impl Changes {
    /// Waits for one that was not seen yet.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_text::Problems;

    use super::*;
    use crate::file::{Dialect, Environment, Files, Source};

    const FILE: &str = "
gateways:
  - {type: ssh-tunnel, port: ['9834:8090', '0:8091'], connection: {host: gw.example, auth: {type: keyfile, username: u, keyfile: k}}}
  - {type: ssh-tunnel, port: ['9000:8090'], connection: {host: other.example, auth: {type: keyfile, username: u, keyfile: k}}}
workflow: {title: t}
";

    fn addresses() -> Addresses {
        let source = Source {
            name: "model-compose.yml",
            bytes: FILE.as_bytes(),
            dialect: Dialect::ModelCompose,
        };
        let mut problems = Problems::new();
        let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
        Addresses::new(&files.compose(&mut problems).unwrap())
    }

    #[tokio::test]
    async fn the_first_gateway_that_serves_a_port_counts() {
        let addresses = addresses();
        let other = State::Up(PublicAddress::of_port("other.example", 9000));
        addresses.set(1, 8090, other);
        assert!(matches!(addresses.state(8090), Some(State::Down(_))));
        let first = PublicAddress::of_port("gw.example", 9834);
        addresses.set(0, 8090, State::Up(first.clone()));
        let found = addresses.wait(8090, Duration::ZERO).await;
        assert_eq!(found, Ok(first));
        let unknown = addresses.wait(80, Duration::ZERO).await;
        assert_eq!(unknown, Err(NotPublic::Unknown { port: 80 }));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_too_early_waits_and_is_told_why_in_vain() {
        let addresses = addresses();
        let telling = async {
            addresses.set(0, 8091, State::Down(String::from("refused")));
            tokio::task::yield_now().await;
            addresses.set(
                0,
                8091,
                State::Up(PublicAddress::of_port("gw.example", 54321)),
            );
        };
        let (found, ()) = tokio::join!(addresses.wait(8091, Duration::from_secs(15)), telling);
        assert_eq!(found.unwrap().address(), "gw.example:54321");
        let barred = State::Barred(String::from("GatewayPorts is no"));
        addresses.set(0, 8091, barred);
        let error = addresses
            .wait(8091, Duration::from_secs(1 << 30))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "port 8091 is not public: GatewayPorts is no"
        );
        addresses.set(0, 8091, State::Down(String::from("lost")));
        let error = addresses
            .wait(8091, Duration::from_secs(15))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "port 8091 is not public: lost");
    }

    #[test]
    fn an_address_says_all_that_a_url_may_need() {
        let address = PublicAddress::of_port("2001:db8::1", 9834);
        let value = address.value(8090).to_json().unwrap();
        assert_eq!(
            value,
            r#"{"public_address":"[2001:db8::1]:9834","public_host":"2001:db8::1","public_port":9834,"public_url":"http://[2001:db8::1]:9834","local_port":8090}"#
        );
    }
}
