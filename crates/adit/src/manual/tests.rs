use super::*;

mod guide;

use crate::cli::EnvironmentArguments;
use crate::compose;
use crate::config::Surroundings;

/// Words that a flag with a secret as its value would have in its name.
const SECRETS: [&str; 10] = [
    "password",
    "passphrase",
    "passwd",
    "secret",
    "token",
    "code",
    "pin",
    "credential",
    "credentials",
    "otp",
];

/// The program and every command below it.
fn all() -> Vec<Command> {
    fn below(command: &Command, all: &mut Vec<Command>) {
        all.push(command.clone());
        for command in command.get_subcommands() {
            below(command, all);
        }
    }
    let mut all = Vec::new();
    below(&program(), &mut all);
    assert!(all.len() >= 8, "{} commands", all.len());
    all
}

/// Every argument of every command, with the command's name.
fn arguments() -> Vec<(String, Arg)> {
    let all = all();
    let all = all.iter().flat_map(|command| {
        let arguments = command.get_arguments().cloned();
        arguments.map(|argument| (name_of(command).to_owned(), argument))
    });
    let all: Vec<_> = all.collect();
    assert!(all.len() >= 60, "{} arguments", all.len());
    all
}

#[test]
fn no_argument_takes_a_secret_as_its_value() {
    let mut of_secrets = 0;
    for (command, argument) in arguments() {
        let values = argument.get_value_names().unwrap_or_default();
        let names = argument.get_long().into_iter();
        let names = names.chain(values.iter().map(clap::builder::Str::as_str));
        let words = names
            .chain([argument.get_id().as_str()])
            .flat_map(|name| name.split(['-', '_']))
            .map(str::to_lowercase);
        let is_of_a_secret = words
            .into_iter()
            .any(|word| SECRETS.contains(&word.as_str()));
        if is_of_a_secret && argument.get_action().takes_values() {
            of_secrets += 1;
            let long = argument.get_long().unwrap_or_default();
            let is_file = long.ends_with("-file") && values.iter().all(|name| name == "FILE");
            assert!(is_file, "{command}: {argument}");
        }
    }
    assert!(of_secrets >= 2, "{of_secrets} flags are about secrets");
}

#[test]
fn every_argument_that_is_shown_has_a_help_text() {
    for (command, argument) in arguments() {
        let help = argument.get_help().map(StyledStr::to_string);
        let is_told = help.is_some_and(|help| help.len() > 5);
        assert!(is_told || argument.is_hide_set(), "{command}: {argument}");
    }
}

#[test]
fn every_command_says_what_it_does_and_its_exit_codes() {
    for command in all().iter().filter(|command| !command.has_subcommands()) {
        let name = name_of(command);
        let description = description(command);
        assert!(description.text.len() > 20, "{name}: {description:?}");
        let codes = description.codes.iter().map(|(code, _)| code.as_str());
        let codes: Vec<&str> = codes.collect();
        for code in ["0", "1", "2"] {
            assert!(codes.contains(&code), "{name}: {description:?}");
        }
    }
}

#[test]
fn every_page_has_its_sections_and_an_example() {
    let pages = pages().unwrap();
    assert_eq!(pages.len(), all().len());
    for page in pages {
        let text = String::from_utf8(page.text).unwrap();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "\"EXIT STATUS\"",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES",
            "\"SEE ALSO\"",
        ] {
            let heading = format!("\n.SH {section}\n");
            assert!(text.contains(&heading), "{}: no {section}", page.file);
        }
        let name = page.file.trim_end_matches(".1");
        assert!(!words::examples(name).is_empty(), "{name}: no example");
        assert!(!text.contains("Exit codes:"), "{}", page.file);
    }
}

#[test]
fn what_the_examples_say_is_understood() {
    let all = all();
    let names = all.iter().map(name_of);
    let lines = names.flat_map(words::examples).map(|(_, lines)| *lines);
    let mut count = 0;
    for line in lines.flat_map(str::lines) {
        let typed = line.strip_prefix("sudo ").unwrap_or(line);
        let Some(words) = typed.strip_prefix("adit ") else {
            continue;
        };
        count += 1;
        let words = words.split([';', '|']).next().unwrap();
        let words = words.split(" > ").next().unwrap().replace('\'', "");
        let words = std::iter::once("adit").chain(words.split_whitespace());
        if let Err(error) = program().try_get_matches_from(words) {
            panic!("{line}: {error}");
        }
    }
    assert!(count >= 9, "{count} lines");
}

#[test]
fn the_file_of_the_examples_is_one_that_up_takes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adit.yml");
    std::fs::write(&path, words::ADIT_YML).unwrap();
    let environment = EnvironmentArguments::default();
    let surroundings = Surroundings::of_this_process();
    let loaded = compose::load(&[path], &environment, &surroundings).unwrap();
    assert_eq!(loaded.tunnels.len(), 1);
}
