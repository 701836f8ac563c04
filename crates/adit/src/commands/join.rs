//! `adit join`: makes this machine a device of a gateway, by a code.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use adit_model::host::Name;
use adit_tunnel::agent::connect::{HostKeyLook, SshConnect};
use adit_tunnel::agent::join::{CodeAnswer, JoinError, Joined, join};
use adit_tunnel::agent::login::credentials::LoginConfig;
use adit_tunnel::agent::login::prompt::Told;
use adit_tunnel::agent::supervise::{ConnectError, TunnelConfig};
use adit_tunnel::control::GrantSummary;
use adit_tunnel::enroll::{Code, USER};
use adit_tunnel::ssh_config::Wanted;
use adit_tunnel::transport::ssh::Memory;
use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::cli::JoinArguments;
use crate::config::option::SshOption;
use crate::config::{Surroundings, Written, ask, config};
use crate::enrolled::{Entry, Joining};
use crate::signal::signalled;
use crate::terminal::{self, Echo, Restore, Terminal};

/// Names the file with the code, where no flag does.
const CODE_FILE: &str = "ADIT_CODE_FILE";
/// The port of a gateway that nobody has said: that of adit serve.
const PORT: u16 = 2_222;
/// Most bytes that are read of standard input.
const INPUT: u64 = 1_024;

/// Asks for the code, looks at the host key, and gives the code to nobody else.
pub(crate) fn run(arguments: &JoinArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let restore = Restore::new();
    let code = code(arguments.code_file.as_deref())?;
    let host = arguments.gateway.host.clone();
    let port = arguments.gateway.port.unwrap_or(PORT);
    let joining = Joining::begin(&surroundings, &host, port, arguments.again)?;
    let config = config_of(arguments, port, &joining, &surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let joined = runtime.block_on(async {
        let signal = signalled()?;
        tokio::select! {
            biased;
            code = signal => Ok(Err(code)),
            joined = enroll(config, &joining, code) => anyhow::Ok(Ok(joined?)),
        }
    });
    // A question of a host on the way that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    let joined = match joined? {
        Ok(joined) => joined,
        Err(code) => return Ok(code),
    };
    let identity = &joined.identity;
    let done = joining.done(Entry {
        host: host.clone(),
        port,
        device: identity.name.shown().to_string(),
        domain: identity.domain.as_ref().map(|it| it.shown().to_string()),
        joined: Timestamp::now(),
    })?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "this machine is {} at {host}", done.entry.device)?;
    if let Some(domain) = &done.entry.domain {
        writeln!(stdout, "its names are under {domain}")?;
    }
    writeln!(stdout, "it {}", joined.grant)?;
    writeln!(stdout, "try: {}", attempt(&joined.grant))?;
    Ok(ExitCode::SUCCESS)
}

/// What may be done first with what was granted.
fn attempt(grant: &GrantSummary) -> String {
    let Some(names) = &grant.names else {
        return String::from("adit expose 3000 --name NAME");
    };
    let patterns = names.patterns.iter().map(|it| it.shown().to_string());
    // Not a pattern.
    let name = patterns.map(|it| it.parse::<Name>()).find_map(Result::ok);
    match name {
        _ if names.any => String::from("adit expose 3000"),
        Some(name) => format!("adit expose 3000 --name {name}"),
        None => String::from("adit expose 3000 --name NAME"),
    }
}

/// The way there, by what was said and the files of ssh(1).
fn config_of(
    arguments: &JoinArguments,
    port: u16,
    joining: &Joining,
    surroundings: &Surroundings,
) -> anyhow::Result<TunnelConfig> {
    let wanted = Wanted {
        host: arguments.gateway.host.clone(),
        user: Some(String::from(USER)),
        port: Some(port),
    };
    let written = Written {
        keys: vec![joining.key()],
        options: vec![SshOption::known_hosts(joining.known_hosts())],
        takes_password: false,
        ..Written::look(wanted)
    };
    config(&written, surroundings)
}

/// Checks the host key, and then logs in.
async fn enroll(mut config: TunnelConfig, joining: &Joining, code: Code) -> anyhow::Result<Joined> {
    // One key and one code, whatever else the configuration has for that host.
    config.peer.login = LoginConfig::with_keys(vec![joining.key()]);
    let look = HostKeyLook::new(&config.peer, Memory::of_this_machine())?;
    look.trust_hashed(code.host()).await?;
    config.peer.login.ask = Arc::new(CodeAnswer::new(code));
    let connect = SshConnect::new(&config.peer, Memory::of_this_machine())?;
    match join(&connect).await {
        Ok(joined) => Ok(joined),
        Err(error @ JoinError::Connect(ConnectError::Login { .. })) => {
            Err(anyhow::Error::new(error).context(
                "the gateway takes no such code: it was used, its time is over, it was taken back, or too many that \
                 were wrong came from this network within a minute (adit invite list there says which)",
            ))
        }
        Err(error @ JoinError::Silent) => Err(anyhow::Error::new(error)
            .context("say the same again: the same code from this machine gets the same answer")),
        Err(error) => Err(error.into()),
    }
}

/// The code: of the file that is named, else of the person at the terminal.
fn code(file: Option<&Path>) -> anyhow::Result<Code> {
    let named = file.map(PathBuf::from);
    let file = named.or_else(|| std::env::var_os(CODE_FILE).map(PathBuf::from));
    let told = match file {
        Some(file) if file == Path::new("-") => input()?,
        Some(file) => {
            let read = ask::read(&file);
            read.with_context(|| format!("cannot read the code in {}", file.display()))?
        }
        None => typed()?,
    };
    Ok(told.expose().parse::<Code>()?)
}

fn input() -> anyhow::Result<Told> {
    // All at once, so that no reallocation leaves a copy behind.
    let mut text = String::with_capacity(usize::try_from(INPUT)?);
    let read = io::stdin().take(INPUT).read_to_string(&mut text);
    let told = Told::new(text);
    read.context("cannot read the code from standard input")?;
    Ok(told)
}

fn typed() -> anyhow::Result<Told> {
    let _turn = terminal::turn();
    let Some(mut terminal) = Terminal::open() else {
        bail!(
            "there is no terminal to ask for the code at: name a file with --code-file FILE (- is standard input) or \
             the variable {CODE_FILE}"
        );
    };
    let line = terminal.ask("Enrolment code: ", Echo::Off);
    Ok(Told::new(line.context("cannot read the code")?))
}
