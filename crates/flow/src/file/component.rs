//! `component:`, with its actions in it or below.

use adit_text::{Fields, Node, Problem, Problems};

use super::http::{self, Whom};
use super::{Grammar, Key, field};
use crate::model::component::{
    Action, Command, Component, HttpClient, HttpServer, Kind, Manage, READY_TIMEOUT, Request,
    Restart, Shell, UNNAMED, UNNAMED_ACTION, WorkflowCall,
};
use crate::model::{DEFAULT, Text};

/// model-compose's own.
const SERVER_PORT: u16 = 8000;
/// What an action of a shell says in either shape. `env` is the component's.
const COMMAND: [&str; 6] = [
    "command",
    "working_dir",
    "timeout",
    "batch_size",
    "streaming",
    "output",
];
/// What an action of a workflow says in either shape.
const WORKFLOW: [&str; 3] = ["workflow", "input", "output"];
/// What may stand on the component instead of below `manage`.
const SCRIPTS: [&str; 4] = ["install", "build", "clean", "start"];

#[derive(Clone, Copy)]
enum Type {
    HttpServer,
    HttpClient,
    Shell,
    Workflow,
}

/// Reads a component; `above` is its id if that stands as a key.
pub(super) fn read(
    node: &Node,
    above: Option<Key<'_>>,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Component> {
    let mut fields = node.fields(problems)?;
    let kinds = [
        ("http-server", Type::HttpServer),
        ("http-client", Type::HttpClient),
        ("shell", Type::Shell),
        ("workflow", Type::Workflow),
    ];
    let id = field::id(&mut fields, above, UNNAMED);
    let kind = fields.required("type", |node, problems| node.choice(&kinds, problems))?;
    field::runtime(&mut fields);
    let is_default = fields.boolean("default") == Some(true);
    let max_concurrent_count = field::limit(&mut fields, "max_concurrent_count");
    let one = One { node, grammar };
    let kind = match kind {
        Type::HttpServer => Kind::HttpServer(Box::new(one.http_server(&mut fields))),
        Type::HttpClient => Kind::HttpClient(one.http_client(&mut fields)),
        Type::Shell => Kind::Shell(one.shell(&mut fields)),
        Type::Workflow => Kind::Workflow(
            one.actions(&mut fields, &WORKFLOW, &[], |fields| Some(workflow(fields))),
        ),
    };
    grammar.finish(fields);
    Some(Component {
        id,
        is_default,
        max_concurrent_count,
        kind,
    })
}

/// The component that is read.
struct One<'c> {
    node: &'c Node,
    grammar: Grammar<'c>,
}

