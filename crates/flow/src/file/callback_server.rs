//! `listener:`: callbacks and triggers, in a list or as the listener itself.

use adit_text::{Fields, Node, Problem, Problems};

use super::{Grammar, field, http, limited};
use crate::model::callback_server::{
    Callback, CallbackServer, Guard, HmacForm, Proof, Route, Routes, TokenPlace, Trigger,
};
use crate::model::method::Method;
use crate::model::{Placed, Setting, Text};

/// model-compose's own.
const HOST: &str = "0.0.0.0";
const CALLBACK_PORT: u16 = 8090;
const TRIGGER_PORT: u16 = 8091;
/// Longer than any callback that was seen, short enough that a thousand of them fit into memory.
const BODY_LIMIT: u64 = 1 << 20;

/// What a callback says in either shape.
const CALLBACK: [&str; 9] = [
    "path",
    "method",
    "bulk",
    "item",
    "identify_by",
    "status",
    "success_when",
    "fail_when",
    "result",
];
/// What a trigger says in either shape.
const TRIGGER: [&str; 6] = ["path", "method", "bulk", "item", "workflow", "input"];

#[derive(Clone, Copy)]
enum Kind {
    Callback,
    Trigger,
}

pub(super) fn read(
    node: &Node,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<CallbackServer> {
    let mut fields = node.fields(problems)?;
    let kinds = [
        ("http-callback", Kind::Callback),
        ("http-trigger", Kind::Trigger),
    ];
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems));
    let kind = kind?;
    field::runtime(&mut fields);
    let host = field::host(&mut fields, HOST);
    let port = match kind {
        Kind::Callback => CALLBACK_PORT,
        Kind::Trigger => TRIGGER_PORT,
    };
    let port = field::listen_port(&mut fields, port);
    let base_path = field::base_path(&mut fields);
    let max_concurrent_count = field::limit(&mut fields, "max_concurrent_count");
    let guard = Guard {
        proof: None,
        allow: Vec::new(),
        body_limit: BODY_LIMIT,
    };
    let guard = self::guard(&mut fields, grammar, &guard);
    let is_open = fields.boolean("allow_unauthenticated") == Some(true);
    let shared = Shared {
        node,
        grammar,
        guard: &guard,
    };
    let routes = match kind {
        Kind::Callback => {
            Routes::Callbacks(shared.each(&mut fields, "callbacks", &CALLBACK, callback))
        }
        Kind::Trigger => Routes::Triggers(shared.each(
            &mut fields,
            "triggers",
            &TRIGGER,
            |fields, guard| trigger(fields, guard, is_open),
        )),
    };
    let all = match &routes {
        Routes::Callbacks(callbacks) => callbacks.iter().map(|one| &one.route).collect(),
        Routes::Triggers(triggers) => triggers.iter().map(|one| &one.route).collect(),
    };
    once(all, fields.problems());
    grammar.finish(fields);
    Some(CallbackServer {
        host,
        port,
        base_path,
        max_concurrent_count,
        routes,
    })
}

/// Reports routes that take what an earlier one takes.
fn once(all: Vec<&Route>, problems: &mut Problems) {
    let mut earlier: Vec<&Route> = Vec::new();
    for route in all {
        let mut same = earlier.iter();
        let same = same.find(|one| one.path == route.path && one.method == route.method);
        if let Some(same) = same {
            let message = format!(
                "{} to this path is taken already, at {}",
                route.method.as_str(),
                same.path.place
            );
            problems.push(Problem::error(&route.path.place, message));
        }
        earlier.push(route);
    }
}

/// What a listener says for all of its routes.
struct Shared<'s> {
    node: &'s Node,
    grammar: Grammar<'s>,
    guard: &'s Guard,
}

impl Shared<'_> {
    /// Reads the list under `key`, or the listener itself as its one entry.
    fn each<T>(
        &self,
        fields: &mut Fields<'_, '_>,
        key: &'static str,
        flat: &[&'static str],
        read: impl Fn(&mut Fields<'_, '_>, Guard) -> Option<T>,
    ) -> Vec<T> {
        if fields.node(key).is_some() {
            field::left_over(self.node, fields, flat, key, self.grammar);
            let each = fields.optional(key, |node, problems| {
                let each = node.one_or_many(problems, |node, problems| {
                    let mut fields = node.fields(problems)?;
                    let guard = guard(&mut fields, self.grammar, self.guard);
                    let one = read(&mut fields, guard);
                    self.grammar.finish(fields);
                    one
                })?;
                Some(limited(each, node, problems))
            });
            return each.unwrap_or_default();
        }
        if !field::has_any(self.node, flat) {
            let message = format!("it takes no request: neither \"{key}\" nor a path is there");
            let problem = self.grammar.doubt(fields.place(), message);
            fields.problems().push(problem);
            return Vec::new();
        }
        read(fields, self.guard.clone()).into_iter().collect()
    }
}

