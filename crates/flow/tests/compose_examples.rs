//! Every example of model-compose that is here is read, and each says what it always said.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use adit_flow::file::{Dialect, Environment, Files, Source};
use adit_flow::model::Compose;
use adit_flow::model::callback_server::Routes;
use adit_flow::model::component::Kind;
use adit_flow::model::expose::{ExposeConfig, Login};
use adit_text::Problems;
use proptest::prelude::*;

/// How much of what an example has.
#[derive(Debug, PartialEq)]
struct Found {
    gateways: usize,
    callbacks: usize,
    triggers: usize,
    components: usize,
    actions: usize,
    workflows: usize,
    jobs: usize,
    warnings: usize,
}

/// Of each example: gateways, callbacks, triggers, components, actions, workflows, jobs, warnings.
const EXAMPLES: [(&str, [usize; 8]); 15] = [
    ("analyze-disk-usage", [0, 0, 0, 2, 2, 1, 2, 0]),
    ("echo-server", [0, 0, 0, 1, 1, 1, 1, 0]),
    ("echo-server-current", [0, 0, 0, 1, 1, 1, 1, 0]),
    ("http-tunnel-cloudflare-current", [1, 1, 0, 1, 1, 1, 1, 0]),
    (
        "http-tunnel-cloudflare-named-current",
        [1, 1, 0, 1, 1, 1, 1, 0],
    ),
    ("http-tunnel-ngrok", [1, 1, 0, 1, 1, 1, 1, 0]),
    ("http-tunnel-ngrok-current", [1, 1, 0, 1, 1, 1, 1, 0]),
    ("job-flow-if-current", [0, 0, 0, 1, 1, 1, 4, 0]),
    // A variable in the text of a shell.
    ("job-flow-interrupt-current", [0, 0, 0, 1, 1, 1, 1, 1]),
    ("job-flow-random-current", [0, 0, 0, 1, 1, 2, 8, 0]),
    ("job-flow-switch-current", [0, 0, 0, 1, 1, 1, 5, 0]),
    ("runtime-embedded-current", [0, 0, 0, 1, 1, 1, 1, 0]),
    ("ssh-tunnel", [1, 1, 0, 1, 1, 1, 1, 0]),
    ("ssh-tunnel-current", [1, 1, 0, 1, 1, 1, 1, 0]),
    ("telegram-http-trigger-current", [0, 0, 1, 2, 2, 1, 2, 0]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model-compose")
}

/// The variables of the seed's own example file, and those that others name.
fn environment() -> Environment {
    let mut environment = Environment::default();
    let mut problems = Problems::new();
    for name in ["ssh-tunnel.env", "http-tunnel-ngrok.env"] {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        environment.read_file(name, &bytes, &mut problems);
    }
    assert!(problems.is_empty(), "{problems}");
    for name in [
        "CLOUDFLARE_TUNNEL_TOKEN",
        "OPENAI_API_KEY",
        "TELEGRAM_BOT_TOKEN",
    ] {
        environment.say(&format!("{name}=s3cr3t")).unwrap();
    }
    environment
}

fn read(name: &str, dialect: Dialect) -> (Compose, Problems) {
    let path = folder().join(format!("{name}.yml"));
    let bytes = std::fs::read(path).unwrap();
    let source = Source {
        name,
        bytes: &bytes,
        dialect,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &environment(), &mut problems).unwrap();
    let compose = files.compose(&mut problems);
    (compose.unwrap_or_else(|| panic!("{problems}")), problems)
}

fn found(compose: &Compose, problems: &Problems) -> Found {
    let mut found = Found {
        gateways: compose.exposes.len(),
        callbacks: 0,
        triggers: 0,
        components: compose.components.len(),
        actions: 0,
        workflows: compose.workflows.len(),
        jobs: compose.workflows.iter().map(|one| one.jobs.len()).sum(),
        warnings: problems.count(),
    };
    for listener in &compose.callback_servers {
        match &listener.routes {
            Routes::Callbacks(callbacks) => found.callbacks += callbacks.len(),
            Routes::Triggers(triggers) => found.triggers += triggers.len(),
        }
    }
    for component in &compose.components {
        found.actions += component.action_ids().len();
    }
    found
}

#[test]
fn every_example_is_read_as_it_always_was() {
    let files = std::fs::read_dir(folder()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files
        .filter_map(|name| Some(name.strip_suffix(".yml")?.to_owned()))
        .collect();
    names.sort();
    assert_eq!(names, EXAMPLES.map(|(name, _)| name));
    for (name, counts) in EXAMPLES {
        let (compose, problems) = read(name, Dialect::ModelCompose);
        let [
            gateways,
            callbacks,
            triggers,
            components,
            actions,
            workflows,
            jobs,
            warnings,
        ] = counts;
        let wanted = Found {
            gateways,
            callbacks,
            triggers,
            components,
            actions,
            workflows,
            jobs,
            warnings,
        };
        assert_eq!(found(&compose, &problems), wanted, "{name}: {problems}");
        // No example has a key that adit does not know.
        read(name, Dialect::Adit);
    }
}

#[test]
fn both_shapes_of_an_example_say_the_same() {
    for (old, new) in [
        ("ssh-tunnel", "ssh-tunnel-current"),
        ("echo-server", "echo-server-current"),
        ("http-tunnel-ngrok", "http-tunnel-ngrok-current"),
    ] {
        let (old, _) = read(old, Dialect::ModelCompose);
        let (new, _) = read(new, Dialect::ModelCompose);
        assert_eq!(old, new);
    }
}

#[test]
fn the_seed_example_says_where_its_tunnel_ends_and_how_to_log_in() {
    let (compose, _) = read("ssh-tunnel", Dialect::ModelCompose);
    let ExposeConfig::Ssh(gateway) = &compose.exposes[0].value else {
        panic!("{:?}", compose.exposes);
    };
    assert_eq!(gateway.host.value, "your-server.example.com");
    assert_eq!((gateway.port, gateway.user.as_str()), (22, "your-username"));
    let file = "~/.ssh/id_rsa".into();
    let passphrase = None;
    assert_eq!(gateway.login, Login::KeyFile { file, passphrase });
    assert_eq!(gateway.forwards.len(), 1);
    assert_eq!(gateway.forwards[0].remote.value, 9834);
    assert_eq!(gateway.forwards[0].port, 8090);
    let Kind::HttpServer(server) = &compose.components[0].kind else {
        panic!("{:?}", compose.components);
    };
    let start = server.manage.start.as_ref().unwrap().iter();
    let start: Vec<&str> = start.map(adit_flow::model::Text::as_str).collect();
    assert_eq!(
        start,
        ["uvicorn", "server:app", "--reload", "--port", "9000"]
    );
    // Components need not know how the gateway logs in.
    let private: Vec<&String> = compose.private_variables.iter().collect();
    assert_eq!(private, ["SSH_AUTH_TYPE", "SSH_KEYFILE", "SSH_USERNAME"]);
}

/// What is wrong with the seed's example where these are the variables.
fn wrong(entries: &[&str]) -> String {
    let bytes = std::fs::read(folder().join("ssh-tunnel.yml")).unwrap();
    let source = Source {
        name: "model-compose.yml",
        bytes: &bytes,
        dialect: Dialect::ModelCompose,
    };
    let mut environment = Environment::default();
    for entry in entries {
        environment.say(entry).unwrap();
    }
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &environment, &mut problems).unwrap();
    files.compose(&mut problems);
    problems.to_string()
}

#[test]
fn a_variable_that_is_not_set_is_told_once() {
    let shown = "\
model-compose.yml:13:11: the environment variable SSH_TUNNEL_HOST is not set
help: set it, or write ${env.SSH_TUNNEL_HOST | a default}
model-compose.yml:17:17: the environment variable SSH_USERNAME is not set
help: set it, or write ${env.SSH_USERNAME | a default}";
    assert_eq!(wrong(&[]), shown);
}

#[test]
fn the_other_way_to_log_in_needs_another_line_in_the_file() {
    let entries = [
        "SSH_TUNNEL_HOST=h",
        "SSH_USERNAME=u",
        "SSH_AUTH_TYPE=password",
        "SSH_PASSWORD=s3cr3t",
    ];
    let shown = "\
model-compose.yml:16:7: auth: the type is \"password\", and the key \"password\" is missing
help: write \"password: ${env.SSH_PASSWORD}\" below \"type\" and set SSH_PASSWORD; SSH_AUTH_TYPE alone does not change what the file names";
    assert_eq!(wrong(&entries), shown);
}

proptest! {
    /// Words and lines of an example in the wrong place, missing, or twice.
    #[test]
    fn no_slip_of_the_pen_is_too_strange(
        example in 0_usize..EXAMPLES.len(),
        slips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..4), 1..5),
        is_strict: bool,
    ) {
        let path = folder().join(format!("{}.yml", EXAMPLES[example].0));
        let text = std::fs::read_to_string(path).unwrap();
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n', ':']).collect();
        for (from, to, slip) in slips {
            let (from, to) = (from.index(words.len()), to.index(words.len()));
            match slip {
                0 => drop(words.remove(from)),
                1 => words.insert(to, words[from]),
                2 => words.swap(from, to),
                _ => words[to] = words[from],
            }
            prop_assume!(!words.is_empty());
        }
        let dialect = if is_strict { Dialect::Adit } else { Dialect::ModelCompose };
        let text = words.concat();
        let source = Source { name: "f.yml", bytes: text.as_bytes(), dialect };
        let mut problems = Problems::new();
        if let Some(files) = Files::parse(&[source], &environment(), &mut problems) {
            let before = problems.has_errors();
            let compose = files.compose(&mut problems);
            prop_assert!(before || compose.is_none() == problems.has_errors());
        }
        prop_assert!(!problems.to_string().contains("s3cr3t"), "{problems}");
    }
}
