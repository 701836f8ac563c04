use adit_text::Problems;

use crate::file::{Dialect, Environment, Files, Source};

/// What is wrong with a file, of which `K` is `s3cr3t` in the environment and `F` is `nobody`.
fn wrong(text: &str, dialect: Dialect) -> String {
    let source = Source {
        name: "f.yml",
        bytes: text.as_bytes(),
        dialect,
    };
    let mut problems = Problems::new();
    let mut environment = Environment::default();
    for entry in ["K=${inptu.s3cr3t}", "F=s3cr3t", "P=8090"] {
        environment.say(entry).unwrap();
    }
    let files = Files::parse(&[source], &environment, &mut problems).unwrap();
    files.compose(&mut problems);
    problems.to_string()
}

/// A file in which a job says something, between others.
fn job(says: &str) -> String {
    format!(
        "component: {{id: c, type: shell, command: [ls]}}
workflow: {{jobs: [{{id: one, component: c}}, {{id: two, component: c, depends_on: [one], {says}}}]}}"
    )
}

fn action(says: &str) -> String {
    format!("component: {{type: http-client, endpoint: http://x, {says}}}")
}

fn listener(says: &str) -> String {
    format!("listener: {{type: http-callback, path: /c, identify_by: '${{body.id}}', {says}}}")
}

#[test]
fn what_is_known_where_it_stands_is_right() {
    for text in [
        job("input: {a: '${input.a}', b: '${jobs.one.output.x | ${context.task_id}}'}"),
        job("output: '${output}', on_error: {output: '${error.message} ${input}'}"),
        job("repeat_count: '${input.n}', output: '${jobs.two.output}'"),
        job("interrupt: {before: {message: '${job.input}', condition: {input: '${input}', value: 1}}, after: {metadata: ['${job.output}', '${output}']}}"),
        "workflow: {job: {type: for-each, input: '${input.list}', do: {component: {type: shell, command: [ls, '${input}']}, input: '${item} ${index}', output: '${output} ${item}', on_error: {output: '${error.message}${index}'}}}, output: '${output}'}".to_owned(),
        action("body: {a: '${input.a}', b: '${context.run_id}'}, output: ['${response}', '${response[].x}', '${result as json}', '${result[]}', '${output}']"),
        listener("item: '${body.items}', result: ['${item}', '${query.x}']"),
        "listener: {type: http-trigger, path: /t, workflow: '${body.w}', input: {q: '${query}', i: '${item}'}}".to_owned(),
        // Values of the environment are no variables.
        job("input: 'a ${env.K}'"),
        "{gateway: {type: http-tunnel, driver: ngrok, port: 8090}, component: {type: shell, command: [curl, 'http://${gateway:${env.P}.public_url}']}}".to_owned(),
        "component: {type: shell, command: [curl, '${gateway:1.public_url | http://localhost:1}']}".to_owned(),
        // What is started reads its own variables.
        "component: {type: http-server, start: [sh, -c, 'exec serve ${PORT}'], path: /}".to_owned(),
    ] {
        assert_eq!(wrong(&text, Dialect::Adit), "", "{text}");
    }
}

#[test]
fn a_source_that_nobody_knows_is_a_warning_at_its_place() {
    for (text, warning) in [
        (
            job("input: §'${inptu.a}'"),
            "\"inptu\" is not known here\nhelp: did you mean \"input\"?",
        ),
        (
            job("input: {a: §'x ${input.a | ${boddy}}'}"),
            "\"boddy\" is not known here\nhelp: known are: input, jobs, context",
        ),
        (
            job("input: §'${output}'"),
            "\"output\" is not known here\nhelp: known are: input, jobs, context",
        ),
        (
            job("output: §'${result}'"),
            "\"result\" is not known here\nhelp: known are: input, jobs, context, output",
        ),
        (
            job("output: §'${output[]}'"),
            "\"output[]\" is not known here\nhelp: known are: input, jobs, context, output",
        ),
        (
            job("input: §'${item}'"),
            "\"item\" is not known here\nhelp: known are: input, jobs, context",
        ),
        (
            job("input: §'${jobs.oen.output}'"),
            "there is no job \"oen\" in this workflow\nhelp: did you mean \"one\"?",
        ),
        (
            job("input: §'${jobs.${env.F}.output}'"),
            "the environment names no job of this workflow",
        ),
        (
            job("input: §'${a${env.F}}'"),
            "a variable that the environment names is not known here",
        ),
        (
            job("input: §'${gateway:1.public_url | x}'"),
            "an address is known in actions of components alone\nhelp: move it into the component's action",
        ),
        (
            action("body: §'${jobs.a.output}'"),
            "\"jobs\" is not known here\nhelp: known are: input, context, response, result, output, gateway:PORT",
        ),
        (
            action("body: §'${gateway:http.public_url}'"),
            "\"gateway:http\" is not known here\nhelp: known are: input, context, response, result, output, gateway:PORT",
        ),
        (
            action("body: §'${env.K as list}'"),
            "\"env\" is not known here\nhelp: write ${env.NAME} or ${env.NAME | default}; \"as\" takes string, integer, number or boolean",
        ),
        (
            action("body: §'a ${1} b ${2}'"),
            "\"${\" begins no variable here and stays: a source's name begins with a letter from a to z or with an underscore",
        ),
        (
            action("body: §'${input.x | ${env.K}'"),
            "\"${\" begins no variable here and stays: the closing brace is missing",
        ),
        (
            listener("result: §'${input.x}'"),
            "\"input\" is not known here\nhelp: known are: body, item, query",
        ),
        (
            "component: {type: http-client, headers: {A: §'${input.x}'}, actions: [{endpoint: http://x}]}".to_owned(),
            "variables are not filled in here, so this stays as it is\nhelp: move it into the action",
        ),
    ] {
        let (before, _) = text.split_once('§').unwrap();
        let (line, column) = match before.rsplit_once('\n') {
            Some((_, before)) => (2, before.len() + 1),
            None => (1, before.len() + 1),
        };
        let text = text.replace('§', "");
        let warning = format!("f.yml:{line}:{column}: warning: {warning}");
        for dialect in [Dialect::Adit, Dialect::ModelCompose] {
            assert_eq!(wrong(&text, dialect), warning, "{text}");
        }
    }
}

#[test]
fn what_is_wrong_with_one_text_is_told_once() {
    let conditions = "[{value: 1, if_true: a}, {value: 2, if_true: a}]";
    let text = format!(
        "workflow: {{jobs: [{{id: i, type: if, input: '${{x}} ${{x}}', conditions: {conditions}}}, {{id: a, type: filter}}]}}"
    );
    let shown = wrong(&text, Dialect::Adit);
    assert_eq!(shown.matches("is not known here").count(), 1, "{shown}");
}
