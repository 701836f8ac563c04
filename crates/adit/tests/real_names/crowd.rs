//! Many names of many tenants under load: each visitor gets the answers of the name it asked for, also while tunnels
//! are taken over.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::seeded::SeededRandom;
use adit_testkit::{require, wait};
use rustix::process::Signal;

use crate::site::{Site, Tunnel};

/// Says on each request whose service it is, and for which host it was asked. Its threads end with the process.
pub(crate) fn service(words: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let words = words.to_owned();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, words) = (socket.unwrap(), words.clone());
            thread::spawn(move || answer(&socket, &words));
        }
    });
    port
}

fn answer(socket: &TcpStream, words: &str) -> Option<()> {
    let mut reader = BufReader::new(socket);
    let mut writer = socket;
    loop {
        let mut host = String::new();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            (reader.read_line(&mut line).ok()? > 0).then_some(())?;
            if let Some(found) = line.strip_prefix("host: ") {
                found.trim().clone_into(&mut host);
            }
        }
        let text = format!("{words} {host}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        writer.write_all([head, text].concat().as_bytes()).ok()?;
    }
}

/// A visitor's connection, which asks for whatever name.
pub(crate) struct Visitor(BufReader<TcpStream>);

impl Visitor {
    pub(crate) fn new(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self(BufReader::new(socket))
    }

    /// Status and text.
    pub(crate) fn ask(&mut self, host: &str) -> Option<(String, String)> {
        let ask = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.0.get_mut().write_all(ask.as_bytes()).ok()?;
        let mut status = String::new();
        self.0.read_line(&mut status).ok()?;
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            (self.0.read_line(&mut line).ok()? > 0).then_some(())?;
            if let Some(found) = line.strip_prefix("content-length: ") {
                length = found.trim().parse().ok()?;
            }
        }
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).ok()?;
        let status = status.split(' ').nth(1)?.to_owned();
        Some((status, String::from_utf8(text).ok()?))
    }
}

/// Agents with names of their own each.
struct Crowd {
    site: Site,
    keys: Vec<KeyPair>,
    names: Vec<Vec<String>>,
    agents: Vec<Process>,
}

impl Crowd {
    fn start(agents: usize, each: usize) -> Self {
        let mut keys = Vec::new();
        let names: Vec<Vec<String>> = (0..agents)
            .map(|agent| (0..each).map(|name| format!("a{agent}n{name}")).collect())
            .collect();
        let line = |world: &crate::world::World| {
            for agent in 0..agents {
                let folder = world.folder.path();
                keys.push(KeyPair::generate(
                    folder,
                    &format!("agent{agent}"),
                    KeyKind::Ed25519,
                ));
            }
            let lines = keys.iter().zip(&names);
            lines
                .map(|(key, names)| {
                    format!("adit-names=\"{}\" {}", names.join(","), key.public_line())
                })
                .collect()
        };
        let site = Site::start(
            line,
            "takeover: newest\nlimits: {connections: 100, leases: 100}\n",
        );
        let mut crowd = Self {
            site,
            keys,
            names,
            agents: Vec::new(),
        };
        for agent in 0..agents {
            let process = crowd.forward(agent, 0);
            crowd.agents.push(process);
        }
        for agent in 0..agents {
            crowd.wait_for(agent, 0);
        }
        crowd
    }

    /// An agent's names lead to a service that says so.
    fn forward(&self, agent: usize, turn: u32) -> Process {
        let port = service(&format!("agent {agent} turn {turn} for"));
        let names = self.names[agent].iter();
        let forwards: Vec<_> = names.map(|name| (name.clone(), port)).collect();
        self.site
            .forward(Tunnel::Agent, &self.keys[agent], &forwards)
    }

    /// Until all of its names answer by that turn.
    fn wait_for(&self, agent: usize, turn: u32) {
        for name in &self.names[agent] {
            let host = format!("{name}.gw.test");
            let wanted = format!("agent {agent} turn {turn} for {host}");
            wait::until("the name answers", || {
                match Visitor::new(self.site.http).ask(&host) {
                    Some((_, text)) if text == wanted => Ok(()),
                    other => Err((wanted.clone(), other)),
                }
            });
        }
    }
}

/// What visitors have seen.
#[derive(Debug, Default)]
struct Seen {
    right: AtomicU64,
    /// Of names that nobody takes over just now.
    errors: Mutex<Vec<String>>,
    /// Of a name that is being taken over.
    expected: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

/// Asks for names at random, each connection for all of them, until told to stop.
fn visit(crowd: &Crowd, seen: &Seen, stop: &AtomicBool, taken: &AtomicU64, number: u64) {
    let mut dice = SeededRandom::new(number);
    let mut visitor = Visitor::new(crowd.site.http);
    let agents = u64::try_from(crowd.names.len()).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let agent = dice.below(agents);
        let names = &crowd.names[usize::try_from(agent).unwrap()];
        let name = dice.below(u64::try_from(names.len()).unwrap());
        let host = format!("{}.gw.test", names[usize::try_from(name).unwrap()]);
        let before = taken.load(Ordering::SeqCst);
        let answer = visitor.ask(&host);
        let is_taken = before == agent || taken.load(Ordering::SeqCst) == agent;
        match answer {
            Some((status, text)) if status == "200" => {
                let is_right = text.starts_with(&format!("agent {agent} turn "))
                    && text.ends_with(&format!(" for {host}"));
                if is_right {
                    seen.right.fetch_add(1, Ordering::Relaxed);
                } else {
                    seen.wrong.lock().unwrap().push(format!("{host}: {text}"));
                }
            }
            _ if is_taken => {
                seen.expected.fetch_add(1, Ordering::Relaxed);
                visitor = Visitor::new(crowd.site.http);
            }
            other => {
                seen.errors
                    .lock()
                    .unwrap()
                    .push(format!("{host}: {other:?}"));
                visitor = Visitor::new(crowd.site.http);
            }
        }
    }
}

