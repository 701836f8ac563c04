//! What is said of a compose file and of what runs: on standard error, and in the files of its loggers.

use std::fs;

use adit_testkit::port::Port;

use crate::lab::Lab;

/// A line of a log file without its time, whose form is looked at.
fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_at("2026-11-22 16:05:00,123 ".len());
    let form: String = time
        .chars()
        .map(|it| if it.is_ascii_digit() { '0' } else { it })
        .collect();
    assert_eq!(form, "0000-00-00 00:00:00,000 ", "{line}");
    rest
}

fn lines(lab: &Lab, name: &str) -> Vec<String> {
    let text = fs::read_to_string(lab.path(name)).unwrap();
    text.lines()
        .map(|line| without_time(line).to_owned())
        .collect()
}

const ECHO: &str =
    "component: {type: shell, command: [echo, hi]}\nworkflow: {output: '${output.stdout}'}\n";

#[test]
fn loggers_say_what_goes_where() {
    let port = Port::reserve();
    let controller = format!(
        "controller: {{type: http-server, port: {}}}\n",
        port.number()
    );
    let lab = Lab::new(&format!(
        "{ECHO}{controller}loggers: [{{type: file, path: logs/deep/all.log, level: debug}}, {{type: file, level: error}}, {{type: console, level: error}}]\n"
    ));
    // Verbose, it says where it listens, whatever the file says of the console.
    let mut up = lab.start(&["-v", "up"]);
    up.wait_for_text("[Controller] Listening on");
    let run = lab.run(&["run", "--attach"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "hi\n"),
        "{run:?}"
    );
    lab.down(up, &[port]);
    let all = lines(&lab, "logs/deep/all.log");
    let has = |text: &str| {
        all.iter()
            .any(|line| line.starts_with("INFO: ") && line.contains(text))
    };
    assert!(has("[Controller] Listening on"), "{all:?}");
    assert!(has("Workflow '__workflow__' started."), "{all:?}");
    assert_eq!(lines(&lab, "logs/run.log"), [""; 0]);

    // A second run goes on where the first one ended; the console has what was asked for.
    let before = all.len();
    let mut up = lab.start(&["up"]);
    adit_testkit::wait::until("the second start", || {
        let now = lines(&lab, "logs/deep/all.log");
        let new = now.iter().skip(before);
        let is_up = new
            .clone()
            .any(|line| line.contains("[Controller] Listening on"));
        is_up.then_some(()).ok_or(now)
    });
    assert_eq!(up.stderr(), "");
    lab.run(&["down"]);
    up.wait(adit_testkit::wait::DEADLINE);
}

#[test]
fn a_run_by_itself_writes_into_files_and_shows_nothing_more() {
    let lab = Lab::new(&format!(
        "{ECHO}loggers: [{{type: file}}, {{type: console, level: debug}}]\n"
    ));
    let run = lab.run(&["run"]);
    assert_eq!(
        (run.code, run.stdout.as_str(), run.stderr.as_str()),
        (Some(0), "hi\n", "")
    );
    let written = lines(&lab, "logs/run.log");
    assert!(
        written.iter().any(|line| line.contains("completed in")),
        "{written:?}"
    );
}

#[test]
fn the_last_word_is_critical_and_a_log_that_cannot_be_written_ends_the_start() {
    let text = format!("{ECHO}listener: {{type: http-callback, host: 192.0.2.1, path: /c}}\n");
    let lab = Lab::new(&format!("{text}logger: {{type: file, level: critical}}\n"));
    let up = lab.run(&["up"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    let written = lines(&lab, "logs/run.log");
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].starts_with("CRITICAL: "), "{written:?}");
    lab.write("logs2", "");
    lab.write(
        "model-compose.yml",
        &format!("{text}logger: {{type: file, path: logs2/run.log}}\n"),
    );
    let up = lab.run(&["up"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    assert!(
        up.stderr.contains("cannot write the log logs2/run.log"),
        "{up:?}"
    );
}

#[test]
fn what_is_doubtful_is_told_plainly_and_once() {
    let lab = Lab::new(
        "component: {type: shell, command: [sh, -c, 'echo ${input.x}']}\nworkflow: {output: '${output.stdout}', bogus: 1}\n",
    );
    let first = "warning: model-compose.yml:1:44: a variable is part of a program's text, so whoever gives its value gives the program\n";
    let second = "warning: model-compose.yml:2:40: workflow: unknown key \"bogus\"\n";
    let run = lab.run(&["run"]);
    assert_eq!(run.stderr, format!("{first}{second}"));
    let check = lab.run(&["check"]);
    assert!(
        check.stderr.starts_with(&format!("{first}help: ")),
        "{check:?}"
    );
    assert!(check.stderr.ends_with(second), "{check:?}");
    assert_eq!(check.stderr, lab.run(&["validate"]).stderr);
    let json = lab.run(&["--log-format", "json", "check"]);
    assert!(json.stderr.contains(r#""level":"WARN""#), "{json:?}");
}
