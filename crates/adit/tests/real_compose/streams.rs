//! Runs whose result comes piece by piece.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};

use adit_testkit::port::Port;
use adit_testkit::wait;
use rustix::process::Signal;

use crate::lab::Lab;

/// A server that answers each request with what `answer` says, and hangs up.
fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
    data: {\"delta\": \"Hel\"}\n\ndata: {\"delta\": \"lo 세계\"}\n\ndata: [DONE]\n\n";
const BROKEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    transfer-encoding: chunked\r\n\r\n18\r\ndata: {\"delta\": \"Hel\"}\n\n\r\n";
const FILE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\
    content-length: 5\r\n\r\n\x00ab\x01c";

/// Says a word, and the next one when a file of that name is there.
const PACED: &str =
    "for word in one two three; do echo $word; until test -e $word; do sleep 0.02; done; done";

fn lab() -> (Lab, Port) {
    let port = Port::reserve();
    let (events, broken, file) = (server(EVENTS), server(BROKEN), server(FILE));
    let text = format!(
        "controller: {{type: http-server, port: {}}}
components:
  - id: lines
    type: shell
    action: {{command: [sh, -c, 'echo one; echo; echo two'], streaming: true}}
  - id: slow
    type: shell
    action: {{command: [sh, -c, 'echo begun; exec sleep 60'], streaming: true}}
  - id: paced
    type: shell
    action: {{command: [paced], streaming: true}}
  - id: flood
    type: shell
    action: {{command: ['yes'], streaming: true}}
  - id: bytes
    type: shell
    action: {{command: [printf, 'a\\377b\\n\\303(\\n\\303\\251\\0\\nend'], streaming: true}}
  - id: whole
    type: shell
    action: {{command: [printf, ' a\\377b\\303\\251 '], output: '${{result.stdout}}'}}
  - id: long
    type: shell
    action: {{command: [seq, '200000'], streaming: true}}
  - id: events
    type: http-client
    action: {{endpoint: 'http://127.0.0.1:{events}/', stream_format: json, output: '${{response[].delta}}'}}
  - id: objects
    type: http-client
    action: {{endpoint: 'http://127.0.0.1:{events}/', stream_format: json, output: '${{response[]}}'}}
  - id: broken
    type: http-client
    action: {{endpoint: 'http://127.0.0.1:{broken}/', stream_format: json, output: '${{response[].delta}}'}}
  - id: file
    type: http-client
    action: {{endpoint: 'http://127.0.0.1:{file}/'}}
workflows:
  - {{id: lines, component: lines}}
  - {{id: slow, component: slow}}
  - {{id: paced, component: paced}}
  - {{id: flood, component: flood}}
  - {{id: bytes, component: bytes}}
  - {{id: whole, component: whole}}
  - {{id: long, component: long}}
  - {{id: events, component: events}}
  - {{id: objects, component: objects}}
  - {{id: broken, component: broken}}
  - {{id: file, component: file}}
",
        port.number()
    );
    let lab = Lab::new(&text);
    lab.program("paced", PACED);
    (lab, port)
}

const OBJECTS: &str = "{\"delta\":\"Hel\"}\n{\"delta\":\"lo 세계\"}\n";

#[test]
fn what_comes_in_pieces_is_printed_wherever_it_comes_from() {
    let (lab, port) = lab();
    let up = lab.up();
    let numbers: Vec<String> = (1..=200_000).map(|number| number.to_string()).collect();
    let numbers = numbers.join("\n") + "\n";
    for place in ["--local", "--attach"] {
        for (workflow, expected) in [
            ("lines", "one\n\ntwo\n"),
            ("long", &numbers),
            // What is no text is replaced where lines are handed on, and everywhere else.
            ("bytes", "a\u{fffd}b\n\u{fffd}(\n\u{e9}\0\nend\n"),
            ("whole", "a\u{fffd}b\u{e9}\n"),
            ("events", "Hello 세계\n"),
            ("objects", OBJECTS),
            ("file", "\0ab\x01c"),
        ] {
            let run = lab.run(&["run", place, workflow]);
            assert_eq!(run.code, Some(0), "{workflow} {place}: {}", run.stderr);
            assert!(run.stdout == expected, "{workflow} {place}");
        }
        let run = lab.run(&["run", place, "broken"]);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(1), "Hel"),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr.starts_with("adit: the result is not complete: "),
            "{}",
            run.stderr
        );
    }
    lab.down(up, &[port]);
}

