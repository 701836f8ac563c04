//! Public addresses that are asked for: `${gateway:8090.public_address}` wants a gateway that makes
//! port 8090 public, and is known in actions alone. Without one it would be nothing, and a stranger
//! would be told to call back at `http:///callback`.

use adit_text::{Problem, Problems};

use super::reference::some;
use crate::model::component::{
    Action, Command, Completion, Component, Kind as ComponentKind, Request, Target,
};
use crate::model::expose::ExposeConfig;
use crate::model::job::{ComponentJob, ComponentRef, InlineKind, Kind};
use crate::model::{Compose, Text, Written};

pub(super) fn check(compose: &Compose, problems: &mut Problems) {
    let mut addresses = Addresses {
        ports: ports(compose),
        problems,
    };
    for component in &compose.components {
        addresses.component(component);
    }
    for workflow in &compose.workflows {
        workflow
            .output
            .iter()
            .for_each(|output| addresses.elsewhere(output));
        for job in &workflow.jobs {
            job.output
                .iter()
                .for_each(|output| addresses.elsewhere(output));
            addresses.job(&job.kind);
        }
    }
}

/// The local ports that gateways make public.
fn ports(compose: &Compose) -> Vec<u16> {
    let mut ports = Vec::new();
    for expose in &compose.exposes {
        match &expose.value {
            ExposeConfig::Ssh(ssh) => ports.extend(ssh.forwards.iter().map(|one| one.port)),
            ExposeConfig::Http(http) => ports.extend(http.ports.iter().map(|port| port.value)),
        }
    }
    ports
}

struct Addresses<'a> {
    ports: Vec<u16>,
    problems: &'a mut Problems,
}

impl Addresses<'_> {
    fn component(&mut self, component: &Component) {
        match &component.kind {
            ComponentKind::HttpServer(server) => self.requests(&server.actions),
            ComponentKind::HttpClient(client) => self.requests(&client.actions),
            ComponentKind::Shell(shell) => {
                self.named(&shell.env);
                shell.actions.iter().for_each(|action| self.command(action));
            }
            ComponentKind::Workflow(actions) => {
                for action in actions {
                    self.all(action.output.iter().chain(&action.call.input));
                }
            }
        }
    }

    fn requests(&mut self, actions: &[Action<Request>]) {
        for action in actions {
            let call = &action.call;
            self.target(&call.target);
            self.named(&call.headers);
            self.all(call.params.iter().map(|(_, value)| value));
            self.all(call.body.iter().chain(&action.output));
            if let Some(Completion::Polling(polling)) = &call.completion {
                self.target(&polling.target);
                self.named(&polling.headers);
                self.all(polling.params.iter().map(|(_, value)| value));
                self.all(&polling.body);
            }
        }
    }

    fn command(&mut self, action: &Action<Command>) {
        let arguments = action.call.commands.iter().flatten();
        arguments.for_each(|argument| self.text(argument));
        self.named(&action.call.env);
        self.all(&action.output);
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Path(text) | Target::Endpoint(text) => self.text(text),
        }
    }

    fn named(&mut self, texts: &[(String, Text)]) {
        for (_, text) in texts {
            self.text(text);
        }
    }

    fn all<'w>(&mut self, all: impl IntoIterator<Item = &'w Written>) {
        for written in all {
            each(written, &mut |text| self.text(text));
        }
    }

    fn text(&mut self, text: &Text) {
        for port in asked(text.as_str()) {
            if self.ports.contains(&port) {
                continue;
            }
            let message = format!("no gateway makes port {port} public, so this has no address");
            let problem = Problem::error(text.place(), message);
            self.problems.push(if self.ports.is_empty() {
                problem.with_help("add a gateway")
            } else {
                let known = some(self.ports.iter().map(u16::to_string));
                problem.with_help(format!("public are: {known}"))
            });
        }
    }

    fn job(&mut self, kind: &Kind) {
        match kind {
            Kind::Component(job) => self.component_job(job),
            Kind::ForEach(job) => {
                let mut job = job;
                loop {
                    self.elsewhere(&job.input);
                    match &job.body.kind {
                        InlineKind::Component(job) => return self.component_job(job),
                        InlineKind::ForEach(inner) => job = inner,
                    }
                }
            }
            Kind::Delay(_) | Kind::If(_) | Kind::Switch(_) | Kind::Random(_) | Kind::Filter => {}
        }
    }

    fn component_job(&mut self, job: &ComponentJob) {
        job.input.iter().for_each(|input| self.elsewhere(input));
        if let ComponentRef::Inline(component) = &job.component {
            self.component(component);
        }
    }

    /// Where no address is known.
    fn elsewhere(&mut self, written: &Written) {
        each(written, &mut |text| {
            if !asked(text.as_str()).is_empty() {
                let message = "an address is known in actions of components alone";
                let problem = Problem::error(text.place(), message);
                let help = "move it into the component's action";
                self.problems.push(problem.with_help(help));
            }
        });
    }
}

/// Each text of a value. Recurses at most [`adit_text::limits::DEPTH`] times.
fn each(written: &Written, take: &mut impl FnMut(&Text)) {
    match written {
        Written::Plain(_) => {}
        Written::Text(text) => take(text),
        Written::List(all) => all.iter().for_each(|one| each(one, take)),
        Written::Mapping(all) => all.iter().for_each(|(_, one)| each(one, take)),
    }
}

/// The ports whose addresses a text asks for with nothing to fall back on.
fn asked(text: &str) -> Vec<u16> {
    let mut variables = text.split("${").skip(1);
    let mut ports = Vec::new();
    for variable in &mut variables {
        let Some(named) = variable.trim_start().strip_prefix("gateway:") else {
            continue;
        };
        let inside = named.split_once('}').map_or(named, |(inside, _)| inside);
        let digits = inside.trim_start_matches(|c: char| c.is_ascii_digit());
        let port = inside.strip_suffix(digits).unwrap_or_default();
        if let Ok(port) = port.parse()
            && !inside.contains('|')
        {
            ports.push(port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_asked_for_with_nothing_to_fall_back_on() {
        for (text, ports) in [
            ("http://${gateway:8090.public_address}/callback", vec![8090]),
            ("${ gateway:1 } ${gateway:2.x}", vec![1, 2]),
            ("${gateway:8090.public_url | http://localhost}", vec![]),
            ("${gateway:http.x} ${gateway.x} gateway:1 ${input}", vec![]),
            ("${gateway:70000.x}", vec![]),
            ("${gateway:8090", vec![8090]),
        ] {
            assert_eq!(asked(text), ports, "{text}");
        }
    }
}
