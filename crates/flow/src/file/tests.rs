use super::*;
use crate::model::component::Kind as ComponentKind;
use crate::model::job::Kind as JobKind;

mod expose;
mod job;
mod strange;
mod web;
mod whole;

fn environment() -> Environment {
    let mut environment = Environment::default();
    for entry in [
        "SECRET=s3cr3t",
        "PORT=9001",
        "KIND=shell",
        "EVIL=a: [b\n#'\"",
    ] {
        environment.say(entry).unwrap();
    }
    environment
}

fn read_all(texts: &[(&str, &str, Dialect)]) -> (Option<Compose>, String) {
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(name, text, dialect)| Source {
            name,
            bytes: text.as_bytes(),
            dialect: *dialect,
        })
        .collect();
    let mut problems = Problems::new();
    let files = Files::parse(&sources, &environment(), &mut problems);
    let before = problems.has_errors();
    let compose = files.and_then(|files| files.compose(&mut problems));
    if !before {
        assert_eq!(compose.is_none(), problems.has_errors(), "{problems}");
    }
    (compose, problems.to_string())
}

/// What an adit.yml says, which may have no problem at all.
fn compose(text: &str) -> Compose {
    let (compose, problems) = read_all(&[("f.yml", text, Dialect::Adit)]);
    assert_eq!(problems, "", "{text}");
    compose.unwrap()
}

/// What is wrong with an adit.yml.
fn wrong(text: &str) -> String {
    read_all(&[("f.yml", text, Dialect::Adit)]).1
}

/// What is wrong with a model-compose.yml.
fn warned(text: &str) -> String {
    read_all(&[("f.yml", text, Dialect::ModelCompose)]).1
}