fn callback(fields: &mut Fields<'_, '_>, guard: Guard) -> Option<Callback> {
    let route = route(fields, guard);
    let identify_by = fields.optional("identify_by", field::text);
    if let Some(same) = identify_by.as_ref().filter(|text| text.is_literal()) {
        let message = "it says the same of each request, so nothing tells one from another";
        let problem = Problem::warning(same.place(), message);
        let help = "for example: identify_by: ${body.task_id}";
        fields.problems().push(problem.with_help(help));
    }
    let status = fields.optional("status", field::text);
    let success_when = field::words(fields, "success_when");
    let fail_when = field::words(fields, "fail_when");
    let result = field::any(fields, "result");
    if status.is_none() {
        let listed = [("success_when", &success_when), ("fail_when", &fail_when)];
        for (key, _) in listed.iter().filter(|(_, words)| !words.is_empty()) {
            field::without_effect(fields, key, "\"status\" does not say what to compare");
        }
    }
    Some(Callback {
        route: route?,
        identify_by,
        status,
        success_when,
        fail_when,
        result,
    })
}

fn trigger(fields: &mut Fields<'_, '_>, guard: Guard, is_open: bool) -> Option<Trigger> {
    let route = route(fields, guard);
    let workflow = fields.required("workflow", field::text);
    let input = field::any(fields, "input");
    let is_open = fields.boolean("allow_unauthenticated").unwrap_or(is_open);
    Some(Trigger {
        route: route?,
        workflow: workflow?,
        input,
        is_open,
    })
}

fn route(fields: &mut Fields<'_, '_>, guard: Guard) -> Option<Route> {
    let path = fields.required("path", |node, problems| {
        let path = node.text(problems)?.trim_start_matches('/');
        Some(Placed::new(format!("/{path}"), node.place()))
    });
    let method = fields.optional("method", |node, problems| {
        let method = http::method(node, problems)?;
        if matches!(method, Method::Head | Method::Options) {
            let message = "requests with a body are GET, POST, PUT, DELETE or PATCH";
            problems.push(Problem::error(node.place(), message));
        }
        Some(method)
    });
    let bulk = fields.optional("bulk", |node, problems| {
        field::setting(node, problems, Node::boolean)
    });
    let item: Option<Text> = fields.optional("item", field::text);
    Some(Route {
        path: path?,
        method: method.unwrap_or(Method::Post),
        bulk: bulk.unwrap_or(Setting::Known(false)),
        item,
        guard,
    })
}

/// What is said here, and otherwise what is said around it.
fn guard(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>, around: &Guard) -> Guard {
    let proof = fields.optional("auth", |node, problems| proof(node, grammar, problems));
    let allow = fields.one_or_many("allow", |node, problems| {
        node.parsed("a network", "10.0.0.0/8", problems, str::parse)
    });
    let body_limit = fields.size("body_limit");
    Guard {
        proof: proof.or_else(|| around.proof.clone()),
        allow: allow.unwrap_or_else(|| around.allow.clone()),
        body_limit: body_limit.unwrap_or(around.body_limit),
    }
}

#[derive(Clone, Copy)]
enum ProofKind {
    Token,
    Hmac,
}

/// `{type: token, token: ...}` or `{type: hmac, secret: ...}`.
fn proof(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Proof> {
    let mut fields = node.fields(problems)?;
    let kinds = [("token", ProofKind::Token), ("hmac", ProofKind::Hmac)];
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems));
    let secret = |node: &Node, problems: &mut Problems| field::secret(node, grammar, problems);
    let proof = match kind {
        Some(ProofKind::Token) => token(&mut fields, secret),
        Some(ProofKind::Hmac) => hmac(&mut fields, secret),
        None => {
            for key in ["token", "secret", "in", "header", "form"] {
                fields.node(key);
            }
            None
        }
    };
    grammar.finish(fields);
    proof
}

fn token(
    fields: &mut Fields<'_, '_>,
    secret: impl Fn(&Node, &mut Problems) -> Option<adit_text::SecretSource>,
) -> Option<Proof> {
    let token = fields.required("token", secret);
    let is_in_path = fields.choice("in", &[("header", false), ("path", true)]);
    let header = fields.optional("header", header);
    let at = match (is_in_path, header) {
        (Some(true), None) => TokenPlace::Path,
        (Some(true), Some(_)) => {
            fields.refuse("header", "the token is in the path, so no header has it");
            TokenPlace::Path
        }
        (_, header) => TokenPlace::Header(header.unwrap_or_else(|| "Authorization".to_owned())),
    };
    Some(Proof::Token { secret: token?, at })
}

fn hmac(
    fields: &mut Fields<'_, '_>,
    secret: impl Fn(&Node, &mut Problems) -> Option<adit_text::SecretSource>,
) -> Option<Proof> {
    let secret = fields.required("secret", secret);
    let forms = [
        ("timestamp", HmacForm::Timestamped),
        ("github", HmacForm::GitHub),
    ];
    let form = fields
        .choice("form", &forms)
        .unwrap_or(HmacForm::Timestamped);
    let usual = match form {
        HmacForm::Timestamped => "X-Signature",
        HmacForm::GitHub => "X-Hub-Signature-256",
    };
    let header = fields.optional("header", header);
    Some(Proof::Hmac {
        secret: secret?,
        header: header.unwrap_or_else(|| usual.to_owned()),
        form,
    })
}

/// A header's name: a token of RFC 9110, 5.6.2.
fn header(node: &Node, problems: &mut Problems) -> Option<String> {
    node.parsed("a header's name", "X-Token", problems, |text| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !text.is_empty() && text.bytes().all(is_good) {
            Ok(text.to_owned())
        } else {
            Err("a name is letters, digits and dashes")
        }
    })
}
