//! How components are set up and taken down, and the ways to end all of it.

use std::fs;

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::{Signal, kill_process};

use crate::lab::Lab;

/// A component whose scripts tell of themselves, and a server that starts a child.
fn lab() -> (Lab, [Port; 2]) {
    let ports: [Port; 2] = std::array::from_fn(|_| Port::reserve());
    let [controller, server] = ports.each_ref().map(Port::number);
    let text = format!(
        "controller: {{type: http-server, port: {controller}}}
components:
  - id: server
    type: http-server
    manage:
      scripts:
        install: [[note, install]]
        build: [note, build]
        start: [nested, '{server}']
        clean: [note, clean]
    port: {server}
    path: /
  - {{id: shell, type: shell, manage: {{scripts: {{install: [[note, shell]]}}}}, action: {{command: ['true']}}}}
workflow: {{component: server}}
"
    );
    let lab = Lab::new(&text);
    lab.program("note", "echo \"$1\" >> notes");
    lab.program("nested", "uvicorn app --port \"$1\" & wait");
    (lab, ports)
}

fn notes(lab: &Lab) -> Vec<String> {
    let notes = fs::read_to_string(lab.path("notes")).unwrap_or_default();
    let mut notes: Vec<String> = notes.lines().map(str::to_owned).collect();
    notes.sort();
    drop(fs::remove_file(lab.path("notes")));
    notes
}

#[test]
fn components_are_set_up_by_up_and_taken_down_by_down_alone() {
    let (lab, ports) = lab();
    let up = lab.up();
    assert_eq!(notes(&lab), ["build", "install", "shell"]);
    lab.down(up, &ports);
    assert_eq!(notes(&lab), ["clean"]);
    let mut up = lab.start(&["start"]);
    up.wait_for_text("[Controller] Listening on");
    assert_eq!(lab.run(&["stop"]).code, Some(0));
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
    lab.is_clean(&ports);
    assert_eq!(notes(&lab), [""; 0]);
    // None is up, and there is something to take down.
    assert_eq!(lab.run(&["down"]).code, Some(0));
    assert_eq!(notes(&lab), ["clean"]);
    assert_eq!(lab.run(&["stop"]).code, Some(0));
    assert_eq!(notes(&lab), [""; 0]);
}

#[test]
fn a_script_that_fails_is_told_with_what_it_said() {
    let (lab, ports) = lab();
    lab.program("note", "echo \"no room for $1\"; exit 3");
    let up = lab.run(&["up"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    assert!(up.stderr.contains("adit: component "), "{up:?}");
    assert!(up.stderr.contains("no room for "), "{up:?}");
    lab.is_clean(&ports);
    let down = lab.run(&["down"]);
    assert_eq!(down.code, Some(1), "{down:?}");
    assert!(down.stderr.contains("no room for clean"), "{down:?}");
}

#[test]
fn clean_scripts_that_a_signal_stops_are_told_of() {
    let (lab, ports) = lab();
    lab.program("note", "echo begun > begun; exec sleep 60");
    for (signal, code, said) in [
        (
            Signal::TERM,
            143,
            "adit: the clean scripts were stopped by SIGTERM\n",
        ),
        (Signal::INT, 130, ""),
    ] {
        let mut down = lab.start(&["down"]);
        wait::until("the script begun", || fs::read(lab.path("begun")));
        fs::remove_file(lab.path("begun")).unwrap();
        kill_process(down.id(), signal).unwrap();
        assert_eq!(down.wait(wait::DEADLINE).code(), Some(code), "{signal:?}");
        let stderr = down.stderr();
        assert!(stderr.starts_with("nothing is up here\n"), "{stderr}");
        let is_told = stderr.contains("were stopped by");
        assert!(
            stderr.ends_with(said) && is_told != said.is_empty(),
            "{stderr}"
        );
        lab.is_clean(&ports);
    }
}

#[test]
fn a_signal_ends_it_also_while_it_is_being_set_up() {
    let (lab, ports) = lab();
    let mut up = lab.up();
    up.signal(Signal::HUP);
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
    lab.is_clean(&ports);
    lab.program("note", "echo begun > begun; exec sleep 60");
    let mut up = lab.start(&["up"]);
    wait::until("the script begun", || fs::read(lab.path("begun")));
    up.signal(Signal::TERM);
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
    lab.is_clean(&ports);
}

#[test]
fn one_that_is_to_outlive_its_terminal_does() {
    let (lab, ports) = lab();
    let mut command = std::process::Command::new("nohup");
    let plain = lab.command(&["up"]);
    command.arg(plain.get_program()).args(plain.get_args());
    command.current_dir(plain.get_current_dir().unwrap());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut up = Process::spawn(&mut command);
    up.wait_for_text("[Controller] Listening on");
    up.signal(Signal::HUP);
    // Had it ended by that, nobody would answer any more.
    wait::until("it answers that all is up", || {
        let status = lab.run(&["status"]);
        if status.code == Some(0) {
            Ok(())
        } else {
            Err((status.stdout, up.stderr()))
        }
    });
    lab.down(up, &ports);
}

#[test]
fn an_end_that_takes_long_says_what_it_waits_for() {
    let controller = Port::reserve();
    let lab = Lab::new(&format!(
        "controller: {{type: http-server, port: {}}}
component: {{id: c, type: shell, command: [slow]}}
workflow: {{component: c}}
",
        controller.number()
    ));
    lab.program(
        "slow",
        "touch begun; until test -e enough; do sleep 0.05; done",
    );
    let mut up = lab.up();
    let mut run = lab.start(&["run"]);
    wait::until("the run begun", || fs::metadata(lab.path("begun")));
    let mut down = lab.start(&["down"]);
    down.wait_for_text("waiting for 1 run to end, ");
    lab.write("enough", "");
    assert_eq!(down.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
    assert!(
        down.stderr()
            .ends_with(" s at the most; Ctrl-C stops waiting\n"),
        "{}",
        down.stderr()
    );
    assert_eq!(up.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
    run.wait(wait::DEADLINE);
    lab.is_clean(&[controller]);
}

#[test]
fn one_that_is_killed_leaves_no_process_behind() {
    let (lab, ports) = lab();
    let mut up = lab.up();
    // It alone: what it has started has to notice.
    kill_process(up.id(), Signal::KILL).unwrap();
    up.wait(wait::DEADLINE);
    wait::until("nothing left of it", || {
        let free = ports
            .each_ref()
            .map(|port| std::net::TcpListener::bind(("127.0.0.1", port.number())).is_ok());
        if free == [true, true] {
            Ok(())
        } else {
            Err(free)
        }
    });
    let up = lab.up();
    lab.down(up, &ports);
}
