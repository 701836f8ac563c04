//! Providers, by stand-ins for their programs: nothing here reaches the internet.

use std::sync::Arc;

use adit_flow::expose::provider::{Provider, ProviderError};
use adit_flow::expose::{Addresses, PublicAddress, State};
use adit_flow::file::{Dialect, Environment, Files, Source};
use adit_flow::model::Compose;
use adit_flow::model::expose::{ExposeConfig, HttpExpose};
use adit_testkit::wait;
use adit_text::Problems;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Folder, PATH, children, is_alive, the_keeper};

/// A file with one gateway.
fn compose(gateway: &str, environment: &Environment) -> Compose {
    let text = format!("gateway: {{type: http-tunnel, {gateway}}}\nworkflow: {{title: t}}\n");
    let source = Source {
        name: "model-compose.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::ModelCompose,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], environment, &mut problems);
    let compose = files.and_then(|files| files.compose(&mut problems));
    compose.unwrap_or_else(|| panic!("{problems}"))
}

fn http(compose: &Compose) -> HttpExpose {
    match &compose.exposes[0].value {
        ExposeConfig::Http(http) => http.clone(),
        other @ ExposeConfig::Ssh(_) => panic!("{other:?}"),
    }
}

/// A gateway that is kept.
struct Kept {
    addresses: Addresses,
    stop: CancellationToken,
    run: JoinSet<Result<(), ProviderError>>,
}

impl Kept {
    /// The stand-ins are in `bin` of the folder.
    fn new(folder: &Folder, gateway: &str, environment: &Environment) -> Self {
        let compose = compose(gateway, environment);
        let addresses = Addresses::new(&compose);
        let (told, stop, mut run) = (addresses.clone(), CancellationToken::new(), JoinSet::new());
        let (until, dir) = (stop.clone(), folder.path().to_owned());
        let path = format!("{}:{PATH}", folder.path().join("bin").display());
        let environment = Arc::new(environment.clone());
        run.spawn(async move {
            let keeper = the_keeper();
            let home = dir.join("home").display().to_string();
            let own = [
                ("PATH", &*path),
                ("HOME", &home),
                ("NGROK_AUTHTOKEN", "ngrok-token"),
            ];
            let children = children(&own);
            let provider = Provider {
                keeper: &keeper,
                dir: &dir,
                children: &children,
                environment: &environment,
            };
            provider.keep(0, &http(&compose), &told, &until).await
        });
        Self {
            addresses,
            stop,
            run,
        }
    }

    async fn up(&self, port: u16) -> PublicAddress {
        let up = self.addresses.wait(port, wait::DEADLINE).await;
        up.unwrap()
    }

    async fn state(&self, port: u16, wanted: impl Fn(&str) -> bool) -> String {
        let addresses = self.addresses.clone();
        wait::until_async("a state of the port", || {
            let state = addresses.state(port);
            let found = match &state {
                Some(State::Down(why)) if wanted(why) => Ok(why.clone()),
                _ => Err(state),
            };
            async move { found }
        })
        .await
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.run.join_next().await.unwrap().unwrap().unwrap();
        assert!(matches!(self.addresses.state(8090), Some(State::Down(_))));
    }
}

const NGROK: &str = r#"echo "$@" > args-$2.new; mv args-$2.new args-$2
echo "$NGROK_AUTHTOKEN" > token-$2.new; mv token-$2.new token-$2
echo $$ > pid-$2.new; mv pid-$2.new pid-$2
echo '{"lvl":"info","msg":"starting web service","addr":"127.0.0.1:4040"}'
echo "{\"addr\":\"http://localhost:$2\",\"lvl\":\"info\",\"msg\":\"started tunnel\",\"url\":\"https://abc-$2.ngrok-free.app\"}"
head -c 1000000 /dev/zero
echo > drained-$2
exec sleep 1000"#;

#[tokio::test]
async fn ngrok_is_run_for_each_port_and_says_its_names() {
    let folder = Folder::new();
    folder.executable("bin/ngrok", NGROK);
    let kept = Kept::new(
        &folder,
        "driver: ngrok, port: [8090, 8091]",
        &Environment::default(),
    );
    let address = kept.up(8090).await;
    assert_eq!(address.url, "https://abc-8090.ngrok-free.app");
    assert_eq!(address.address(), "abc-8090.ngrok-free.app");
    assert_eq!(address.driver, Some("ngrok"));
    assert_eq!(kept.up(8091).await.url, "https://abc-8091.ngrok-free.app");
    assert_eq!(
        folder.said("args-8090").await,
        "http 8090 --log=stdout --log-format=json --log-level=info\n"
    );
    assert_eq!(folder.said("token-8091").await, "ngrok-token\n");
    folder.said("drained-8090").await;
    let pids = ["pid-8090", "pid-8091"].map(|name| folder.pid(name));
    kept.stop().await;
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_and_the_reason_is_told() {
    let folder = Folder::new();
    let script = r#"if test -e second; then exec sh first; fi
cat > first; echo > second
echo '{"err":"authentication failed","lvl":"eror","msg":"session closing"}'; exit 1"#;
    folder.executable(
        "bin/ngrok",
        &script.replace("cat > first", "cp ngrok.sh first"),
    );
    std::fs::write(folder.path().join("ngrok.sh"), NGROK.replace("$2", "8090")).unwrap();
    let kept = Kept::new(
        &folder,
        "driver: ngrok, port: 8090",
        &Environment::default(),
    );
    let why = kept.state(8090, |why| why.contains("exit code")).await;
    assert_eq!(
        why,
        "the program of ngrok has ended (exit code 1): authentication failed"
    );
    kept.up(8090).await;
    rustix::process::kill_process(folder.pid("pid-8090"), rustix::process::Signal::KILL).unwrap();
    kept.state(8090, |why| why.contains("exit code 137")).await;
    kept.stop().await;
}

#[tokio::test]
async fn a_missing_program_ends_it_with_the_reason() {
    let folder = Folder::new();
    // One in the folder that it is run in is none.
    folder.executable("cloudflared", "exit 0");
    let mut kept = Kept::new(
        &folder,
        "driver: cloudflare, port: [8090, 8091]",
        &Environment::default(),
    );
    let ended = tokio::time::timeout(wait::DEADLINE, kept.run.join_next()).await;
    let error = ended.unwrap().unwrap().unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot start the program of cloudflare"),
        "{error}"
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.starts_with("cloudflared: not found in PATH"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_quick_tunnel_is_named_on_its_standard_error() {
    let folder = Folder::new();
    let script = r#"echo "$@" > args.new; mv args.new args
echo '2026-11-22T10:00:00Z INF Requesting new quick Tunnel on trycloudflare.com...' >&2
echo '2026-11-22T10:00:01Z INF |  https://four-odd-words-here.trycloudflare.com  |' >&2
head -c 1000000 /dev/zero >&2
echo > drained
exec sleep 1000"#;
    folder.executable("bin/cloudflared", script);
    let kept = Kept::new(
        &folder,
        "driver: cloudflare, port: 8090",
        &Environment::default(),
    );
    let address = kept.up(8090).await;
    assert_eq!(address.url, "https://four-odd-words-here.trycloudflare.com");
    assert_eq!(address.driver, Some("cloudflare"));
    assert_eq!(
        folder.said("args").await,
        "tunnel --no-autoupdate --url http://localhost:8090\n"
    );
    folder.said("drained").await;
    kept.stop().await;
}

#[tokio::test]
async fn a_token_goes_by_the_environment_and_never_by_arguments() {
    let folder = Folder::new();
    let script = r#"tr '\0' ' ' < /proc/$PPID/cmdline > parent.new; echo "$@" >> parent.new; mv parent.new parent
echo "$TUNNEL_TOKEN" > token.new; mv token.new token
echo '2026-11-22T10:00:01Z INF Registered tunnel connection connIndex=0' >&2
exec sleep 1000"#;
    folder.executable("bin/cloudflared", script);
    let mut environment = Environment::default();
    environment
        .say("CLOUDFLARE_TUNNEL_TOKEN=eyJs3cr3t")
        .unwrap();
    let gateway = "driver: cloudflare, port: 8090, token: '${env.CLOUDFLARE_TUNNEL_TOKEN}', hostname: app.example.com";
    let kept = Kept::new(&folder, gateway, &environment);
    assert_eq!(kept.up(8090).await.url, "https://app.example.com");
    assert_eq!(folder.said("token").await, "eyJs3cr3t\n");
    let seen = folder.said("parent").await;
    assert!(seen.ends_with("tunnel --no-autoupdate run\n"), "{seen}");
    assert!(!seen.contains("s3cr3t"), "{seen}");
    kept.stop().await;
}

#[tokio::test]
async fn a_named_tunnel_has_a_private_file_that_goes_away() {
    let folder = Folder::new();
    let script = r#"echo "$4" > where.new; mv where.new where
stat -c %a "$4" > mode.new; mv mode.new mode
cat "$4" > config.new; echo >> config.new; mv config.new config
echo "$@" > args.new; mv args.new args
echo '2026-11-22T10:00:01Z INF Registered tunnel connection connIndex=0' >&2
exec sleep 1000"#;
    folder.executable("bin/cloudflared", script);
    let gateway =
        "driver: cloudflare, port: [8090, 8091], tunnel: mine, credentials_file: ~/creds.json";
    let kept = Kept::new(&folder, gateway, &Environment::default());
    assert_eq!(kept.up(8090).await.url, "https://mine.cfargotunnel.com");
    // Whoever needs the other does not wait: it never has one.
    match kept.addresses.state(8091) {
        Some(State::Barred(why)) => assert!(why.contains("one name"), "{why}"),
        other => panic!("{other:?}"),
    }
    let (file, creds) = (
        folder.said("where").await,
        folder.path().join("home/creds.json"),
    );
    let file = std::path::Path::new(file.trim());
    assert_eq!(folder.said("mode").await, "600\n");
    let args = format!(
        "tunnel --no-autoupdate --config {} run mine\n",
        file.display()
    );
    assert_eq!(folder.said("args").await, args);
    let config: serde_json::Value = serde_json::from_str(&folder.said("config").await).unwrap();
    let wanted = serde_json::json!({
        "tunnel": "mine",
        "credentials-file": creds,
        "ingress": [{"service": "http://localhost:8090"}],
    });
    assert_eq!(config, wanted);
    kept.stop().await;
    assert!(!file.exists() && !file.parent().unwrap().exists());
}

#[tokio::test]
async fn a_token_that_is_nowhere_ends_it_with_the_reason() {
    let folder = Folder::new();
    folder.executable("bin/cloudflared", "exit 0");
    for (token, told) in [
        (
            "env:NOWHERE",
            "the environment variable NOWHERE, which should hold the token, is not set",
        ),
        ("file:gone", "cannot read the token in "),
    ] {
        let gateway =
            format!("driver: cloudflare, port: 8090, token: '{token}', hostname: a.example");
        let mut kept = Kept::new(&folder, &gateway, &Environment::default());
        let error = kept.run.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(error.to_string().starts_with(told), "{error}");
    }
}
