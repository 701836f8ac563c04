//! What who calls `adit run` by hand or from a script can count on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use adit_testkit::port::Port;
use adit_testkit::{require, wait};
use rustix::process::{Signal, kill_process};

use crate::lab::Lab;

fn lab() -> (Lab, Port) {
    let held = Port::reserve();
    let port = held.number();
    let lab = Lab::new(&format!(
        "controller: {{type: http-server, port: {port}}}
components:
  - {{id: note, type: shell, action: {{command: [sh, -c, 'echo begun > begun; echo done'], output: '${{result.stdout}}'}}}}
  - {{id: wait, type: shell, action: {{command: [sh, -c, 'echo begun > begun; exec sleep 60']}}}}
  - {{id: deaf, type: shell, action: {{command: [deaf]}}}}
  - {{id: fail, type: http-client, endpoint: 'http://127.0.0.1:1/'}}
  - {{id: colours, type: shell, action: {{command: [printf, 'a\\tb\\n\\033[31mred\\302\\233'], output: '${{result.stdout}}'}}}}
  - {{id: lines, type: shell, action: {{command: [printf, 'a\\tb\\n\\033[31mred\\302\\233'], streaming: true}}}}
workflows:
  - {{id: note, component: note}}
  - {{id: wait, component: wait}}
  - {{id: deaf, component: deaf}}
  - {{id: fail, component: fail}}
  - {{id: colours, component: colours}}
  - {{id: lines, component: lines}}
"
    ));
    lab.program(
        "deaf",
        "trap '' TERM; echo $$ > begun; while :; do sleep 0.05; done",
    );
    (lab, held)
}

fn begun(lab: &Lab) -> String {
    let text = wait::until("the command begun", || {
        let text = fs::read_to_string(lab.path("begun")).unwrap_or_default();
        if text.ends_with('\n') {
            Ok(text)
        } else {
            Err(text)
        }
    });
    fs::remove_file(lab.path("begun")).unwrap();
    text
}

#[test]
fn a_result_that_could_not_be_left_is_an_error_before_anything_runs() {
    let (lab, port) = lab();
    fs::create_dir(lab.path("folder")).unwrap();
    let up = lab.up();
    for place in ["--local", "--attach"] {
        for file in ["missing/out", "folder"] {
            let run = lab.run(&["run", place, "note", "-o", file]);
            assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
            let words = format!("adit: cannot write {file}: ");
            assert!(run.stderr.starts_with(&words), "{run:?}");
            assert!(!lab.path("begun").exists(), "{place} {file}");
        }
    }
    lab.down(up, &[port]);
}

