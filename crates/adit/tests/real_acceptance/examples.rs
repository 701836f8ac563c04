//! model-compose's own examples, run: what they give is what their documents say.

use std::collections::BTreeSet;

use adit_testkit::process::Process;
use adit_testkit::require;
use serde_json::{Value, json};

use crate::support::{Folder, Ports, Said, fixture, wait_for_ends};

fn folder(example: &str) -> Folder {
    let folder = Folder::new();
    folder.write("model-compose.yml", &fixture(example));
    folder
}

#[track_caller]
fn given(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

#[track_caller]
fn run(example: &str, input: &Value) -> Value {
    given(&folder(example).say(&["run", "--input", &input.to_string()]))
}

#[test]
fn a_score_has_its_grade() {
    let said = folder("job-flow-if-current.yml").say(&["run", "--input", r#"{"score": 85}"#]);
    let rendered = "[Grade B] score=85 - Good job, keep it up.";
    // The order is the file's.
    let expected = format!(
        "{{\n  \"grade\": \"B\",\n  \"score\": 85,\n  \"message\": \"Good job, keep it up.\",\n  \
         \"rendered\": \"{rendered}\"\n}}\n"
    );
    assert_eq!(said.stdout, expected, "{}", said.stderr);
    for (score, grade) in [
        (90, "A"),
        (100, "A"),
        (89, "B"),
        (70, "B"),
        (69, "F"),
        (0, "F"),
    ] {
        let given = run("job-flow-if-current.yml", &json!({ "score": score }));
        assert_eq!(given["grade"], grade, "{score}");
    }
}

#[test]
fn a_language_has_its_greeting() {
    let said = folder("job-flow-switch-current.yml").say(&[
        "run",
        "--input",
        r#"{"language":"ko","name":"Kim"}"#,
    ]);
    let expected = "{\n  \"language\": \"Korean\",\n  \"message\": \"안녕하세요, Kim님!\",\n  \
                    \"rendered\": \"[Korean] 안녕하세요, Kim님!\"\n}\n";
    assert_eq!(said.stdout, expected, "{}", said.stderr);
    let given = run(
        "job-flow-switch-current.yml",
        &json!({"language": "fr", "name": "Kim"}),
    );
    let message = "Hi, Kim. (no localized greeting for 'fr')";
    assert_eq!(
        given,
        json!({"language": "Unknown", "message": message, "rendered": format!("[Unknown] {message}")})
    );
}

#[test]
fn a_choice_at_random_is_one_of_the_choices_and_a_workflow_has_to_be_named_among_several() {
    let folder = folder("job-flow-random-current.yml");
    let said = folder.say(&["run"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert!(said.stderr.contains("uniform-routing"), "{}", said.stderr);
    for (workflow, variants) in [
        ("uniform-routing", ["A", "B", "C"]),
        ("weighted-routing", ["control", "experiment", "canary"]),
    ] {
        let given = given(&folder.say(&["run", workflow]));
        let variant = given["variant"].as_str().unwrap();
        assert!(variants.contains(&variant), "{variant}");
        assert_eq!(given["rendered"], format!("Selected variant: {variant}"));
    }
}

#[test]
fn a_greeting_has_a_name_or_the_world() {
    let given = run("runtime-embedded-current.yml", &json!({"name": "x"}));
    assert_eq!(given, json!({"greeting": "hello from x"}));
    let given = run("runtime-embedded-current.yml", &json!({}));
    assert_eq!(given, json!({"greeting": "hello from world"}));
}

/// Nobody can be asked, so nothing is run; and whoever does not want to be asked says so.
#[test]
fn a_job_that_waits_for_a_person_says_so_where_there_is_none() {
    let folder = folder("job-flow-interrupt-current.yml");
    folder.write("a file", "");
    let said = folder.say(&["run"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(1), ""),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("waits for a person"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("--auto-resume"), "{}", said.stderr);
    let given = given(&folder.say(&["run", "--auto-resume"]));
    assert!(
        given["result"].as_str().unwrap().contains("a file"),
        "{given}"
    );
}

/// Both shapes; alone and attached, and by the API as the document has it.
#[test]
fn the_echo_server_gives_back_what_it_was_given() {
    require!("python3", "curl");
    for example in ["echo-server.yml", "echo-server-current.yml"] {
        let ports = Ports::instead_of(&[8000, 8080, 8081]);
        let folder = Folder::new().with_uvicorn();
        folder.write("model-compose.yml", &ports.put(&fixture(example)));
        let run = ["run", "--input", r#"{"text": "Hello, world!"}"#];
        let expected = "{\n  \"text\": \"Hello, world!\"\n}\n";
        let alone = folder.say(&run);
        assert_eq!(alone.stdout, expected, "{example}: {}", alone.stderr);
        wait_for_ends(&folder.stand_ins());
        assert_eq!(folder.say(&["up", "-d"]).code, Some(0));
        let attached = folder.say(&[&run[..], &["--attach"]].concat());
        assert_eq!(attached.stdout, expected, "{example}: {}", attached.stderr);
        let url = format!("http://localhost:{}/api/workflows/runs", ports.of(8080));
        let body = r#"{"input":{"text":"Hello, world!"}}"#;
        let (status, body) = crate::support::call_back(&folder, &url, body);
        assert_eq!(status, 200, "{body}");
        let id: Value = serde_json::from_str(&body).unwrap();
        let id = id["task_id"].as_str().unwrap();
        let expected = format!(
            r#"{{"task_id":"{id}","status":"completed","output":{{"text":"Hello, world!"}}}}"#
        );
        assert_eq!(body, expected, "{example}");
        assert_eq!(folder.say(&["down"]).code, Some(0));
        wait_for_ends(&folder.stand_ins());
    }
}

/// The other half is somebody's service, which the stand-in plays.
#[test]
fn what_a_shell_says_is_given_to_a_service() {
    require!("python3", "df");
    let ports = Ports::instead_of(&[8080, 8081, 7000]);
    let folder = Folder::new()
        .with_uvicorn()
        .with("OPENAI_API_KEY", "s3cr3t");
    let text = fixture("analyze-disk-usage.yml")
        .replace("https://api.openai.com/v1", "http://127.0.0.1:7000/v1");
    folder.write("model-compose.yml", &ports.put(&text));
    let port = ports.of(7000).to_string();
    let mut service = Process::spawn(&mut folder.command("uvicorn", &["app", "--port", &port]));
    service.wait_for_text("Uvicorn running");
    let said = folder.say(&["run"]);
    let given = given(&said);
    let usage = given["usage"].as_str().unwrap();
    assert!(usage.starts_with("Filesystem"), "{usage}");
    assert_eq!(given["advice"], format!("ADVICE ON {usage}"));
    assert!(!said.stderr.contains("s3cr3t"));
    service.kill();
}

/// Those with workflows that nobody can run without somebody's account are at least right; all of them are there.
#[test]
fn every_example_is_valid_in_either_shape() {
    let names: BTreeSet<String> = [
        "analyze-disk-usage",
        "echo-server",
        "echo-server-current",
        "http-tunnel-cloudflare-current",
        "http-tunnel-cloudflare-named-current",
        "http-tunnel-ngrok",
        "http-tunnel-ngrok-current",
        "job-flow-if-current",
        "job-flow-interrupt-current",
        "job-flow-random-current",
        "job-flow-switch-current",
        "runtime-embedded-current",
        "ssh-tunnel",
        "ssh-tunnel-current",
        "telegram-http-trigger-current",
    ]
    .map(str::to_owned)
    .into();
    for name in names {
        let folder = folder(&format!("{name}.yml"));
        folder.write(".env", &fixture("ssh-tunnel.env"));
        let variables = [
            "OPENAI_API_KEY=x",
            "CLOUDFLARE_TUNNEL_TOKEN=x",
            "TELEGRAM_BOT_TOKEN=x",
        ];
        let options = variables.iter().flat_map(|one| ["-e", *one]);
        let arguments: Vec<&str> = ["validate"].into_iter().chain(options).collect();
        let said = folder.say(&arguments);
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
        assert!(
            said.stdout
                .starts_with("✅ Configuration is valid (controller: http-server, ")
        );
    }
}
