//! Requests that components make, and what completes them.

use std::net::Ipv6Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use adit_text::{Fields, Node, Problem, Problems};

use super::{Grammar, field};
use crate::expr::parse_duration;
use crate::model::component::{
    CallbackCompletion, Completion, Polling, RateLimit, Request, StreamFormat, Target,
};
use crate::model::method::Method;
use crate::model::{Setting, Text};

/// model-compose's own.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
const POLL_TIMEOUT: Duration = Duration::from_secs(300);

/// The keys of a request in either shape.
pub(super) const REQUEST: [&str; 8] = [
    "path",
    "endpoint",
    "method",
    "headers",
    "body",
    "params",
    "stream_format",
    "completion",
];

/// Whom a component asks, which says where its requests may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// The server that it keeps: a path, or none.
    Own,
    /// Others, with a base URL: a path or an endpoint.
    Based,
    /// Others, without one: an endpoint.
    Others,
}

/// A method, in capitals or small letters.
pub(super) fn method(node: &Node, problems: &mut Problems) -> Option<Method> {
    node.parsed("a method", "POST", problems, |text| {
        let methods = [
            Method::Get,
            Method::Post,
            Method::Put,
            Method::Delete,
            Method::Patch,
            Method::Head,
            Method::Options,
        ];
        let mut methods = methods.into_iter();
        let found = methods.find(|method| method.as_str().eq_ignore_ascii_case(text));
        found.ok_or("it is none of GET, POST, PUT, DELETE, PATCH, HEAD and OPTIONS")
    })
}

/// Hosts that may be asked; one at least.
pub(super) fn hosts(node: &Node, problems: &mut Problems) -> Option<Arc<[String]>> {
    let hosts = node.one_or_many(problems, |node, problems| {
        node.parsed("a host", "api.example.org", problems, |text| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            let inside = name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'));
            let is_host = if let Some(address) = inside {
                address.parse::<Ipv6Addr>().is_ok()
            } else {
                let is_part = |it: char| it.is_alphanumeric() || matches!(it, '.' | '-' | '_');
                !name.is_empty() && name.chars().all(is_part)
            };
            let wanted =
                "it is a name, \"*.\" and a name, or an address, without a scheme and a port";
            is_host.then(|| text.to_owned()).ok_or(wanted)
        })
    })?;
    if hosts.is_empty() {
        problems.push(Problem::error(node.place(), "the list names no host"));
        return None;
    }
    Some(hosts.into())
}

/// The fields of a request.
pub(super) fn request(
    fields: &mut Fields<'_, '_>,
    whom: Whom,
    grammar: Grammar<'_>,
) -> Option<Request> {
    let target = target(fields, whom);
    let method = fields.optional("method", method);
    let headers = field::headers(fields);
    let params = field::trees(fields, "params");
    let body = field::any(fields, "body");
    let stream_format = stream_format(fields);
    let completion = fields.optional("completion", |node, problems| {
        completion(node, whom, grammar, problems)
    });
    Some(Request {
        target: target?,
        method: method.unwrap_or(Method::Post),
        headers,
        params,
        body,
        stream_format,
        completion,
    })
}

fn target(fields: &mut Fields<'_, '_>, whom: Whom) -> Option<Target> {
    let path = fields.optional("path", field::text);
    if whom == Whom::Own {
        let path = path.unwrap_or_else(|| Text::implied("", fields.place()));
        return Some(Target::Path(path));
    }
    let endpoint = fields.optional("endpoint", field::text);
    match (path, endpoint) {
        (Some(path), None) => {
            if whom == Whom::Others {
                fields.refuse("path", "a path wants a base_url in the component");
            }
            Some(Target::Path(path))
        }
        (None, Some(endpoint)) => Some(Target::Endpoint(endpoint)),
        (Some(_), Some(_)) => {
            fields.refuse("endpoint", "either endpoint or path is set, not both");
            None
        }
        (None, None) => {
            let message = "either endpoint or path is set";
            let problem = Problem::error(fields.place(), message);
            fields.problems().push(problem);
            None
        }
    }
}

