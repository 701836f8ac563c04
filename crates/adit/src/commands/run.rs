//! `adit run`: a workflow, and what it gives.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use adit_flow::expr::Value;
use adit_flow::model::find::Missing;
use adit_flow::model::{Compose, DEFAULT};
use anyhow::Context as _;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use self::talk::{End, Persons};
use crate::cli::RunArguments;
use crate::compose::service::{Scope, Service};
use crate::compose::{self, Detail, Loaded};
use crate::config::{self, Surroundings};
use crate::control::INPUT;
use crate::control::client;
use crate::control::conversation::Conversation;
use crate::control::directory::{Directories, Running};
use crate::control::server;
use crate::log::{self, Console, say};
use crate::progress::Progress;
use crate::terminal::Restore;
use crate::tunnels::Board;

mod file;
mod result;
mod sink;
mod talk;

/// Runs a workflow in the `up` of its file, or here.
pub(crate) fn run(arguments: &RunArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    let input = read(&arguments.input)?;
    if let Err(error) = Value::from_json(input.as_bytes()) {
        say(&format!("❌ Invalid JSON provided for --input: {error}"));
        return Ok(ExitCode::from(USAGE));
    }
    let surroundings = Surroundings::of_this_process();
    let source = &arguments.source;
    let (loaded, problems) =
        compose::load_silently(&source.files, &source.environment, &surroundings)?;
    let workflow = arguments.workflow.as_deref().unwrap_or(DEFAULT);
    ensure_choice(&loaded.compose, workflow)?;
    let up = up(arguments, &loaded, &surroundings)?;
    match &up {
        _ if verbose > 0 => compose::warn_of(&problems, Detail::Whole),
        // It has told them when it read the same.
        Some(_) => {}
        None => compose::warn_of(&problems, Detail::Line),
    }
    let restore = Restore::without_controls();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let end = runtime.block_on(async {
        let persons = |others| match (arguments.auto_resume, others) {
            (true, _) => Persons::Nobody,
            (false, others) => others,
        };
        let progress = Progress::of_this_process(verbose, up.is_some(), talk::now());
        let file = arguments.output.as_deref();
        let Some(running) = up else {
            let persons = persons(Persons::OnlyHere);
            let follow = |talk| talk::follow(talk, progress, persons, file);
            return here((&loaded, &surroundings), workflow, &input, follow).await;
        };
        let socket = client::connect(&running.socket)?;
        socket.set_nonblocking(true)?;
        let socket = UnixStream::from_std(socket)?;
        let asked = Conversation::begin(socket, workflow, &input, loaded.fingerprint);
        talk::follow(asked.await?, progress, persons(Persons::Others), file).await
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    match end? {
        End::Given(outcome) => {
            result::give(&outcome, arguments.output.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        End::Written => Ok(ExitCode::SUCCESS),
        End::Interrupted(code) => Ok(code),
    }
}

/// Fails where none was named of several workflows and none is the default, with those that there are.
fn ensure_choice(compose: &Compose, workflow: &str) -> anyhow::Result<()> {
    if matches!(compose.workflow(workflow), Err(Missing::Ambiguous)) {
        let ids = compose.workflows.iter().map(|one| one.id.as_str());
        let ids = ids.collect::<Vec<_>>().join(", ");
        anyhow::bail!(
            "there are several workflows, and none says default: true; name one of {ids}"
        );
    }
    Ok(())
}

/// Runs it in this process, with what it can come to use.
async fn here<F: Future<Output = anyhow::Result<End>>>(
    (loaded, surroundings): (&Loaded, &Surroundings),
    workflow: &str,
    input: &str,
    follow: impl FnOnce(Conversation) -> F,
) -> anyhow::Result<End> {
    // Standard error is where the jobs are shown.
    log::heed(&loaded.compose.loggers, Console::Passed)?;
    // Nobody asks this process where its gateways stand.
    let board = Board::new(PathBuf::new(), &[]);
    let service = Service::new(loaded, Scope::Run(workflow), surroundings, &board)?;
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let (ours, theirs) = UnixStream::pair().context("cannot make a pair of sockets")?;
    let keeping = service.keep(&stop, &hurry);
    let following = async {
        let fingerprint = loaded.fingerprint.clone();
        let talk = Conversation::begin(ours, workflow, input, fingerprint).await;
        let end = match talk {
            Ok(talk) => follow(talk).await,
            Err(error) => Err(error),
        };
        // Nothing runs any more that was to be waited for.
        hurry.cancel();
        stop.cancel();
        end
    };
    let serving = server::serve_run(theirs, service.clone());
    let (kept, end, ()) = tokio::join!(keeping, following, serving);
    // Why there could be no run comes before that there was none.
    kept.and(end)
}

/// Exit code of a command line that is not understood.
const USAGE: u8 = 2;

/// The input that an argument is, or leads to.
fn read(argument: &str) -> anyhow::Result<String> {
    match argument.strip_prefix('@') {
        Some(file) => {
            let opened = File::open(file);
            let read = opened.and_then(text);
            read.with_context(|| format!("cannot read {file}"))
        }
        None if argument == "-" => text(io::stdin()).context("cannot read standard input"),
        None => Ok(argument.to_owned()),
    }
}

/// All of it, and a byte more than may be, so that what is too long is found to be.
fn text(reader: impl Read) -> io::Result<String> {
    let most = u64::try_from(INPUT).unwrap_or(u64::MAX);
    let mut text = String::new();
    reader
        .take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The `up` to run it in, if it is not to be run here.
fn up(
    arguments: &RunArguments,
    loaded: &Loaded,
    surroundings: &Surroundings,
) -> anyhow::Result<Option<Running>> {
    if arguments.local {
        return Ok(None);
    }
    let name = config::file::identity(&loaded.files)?;
    let running = Directories::of_this_process(surroundings).find(&name);
    anyhow::ensure!(
        running.is_some() || !arguments.attach,
        "{} is not up, and --attach wants it to be",
        name.display()
    );
    Ok(running)
}
