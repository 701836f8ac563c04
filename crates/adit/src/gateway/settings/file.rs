//! `gateway.yml`: the settings as text, with a place for everything that is wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_model::grant::{Limits, Reach};
use adit_model::host::Name;
use adit_model::lease::Takeover;
use adit_model::port::PortSet;
use adit_model::source::{SourceError, SourceSet};
use adit_text::{Fields, Node, Problem, Problems, Unset, parse};
use anyhow::Context as _;

use super::{Listen, Written, names, rule};
use crate::gateway::trusted;

/// Longest file.
const LENGTH: u64 = 1 << 20;

/// Reads the file; paths in it are from its own folder.
///
/// # Errors
///
/// It cannot be read, others may write to it (security rule G129), or everything that is wrong with it.
pub(super) fn read(path: &Path) -> anyhow::Result<Written> {
    let bytes = trusted::read(path, LENGTH);
    let bytes = bytes.with_context(|| format!("cannot use {}", path.display()))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut problems = Problems::new();
    let name = path.display().to_string();
    let written = parse(&name, &bytes).map(|mut document| {
        document.resolve_environment(
            &|name| std::env::var(name).ok(),
            Unset::Refuse,
            &mut problems,
        );
        written(document.root(), folder, &mut problems)
    });
    match written {
        Ok(Some(written)) if !problems.has_errors() => Ok(written),
        Ok(_) => anyhow::bail!("what is written cannot be used\n{problems}"),
        Err(problems) => anyhow::bail!("what is written cannot be used\n{problems}"),
    }
}

fn written(root: &Node, folder: &Path, problems: &mut Problems) -> Option<Written> {
    let mut fields = root.fields(problems)?;
    let from_folder = |path: PathBuf| folder.join(path);
    let mut written = Written {
        data: fields.path("data").map(from_folder),
        ssh: fields.one_or_many("ssh", listen),
        http: fields.one_or_many("http", listen),
        https: fields.one_or_many("https", listen),
        proxies: fields.optional("proxy_protocol", networks),
        certificates: fields.list("certificates", |node, problems| {
            let mut fields = node.fields(problems)?;
            let (chain, key) = (fields.path("chain"), fields.path("key"));
            fields.finish();
            let both = chain.zip(key);
            if both.is_none() {
                let words = "a certificate is two files: chain and key";
                problems.push(Problem::error(node.place(), words));
            }
            let (chain, key) = both?;
            Some((folder.join(chain), folder.join(key)))
        }),
        domain: fields.text("domain").map(str::to_owned),
        names: fields.optional("names", names::read),
        database: fields.secret("database"),
        ports: fields.optional("ports", |node, problems| {
            node.parsed("ports", "22,8000-8100", problems, str::parse::<PortSet>)
        }),
        reach: fields.choice(
            "default_bind",
            &[("local", Reach::Asked), ("public", Reach::Public)],
        ),
        takeover: fields.choice(
            "takeover",
            &[
                ("probe", Takeover::Probe),
                ("newest", Takeover::Newest),
                ("oldest", Takeover::Oldest),
            ],
        ),
        authorized_keys: fields
            .one_or_many("authorized_keys", Node::path)
            .map(|paths| paths.into_iter().map(from_folder).collect()),
        is_local_only: fields.boolean("local_only"),
        ends_refused: fields.boolean("end_refused"),
        metrics: fields.optional("metrics", |node, problems| {
            node.parsed(
                "an address and a port",
                "127.0.0.1:9464",
                problems,
                str::parse::<SocketAddr>,
            )
        }),
        anonymous: fields.one_or_many("anonymous", |node, problems| {
            node.parsed("the name of a user", "guest", problems, str::parse::<Name>)
        }),
        rules: fields.optional("visitors", rule::read),
        drain: fields.optional("drain", |node, problems| ranged(node, (1, 3_600), problems)),
        ..Written::default()
    };
    if let Some(limits) = fields.optional("limits", limits) {
        written.limits = limits;
    }
    fields.optional("leases", |node, problems| {
        leases(node, &mut written, problems)
    });
    fields.optional("caps", |node, problems| caps(node, &mut written, problems));
    fields.finish();
    Some(written)
}

fn listen(node: &Node, problems: &mut Problems) -> Option<Listen> {
    node.parsed(
        "where to listen",
        "127.0.0.1:2222",
        problems,
        str::parse::<Listen>,
    )
}

/// One network or many; together they are a list that has its own limits.
fn networks(node: &Node, problems: &mut Problems) -> Option<SourceSet> {
    let each = node.one_or_many(problems, |node, problems| {
        let set = node.parsed("a network", "10.0.0.0/8", problems, str::parse::<SourceSet>)?;
        Some(set.to_string())
    })?;
    let set = each.join(",").parse();
    set.map_err(|error: SourceError| {
        problems.push(Problem::error(node.place(), error.to_string()));
    })
    .ok()
}

fn limits(node: &Node, problems: &mut Problems) -> Option<Limits> {
    let mut fields = node.fields(problems)?;
    let limits = Limits {
        connections: count(&mut fields, "connections"),
        leases: count(&mut fields, "leases"),
        streams: count(&mut fields, "streams"),
        down: fields.size("down"),
        up: fields.size("up"),
        month: fields.size("month"),
    };
    fields.finish();
    Some(limits)
}

fn count(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<u32> {
    let count = fields.integer(key, 1..=1_000_000)?;
    u32::try_from(count).ok()
}

fn leases(node: &Node, written: &mut Written, problems: &mut Problems) -> Option<()> {
    const DAY: u64 = 86_400;
    let mut fields = node.fields(problems)?;
    written.grace = fields.optional("grace", |node, problems| {
        ranged(node, (1, 30 * DAY), problems)
    });
    written.port_quarantine = fields.optional("port_quarantine", |node, problems| {
        ranged(node, (0, 365 * DAY), problems)
    });
    written.name_quarantine = fields.optional("name_quarantine", |node, problems| {
        ranged(node, (0, 365 * DAY), problems)
    });
    fields.finish();
    Some(())
}

fn caps(node: &Node, written: &mut Written, problems: &mut Problems) -> Option<()> {
    let mut fields = node.fields(problems)?;
    let mut many = |key| {
        let count = fields.integer(key, 1..=1_000_000)?;
        usize::try_from(count).ok()
    };
    written.connections = many("connections");
    written.visitors = many("visitors");
    fields.finish();
    Some(())
}

/// A duration between so many seconds and so many.
pub(super) fn ranged(
    node: &Node,
    (least, most): (u64, u64),
    problems: &mut Problems,
) -> Option<Duration> {
    let duration = node.duration(problems)?;
    let range = Duration::from_secs(least)..=Duration::from_secs(most);
    if range.contains(&duration) {
        return Some(duration);
    }
    let render = adit_text::duration::render;
    let message = format!(
        "wanted {} to {}",
        render(*range.start()),
        render(*range.end())
    );
    problems.push(Problem::error(node.place(), message));
    None
}
