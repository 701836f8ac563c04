use adit_text::Problems;

use super::*;
use crate::file::{Dialect, Environment, Files, Source};

fn compose(file: &str) -> Compose {
    let source = Source {
        name: "f.yml",
        bytes: file.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut problems = Problems::new();
    let mut environment = Environment::default();
    let seed = include_bytes!("../../tests/fixtures/model-compose/ssh-tunnel.env");
    environment.read_file("ssh-tunnel.env", seed, &mut problems);
    environment.say("WORD=hunter2hunter2").unwrap();
    let files = Files::parse(&[source], &environment, &mut problems).unwrap();
    let compose = files.compose(&mut problems);
    compose.unwrap_or_else(|| panic!("{problems}"))
}

/// The first workflow's schema.
fn schema(file: &str) -> Schema {
    let compose = compose(file);
    compose.schema(&compose.workflows[0])
}

fn json(fields: &[Field]) -> String {
    serde_json::to_string(fields).unwrap()
}

#[test]
fn the_seeds_example_has_the_schema_that_it_always_had() {
    let description =
        "Demonstrates using SSH tunnel to expose local callback listener to external services";
    let wanted = format!(
        r#"{{"workflow_id":"__workflow__","title":"SSH Tunnel Gateway Example","description":"{description}","input":[{{"name":"data","type":"string"}}],"output":[{{"name":"task_id","type":"string"}},{{"name":"result","type":"json"}}]}}"#
    );
    for file in [
        include_str!("../../tests/fixtures/model-compose/ssh-tunnel.yml"),
        include_str!("../../tests/fixtures/model-compose/ssh-tunnel-current.yml"),
    ] {
        let schema = schema(file);
        assert_eq!(serde_json::to_string(&schema).unwrap(), wanted);
    }
}

#[test]
fn a_variable_says_what_a_form_needs() {
    for (text, field) in [
        ("${input.a}", r#"{"name":"a","type":"string"}"#),
        (
            "${input.n as integer | 3 @(description how many)}",
            r#"{"name":"n","type":"integer","default":3,"description":"how many"}"#,
        ),
        (
            "${input.on as boolean | true}",
            r#"{"name":"on","type":"boolean","default":true}"#,
        ),
        (
            "${input.size as select/small,large | large}",
            r#"{"name":"size","type":"select","options":["small","large"],"default":"large"}"#,
        ),
        (
            "${input.tags as string[]}",
            r#"{"name":"tags","type":"string","is_list":true}"#,
        ),
        (
            "${input.photo as image/png;base64}",
            r#"{"name":"photo","type":"image","subtype":"png","format":"base64"}"#,
        ),
        (
            "${input.user.name}",
            r#"{"name":"user.name","type":"string"}"#,
        ),
        ("${input.of[0].x}", r#"{"name":"of[0].x","type":"string"}"#),
        ("${input as text}", r#"{"type":"text"}"#),
        // What a default cannot be is shown as it was written; the check of the file says so.
        (
            "before ${input.n as integer | many} behind",
            r#"{"name":"n","type":"integer","default":"many"}"#,
        ),
        // A default that is a variable is not known before the run.
        (
            "${input.k | ${context.run_id}}",
            r#"{"name":"k","type":"string"}"#,
        ),
    ] {
        let file = format!(
            "component: {{type: shell, command: [echo, \"{text}\"]}}\nworkflow: {{title: T}}\n"
        );
        let file = file.replace("{title: T}", "{component: __component__}");
        assert_eq!(json(&schema(&file).input), format!("[{field}]"), "{text}");
    }
}

#[test]
fn of_two_variables_with_one_name_the_first_counts() {
    let schema = schema(
        "
component: {type: shell, command: [echo, x]}
workflow:
  jobs:
    - {id: a, input: {x: '${input.n as integer}', y: '${input.m}'}}
    - {id: b, input: {x: '${input.n as text}'}, depends_on: [a]}
",
    );
    assert_eq!(
        json(&schema.input),
        r#"[{"name":"n","type":"integer"},{"name":"m","type":"string"}]"#
    );
}

#[test]
fn an_action_counts_only_where_the_whole_input_goes_there() {
    let schema = schema(
        "
component: {type: shell, command: [echo, '${input.inner}']}
workflow:
  jobs: [{id: a, input: {inner: '${input.outer}'}}]
",
    );
    assert_eq!(json(&schema.input), r#"[{"name":"outer","type":"string"}]"#);
}

#[test]
fn every_kind_of_job_is_asked_for_what_it_takes() {
    let schema = schema(
        "
component: {type: shell, command: [echo, x]}
workflow:
  jobs:
    - {id: wait, type: delay, duration: '${input.pause}'}
    - {id: pick, type: switch, input: '${input.language}', cases: [{value: '${input.ours}', then: a}], otherwise: a}
    - {id: loop, type: for-each, input: '${input.items as json}', do: {component: __component__}}
    - {id: a, input: {x: '${input.last}'}, interrupt: {before: {message: 'Go on, ${input.who}?'}}}
",
    );
    let names: Vec<&str> = schema
        .input
        .iter()
        .filter_map(|field| field.name.as_deref())
        .collect();
    assert_eq!(names, ["pause", "language", "ours", "items", "who", "last"]);
}

#[test]
fn a_workflow_that_runs_another_takes_and_gives_what_that_does() {
    let file = "
components:
  - {id: echo, type: shell, command: [echo, '${input.word}'], output: {said: '${result.stdout as text}'}}
  - {id: inner, type: workflow, workflow: inner}
  - {id: again, type: workflow, workflow: outer}
workflows:
  - {id: outer, jobs: [{id: a, component: inner}, {id: b, component: again}]}
  - {id: inner, component: echo}
";
    let schema = schema(file);
    assert_eq!(json(&schema.input), r#"[{"name":"word","type":"string"}]"#);
    assert_eq!(json(&schema.output), r#"[{"name":"said","type":"text"}]"#);
}

#[test]
fn outputs_are_those_of_the_jobs_that_nothing_waits_for() {
    let schema = schema(
        "
component: {type: shell, command: [echo, x], output: {lost: '${result.stdout}'}}
workflow:
  jobs:
    - {id: a, output: {between: '${output.x}'}}
    - {id: b, depends_on: [a], output: {deep: {kept: '${output.x as image}', text: 'a ${output.y as json}'}, list: ['${output.z}'], fixed: 7}}
",
    );
    assert_eq!(
        json(&schema.output),
        r#"[{"name":"deep.kept","type":"image"},{"name":"deep.text","type":"string"},{"name":"list[0]","type":"string"}]"#
    );
}

#[test]
fn what_the_environment_gave_is_not_shown() {
    let schema = schema(
        "
component: {type: shell, command: [echo, x]}
workflow: {job: {input: {key: '${input.key | ${env.WORD}}'}}}
",
    );
    assert_eq!(json(&schema.input), r#"[{"name":"key","type":"string"}]"#);
}
