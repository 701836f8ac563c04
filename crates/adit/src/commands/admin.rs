//! The commands that look after a gateway: what is asked becomes an [`Order`], which the gateway that runs carries
//! out, or this process if none does.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use adit_store::{Kind, Standing, Store};
use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use rustix::process::geteuid;
use serde_json::json;

use self::table::Columns;
use crate::cli::{
    AdminArguments, AuditCommand, AuthorityCommand, GatewayArguments, GrantCommand, HostKeyCommand,
    InviteCommand, KeyCommand, LeaseCommand, PrincipalCommand, ReloadArguments, ReservationCommand,
    RevokeCommand, ServeArguments,
};
use crate::gateway::control::{Request, client};
use crate::gateway::directory::{DataDirectory, DataLock};
use crate::gateway::order::{
    AuthorityOrder, GrantOrder, Hands, HostKeyOrder, InviteOrder, KeyOrder, LeaseOrder, NewKey,
    Order, Outcome, PrincipalOrder, ReservationOrder, RevocationOrder, RevokedText, carry_out,
    refuse_private,
};
use crate::gateway::place;
use crate::gateway::settings::{self, DATA_VARIABLE, Settings};

mod table;

/// How long somebody else may have the data directory without answering: another command, or a gateway that begins
/// or ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at whether it is free.
const LOOK: Duration = Duration::from_millis(20);
/// Most bytes of a file with a public key.
const KEY_FILE: u64 = 65_536;

/// `adit user` and `adit device`.
pub(crate) fn principals(
    arguments: AdminArguments<PrincipalCommand>,
    kind: Kind,
) -> anyhow::Result<ExitCode> {
    let stand = |name, standing| PrincipalOrder::Stand {
        kind,
        name,
        standing,
    };
    let order = match arguments.command {
        PrincipalCommand::Add { name, note } => PrincipalOrder::Add {
            kind,
            name,
            note: note.unwrap_or_default(),
        },
        PrincipalCommand::List => PrincipalOrder::List { kind },
        PrincipalCommand::Show { name } => PrincipalOrder::Show { kind, name },
        PrincipalCommand::Remove { name } => PrincipalOrder::Remove { kind, name },
        PrincipalCommand::Enable { name } => stand(name, Standing::Enabled),
        PrincipalCommand::Disable { name } => stand(name, Standing::Disabled),
    };
    give(
        &Order::Principal(order),
        &arguments.gateway,
        table::PRINCIPALS,
    )
}

/// `adit key`.
pub(crate) fn keys(arguments: AdminArguments<KeyCommand>) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        KeyCommand::Add(new) => KeyOrder::Add(NewKey {
            text: public_key(&new.file)?,
            principal: new.principal,
            sources: new.from.unwrap_or_default(),
            not_after: new.not_after,
            touch_required: new.touch_required,
            verify_required: new.verify_required,
        }),
        KeyCommand::List { principal } => KeyOrder::List { principal },
        KeyCommand::Show { fingerprint } => KeyOrder::Show { fingerprint },
        KeyCommand::Remove { fingerprint } => KeyOrder::Remove { fingerprint },
    };
    give(&Order::Key(order), &arguments.gateway, table::KEYS)
}

/// `adit grant`.
pub(crate) fn grants(arguments: AdminArguments<GrantCommand>) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        GrantCommand::Add(add) => GrantOrder::Add {
            change: Box::new(add.grant.change()),
            principal: add.principal,
        },
        GrantCommand::List => GrantOrder::List {},
        GrantCommand::Show { principal } => GrantOrder::Show { principal },
        GrantCommand::Proof { principal, domain } => GrantOrder::Proof { principal, domain },
        GrantCommand::Remove(remove) => GrantOrder::Remove {
            removal: Box::new(remove.removal()),
            principal: remove.principal,
        },
    };
    give(&Order::Grant(order), &arguments.gateway, table::GRANTS)
}

/// `adit lease`.
pub(crate) fn leases(arguments: AdminArguments<LeaseCommand>) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        LeaseCommand::List => LeaseOrder::List {},
        LeaseCommand::Show { held } => LeaseOrder::Show { held },
        LeaseCommand::Remove { held } => LeaseOrder::Remove { held },
    };
    give(&Order::Lease(order), &arguments.gateway, table::LEASES)
}

/// `adit reservation`.
pub(crate) fn reservations(
    arguments: AdminArguments<ReservationCommand>,
) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        ReservationCommand::Add(new) => {
            let (what, note) = new.what()?;
            ReservationOrder::Add {
                principal: new.principal,
                what,
                note,
            }
        }
        ReservationCommand::List => ReservationOrder::List {},
        ReservationCommand::Show { id } => ReservationOrder::Show { id },
        ReservationCommand::Remove { id } => ReservationOrder::Remove { id },
    };
    give(
        &Order::Reservation(order),
        &arguments.gateway,
        table::RESERVATIONS,
    )
}

