//! One tunnel of a file.

use std::path::PathBuf;

use adit_text::{Entry, Fields, Node, Problem, Problems};
use adit_tunnel::agent::dial::Family;
use adit_tunnel::agent::forward::Forward;
use adit_tunnel::agent::login::known_hosts::PinnedKey;
use adit_tunnel::agent::probe;
use adit_tunnel::agent::supervise::KeepAlive;
use adit_tunnel::ssh_config::Wanted;

use super::forward::{self, Wish};
use super::{Here, duration};
use crate::config::destination::{Destination, UserName};
use crate::config::option::{SshOption, jump};
use crate::config::{Purpose, Written, config};
use crate::tunnels::{Check, Tunnel};

/// What a host key's fingerprint looks like.
const FINGERPRINT: &str = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
/// Most keep-alives that may be missed.
const MISSES: i64 = 100;

/// Reads a tunnel.
pub(super) fn read(entry: &Entry, here: &Here<'_>, problems: &mut Problems) -> Option<Tunnel> {
    let before = problems.count();
    check_name(entry, problems);
    let place = entry.node.place();
    let mut fields = entry.node.fields(problems)?;
    let destination = fields.required("host", |node, problems| {
        node.parsed("a host", "me@gateway.example.org", problems, str::parse)
    });
    let user = fields.optional("user", |node, problems| {
        node.parsed("a user name", "me", problems, |text| {
            text.parse().map(|UserName(user)| user)
        })
    });
    let port = fields.port("port");
    let keys = fields.one_or_many("key", |node, problems| here.path(node, problems));
    let passphrase_file = here.optional("passphrase_file", &mut fields);
    let password_file = here.optional("password_file", &mut fields);
    let config_file = fields.optional("ssh_config", |node, problems| {
        // ssh's word for no file at all.
        match node.as_scalar() {
            Some(scalar) if scalar.text() == "none" => Some(PathBuf::from("none")),
            _ => here.path(node, problems),
        }
    });
    let jump = fields.one_or_many("jump", |node, problems| {
        node.parsed("a host on the way", "me@bastion:2222", problems, |text| {
            jump(text).map(|_| text.to_owned())
        })
    });
    let family = fields.choice(
        "address_family",
        &[
            ("any", Family::Any),
            ("ipv4", Family::V4),
            ("ipv6", Family::V6),
        ],
    );
    let proxy = fields.boolean("proxy");
    let public_socks = fields.boolean("public_socks");
    let keep_alive = fields.optional("keepalive", keep_alive);
    let probe = fields.optional("probe", duration);
    let options = fields.optional("options", options);
    let pins = pins(&mut fields);
    let known_hosts = here.optional("known_hosts", &mut fields);
    let forwards = fields.list("forwards", forward::read);
    fields.finish();
    let Destination { user: named, host } = destination?;
    if problems.count() > before && problems.has_errors() {
        return None;
    }
    let mut options = options.unwrap_or_default();
    if let Some(file) = known_hosts {
        options.insert(0, SshOption::known_hosts(file));
    }
    let listed = forwards.unwrap_or_default().into_iter();
    let (forwards, wishes): (Vec<Forward>, Vec<Wish>) =
        listed.map(|one| (one.forward, one.check)).unzip();
    let written = Written {
        wanted: Wanted {
            host,
            user: user.or(named),
            port,
        },
        forwards,
        permits: Vec::new(),
        public_socks: public_socks == Some(true),
        purpose: Purpose::Forwards,
        exit_on_forward_failure: false,
        keys: keys.unwrap_or_default(),
        passphrase_file,
        password_file,
        config: config_file,
        jump: jump.and_then(|hosts| self::jump(&hosts.join(",")).ok()),
        family,
        without_proxy: proxy == Some(false),
        options,
        keep_alive,
        takes_password: here.is_alone,
        pins: pins.unwrap_or_default(),
    };
    match config(&written, here.surroundings) {
        Ok(config) => Some(Tunnel {
            name: entry.key.clone(),
            checks: checks(wishes, &config.forwards),
            config,
            probe: probe.unwrap_or(probe::INTERVAL),
        }),
        Err(error) => {
            problems.push(Problem::error(place, format!("{error:#}")));
            None
        }
    }
}