#[test]
fn a_run_that_fails_leaves_the_result_of_the_one_before() {
    let (lab, _) = lab();
    let run = lab.run(&["run", "note", "-o", "folder/out"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    fs::create_dir(lab.path("folder")).unwrap();
    let run = lab.run(&["run", "note", "-o", "folder/out"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    fs::set_permissions(lab.path("folder/out"), fs::Permissions::from_mode(0o640)).unwrap();
    let run = lab.run(&["run", "fail", "-o", "folder/out"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let names = fs::read_dir(lab.path("folder")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["out"]);
    assert_eq!(
        fs::read_to_string(lab.path("folder/out")).unwrap(),
        "done\n"
    );
}

#[test]
fn a_signal_that_nobody_has_typed_is_told_of_in_a_line_and_in_the_exit_code() {
    let (lab, port) = lab();
    let up = lab.up();
    for place in ["--local", "--attach"] {
        for (signal, code, said) in [
            (Signal::TERM, 143, "SIGTERM"),
            (Signal::HUP, 129, "SIGHUP"),
            (Signal::INT, 130, ""),
        ] {
            let mut run = lab.start(&["run", place, "wait"]);
            begun(&lab);
            // To adit alone, as kill(1) sends it.
            kill_process(run.id(), signal).unwrap();
            assert_eq!(run.wait(wait::DEADLINE).code(), Some(code), "{place}");
            let line = format!("adit: the run of workflow 'wait' was stopped by {said}\n");
            let line = if said.is_empty() { "" } else { &line };
            assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("", line));
        }
    }
    lab.down(up, &[port]);
}

/// Security rule G108: a result may be a stranger's text.
#[test]
fn a_terminal_is_shown_what_it_would_obey_and_a_pipe_gets_it() {
    require!("script");
    let (lab, _) = lab();
    for workflow in ["colours", "lines"] {
        let run = lab.run(&["run", workflow]);
        assert_eq!(run.stdout, "a\tb\n\x1b[31mred\u{9b}\n", "{run:?}");
        let command = lab.command(&["run", workflow]);
        let adit = command.get_program().to_str().unwrap();
        // Only standard output is the terminal: progress is shown on standard error.
        let line = format!("'{adit}' run {workflow} 2> said");
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]);
        script.current_dir(command.get_current_dir().unwrap());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let output = script.output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        // The terminal itself writes its line ends so.
        let shown = shown.replace("\r\n", "\n");
        assert_eq!(shown, "a\tb\n\\u{1b}[31mred\\u{9b}\n", "{workflow}");
    }
}

#[test]
fn an_up_is_found_by_one_that_does_not_know_its_runtime_directory() {
    let (lab, port) = lab();
    let up = lab.up();
    let other = |arguments: &[&str]| {
        let mut command = lab.command(arguments);
        command.env_remove("XDG_RUNTIME_DIR").output().unwrap()
    };
    let run = other(&["run", "--attach", "note"]);
    assert_eq!(run.stdout, b"done\n", "{run:?}");
    begun(&lab);
    let again = other(&["up"]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("is up already"), "{said}");
    let down = other(&["down"]);
    assert_eq!(down.status.code(), Some(0), "{down:?}");
    let mut up = up;
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
    lab.is_clean(&[port]);
    let left = fs::read_dir(lab.path(".local/state/adit/run")).unwrap();
    assert_eq!(left.count(), 0);
}

/// The keeper waits for nobody: after a kill of adit a program has two seconds to end.
#[test]
fn what_does_not_heed_sigterm_outlives_a_killed_adit_by_seconds_only() {
    let (lab, port) = lab();
    let mut up = lab.up();
    let mut run = lab.start(&["run", "--attach", "deaf"]);
    begun(&lab);
    // It alone: what it has started is not touched.
    kill_process(up.id(), Signal::KILL).unwrap();
    up.wait(wait::DEADLINE);
    // The two seconds, and what a busy machine adds; the ten of an end in order would be too many.
    let within = Duration::from_secs(8);
    wait::until_within(within, "nothing left of it", || match lab.processes() {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    run.wait(wait::DEADLINE);
    let up = lab.up();
    lab.down(up, &[port]);
}

#[test]
fn warnings_and_errors_have_one_form_in_every_command() {
    let (lab, _) = lab();
    let text = "component: {type: shell, command: [echo]}
workflow: {job: {}, bogus: 1}
tunnels: {web: {host: gw, ssh_config: none, key: missing, forwards: [{remote: '0:a:1'}]}}
";
    lab.write("model-compose.yml", text);
    for command in ["validate", "check"] {
        let said = lab.run(&[command]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let mut heads = said
            .stderr
            .lines()
            .filter(|line| !line.starts_with("help: "));
        let first = heads.next().unwrap();
        assert!(
            first.starts_with("warning: model-compose.yml:2:"),
            "{said:?}"
        );
        let second = heads.next().unwrap();
        assert!(second.starts_with("warning: tunnel web: "), "{said:?}");
        assert_eq!(heads.next(), None, "{said:?}");
    }
    lab.write("model-compose.yml", &format!("{text}components: 3\n"));
    let mut said: Vec<String> = Vec::new();
    for command in ["validate", "check", "up", "run"] {
        let one = lab.run(&[command]);
        assert_eq!((one.code, one.stdout.as_str()), (Some(1), ""), "{one:?}");
        said.push(one.stderr);
    }
    let head = "adit: the configuration has errors:\n";
    assert!(said.iter().all(|one| one.starts_with(head)), "{said:?}");
    assert!(
        said[0].contains("\nwarning: model-compose.yml:2:"),
        "{said:?}"
    );
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}
