//! The subsystem `control@adit`, asked for by stock ssh, whose input and output are a test's.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use adit_model::grant::Grant;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use adit_tunnel::control::{Frames, Instance, Outcome, Place, Text, ToAgent, ToGateway, frame};
use adit_tunnel::gateway::policy::Kind;
use tokio::time::Instant;

use crate::world::{Gateway, SOON, User, alone, generous};

/// A gateway with one device.
async fn device(grant: Grant) -> (Gateway, User) {
    let (gateway, user) = alone(grant).await;
    gateway.change(|policy| {
        for principal in policy.principals.values_mut() {
            Arc::make_mut(principal).kind = Kind::Device;
        }
    });
    (gateway, user)
}

/// An ssh in whose subsystem a test speaks.
struct Spoken {
    child: Child,
    frames: Frames,
}

impl Spoken {
    fn new(gateway: &Gateway, user: &User, more: &[&str]) -> Self {
        let mut ahead = vec!["-s", "-T"];
        ahead.extend(more);
        let mut command: Command = gateway.command_with(user, &ahead, &["control@adit"]);
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            frames: Frames::default(),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    fn greet(&mut self) {
        let instance = Instance::new(7);
        let hello = ToGateway::Hello {
            version: 9,
            instance,
        };
        self.send(&frame(&hello).unwrap());
        assert_eq!(self.hear(), ToAgent::Welcome { version: 3 });
        assert!(matches!(self.hear(), ToAgent::Identity(_)));
    }

    fn hear(&mut self) -> ToAgent {
        loop {
            if let Some(message) = self.frames.take().unwrap() {
                return message;
            }
            let mut bytes = [0; 512];
            let output = self.child.stdout.as_mut().unwrap();
            let count = output.read(&mut bytes).unwrap();
            assert!(count > 0, "the gateway has hung up");
            self.frames.push(&bytes[..count]);
        }
    }

    /// The exit status, and what was said to a person.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let status = wait::until_within(SOON, "ssh ends", || {
            let status = self.child.try_wait().unwrap();
            status.ok_or("it runs")
        });
        let mut told = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        errors.read_to_string(&mut told).unwrap();
        (status.code(), told)
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        // One that has ended is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// G34.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_is_for_devices_and_a_failure_for_everybody_else() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = alone(generous()).await;
    let ask = || Process::spawn(&mut gateway.command_with(&user, &["-s"], &["control@adit"]));
    let mut ssh = ask();
    assert!(!ssh.wait(SOON).success());
    let told = ssh.stderr();
    assert!(told.contains("subsystem request failed"), "{told}");
    gateway.stop().await;

    let (gateway, user) = device(generous()).await;
    let mut spoken = Spoken::new(&gateway, &user, &[]);
    spoken.greet();
    let grant = spoken.hear();
    assert!(
        matches!(&grant, ToAgent::Grant(grant) if grant.any_port && grant.ports == Text::new("1-65535")),
        "{grant:?}"
    );
    // Who is a device no more has it no more, at once.
    gateway.change(|policy| {
        for principal in policy.principals.values_mut() {
            Arc::make_mut(principal).kind = Kind::User;
        }
    });
    let (status, told) = spoken.end();
    assert_eq!(status, Some(0), "{told}");
    gateway.stop().await;
}

/// G31.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_limits_lengths_texts_and_how_fast_it_is_spoken_to() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = device(generous()).await;
    for (bytes, why) in [
        (&[0xff; 4][..], "frame of 4294967295 bytes"),
        (&[0, 0, 0, 0], "frame of 0 bytes"),
        (b"\0\0\0\x0d{\"exec\":\"id\"}", "frame is no message"),
    ] {
        let mut spoken = Spoken::new(&gateway, &user, &[]);
        spoken.greet();
        spoken.send(bytes);
        let (status, told) = spoken.end();
        assert_eq!(status, Some(1), "{told}");
        assert!(told.contains(why), "{told}");
    }
    let mut spoken = Spoken::new(&gateway, &user, &[]);
    spoken.greet();
    assert!(matches!(spoken.hear(), ToAgent::Grant(_)));
    let forward = Place::Tcp {
        host: Text::new("*"),
        port: 20_000,
    };
    let probe = frame(&ToGateway::Probe { forward }).unwrap();
    let since = Instant::now();
    spoken.send(&probe.repeat(60));
    for _ in 0..60 {
        let answer = spoken.hear();
        let not_yours = matches!(
            answer,
            ToAgent::Probed {
                outcome: Outcome::NotYours,
                ..
            }
        );
        assert!(not_yours, "{answer:?}");
    }
    // Of 61, 20 are free, and each of the others takes a twentieth of a second.
    assert!(
        since.elapsed().as_millis() >= 1_900,
        "{:?}",
        since.elapsed()
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_greet_first_or_greets_twice_is_not_listened_to() {
    require!("ssh", "ssh-keygen");
    let (gateway, user) = device(generous()).await;
    let forward = Place::Unix {
        path: Text::new("x"),
    };
    let mut rude = Spoken::new(&gateway, &user, &[]);
    rude.send(&frame(&ToGateway::Probe { forward }).unwrap());
    assert_eq!(rude.end().0, Some(1));
    let mut twice = Spoken::new(&gateway, &user, &[]);
    twice.greet();
    let instance = Instance::new(8);
    let again = ToGateway::Hello {
        version: 1,
        instance,
    };
    twice.send(&frame(&again).unwrap());
    assert_eq!(twice.end().0, Some(1));
    gateway.stop().await;
}
