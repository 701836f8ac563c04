//! Runs of programs that start others, and are stopped: none of them is left, whoever stops the run.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::lab::Lab;

/// One that waits, one beside it, and one that has left both, their group and their session; each sleeps for longer
/// than any test.
const TREE: &str = "setsid sh -c 'sleep 1000 & echo $$ $! > away; exec sleep 1000' & \
                    sleep 1000 & echo $$ $! > here; sleep 1000";

fn lab() -> (Lab, Port) {
    let port = Port::reserve();
    let lab = Lab::new(&format!(
        "controller: {{type: http-server, port: {}, base_path: /api}}
components:
  - {{id: tree, type: shell, command: [tree]}}
  - {{id: told, type: shell, action: {{command: [tree], streaming: true}}}}
workflows:
  - {{id: tree, component: tree}}
  - {{id: told, component: told}}
",
        port.number()
    ));
    lab.program("tree", TREE);
    (lab, port)
}

/// Waits until all of a tree runs, and forgets what it has written down.
#[track_caller]
fn planted(lab: &Lab) {
    wait::until("the whole tree", || {
        let read = |name: &str| fs::read_to_string(lab.path(name)).unwrap_or_default();
        let all = read("here") + " " + &read("away");
        let tree = all.split_whitespace().count();
        if tree == 4 { Ok(()) } else { Err(all) }
    });
    for name in ["here", "away"] {
        fs::remove_file(lab.path(name)).unwrap();
    }
    assert!(lab.processes().len() > 4, "{:?}", lab.processes());
}

/// A request to the API: its status and what it says.
fn ask(port: &Port, path: &str, body: &Value) -> (u16, Value) {
    let number = port.number();
    let mut stream = TcpStream::connect(("127.0.0.1", number)).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "POST /api/{path} HTTP/1.1\r\nhost: localhost:{number}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn an_interrupted_run_leaves_none_of_its_programs() {
    let (lab, port) = lab();
    // By itself, a run says so to the programs that it keeps.
    for signal in [Signal::INT, Signal::TERM] {
        let mut run = lab.start(&["run", "--local", "tree"]);
        planted(&lab);
        kill_process(run.id(), signal).unwrap();
        let code = run.wait(wait::DEADLINE).code();
        assert_eq!(code, Some(if signal == Signal::INT { 130 } else { 143 }));
        lab.wait_for_processes(0);
    }
    // In an `adit up` it is stopped by what goes over the control socket.
    let up = lab.up();
    for signal in [Signal::INT, Signal::TERM] {
        let mut run = lab.start(&["run", "--attach", "tree"]);
        planted(&lab);
        kill_process(run.id(), signal).unwrap();
        run.wait(wait::DEADLINE);
        lab.wait_for_processes(1);
        assert_eq!(run.stdout(), "");
    }
    let log = up.stderr();
    assert_eq!(log.matches("was cancelled").count(), 2, "{log}");
    lab.down(up, &[port]);
}

#[test]
fn a_run_that_the_api_cancels_leaves_none_of_its_programs() {
    let (lab, port) = lab();
    let up = lab.up();
    let run = json!({"workflow_id": "tree", "input": {}, "wait_for_completion": false});
    for query in ["?wait_for_completion=true", ""] {
        let (status, task) = ask(&port, "workflows/runs", &run);
        assert_eq!(status, 200, "{task}");
        planted(&lab);
        let id = task["task_id"].as_str().unwrap();
        let (status, task) = ask(&port, &format!("tasks/{id}/cancel{query}"), &json!({}));
        assert_eq!(status, 200, "{task}");
        if !query.is_empty() {
            assert_eq!(task["status"], "cancelled", "{task}");
        }
        lab.wait_for_processes(1);
    }
    lab.down(up, &[port]);
}

/// Who hangs up on a stream wants no more of it, however that comes about.
#[test]
fn a_stream_that_nobody_reads_any_more_leaves_none_of_its_programs() {
    let (lab, port) = lab();
    let up = lab.up();
    let mut run = lab.start(&["run", "--attach", "told"]);
    planted(&lab);
    kill_process(run.id(), Signal::KILL).unwrap();
    run.wait(wait::DEADLINE);
    lab.wait_for_processes(1);
    let number = port.number();
    let mut stream = TcpStream::connect(("127.0.0.1", number)).unwrap();
    let body = json!({"workflow_id": "told", "output_only": true}).to_string();
    write!(
        stream,
        "POST /api/workflows/runs HTTP/1.1\r\nhost: localhost:{number}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    planted(&lab);
    drop(stream);
    lab.wait_for_processes(1);
    lab.down(up, &[port]);
}

/// However everything ends, a run that goes on at that time does, too.
#[test]
fn a_run_that_goes_on_ends_with_the_adit_up() {
    for signal in [Signal::INT, Signal::KILL] {
        let (lab, port) = lab();
        let mut up: Process = lab.up();
        let mut run = lab.start(&["run", "--attach", "tree"]);
        planted(&lab);
        // The second one does not wait for the run.
        kill_process(up.id(), signal).unwrap();
        if signal == Signal::INT {
            up.wait_for_text("interrupt again");
            kill_process(up.id(), signal).unwrap();
        }
        up.wait(wait::DEADLINE);
        assert_eq!(run.wait(wait::DEADLINE).code(), Some(1), "{}", run.stderr());
        lab.wait_for_processes(0);
        drop(port);
    }
}
