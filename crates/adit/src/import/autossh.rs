//! systemd units and crontabs with `autossh` or `ssh`: each command line becomes a tunnel.

use super::Imported;
use super::tunnels::{self, Forward, Tunnel};

/// A command line and where it begins.
struct Line {
    number: usize,
    text: String,
    /// Whether systemd reads it, to whom % begins a specifier.
    is_unit: bool,
}

pub(super) fn import(text: &str) -> Imported {
    let mut imported = Imported::default();
    let is_unit = text.lines().any(|line| line.trim_start().starts_with('['));
    let commands = if is_unit {
        unit(text, &mut imported)
    } else {
        crontab(text, &mut imported)
    };
    let mut tunnels: Vec<Tunnel> = Vec::new();
    for command in commands {
        match tunnel(&command, &mut imported) {
            Ok(mut made) => {
                let same = tunnels.iter().filter(|it| {
                    it.name == made.name || it.name.starts_with(&format!("{}-", made.name))
                });
                let number = same.count();
                if number > 0 {
                    made.name = format!("{}-{}", made.name, number.saturating_add(1));
                }
                tunnels.push(made);
            }
            Err(why) => imported.leave(command.number, "command", &why),
        }
    }
    imported.text = tunnels::write(&tunnels);
    imported
}

/// The command lines of a unit; what else is in its service is told.
fn unit(text: &str, imported: &mut Imported) -> Vec<Line> {
    let mut commands = Vec::new();
    let mut section = String::new();
    for (number, line) in joined(text) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            section = String::from(line);
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| section == "[Service]") else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "ExecStart" => commands.push(Line {
                number,
                // What stands before it is systemd's.
                text: String::from(value.trim_start_matches(['@', '-', ':', '+', '!'])),
                is_unit: true,
            }),
            // adit up comes back by itself, and systemd by its own unit.
            "Type" | "Restart" | "RestartSec" | "KillMode" | "StandardOutput" | "StandardError" => {
            }
            "Environment" if value.contains("AUTOSSH_") => {}
            "EnvironmentFile" => imported.leave(number, key, "no other file is read"),
            "User" => imported.leave(
                number,
                key,
                "the unit of adit up has to say it, too: its keys and known_hosts are that user's",
            ),
            _ => imported.leave(number, key, "it is systemd's, and for the unit of adit up"),
        }
    }
    commands
}

/// Lines, each with those that it goes on in.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(text.lines()) {
        let (line, next) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match all.last_mut().filter(|_| goes_on) {
            Some((_, before)) => {
                before.push(' ');
                before.push_str(line);
            }
            None => all.push((number, String::from(line))),
        }
        goes_on = next;
    }
    all
}

/// The command lines of a crontab, or of a file of commands.
fn crontab(text: &str, imported: &mut Imported) -> Vec<Line> {
    let mut commands = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_ssh = |word: &&&str| matches!(program(word), "autossh" | "ssh");
        let Some(start) = words.iter().position(|word| is_ssh(&word)) else {
            imported.leave(number, "line", "it starts neither autossh nor ssh");
            continue;
        };
        let text = words.get(start..).unwrap_or_default().join(" ");
        commands.push(Line {
            number,
            text,
            is_unit: false,
        });
    }
    commands
}

fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The tunnel of a command line.
fn tunnel(line: &Line, imported: &mut Imported) -> Result<Tunnel, String> {
    let words = words(&line.text, line.is_unit)?;
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    let is_autossh = match self::program(&program) {
        "autossh" => true,
        "ssh" => false,
        _ => return Err(String::from("it starts neither autossh nor ssh")),
    };
    let mut tunnel = Tunnel::default();
    let mut destination = None;
    let left =
        |imported: &mut Imported, what: &str, why: &str| imported.leave(line.number, what, why);
    while let Some(word) = words.next() {
        let Some(flags) = word.strip_prefix('-').filter(|_| destination.is_none()) else {
            if destination.is_none() {
                destination = Some(word);
                continue;
            }
            // What is run there would be run no more.
            left(
                imported,
                "command behind the host",
                "no command is run there",
            );
            break;
        };
        let mut flags = flags.chars();
        while let Some(flag) = flags.next() {
            let takes_value = "MRLDWiplojFJbcEeImOQSwB".contains(flag);
            if !takes_value {
                plain(flag, &mut tunnel, &mut |what, why| {
                    left(imported, what, why);
                });
                continue;
            }
            let inner: String = flags.by_ref().collect();
            let value = if inner.is_empty() {
                words.next()
            } else {
                Some(inner)
            };
            let value = value.ok_or_else(|| format!("-{flag} has nothing behind it"))?;
            let taken = match flag {
                // The round trip of a forward's own is what adit looks at.
                'M' if is_autossh => Ok(()),
                _ => valued(flag, &value, &mut tunnel),
            };
            if let Err(why) = taken {
                left(imported, &format!("-{flag}"), &why);
            }
        }
    }
    let destination = destination.ok_or("it names no host")?;
    let destination = destination.strip_prefix("ssh://").unwrap_or(&destination);
    let (user, host) = match destination.rsplit_once('@') {
        Some((user, host)) => (Some(String::from(user)), host),
        None => (None, destination),
    };
    tunnel.user = user.or(tunnel.user);
    tunnel.host = String::from(host.trim_matches(['[', ']']));
    tunnel.name = tunnels::name(&tunnel.host);
    if tunnel.forwards.is_empty() {
        return Err(String::from("it has no forward that is brought over"));
    }
    Ok(tunnel)
}

