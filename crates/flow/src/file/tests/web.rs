//! Listeners and requests.

use super::*;
use crate::model::callback_server::{HmacForm, Proof, Routes, TokenPlace};
use crate::model::component::{Completion, Target};

#[test]
fn a_listener_says_who_may() {
    let read = |auth: &str| {
        let text = format!("listener: {{type: http-callback, path: /c, {auth}}}");
        let compose = compose(&text);
        let Routes::Callbacks(callbacks) = &compose.callback_servers[0].routes else {
            panic!("{compose:?}");
        };
        callbacks[0].route.guard.clone()
    };
    let secret = adit_text::SecretSource::Value("s3cr3t".to_owned());
    let guard =
        read("auth: {type: token, token: '${env.SECRET}'}, allow: 10.0.0.0/8, body_limit: 2MiB");
    let at = TokenPlace::Header("Authorization".to_owned());
    assert_eq!(
        guard.proof,
        Some(Proof::Token {
            secret: secret.clone(),
            at
        })
    );
    assert!(guard.allow[0].contains("10.1.1.1".parse().unwrap()));
    assert_eq!(guard.body_limit, 2 << 20);
    let guard = read("auth: {type: hmac, form: github, secret: '${env.SECRET}'}");
    let header = "X-Hub-Signature-256".to_owned();
    let form = HmacForm::GitHub;
    assert_eq!(
        guard.proof,
        Some(Proof::Hmac {
            secret: secret.clone(),
            header,
            form
        })
    );
    let guard = read("auth: {type: token, in: path, token: '${env.SECRET}'}");
    let at = TokenPlace::Path;
    assert_eq!(guard.proof, Some(Proof::Token { secret, at }));
    assert_eq!((guard.allow.len(), guard.body_limit), (0, 1 << 20));
    for (auth, error) in [
        ("auth: {type: token}", "the key \"token\" is missing"),
        (
            "auth: {type: hmac, secret: env:S, header: 'a b'}",
            "wanted a header's name",
        ),
        ("allow: example.org", "wanted a network"),
        ("bulk: maybe", "wanted true or false"),
        ("method: BREW", "wanted a method"),
        ("method: HEAD", "requests with a body"),
    ] {
        let shown = wrong(&format!(
            "listener: {{type: http-callback, path: /c, {auth}}}"
        ));
        assert!(shown.contains(error), "{auth}: {shown}");
    }
}

#[test]
fn a_guard_of_one_route_counts_before_that_of_all() {
    let compose = compose(
        "listener:
  type: http-callback
  auth: {type: token, token: env:ALL}
  callbacks:
    - {path: /a}
    - {path: /b, auth: {type: token, token: env:ONE}}
",
    );
    let Routes::Callbacks(callbacks) = &compose.callback_servers[0].routes else {
        panic!("{compose:?}");
    };
    let shown = callbacks
        .iter()
        .map(|one| format!("{:?}", one.route.guard.proof));
    let shown: Vec<String> = shown.collect();
    assert!(
        shown[0].contains("ALL") && shown[1].contains("ONE"),
        "{shown:?}"
    );
}

