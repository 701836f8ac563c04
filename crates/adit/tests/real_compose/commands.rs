//! What commands say and give, without a tunnel.

use std::fs;
use std::net::TcpListener;

use adit_testkit::port::Port;
use adit_testkit::wait;
use rustix::process::Signal;

use crate::lab::Lab;

/// A file with a controller and workflows of commands.
fn shell(more: &str) -> (Lab, Port) {
    let port = Port::reserve();
    let text = format!(
        "controller: {{type: http-server, port: {}}}
components:
  - {{id: echo, type: shell, action: {{command: [echo, '${{input.text}}'], output: '${{result.stdout}}'}}}}
  - {{id: wait, type: shell, action: {{command: [sh, -c, 'echo begun > begun; exec sleep 60']}}}}
  - {{id: fail, type: http-client, endpoint: 'http://127.0.0.1:1/'}}
workflows:
  - {{id: say, default: true, component: echo}}
  - {{id: wait, component: wait}}
  - {{id: fail, component: fail}}
{more}",
        port.number()
    );
    (Lab::new(&text), port)
}

#[test]
fn a_result_is_text_or_json_wherever_it_comes_from() {
    let (lab, port) = shell("");
    lab.write("input.json", r#"{"text": "from a file"}"#);
    let up = lab.up();
    for place in ["--local", "--attach"] {
        let run = lab.run(&["run", place, "--input", r#"{"text": "안녕"}"#]);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(0), "안녕\n"),
            "{run:?}"
        );
        let run = lab.run(&["run", place, "say", "-i", "@input.json"]);
        assert_eq!(run.stdout, "from a file\n", "{run:?}");
        let run = lab.run(&["run", place, "-i", "@input.json", "-o", "result.txt"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
        let written = fs::read_to_string(lab.path("result.txt")).unwrap();
        assert_eq!(written, "from a file\n");
        let run = lab.run(&["run", place, "fail"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.starts_with("adit: "), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        let run = lab.run(&["run", place, "nope"]);
        assert_eq!(
            (run.code, run.stderr.as_str()),
            (Some(1), "adit: Workflow 'nope' not found.\n")
        );
    }
    let again = lab.run(&["up"]);
    assert_eq!(again.code, Some(1));
    assert!(
        again.stderr.contains("is up already, as process"),
        "{again:?}"
    );
    lab.down(up, &[port]);
}

#[test]
fn an_up_of_another_configuration_is_not_run_in() {
    let (lab, port) = shell("");
    let up = lab.up();
    let text = fs::read_to_string(lab.path("model-compose.yml")).unwrap();
    lab.write(
        "model-compose.yml",
        &format!("{text}\nlogger: {{type: console}}\n"),
    );
    let run = lab.run(&["run", "-i", r#"{"text": "x"}"#]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains("another configuration"), "{run:?}");
    let run = lab.run(&["run", "--local", "-i", r#"{"text": "x"}"#]);
    assert_eq!(run.stdout, "x\n", "{run:?}");
    lab.down(up, &[port]);
}

#[test]
fn an_interrupted_run_is_stopped_wherever_it_runs() {
    let (lab, port) = shell("");
    let up = lab.up();
    for (place, signal, code) in [
        ("--local", Signal::INT, 130),
        ("--attach", Signal::INT, 130),
        ("--attach", Signal::TERM, 143),
    ] {
        let mut run = lab.start(&["run", place, "wait"]);
        wait::until("the command begun", || fs::read(lab.path("begun")));
        fs::remove_file(lab.path("begun")).unwrap();
        run.signal(signal);
        assert_eq!(
            run.wait(wait::DEADLINE).code(),
            Some(code),
            "{}",
            run.stderr()
        );
        assert_eq!(run.stdout(), "");
    }
    // A client that is killed has said nothing, and its run goes on.
    let mut run = lab.start(&["run", "--attach", "wait"]);
    wait::until("the command begun", || fs::read(lab.path("begun")));
    run.kill();
    let log = up.stderr();
    assert_eq!(log.matches("was cancelled").count(), 2, "{log}");
    up.signal(Signal::INT);
    let mut up = up;
    // The run would last for a minute; a second one does not wait for it.
    up.wait_for_text("interrupt again");
    up.signal(Signal::INT);
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(130));
    lab.is_clean(&[port]);
}

#[test]
fn a_log_goes_where_the_file_wants_it() {
    let more = "loggers: [{type: file, path: logs/run.log}, {type: console, level: error}]\n";
    let (lab, port) = shell(more);
    let up = lab.start(&["up"]);
    let log = wait::until("the controller in the log", || {
        let log = fs::read_to_string(lab.path("logs/run.log")).unwrap_or_default();
        if log.contains("[Controller] Listening on") {
            Ok(log)
        } else {
            Err(log)
        }
    });
    assert!(log.contains(" INFO: "), "{log}");
    let run = lab.run(&["run", "--attach", "-i", r#"{"text": "x"}"#]);
    assert_eq!(run.stdout, "x\n", "{run:?}");
    let shown = up.stderr();
    lab.down(up, &[port]);
    assert_eq!(shown, "");
    let log = fs::read_to_string(lab.path("logs/run.log")).unwrap();
    assert!(log.contains("Workflow 'say' completed in "), "{log}");
}

#[test]
fn a_job_that_waits_for_a_person_needs_one_or_leave_to_go_on() {
    let more = "  - {id: ask, jobs: [{component: echo, input: {text: done}, interrupt: {before: {message: sure}}}]}\n";
    let (lab, _) = shell(more);
    let run = lab.run(&["run", "ask"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("--auto-resume"), "{run:?}");
    let run = lab.run(&["run", "ask", "--auto-resume"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "done\n"),
        "{run:?}"
    );
}

/// Security rule G102: what answers at the controller's port is trusted by nobody.
#[test]
fn a_run_is_not_given_to_a_stranger_at_the_port_of_the_controller() {
    let (lab, port) = shell("");
    let impostor = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    let run = lab.run(&["run", "-i", r#"{"text": "here"}"#]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "here\n"),
        "{run:?}"
    );
    impostor.set_nonblocking(true).unwrap();
    assert!(impostor.accept().is_err(), "it was asked");
}
