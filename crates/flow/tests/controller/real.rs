//! The page in a real browser, and a page of another site.

use std::net::SocketAddr;

use adit_flow::exec::{Hop, Interruption, JobReport, JobState, Phase, Report, Status};
use adit_flow::expr::Value;
use adit_flow::stream::ValueSource;
use adit_testkit::require;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::chromium::Browser;
use crate::fake::{Fake, SEED};
use crate::served::{Served, config};

fn job(report: &Report, id: &str, state: JobState, hop: Option<Hop>) -> JobReport {
    JobReport {
        id: id.to_owned(),
        name: None,
        state,
        hop,
        began: (state != JobState::Waiting).then_some(report.since),
        ended: None,
        attempt: u32::from(state != JobState::Waiting),
    }
}

#[tokio::test]
async fn a_person_runs_the_seeds_example_with_the_keyboard_alone() {
    let program = require!("chromium");
    let served = Served::seed().await;
    let mut browser = Browser::start(&program, "en-US").await;
    browser.open(&format!("http://{}/", served.page)).await;
    browser
        .until("document.querySelector('h2').textContent === 'SSH Tunnel Gateway Example'")
        .await;
    assert_eq!(
        browser.evaluate("document.title").await,
        "SSH Tunnel Gateway Example"
    );
    assert_eq!(
        browser
            .evaluate("document.querySelector('label').textContent")
            .await,
        "data"
    );
    // Past the link over the list, the title and the list, to the field.
    for _ in 0..10 {
        if browser.evaluate("document.activeElement.name").await == "data" {
            break;
        }
        browser.press("Tab").await;
    }
    browser.write("hello world").await;
    browser.picture("form").await;
    browser.press("Enter").await;
    let run = served.fake.run(0).await;
    assert_eq!(run.input.to_json().unwrap(), r#"{"data":"hello world"}"#);
    served.fake.change(&run.task, |report| {
        let hop = Hop::Callback {
            id: "01M807NV3HZQC4AYR6DP8W18NE".to_owned(),
            via: Some((8090, "gw.example:9834".to_owned())),
        };
        report.jobs = vec![job(report, "__job__", JobState::Running, Some(hop))];
    });
    browser
        .until("document.querySelector('.hop').textContent.includes('01M807NV3HZQC4AYR6DP8W18NE through gw.example:9834 → port 8090')")
        .await;
    browser.picture("progress").await;
    // Time goes on between two reports.
    let seconds = "parseFloat(document.querySelector('td.seconds').textContent)";
    let before = browser.evaluate(seconds).await;
    browser.until(&format!("{seconds} > {before}")).await;
    served.fake.change(&run.task, |report| {
        report.jobs = vec![job(report, "__job__", JobState::Done, None)];
    });
    served.fake.complete(
        &run.task,
        r#"{"task_id":"01M8","result":{"processed_data":"HELLO WORLD","length":11}}"#,
    );
    browser
        .until("document.querySelector('#output-text')")
        .await;
    let output = browser
        .evaluate("document.querySelector('#output-text').textContent")
        .await;
    let wanted = "{\n  \"task_id\": \"01M8\",\n  \"result\": {\n    \"processed_data\": \"HELLO WORLD\",\n    \"length\": 11\n  }\n}";
    assert_eq!(output, wanted);
    assert_eq!(
        browser
            .evaluate("document.querySelector('#status').textContent")
            .await,
        "completed"
    );
    browser.picture("output").await;
    // A reload finds the run again, and starts none.
    browser.call("Page.reload", json!({})).await;
    browser
        .until("document.querySelector('#output-text').textContent.includes('HELLO WORLD')")
        .await;
    assert_eq!(served.fake.started().len(), 1);
    // A second run, and one that fails.
    browser
        .evaluate("document.querySelector('form button.main').click()")
        .await;
    let run = served.fake.run(1).await;
    served.fake.fail(&run.task, "<b>Task failed</b> for '8'");
    browser
        .until(
            "document.querySelector('#output pre').textContent === \"<b>Task failed</b> for '8'\"",
        )
        .await;
    assert_eq!(
        browser
            .evaluate("document.querySelector('#output b')")
            .await,
        json!(null)
    );
    browser.check().await;
}

const WIDGETS: &str = "
component: {type: shell, command: [echo, x]}
workflows:
  - id: widgets
    title: All kinds of input
    description: One field of each kind.
    job:
      input:
        name: ${input.user.name @(description Who you are)}
        essay: ${input.essay as text | once}
        count: ${input.count as integer | 3}
        size: ${input.size as select/small,large | large}
        loud: ${input.loud as boolean}
        tags: '${input.tags as string[]}'
        extra: ${input.extra as json}
        photo: ${input.photo as image}
      output: {photo: '${output.photo as image}'}
  - {id: other, title: The other, component: __component__}
";

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==";

#[tokio::test]
async fn each_kind_of_input_has_its_widget() {
    use base64ct::{Base64, Encoding as _};

    let program = require!("chromium");
    let served = Served::file(WIDGETS).await;
    let mut browser = Browser::start(&program, "en").await;
    browser
        .open(&format!("http://{}/#/widgets", served.page))
        .await;
    browser
        .until("document.querySelectorAll('.field').length === 9")
        .await;
    // Each field has its label, and a label its field.
    let labels = "[...document.querySelectorAll('label')].every((it) => it.htmlFor === 'token' || document.getElementById(it.htmlFor))";
    assert_eq!(browser.evaluate(labels).await, json!(true));
    let kinds = "[...document.querySelectorAll('.field [name]')].map((it) => it.type).join(' ')";
    let wanted = "text textarea text select-one checkbox textarea textarea file textarea";
    assert_eq!(browser.evaluate(kinds).await, wanted);
    let fill = |name: &str, value: &str| {
        let value = json!(value);
        format!("document.querySelector('[name=\"{name}\"]').value = {value}")
    };
    browser.evaluate(&fill("user.name", "김")).await;
    browser.evaluate(&fill("tags", "a\nb")).await;
    browser.evaluate(&fill("extra", "{bad")).await;
    browser
        .evaluate("document.querySelector('[name=loud]').click()")
        .await;
    browser.picture("widgets").await;
    let send = "document.querySelector('form.card').requestSubmit()";
    browser.evaluate(send).await;
    // What is wrong is said at its field, which has the focus, and nothing starts.
    browser
        .until("document.activeElement.name === 'extra'")
        .await;
    assert_eq!(
        browser
            .evaluate("document.activeElement.getAttribute('aria-invalid')")
            .await,
        "true"
    );
    assert!(served.fake.started().is_empty());
    browser.evaluate(&fill("extra", "[1, null]")).await;
    browser.evaluate(send).await;
    let run = served.fake.run(0).await;
    let wanted = r#"{"user":{"name":"김"},"essay":"once","count":3,"size":"large","loud":true,"tags":["a","b"],"extra":[1,null]}"#;
    assert_eq!(run.input.to_json().unwrap(), wanted);
    served
        .fake
        .complete(&run.task, &format!(r#"{{"photo":"{PNG}"}}"#));
    browser
        .until("document.querySelector('img.media').naturalWidth === 5")
        .await;
    // With a file the form goes as one.
    let folder = tempfile::tempdir().unwrap();
    let photo = Base64::decode_vec(PNG).unwrap();
    let dot = folder.path().join("dot.png");
    std::fs::write(&dot, &photo).unwrap();
    browser.choose("[name=photo]", &dot).await;
    browser.evaluate(send).await;
    let run = served.fake.run(1).await;
    let input = run.input.as_map().unwrap();
    assert_eq!(input["photo"], Value::Bytes(photo.as_slice().into()));
    assert_eq!(input["user"].to_json().unwrap(), r#"{"name":"김"}"#);
    assert_eq!(input["tags"].to_json().unwrap(), r#"["a","b"]"#);
    served.fake.change(&run.task, |report| {
        report.status = Status::Completed;
        report.output = Value::Bytes(photo.as_slice().into());
    });
    browser.until("document.querySelector('img.media').naturalWidth === 5 && document.querySelector('[download]')").await;
    // What comes piece by piece is shown as it comes.
    browser.evaluate(send).await;
    let run = served.fake.run(2).await;
    let pieces = ["안녕", ", ", "세상"].map(|piece| Ok(Value::from(piece)));
    let pieces = futures_util::stream::iter(pieces);
    served.fake.change(&run.task, |report| {
        report.status = Status::Completed;
        report.output = ValueSource::new(Box::pin(pieces)).into_value();
    });
    browser
        .until("document.querySelector('#output-text').textContent === '안녕, 세상'")
        .await;
    browser.check().await;
}

#[tokio::test]
async fn a_person_answers_and_cancels() {
    let program = require!("chromium");
    let served = Served::seed().await;
    let mut browser = Browser::start(&program, "ko-KR").await;
    browser.shrink().await;
    browser.darken().await;
    browser.open(&format!("http://{}/", served.page)).await;
    browser
        .until("document.querySelector('button[type=submit]').textContent === '실행'")
        .await;
    assert_eq!(
        browser.evaluate("document.documentElement.lang").await,
        "ko"
    );
    browser
        .evaluate("document.querySelector('form.card').requestSubmit()")
        .await;
    let run = served.fake.run(0).await;
    served.fake.change(&run.task, |report| {
        report.jobs = vec![
            job(report, "review", JobState::Interrupted, None),
            job(report, "publish", JobState::Waiting, None),
        ];
    });
    let interruption = Interruption {
        job_id: "review".to_owned(),
        phase: Phase::Before,
        message: Some("이대로 보낼까요?".to_owned()),
        metadata: Value::from_json(br#"{"draft":"hello"}"#).unwrap(),
    };
    served.fake.interrupt(&run.task, interruption);
    browser
        .until("document.activeElement.id === 'answer-review'")
        .await;
    browser.write(r#"{"ok": true}"#).await;
    browser.picture("person").await;
    // Nothing is wider than a telephone.
    let width = browser
        .evaluate("document.documentElement.scrollWidth")
        .await;
    assert!(width.as_u64().unwrap() <= 360, "{width}");
    browser.press("Tab").await;
    browser.press("Space").await;
    browser.until("!document.querySelector('.person')").await;
    let resumed = served.fake.resumed();
    assert_eq!(resumed[0].0, "review");
    let said = resumed[0].1.as_ref().unwrap();
    assert_eq!(said.to_json().unwrap(), r#"{"ok":true}"#);
    browser
        .evaluate("document.querySelector('button.push').click()")
        .await;
    browser
        .until("document.querySelector('#status').className === 'status cancelling'")
        .await;
    served
        .fake
        .change(&run.task, |report| report.status = Status::Cancelled);
    browser
        .until("document.querySelector('#status').textContent === '중지됨'")
        .await;
    browser
        .until("document.querySelector('button[type=submit]').textContent === '다시 실행'")
        .await;
    browser.check().await;
}

#[tokio::test]
async fn the_page_asks_for_the_token_once() {
    let program = require!("chromium");
    let mut config = config();
    config.adapters[0].token = Some(adit_text::SecretSource::Value("t0ken-of-tests".to_owned()));
    let served = Served::of(Fake::of(SEED), &config, Some("t0ken-of-tests")).await;
    let mut browser = Browser::start(&program, "zh-TW").await;
    browser.open(&format!("http://{}/", served.page)).await;
    let label = "document.querySelector('dialog[open] label').textContent === '此控制器的權杖'";
    browser.until(label).await;
    browser.write("wrong").await;
    browser.press("Enter").await;
    browser
        .until("document.querySelector('#token-bad').textContent === '權杖錯誤。'")
        .await;
    browser.picture("token").await;
    browser.write("t0ken-of-tests").await;
    browser.press("Enter").await;
    browser
        .until("document.querySelector('button[type=submit]').textContent === '執行'")
        .await;
    browser.call("Page.reload", json!({})).await;
    browser.until("document.querySelector('h2')").await;
    assert_eq!(
        browser
            .evaluate("document.querySelector('dialog').open")
            .await,
        json!(false)
    );
    browser.check().await;
}

/// Tries whatever a page of another origin can: forms of all kinds, with and without script, and
/// requests that need no leave. At the end `done` is true.
fn attack(target: SocketAddr) -> String {
    format!(
        r#"<!doctype html><title>attack</title>
<form id="plain" method="post" enctype="text/plain" action="http://{target}/api/workflows/runs" target="a"><input name='{{"x":"' value='"}}'></form>
<form id="url" method="post" action="http://{target}/api/workflows/runs" target="b"><input name="input[data]" value="x"></form>
<form id="parts" method="post" enctype="multipart/form-data" action="http://{target}/api/workflows/runs" target="c"><input name="input[data]" value="x"></form>
<iframe name="a"></iframe><iframe name="b"></iframe><iframe name="c"></iframe>
<script>
const url = "http://{target}/api/workflows/runs";
const seen = [];
window.done = false;
async function attempt(name, promise) {{
  try {{ const answer = await promise; seen.push(name + " " + answer.type + answer.status); }}
  catch (error) {{ seen.push(name + " refused"); }}
}}
function load(frame, form) {{
  return new Promise((done) => {{
    frame.onload = done;
    document.getElementById(form).submit();
  }});
}}
(async () => {{
  for (const kind of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {{
    for (const mode of ["no-cors", "cors"]) {{
      await attempt(kind + " " + mode, fetch(url, {{ method: "POST", mode, body: "{{}}", headers: {{ "Content-Type": kind }} }}));
    }}
  }}
  await attempt("beacon", Promise.resolve({{ type: navigator.sendBeacon(url, new Blob(["a=1"], {{ type: "text/plain" }})), status: "" }}));
  await attempt("read", fetch("http://{target}/api/workflows"));
  const frames = document.querySelectorAll("iframe");
  await load(frames[0], "plain");
  await load(frames[1], "url");
  await load(frames[2], "parts");
  await new Promise((done) => {{
    const socket = new WebSocket("ws://{target}/api/ws");
    socket.onopen = () => {{ seen.push("socket open"); done(); }};
    socket.onerror = () => {{ seen.push("socket refused"); done(); }};
  }});
  window.seen = seen;
  window.done = true;
}})();
</script>"#
    )
}

async fn show(mut stream: TcpStream, page: String) {
    let mut request = [0; 4096];
    // A browser also connects ahead of need, and then says nothing.
    if matches!(stream.read(&mut request).await, Ok(1..)) {
        let length = page.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        drop(stream.write_all((head + &page).as_bytes()).await);
    }
}

/// Serves one page to whoever asks.
async fn serve(page: String, tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut visits = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            visits.spawn(show(stream, page.clone()));
        }
    });
    port
}

#[tokio::test]
async fn a_page_of_another_origin_starts_nothing() {
    let program = require!("chromium");
    let served = Served::seed().await;
    let mut tasks = JoinSet::new();
    let mut browser = Browser::start(&program, "en").await;
    for target in [served.api, served.page] {
        let port = serve(attack(target), &mut tasks).await;
        // One is another site, the other the same site at another port.
        for host in ["localhost", "127.0.0.1"] {
            browser.open(&format!("http://{host}:{port}/")).await;
            browser.until("window.done").await;
            let seen = browser.evaluate("window.seen").await;
            let seen: Vec<&str> = seen
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.as_str().unwrap())
                .collect();
            assert_eq!(seen.len(), 9, "{seen:?}");
            for seen in seen {
                // Opaque answers tell nothing; anything that tells is refused.
                let is_right = seen.ends_with("refused")
                    || seen.contains("opaque0")
                    || seen.starts_with("beacon");
                assert!(is_right, "{seen}");
            }
        }
    }
    assert!(served.fake.started().is_empty());
}