#[test]
fn both_shapes_say_the_same() {
    for (flat, nested) in [
        (
            "controller: {type: http-server, port: 9, base_path: /api, webui: {}}",
            "controller: {adapter: {type: http-server, port: '9', base_path: api/}, webui: {driver: gradio}}",
        ),
        (
            "controller: {type: http-server, websocket: true}",
            "controller: {adapters: [{type: http-server, host: 127.0.0.1, port: 8080, websocket: {path: /ws}}]}",
        ),
        (
            "listener: {type: http-callback, path: /c, identify_by: '${body.id}', status: '${body.s}', success_when: ok}",
            "listeners: [{type: http-callback, callbacks: [{path: c, identify_by: '${body.id}', status: '${body.s}', success_when: [ok]}]}]",
        ),
        (
            "component: {type: shell, command: [ls], output: 1}",
            "components: [{type: shell, actions: [{command: [[ls]], output: 1}]}]",
        ),
        (
            "component: {id: a, type: http-client, endpoint: 'http://x', method: get, headers: {A: 1}}",
            "components: {a: {type: http-client, action: {endpoint: 'http://x', method: GET, headers: {A: '1'}}}}",
        ),
        (
            "component: {type: http-server, install: [pip, install], start: [x]}",
            "component: {type: http-server, manage: {scripts: {install: [[pip, install]], start: [x]}}}",
        ),
        (
            "component: {type: http-server, start: [x], port: 9}",
            "component: {type: http-server, manage: {start: [x]}, port: 9.0e0}",
        ),
        (
            "{component: {id: c, type: shell, command: [ls]}, workflow: {component: c, input: '${input}', repeat_count: 2}}",
            "{component: {id: c, type: shell, command: [ls]}, workflow: {jobs: [{type: component, component: c, input: '${input}', repeat_count: 2}]}}",
        ),
        (
            "{component: {type: shell, command: [ls]}, workflow: {output: '${output}'}}",
            "{component: {type: shell, command: [ls]}, workflow: {job: {type: action, output: '${output}'}}}",
        ),
        (
            "workflow: {id: w, title: T}",
            "workflows: {w: {title: T, jobs: []}}",
        ),
        (
            "{component: {type: shell, command: [ls]}, workflow: {jobs: [{id: r, type: if, conditions: [{input: '${input}', value: 1, if_true: a}]}, {id: a}]}}",
            "{component: {type: shell, command: [ls]}, workflow: {jobs: {r: {type: if, input: '${input}', operator: eq, value: 1, if_true: a}, a: {}}}}",
        ),
        (
            "{component: {type: shell, command: [ls]}, workflow: {jobs: [{id: r, type: random-router, routings: [{target: a}]}, {id: a}]}}",
            "{component: {type: shell, command: [ls]}, workflow: {jobs: [{id: r, type: random-router, mode: uniform, routings: [{to: a, weight: 9}]}, {id: a}]}}",
        ),
        (
            "logger: {type: console}",
            "loggers: [{type: console, level: info}]",
        ),
        (
            "logger: {type: file, level: debug}",
            "loggers: [{type: file, level: debug, path: ./logs/run.log}]",
        ),
    ] {
        if flat.contains("port: 9}") && nested.contains("9.0e0") {
            assert!(wrong(nested).contains("wanted a port"), "{nested}");
            continue;
        }
        if nested.contains("jobs: []") {
            for text in [flat, nested] {
                assert!(warned(text).contains("it has no jobs and gives nothing"));
            }
            assert_eq!(warned(flat).lines().count(), 2);
            continue;
        }
        assert_eq!(compose(flat), compose(nested), "{flat}\n{nested}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let text = "\
controler: {type: http-server}
gateway:
  type: ssh-tunnel
  port: http
  connection: {host: -oProxyCommand, auth: {type: pasword, username: 'a;b'}}
listener: {type: http-callback, path: /c, methd: PUT, port: 0}
components:
  - {id: a, type: shell, command: ls}
  - {id: b, type: http-client, path: /x}
workflow: {jobs: [{id: j, component: b, depends_on: [k]}]}
";
    let shown = "\
f.yml:1:1: unknown key \"controler\"
help: did you mean \"controller\"?
f.yml:4:9: port: wanted a port and where it leads, found the text \"http\": the public port is a number from 0 to 65535
help: for example: \"9834:8090\"
f.yml:5:22: host: wanted a host, found the text \"-oProxyCommand\": a host does not begin with a dash
help: for example: gateway.example.org
f.yml:5:51: type: wanted \"keyfile\", \"password\" or \"agent\", found the text \"pasword\"
help: did you mean \"password\"?
f.yml:5:70: username: wanted a user name, found the text \"a;b\": a user name holds no space and nothing that a shell would obey
help: for example: me
f.yml:6:43: listener: unknown key \"methd\"
help: did you mean \"method\"?
f.yml:6:61: port: wanted a port from 1 to 65535, found the number 0
help: for example: 8080
f.yml:8:35: command: wanted a list of arguments, found the text \"ls\"
help: no shell reads it; for example: [\"sh\", \"-c\", \"df -h | tail -n 1\"]
f.yml:9:32: path: a path wants a base_url in the component
f.yml:10:54: there is no job \"k\" in this workflow";
    assert_eq!(wrong(text), shown);
}

#[test]
fn unknown_keys_stop_only_files_of_adits_own() {
    let text = "workflow: {title: T, descripton: U}";
    let help = "help: did you mean \"description\"?";
    let shown = format!("f.yml:1:22: workflow: unknown key \"descripton\"\n{help}");
    assert_eq!(wrong(text), shown);
    let shown = format!("f.yml:1:22: warning: workflow: unknown key \"descripton\"\n{help}");
    let shown_of = warned(text);
    assert!(shown_of.ends_with(&shown), "{shown_of}");
    let (_, problems) = read_all(&[
        (
            "m.yml",
            "component: {titel: U, type: shell}",
            Dialect::ModelCompose,
        ),
        ("a.yml", "listner: {}", Dialect::Adit),
    ]);
    let shown = "\
a.yml:1:1: unknown key \"listner\"
help: did you mean \"listener\"?
m.yml:1:13: warning: component: unknown key \"titel\"";
    assert_eq!(problems, shown);
}

#[test]
fn a_later_file_says_what_is_different() {
    let (compose, problems) = read_all(&[
        (
            "a.yml",
            "component: {type: shell, command: [ls, '${env.NOT_SET}'], env: {A: 1, B: 2}}",
            Dialect::Adit,
        ),
        ("empty.yml", "", Dialect::Adit),
        (
            "b.yml",
            "component: {command: [df], env: {B: 3}}",
            Dialect::Adit,
        ),
    ]);
    assert_eq!(problems, "");
    let compose = compose.unwrap();
    let ComponentKind::Shell(shell) = &compose.components[0].kind else {
        panic!("{compose:?}");
    };
    assert_eq!(shell.actions[0].call.commands[0][0].as_str(), "df");
    let env: Vec<_> = shell
        .env
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, [("A", "1"), ("B", "3")]);
}

#[test]
fn one_and_several_do_not_merge_and_that_is_told() {
    let (compose, problems) = read_all(&[
        (
            "a.yml",
            "workflow: {id: a, type: filter}",
            Dialect::ModelCompose,
        ),
        (
            "b.yml",
            "workflows: [{id: b, type: filter}]",
            Dialect::ModelCompose,
        ),
    ]);
    let warning = "a.yml:1:1: warning: \"workflow\" is not read, since \"workflows\" is there too";
    assert_eq!(problems, warning);
    assert_eq!(compose.unwrap().workflows[0].id.as_str(), "b");
}

#[test]
fn what_stands_in_no_mapping_is_refused() {
    for text in [
        "[1]",
        "text",
        "{workflows: 1}",
        "{gateway: x}",
        "{component: [1]}",
    ] {
        assert!(
            wrong(text).contains("wanted a mapping"),
            "{text}: {}",
            wrong(text)
        );
    }
    assert_eq!(wrong(""), "");
    let (compose, problems) = read_all(&[("f.yml", "a: [", Dialect::Adit)]);
    assert!(
        compose.is_none() && problems.contains("not YAML"),
        "{problems}"
    );
}

#[test]
fn variables_are_replaced_in_the_tree_and_never_quoted() {
    let compose = compose(
        "# ${env.NOT_SET}
component:
  type: ${env.KIND}
  command: [echo, '${env.EVIL}', 'x${env.EVIL}']
  max_concurrent_count: ${env.COUNT | 3}
",
    );
    let ComponentKind::Shell(shell) = &compose.components[0].kind else {
        panic!("{compose:?}");
    };
    let arguments = &shell.actions[0].call.commands[0];
    assert_eq!(arguments[1].as_str(), "a: [b\n#'\"");
    assert_eq!(arguments[2].as_str(), "xa: [b\n#'\"");
    assert!(!format!("{compose:?}").contains("a: [b"));
    let text = "component: {type: '${env.SECRET}', port: '${env.SECRET}', x: '${env.NOT_SET}'}";
    let shown = wrong(text);
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(shown.contains("a value from ${env.SECRET}"), "{shown}");
    assert!(
        shown.contains("the environment variable NOT_SET is not set"),
        "{shown}"
    );
}

#[test]
fn what_would_be_shut_in_elsewhere_is_not_run_unshut() {
    let shown = wrong("component: {type: shell, command: [ls], runtime: {type: docker, image: x}}");
    assert!(shown.contains("in no container"), "{shown}");
    for runtime in ["native", "process", "{type: embedded}"] {
        compose(&format!(
            "component: {{type: shell, command: [ls], runtime: {runtime}}}"
        ));
    }
}

#[test]
fn what_adit_does_not_do_is_told() {
    for (text, shown) in [
        (
            "tracer: {type: x}",
            "warning: \"tracer\" is not read by adit",
        ),
        (
            "controller: {adapter: {type: mcp-server}}",
            "warning: adapter: adit serves no adapter",
        ),
        (
            "controller: {type: http-server, queue: {}}",
            "\"queue\" has no effect",
        ),
        (
            "controller: {type: http-server, webui: {driver: dynamic, command: [x]}}",
            "write gradio or static",
        ),
        (
            "listener: {type: http-callback, path: /c, success_when: ok}",
            "\"success_when\" has no effect",
        ),
        (
            "workflow: {jobs: [{id: a, type: filter, hook: {before: {}}}]}",
            "\"hook\" has no effect",
        ),
        (
            "workflow: {jobs: [{id: a, type: pipeline, steps: []}]}",
            "found the text \"pipeline\"",
        ),
        ("component: {type: model}", "found the text \"model\""),
    ] {
        assert!(wrong(text).contains(shown), "{text}: {}", wrong(text));
    }
}

#[test]
fn jobs_are_read_with_all_that_they_say() {
    let compose = compose(
        "component: {id: c, type: shell, command: [ls]}
workflow:
  output: ${jobs.a.output}
  jobs:
    - {id: a, retry: 3, on_error: ignore, interrupt: {before: true, after: false}}
    - {id: b, type: delay, duration: 01:30, depends_on: [[a, d]], retry: {max_attempt_count: 2, delay: 1s, backoff: exponential}}
    - {id: d, type: delay, mode: specific-time, time: '2026-01-01T09:00:00', timezone: Asia/Seoul}
    - {id: e, type: for-each, input: '${input}', batch_size: 4, do: {component: {type: shell, command: [ls]}}}
    - {id: f, type: filter, output: {x: 1}}
    - {id: g, type: switch, input: 1, cases: {value: 1, then: f}, on_error: {to: a, output: 1}}
",
    );
    let workflow = &compose.workflows[0];
    assert!(workflow.output.is_some());
    let kinds: Vec<bool> = workflow
        .jobs
        .iter()
        .map(|job| matches!(&job.kind, JobKind::Component(_)))
        .collect();
    assert_eq!(kinds, [true, false, false, false, false, false]);
    let [a, b, ..] = workflow.jobs.as_slice() else {
        panic!("{workflow:?}");
    };
    assert_eq!(a.retry.max_attempt_count.get(), 3);
    assert_eq!(a.max_run_count.get(), 25);
    assert!(a.interrupt.before.is_some() && a.interrupt.after.is_none());
    assert_eq!(b.depends_on[0].len(), 2);
    assert_eq!(workflow.jobs[5].routes().len(), 2);
}

#[test]
fn the_programs_own_tunnels_are_left_to_it() {
    let text = "tunnels: {web: {host: h}}";
    let source = Source {
        name: "adit.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::Adit,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
    assert!(files.tunnels().is_some());
    assert_eq!(files.compose(&mut problems), Some(Compose::default()));
    assert!(problems.is_empty());
}

#[test]
fn a_variable_is_private_if_only_secrets_of_ours_name_it() {
    let (compose, problems) = read_all(&[(
        "f.yml",
        "controller: {type: http-server, token: '${env.SECRET}', name: '${env.PORT}'}
listener: {type: http-callback, path: /c, auth: {type: token, token: '${env.EVIL}'}}
component: {type: shell, command: [echo, '${env.EVIL}']}
",
        Dialect::Adit,
    )]);
    assert_eq!(problems, "");
    let private = compose.unwrap().private_variables;
    assert_eq!(private.into_iter().collect::<Vec<_>>(), ["SECRET"]);
}

#[test]
fn issue_4_a_secret_named_in_the_short_form_is_private_too() {
    let (compose, problems) = read_all(&[(
        "f.yml",
        "controller: {type: http-server, token: env:TOKEN}
listener: {type: http-callback, path: /c, auth: {type: hmac, secret: env:KEY}}
component: {type: shell, command: [echo, '${env.SECRET}', env:KEY]}
",
        Dialect::Adit,
    )]);
    assert_eq!(problems, "");
    let private = compose.unwrap().private_variables;
    assert_eq!(private.into_iter().collect::<Vec<_>>(), ["KEY", "TOKEN"]);
}

#[test]
fn issue_4_what_a_body_calls_a_listener_is_no_section_of_ours() {
    let (compose, problems) = read_all(&[(
        "f.yml",
        "component: {type: http-client, endpoint: http://x, body: {listener: {token: '${env.SECRET}'}}}",
        Dialect::Adit,
    )]);
    assert_eq!(problems, "");
    assert!(compose.unwrap().private_variables.is_empty());
}
