//! Orders about host keys: what the gateway is known by.

use std::path::PathBuf;
use std::time::Duration;

use adit_text::duration::render;
use adit_tunnel::gateway::host_keys::{Listed, Standing, list, rotate};
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{Hands, Outcome, Row, row};

/// How long a key is announced before it comes into use without force: a client that logs in once a week has heard
/// of it.
const ANNOUNCED: Duration = Duration::from_secs(7 * 86_400);

/// What is to be done with host keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum HostKeyOrder {
    /// All of them.
    List {},
    /// The next ones become the active ones.
    Rotate {
        /// Even if they have been announced for a short time.
        is_forced: bool,
    },
}

/// A host key as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    kind: &'static str,
    fingerprint: String,
    standing: String,
    age: String,
    file: PathBuf,
}

pub(super) async fn carry_out(order: &HostKeyOrder, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    match order {
        HostKeyOrder::List {} => Outcome::list(read(hands).await?.iter().map(shown)),
        HostKeyOrder::Rotate { is_forced } => {
            let before = read(hands).await?;
            let mut next = before.iter().filter(|it| it.standing == Standing::Next);
            let young = next.find(|it| it.age < ANNOUNCED && !is_forced);
            if let Some(young) = young {
                bail!(
                    "{} has been announced for {} only: a client that has not logged in meanwhile would find a host \
                     key that it does not know. Wait until it is {} old, or say --force",
                    young.path.display(),
                    render(Duration::from_secs(young.age.as_secs())),
                    render(ANNOUNCED)
                );
            }
            // What cannot be audited is not done.
            let details = json!({ "before": fingerprints(&before) });
            let change = hands.change();
            let noted = hands.store.note(&change, "host_key.rotate", &details).await;
            noted.context("nothing is changed")?;
            let folder = hands.host_keys.to_owned();
            let done = spawn_blocking(move || rotate(&folder)).await;
            done.context("the host keys may have been changed")??;
            let rows: anyhow::Result<Vec<Row>> = read(hands).await?.iter().map(shown).collect();
            let words = "the next host keys are in use, and others come after them";
            Ok(Outcome::done(String::from(words), rows?))
        }
    }
}

async fn read(hands: Hands<'_>) -> anyhow::Result<Vec<Listed>> {
    let folder = hands.host_keys.to_owned();
    let read = spawn_blocking(move || list(&folder)).await;
    Ok(read.context("reading the host keys failed")??)
}

fn shown(listed: &Listed) -> anyhow::Result<Row> {
    row(Shown {
        kind: listed.key.key_type().name(),
        fingerprint: listed.key.fingerprint().to_string(),
        standing: listed.standing.to_string(),
        age: render(Duration::from_secs(listed.age.as_secs())),
        file: listed.path.clone(),
    })
}

fn fingerprints(listed: &[Listed]) -> Vec<String> {
    let fingerprint = |it: &Listed| format!("{} {}", it.standing, it.key.fingerprint());
    listed.iter().map(fingerprint).collect()
}
