use adit_text::Problems;

use crate::file::{Dialect, Environment, Files, Source};

/// What is wrong with a workflow of these jobs.
fn problems(jobs: &str) -> String {
    let text =
        format!("components: [{{id: c, type: shell, command: [ls]}}]\nworkflow:\n  jobs:\n{jobs}");
    let source = Source {
        name: "f.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::Adit,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
    let compose = files.compose(&mut problems);
    assert_eq!(compose.is_none(), problems.has_errors());
    problems.to_string()
}

#[test]
fn graphs_that_run_are_good() {
    for jobs in [
        "  - {id: a, component: c}\n  - {id: b, component: c, depends_on: [a]}",
        "  - {id: a, component: c, depends_on: b}\n  - {id: b, component: c}",
        // Either of two is enough, and one of them runs.
        "  - {id: a, component: c, depends_on: [[b, a]]}\n  - {id: b, component: c}",
        // What is led to may wait for who leads to it.
        "  - {id: r, type: switch, cases: [{value: 1, then: a}], otherwise: b}\n  - {id: a, depends_on: [r]}\n  - {id: b}",
        // A job may lead back.
        "  - {id: r, type: if, if_true: a}\n  - {id: a}\n  - {id: s, type: if, if_true: a, depends_on: [a]}",
        "  - {id: a, on_error: {to: b}}\n  - {id: b}",
    ] {
        assert_eq!(problems(jobs), "", "{jobs}");
    }
}

#[test]
fn graphs_that_cannot_run_say_where() {
    for (jobs, wrong) in [
        (
            "  - {id: a, depends_on: [b]}\n  - {id: b, depends_on: [a]}",
            "f.yml:4:10: these jobs wait for one another: \"a\", \"b\"",
        ),
        (
            "  - {id: z, depends_on: [a]}\n  - {id: a, depends_on: [b]}\n  - {id: b, depends_on: [a]}",
            "f.yml:5:10: these jobs wait for one another: \"a\", \"b\"",
        ),
        (
            "  - {id: a, depends_on: [a]}",
            "f.yml:4:26: a job cannot wait for itself",
        ),
        (
            "  - {id: fetch}\n  - {id: b, depends_on: [fecth]}",
            "f.yml:5:26: there is no job \"fecth\" in this workflow\nhelp: did you mean \"fetch\"?",
        ),
        (
            "  - {id: a, type: if, if_true: c}",
            "f.yml:4:32: there is no job \"c\" in this workflow",
        ),
        (
            "  - {id: a, type: random-router, routings: [{to: b}]}\n  - {id: b, type: if, if_true: a}",
            "f.yml:4:10: no job can begin: others lead to each of them",
        ),
        (
            "  - {id: s}\n  - {id: a, type: if, if_true: b}\n  - {id: b, type: if, if_true: a}",
            "f.yml:5:10: the job \"a\" can never run: nothing that runs leads to it",
        ),
        (
            "  - {id: a}\n  - {id: a}",
            "f.yml:5:10: the job \"a\" is there already, at f.yml:4:10",
        ),
        (
            "  - {id: a, depends_on: [b]}\n  - {id: b, depends_on: [a]}\n  - {id: b}",
            "f.yml:4:10: these jobs wait for one another: \"a\", \"b\"\n\
             f.yml:6:10: the job \"b\" is there already, at f.yml:5:10",
        ),
        (
            "  - {id: a}\n  - {id: a, depends_on: [x]}",
            "f.yml:5:10: the job \"a\" is there already, at f.yml:4:10\n\
             f.yml:5:26: there is no job \"x\" in this workflow",
        ),
        (
            "  - {component: c}\n  - {component: c}",
            "f.yml:5:5: two jobs without an id, the other at f.yml:4:5\nhelp: give each an id",
        ),
    ] {
        assert_eq!(problems(jobs), wrong, "{jobs}");
    }
}
