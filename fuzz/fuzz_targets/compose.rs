//! Compose files: several of them merged, with an environment file, read and checked as a whole.
#![no_main]

use adit_flow::file::{Dialect, Environment, Files, Source, dotenv};
use adit_text::{Problems, limits};
use libfuzzer_sys::fuzz_target;

/// What every set variable holds, and no input does.
const SECRET: &str = "Zq7 s3cr3t";

/// Whatever the files say, messages are safe to print and keep secrets.
fn check(problems: &Problems) {
    for problem in problems {
        let shown = problem.to_string();
        let lines: Vec<&str> = shown.split('\n').collect();
        assert!(lines.len() <= 2, "{shown:?}");
        for line in lines {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(!line.contains("Zq7"), "{line:?}");
            assert!(
                line.chars().count() <= 20 * limits::QUOTED_CHARACTERS,
                "{line:?}"
            );
        }
    }
}

fn variables() -> Environment {
    let names = ["SECRET", "HOST", "PORT", "TOKEN", "SSH_USERNAME", "A"];
    Environment::of_process(names.map(|name| (String::from(name), String::from(SECRET))))
}

// Files, cut by NUL: the first is an environment file, the second adit's own, the rest model-compose's.
fuzz_target!(|input: &[u8]| {
    if input.windows(3).any(|word| word == b"Zq7") {
        return;
    }
    let mut files = input.split(|byte| *byte == 0);
    let mut problems = Problems::new();
    let mut environment = variables();
    if let Some(file) = files.next() {
        environment.read_file(".env", file, &mut problems);
        if let Ok(text) = std::str::from_utf8(file) {
            let found = dotenv::parse(text, &|_| None);
            assert!(found.variables.keys().all(|name| !name.is_empty()));
        }
    }
    let sources: Vec<Source<'_>> = files
        .take(3)
        .enumerate()
        .map(|(at, bytes)| match at {
            0 => Source {
                name: "adit.yml",
                bytes,
                dialect: Dialect::Adit,
            },
            _ => Source {
                name: "model-compose.yml",
                bytes,
                dialect: Dialect::ModelCompose,
            },
        })
        .collect();
    if let Some(files) = Files::parse(&sources, &environment, &mut problems) {
        let had_errors = problems.has_errors();
        let compose = files.compose(&mut problems);
        assert!(had_errors || compose.is_none() == problems.has_errors());
    }
    check(&problems);
});
