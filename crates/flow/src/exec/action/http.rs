//! Asks servers, and waits for what completes an answer.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Known, On, gateways, streaming};
use crate::callback::{CallbackId, Failure, Outcome, Waiting};
use crate::exec::error::JobError;
use crate::exec::limits;
use crate::exec::names::Names;
use crate::exec::report::Hop;
use crate::exec::settle::settle;
use crate::expr::Value;
use crate::http::{self, Answer, Ask, AskError, PollRules, Request, Url};
use crate::model::component::{
    Action, CallbackCompletion, Completion, Hosts, HttpClient, HttpServer, Polling,
    Request as Asked, Target,
};
use crate::model::method::Method;
use crate::model::{Text, Written};
use crate::rate::Gate;
use crate::render;

/// What an action's component says of all its requests.
struct Base<'a> {
    url: Option<Cow<'a, str>>,
    headers: &'a [(String, Text)],
    /// How often its server may be asked.
    rate: Option<&'a Gate>,
    /// Which hosts may be asked. None is all.
    allow_hosts: Option<&'a Hosts>,
}

/// Asks for a poll, no more often than the server may be asked.
struct Paced<'a> {
    client: &'a http::Client,
    rate: Option<&'a Gate>,
}

impl Ask for Paced<'_> {
    async fn ask(&self, request: &Request) -> Result<Answer, AskError> {
        if let Some(rate) = self.rate {
            rate.pass().await;
        }
        self.client.ask(request).await
    }
}

/// Asks a server elsewhere.
pub(super) async fn ask_client(
    on: &On<'_>,
    place: Option<usize>,
    client: &HttpClient,
    action: &Action<Asked>,
    known: &mut Known,
) -> Result<Option<Expected>, JobError> {
    let url = client.base_url.as_ref();
    let url = url.map(|url| render::string(url, &known.names()));
    let base = Base {
        url: url.transpose()?.map(Cow::Owned),
        headers: &client.headers,
        rate: place.and_then(|place| on.run.engine.limits.rate(place)),
        allow_hosts: client.allow_hosts.as_ref(),
    };
    ask(on, &base, action, known).await
}

/// Asks a server that is kept here, once that is ready.
pub(super) async fn ask_server(
    on: &On<'_>,
    place: Option<usize>,
    server: &HttpServer,
    action: &Action<Asked>,
    known: &mut Known,
) -> Result<Option<Expected>, JobError> {
    if let Some(service) = place.and_then(|place| on.run.engine.tools.service(place)) {
        let ready = service.ready(limits::SERVICE_WAIT).await;
        ready.map_err(|error| JobError::chain(&error))?;
    }
    let url = format!("http://localhost:{}{}", server.port.value, server.base_path);
    let base = Base {
        url: Some(Cow::Owned(url)),
        headers: &server.headers,
        rate: None,
        allow_hosts: None,
    };
    ask(on, &base, action, known).await
}

/// Asks, and waits for what completes the answer unless that is a callback: it is given to who waits
/// for it, so that what asking takes is gone by then.
async fn ask(
    on: &On<'_>,
    base: &Base<'_>,
    action: &Action<Asked>,
    known: &mut Known,
) -> Result<Option<Expected>, JobError> {
    let ports = gateways::of_request(action);
    known.meet_gateways(on, &ports).await?;
    let asked = &action.call;
    let request = Parts {
        target: &asked.target,
        method: asked.method,
        headers: &asked.headers,
        params: &asked.params,
        body: asked.body.as_ref(),
    };
    let request = request.request(on, base, known).await?;
    // The waiter is there before the request goes out, so no callback is too early.
    let expecting = match &asked.completion {
        Some(Completion::Callback(callback)) => {
            Some(Expecting::new(on, callback, known, &request)?)
        }
        Some(Completion::Polling(_)) | None => None,
    };
    if let Some(rate) = base.rate {
        on.teller.at(Hop::Queue);
        rate.pass().await;
    }
    on.teller.at(Hop::Request {
        method: request.method.as_str(),
        // A key may be in the path.
        url: on
            .run
            .engine
            .tools
            .secrets
            .mask(&request.url.to_string())
            .into_owned(),
    });
    let answer = on.run.engine.tools.http.send(&request).await;
    let answer = answer.map_err(|error| JobError::chain(&error))?;
    known.response = Some(answer.value);
    match (&asked.completion, expecting) {
        (Some(Completion::Callback(callback)), Some(expecting)) => {
            expecting.begin(on, callback, known).map(Some)
        }
        (Some(Completion::Polling(polling)), _) => {
            known.result = Some(Box::pin(poll(on, base, polling, known)).await?);
            Ok(None)
        }
        (Some(Completion::Callback(_)) | None, _) => Ok(None),
    }
}

