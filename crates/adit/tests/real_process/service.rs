//! Servers of components.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use adit_flow::file::{Dialect, Files, Source};
use adit_flow::model::component::{Kind, Manage};
use adit_flow::process::{Scripts, Service, ServiceError, State, Unready};
use adit_testkit::port::Port;
use adit_testkit::{require, wait};
use adit_text::Problems;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Folder, children, is_alive, the_keeper, wait_for_end};

/// What `manage:` says, as a file has it.
fn manage(lines: &str) -> Manage {
    let text = format!(
        "component:\n  type: http-server\n  port: 1\n  path: /\n  manage:\n{lines}\nworkflow: {{title: t}}\n"
    );
    let source = Source {
        name: "model-compose.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut problems = Problems::new();
    let files = Files::parse(
        &[source],
        &adit_flow::file::Environment::default(),
        &mut problems,
    );
    let compose = files.and_then(|files| files.compose(&mut problems));
    let compose = compose.unwrap_or_else(|| panic!("{problems}"));
    let Kind::HttpServer(server) = &compose.components[0].kind else {
        panic!("no server");
    };
    server.manage.clone()
}

/// A service that runs.
struct Running {
    service: Arc<Service>,
    stop: CancellationToken,
    run: JoinSet<Result<(), ServiceError>>,
}

impl Running {
    fn new(folder: &Folder, manage: &Manage, port: u16) -> Self {
        let port_text = port.to_string();
        let environment = children(&[("SERVER_PORT", &port_text)]);
        let keeper = the_keeper();
        let service = Service::new(&keeper, "helper", manage, port, folder.path(), &environment);
        let (service, stop, mut run) =
            (Arc::new(service), CancellationToken::new(), JoinSet::new());
        let (running, until) = (Arc::clone(&service), stop.clone());
        run.spawn(async move { running.run(&until).await });
        Self { service, stop, run }
    }

    async fn ready(&self) -> Result<(), Unready> {
        self.service.ready(wait::DEADLINE).await
    }

    async fn stop(mut self) -> Result<(), ServiceError> {
        self.stop.cancel();
        self.run.join_next().await.unwrap().unwrap()
    }

    async fn fail(mut self) -> ServiceError {
        let ended = tokio::time::timeout(wait::DEADLINE, self.run.join_next()).await;
        ended.unwrap().unwrap().unwrap().unwrap_err()
    }
}

async fn until(states: &mut watch::Receiver<State>, wanted: impl Fn(&State) -> bool) -> State {
    let state = tokio::time::timeout(wait::DEADLINE, states.wait_for(|state| wanted(state)));
    state.await.expect("a state").unwrap().clone()
}

/// Listens at its port with a worker that holds it, as a reloading server does, tells its number, and ends when
/// it is told to.
const SERVER: &str = "\
import os, socket, subprocess, sys
server = socket.create_server(('127.0.0.1', int(os.environ['SERVER_PORT'])))
worker = subprocess.Popen(['sleep', '1000'], pass_fds=[server.fileno()], start_new_session=True)
open('worker.new', 'w').write(str(worker.pid) + '\\n')
os.rename('worker.new', 'worker')
print('listening', flush=True)
while True:
    if server.accept()[0].recv(1) == b'x':
        sys.exit(3)
";

const START: &str = "    start: [python3, server.py]";

/// A folder with a server.
fn with_a_server() -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path().join("server.py"), SERVER).unwrap();
    folder
}

#[tokio::test]
async fn a_server_is_set_up_started_and_stopped_with_whoever_holds_its_port() {
    require!("python3");
    let folder = with_a_server();
    let manage = manage(&format!(
        "    install: [sh, -c, 'echo install >> steps']\n    build: [[sh, -c, 'echo build >> steps']]\n{START}"
    ));
    let held = Port::reserve();
    let port = held.number();
    let running = Running::new(&folder, &manage, port);
    running.ready().await.unwrap();
    assert_eq!(folder.read("steps"), "install\nbuild\n");
    let worker = folder.pid("worker");
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    let service = Arc::clone(&running.service);
    running.stop().await.unwrap();
    assert!(!is_alive(worker));
    TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(*service.state().borrow(), State::Stopped);
    let error = service.ready(wait::DEADLINE).await.unwrap_err();
    assert_eq!(error.to_string(), "the server of helper was stopped");
}

