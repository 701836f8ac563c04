use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::http::Url;
use crate::model::method::Method;

/// One answer after the other, each with the time that it takes; then none ever.
struct Script {
    answers: Mutex<VecDeque<(Duration, Result<Answer, AskError>)>>,
    asked: Mutex<Vec<Duration>>,
    start: Instant,
}

impl Script {
    fn new(answers: Vec<(u64, Result<Answer, AskError>)>) -> Self {
        let answers = answers.into_iter();
        let answers = answers.map(|(ms, answer)| (Duration::from_millis(ms), answer));
        Self {
            answers: Mutex::new(answers.collect()),
            asked: Mutex::new(Vec::new()),
            start: Instant::now(),
        }
    }

    /// When each question was asked, in seconds.
    fn asked(&self) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(Duration::as_secs).collect()
    }
}

impl Ask for Script {
    async fn ask(&self, request: &Request) -> Result<Answer, AskError> {
        assert_eq!(request.timeout, Some(QUESTION_TIMEOUT));
        let now = self.start.elapsed();
        self.asked.lock().unwrap().push(now);
        let next = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        match next {
            Some((time, answer)) => {
                sleep(time).await;
                answer
            }
            None => std::future::pending().await,
        }
    }
}

fn request() -> Request {
    Request::new(Method::Get, Url::endpoint("http://h/jobs/1").unwrap())
}

