//! Programs that are run to their end.

use std::time::Duration;

use adit_flow::file::{Dialect, Environment, Files, Source};
use adit_flow::process::limits::{LINE_BYTES, OUTPUT_BYTES};
use adit_flow::process::{ChildEnvironment, Lines, RunError, Stream, run};
use adit_flow::shell;
use adit_testkit::wait;
use adit_text::Problems;
use tokio_util::sync::CancellationToken;

use crate::{Folder, children, is_alive, the_keeper, wait_for_end};

#[tokio::test]
async fn both_outputs_are_read_whichever_is_full_first() {
    let folder = Folder::new();
    let script = "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; echo end; exit 3";
    let output = run(&the_keeper(), &folder.script(script), None, &never())
        .await
        .unwrap();
    assert_eq!(
        (output.stderr.len(), output.stdout.len()),
        (3_000_000, 3_000_004)
    );
    assert_eq!(output.exit.code, 3);
}

#[tokio::test]
async fn a_program_that_says_too_much_is_killed() {
    let folder = Folder::new();
    let script = "echo $$ > own.new; mv own.new own; exec cat /dev/zero";
    let error = run(&the_keeper(), &folder.script(script), None, &never())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::TooLong { .. }), "{error}");
    assert!(
        error.to_string().contains(&OUTPUT_BYTES.to_string()),
        "{error}"
    );
    assert!(!is_alive(folder.pid("own")));
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let folder = Folder::new();
    let script =
        "trap : TERM; sleep 1000 & echo $! > leaf.new; mv leaf.new leaf; while :; do wait; done";
    let program = folder.script(script);
    let within = Some(Duration::from_millis(300));
    let error = run(&the_keeper(), &program, within, &never())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Command timed out: sh -c trap"),
        "{error}"
    );
    assert!(!is_alive(folder.pid("leaf")));
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_ends() {
    let folder = Folder::new();
    let program = folder.script("echo $$ > own.new; mv own.new own; exec sleep 1000");
    let keeper = the_keeper();
    let never = never();
    let own = tokio::select! {
        _ = run(&keeper, &program, None, &never) => panic!("it sleeps"),
        own = wait::until_async("it runs", || async {
            let path = folder.path().join("own");
            tokio::fs::read_to_string(path).await.map_err(|error| error.kind())
        }) => own,
    };
    wait_for_end(rustix::process::Pid::from_raw(own.trim().parse().unwrap()).unwrap());
}

#[tokio::test]
async fn a_run_that_is_stopped_has_ended_with_its_children() {
    let folder = Folder::new();
    let script = "sleep 1000 & echo $! > leaf.new; mv leaf.new leaf; wait";
    let (program, stop) = (folder.script(script), CancellationToken::new());
    let stopping = async {
        wait::until_async("it runs", || async {
            let path = folder.path().join("leaf");
            tokio::fs::metadata(path)
                .await
                .map_err(|error| error.kind())
        })
        .await;
        stop.cancel();
    };
    let keeper = the_keeper();
    let (ended, ()) = tokio::join!(run(&keeper, &program, None, &stop), stopping);
    assert!(matches!(ended, Err(RunError::Stopped { .. })), "{ended:?}");
    assert!(!is_alive(folder.pid("leaf")));
}

#[tokio::test]
async fn lines_come_as_they_are_said() {
    let folder = Folder::new();
    // It goes on only when somebody has heard the first line.
    let script = "echo one; while ! test -e heard; do sleep 0.01; done; echo two >&2; exit 5";
    let mut lines = Lines::start(&the_keeper(), &folder.script(script), None).unwrap();
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!((line.stream, line.text.as_str()), (Stream::Stdout, "one"));
    std::fs::write(folder.path().join("heard"), "").unwrap();
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!((line.stream, line.text.as_str()), (Stream::Stderr, "two"));
    assert_eq!(lines.next().await.unwrap(), None);
    assert_eq!(lines.exit().await.unwrap().code, 5);
}

#[tokio::test]
async fn a_flood_without_a_line_comes_in_pieces_and_at_the_readers_pace() {
    let folder = Folder::new();
    let script = "echo $$ > own.new; mv own.new own; exec cat /dev/zero";
    let mut lines = Lines::start(&the_keeper(), &folder.script(script), None).unwrap();
    for _ in 0..20 {
        let line = lines.next().await.unwrap().unwrap();
        assert_eq!(line.text.len(), LINE_BYTES);
    }
    let own = folder.pid("own");
    wait::until("it waits to be read", || {
        let wchan = std::fs::read_to_string(format!("/proc/{own}/stat")).unwrap();
        if wchan.contains(") S ") {
            Ok(())
        } else {
            Err(wchan)
        }
    });
    drop(lines);
    wait_for_end(own);
}