#[tokio::test]
async fn a_server_that_has_ended_is_started_again_and_who_asks_meanwhile_waits() {
    require!("python3");
    let folder = with_a_server();
    let held = Port::reserve();
    let port = held.number();
    let running = Running::new(&folder, &manage(START), port);
    running.ready().await.unwrap();
    let (worker, mut states) = (folder.pid("worker"), running.service.state());
    std::fs::remove_file(folder.path().join("worker")).unwrap();
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut visitor, b"x").unwrap();
    let is_again = |state: &State| matches!(state, State::Restarting { .. });
    let State::Restarting { why } = until(&mut states, is_again).await else {
        panic!("it is not started again");
    };
    assert!(
        why.ends_with(" has ended (exit code 3); its last lines:\n  listening"),
        "{why}"
    );
    let late = running.service.ready(Duration::ZERO).await.unwrap_err();
    assert!(matches!(late, Unready::Late { .. }), "{late}");
    let mut asking = JoinSet::new();
    for _ in 0..3 {
        let service = Arc::clone(&running.service);
        asking.spawn(async move { service.ready(wait::DEADLINE).await });
    }
    while let Some(ready) = asking.join_next().await {
        ready.unwrap().unwrap();
    }
    assert_ne!(folder.pid("worker"), worker);
    wait_for_end(worker);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_policy_of_never_leaves_a_server_ended() {
    require!("python3");
    let folder = with_a_server();
    let held = Port::reserve();
    let port = held.number();
    let running = Running::new(
        &folder,
        &manage(&format!("    restart: 'no'\n{START}")),
        port,
    );
    running.ready().await.unwrap();
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut visitor, b"x").unwrap();
    let service = Arc::clone(&running.service);
    let error = running.fail().await;
    assert!(
        matches!(error, ServiceError::Ended { exit, .. } if exit.code == 3),
        "{error}"
    );
    let error = service.ready(wait::DEADLINE).await.unwrap_err();
    assert!(matches!(error, Unready::Failed { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_ends_before_it_listens_fails_at_once_with_its_last_lines() {
    let folder = Folder::new();
    let manage = manage(
        "    start: [sh, -c, 'for i in $(seq 30); do echo line $i; done; printf \"\\033[2Jno module\" >&2; exit 4']",
    );
    let port = Port::reserve();
    let running = Running::new(&folder, &manage, port.number());
    let mut states = running.service.state();
    let error = running.fail().await;
    let ServiceError::EndedEarly { exit, last, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(exit.code, 4);
    assert!(
        last.contains("\n  line 30") && last.contains("\n  \\u{1b}[2Jno module"),
        "{last}"
    );
    assert_eq!(last.lines().count(), 21, "{last}");
    let state = until(&mut states, |state| matches!(state, State::Failed { .. })).await;
    assert_eq!(
        state,
        State::Failed {
            why: error.to_string()
        }
    );
}

#[tokio::test]
async fn a_missing_program_fails_at_once_with_the_reason() {
    let folder = Folder::new();
    let port = Port::reserve();
    let manage = manage("    start: [uvicorn-that-is-not-here, app]");
    let running = Running::new(&folder, &manage, port.number());
    let unready = running.ready().await.unwrap_err();
    let told = "the server of helper has failed: uvicorn-that-is-not-here: not found in PATH";
    assert_eq!(unready.to_string(), told);
    assert!(matches!(running.fail().await, ServiceError::Spawn { .. }));
}

#[tokio::test]
async fn a_port_that_somebody_has_is_told_before_anything_is_started() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let running = Running::new(&folder, &manage("    start: [touch, started]"), port);
    let error = running.fail().await;
    assert_eq!(
        error.to_string(),
        format!("port {port} is in use by another program")
    );
    assert!(!folder.path().join("started").exists());
}

#[tokio::test]
async fn a_script_that_fails_is_named_and_nothing_is_started() {
    let folder = Folder::new();
    let manage = manage(
        "    build: [[sh, -c, 'echo no compiler; exit 2']]\n    start: [touch, started]\n    clean: [touch, cleaned]",
    );
    let port = Port::reserve();
    let running = Running::new(&folder, &manage, port.number());
    let error = running.fail().await;
    let told = "the build script has failed: sh -c echo no compiler; exit 2 (exit code 2); its last lines:\n  no compiler";
    assert_eq!(error.to_string(), told);
    assert!(!folder.path().join("started").exists());
    let scripts = Scripts::new(
        &the_keeper(),
        "helper",
        &manage,
        folder.path(),
        &children(&[]),
    );
    scripts.clean(&CancellationToken::new()).await.unwrap();
    assert!(folder.path().join("cleaned").exists());
}

#[tokio::test]
async fn a_server_that_does_not_listen_in_time_is_stopped() {
    let folder = Folder::new();
    let manage = manage(
        "    ready_timeout: 300ms\n    start: [sh, -c, 'echo $$ > own.new; mv own.new own; exec sleep 1000']",
    );
    let held = Port::reserve();
    let port = held.number();
    let error = Running::new(&folder, &manage, port).fail().await;
    let told = format!("nothing listens at port {port} after 300ms, without a word");
    assert_eq!(error.to_string(), told);
    assert!(!is_alive(folder.pid("own")));
}

#[tokio::test]
async fn a_server_of_somebody_else_is_waited_for() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let running = Running::new(&folder, &Manage::default(), port);
    running.ready().await.unwrap();
    running.stop().await.unwrap();
    drop(other);
    let manage = Manage {
        ready_timeout: Duration::from_millis(50),
        ..Manage::default()
    };
    let error = Running::new(&folder, &manage, port).fail().await;
    assert!(matches!(error, ServiceError::Late { .. }), "{error}");
}

#[tokio::test]
async fn a_stop_while_it_starts_ends_all() {
    let folder = Folder::new();
    let manage =
        manage("    start: [sh, -c, 'echo $$ > own.new; mv own.new own; exec sleep 1000']");
    let port = Port::reserve();
    let running = Running::new(&folder, &manage, port.number());
    let path = folder.path().join("own");
    wait::until_async("it runs", || async {
        tokio::fs::metadata(&path)
            .await
            .map_err(|error| error.kind())
    })
    .await;
    running.stop().await.unwrap();
    assert!(!is_alive(folder.pid("own")));
}

#[tokio::test]
async fn a_flood_of_output_without_a_line_is_read_and_costs_no_memory() {
    let folder = Folder::new();
    // It says that it is done only if somebody has read all of it.
    let manage = manage(
        "    install: [sh, -c, 'head -c 100000000 /dev/zero; echo; head -c 100000000 /dev/zero >&2; echo > done']\n    start: [missing-program]",
    );
    let before = resident();
    let port = Port::reserve();
    let error = Running::new(&folder, &manage, port.number()).fail().await;
    assert!(matches!(error, ServiceError::Spawn { .. }), "{error}");
    assert!(folder.path().join("done").exists());
    let grown = resident().saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB");
}

/// In KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