#[test]
fn requests_say_where_to_and_what_completes_them() {
    let compose = compose(
        "listener: {type: http-callback, path: /c}
component:
  type: http-client
  base_url: http://x
  rate_limit: 10/s
  allow_hosts: [x, '*.example.org', 10.0.0.1, '[::1]']
  actions:
    - {id: a, path: /a, completion: {type: polling, path: /s, status: '${result.s}', success_when: [200, 2xx], interval: 200ms}}
    - {id: b, endpoint: http://y, completion: {type: callback, wait_for: '${context.run_id}', timeout: '${input.t}'}}
",
    );
    let ComponentKind::HttpClient(client) = &compose.components[0].kind else {
        panic!("{compose:?}");
    };
    let [a, b] = client.actions.as_slice() else {
        panic!("{compose:?}");
    };
    assert!(matches!(&a.call.target, Target::Path(path) if path.as_str() == "/a"));
    assert!(matches!(&b.call.target, Target::Endpoint(url) if url.as_str() == "http://y"));
    let Some(Completion::Polling(polling)) = &a.call.completion else {
        panic!("{a:?}");
    };
    assert_eq!(polling.success_when, ["200", "2xx"]);
    let pause = std::time::Duration::from_millis(200);
    assert_eq!(polling.interval, crate::model::Setting::Known(pause));
    assert!(matches!(&b.call.completion, Some(Completion::Callback(one)) if one.timeout.is_some()));
}

#[test]
fn requests_that_go_nowhere_are_refused() {
    for (keys, error) in [
        (
            "base_url: http://x, action: {}",
            "either endpoint or path is set",
        ),
        (
            "base_url: http://x, action: {path: /, endpoint: http://y}",
            "not both",
        ),
        ("action: {path: /}", "a path wants a base_url"),
        (
            "action: {endpoint: http://x, completion: {type: callback, wait_for: x}}",
            "nothing takes the callback that is waited for",
        ),
        (
            "action: {endpoint: http://x, completion: {type: polling, endpoint: http://y, interval: 0}}",
            "without a pause",
        ),
        (
            "action: {endpoint: http://x}, path: /y",
            "\"path\" is not read here, since \"action\"",
        ),
    ] {
        let shown = wrong(&format!("component: {{type: http-client, {keys}}}"));
        assert!(shown.contains(error), "{keys}: {shown}");
    }
}

#[test]
fn a_route_is_there_once_and_tells_requests_apart() {
    let read =
        |callbacks: &str| format!("listener: {{type: http-callback, callbacks: [{callbacks}]}}");
    let shown = wrong(&read("{path: /a}, {path: a, method: PUT}, {path: a}"));
    assert!(
        shown.ends_with("POST to this path is taken already, at f.yml:1:52"),
        "{shown}"
    );
    let shown = wrong(&read("{path: /a, identify_by: body.task_id}"));
    assert!(
        shown.contains("warning") && shown.contains("the same of each request"),
        "{shown}"
    );
}

#[test]
fn operators_that_adit_does_not_have_are_no_keys() {
    for body in [
        "{'...': '${input}'}",
        "{a: [{'+': [1, 2]}]}",
        "['...${input.list}']",
        "{'?': {input: 1}}",
        "{'*': '${input}', a: 1}",
        "{'|': '${input}'}",
    ] {
        let shown = wrong(&format!(
            "component: {{type: http-client, endpoint: http://x, body: {body}}}"
        ));
        assert!(
            shown.contains("does not have the operator"),
            "{body}: {shown}"
        );
    }
    compose("component: {type: http-client, endpoint: http://x, body: {a: '...', '...a': '*'}}");
}

#[test]
fn what_is_wrong_with_a_component_or_a_controller_is_told() {
    for (text, error) in [
        (
            "component: {type: shell, command: [ls], start: [x]}",
            "warning: component: \"start\" has no effect",
        ),
        ("component: {}", "the key \"type\" is missing"),
        (
            "component: {type: shell, command: []}",
            "the list names no program",
        ),
        (
            "component: {type: shell, command: [[]]}",
            "the list names no program",
        ),
        (
            "component: {type: shell, command: [ls], timeout: -1}",
            "a duration is not negative",
        ),
        (
            "component: {type: shell, action: {command: [ls]}, command: [df]}",
            "\"command\" is not read here, since \"action\" is there too",
        ),
        (
            "component: {type: shell, action: {command: [a]}, actions: []}",
            "\"action\" is not read, since \"actions\" is there too",
        ),
        (
            "component: {type: http-server, start: 'uvicorn server:app'}",
            "no shell reads it",
        ),
        (
            "component: {type: http-server, start: [x], manage: {restart: no}}",
            "\"start\" is not read here, since \"manage\" is there too",
        ),
        (
            "component: {type: http-server, manage: {start: [x], scripts: {}}}",
            "\"start\" is not read here, since \"scripts\" is there too",
        ),
        (
            "component: {type: http-server, manage: {restart: sometimes}}",
            "wanted \"no\", \"on-failure\" or \"always\"",
        ),
        (
            "component: {type: http-client, endpoint: http://x, allow_hosts: http://x}",
            "wanted a host",
        ),
        (
            "component: {type: http-client, endpoint: http://x, allow_hosts: ['x:80']}",
            "without a scheme and a port",
        ),
        (
            "component: {type: http-client, endpoint: http://x, allow_hosts: '*'}",
            "wanted a host",
        ),
        (
            "component: {type: http-client, endpoint: http://x, allow_hosts: []}",
            "the list names no host",
        ),
        (
            "component: {type: http-client, endpoint: http://x, rate_limit: often}",
            "wanted a rate",
        ),
        (
            "component: {type: http-client, endpoint: http://x, rate_limit: {requests: 1, period: 0}}",
            "a period is not nothing",
        ),
        (
            "component: {type: http-client, endpoint: http://x, completion: {}}",
            "the key \"type\" is missing",
        ),
        (
            "component: {type: http-client, endpoint: http://x, completion: {type: polling}}",
            "either endpoint or path is set",
        ),
        (
            "controller: {type: http-sever}",
            "did you mean \"http-server\"?",
        ),
        ("controller: {port: 1}", "the key \"type\" is missing"),
        (
            "controller: {port: 1, adapter: {type: http-server}}",
            "\"port\" is not read here, since \"adapter\" is there too",
        ),
        (
            "controller: {type: http-server, websocket: {ping_interval: x}}",
            "wanted a duration",
        ),
        ("logger: {type: console, path: x}", "unknown key \"path\""),
        ("logger: {type: console, level: loud}", "wanted \"debug\""),
    ] {
        let shown = wrong(text);
        assert!(shown.contains(error), "{text}: {shown}");
    }
}

/// Any page of the web could start programs: what model-compose has as a default does not count.
#[test]
fn any_origin_counts_only_beside_a_token() {
    let warning = warned("controller: {type: http-server, origins: '*, http://a'}");
    let words = "the page of any web site could start workflows here";
    assert!(warning.contains(words), "{warning}");
}

#[test]
fn origins_are_several_and_none_is_said_is_none() {
    for (keys, origins) in [
        ("", vec![]),
        (", origins: '*', token: 'env:TOKEN'", vec!["*"]),
        (
            ", origins: 'http://a, http://b/'",
            vec!["http://a", "http://b"],
        ),
        (
            ", origins: [http://a, http://b]",
            vec!["http://a", "http://b"],
        ),
    ] {
        let compose = compose(&format!("controller: {{type: http-server{keys}}}"));
        assert_eq!(compose.controller.unwrap().adapters[0].origins, origins);
    }
}
