//! Orders about invites: codes by which machines become devices.

use std::time::Duration;

use adit_model::grant::Grant;
use adit_model::host::Name;
use adit_store::{Invite, Kind, NewInvite, TRIES};
use adit_tunnel::enroll::{Code, CodeId};
use adit_tunnel::gateway::host_keys::{Standing, load_or_make};
use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::principal::seconds;
use super::{GrantChange, Hands, Outcome, Row, grant, row};

/// How long a code lives if nobody says otherwise (security rule G41).
pub(crate) const LASTS: &str = "1h";
/// How long one lives at the most (security rule G41).
const MOST: Duration = Duration::from_secs(86_400);

/// What is to be done with invites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum InviteOrder {
    /// One more.
    Add {
        /// The device that whoever uses it becomes.
        name: Name,
        /// What it may do.
        change: Box<GrantChange>,
        /// How long it lives.
        lasts: Duration,
        /// Words about the device.
        note: String,
    },
    /// All of them.
    List {},
    /// It is of no use any more.
    Remove {
        /// Its number.
        id: String,
    },
}

/// An invite as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    number: String,
    name: &'a Name,
    state: String,
    expires: Timestamp,
    created: Timestamp,
    wrong: u32,
    note: &'a str,
}

pub(super) async fn carry_out(order: &InviteOrder, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    match order {
        InviteOrder::Add {
            name,
            change,
            lasts,
            note,
        } => {
            ensure!(
                !lasts.is_zero() && *lasts <= MOST,
                "a code lives for 1s to 24h: whoever finds it later is not the one who was meant"
            );
            let mut template = Grant::default();
            change.apply(&mut template)?;
            add(name, (template, change, *lasts, note), hands).await
        }
        InviteOrder::List {} => {
            let now = Timestamp::now();
            let all = hands.store.invites().await?;
            Outcome::list(all.iter().map(|invite| shown(invite, now)))
        }
        InviteOrder::Remove { id } => {
            let id: CodeId = id.parse()?;
            hands.store.remove_invite(&hands.change(), id.get()).await?;
            let words = format!(
                "code {id} is of no use any more; a device that was made by it stays (adit device list)"
            );
            Ok(Outcome::done(words, []))
        }
    }
}

async fn add(
    name: &Name,
    (template, change, lasts, note): (Grant, &GrantChange, Duration, &str),
    hands: Hands<'_>,
) -> anyhow::Result<Outcome> {
    let there = hands.store.principal_named(name).await?;
    if let Some(there) = &there {
        ensure!(
            there.kind == Kind::Device,
            "{name} is a user, and no machine becomes one"
        );
        ensure!(
            *change == GrantChange::default(),
            "the device {name} is there already, and a code for it adds a key alone: change what it may do with adit \
             grant add {name}"
        );
    }
    let code = draw(hands).await?;
    let expires = SignedDuration::try_from(lasts)
        .ok()
        .and_then(|lasts| Timestamp::now().checked_add(lasts).ok());
    let new = NewInvite {
        id: code.id().get(),
        hash: code.hash(),
        name: name.clone(),
        device: there.as_ref().map(|device| device.id),
        grant: template.clone(),
        note: String::from(note),
        expires: expires.context("the code would live too long")?,
    };
    hands.store.add_invite(&hands.change(), &new).await?;
    // The words go into the log, and the code does not.
    let words = format!(
        "code {} makes one machine the device {name}, until {}",
        code.id(),
        seconds(new.expires)
    );
    let mut row = Row::new();
    row.insert(String::from("code"), Value::from(code.text().as_str()));
    row.insert(String::from("number"), Value::from(code.id().to_string()));
    row.insert(String::from("name"), Value::from(name.as_str()));
    row.insert(String::from("is_new"), Value::from(there.is_none()));
    row.insert(
        String::from("expires"),
        Value::from(new.expires.to_string()),
    );
    let grant = there.map_or(template, |device| device.grant);
    row.insert(String::from("grant"), Value::Object(grant::shown(&grant)?));
    Ok(Outcome::done(words, [row]))
}

/// A code of this gateway.
async fn draw(hands: Hands<'_>) -> anyhow::Result<Code> {
    let folder = hands.host_keys.to_owned();
    let keys = spawn_blocking(move || load_or_make(&folder)).await;
    let keys = keys.context("reading the host keys failed")??;
    let mut active = keys.standings().filter(|it| it.1 == Standing::Active);
    let Some((key, _)) = active.next() else {
        bail!("the gateway has no host key in use");
    };
    let mut random = [0; 21];
    let drawn = aws_lc_rs::rand::fill(&mut random);
    drawn.ok().context("the system has no randomness")?;
    Ok(Code::of_host_key(&random, key))
}

fn shown(invite: &Invite, now: Timestamp) -> anyhow::Result<Row> {
    let state = match &invite.used {
        Some((_, by)) => format!("used by {by}"),
        None if invite.wrong >= TRIES => String::from("burned: tried with wrong secrets"),
        None if invite.expires <= now => String::from("expired"),
        None => String::from("open"),
    };
    let number = CodeId::new(invite.id).context("a code's number is none")?;
    row(Shown {
        number: number.to_string(),
        name: &invite.name,
        state,
        expires: invite.expires,
        created: invite.created,
        wrong: invite.wrong,
        note: &invite.note,
    })
}