/// What is checked of a tunnel: those that the file names first, and then those of ssh's own files.
fn checks(wishes: Vec<Wish>, forwards: &[Forward]) -> Vec<Check> {
    let wishes = wishes.into_iter().chain(std::iter::repeat(Wish::Usual));
    let numbered = forwards.iter().zip(wishes).enumerate();
    numbered
        .filter_map(|(number, (forward, wish))| wish.check(number, forward))
        .collect()
}

impl Here<'_> {
    /// A path from the file's folder, or from the home directory.
    fn path(&self, node: &Node, problems: &mut Problems) -> Option<PathBuf> {
        let path = node.path(problems)?;
        let Ok(below) = path.strip_prefix("~") else {
            return Some(self.folder.join(path));
        };
        match self.surroundings.below_home(below) {
            Ok(path) => Some(path),
            Err(error) => {
                problems.push(Problem::error(node.place(), error.to_string()));
                None
            }
        }
    }

    fn optional(&self, key: &'static str, fields: &mut Fields<'_, '_>) -> Option<PathBuf> {
        fields.optional(key, |node, problems| self.path(node, problems))
    }
}

/// Keys of which the host must have one.
fn pins(fields: &mut Fields<'_, '_>) -> Option<Vec<PinnedKey>> {
    let pins = fields.one_or_many("host_key", |node, problems| {
        let wanted = "a fingerprint or a public key of the host";
        node.parsed(wanted, FINGERPRINT, problems, str::parse)
    });
    if pins.as_ref().is_some_and(Vec::is_empty)
        && let Some(node) = fields.node("host_key")
    {
        // Nobody who writes it means "any key".
        let problem = Problem::error(node.place(), "host_key names no key");
        let problem = problem.with_help(format!("for example: {FINGERPRINT}"));
        fields.problems().push(problem);
    }
    pins
}

/// A name goes into logs and before lines.
fn check_name(entry: &Entry, problems: &mut Problems) {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = entry.key.as_bytes();
    let begins_well = name.first().is_some_and(u8::is_ascii_alphanumeric);
    if !(begins_well && name.len() <= 63 && name.iter().copied().all(is_inner)) {
        let message = format!(
            "{} cannot be a tunnel's name: write up to 63 letters, digits, dots, dashes and underscores",
            adit_text::show(&entry.key)
        );
        problems.push(Problem::error(&entry.place, message));
    }
}

/// `10s`, or what is in it by name.
fn keep_alive(node: &Node, problems: &mut Problems) -> Option<KeepAlive> {
    let default = KeepAlive::default();
    if node.as_mapping().is_none() {
        let interval = duration(node, problems)?;
        return Some(KeepAlive {
            interval,
            ..default
        });
    }
    let mut fields = node.fields(problems)?;
    let interval = fields.optional("interval", duration);
    let misses = fields.integer("misses", 1..=MISSES);
    fields.finish();
    Some(KeepAlive {
        interval: interval.unwrap_or(default.interval),
        misses: misses
            .and_then(|misses| u32::try_from(misses).ok())
            .unwrap_or(default.misses),
    })
}

/// Options of ssh_config(5), by their names.
fn options(node: &Node, problems: &mut Problems) -> Option<Vec<SshOption>> {
    node.named(problems, |entry, problems| {
        let wanted = "an option's value, as ssh_config(5) has it";
        entry.node.parsed(
            wanted,
            "Ciphers: aes128-gcm@openssh.com",
            problems,
            |value| format!("{}={value}", entry.key).parse(),
        )
    })
}
