//! What only the whole shows.

use super::*;

#[test]
fn ids_that_lead_nowhere_or_come_twice_are_refused() {
    let shell = "type: shell, command: [ls]";
    for (text, error) in [
        (
            format!("{{components: [{{id: fetch, {shell}}}], workflow: {{component: fecth}}}}"),
            "there is no component \"fecth\"\nhelp: did you mean \"fetch\"?",
        ),
        (
            "workflow: {component: x}".to_owned(),
            "there is no component \"x\"",
        ),
        (
            "workflow: {input: x}".to_owned(),
            "f.yml:1:11: there is no component",
        ),
        (
            format!(
                "{{components: [{{id: a, {shell}}}, {{id: b, {shell}}}], workflow: {{input: x}}}}"
            ),
            "it is not said which component is meant",
        ),
        (
            format!("{{component: {{id: a, {shell}}}, workflow: {{action: go}}}}"),
            "there is no action of the component \"a\" \"go\"",
        ),
        (
            "{component: {id: a, type: shell}, workflow: {component: a}}".to_owned(),
            "there is no action of the component \"a\"",
        ),
        (
            format!("components: [{{{shell}}}, {{{shell}}}]"),
            "two components without an id, the other at f.yml:1:14",
        ),
        (
            "workflows: [{id: a}, {id: a}]".to_owned(),
            "the workflow \"a\" is there already, at f.yml:1:18",
        ),
        (
            "component: {type: shell, actions: [{id: a, command: [x]}, {id: a, command: [y]}]}"
                .to_owned(),
            "the action \"a\" is there already",
        ),
        (
            "workflow: {id: __default__}".to_owned(),
            "no id is \"__default__\"",
        ),
        (
            "components: {a: {id: b, type: shell}}".to_owned(),
            "the key above has another id, \"a\"",
        ),
        (
            "component: {type: workflow, workflow: greet}\nworkflow: {id: great}".to_owned(),
            "there is no workflow \"greet\"\nhelp: did you mean \"great\"?",
        ),
        (
            "listener: {type: http-trigger, path: /t, workflow: x}".to_owned(),
            "there is no workflow \"x\"",
        ),
    ] {
        let shown = wrong(&text);
        assert!(shown.contains(error), "{text}: {shown}");
    }
    let text = format!(
        "{{components: [{{id: a, {shell}}}, {{id: b, default: true, {shell}}}], workflow: {{input: x}}}}"
    );
    compose(&text);
}

#[test]
fn an_id_of_the_environments_is_never_quoted() {
    for text in [
        "workflow: {component: '${env.SECRET}'}",
        "{component: {id: s3cr3x, type: shell, command: [ls]}, workflow: {component: '${env.SECRET}'}}",
        "{component: {type: shell, command: [ls]}, workflow: {action: '${env.SECRET}'}}",
        "workflows: [{id: '${env.SECRET}'}, {id: '${env.SECRET}'}]",
        "workflow: {jobs: [{id: '${env.SECRET}', depends_on: ['${env.SECRET}']}]}",
        "workflow: {jobs: [{id: a, depends_on: ['${env.SECRET}']}]}",
        "workflow: {jobs: [{id: '${env.SECRET}', type: filter, depends_on: [a]}, {id: a, type: filter, depends_on: ['${env.SECRET}']}]}",
        "listener: {type: http-trigger, path: /t, workflow: '${env.SECRET}'}",
        "controller: {type: http-server, host: '${env.SECRET}'}",
    ] {
        let shown = wrong(text);
        assert!(!shown.contains("s3cr3"), "{text}: {shown}");
        assert!(!shown.is_empty(), "{text}");
    }
}

#[test]
fn a_component_that_cannot_be_read_is_not_missing_too() {
    let text = "{component: {id: a, type: shell, command: 1}, workflow: {component: a}}";
    assert_eq!(wrong(text).matches("f.yml").count(), 1, "{}", wrong(text));
}

