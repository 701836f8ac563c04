//! An adit.yml as it is written: tunnels with their forwards.

use std::fmt::Write as _;

use crate::config::option::SshOption;
use crate::config::spec::{DynamicForward, LocalForward, RemoteForward};

/// A tunnel.
#[derive(Debug, Default)]
pub(super) struct Tunnel {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) keys: Vec<String>,
    pub(super) jump: Option<String>,
    pub(super) ssh_config: Option<String>,
    pub(super) family: Option<&'static str>,
    /// Seconds, and how often.
    pub(super) keep_alive: (Option<String>, Option<String>),
    /// Options of ssh, `NAME`, `VALUE`.
    pub(super) options: Vec<(String, String)>,
    pub(super) forwards: Vec<Forward>,
}

/// A forward.
#[derive(Debug)]
pub(super) struct Forward {
    kind: &'static str,
    spec: String,
    /// What is checked of its target.
    pub(super) check: Option<String>,
}

impl Forward {
    /// Visitors there come here: as ssh's -R.
    ///
    /// # Errors
    /// It is none, in words.
    pub(super) fn remote(spec: &str) -> Result<Self, String> {
        let read = spec.parse::<RemoteForward>();
        read.map_err(|error| error.to_string())?;
        Ok(Self::of("remote", spec))
    }

    /// Visitors here go there: as ssh's -L.
    ///
    /// # Errors
    /// It is none, in words.
    pub(super) fn local(spec: &str) -> Result<Self, String> {
        let read = spec.parse::<LocalForward>();
        read.map_err(|error| error.to_string())?;
        Ok(Self::of("local", spec))
    }

    /// Visitors here say where they go from there: as ssh's -D.
    ///
    /// # Errors
    /// It is none, in words.
    pub(super) fn dynamic(spec: &str) -> Result<Self, String> {
        let read = spec.parse::<DynamicForward>();
        read.map_err(|error| error.to_string())?;
        Ok(Self::of("dynamic", spec))
    }

    fn of(kind: &'static str, spec: &str) -> Self {
        Self {
            kind,
            spec: String::from(spec),
            check: None,
        }
    }
}

impl Tunnel {
    /// An option of ssh, if adit has it.
    ///
    /// # Errors
    /// It has not, in words.
    pub(super) fn option(&mut self, name: &str, value: &str) -> Result<(), String> {
        let read = format!("{name}={value}").parse::<SshOption>();
        read.map_err(|error| error.to_string())?;
        self.options.push((String::from(name), String::from(value)));
        Ok(())
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "  {}:", quoted(&self.name))?;
        writeln!(text, "    host: {}", quoted(&self.host))?;
        if let Some(user) = &self.user {
            writeln!(text, "    user: {}", quoted(user))?;
        }
        if let Some(port) = self.port {
            writeln!(text, "    port: {port}")?;
        }
        if !self.keys.is_empty() {
            let keys: Vec<String> = self.keys.iter().map(|key| quoted(key)).collect();
            writeln!(text, "    key: [{}]", keys.join(", "))?;
        }
        if let Some(jump) = &self.jump {
            let jumps: Vec<String> = jump.split(',').map(quoted).collect();
            writeln!(text, "    jump: [{}]", jumps.join(", "))?;
        }
        if let Some(file) = &self.ssh_config {
            writeln!(text, "    ssh_config: {}", quoted(file))?;
        }
        if let Some(family) = self.family {
            writeln!(text, "    address_family: {family}")?;
        }
        if self.keep_alive != (None, None) {
            writeln!(text, "    keepalive:")?;
            if let Some(interval) = &self.keep_alive.0 {
                writeln!(text, "      interval: {interval}s")?;
            }
            if let Some(misses) = &self.keep_alive.1 {
                writeln!(text, "      misses: {misses}")?;
            }
        }
        if !self.options.is_empty() {
            writeln!(text, "    options:")?;
            for (name, value) in &self.options {
                writeln!(text, "      {name}: {}", quoted(value))?;
            }
        }
        writeln!(text, "    forwards:")?;
        for forward in &self.forwards {
            writeln!(text, "      - {}: {}", forward.kind, quoted(&forward.spec))?;
            if let Some(check) = &forward.check {
                writeln!(text, "        check: {}", quoted(check))?;
            }
        }
        Ok(())
    }
}

/// The file of those that have a forward; of none it is empty.
pub(super) fn write(tunnels: &[Tunnel]) -> String {
    let mut text = String::new();
    let useful = tunnels.iter().filter(|tunnel| !tunnel.forwards.is_empty());
    for (number, tunnel) in useful.enumerate() {
        if number == 0 {
            text.push_str(
                "# For adit up; adit check says whether it can be used as it is.\ntunnels:\n",
            );
        }
        // A text takes everything.
        tunnel.write(&mut text).ok();
    }
    text
}

/// A text that YAML reads as it is: JSON's quotes are YAML's, too (YAML 1.2 section 1.3). A `${` that could be taken
/// for a variable is no part of any value that is brought over.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name that a tunnel may have, made of any text.
pub(super) fn name(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let name: String = text
        .chars()
        .map(|it| if plain(it) { it } else { '-' })
        .take(63)
        .collect();
    let name = name.trim_matches(['-', '.']);
    String::from(if name.is_empty() { "tunnel" } else { name })
}
