//! A mounted ~/.ssh/config as people have it for containers, with host keys switched off (security rule G126).

use adit_testkit::namespace::Namespace;
use adit_testkit::wait;

use crate::ground::{Site, host_key, require_docker};

/// Who owns the keys, as on most people's machines.
const OWNER: &str = "1000";
/// What the log says at each start of a configuration that switches host keys off.
const WARNING: &str = "is read as accept-new";

/// A server and clients in one network.
struct World {
    site: Site,
}

impl World {
    fn new(program: &std::path::Path) -> Self {
        let site = Site::new(&Namespace::new(), program);
        let key = site.key("client", OWNER);
        site.let_in(&[&key]);
        site.write(
            "ssh-client/config",
            "Host remote-server\n  HostName adit-server\n  Port 2222\n  User root\n  IdentityFile ~/.ssh/id_ed25519\n  \
             IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n",
        );
        site.give("ssh-client", OWNER);
        site.docker.run(&["network", "create", "wp"]);
        Self { site }
    }

    /// Starts a server that keeps its state in that volume, and gives its host keys.
    fn serve(&self, volume: &str) -> String {
        let clients = format!("{}:/etc/adit/clients:ro", self.site.shown("clients"));
        let state = format!("{volume}:/var/lib/adit");
        drop(self.site.docker.output(&["rm", "--force", "adit-server"]));
        let words = [
            "run",
            "--detach",
            "--read-only",
            "--name",
            "adit-server",
            "--network",
            "wp",
        ];
        let mounts = ["--volume", &clients, "--volume", &state];
        let command = ["adit", "serve", "--config", "/etc/adit/server.yml"];
        self.site
            .docker
            .run(&[&words[..], &mounts, &command].concat());
        host_key(&self.site.docker.wait_for_log("adit-server", "try: ssh"))
    }

    /// Starts a client with these options of `docker run`, and gives its name.
    fn client(&self, name: &str, options: &[&str]) {
        let folder = format!("{}:/home/adit/.ssh:ro", self.site.shown("ssh-client"));
        let words = [
            "run",
            "--detach",
            "--read-only",
            "--name",
            name,
            "--network",
            "wp",
        ];
        let given = [
            "--user",
            OWNER,
            "--tmpfs",
            "/run/adit:uid=1000,mode=0700",
            "--volume",
            &folder,
            "--env",
            "SSH_CONFIG_NAME=remote-server",
            "--env",
            "SSH_REVERSE_HOST=adit-server",
            "--env",
            "SSH_REVERSE_PORT=2222",
        ];
        let command = ["adit", "up", "--file", "/etc/adit/client.yml"];
        let words = [&words[..], &given, options, &command].concat();
        self.site.docker.run(&words);
    }

    /// Waits until a client has said so, and that it warned of its configuration.
    #[track_caller]
    fn wait_for(&self, client: &str, text: &str) -> String {
        let log = self.site.docker.wait_for_log(client, text);
        assert!(log.contains(WARNING), "{log}");
        log
    }
}

#[test]
fn seed_004_config_does_not_disable_hostkeys() {
    let program = require_docker!();
    let world = World::new(&program);
    let docker = &world.site.docker;
    let first = world.serve("first");
    let state = ["--volume", "client:/var/lib/adit"];

    // Remembered in the state volume, and said at every start.
    world.client("remembers", &state);
    world.wait_for("remembers", "forward up");
    docker.run(&["restart", "--time", "5", "remembers"]);
    wait::until("two starts with a warning each, and two forwards", || {
        let log = docker.log("remembers");
        let counts = [WARNING, "forward up"].map(|text| log.matches(text).count());
        if counts >= [2, 2] { Ok(()) } else { Err(log) }
    });
    docker.run(&["rm", "--force", "remembers"]);

    // Nowhere to remember it: pinned or refused.
    world.client("forgetful", &[]);
    let log = world.wait_for("forgetful", "ADIT_HOST_KEY");
    assert!(log.contains("/var/lib/adit/known_hosts"), "{log}");
    assert!(!log.contains("forward up"), "{log}");
    docker.run(&["rm", "--force", "forgetful"]);
    let pin = format!("ADIT_HOST_KEY={first}");
    world.client("pinned", &["--env", &pin]);
    world.wait_for("pinned", "forward up");
    docker.run(&["rm", "--force", "pinned"]);

    // Another host by that name.
    let second = world.serve("second");
    assert_ne!(first, second);
    world.client("remembers-still", &state);
    let log = world.wait_for("remembers-still", "changed");
    assert!(!log.contains("forward up"), "{log}");
    world.client("pinned-still", &["--env", &pin]);
    let log = world.wait_for("pinned-still", "does not have the pinned key");
    assert!(!log.contains("forward up"), "{log}");
}