#[test]
fn each_port_is_taken_once() {
    for (text, error) in [
        (
            "{controller: {type: http-server}, listener: {type: http-callback, path: /, port: 8080}}",
            "f.yml:1:82: port: port 8080 is taken by the controller at f.yml:1:14",
        ),
        (
            "{controller: {type: http-server, webui: {port: 8080}}}",
            "port 8080 is taken by the controller",
        ),
        (
            "{listeners: [{type: http-callback, path: /a, host: 127.0.0.1}, {type: http-callback, path: /b}]}",
            "port 8090 is taken by the listener",
        ),
        (
            "{listener: {type: http-callback, path: /a, port: 8000}, component: {type: http-server, start: [x]}}",
            "port 8000 is taken by the listener",
        ),
        (
            "{listener: {type: http-callback, path: /a, port: 8000}, workflow: {job: {component: {type: http-server, start: [x]}}}}",
            "port 8000 is taken by the listener",
        ),
        (
            "{component: {id: a, type: http-server, start: [x]}, workflow: {job: {type: for-each, input: x, do: {component: {id: b, type: http-server, start: [y]}}}}}",
            "port 8000 is taken by the component",
        ),
        (
            "gateway: {type: ssh-tunnel, port: ['80:1', '80:2'], connection: {host: h, auth: {type: agent, username: u}}}",
            "the public port 80 is asked for already, at f.yml:1:36",
        ),
    ] {
        let shown = wrong(text);
        assert!(
            shown.contains(&error.replace("port: port", "port")),
            "{text}: {shown}"
        );
    }
    for text in [
        "{listeners: [{type: http-callback, path: /a, host: 10.0.0.1}, {type: http-callback, path: /b, host: 10.0.0.2}]}",
        "{listener: {type: http-callback, path: /a, port: 8000}, component: {type: http-server}}",
        "gateway: {type: ssh-tunnel, port: ['0:1', '0:2'], connection: {host: h, auth: {type: agent, username: u}}}",
    ] {
        compose(text);
    }
}

#[test]
fn issue_4_a_controller_is_not_public_by_accident() {
    let read = |controller: &str| {
        format!(
            "controller: {{type: http-server, {controller}}}\ngateway: {{type: ssh-tunnel, port: '80:8080', connection: {{host: h, auth: {{type: agent, username: u}}}}}}"
        )
    };
    for keys in ["", "public_controller: true", "token: env:T"] {
        let shown = wrong(&read(keys));
        assert!(
            shown.contains("f.yml:2:35: port 8080 is the controller"),
            "{keys}: {shown}"
        );
    }
    let meant = "public_controller: true, token: env:T";
    for hosts in ["h", "'H:80'", "[other, h]"] {
        compose(&read(&format!("{meant}, hosts: {hosts}")));
    }
    for hosts in ["", ", hosts: other", ", hosts: h.example"] {
        let shown = wrong(&read(&format!("{meant}{hosts}")));
        let warning = "f.yml:2:35: warning: the controller is public here, and refuses";
        assert!(shown.starts_with(warning), "{hosts}: {shown}");
    }
    for (driver, is_known) in [
        ("driver: ngrok", false),
        (
            "driver: cloudflare, token: env:U, hostname: c.example",
            true,
        ),
    ] {
        let gateway = format!("gateway: {{type: http-tunnel, port: 8080, {driver}}}");
        let read =
            |hosts: &str| format!("controller: {{type: http-server, {meant}{hosts}}}\n{gateway}");
        assert!(
            wrong(&read("")).contains("refuses to be asked by"),
            "{driver}"
        );
        compose(&read(", hosts: c.example"));
        let other = wrong(&read(", hosts: d.example"));
        assert_eq!(!other.is_empty(), is_known, "{driver}: {other}");
    }
    let page = "controller: {type: http-server, port: 9, webui: {port: 8080}}\ngateway: {type: http-tunnel, driver: ngrok, port: 8080}";
    assert!(wrong(page).contains("port 8080 is the controller's page"));
    let shown = wrong("controller: {type: http-server, host: 0.0.0.0}");
    assert!(shown.contains("needs a token"), "{shown}");
    compose("controller: {type: http-server, host: 0.0.0.0, token: env:T}");
    let shown = wrong("controller: {type: http-server, webui: {host: 0.0.0.0}}");
    assert!(shown.contains("only this machine may reach it"), "{shown}");
}