/// Nobody.
const NONE: u64 = u64::MAX;

/// Runs `work` while visitors come, and says what they have seen.
fn under_load(
    mut crowd: Crowd,
    work: impl FnOnce(&mut dyn FnMut(usize, u32) -> bool, &Arc<Seen>),
) -> Arc<Seen> {
    let seen = Arc::<Seen>::default();
    let (stop, taken) = (Arc::<AtomicBool>::default(), Arc::new(AtomicU64::new(NONE)));
    let agents = std::mem::take(&mut crowd.agents);
    let mut agents: HashMap<usize, Process> = agents.into_iter().enumerate().collect();
    let crowd = Arc::new(crowd);
    let visitors: Vec<_> = (0..8)
        .map(|number| {
            let (crowd, seen) = (Arc::clone(&crowd), Arc::clone(&seen));
            let (stop, taken) = (Arc::clone(&stop), Arc::clone(&taken));
            thread::spawn(move || visit(&crowd, &seen, &stop, &taken, number))
        })
        .collect();
    // An agent falls silent, and another process of it takes its names.
    let mut take = |agent: usize, turn: u32| {
        taken.store(agent.try_into().unwrap(), Ordering::SeqCst);
        if let Some(silent) = agents.get(&agent) {
            silent.signal(Signal::STOP);
        }
        let next = crowd.forward(agent, turn);
        crowd.wait_for(agent, turn);
        let is_told = agents.insert(agent, next).is_some();
        taken.store(NONE, Ordering::SeqCst);
        is_told
    };
    work(&mut take, &seen);
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    let wrong = seen.wrong.lock().unwrap().clone();
    assert!(
        wrong.is_empty(),
        "{} wrong answers: {wrong:#?}",
        wrong.len()
    );
    let errors = seen.errors.lock().unwrap().clone();
    assert!(errors.is_empty(), "{} errors: {errors:#?}", errors.len());
    drop(agents);
    seen
}

fn crosstalk(agents: usize, each: usize, requests: u64) {
    let started = Instant::now();
    let crowd = Crowd::start(agents, each);
    let up = started.elapsed();
    let seen = under_load(crowd, |_, seen| {
        wait::until_within(LOAD, "requests", || {
            let right = seen.right.load(Ordering::Relaxed);
            let errors = seen.errors.lock().unwrap().len();
            (right >= requests || errors > 0).then_some(()).ok_or(right)
        });
    });
    println!(
        "{} names of {agents} agents, all up after {:.1} s: {} answers, each of the name that was asked for; 0 wrong, 0 errors",
        agents * each,
        up.as_secs_f64(),
        seen.right.load(Ordering::Relaxed)
    );
}

fn takeovers(agents: usize, each: usize, times: u32) {
    let crowd = Crowd::start(agents, each);
    let seen = under_load(crowd, |take, _| {
        for turn in 1..=times {
            let agent = usize::try_from(turn).unwrap() % agents;
            assert!(take(agent, turn), "{turn}");
        }
    });
    println!(
        "{times} takeovers of {each} names each, {agents} agents: {} right answers, 0 of another tenant, 0 errors on other names, {} on the names that were taken over just then",
        seen.right.load(Ordering::Relaxed),
        seen.expected.load(Ordering::Relaxed)
    );
}

const LOAD: std::time::Duration = std::time::Duration::from_mins(10);

#[test]
fn visitors_of_many_names_get_the_answers_of_the_one_they_asked_for() {
    require!("ssh-keygen");
    crosstalk(5, 10, 2_000);
}

#[test]
fn takeovers_under_load_give_nobody_anothers_answer() {
    require!("ssh-keygen");
    takeovers(4, 3, 8);
}

#[test]
#[ignore = "minutes: cargo xtask soak names-crosstalk"]
fn a_thousand_names_of_fifty_agents_have_no_crosstalk() {
    require!("ssh-keygen");
    crosstalk(50, 20, 200_000);
}

#[test]
#[ignore = "minutes: cargo xtask soak names-takeovers"]
fn two_hundred_takeovers_under_load_give_nobody_anothers_answer() {
    require!("ssh-keygen");
    // Four of one lease within a minute would be stopped, so each of the agents is taken over three times at most.
    takeovers(80, 3, 200);
}