#[test]
fn a_file_gets_all_of_a_stream_or_is_as_it_was() {
    let (lab, _) = lab();
    let names = |lab: &Lab| fs::read_dir(lab.path("")).unwrap().count();
    let run = lab.run(&["run", "events", "-o", "out"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    let before = names(&lab);
    assert_eq!(fs::read_to_string(lab.path("out")).unwrap(), "Hello 세계\n");
    let run = lab.run(&["run", "broken", "-o", "out"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(fs::read_to_string(lab.path("out")).unwrap(), "Hello 세계\n");
    assert_eq!(names(&lab), before);
}

#[test]
fn a_stream_is_told_as_it_comes_and_ends_with_who_reads_it() {
    let (lab, port) = lab();
    let up = lab.up();
    for (place, signal, code) in [
        ("--local", Signal::INT, 130),
        ("--attach", Signal::INT, 130),
        ("--attach", Signal::TERM, 143),
    ] {
        let mut run = lab.start(&["run", place, "slow"]);
        wait::until("the first line", || {
            (run.stdout() == "begun\n")
                .then_some(())
                .ok_or_else(|| run.stdout())
        });
        run.signal(signal);
        assert_eq!(
            run.wait(wait::DEADLINE).code(),
            Some(code),
            "{}",
            run.stderr()
        );
    }
    lab.down(up, &[port]);
}

#[test]
fn each_line_is_shown_before_the_next_one_is_said() {
    let (lab, port) = lab();
    let up = lab.up();
    for place in ["--local", "--attach"] {
        let mut run = lab.start(&["run", place, "paced"]);
        let mut shown = String::new();
        for word in ["one", "two", "three"] {
            shown += word;
            shown.push('\n');
            wait::until(word, || {
                let now = run.stdout();
                if now == shown { Ok(()) } else { Err(now) }
            });
            lab.write(word, "");
        }
        assert_eq!(run.wait(wait::DEADLINE).code(), Some(0), "{}", run.stderr());
        assert_eq!(run.stdout(), shown);
        for word in ["one", "two", "three"] {
            fs::remove_file(lab.path(word)).unwrap();
        }
    }
    lab.down(up, &[port]);
}

/// It costs its own program, which waits, and nobody else.
#[test]
fn one_who_does_not_read_what_comes_is_in_nobodys_way() {
    let (lab, port) = lab();
    let up = lab.up();
    let mut slow: Vec<Child> = Vec::new();
    for _ in 0..3 {
        let mut command = lab.command(&["run", "--attach", "flood"]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::null());
        slow.push(piped.spawn().unwrap());
    }
    for run in &slow {
        let pipe = run.stdout.as_ref().unwrap();
        wait::until("a pipe that is full", || {
            let held = rustix::io::ioctl_fionread(pipe).unwrap();
            if held > 60_000 { Ok(()) } else { Err(held) }
        });
    }
    for workflow in ["lines", "whole", "long"] {
        let run = lab.run(&["run", "--attach", workflow]);
        assert_eq!(run.code, Some(0), "{workflow}: {}", run.stderr);
    }
    let status = lab.run(&["status"]);
    assert!(status.stdout.contains("workflows: ready"), "{status:?}");
    // Their programs end when nobody can read any more.
    for mut run in slow {
        drop(run.stdout.take());
        wait::until("the end of a run that nobody reads", || {
            run.try_wait().unwrap().ok_or("it runs")
        });
    }
    lab.down(up, &[port]);
}