fn command(folder: &Folder, commands: &[&[&str]]) -> shell::Command {
    let argv = |one: &&[&str]| one.iter().map(|word| (*word).to_owned()).collect();
    shell::Command {
        commands: commands.iter().map(argv).collect(),
        dir: folder.path().to_owned(),
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
        timeout: Some(wait::DEADLINE),
    }
}

#[tokio::test]
async fn a_shell_action_gives_what_its_program_says_and_arguments_stay_apart() {
    let folder = Folder::new();
    let argv: &[&str] = &[
        "sh",
        "-c",
        "echo \"$GREETING $1\"; pwd >&2; exit 3",
        "_",
        "a; echo b",
    ];
    let action = command(&folder, &[argv]);
    let value = action
        .run(&the_keeper(), &children(&[]), &never())
        .await
        .unwrap();
    let here = folder.path().display();
    let wanted = format!(r#"{{"stdout":"hello a; echo b","stderr":"{here}","exit_code":3}}"#);
    assert_eq!(value.to_json().unwrap(), wanted);
}

#[tokio::test]
async fn several_programs_run_one_after_the_other_whatever_their_exit_codes() {
    let folder = Folder::new();
    let first: &[&str] = &["sh", "-c", "echo x > file; exit 1"];
    let action = command(&folder, &[first, &["cat", "file"]]);
    let value = action
        .run(&the_keeper(), &children(&[]), &never())
        .await
        .unwrap();
    let wanted =
        r#"[{"stdout":"","stderr":"","exit_code":1},{"stdout":"x","stderr":"","exit_code":0}]"#;
    assert_eq!(value.to_json().unwrap(), wanted);
}

#[tokio::test]
async fn a_streamed_action_gives_the_lines_of_all_its_programs() {
    let folder = Folder::new();
    let action = command(
        &folder,
        &[&["printf", "a\nb"], &["sh", "-c", "echo no >&2; echo c"]],
    );
    let mut streamed = action.stream(&the_keeper(), &children(&[]), "shell");
    let mut lines = Vec::new();
    while let Some(line) = streamed.next().await.unwrap() {
        lines.push(line);
    }
    assert_eq!(lines, ["a", "b", "c"]);
    let missing = command(
        &folder,
        &[&["true"], &["no-such-program"], &["echo", "late"]],
    );
    let mut streamed = missing.stream(&the_keeper(), &children(&[]), "shell");
    let error = streamed.next().await.unwrap_err();
    assert!(matches!(error, RunError::Spawn(_)), "{error}");
    assert_eq!(streamed.next().await.unwrap(), None);
}

/// A gateway, whose password no program has to know, and a component that knows a token.
const FILE: &str = "
gateway:
  type: ssh-tunnel
  port: '9834:8090'
  connection:
    host: gw.example
    auth: {type: password, username: u, password: '${env.SSH_PASSWORD}'}
components:
  - {id: shell, type: shell, env: {TOKEN: '${env.TOKEN}'}, command: [env]}
workflow: {title: t, component: shell}
";

#[tokio::test]
async fn a_child_has_neither_our_variables_nor_secrets_of_gateways() {
    let folder = Folder::new();
    let mut all = Environment::default();
    let entries = [
        "ADIT_PASSPHRASE=s3cr3t",
        "SSH_PASSWORD=s3cr3t",
        "TOKEN=t0k3n",
    ];
    for entry in entries {
        all.say(entry).unwrap();
    }
    let source = Source {
        name: "model-compose.yml",
        bytes: FILE.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &all, &mut problems);
    let compose = files.and_then(|files| files.compose(&mut problems));
    let compose = compose.unwrap_or_else(|| panic!("{problems}"));
    let path = [("PATH".into(), crate::PATH.into())];
    let environment = ChildEnvironment::new(path, &all, &compose.private_variables);
    let action = shell::Command {
        env: Vec::new(),
        ..command(&folder, &[&["env"]])
    };
    let value = action
        .run(&the_keeper(), &environment, &never())
        .await
        .unwrap();
    let json = value.to_json().unwrap();
    let wanted = format!(
        r#"{{"stdout":"PATH={}\nTOKEN=t0k3n","stderr":"","exit_code":0}}"#,
        crate::PATH
    );
    assert_eq!(json, wanted);
}

fn never() -> CancellationToken {
    CancellationToken::new()
}