/// `adit authority`.
pub(crate) fn authorities(arguments: AdminArguments<AuthorityCommand>) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        AuthorityCommand::Add(new) => AuthorityOrder::Add {
            text: public_key(&new.file)?,
            sources: new.from.unwrap_or_default(),
            not_after: new.not_after,
            note: new.note.unwrap_or_default(),
        },
        AuthorityCommand::List => AuthorityOrder::List {},
        AuthorityCommand::Show { fingerprint } => AuthorityOrder::Show { fingerprint },
        AuthorityCommand::Remove { fingerprint } => AuthorityOrder::Remove { fingerprint },
        AuthorityCommand::Name {
            fingerprint,
            name,
            principal,
        } => AuthorityOrder::Name {
            fingerprint,
            name,
            principal,
        },
        AuthorityCommand::Unname { fingerprint, name } => {
            AuthorityOrder::Unname { fingerprint, name }
        }
    };
    give(
        &Order::Authority(order),
        &arguments.gateway,
        table::AUTHORITIES,
    )
}

/// `adit revoke`.
pub(crate) fn revocations(arguments: AdminArguments<RevokeCommand>) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        RevokeCommand::Add(new) => {
            let what = match (new.key, new.authority, new.serials, new.key_id) {
                (Some(key), ..) => RevokedText::Key(key),
                (None, Some(authority), Some((from, to)), _) => RevokedText::Serials {
                    authority,
                    from,
                    to,
                },
                (None, Some(authority), None, Some(id)) => RevokedText::KeyId { authority, id },
                (None, _, _, _) => {
                    bail!("say what is revoked: --key, or --authority with --serials or --key-id")
                }
            };
            let note = new.note.unwrap_or_default();
            RevocationOrder::Add { what, note }
        }
        RevokeCommand::List => RevocationOrder::List {},
        RevokeCommand::Remove { id } => RevocationOrder::Remove { id },
    };
    give(
        &Order::Revocation(order),
        &arguments.gateway,
        table::REVOCATIONS,
    )
}

/// `adit host-key`.
pub(crate) fn host_keys(arguments: &AdminArguments<HostKeyCommand>) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        HostKeyCommand::List => HostKeyOrder::List {},
        HostKeyCommand::Rotate { force } => HostKeyOrder::Rotate { is_forced: force },
    };
    give(&Order::HostKey(order), &arguments.gateway, table::HOST_KEYS)
}

/// `adit invite`.
pub(crate) fn invites(arguments: AdminArguments<InviteCommand>) -> anyhow::Result<ExitCode> {
    let order = match arguments.command {
        InviteCommand::Add(add) => InviteOrder::Add {
            change: Box::new(add.grant.change()),
            name: add.name,
            lasts: add.lasts,
            note: add.note.unwrap_or_default(),
        },
        InviteCommand::List => InviteOrder::List {},
        InviteCommand::Remove { number } => InviteOrder::Remove {
            id: number.to_string(),
        },
    };
    let order = Order::Invite(order);
    let (outcome, look) = carry(&order, &arguments.gateway, table::INVITES)?;
    let is_plain = !matches!(look, Look::Json);
    if let (Some(row), true, Some(_)) = (outcome.rows.first(), is_plain, &outcome.done) {
        let mut stdout = io::stdout().lock();
        stdout.write_all(table::code(row).as_bytes())?;
        stdout.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&outcome, look)
}

/// `adit audit`.
pub(crate) fn audit(arguments: &AdminArguments<AuditCommand>) -> anyhow::Result<ExitCode> {
    let AuditCommand::List { limit, before } = arguments.command;
    let order = Order::Audit { limit, before };
    give(&order, &arguments.gateway, table::AUDIT)
}

/// `adit reload`.
pub(crate) fn reload(arguments: &ReloadArguments) -> anyhow::Result<ExitCode> {
    let (_, settings) = settings(&arguments.gateway)?;
    let directory = DataDirectory::found(&settings.data)?;
    let outcome = client::ask(&directory.control(), &Request::Reload {})?;
    let outcome =
        outcome.with_context(|| format!("no gateway runs with {}", directory.path().display()))?;
    let look = if arguments.gateway.json {
        Look::Json
    } else {
        Look::Details
    };
    show(&outcome, look)
}

/// Gives an order to the gateway that runs, or carries it out.
fn give(order: &Order, gateway: &GatewayArguments, columns: Columns) -> anyhow::Result<ExitCode> {
    let (outcome, look) = carry(order, gateway, columns)?;
    show(&outcome, look)
}

