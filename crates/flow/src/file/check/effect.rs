//! What can be run and cannot come to a good end.

use adit_text::{Problem, Problems};

use crate::model::Compose;
use crate::model::component::{Action, Completion, Kind, Request, Target};

pub(super) fn check(compose: &Compose, problems: &mut Problems) {
    for component in compose.every_component() {
        match &component.kind {
            Kind::HttpServer(server) => polls(&server.actions, problems),
            Kind::HttpClient(client) => polls(&client.actions, problems),
            Kind::Shell(_) | Kind::Workflow(_) => {}
        }
    }
}

/// Questions that nothing answers well.
fn polls(actions: &[Action<Request>], problems: &mut Problems) {
    for action in actions {
        if let Some(Completion::Polling(polling)) = &action.call.completion
            && polling.success_when.is_empty()
        {
            let (Target::Path(target) | Target::Endpoint(target)) = &polling.target;
            let message =
                "nothing says when this is done, so it fails in the end whatever the answers are";
            let help = "add \"success_when\", with a status or a code such as 200";
            problems.push(Problem::warning(target.place(), message).with_help(help));
        }
    }
}
