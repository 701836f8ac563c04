//! The origin, and those that stand in front of it: two workers each, no access log, connections to the origin kept.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;

use super::super::kit::{Kit, Talker};
use super::Server;
use crate::sshd;
use crate::workspace::run_quietly;

/// What all stand on: an origin, and a certificate.
#[derive(Debug)]
pub(super) struct Ground {
    /// Answers `/small` with two bytes, `/10k`, `/64k` and `/1m` with as many as they say.
    pub(super) origin: SocketAddr,
    folder: PathBuf,
    example: PathBuf,
    _origin: Talker,
}

/// One that stands in front.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) plain: SocketAddr,
    pub(super) secure: SocketAddr,
    program: Talker,
}

/// Programs listen within a second, or a few on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// The name that all are asked for.
pub(super) const HOST: &str = "app.test";

/// What ran, in a line.
pub(super) fn versions() -> String {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        let text = output.map(|it| [it.stdout, it.stderr].concat());
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    [
        said("nginx", &["-v"]),
        said("haproxy", &["-v"]),
        format!("caddy {}", said("caddy", &["version"])),
        said("wrk", &["-v"]),
        said("h2load", &["--version"]),
    ]
    .join("; ")
}

fn local() -> anyhow::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, sshd::free_port()?).into())
}

impl Ground {
    /// Makes the certificate and starts the origin.
    ///
    /// # Errors
    /// A program cannot be run.
    pub(super) fn prepare(kit: &Kit, example: PathBuf) -> anyhow::Result<Self> {
        let folder = kit.folder()?;
        run_quietly(Command::new("openssl").current_dir(&folder).args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=app.test",
            "-addext",
            "subjectAltName=DNS:app.test",
            "-keyout",
            "key.pem",
            "-out",
            "chain.pem",
        ]))?;
        let der = |kind: &str, from: &str, to: &str| {
            let mut command = Command::new("openssl");
            command
                .current_dir(&folder)
                .args([kind, "-in", from, "-out", to]);
            match kind {
                "x509" => command.args(["-outform", "DER"]),
                _ => command.args(["-topk8", "-nocrypt", "-outform", "DER"]),
            };
            run_quietly(&mut command)
        };
        der("x509", "chain.pem", "chain.der")?;
        der("pkcs8", "key.pem", "key.der")?;
        let both = ["chain.pem", "key.pem"].map(|name| fs::read(folder.join(name)));
        let both = both.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        fs::write(folder.join("both.pem"), both).context("cannot write a certificate")?;
        let origin = local()?;
        for (name, bytes) in [("10k", 10_240), ("64k", 65_536), ("1m", 1_048_576)] {
            fs::write(folder.join(name), vec![b'x'; bytes]).context("cannot write a file")?;
        }
        let server = format!(
            "server {{ listen {origin} reuseport; root {}; keepalive_requests 1000000; \
             location = /small {{ return 200 \"ok\"; }} }}",
            folder.display()
        );
        let program = nginx(kit, &server, origin)?;
        Ok(Self {
            origin,
            folder,
            example,
            _origin: program,
        })
    }

    /// Starts one in front of the origin.
    ///
    /// # Errors
    /// It does not listen.
    pub(super) fn front(&self, kit: &Kit, server: Server) -> anyhow::Result<Front> {
        let (plain, secure) = (local()?, local()?);
        let program = match server {
            Server::Nginx => nginx(kit, &self.before(self.origin, plain, Some(secure)), plain),
            Server::Haproxy => self.haproxy(kit, plain, secure),
            Server::Caddy => self.caddy(kit, plain, secure),
            Server::Adit => return self.adit(kit),
        };
        Ok(Front {
            plain,
            secure,
            program: program?,
        })
    }

    /// nginx in front of whatever listens there.
    pub(super) fn before(
        &self,
        origin: SocketAddr,
        plain: SocketAddr,
        secure: Option<SocketAddr>,
    ) -> String {
        let folder = self.folder.display();
        let tls = secure.map_or_else(String::new, |secure| {
            format!(
                "listen {secure} ssl http2 reuseport; ssl_certificate {folder}/chain.pem; \
                 ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3; \
                 ssl_session_cache shared:tls:10m;"
            )
        });
        format!(
            "upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000; }}\n\
             server {{ listen {plain} reuseport; {tls} keepalive_requests 1000000; http2_max_concurrent_streams 128;\n\
             location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Real-IP $remote_addr; }} }}"
        )
    }

    fn haproxy(&self, kit: &Kit, plain: SocketAddr, secure: SocketAddr) -> anyhow::Result<Talker> {
        let config = kit.folder()?.join("haproxy.cfg");
        let text = format!(
            "global\n maxconn 9000\n nbthread 2\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 120s\n timeout server 120s\n \
             option forwardfor\n http-reuse always\n\
             frontend front\n bind {plain}\n bind {secure} ssl crt {}/both.pem alpn h2,http/1.1\n \
             http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}\n default_backend origin\n\
             backend origin\n server origin {}\n",
            self.folder.display(),
            self.origin
        );
        fs::write(&config, text).context("cannot write a configuration")?;
        started(
            kit,
            Command::new("haproxy").arg("-db").arg("-f").arg(config),
            plain,
        )
    }

    fn caddy(&self, kit: &Kit, plain: SocketAddr, secure: SocketAddr) -> anyhow::Result<Talker> {
        let folder = kit.folder()?;
        let config = folder.join("Caddyfile");
        let (chain, key) = (self.folder.join("chain.pem"), self.folder.join("key.pem"));
        let proxy = format!("reverse_proxy {}", self.origin);
        let text = format!(
            "{{\n admin off\n auto_https off\n default_sni {HOST}\n default_bind 127.0.0.1\n log {{\n  level ERROR\n }}\n}}\n\
             http://:{} {{\n {proxy}\n}}\n\
             https://:{} {{\n tls {} {}\n {proxy}\n}}\n",
            plain.port(),
            secure.port(),
            chain.display(),
            key.display()
        );
        fs::write(&config, text).context("cannot write a configuration")?;
        let mut command = Command::new("caddy");
        command
            .arg("run")
            .arg("--adapter")
            .arg("caddyfile")
            .arg("--config")
            .arg(config);
        command.env("GOMAXPROCS", "2").env("HOME", &folder);
        started(kit, &mut command, plain)
    }

    fn adit(&self, kit: &Kit) -> anyhow::Result<Front> {
        let mut command = Command::new(&self.example);
        command
            .arg(self.origin.to_string())
            .arg(self.folder.join("chain.der"))
            .arg(self.folder.join("key.der"))
            .arg(HOST);
        let mut program = Talker::start(kit, &mut command)?;
        let (plain, secure) = program.wait(kit, "the edge", START_DEADLINE, |said| {
            let (plain, secure) = said.split_once('\n')?.0.split_once(' ')?;
            Some((plain.parse().ok()?, secure.parse().ok()?))
        })?;
        Ok(Front {
            plain,
            secure,
            program,
        })
    }
}