impl One<'_> {
    fn http_server(&self, fields: &mut Fields<'_, '_>) -> HttpServer {
        let manage = self.manage(fields);
        let port = field::listen_port(fields, SERVER_PORT);
        let base_path = field::base_path(fields);
        let (headers, actions) = self.requests(fields, Whom::Own);
        HttpServer {
            manage,
            port,
            base_path,
            headers,
            actions,
        }
    }

    fn http_client(&self, fields: &mut Fields<'_, '_>) -> HttpClient {
        let base_url = fields.optional("base_url", field::text);
        let rate_limit = fields.optional("rate_limit", |node, problems| {
            http::rate_limit(node, self.grammar, problems)
        });
        let allow_hosts = fields.optional("allow_hosts", http::hosts);
        let whom = match base_url {
            Some(_) => Whom::Based,
            None => Whom::Others,
        };
        let (headers, actions) = self.requests(fields, whom);
        HttpClient {
            base_url,
            headers,
            rate_limit,
            allow_hosts,
            actions,
        }
    }

    /// The headers of a component that makes requests, and its actions. Where the one action is
    /// the component itself, the headers are the action's.
    fn requests(
        &self,
        fields: &mut Fields<'_, '_>,
        whom: Whom,
    ) -> (Vec<(String, Text)>, Vec<Action<Request>>) {
        let is_nested = field::has_any(self.node, &["action", "actions"]);
        let headers = if is_nested {
            field::headers(fields)
        } else {
            Vec::new()
        };
        let actions = self.actions(fields, &FLAT_REQUEST, &["headers"], |fields| {
            http::request(fields, whom, self.grammar)
        });
        (headers, actions)
    }

    fn shell(&self, fields: &mut Fields<'_, '_>) -> Shell {
        let manage = self.manage(fields);
        for (key, script) in [
            ("build", manage.build.first()),
            ("start", manage.start.as_ref()),
        ] {
            if let Some(program) = script.and_then(|script| script.first()) {
                let message = format!("\"{key}\" has no effect: a shell has nothing to {key}");
                let problem = Problem::warning(program.place(), message);
                fields.problems().push(problem);
            }
        }
        let base_dir = fields.path("base_dir");
        let env = field::texts(fields, "env");
        let actions = self.actions(fields, &COMMAND, &[], command);
        Shell {
            manage,
            base_dir,
            env,
            actions,
        }
    }

    /// `manage:`, or its scripts on the component itself.
    fn manage(&self, fields: &mut Fields<'_, '_>) -> Manage {
        if fields.node("manage").is_none() {
            let mut manage = Manage::default();
            scripts(fields, &mut manage);
            return manage;
        }
        field::left_over(self.node, fields, &SCRIPTS, "manage", self.grammar);
        let manage = fields.optional("manage", |node, problems| {
            let mut fields = node.fields(problems)?;
            let mut manage = Manage {
                working_dir: fields.path("working_dir"),
                env: field::texts(&mut fields, "env"),
                ready_timeout: fields
                    .optional("ready_timeout", field::duration)
                    .unwrap_or(READY_TIMEOUT),
                ..Manage::default()
            };
            let policies = [
                ("no", Restart::Never),
                ("on-failure", Restart::OnFailure),
                ("always", Restart::Always),
            ];
            if let Some(restart) = fields.choice("restart", &policies) {
                manage.restart = restart;
            }
            if fields.node("scripts").is_some() {
                field::left_over(node, &mut fields, &SCRIPTS, "scripts", self.grammar);
                fields.optional("scripts", |node, problems| {
                    let mut fields = node.fields(problems)?;
                    scripts(&mut fields, &mut manage);
                    self.grammar.finish(fields);
                    Some(())
                });
            } else {
                scripts(&mut fields, &mut manage);
            }
            self.grammar.finish(fields);
            Some(manage)
        });
        manage.unwrap_or_default()
    }

    /// The actions below `actions` or `action`; or the one that the component itself is, if one of
    /// the `flat` keys is there. Keys of `both` may also stand beside actions.
    fn actions<T>(
        &self,
        fields: &mut Fields<'_, '_>,
        flat: &[&'static str],
        both: &[&'static str],
        read: impl Fn(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Vec<Action<T>> {
        let key = super::either(fields, self.grammar, ["action", "actions"]);
        if fields.node(key).is_some() {
            let flat: Vec<_> = flat
                .iter()
                .filter(|key| !both.contains(key))
                .copied()
                .collect();
            field::left_over(self.node, fields, &flat, key, self.grammar);
            let actions = fields.one_or_many(key, |node, problems| {
                let mut fields = node.fields(problems)?;
                let id = field::id(&mut fields, None, UNNAMED_ACTION);
                let is_default = fields.boolean("default") == Some(true);
                let output = field::any(&mut fields, "output");
                let call = read(&mut fields);
                self.grammar.finish(fields);
                Some(Action {
                    id,
                    is_default,
                    output,
                    call: call?,
                })
            });
            return actions.unwrap_or_default();
        }
        if !field::has_any(self.node, flat) {
            // So that each key is known.
            for key in flat {
                fields.node(key);
            }
            return Vec::new();
        }
        let output = field::any(fields, "output");
        let id = field::implied(UNNAMED_ACTION, fields.place());
        let action = read(fields).map(|call| Action {
            id,
            is_default: false,
            output,
            call,
        });
        action.into_iter().collect()
    }
}

/// The keys of a request, and what it gives.
const FLAT_REQUEST: [&str; 9] = {
    let [a, b, c, d, e, f, g, h] = http::REQUEST;
    [a, b, c, d, e, f, g, h, "output"]
};

fn scripts(fields: &mut Fields<'_, '_>, manage: &mut Manage) {
    for (key, script) in [
        ("install", &mut manage.install),
        ("build", &mut manage.build),
        ("clean", &mut manage.clean),
    ] {
        *script = fields.optional(key, field::commands).unwrap_or_default();
    }
    manage.start = fields.optional("start", field::arguments);
}

fn command(fields: &mut Fields<'_, '_>) -> Option<Command> {
    let commands = fields.required("command", field::commands);
    if let Some([]) = commands.as_deref() {
        fields.refuse("command", "the list names no program");
    }
    let working_dir = fields.optional("working_dir", field::text);
    let env = field::texts(fields, "env");
    let timeout = field::duration_setting(fields, "timeout");
    let batch_size = fields.optional("batch_size", field::count);
    let is_streaming = fields.boolean("streaming") == Some(true);
    Some(Command {
        commands: commands?,
        working_dir,
        env,
        timeout,
        batch_size,
        is_streaming,
    })
}

fn workflow(fields: &mut Fields<'_, '_>) -> WorkflowCall {
    let workflow = fields.optional("workflow", field::text);
    let input = field::any(fields, "input");
    WorkflowCall {
        workflow: workflow.unwrap_or_else(|| Text::implied(DEFAULT, fields.place())),
        input,
    }
}
