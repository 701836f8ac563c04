//! Many runs at once.

use std::collections::BTreeSet;

use crate::support::{CALLBACKS, Lab, json, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_that_wait_at_once_end_once_each_with_their_own() {
    let text = format!(
        "{CALLBACKS}
component:
  type: http-client
  base_url: http://127.0.0.1:PORT
  action:
    path: /process
    body:
      data: ${{input.data}}
      callback_url: http://${{gateway:8090.public_address}}/callback
      task_id: ${{context.run_id}}
    completion: {{type: callback, wait_for: '${{context.run_id}}'}}
    output: {{id: '${{response.task_id}}', data: '${{result.processed_data}}'}}
workflow: {{job: {{}}}}
"
    );
    let lab = Lab::new(&text).await;
    let start = |number: usize| lab.start(&format!(r#"{{"data": "run {number}"}}"#));
    let tasks: Vec<_> = (0..RUNS).map(start).collect();
    let mut ids = BTreeSet::new();
    for (number, task) in tasks.iter().enumerate() {
        let output = json(&outcome(&lab.ended(task).await));
        let output = output.as_map().unwrap();
        let data = output["data"].as_text().unwrap();
        assert_eq!(data, format!("RUN {number}"));
        ids.insert(output["id"].as_text().unwrap().to_owned());
    }
    assert_eq!(ids.len(), RUNS);
    assert!(lab.hub.is_empty());
    assert_eq!(lab.engine.running(), 0);
    let answered = lab.stand_in.seen.answers(RUNS).await;
    assert_eq!(answered.len(), RUNS);
    assert!(answered.iter().all(|answer| answer == r#"200 Ok("")"#));
}

const RUNS: usize = 1_000;