#[test]
fn issue_4_a_public_trigger_that_runs_programs_needs_a_proof() {
    let read = |trigger: &str, component: &str, port: u16| {
        format!(
            "gateway: {{type: http-tunnel, driver: ngrok, port: {port}}}
listener: {{type: http-trigger, path: /t, {trigger}}}
components:
  - {component}
  - {{id: other, type: workflow, workflow: w}}
workflows:
  - {{id: w, jobs: [{{component: c}}]}}
  - {{id: v, jobs: [{{component: other}}]}}
  - {{id: u, jobs: [{{type: for-each, input: x, do: {{component: {{id: own, type: shell, command: [df]}}}}}}]}}
"
        )
    };
    let shell = "{id: c, type: shell, command: [ls]}";
    let client = "{id: c, type: http-client, endpoint: http://x}";
    let server = "{id: c, type: http-server, path: /}";
    let error = "f.yml:2:38: this trigger is public and asks for no proof, and its workflow runs programs (at f.yml:4:10)";
    for (workflow, component) in [
        ("workflow: w", shell),
        ("workflow: w", server),
        ("workflow: v", shell),
        ("workflow: '${body.workflow}'", shell),
    ] {
        let shown = wrong(&read(workflow, component, 8091));
        assert!(shown.starts_with(error), "{workflow}: {shown}");
    }
    let shown = wrong(&read("workflow: u", client, 8091));
    assert!(
        shown.contains("its workflow runs programs (at f.yml:9:"),
        "{shown}"
    );
    for (trigger, component, port) in [
        ("workflow: w", client, 8091),
        ("workflow: w", shell, 8090),
        (
            "workflow: w, auth: {type: token, token: env:T}",
            shell,
            8091,
        ),
        ("workflow: w, allow_unauthenticated: true", shell, 8091),
    ] {
        compose(&read(trigger, component, port));
    }
}

#[test]
fn issue_4_a_public_callback_for_anybody_is_a_warning() {
    let read = |keys: &str| {
        format!(
            "gateway: {{type: http-tunnel, driver: ngrok, port: 8090}}\nlistener: {{type: http-callback, path: /c{keys}}}"
        )
    };
    let shown = wrong(&read(""));
    assert!(
        shown.starts_with("f.yml:2:39: warning: this callback is public"),
        "{shown}"
    );
    for keys in [
        ", identify_by: '${body.id}'",
        ", auth: {type: token, token: env:T}",
    ] {
        compose(&read(keys));
    }
}

#[test]
fn networks_and_waits_that_come_to_nothing_are_warnings() {
    let read = |keys: &str| {
        format!(
            "gateway: {{type: http-tunnel, driver: ngrok, port: 8090}}\nlistener: {{type: http-callback, path: /c, identify_by: '${{body.id}}'{keys}}}"
        )
    };
    let auth = ", auth: {type: token, token: env:T}";
    for (keys, whom) in [
        (", allow: 10.0.0.0/8", Some("nobody")),
        (", allow: 127.0.0.0/8", Some("anybody")),
        (&format!(", allow: 10.0.0.0/8{auth}"), Some("nobody")),
        (&format!(", allow: 127.0.0.1{auth}"), None),
        (auth, None),
    ] {
        let shown = wrong(&read(keys));
        let expected = whom.map(|whom| {
            format!("f.yml:2:39: warning: behind an http-tunnel every visitor comes from 127.0.0.1, so \"allow\" lets {whom} in\n")
        });
        match expected {
            Some(expected) => assert!(shown.starts_with(&expected), "{keys}: {shown}"),
            None => assert_eq!(shown, "", "{keys}"),
        }
    }
    let poll = |keys: &str| {
        format!(
            "component: {{type: http-client, endpoint: http://x, completion: {{type: polling, endpoint: http://y{keys}}}}}"
        )
    };
    compose(&poll(", success_when: 200"));
    for keys in ["", ", fail_when: 4xx", ", success_when: []"] {
        let shown = wrong(&poll(keys));
        let warning = "f.yml:1:90: warning: nothing says when this is done";
        assert!(shown.starts_with(warning), "{keys}: {shown}");
    }
}

#[test]
fn an_address_is_one_that_a_gateway_gives_to_an_action() {
    let gateway = "gateway: {type: http-tunnel, driver: ngrok, port: [8090, 8091]}";
    let client = |body: &str| {
        format!("component: {{type: http-client, endpoint: http://x, body: {{a: ['{body}']}}}}")
    };
    let text = "http://${gateway:809.public_address}/c";
    let shown = wrong(&format!("{gateway}\n{}", client(text)));
    let error = "f.yml:2:63: no gateway makes port 809 public, so this has no address\nhelp: public are: 8090, 8091";
    assert_eq!(shown, error);
    let shown = wrong(&client(text));
    assert!(shown.ends_with("help: add a gateway"), "{shown}");
    compose(&client("${gateway:809.public_url | http://localhost:809}"));
    compose(&format!(
        "{gateway}\n{}",
        client("${gateway:8091.public_url}")
    ));
    let job = "{component: {type: shell, command: [ls]}, workflow: {input: '${gateway:8090.public_url}'}}";
    assert!(wrong(job).contains("known in actions of components alone"));
    let command = "component: {type: shell, command: [curl, '${gateway:1.public_url}']}";
    assert!(wrong(command).contains("no gateway makes port 1 public"));
}
