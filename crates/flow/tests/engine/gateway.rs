//! Jobs that need a gateway, which is not always up.

use adit_flow::exec::{Hop, Report, Status};
use adit_flow::expose::{PublicAddress, State};

use crate::support::{CALLBACKS, Lab, outcome};

fn file() -> String {
    format!(
        "{CALLBACKS}
component:
  type: http-client
  base_url: http://localhost:PORT
  action:
    path: /process
    body:
      data: hi
      callback_url: http://${{gateway:8090.public_address}}/callback
      task_id: ${{context.run_id}}
    completion: {{type: callback, wait_for: '${{context.run_id}}', timeout: 15s}}
    output: ${{result.processed_data}}
workflow: {{job: {{}}}}
"
    )
}

fn waits_for_the_gateway(report: &Report) -> bool {
    report.jobs[0].hop == Some(Hop::Gateway { port: 8090 })
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stays_down_is_an_error_and_nothing_is_sent() {
    let lab = Lab::without_gateway(&file()).await;
    let reason = State::Down(String::from("gw.example refused the key"));
    lab.addresses.set(0, 8090, reason);
    assert_eq!(
        lab.outcome("{}").await,
        "port 8090 is not public: gw.example refused the key"
    );
    assert!(lab.stand_in.seen.asked().is_empty());
    assert!(lab.hub.is_empty());
}

#[tokio::test]
async fn a_job_goes_on_when_its_gateway_is_up() {
    let lab = Lab::without_gateway(&file()).await;
    let task = lab.start("{}");
    lab.until(&task, "it waits", waits_for_the_gateway).await;
    assert!(lab.stand_in.seen.asked().is_empty());
    lab.connect();
    assert_eq!(outcome(&lab.ended(&task).await), r#""HI""#);
}

#[tokio::test]
async fn a_job_that_waits_for_a_gateway_can_be_cancelled() {
    let lab = Lab::without_gateway(&file()).await;
    let task = lab.start("{}");
    lab.until(&task, "it waits", waits_for_the_gateway).await;
    lab.engine.cancel(&task).unwrap();
    assert_eq!(lab.ended(&task).await.status, Status::Cancelled);
}

#[tokio::test]
async fn each_part_of_an_address_can_be_asked_for() {
    let text = file().replace(
        "data: hi",
        "data: '${gateway:8090.public_url} ${gateway:8090.public_host} ${gateway:8090.public_port} ${gateway:8090.local_port}'",
    );
    let lab = Lab::without_gateway(&text).await;
    let address = PublicAddress::of_port("127.0.0.1", lab.listener);
    lab.addresses.set(0, 8090, State::Up(address));
    let port = lab.listener;
    assert_eq!(
        lab.outcome("{}").await,
        format!(r#""HTTP://127.0.0.1:{port} 127.0.0.1 {port} 8090""#)
    );
}
