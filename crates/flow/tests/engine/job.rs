//! Jobs that are tried again, repeated, or done for each item of a list.

use crate::support::Lab;

fn file(workflow: &str) -> String {
    format!(
        "
component:
  type: http-client
  base_url: http://localhost:PORT
  actions:
    - {{id: next, default: true, path: /next, body: '${{input}}'}}
    - {{id: script, path: /script, body: {{answer: '${{input}}'}}}}
workflow:
{workflow}
"
    )
}

#[tokio::test]
async fn a_job_is_tried_again_as_its_retry_says() {
    let retry = "  job: {retry: {max_attempt_count: 3, delay: 5ms, backoff: exponential}, output: '${output.n}'}";
    let lab = Lab::new(&file(retry)).await;
    lab.stand_in
        .seen
        .will_answer(&[(500, "{}"), (503, "{}"), (200, r#"{"n":3}"#)]);
    let task = lab.start("{}");
    let report = lab.ended(&task).await;
    assert_eq!(report.output.to_json().unwrap(), "3");
    assert_eq!(report.jobs[0].attempt, 3);
    lab.stand_in.seen.will_answer(&[(500, "{}")]);
    let error = lab.outcome("{}").await;
    assert!(
        error.contains("/next: request failed with status 500\n"),
        "{error}"
    );
    assert_eq!(lab.stand_in.seen.asked().len(), 6);
}

#[tokio::test]
async fn an_error_gives_something_else_or_leads_elsewhere() {
    let lab = Lab::new(&file(
        "
  jobs:
    - {id: ask, on_error: {output: {why: '${error.message}'}}}
    - {id: other, on_error: {to: instead}}
    - {id: never, depends_on: [other], type: filter, output: {never: true}}
    - {id: instead, type: filter, output: {instead: '${jobs.ask.output.why | nothing}'}}
    - {id: ignored, on_error: ignore}
",
    ))
    .await;
    lab.stand_in.seen.will_answer(&[(418, r#""teapot""#)]);
    let output = lab.outcome("{}").await;
    let port = lab.stand_in.port;
    let why = format!(
        r"POST http://localhost:{port}/next: request failed with status 418\nResponse: teapot"
    );
    let instead = output.split(r#""instead":"#).nth(1).unwrap_or(&output);
    assert!(output.contains(&format!(r#""why":"{why}""#)), "{output}");
    assert!(!instead.is_empty() && !output.contains("never"), "{output}");
}

#[tokio::test]
async fn repetitions_and_items_give_lists_in_their_order() {
    let lab = Lab::new(&file(
        "
  output: '${jobs}'
  jobs:
    - {id: thrice, action: script, repeat_count: '${input.count}', input: {x: 1}}
    - id: each
      type: for-each
      input: ${input.items}
      batch_size: 3
      do: {action: script, output: '${output} ${index}'}
    - id: inside
      type: for-each
      input: [[1, 2], [3]]
      do: {type: for-each, input: '${item}', do: {action: script, input: {n: '${item}'}, output: '${output.n}'}}
",
    ))
    .await;
    assert_eq!(
        lab.outcome(r#"{"count": 3, "items": ["a", "b", "c", "d", "e"]}"#)
            .await,
        r#"{"thrice":{"output":[{"x":1},{"x":1},{"x":1}]},"each":{"output":["a 0","b 1","c 2","d 3","e 4"]},"inside":{"output":[[1,2],[3]]}}"#
    );
    assert_eq!(
        lab.outcome(r#"{"count": 0, "items": []}"#).await,
        "f.yml:12:50: wanted a whole number of 1 or more, found 0"
    );
}

#[tokio::test]
async fn a_missing_or_empty_input_is_that_of_the_workflow() {
    for (input, wanted) in [
        ("", r#"{"w":1}"#),
        ("input: {}, ", r#"{"w":1}"#),
        ("input: '', ", r#"{"w":1}"#),
        ("input: '${input.missing}', ", r#"{"w":1}"#),
        ("input: 0, ", r#"{"w":1}"#),
        ("input: '0', ", r#""0""#),
        ("input: [0], ", "[0]"),
        ("input: '${input}', ", r#"{"w":1}"#),
    ] {
        let lab = Lab::new(&file(&format!("  job: {{{input}action: script}}"))).await;
        assert_eq!(lab.outcome(r#"{"w":1}"#).await, wanted, "{input}");
    }
}

#[tokio::test]
async fn one_of_a_group_is_enough_and_the_outputs_of_the_last_jobs_are_one() {
    let lab = Lab::new(&file(
        "
  jobs:
    - {id: which, type: if, conditions: [{input: '${input.left}', operator: eq, value: true, if_true: left, if_false: right}]}
    - {id: left, type: filter, output: {side: left}}
    - {id: right, type: filter, output: {side: right}}
    - {id: join, type: filter, depends_on: [[left, right]], output: {side: '${jobs.left.output.side | right}'}}
    - {id: z, type: filter, output: {last: 1, z: z}}
    - {id: a, type: filter, output: {last: 2, a: a}}
",
    ))
    .await;
    assert_eq!(
        lab.outcome(r#"{"left": true}"#).await,
        r#"{"side":"left","last":2,"z":"z","a":"a"}"#
    );
    assert_eq!(
        lab.outcome(r#"{"left": false}"#).await,
        r#"{"side":"right","last":2,"z":"z","a":"a"}"#
    );
}

#[tokio::test]
async fn a_workflow_inside_gives_its_output_and_its_error() {
    let text = "
components:
  - {id: inner, type: workflow, actions: [{id: one, default: true, workflow: secret, input: {n: '${input.n}'}, output: {inner: '${output}'}},
                                          {id: gone, workflow: '${input.which}'}]}
workflows:
  - {id: outer, default: true, job: {component: inner}}
  - {id: lost, job: {component: inner, action: gone}}
  - {id: secret, private: true, job: {type: filter, output: '${input.n as integer}'}}
";
    let lab = Lab::new(text).await;
    assert_eq!(lab.outcome(r#"{"n": "5"}"#).await, r#"{"inner":5}"#);
    let error = lab.outcome(r#"{"n": "x"}"#).await;
    assert!(error.contains("cannot be converted"), "{error}");
    let lost = lab
        .engine
        .start("lost", crate::support::json(r#"{"which": "w"}"#));
    let report = lab.ended(&lost.unwrap()).await;
    assert_eq!(report.error.as_deref(), Some("Workflow not found: w"));
    // Who serves strangers asks; the engine runs what it is told to.
    let private = lab
        .engine
        .start("secret", crate::support::json(r#"{"n": 1}"#));
    assert_eq!(
        lab.ended(&private.unwrap()).await.output.to_json().unwrap(),
        "1"
    );
}
