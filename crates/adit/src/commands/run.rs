//! `adit run`: a workflow, and what it gives.

use std::path::PathBuf;
use std::process::ExitCode;

use adit_flow::model::find::Missing;
use adit_flow::model::{Compose, DEFAULT};
use anyhow::Context as _;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use self::file::Output;
use self::talk::{End, Persons};
use crate::cli::RunArguments;
use crate::compose::service::{Scope, Service};
use crate::compose::{self, Detail, Loaded};
use crate::config::{self, Surroundings};
use crate::control::client;
use crate::control::conversation::Conversation;
use crate::control::directory::{Directories, Running};
use crate::control::server;
use crate::log::{self, Console};
use crate::progress::Progress;
use crate::signal::Signal;
use crate::terminal::Restore;
use crate::tunnels::Board;

mod file;
mod input;
mod printer;
mod result;
mod sink;
mod talk;

/// Runs a workflow in the `up` of its file, or here.
pub(crate) fn run(arguments: &RunArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    let input = match input::read(&arguments.input)? {
        Ok(input) => input,
        Err(refused) => {
            log::fail(&anyhow::anyhow!("{refused}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
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
    let mut file = match &arguments.output {
        Some(name) => Some(Output::create(name)?),
        None => None,
    };
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
        let Some(running) = up else {
            let persons = persons(Persons::OnlyHere);
            let follow = |talk| talk::follow(talk, progress, persons, &mut file);
            return here((&loaded, &surroundings), workflow, &input, follow).await;
        };
        let socket = client::connect(&running.socket)?;
        socket.set_nonblocking(true)?;
        let socket = UnixStream::from_std(socket)?;
        let asked = Conversation::begin(socket, workflow, &input, loaded.fingerprint.clone());
        talk::follow(asked.await?, progress, persons(Persons::Others), &mut file).await
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    match end? {
        End::Given(outcome) => {
            result::give(&outcome, file)?;
            Ok(ExitCode::SUCCESS)
        }
        End::Written => Ok(ExitCode::SUCCESS),
        End::Interrupted(by) => {
            // Who has pressed Ctrl-C knows.
            if by != Signal::Interrupt {
                log::fail(&stopped(&loaded.compose, workflow, by));
            }
            Ok(by.code())
        }
    }
}

/// What a signal has ended, in words.
fn stopped(compose: &Compose, workflow: &str, by: Signal) -> anyhow::Error {
    let id = compose.workflow(workflow).map(|found| found.id.as_str());
    let id = id.unwrap_or(workflow);
    anyhow::anyhow!("the run of workflow '{id}' was stopped by {by}")
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
