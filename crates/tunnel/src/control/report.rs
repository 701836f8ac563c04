//! What the two ends tell of themselves and their forwards since version 2: for people, and for nothing else.
//!
//! What an agent says of its machine is shown where somebody asks for it, and never used as a name, a route or a file
//! (security rule G33). What a gateway says of an agent is shown, too; the agent does nothing by it.

use serde::{Deserialize, Serialize};

use super::{Place, Text};

/// What machine an agent is on, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Its host name.
    pub host: Text,
    /// Its system: kernel, release and architecture.
    pub system: Text,
    /// The version of adit.
    pub version: Text,
}

/// How the service behind a forward does, as its agent has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetHealth {
    /// Which forward, as it was asked for.
    pub forward: Place,
    /// Whether it is well.
    pub is_well: bool,
    /// What was found, in words.
    pub words: Text,
}

/// Who an agent is at a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The name of the device.
    pub name: Text,
    /// The domain under which its names are, if there is one.
    pub domain: Option<Text>,
    /// The port at which visitors of names come by HTTP.
    pub http: Option<u16>,
    /// The port at which they come by HTTPS.
    pub https: Option<u16>,
}

/// A forward that is a name's: one that was asked for, or one that the gateway has drawn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Which forward, as it was asked for.
    pub forward: Place,
    /// The name: one under the gateway's domain, or a whole domain.
    pub name: Text,
    /// Where visitors find it, the safest last; none where nobody is served there.
    pub urls: Vec<Text>,
}

/// The port of a scheme, which a URL leaves out.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

impl Identity {
    /// The URL of a name of the agent's, if the gateway has names: HTTPS where it has that.
    pub fn url(&self, name: &str) -> Option<String> {
        let domain = self.domain.as_ref()?.shown();
        match (self.https, self.http) {
            (Some(HTTPS), _) => Some(format!("https://{name}.{domain}/")),
            (Some(port), _) => Some(format!("https://{name}.{domain}:{port}/")),
            (None, Some(HTTP)) => Some(format!("http://{name}.{domain}/")),
            (None, Some(port)) => Some(format!("http://{name}.{domain}:{port}/")),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_the_safest_there_is_and_has_a_port_where_it_needs_one() {
        for (domain, http, https, url) in [
            (
                Some("a.example"),
                Some(80),
                Some(443),
                Some("https://web.a.example/"),
            ),
            (
                Some("a.example"),
                Some(80),
                Some(8443),
                Some("https://web.a.example:8443/"),
            ),
            (
                Some("a.example"),
                Some(80),
                None,
                Some("http://web.a.example/"),
            ),
            (
                Some("a.example"),
                Some(8080),
                None,
                Some("http://web.a.example:8080/"),
            ),
            (Some("a.example"), None, None, None),
            (None, Some(80), None, None),
        ] {
            let identity = Identity {
                name: Text::new("red001"),
                domain: domain.map(Text::new),
                http,
                https,
            };
            assert_eq!(identity.url("web").as_deref(), url);
        }
    }
}
