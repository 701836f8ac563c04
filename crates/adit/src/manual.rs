//! The manual: a page for each command as man(1) has it, and all of them as one in Markdown.
//!
//! Names, synopses, descriptions and options are those of the command line, exit codes are read from
//! the descriptions ([`codes`]), and what no command line knows of itself stands in [`words`].

mod codes;
mod words;

use std::fmt::Write as _;
use std::io;

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::Cli;
use codes::Description;

/// One page for man(1).
#[derive(Debug)]
pub(crate) struct Page {
    /// The name of its file: `adit-forward.1`.
    pub(crate) file: String,
    /// What stands in it, for troff with the macros of man(7).
    pub(crate) text: Vec<u8>,
}

/// The page of the program and one for each command below it.
pub(crate) fn pages() -> io::Result<Vec<Page>> {
    all(&program()).into_iter().map(page).collect()
}

/// A command, and those below it.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(all);
    std::iter::once(command).chain(below).collect()
}

/// All pages as one in Markdown, for docs/reference/commands.md.
pub(crate) fn markdown() -> String {
    let program = program();
    let mut text = String::from(
        "# Commands\n\n\
         Made by `cargo xtask reference` from what `adit man --markdown` prints; do not edit it here.\n",
    );
    for command in all(&program) {
        describe(&mut text, command);
    }
    table(&mut text, "Environment", "Variable", words::ENVIRONMENT);
    table(&mut text, "Files", "File", words::FILES);
    text
}

/// The command line, with the full names that clap gives its commands, and without `help`, which has
/// nothing to say of itself.
fn program() -> Command {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    program
}

fn page(command: &Command) -> io::Result<Page> {
    let name = name_of(command);
    let description = description(command);
    // clap_mangen shows the long description whole; exit codes have a section of their own.
    let shown = command.clone().long_about(description.text.clone());
    let man = Man::new(shown);
    // By hand, because clap_mangen leaves an empty date out, and what follows it takes its place. A page
    // is that of a version and has no date.
    let title = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(".TH \"{title}\" \"1\" \"\" \"adit {version}\" \"adit\"\n").into_bytes();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::default();
    if description.codes.is_empty() {
        rest.control("SH", ["EXIT STATUS"]);
        rest.text([roman(words::CODES_OF_THE_PROGRAM)]);
    } else {
        let codes = description.codes.iter();
        let codes: Vec<_> = codes
            .map(|(code, when)| (code.as_str(), when.as_str()))
            .collect();
        section(&mut rest, "EXIT STATUS", &codes);
    }
    if let Some(more) = description.more {
        rest.control("PP", []);
        rest.text([roman(more)]);
    }
    section(&mut rest, "ENVIRONMENT", words::ENVIRONMENT);
    section(&mut rest, "FILES", words::FILES);
    rest.control("SH", ["EXAMPLES"]);
    for (number, (about, lines)) in words::examples(name).iter().enumerate() {
        if number > 0 {
            rest.control("PP", []);
        }
        rest.text([roman(*about)]);
        rest.control("PP", []);
        rest.control("RS", ["4"]);
        rest.control("nf", []);
        for line in lines.lines() {
            rest.text([roman(line)]);
        }
        rest.control("fi", []);
        rest.control("RE", []);
    }
    rest.control("SH", ["SEE ALSO"]);
    rest.text(see_also(name));
    rest.to_writer(&mut text)?;
    Ok(Page {
        file: format!("{name}.1"),
        text,
    })
}

/// Words in bold, each with what there is to say of it.
fn section(roff: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (name, about) in entries {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*about)]);
    }
}

/// The other pages, and those of the programs that are met.
fn see_also(own: &str) -> Vec<clap_mangen::roff::Inline> {
    let program = program();
    let commands = program.get_subcommands().map(name_of);
    let ours = std::iter::once("adit").chain(commands);
    let ours = ours.filter(|name| *name != own).map(|name| (name, "(1)"));
    let stock = [
        ("ssh", "(1)"),
        ("ssh_config", "(5)"),
        ("sshd_config", "(5)"),
    ];
    let mut line = Vec::new();
    for (name, section) in ours.chain(stock) {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.push(bold(name));
        line.push(roman(section));
    }
    line
}

