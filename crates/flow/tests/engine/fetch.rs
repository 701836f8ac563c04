//! What variables fetch, and from where.

use crate::support::Lab;

/// A component that may ask `localhost` alone, with what is said of its action and its job.
fn file(action: &str, job: &str) -> String {
    format!(
        "
component:
  type: http-client
  base_url: http://localhost:PORT
  allow_hosts: localhost
  action: {{method: POST, path: /next, {action}}}
workflow: {{job: {{{job}}}}}
"
    )
}

/// Security rule G94: where a list says which hosts may be asked, no input leads elsewhere.
#[tokio::test]
async fn a_variable_fetches_from_the_hosts_of_its_component_alone() {
    for (action, job) in [
        ("body: {a: '${input.url as json;url}'}", ""),
        ("params: {a: '${input.url as text;url}'}", ""),
        ("headers: {x-a: '${input.url as text;url}'}", ""),
        ("output: '${input.url as json;url}'", ""),
        (
            "completion: {type: polling, path: /next, interval: 10ms, success_when: ['2xx'], body: {a: '${input.url as json;url}'}}",
            "",
        ),
        ("", "input: {a: '${input.url as json;url}'}"),
        ("", "output: '${input.url as json;url}'"),
    ] {
        let lab = Lab::new(&file(action, job)).await;
        lab.stand_in.seen.will_answer(&[(200, r#"{"n":1}"#)]);
        let port = lab.stand_in.port;
        let run = async |host: &str| {
            let input = format!(r#"{{"url": "http://{host}:{port}/next"}}"#);
            lab.outcome(&input).await
        };
        let given = run("localhost").await;
        assert_eq!(given, r#"{"n":1}"#, "{action} {job}");
        // Neither an address of the same host nor another is on the list.
        for host in ["127.0.0.1", "[::1]", "metadata.example"] {
            let given = run(host).await;
            let words = format!("host {host} is not among those that may be asked");
            assert!(given.contains(&words), "{action} {job}: {given}");
        }
    }
}

/// A text that belongs to no component is bound by no component's list.
#[tokio::test]
async fn what_a_workflow_itself_fetches_is_nobodys_list() {
    let text = file("", "").replace("allow_hosts: localhost", "allow_hosts: example.org");
    let text = text.replace(
        "workflow: {job: {}}",
        "workflow: {output: '${input.url as json;url}', job: {type: delay, duration: 1ms}}",
    );
    let lab = Lab::new(&text).await;
    lab.stand_in.seen.will_answer(&[(200, r#"{"n":1}"#)]);
    let input = format!(
        r#"{{"url": "http://localhost:{}/next"}}"#,
        lab.stand_in.port
    );
    assert_eq!(lab.outcome(&input).await, r#"{"n":1}"#);
}