/// The same, with what is to be printed.
pub(super) fn carry(
    order: &Order,
    gateway: &GatewayArguments,
    columns: Columns,
) -> anyhow::Result<(Outcome, Look)> {
    let (_, settings) = settings(gateway)?;
    let look = if order.is_of_one() {
        Look::Details
    } else {
        Look::Table(columns)
    };
    let look = if gateway.json { Look::Json } else { look };
    let request = Request::Order {
        order: order.clone(),
    };
    // Whoever may ask the one that runs need not be its user.
    if let Ok(found) = DataDirectory::found(&settings.data)
        && let Some(outcome) = client::ask(&found.control(), &request)?
    {
        return Ok((outcome, look));
    }
    let directory = if order.is_question() || matches!(order, Order::HostKey(_)) {
        existing(&settings.data)?
    } else {
        DataDirectory::open(&settings.data)?
    };
    let outcome = match reach(&directory, &request)? {
        Reached::Answer(outcome) => outcome,
        Reached::Alone(held) => {
            let outcome = alone(order, &settings, &directory);
            drop(held);
            outcome?
        }
    };
    Ok((outcome, look))
}

/// Who does what is asked.
enum Reached {
    /// A gateway that runs has.
    Answer(Outcome),
    /// None runs: this process may.
    Alone(DataLock),
}

/// Finds out who does what is asked. A command that is as quick as this one, and a gateway that begins or ends, are
/// waited for.
fn reach(directory: &DataDirectory, request: &Request) -> anyhow::Result<Reached> {
    let socket = directory.control();
    let mut waited = Duration::ZERO;
    loop {
        if let Some(outcome) = client::ask(&socket, request)? {
            return Ok(Reached::Answer(outcome));
        }
        if let Some(lock) = directory.try_lock()? {
            return Ok(Reached::Alone(lock));
        }
        ensure!(
            waited < PATIENCE,
            "somebody else uses {} and nobody answers at {}: a gateway that begins or ends, or another \
             command; nothing was done, try again",
            directory.path().display(),
            socket.display()
        );
        std::thread::sleep(LOOK);
        waited = waited.saturating_add(LOOK);
    }
}

/// Carries an order out while no gateway runs.
fn alone(order: &Order, settings: &Settings, directory: &DataDirectory) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let store = Store::open(place(settings, directory)?, Timestamp::now()).await?;
        let hands = Hands {
            store: &store,
            desk: None,
            reports: None,
            who: &format!("uid {}", geteuid().as_raw()),
            leases: settings.leases,
            // Those of its command line are not known here.
            ports: None,
            host_keys: &directory.host_keys(),
            names: &directory.names(),
        };
        let outcome = carry_out(order, hands).await;
        store.close().await;
        outcome
    })
}

/// What the gateway that is meant is set to, as far as commands need it.
fn settings(gateway: &GatewayArguments) -> anyhow::Result<(ServeArguments, Settings)> {
    let named = gateway.data.clone();
    let data = match (&named, &gateway.config) {
        (None, None) => settings::data_of_environment(),
        _ => named,
    };
    ensure!(
        data.is_some() || gateway.config.is_some(),
        "say which gateway is meant: --data DIR, its data directory (or the variable {DATA_VARIABLE}), or --config FILE"
    );
    let arguments = ServeArguments {
        data,
        config: gateway.config.clone(),
        database_file: gateway.database_file.clone(),
        ..ServeArguments::default()
    };
    let settings = Settings::read(&arguments)?;
    Ok((arguments, settings))
}

/// A data directory that is there.
fn existing(path: &Path) -> anyhow::Result<DataDirectory> {
    DataDirectory::found(path)?;
    DataDirectory::open(path)
}

/// The public key in a file, or of standard input.
fn public_key(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(KEY_FILE).read_to_string(&mut text)
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
        file.take(KEY_FILE).read_to_string(&mut text)
    };
    read.with_context(|| format!("cannot read {shown}"))?;
    // It does not even go to the gateway.
    refuse_private(&text).with_context(|| format!("{shown} is not taken"))?;
    Ok(text)
}

/// How rows are printed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    /// For programs, one a line.
    Json,
    /// For people, one a line.
    Table(Columns),
    /// For people, one alone.
    Details,
}

/// Prints what came of it.
pub(super) fn show(outcome: &Outcome, look: Look) -> anyhow::Result<ExitCode> {
    let text = match (look, &outcome.done) {
        (Look::Json, Some(done)) if outcome.rows.is_empty() => {
            format!("{}\n", json!({ "done": done }))
        }
        (Look::Json, _) => {
            let lines = outcome.rows.iter().map(|row| json!(row).to_string() + "\n");
            lines.collect()
        }
        (_, Some(done)) => format!("{done}\n"),
        (Look::Table(columns), None) => table::show(&outcome.rows, columns),
        (Look::Details, None) => outcome.rows.iter().map(table::details).collect(),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}