/// What the action gives in the end.
pub(super) async fn give(
    on: &On<'_>,
    hosts: Option<&Hosts>,
    action: &Action<Asked>,
    known: &mut Known,
) -> Result<Value, JobError> {
    let (name, chunk, format) = match &action.call.completion {
        None => ("response", "response[]", action.call.stream_format),
        Some(Completion::Polling(polling)) => ("result", "result[]", polling.stream_format),
        Some(Completion::Callback(callback)) => ("result", "result[]", callback.stream_format),
    };
    let came = match &action.call.completion {
        None => &mut known.response,
        Some(_) => &mut known.result,
    };
    let given = match &action.output {
        None => came.take().unwrap_or_default(),
        Some(output) => {
            if streaming::speaks_of_chunks(output, name)?
                && let Some(came) = came.clone()
                && let Some(stream) = streaming::mapped(known, output, &came, chunk, format)?
            {
                return Ok(stream);
            }
            render::tree(output, &known.names())?
        }
    };
    let tools = &on.run.engine.tools;
    settle(streaming::events(given, format)?, tools, hosts).await
}

/// The parts of a request as they were written.
struct Parts<'a> {
    target: &'a Target,
    method: Method,
    headers: &'a [(String, Text)],
    params: &'a [(String, Written)],
    body: Option<&'a Written>,
}

impl Parts<'_> {
    async fn request(
        &self,
        on: &On<'_>,
        base: &Base<'_>,
        known: &Known,
    ) -> Result<Request, JobError> {
        let (mut request, body) = self.rendered(base, &known.names())?;
        let tools = &on.run.engine.tools;
        if let Some(body) = body {
            request.body = Some(settle(body, tools, base.allow_hosts).await?);
        }
        for (_, value) in request.headers.iter_mut().chain(&mut request.params) {
            *value = settle(std::mem::take(value), tools, base.allow_hosts).await?;
        }
        Ok(request)
    }

    fn rendered(
        &self,
        base: &Base<'_>,
        names: &Names<'_>,
    ) -> Result<(Request, Option<Value>), JobError> {
        let url = match self.target {
            Target::Endpoint(text) => Url::endpoint(&render::string(text, names)?),
            Target::Path(text) => {
                let base = base.url.as_deref().unwrap_or_default();
                Url::under(base, &render::string(text, names)?)
            }
        };
        let url = url.map_err(|error| JobError::chain(&error))?;
        let mut request = Request::new(self.method, url);
        request.allow_hosts = base.allow_hosts.cloned();
        for (name, text) in base.headers {
            let value = Value::from(text.as_str());
            request.headers.push((name.clone(), value));
        }
        for (name, text) in self.headers {
            request
                .headers
                .push((name.clone(), render::text(text, names)?));
        }
        for (name, written) in self.params {
            request
                .params
                .push((name.clone(), render::tree(written, names)?));
        }
        let body = self.body.map(|written| render::tree(written, names));
        Ok((request, body.transpose()?))
    }
}

async fn poll(
    on: &On<'_>,
    base: &Base<'_>,
    polling: &Polling,
    known: &Known,
) -> Result<Value, JobError> {
    let parts = Parts {
        target: &polling.target,
        method: polling.method,
        headers: &polling.headers,
        params: &polling.params,
        body: polling.body.as_ref(),
    };
    let request = parts.request(on, base, known).await?;
    let names = known.names();
    let rules = PollRules {
        success_when: polling.success_when.clone(),
        fail_when: polling.fail_when.clone(),
        interval: render::duration(&polling.interval, &names)?,
        timeout: render::duration(&polling.timeout, &names)?,
    };
    on.teller.at(Hop::Polling);
    let status = |result: &Value| match &polling.status {
        None => Ok(None),
        Some(text) => {
            let names = names.with("result", result);
            Ok(Some(render::text(text, &names)?))
        }
    };
    let asker = Paced {
        client: &on.run.engine.tools.http,
        rate: base.rate,
    };
    let polled = http::poll(&asker, &request, &rules, status, |_| ()).await;
    let answer = polled.map_err(|error| JobError::chain(&error))?;
    Ok(answer.value)
}

