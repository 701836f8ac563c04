//! The jobs of a soak.

use std::time::Duration;

/// One long job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// When it is given up.
    pub(super) limit: Duration,
    pub(super) work: Work,
    pub(super) env: &'static [(&'static str, &'static str)],
}

/// What a job does.
#[derive(Debug)]
pub(super) enum Work {
    /// What cargo is called with.
    Cargo(&'static [&'static str]),
    /// Tests of the program that are too long for the gate.
    Ignored {
        /// The option that names their binary.
        test: &'static str,
        /// Which of them; without it all.
        filter: Option<&'static str>,
    },
}

impl Work {
    /// The words for cargo.
    pub(super) fn args(&self) -> Vec<&'static str> {
        match self {
            Self::Cargo(args) => args.to_vec(),
            Self::Ignored { test, filter } => {
                let mut args = vec!["nextest", "run", "--package=adit", test];
                args.extend(["--run-ignored=only", "--no-capture", "--profile=soak"]);
                args.extend(filter.map(|filter| ["-E", filter]).into_iter().flatten());
                args
            }
        }
    }
}

/// All of them. Those of workflows, `flow-...`, take a quarter of an hour together on two cores.
pub(super) const JOBS: &[Job] = &[
    Job {
        name: "cuts",
        about: "100 cuts in a row: the tunnel comes back each time, after waits that grow to half a minute",
        // The agent forgets its waits only after a minute up, so these grow: 31.5 s together up to
        // the sixth cut and 30 s for each other one, of which between half and all is waited. That
        // is 24 to 48 minutes, 36 as a rule; a login and the page are well under a second.
        limit: Duration::from_mins(60),
        work: Work::Cargo(&[
            "run",
            "--quiet",
            "--package=xtask",
            "--",
            "demo",
            "--once",
            "--cuts",
            "100",
        ]),
        env: &[],
    },
    Job {
        name: "rested-cuts",
        about: "20 cuts, each after more than a minute up: the page is back within 5 s",
        limit: Duration::from_mins(30),
        work: Work::Cargo(&[
            "run",
            "--quiet",
            "--package=xtask",
            "--",
            "demo",
            "--once",
            "--cuts",
            "20",
            "--rest",
            "62",
            "--within",
            "5",
        ]),
        env: &[],
    },
    Job {
        name: "dark",
        about: "a line that is dark for a minute, direct and through a jump host: back within 3 s",
        limit: Duration::from_mins(10),
        work: Work::Cargo(&[
            "nextest",
            "run",
            "--package=adit",
            "--test=lab_heal",
            "--run-ignored=only",
            "--no-capture",
        ]),
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "gateway-cuts",
        about: "100 silent cuts each of a stock ssh and of an agent at adit serve: when their ports are back",
        // A cut takes 3 to 5 s: a quarter of an hour for both.
        limit: Duration::from_hours(1),
        work: Work::Ignored {
            test: "--test=lab_gateway",
            filter: Some("test(/a_hundred_cuts/)"),
        },
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "gateway-kills",
        about: "100 times kill -9 of adit serve while clients come and go: every port is back with its owner",
        limit: Duration::from_hours(1),
        work: Work::Ignored {
            test: "--test=lab_gateway",
            filter: Some("test(/a_hundred_kills/)"),
        },
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "gateway-boot",
        about: "the units of examples/gateway/systemd in a machine that boots: start, reload, restart, watchdog, sockets",
        // Debian's files are fetched once.
        limit: Duration::from_mins(30),
        work: Work::Ignored {
            test: "--test=real_boot",
            filter: Some("not test(services)"),
        },
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "service-boot",
        about: "adit service in a machine that boots: kill -9 twenty times, the watchdog, a network that comes late, boot again",
        // Debian's files are fetched once.
        limit: Duration::from_mins(30),
        work: Work::Ignored {
            test: "--test=real_boot",
            filter: Some("test(services)"),
        },
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "containers-cut",
        about: "two databases in containers, the line between them cut for 90 s: the replica has all within 5 s of its return",
        // The image has the static program: `cargo xtask test build` first.
        limit: Duration::from_mins(20),
        work: Work::Cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--test=real_container",
            "--no-capture",
            "--profile=soak",
            "-E",
            "test(/replica/)",
        ]),
        env: &[("ADIT_REAL", "1"), ("ADIT_CUT", "90")],
    },
    Job {
        name: "names-crosstalk",
        about: "1,000 names of 50 agents under load: each visitor gets the answers of the name it asked for",
        limit: Duration::from_mins(30),
        work: Work::Ignored {
            test: "--test=real_names",
            filter: Some("test(/a_thousand_names/)"),
        },
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "names-takeovers",
        about: "200 takeovers under HTTP load: nobody gets another tenant's answer, no error on other names",
        limit: Duration::from_mins(30),
        work: Work::Ignored {
            test: "--test=real_names",
            filter: Some("test(/two_hundred_takeovers/)"),
        },
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "names-gibibyte",
        about: "1 GiB up and down through a name, by stock ssh and an agent: the gateway's memory stays flat",
        limit: Duration::from_mins(30),
        work: Work::Ignored {
            test: "--test=real_names",
            filter: Some("test(/a_gibibyte/)"),
        },
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "fuzz",
        about: "every fuzz target for ten minutes",
        limit: Duration::from_hours(3),
        work: Work::Cargo(&[
            "run",
            "--quiet",
            "--package=xtask",
            "--",
            "fuzz",
            "--seconds",
            "600",
            "--jobs",
            "2",
        ]),
        env: &[],
    },
    Job {
        name: "properties",
        about: "every property with 20,000 cases, in the release profile",
        limit: Duration::from_hours(2),
        work: Work::Cargo(&[
            "nextest",
            "run",
            "--release",
            "--workspace",
            "--no-fail-fast",
            "--profile=soak",
            "-E",
            "package(adit-ssh) | package(adit-tunnel)",
        ]),
        env: &[("PROPTEST_CASES", "20000")],
    },
    Job {
        name: "flow-properties",
        about: "every property of workflows with 20,000 cases, every simulation with 20,000 seeds: 5 min",
        // In a debug build the simulations alone take five minutes, beside others on two cores.
        limit: Duration::from_mins(20),
        work: Work::Cargo(&[
            "nextest",
            "run",
            "--release",
            "--package=adit-flow",
            "--package=adit-text",
            "--lib",
            "--no-fail-fast",
            "--profile=soak",
        ]),
        env: &[("PROPTEST_CASES", "20000"), ("ADIT_SEEDS", "20000")],
    },
    Job {
        name: "flow-fuzz",
        about: "the fuzz targets of workflows for 90 s each, two at once: 5 min",
        limit: Duration::from_mins(20),
        work: Work::Cargo(&[
            "run",
            "--quiet",
            "--package=xtask",
            "--",
            "fuzz",
            "--seconds",
            "90",
            "--jobs",
            "2",
            "body",
            "compose",
            "events",
            "text",
            "variables",
        ]),
        env: &[],
    },
    Job {
        name: "flow-kills",
        about: "50 times kill -9 of adit and of what keeps its programs, and no process stays: 2 min",
        limit: Duration::from_mins(15),
        work: Work::Cargo(&[
            "nextest",
            "run",
            "--package=adit",
            "--test=real_process",
            "--test=real_compose",
            "--no-tests=fail",
            "--stress-count=50",
            "-E",
            "test(kill_9_of_the_parent) | test(what_forked_twice) | test(one_that_is_killed)",
        ]),
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "flow-cuts",
        about: "50 times a tunnel cut between a request and its callback, and the run completes: 1 min",
        limit: Duration::from_mins(15),
        work: Work::Cargo(&[
            "nextest",
            "run",
            "--package=adit",
            "--test=real_acceptance",
            "--no-tests=fail",
            "--stress-count=50",
            "-E",
            "test(the_callback_survives_a_cut_between_the_request_and_the_callback)",
        ]),
        env: &[("ADIT_REAL", "1")],
    },
    Job {
        name: "bench",
        about: "tunnels measured beside OpenSSH; the table is docs/measured/DATE-bench-ssh.md",
        limit: Duration::from_hours(3),
        work: Work::Cargo(&[
            "run",
            "--quiet",
            "--package=xtask",
            "--",
            "bench",
            "ssh",
            "--full",
            "--write",
        ]),
        env: &[],
    },
    Job {
        name: "interop",
        about: "every SSH program and library on every algorithm, and the page of it",
        limit: Duration::from_mins(30),
        work: Work::Cargo(&["run", "--quiet", "--package=xtask", "--", "interop"]),
        env: &[],
    },
    Job {
        name: "flakes",
        about: "every lab and real-program test ten times: not one may fail",
        limit: Duration::from_hours(1),
        work: Work::Cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--stress-count=10",
            "-E",
            "binary(/^(lab|real)_/) | test(/(^|::)(lab|real)::/)",
        ]),
        env: &[("ADIT_REAL", "1")],
    },
];