/// `adit` or `adit-forward`.
fn name_of(command: &Command) -> &str {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name())
}

fn description(command: &Command) -> Description {
    let about = command.get_long_about().or_else(|| command.get_about());
    Description::read(&about.map(StyledStr::to_string).unwrap_or_default())
}

/// A section of the page in Markdown.
fn describe(page: &mut String, command: &Command) {
    let description = description(command);
    let title = name_of(command).replace('-', " ");
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    write!(page, "\n## {title}\n\n```\n{usage}\n```\n\n").ok();
    writeln!(page, "{}", plain(&description.text)).ok();
    let aliases: Vec<_> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        writeln!(page, "\nAlso called `{}`.", aliases.join("`, `")).ok();
    }
    let commands: Vec<_> = command.get_subcommands().collect();
    if !commands.is_empty() {
        page.push_str("\n| Command | |\n|---|---|\n");
    }
    for below in commands {
        let about = below.get_about().map(StyledStr::to_string);
        let about = cell(&about.unwrap_or_default());
        writeln!(page, "| `{}` | {about} |", below.get_name()).ok();
    }
    // Those that hold for every command are told with the program, and those of a group with the group.
    let program = Cli::command();
    let is_program = command.get_name() == program.get_name();
    let is_of_every = |arg: &Arg| {
        let mut of_program = program.get_arguments();
        of_program.any(|one| one.get_id() == arg.get_id())
    };
    let is_of_group = |arg: &Arg| arg.is_global_set() && !command.has_subcommands();
    let is_own = |arg: &&Arg| {
        is_program
            || !(arg.is_global_set() && is_of_every(arg)
                || is_of_group(arg)
                || arg.get_id() == "help")
    };
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let own: Vec<&Arg> = shown.filter(is_own).collect();
    if !own.is_empty() {
        page.push_str("\n| Option | |\n|---|---|\n");
    }
    for arg in own {
        writeln!(
            page,
            "| `{}` | {} |",
            cell(&spelling(arg)),
            cell(&help(arg))
        )
        .ok();
    }
    if !description.codes.is_empty() {
        page.push_str("\n| Exit code | |\n|---|---|\n");
    }
    for (code, when) in description.codes {
        writeln!(page, "| {code} | {} |", cell(&when)).ok();
    }
    if let Some(more) = description.more {
        writeln!(page, "\n{}", plain(&more)).ok();
    }
    for (about, lines) in words::examples(name_of(command)) {
        write!(page, "\n{}\n\n```\n{lines}\n```\n", plain(about)).ok();
    }
}

fn table(page: &mut String, heading: &str, column: &str, entries: &[(&str, &str)]) {
    write!(page, "\n## {heading}\n\n| {column} | |\n|---|---|\n").ok();
    for (name, about) in entries {
        writeln!(page, "| `{name}` | {} |", cell(about)).ok();
    }
}

/// How an argument is written: `-f`, `--file FILE`, `DESTINATION`.
fn spelling(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let mut value = names
        .iter()
        .map(clap::builder::Str::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    if arg.is_positional() {
        return value;
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let mut spelling: Vec<String> = short.into_iter().chain(long).collect();
    if !arg.get_action().takes_values() {
        value.clear();
    }
    if let Some(last) = spelling.last_mut()
        && !value.is_empty()
    {
        last.push(' ');
        last.push_str(&value);
    }
    spelling.join(", ")
}

/// What an argument does, what may be given and what counts without it.
fn help(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let mut help = help.map(StyledStr::to_string).unwrap_or_default();
    if !arg.get_action().takes_values() {
        return help;
    }
    let values = arg.get_possible_values();
    let values: Vec<&str> = values
        .iter()
        .map(clap::builder::PossibleValue::get_name)
        .collect();
    if !values.is_empty() {
        write!(help, " One of: {}.", values.join(", ")).ok();
    }
    for default in arg.get_default_values() {
        write!(help, " Without: {}.", default.to_string_lossy()).ok();
    }
    help
}

/// Text in Markdown, where an asterisk, a tilde or a bracket would mean something.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '_' | '~' | '[' | ']' | '<' | '>' | '`' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Text in a cell of a table: on one line, a stroke escaped.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|")
}

#[cfg(test)]
mod tests;
