//! `controller:`, with its one adapter in it or with `adapter:` and `adapters:` below.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use adit_text::{Fields, Node, Problem, Problems};

use super::field::{self, Switched};
use super::{Grammar, either};
use crate::model::controller::{Adapter, Controller, Pages, WebSocket, WebUi};

/// How long a stop waits for runs.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
/// Ports where none is said; model-compose's own.
const PORT: u16 = 8080;
const WEB_UI_PORT: u16 = 8081;
const HOST: &str = "127.0.0.1";
/// model-compose's own.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The keys of an adapter.
const ADAPTER: [&str; 9] = [
    "type",
    "host",
    "port",
    "base_path",
    "origins",
    "websocket",
    "token",
    "hosts",
    "public_controller",
];

pub(super) fn read(
    node: &Node,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Controller> {
    let mut fields = node.fields(problems)?;
    let name = fields.optional("name", field::owned);
    field::runtime(&mut fields);
    let max_concurrent_count = field::limit(&mut fields, "max_concurrent_count");
    // A promise of threads; ours are not the file's.
    fields.boolean("threaded");
    let shutdown_pending_period = fields.optional("shutdown_pending_period", field::duration);
    let shutdown_timeout = fields.optional("shutdown_timeout", field::duration);
    field::without_effect(&mut fields, "queue", "adit has no queues of its own");
    let web_ui = fields.optional("webui", |node, problems| web_ui(node, grammar, problems));
    let key = either(&mut fields, grammar, ["adapter", "adapters"]);
    let adapters = if fields.node(key).is_some() {
        field::left_over(node, &mut fields, &ADAPTER, key, grammar);
        let adapters = fields.one_or_many(key, |node, problems| {
            let mut fields = node.fields(problems)?;
            let adapter = adapter(&mut fields, grammar);
            grammar.finish(fields);
            adapter
        });
        adapters.unwrap_or_default()
    } else if field::has_any(node, &ADAPTER) {
        adapter(&mut fields, grammar).into_iter().collect()
    } else {
        Vec::new()
    };
    grammar.finish(fields);
    Some(Controller {
        name,
        adapters,
        web_ui,
        max_concurrent_count,
        shutdown_pending_period: shutdown_pending_period.unwrap_or_default(),
        shutdown_timeout: shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT),
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Http,
    Mcp,
    Queue,
}

fn adapter(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<Adapter> {
    let kinds = [
        ("http-server", Kind::Http),
        ("mcp-server", Kind::Mcp),
        ("queue-subscriber", Kind::Queue),
    ];
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems));
    let host = field::host(fields, HOST);
    let port = field::listen_port(fields, PORT);
    let base_path = field::base_path(fields);
    let origins = fields.one_or_many("origins", origins).unwrap_or_default();
    let websocket = fields.optional("websocket", |node, problems| {
        websocket(node, grammar, problems)
    });
    let token = fields.optional("token", |node, problems| {
        field::secret(node, grammar, problems)
    });
    let hosts = field::words(fields, "hosts");
    let is_public = fields.boolean("public_controller") == Some(true);
    let place = fields.place_of("type");
    match kind? {
        Kind::Http => {}
        Kind::Mcp | Kind::Queue => {
            let message = "adit serves no adapter of this type; it is left out";
            fields.problems().push(Problem::warning(place, message));
            return None;
        }
    }
    if !is_loopback(&host) && token.is_none() {
        let message = "a controller that more than this machine can reach needs a token";
        let problem = Problem::error(fields.place_of("host"), message);
        let help = "for example: token: ${env.CONTROLLER_TOKEN}, or host: 127.0.0.1";
        fields.problems().push(problem.with_help(help));
    }
    let mut origins: Vec<String> = origins.into_iter().flatten().collect();
    if token.is_none() && origins.iter().any(|origin| origin == "*") {
        let message = "with the origin \"*\" and no token the page of any web site could start workflows here; \"*\" does not count";
        let place = fields.place_of("origins");
        let problem = grammar.doubt(place, message);
        let help = "name the origins, or add a token: for example token: ${env.CONTROLLER_TOKEN}";
        fields.problems().push(problem.with_help(help));
        origins.retain(|origin| origin != "*");
    }
    Some(Adapter {
        host,
        port,
        base_path,
        origins,
        hosts,
        token,
        is_public,
        websocket: websocket.and_then(Switched::on),
    })
}

/// Whether only programs of this machine reach what listens here.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare
        .parse()
        .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback());
    is_address || host.eq_ignore_ascii_case("localhost")
}

/// `https://a.example`, `*`, or several with commas.
fn origins(node: &Node, problems: &mut Problems) -> Option<Vec<String>> {
    let text = node.text(problems)?;
    let origins = text.split(',').map(str::trim);
    let origins = origins.filter(|origin| !origin.is_empty());
    Some(
        origins
            .map(|origin| origin.trim_end_matches('/').to_owned())
            .collect(),
    )
}

/// `true`, `false`, or what is in it.
fn websocket(
    node: &Node,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Switched<WebSocket>> {
    let usual = WebSocket {
        path: "/ws".to_owned(),
        max_connection_count: None,
        ping_interval: PING_INTERVAL,
        ping_timeout: PING_TIMEOUT,
    };
    field::switched(node, problems, usual.clone(), |node, problems| {
        let mut fields = node.fields(problems)?;
        let path = fields.optional("path", field::owned);
        let max_connection_count = field::limit(&mut fields, "max_connection_count");
        let ping_interval = fields.optional("ping_interval", field::duration);
        let ping_timeout = fields.optional("ping_timeout", field::duration);
        grammar.finish(fields);
        Some(WebSocket {
            path: path.unwrap_or(usual.path),
            max_connection_count,
            ping_interval: ping_interval.unwrap_or(usual.ping_interval),
            ping_timeout: ping_timeout.unwrap_or(usual.ping_timeout),
        })
    })
}

#[derive(Clone, Copy)]
enum Driver {
    Own,
    Static,
    Dynamic,
}

fn web_ui(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<WebUi> {
    let mut fields = node.fields(problems)?;
    let drivers = [
        ("gradio", Driver::Own),
        ("static", Driver::Static),
        ("dynamic", Driver::Dynamic),
    ];
    let driver = fields.choice("driver", &drivers).unwrap_or(Driver::Own);
    let host = field::host(&mut fields, HOST);
    let port = field::listen_port(&mut fields, WEB_UI_PORT);
    let pages = match driver {
        Driver::Own => Pages::Own,
        Driver::Static => {
            let folder = field::path(&mut fields, "static_dir");
            Pages::Folder(folder.unwrap_or_else(|| PathBuf::from("webui")))
        }
        Driver::Dynamic => {
            for key in ["command", "server_dir", "static_dir"] {
                fields.node(key);
            }
            fields.refuse(
                "driver",
                "adit runs no server for pages; write gradio or static",
            );
            Pages::Own
        }
    };
    if !is_loopback(&host) {
        let message = "the page starts workflows and asks for no password, so only this machine may reach it; a proxy that asks for one may stand before it";
        fields.refuse("host", message);
    }
    grammar.finish(fields);
    Some(WebUi { pages, host, port })
}
