//! The proxy that the environment names, as curl reads it: `https_proxy`, `all_proxy`, `no_proxy`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{ProxyServer, ProxyUrlError};

/// What the environment says about proxies.
///
/// `https_proxy` counts before `all_proxy`, and each in small letters before capitals; an empty one
/// is none. `no_proxy` lists what is reached without: `*` for all, a name with all below it, an
/// address, a network such as `10.0.0.0/8`, each maybe with a port behind it.
#[derive(Clone, Default)]
pub struct ProxyEnvironment {
    url: Option<(&'static str, Arc<Zeroizing<String>>)>,
    without: String,
}

/// A variable of the environment names no proxy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} names no proxy that can be used; mend it, or pass over it with --no-proxy")]
pub struct ProxyVariableError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with it.
    #[source]
    pub source: ProxyUrlError,
}

/// Variables that name a proxy, the first that is set counts.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// Variables that say where none is used.
const WITHOUT: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl ProxyEnvironment {
    /// That of this process.
    pub fn of_this_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// That of variables.
    pub fn read(variable: impl Fn(&'static str) -> Option<String>) -> Self {
        let set = |name: &'static str| Some((name, variable(name).filter(|it| !it.is_empty())?));
        let url = VARIABLES.into_iter().find_map(set);
        let without = WITHOUT.into_iter().find_map(set);
        Self {
            url: url.map(|(name, url)| (name, Arc::new(Zeroizing::new(url)))),
            without: without.map(|(_, list)| list).unwrap_or_default(),
        }
    }

    /// The proxy for a host that is dialled from here. This machine itself never needs one.
    pub fn proxy_for(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Option<ProxyServer>, ProxyVariableError> {
        let Some((variable, url)) = &self.url else {
            return Ok(None);
        };
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        if is_this_machine(host) || self.is_without(host, port) {
            return Ok(None);
        }
        let url: &str = url;
        let mut proxy: ProxyServer = url
            .parse()
            .map_err(|source| ProxyVariableError { variable, source })?;
        proxy.variable = Some(variable);
        Ok(Some(proxy))
    }

    fn is_without(&self, host: &str, port: u16) -> bool {
        let entries = self.without.split([',', ' ', '\t']);
        let mut entries = entries.filter(|entry| !entry.is_empty());
        entries.any(|entry| covers(&entry.to_ascii_lowercase(), host, port))
    }
}

fn is_this_machine(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(addr) => addr.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether an entry of `no_proxy` speaks of a host. Both are in small letters.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    let (entry, wanted_port) = parts(entry);
    if wanted_port.is_some_and(|wanted| wanted.parse() != Ok(port)) {
        return false;
    }
    if entry == "*" {
        return true;
    }
    if let Ok(addr) = host.parse::<IpAddr>() {
        return match entry.split_once('/') {
            Some((network, bits)) => is_within(addr, network, bits),
            None => entry.parse::<IpAddr>().is_ok_and(|entry| entry == addr),
        };
    }
    let name = entry.strip_prefix('.').unwrap_or(entry);
    let above = host.strip_suffix(name);
    !name.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// An entry and its port. An IPv6 address with one stands in brackets.
fn parts(entry: &str) -> (&str, Option<&str>) {
    if let Some(inside) = entry.strip_prefix('[')
        && let Some((addr, after)) = inside.split_once(']')
    {
        return (addr, after.strip_prefix(':'));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port)),
        _ => (entry, None),
    }
}

/// Whether the first `bits` of both addresses are the same.
fn is_within(addr: IpAddr, network: &str, bits: &str) -> bool {
    let wide = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => (u128::from(addr.to_bits()) << 96, 32),
        IpAddr::V6(addr) => (addr.to_bits(), 128),
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let ((network, width), (addr, addr_width)) = (wide(network), wide(addr));
    if width != addr_width || bits > width {
        return false;
    }
    // A shift by all 128 bits is no shift.
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits));
    (network ^ addr) & mask.unwrap_or(0) == 0
}

impl fmt::Debug for ProxyEnvironment {
    /// Never the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyEnvironment")
            .field("variable", &self.url.as_ref().map(|(name, _)| name))
            .field("without", &self.without)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> ProxyEnvironment {
        ProxyEnvironment::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let (small, capital) = (("https_proxy", "http://a:1"), ("HTTPS_PROXY", "http://b:2"));
        let (all, empty) = (("all_proxy", "socks5h://c:3"), ("https_proxy", ""));
        for (variables, expected) in [
            (&[][..], None),
            (
                &[capital, all],
                Some("HTTP proxy b port 2 (from HTTPS_PROXY)"),
            ),
            (
                &[all, capital, small],
                Some("HTTP proxy a port 1 (from https_proxy)"),
            ),
            (
                &[all, empty],
                Some("SOCKS5 proxy c port 3 (from all_proxy)"),
            ),
            (&[empty], None),
        ] {
            let proxy = environment(variables).proxy_for("example.org", 22).unwrap();
            let shown = proxy.map(|proxy| proxy.to_string());
            assert_eq!(shown.as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn a_bad_variable_is_named_and_its_value_is_not() {
        let environment = environment(&[("all_proxy", "https://me:hunter2@proxy:1")]);
        let error = environment.proxy_for("example.org", 22).unwrap_err();
        assert_eq!(error.variable, "all_proxy");
        let shown = format!("{error} {error:?} {environment:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_no_proxy_lists_and_this_machine_are_reached_without() {
        for (list, host, is_without) in [
            ("", "example.org", false),
            ("", "localhost", true),
            ("", "a.localhost", true),
            ("", "127.8.9.1", true),
            ("", "::1", true),
            ("", "::ffff:127.0.0.1", true),
            ("*", "example.org", true),
            ("example.org", "example.org", true),
            ("example.org", "Example.ORG.", true),
            ("example.org", "a.example.org", true),
            (".example.org", "a.example.org", true),
            (".example.org", "example.org", true),
            ("example.org", "badexample.org", false),
            ("a, example.org b", "example.org", true),
            ("example.org:22", "example.org", true),
            ("example.org:80", "example.org", false),
            ("10.0.0.0/8", "10.77.0.1", true),
            ("10.0.0.0/8", "11.77.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1:22", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.10", false),
            ("2001:db8::/32", "2001:db8::5", true),
            ("[2001:db8::5]:22", "2001:db8::5", true),
            ("2001:db8::5", "2001:db8:0::5", true),
            (",,. ", "example.org", false),
        ] {
            let variables = [("ALL_PROXY", "socks5://p"), ("no_proxy", list)];
            let proxy = environment(&variables).proxy_for(host, 22).unwrap();
            assert_eq!(proxy.is_none(), is_without, "{list:?} {host}");
        }
    }
}