fn rules(success: &[&str], fail: &[&str], interval: u64, timeout: u64) -> PollRules {
    let words = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect();
    PollRules {
        success_when: words(success),
        fail_when: words(fail),
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(timeout),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a question gives")]
fn answer(status: u16, value: Value) -> Result<Answer, AskError> {
    Ok(Answer { status, value })
}

fn refused() -> Result<Answer, AskError> {
    Err(AskError::Connect {
        asked: "GET http://h/jobs/1".to_owned(),
        reason: "Connection refused".to_owned(),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "a selector can fail")]
fn no_selector(_: &Value) -> Result<Option<Value>, Box<dyn Error + Send + Sync>> {
    Ok(None)
}

#[expect(clippy::unnecessary_wraps, reason = "a selector can fail")]
fn itself(value: &Value) -> Result<Option<Value>, Box<dyn Error + Send + Sync>> {
    Ok(Some(value.clone()))
}

#[test]
fn a_status_is_compared_as_text_and_a_code_by_its_digits() {
    let done = Judgement::Done;
    let failed = |text: &str| Judgement::Failed(Matched::Status(text.to_owned()));
    let failed_code = |code| Judgement::Failed(Matched::Code(code));
    let pending = Judgement::Pending;
    for (code, status, success, fail, expected) in [
        (
            200,
            Some(Value::from("done")),
            ["done", "ok"],
            "error",
            done.clone(),
        ),
        (
            200,
            Some("Done".into()),
            ["done", "ok"],
            "error",
            pending.clone(),
        ),
        (
            200,
            Some("error".into()),
            ["done", "ok"],
            "error",
            failed("error"),
        ),
        (200, Some("x".into()), ["x", ""], "x", done.clone()),
        (
            200,
            Some("running".into()),
            ["2xx", "200"],
            "4xx",
            pending.clone(),
        ),
        (500, Some(Value::Integer(3)), ["3", ""], "5xx", done.clone()),
        (
            500,
            Some(Value::Boolean(true)),
            ["true", ""],
            "5xx",
            done.clone(),
        ),
        (
            500,
            Some(Value::Boolean(false)),
            ["false", ""],
            "5xx",
            failed_code(500),
        ),
        (500, Some(Value::Null), ["2xx", ""], "5xx", failed_code(500)),
        (200, Some("".into()), ["2xx", ""], "5xx", done.clone()),
        (
            200,
            Some(Value::List(vec![])),
            ["2xx", ""],
            "5xx",
            done.clone(),
        ),
        (204, None, ["2xx", ""], "5xx", done.clone()),
        (204, None, ["200", "20X"], "5xx", done.clone()),
        (204, None, ["200", "21x"], "2xx", failed_code(204)),
        (204, None, ["2", "2xxx"], "x", pending.clone()),
        (204, None, ["", " 204 "], "", done),
        (404, None, ["200", "201"], "500", pending),
    ] {
        let rules = rules(&success, &[fail], 1, 1);
        let judged = rules.judge(code, status.as_ref());
        assert_eq!(judged, expected, "{code} {status:?} {success:?} {fail}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_pauses_before_each_question_until_it_is_done() {
    let script = Script::new(vec![
        (0, answer(200, "queued".into())),
        (1_000, answer(503, Value::Null)),
        (0, answer(200, "done".into())),
    ]);
    let rules = rules(&["done"], &["error"], 5, 300);
    let mut rounds = 0;
    let result = poll(&script, &request(), &rules, itself, |_| rounds += 1).await;
    assert_eq!(result.unwrap().value, "done".into());
    assert_eq!(script.asked(), [5, 10, 16]);
    assert_eq!(rounds, 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_what_matched() {
    for (answered, text) in [
        (answer(200, "error".into()), "status 'error'"),
        (answer(500, Value::Null), "status code '500'"),
    ] {
        let script = Script::new(vec![(0, answered)]);
        let rules = rules(&["2xx"], &["error", "5xx"], 1, 60);
        let result = poll(&script, &request(), &rules, itself, |_| ()).await;
        let expected = format!("Polling failed: {text} matched a failure condition.");
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_it_says_how_long_that_was() {
    // No answer at all, answers that say nothing, and a pause that is longer than the time.
    for (answers, interval, asked) in [
        (vec![], 5, vec![5]),
        (
            vec![(0, answer(200, Value::Null)), (0, answer(404, Value::Null))],
            100,
            vec![100, 200],
        ),
        (vec![], 1_000, vec![]),
    ] {
        let script = Script::new(answers);
        let rules = rules(&["done"], &[], interval, 300);
        let result = poll(&script, &request(), &rules, no_selector, |_| ()).await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "Polling timed out after 0:05:00"
        );
        assert_eq!(script.start.elapsed().as_secs(), 300);
        assert_eq!(script.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_asked_again_until_the_time_is_over() {
    let script = Script::new(vec![
        (0, refused()),
        (0, refused()),
        (0, answer(200, Value::Null)),
    ]);
    let back = rules(&["200"], &[], 1, 60);
    let result = poll(&script, &request(), &back, no_selector, |_| ()).await;
    assert_eq!(result.unwrap().status, 200);

    let script = Script::new(vec![(0, refused()), (0, refused()), (0, refused())]);
    let away = rules(&["200"], &[], 1, 3);
    let result = poll(&script, &request(), &away, no_selector, |_| ()).await;
    assert_eq!(
        result.unwrap_err().to_string(),
        "Polling timed out after 0:00:03; the last question failed: \
         GET http://h/jobs/1: cannot connect: Connection refused"
    );
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_answered_ends_it_at_once() {
    let host = AskError::Host {
        asked: "GET http://h/".to_owned(),
        host: "h".to_owned(),
    };
    let script = Script::new(vec![(0, Err(host))]);
    let rules = rules(&["200"], &[], 1, 60);
    let result = poll(&script, &request(), &rules, no_selector, |_| ()).await;
    let text = "GET http://h/: host h is not among those that may be asked";
    assert_eq!(result.unwrap_err().to_string(), text);
    assert_eq!(script.asked(), [1]);

    let script = Script::new(vec![(0, answer(200, Value::Null))]);
    let selector = |_: &Value| Err("no integer".into());
    let result = poll(&script, &request(), &rules, selector, |_| ()).await;
    assert_eq!(result.unwrap_err().to_string(), "status: no integer");
}

#[test]
fn a_time_is_written_as_model_compose_writes_it() {
    for (milliseconds, text) in [
        (300_000, "0:05:00"),
        (200, "0:00:00.200000"),
        (3_661_000, "1:01:01"),
        (86_400_000, "1 day, 0:00:00"),
        (200_000_001, "2 days, 7:33:20.001000"),
    ] {
        assert_eq!(Clock(Duration::from_millis(milliseconds)).to_string(), text);
    }
}
