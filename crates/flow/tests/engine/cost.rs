//! What a run costs that waits.

use adit_testkit::{measure, wait};
use rustix::process::getpid;

use crate::support::{CALLBACKS, Lab};

/// Bytes of memory for each run that waits for its callback, and for what the stand-in keeps of it in
/// this process: 3.8 KB were measured on 2026-11-22 in a debug build. `cargo xtask bench flow` measures
/// the program itself.
const MOST: u64 = 4_096;

#[tokio::test]
async fn a_run_that_waits_for_its_callback_costs_four_kibibytes_at_most() {
    let text = format!(
        "{CALLBACKS}
component:
  type: http-client
  base_url: http://127.0.0.1:PORT
  action:
    path: /script
    body:
      answer: {{}}
      data: ${{input.data}}
      callback_url: http://${{gateway:8090.public_address}}/callback
    completion: {{type: callback, wait_for: '${{context.run_id}}'}}
    output: {{task_id: '${{response.task_id}}', result: '${{result as json}}'}}
workflow: {{job: {{}}}}
"
    );
    let lab = Lab::new(&text).await;
    let rss = || measure::memory(getpid()).unwrap().rss_bytes;
    let mut tasks = Vec::new();
    // The first make the pools, the buffers and the connections that all share.
    let mut before = 0;
    for number in 0..WARM + RUNS {
        if number == WARM {
            before = rss();
        }
        tasks.push(lab.start(r#"{"data": "hello world"}"#));
        if number % AT_ONCE == AT_ONCE - 1 {
            wait::until_async("they wait", || async {
                let asked = lab.stand_in.seen.asked().len();
                if asked == number + 1 {
                    Ok(())
                } else {
                    Err(asked)
                }
            })
            .await;
        }
    }
    let waiting = |task| {
        let report = lab.engine.report(task).unwrap();
        matches!(
            report.jobs[0].hop,
            Some(adit_flow::exec::Hop::Callback { .. })
        )
    };
    wait::until_async("all wait", || async {
        if tasks.iter().all(waiting) {
            Ok(())
        } else {
            Err(())
        }
    })
    .await;
    let each = rss().saturating_sub(before) / u64::try_from(RUNS).unwrap();
    println!("a run that waits for its callback costs {each} bytes");
    assert!(each <= MOST, "{each} bytes");
    assert_eq!(lab.hub.len(), WARM + RUNS);
}

const WARM: usize = 1_000;
const RUNS: usize = 10_000;
const AT_ONCE: usize = 50;
