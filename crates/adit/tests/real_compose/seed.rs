//! The document that such files come from, line by line.

use std::fs;

use adit_testkit::{require, wait};
use rustix::process::Signal;

use crate::lab::{Seed, assert_seed_result, free_port, is_bound};
use crate::stand_in::post;

const INPUT: &str = r#"{"data": "hello world"}"#;

#[test]
fn a_run_in_what_is_up_gives_what_the_document_says() {
    require!("sshd");
    let seed = Seed::new();
    let lab = &seed.lab;
    let up = lab.up();
    let log = up.stderr();
    for line in [
        format!("Establishing SSH tunnel to {}", seed.sshd.addr()),
        format!("[Listener] Listening on 0.0.0.0:{}", seed.listener),
    ] {
        assert!(log.contains(&line), "{line}: {log}");
    }
    // With the port that the server has really given.
    let (_, rest) = log.split_once("Remote port forwarding started: ").unwrap();
    let (public, _) = rest.split_once(" -> ").unwrap();
    assert!(!public.ends_with(":0"), "{log}");
    let run = lab.run(&["run", "--input", INPUT]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert_seed_result(&run.stdout, "hello world");
    // A test of the callback, as the document makes it: an id that nobody waits for.
    let body = r#"{"task_id": "test-123", "result": {"data": "test"}}"#;
    for address in [public, &format!("127.0.0.1:{}", seed.listener)] {
        let answer = post(&format!("http://{address}/callback"), body);
        assert_eq!(answer, (200, String::new()));
    }
    // And into a file, whole, with nothing on standard output.
    let run = lab.run(&["run", "--input", INPUT, "-o", "result.json"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert_seed_result(
        &fs::read_to_string(lab.path("result.json")).unwrap(),
        "hello world",
    );
    let status = lab.run(&["status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    for part in [
        "gateway ",
        "workflows: ready, runs 0",
        "listener",
        "component",
        "controller",
    ] {
        assert!(status.stdout.contains(part), "{part}: {status:?}");
    }
    lab.down(up, &seed.ports());
}

#[test]
fn a_run_alone_brings_up_what_it_needs_and_takes_it_down() {
    require!("sshd");
    let seed = Seed::new();
    let lab = &seed.lab;
    let run = lab.run(&["run", "--input", r#"{"data": "안녕"}"#]);
    assert_eq!(run.code, Some(0), "{run:?}");
    // The server's key was new, which is told; nothing else is.
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    assert!(run.stderr.contains("host was new"), "{run:?}");
    assert_seed_result(&run.stdout, "안녕");
    lab.is_clean(&seed.ports());
    assert_eq!(seed.sshd.connection_count(), 0);
}

#[test]
fn what_goes_to_the_background_is_ready_when_the_command_comes_back() {
    require!("sshd");
    let seed = Seed::new();
    let lab = &seed.lab;
    let up = lab.run(&["up", "-d"]);
    assert_eq!(up.code, Some(0), "{up:?}");
    let run = lab.run(&["run", "--attach", "-i", INPUT]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_seed_result(&run.stdout, "hello world");
    assert_eq!(lab.run(&["stop"]).code, Some(0));
    wait::until("nothing left of it", || {
        let ports = seed.ports().map(is_bound);
        if ports.contains(&true) {
            Err(ports)
        } else {
            Ok(())
        }
    });
}

#[test]
fn a_callback_comes_through_a_tunnel_that_was_cut_meanwhile() {
    require!("sshd");
    let mut seed = Seed::new();
    let up = seed.lab.up();
    let input = r#"{"data": "never"}"#;
    let mut run = seed.lab.start(&["-v", "run", "--input", input]);
    run.wait_for_text("Job 'job' started.");
    seed.sshd.close_port();
    seed.sshd.kill_connections();
    seed.sshd.open_port();
    let log = wait::until("the gateway up again", || {
        let log = up.stderr();
        if log.matches("Remote port forwarding started: ").count() > 1 {
            Ok(log)
        } else {
            Err(log)
        }
    });
    let started: Vec<&str> = log.split("Remote port forwarding started: ").collect();
    let public: Vec<&str> = started[1..]
        .iter()
        .map(|rest| rest.split(' ').next().unwrap())
        .collect();
    // It got the port back that the callback's sender was told.
    assert_eq!(public[0], public[1]);
    // The helper never calls for this input, so the test does, with the id of the run.
    let status = seed.lab.run(&["status", "--json"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    run.signal(Signal::INT);
    assert_eq!(run.wait(wait::DEADLINE).code(), Some(130));
    seed.lab.down(up, &seed.ports());
}

#[test]
fn a_port_that_somebody_has_is_told_at_once_and_nothing_stays() {
    require!("sshd");
    let seed = Seed::new();
    let held = std::net::TcpListener::bind(("0.0.0.0", seed.listener)).unwrap();
    for command in [&["up"][..], &["run", "--input", INPUT]] {
        let said = seed.lab.run(command);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
        let part = format!("{}: the port is in use", seed.listener);
        assert!(said.stderr.contains(&part), "{said:?}");
    }
    drop(held);
    seed.lab.is_clean(&seed.ports());
}

#[test]
fn a_helper_that_is_missing_is_told_within_seconds() {
    require!("sshd");
    let seed = Seed::new();
    fs::remove_file(seed.lab.path("bin/uvicorn")).unwrap();
    let up = seed.lab.run(&["up", "-d"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    assert!(up.stderr.contains("uvicorn"), "{up:?}");
    seed.lab.is_clean(&seed.ports());
}

/// Security rule G102: what answers at the controller's port is trusted by nobody.
#[test]
fn a_run_is_not_given_to_a_stranger_at_the_port_of_the_controller() {
    let port = free_port();
    let impostor = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let text = format!(
        "controller: {{type: http-server, port: {port}}}\n\
         component: {{type: shell, action: {{command: [echo, here], output: '${{result.stdout}}'}}}}\n\
         workflow: {{component: __default__}}\n"
    );
    let lab = crate::lab::Lab::new(&text);
    let run = lab.run(&["run"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "here\n"),
        "{run:?}"
    );
    impostor.set_nonblocking(true).unwrap();
    assert!(impostor.accept().is_err(), "it was asked");
}