/// A callback that may come from now on, although its request has not been answered.
struct Expecting {
    waiting: Waiting,
    /// None until the response has told it.
    id: Option<CallbackId>,
    /// The gateway that the request told of.
    via: Option<(u16, String)>,
}

impl Expecting {
    fn new(
        on: &On<'_>,
        callback: &CallbackCompletion,
        known: &Known,
        request: &Request,
    ) -> Result<Self, JobError> {
        let hub = &on.run.engine.tools.hub;
        let number = on.run.number;
        let waits_for_response = callback.wait_for.as_ref().is_some_and(|text| {
            let template = text.template();
            let mut variables = template.variables().into_iter();
            variables.any(|variable| variable.source().name() == "response")
        });
        let waiting = if waits_for_response {
            hub.expect(number).map(|waiting| (waiting, None))
        } else {
            let id = id(callback, known)?;
            let waiting = hub.expect_id(number, id.clone());
            waiting.map(|waiting| (waiting, Some(id)))
        };
        let (waiting, id) = waiting.map_err(|error| JobError::chain(&error))?;
        let compose = &on.run.engine.compose;
        let via = gateways::told(request, &known.gateways, compose);
        Ok(Self { waiting, id, via })
    }

    /// Nothing but the callback is waited for from now on.
    fn begin(
        mut self,
        on: &On<'_>,
        callback: &CallbackCompletion,
        known: &Known,
    ) -> Result<Expected, JobError> {
        let id = if let Some(id) = self.id {
            id
        } else {
            let id = id(callback, known)?;
            let now = Instant::now().into_std();
            let learnt = self.waiting.learn(id.clone(), now);
            learnt.map_err(|error| JobError::chain(&error))?;
            id
        };
        on.teller.at(Hop::Callback {
            id: adit_text::escape(id.as_str()),
            via: self.via,
        });
        let within = callback.timeout.as_ref();
        let within = within.map(|setting| render::duration(setting, &known.names()));
        Ok(Expected {
            waiting: self.waiting,
            id,
            within: within.transpose()?,
        })
    }
}

/// A callback that is waited for.
pub(super) struct Expected {
    waiting: Waiting,
    id: CallbackId,
    /// How long it may take. None is as long as the run goes on.
    within: Option<Duration>,
}

impl Expected {
    /// What it brings.
    pub(super) async fn result(&mut self) -> Result<Value, JobError> {
        let outcome = match self.within {
            None => self.waiting.outcome().await,
            Some(within) => match Box::pin(timeout(within, self.waiting.outcome())).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    return Err(JobError::new(format!(
                        "no callback for '{}' came within {within:?}",
                        self.shown()
                    )));
                }
            },
        };
        match outcome {
            Some(Outcome::Done(value)) => Ok(value),
            Some(Outcome::Failed(Failure::Status(_))) => {
                Err(JobError::new(format!("Task failed for '{}'", self.shown())))
            }
            Some(Outcome::Failed(failure)) => Err(JobError::chain(&failure)),
            None => Err(JobError::new(format!(
                "nobody waits for '{}' any more",
                self.shown()
            ))),
        }
    }

    /// The id for people.
    fn shown(&self) -> String {
        adit_text::escape(self.id.as_str())
    }
}

/// The id that a callback completion waits for.
fn id(callback: &CallbackCompletion, known: &Known) -> Result<CallbackId, JobError> {
    let Some(text) = &callback.wait_for else {
        return Ok(CallbackId::unsaid());
    };
    let value = render::text(text, &known.names())?;
    CallbackId::try_from(&value).map_err(|error| {
        let place = text.place();
        JobError::new(format!("{place}: nothing to wait for: {error}"))
    })
}