impl Front {
    /// Its processes now.
    pub(super) fn processes(&self) -> Vec<Pid> {
        self.program.group().tree()
    }
}

/// nginx with these blocks, once it listens there.
pub(super) fn nginx(kit: &Kit, servers: &str, at: SocketAddr) -> anyhow::Result<Talker> {
    let folder = kit.folder()?;
    let path = folder.display();
    let text = format!(
        "daemon off; pid {path}/pid; error_log stderr error; worker_processes 2; worker_rlimit_nofile 65536;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_timeout 120s;\n\
         client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;\n\
         uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n{servers}\n}}\n"
    );
    let config = folder.join("nginx.conf");
    fs::write(&config, text).context("cannot write a configuration")?;
    readable(&folder)?;
    let mut command = Command::new("nginx");
    started(
        kit,
        command.arg("-c").arg(&config).arg("-p").arg(&folder),
        at,
    )
}

/// Workers of root's nginx are somebody else, who reads the files of the origin.
fn readable(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = folder.parent().unwrap_or(folder);
    for entry in fs::read_dir(parent).context("cannot list a folder")? {
        let path = entry.context("cannot list a folder")?.path();
        if path.is_dir() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .context("cannot open a folder")?;
        }
    }
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).context("cannot open a folder")
}

fn started(kit: &Kit, command: &mut Command, at: SocketAddr) -> anyhow::Result<Talker> {
    let mut program = Talker::start(kit, command)?;
    let name = command.get_program().to_string_lossy().into_owned();
    program.wait(kit, &name, START_DEADLINE, |_| {
        TcpStream::connect(at).ok().map(drop)
    })?;
    Ok(program)
}
