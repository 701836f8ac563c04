//! The server that jobs ask: it does what their requests say, and remembers them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use adit_flow::expr::Value;
use adit_flow::http::{Client, Config, Request, Url};
use adit_flow::model::method::Method;
use adit_testkit::wait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::json;

/// One that runs until it is dropped.
pub(crate) struct StandIn {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

/// What it was asked, and what it is to answer.
pub(crate) struct Seen {
    client: Client,
    /// The body of each request to `/process`, `/script` and `/next`, in their order.
    asked: Mutex<Vec<String>>,
    /// What listeners have answered to each callback.
    answered: Mutex<Vec<String>>,
    /// What `/next` answers; the last one is repeated.
    next: Mutex<VecDeque<(u16, &'static str)>>,
    /// Where `/held` waits.
    pub(crate) release: Notify,
    calls: Mutex<JoinSet<()>>,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Seen {
            client: Client::new(Config::default()).unwrap(),
            asked: Mutex::default(),
            answered: Mutex::default(),
            next: Mutex::default(),
            release: Notify::new(),
            calls: Mutex::default(),
        });
        let router = Router::new()
            .route("/process", post(process))
            .route("/script", post(script))
            .route("/next", get(next).post(next))
            .route("/held", post(held))
            .route("/events", get(events))
            .route("/bytes", get(bytes))
            .with_state(Arc::clone(&seen));
        // The name that managed servers are asked by may be either address.
        let socket = TcpListener::bind(("localhost", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(socket, router).await.unwrap() });
        Self {
            port,
            seen,
            _serving: serving,
        }
    }
}

impl Seen {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// What listeners have answered, once there are so many answers.
    pub(crate) async fn answers(&self, count: usize) -> Vec<String> {
        wait::until_async("answers", || async {
            let answered = self.answered.lock().unwrap().clone();
            if answered.len() < count {
                Err(answered)
            } else {
                Ok(answered)
            }
        })
        .await
    }

    pub(crate) fn will_answer(&self, answers: &[(u16, &'static str)]) {
        *self.next.lock().unwrap() = answers.iter().copied().collect();
    }

    fn saw(&self, body: &Bytes) -> Value {
        let text = String::from_utf8(body.to_vec()).unwrap();
        self.asked.lock().unwrap().push(text);
        Value::from_json(body).unwrap_or_default()
    }

    /// Posts a callback, as somebody who has no idea of who waits for it.
    pub(crate) async fn call(&self, url: &str, body: Value) {
        let mut request = Request::new(Method::Post, Url::endpoint(url).unwrap());
        request.body = Some(body);
        let answer = self.client.ask(&request).await.unwrap();
        let answer = format!("{} {:?}", answer.status, answer.value.text_form());
        self.answered.lock().unwrap().push(answer);
    }

    fn call_later(self: &Arc<Self>, url: String, bodies: Vec<Value>) {
        let seen = Arc::clone(self);
        let mut calls = self.calls.lock().unwrap();
        while calls.try_join_next().is_some() {}
        calls.spawn(async move {
            for body in bodies {
                seen.call(&url, body).await;
            }
        });
    }
}

fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.as_map()?.get(name)
}

fn text(value: &Value, name: &str) -> String {
    let found = field(value, name).and_then(Value::as_text);
    found.unwrap_or_default().to_owned()
}

fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let answer = Response::builder().status(status);
    let answer = answer.header("content-type", content_type);
    answer.body(body.into()).unwrap()
}

/// The server of the `ssh-tunnel` example, without its second of sleep.
async fn process(State(seen): State<Arc<Seen>>, body: Bytes) -> Response<Body> {
    let asked = seen.saw(&body);
    let (data, task_id) = (text(&asked, "data"), text(&asked, "task_id"));
    let result = format!(
        r#"{{"processed_data":{:?},"length":{}}}"#,
        data.to_uppercase(),
        data.chars().count()
    );
    let callback = format!(r#"{{"task_id":{task_id:?},"result":{result}}}"#);
    seen.call_later(text(&asked, "callback_url"), vec![json(&callback)]);
    let body = format!(r#"{{"task_id":{task_id:?}}}"#);
    answer(200, "application/json", body)
}

/// Calls back with each of `before`, answers with `answer`, and calls back with each of `after`.
async fn script(State(seen): State<Arc<Seen>>, body: Bytes) -> Response<Body> {
    let asked = seen.saw(&body);
    let url = text(&asked, "url");
    let bodies = |name| {
        let list = field(&asked, name).and_then(Value::as_list);
        list.unwrap_or_default().to_vec()
    };
    for body in bodies("before") {
        seen.call(&url, body).await;
    }
    seen.call_later(url, bodies("after"));
    let given = field(&asked, "answer").cloned().unwrap_or_default();
    answer(200, "application/json", given.to_json().unwrap())
}

async fn next(State(seen): State<Arc<Seen>>, body: Bytes) -> Response<Body> {
    seen.saw(&body);
    let mut answers = seen.next.lock().unwrap();
    let (status, body) = match answers.len() {
        0 => (200, "{}"),
        1 => answers[0],
        _ => answers.pop_front().unwrap(),
    };
    answer(status, "application/json", body)
}

/// Answers when it is told to, one request each time.
async fn held(State(seen): State<Arc<Seen>>, body: Bytes) -> Response<Body> {
    seen.saw(&body);
    seen.release.notified().await;
    answer(200, "application/json", body)
}

async fn events() -> Response<Body> {
    let events = [
        "data: {\"x\":1}\n\n",
        ": nothing\n\ndata: {\"x\":\n",
        "data: 2}\n\n",
    ];
    let events = stream::iter(events.map(Ok::<_, std::io::Error>));
    answer(200, "text/event-stream", Body::from_stream(events))
}

async fn bytes(uri: Uri) -> Response<Body> {
    let body = uri.query().unwrap_or("none").to_owned();
    answer(200, "image/png", body)
}