/// A flag without a value.
fn plain(flag: char, tunnel: &mut Tunnel, left: &mut dyn FnMut(&str, &str)) {
    match flag {
        '4' => tunnel.family = Some("ipv4"),
        '6' => tunnel.family = Some("ipv6"),
        // How ssh is run and what it prints.
        'N' | 'n' | 'f' | 'T' | 'q' | 'v' | 'x' | 'a' | 'k' => {}
        'C' => left("-C", "nothing is compressed"),
        'g' => left(
            "-g",
            "a local forward that is for others names its address: *:PORT:HOST:HOSTPORT",
        ),
        'A' | 'X' | 'Y' => left(
            &format!("-{flag}"),
            "there is no session at the host that could use it",
        ),
        _ => left(&format!("-{flag}"), "it has no like here"),
    }
}

/// A flag with a value.
fn valued(flag: char, value: &str, tunnel: &mut Tunnel) -> Result<(), String> {
    match flag {
        'R' => tunnel.forwards.push(Forward::remote(value)?),
        'L' => tunnel.forwards.push(Forward::local(value)?),
        'D' => tunnel.forwards.push(Forward::dynamic(value)?),
        'i' => tunnel.keys.push(String::from(value)),
        'l' => tunnel.user = Some(String::from(value)),
        'p' => tunnel.port = Some(value.parse().map_err(|_| String::from("it is no port"))?),
        'F' => tunnel.ssh_config = Some(String::from(value)),
        'J' => tunnel.jump = Some(String::from(value)),
        'o' => option(value, tunnel)?,
        _ => return Err(String::from("it has no like here")),
    }
    Ok(())
}

fn option(text: &str, tunnel: &mut Tunnel) -> Result<(), String> {
    let (name, value) = text.split_once(['=', ' ']).ok_or("it has no value")?;
    let (name, value) = (name.trim(), value.trim());
    match name.to_ascii_lowercase().as_str() {
        "serveraliveinterval" if value.parse::<u32>().is_ok_and(|it| it > 0) => {
            tunnel.keep_alive.0 = Some(String::from(value));
        }
        "serveralivecountmax" if value.parse::<u32>().is_ok_and(|it| it > 0) => {
            tunnel.keep_alive.1 = Some(String::from(value));
        }
        // A refused forward is asked for again until it is granted, and the log has why.
        "exitonforwardfailure" | "batchmode" => {}
        "port" => tunnel.port = Some(value.parse().map_err(|_| String::from("Port is none"))?),
        "user" => tunnel.user = Some(String::from(value)),
        "identityfile" => tunnel.keys.push(String::from(value)),
        "proxyjump" => tunnel.jump = Some(String::from(value)),
        _ => {
            let taken = tunnel.option(name, value);
            taken.map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

/// The words of a command line, by the quotes that shells and systemd have in common.
///
/// # Errors
/// Something in it would be expanded (security rule G111), or a quote has no end.
fn words(text: &str, is_unit: bool) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('$' | '`', None | Some('"')) => {
                return Err(String::from(
                    "a variable or a command in it is not expanded: write what it stands for",
                ));
            }
            ('%', _) if is_unit => {
                if letters.next_if_eq(&'%').is_none() {
                    return Err(String::from(
                        "a specifier of systemd (%) is not expanded: write what it stands for",
                    ));
                }
                word.get_or_insert_default().push('%');
            }
            ('\\', None | Some('"')) => {
                let next = letters.next().unwrap_or_default();
                word.get_or_insert_default().push(next);
            }
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (';' | '|' | '&' | '>' | '<', None) if !is_unit => break,
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(String::from("a quote in it has no end"));
    }
    words.extend(word);
    Ok(words)
}