fn stream_format(fields: &mut Fields<'_, '_>) -> Option<StreamFormat> {
    let formats = [("json", StreamFormat::Json), ("text", StreamFormat::Text)];
    fields.choice("stream_format", &formats)
}

#[derive(Clone, Copy)]
enum Kind {
    Polling,
    Callback,
}

fn completion(
    node: &Node,
    whom: Whom,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Completion> {
    let mut fields = node.fields(problems)?;
    let kinds = [("polling", Kind::Polling), ("callback", Kind::Callback)];
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems))?;
    let stream_format = stream_format(&mut fields);
    let timeout = field::duration_setting(&mut fields, "timeout");
    let completion = match kind {
        Kind::Callback => Some(Completion::Callback(CallbackCompletion {
            wait_for: fields.optional("wait_for", field::text),
            timeout,
            stream_format,
        })),
        Kind::Polling => polling(&mut fields, whom).map(|polling| {
            Completion::Polling(Box::new(Polling {
                stream_format,
                timeout: timeout.unwrap_or(Setting::Known(POLL_TIMEOUT)),
                ..polling
            }))
        }),
    };
    grammar.finish(fields);
    completion
}

fn polling(fields: &mut Fields<'_, '_>, whom: Whom) -> Option<Polling> {
    let target = target(fields, whom);
    let method = fields.optional("method", method);
    let headers = field::headers(fields);
    let params = field::trees(fields, "params");
    let body = field::any(fields, "body");
    let status = fields.optional("status", field::text);
    let success_when = field::words(fields, "success_when");
    let fail_when = field::words(fields, "fail_when");
    let interval = field::duration_setting(fields, "interval");
    if interval == Some(Setting::Known(Duration::ZERO)) {
        fields.refuse(
            "interval",
            "without a pause the server would be asked without end",
        );
    }
    Some(Polling {
        target: target?,
        method: method.unwrap_or(Method::Get),
        headers,
        params,
        body,
        status,
        success_when,
        fail_when,
        interval: interval.unwrap_or(Setting::Known(POLL_INTERVAL)),
        timeout: Setting::Known(POLL_TIMEOUT),
        stream_format: None,
    })
}

/// `10/s`, `5/500ms`, or `{requests: 10, period: 1s, burst: 20, interval: 50ms}`.
pub(super) fn rate_limit(
    node: &Node,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<RateLimit> {
    if node.as_mapping().is_none() {
        return node.parsed("a rate", "10/s", problems, rate);
    }
    let mut fields = node.fields(problems)?;
    let requests = fields.required("requests", field::count);
    let period = fields.optional("period", field::duration);
    if period == Some(Duration::ZERO) {
        fields.refuse("period", "a period is not nothing");
    }
    let burst = fields.optional("burst", field::count);
    let interval = fields.optional("interval", field::duration);
    grammar.finish(fields);
    Some(RateLimit {
        requests: requests?,
        period: period.unwrap_or(Duration::from_secs(1)),
        burst,
        interval,
    })
}

fn rate(text: &str) -> Result<RateLimit, &'static str> {
    const FORM: &str = "a rate is a number, a slash and a time";
    let (requests, period) = text.split_once('/').ok_or(FORM)?;
    let requests: NonZeroU32 = requests.trim().parse().map_err(|_| FORM)?;
    let period = period.trim();
    if period.is_empty() {
        return Err(FORM);
    }
    let is_unit = period.bytes().all(|byte| byte.is_ascii_alphabetic());
    let period = if is_unit {
        parse_duration(&format!("1{period}"))
    } else {
        parse_duration(period)
    };
    let period = period.map_err(|_| FORM)?;
    if period.is_zero() {
        return Err(FORM);
    }
    Ok(RateLimit {
        requests,
        period,
        burst: None,
        interval: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        for (text, requests, milliseconds) in [
            ("10/s", 10, 1_000),
            ("5/500ms", 5, 500),
            ("1 / m", 1, 60_000),
        ] {
            let rate = rate(text).unwrap();
            assert_eq!(rate.requests.get(), requests, "{text}");
            assert_eq!(rate.period, Duration::from_millis(milliseconds), "{text}");
        }
        for text in ["10", "0/s", "x/s", "1/0s", "1/", "1/fortnight", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
