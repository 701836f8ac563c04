//! Files as their programs' own documentation has them.

use super::*;

fn import_of(kind: ImportKind, text: &str) -> Imported {
    import(kind, text).unwrap()
}

/// The lines of what was left, with the word that each begins with.
fn left(imported: &Imported) -> Vec<(usize, &str)> {
    let each = imported.left.iter();
    each.map(|left| (left.line, left.what.as_str())).collect()
}

/// The forwards of an adit.yml.
fn forwards(imported: &Imported) -> Vec<&str> {
    let lines = imported.text.lines();
    lines
        .filter_map(|line| line.strip_prefix("      - "))
        .collect()
}

const FRPC: &str = r#"serverAddr = "gw.example.org"
serverPort = 7000
auth.method = "token"
auth.token = "hunter2"
loginFailExit = true
transport.tls.enable = true
includes = ["./confd/*.toml"]

[[proxies]]
name = "ssh"
type = "tcp"
localIP = "192.0.2.1"
localPort = 22
remotePort = 6001
transport.bandwidthLimit = "1MB"
healthCheck.type = "tcp"

[[proxies]]
name = "dns"
type = "udp"
localPort = 53
remotePort = 6002

[[proxies]]
name = "web01"
type = "http"
localPort = 80
subdomain = "web01"
customDomains = ["web02.example.net"]
healthCheck.type = "http"
healthCheck.path = "/status"

[[proxies]]
name = "guarded"
type = "http"
localPort = 81
subdomain = "guarded"
httpUser = "admin"
httpPassword = "hunter3"

[[proxies]]
name = "secret"
type = "stcp"
secretKey = "hunter4"
localPort = 5900

[[proxies]]
name = "socket"
type = "tcp"
remotePort = 6003
[proxies.plugin]
type = "unix_domain_socket"
unixPath = "/var/run/docker.sock"

[[visitors]]
name = "secret_visitor"
type = "stcp"
serverName = "secret"
secretKey = "hunter4"
bindAddr = "127.0.0.1"
bindPort = 9000
"#;

#[test]
fn a_client_of_frp_becomes_a_tunnel_and_what_cannot_is_told() {
    let imported = import_of(ImportKind::Frp, FRPC);
    assert_eq!(
        forwards(&imported),
        [
            r#"remote: "*:6001:192.0.2.1:22""#,
            r#"remote: "web01:80:127.0.0.1:80""#,
            r#"remote: "web02.example.net:80:127.0.0.1:80""#,
            r#"remote: "secret:5900:127.0.0.1:5900""#,
        ]
    );
    assert!(
        imported.text.contains(r#"check: "http:/status""#),
        "{}",
        imported.text
    );
    assert!(
        imported.text.contains(r#"host: "gw.example.org""#),
        "{}",
        imported.text
    );
    assert_eq!(
        left(&imported),
        [
            (2, "serverPort"),
            (3, "auth.method"),
            (4, "auth.token"),
            (5, "loginFailExit"),
            (6, "transport.tls.enable"),
            (7, "includes"),
            (15, "transport.bandwidthLimit"),
            (18, "proxy dns"),
            (38, "httpUser"),
            (44, "secretKey"),
            (47, "proxy socket"),
            (55, "visitor secret_visitor"),
        ]
    );
}

/// What was for few stays so: none of it becomes a site (G110).
#[test]
fn names_domains_and_groups_of_frp_are_brought_over_as_far_as_they_can_be() {
    let text = "serverAddr = \"gw.example.org\"\n\
                [[proxies]]\nname = \"own\"\ntype = \"http\"\nlocalPort = 8080\n\
                customDomains = [\"Shop.Example\", \"*.shop.example\", \"local\"]\n\
                loadBalancer.group = \"shop\"\nloadBalancer.groupKey = \"hunter7\"\n\
                [[proxies]]\nname = \"tls\"\ntype = \"https\"\nlocalPort = 8443\nsubdomain = \"tls\"\n\
                customDomains = [\"bank.example\"]\n\
                [[proxies]]\nname = \"mux\"\ntype = \"tcpmux\"\nmultiplexer = \"httpconnect\"\nlocalPort = 22\n\
                customDomains = [\"ssh.example\"]\n\
                [[proxies]]\nname = \"other\"\ntype = \"tcpmux\"\nlocalPort = 22\nsubdomain = \"other\"\n\
                [[proxies]]\nname = \"muxed\"\ntype = \"tcpmux\"\nmultiplexer = \"httpconnect\"\nlocalPort = 80\n\
                subdomain = \"muxed\"\n\
                [[proxies]]\nname = \"inner\"\ntype = \"stcp\"\nsecretKey = \"hunter8\"\nlocalPort = 443\n\
                [[proxies]]\nname = \"ports\"\ntype = \"tcp\"\nlocalPort = 22\nremotePort = 22\n\
                loadBalancer.group = \"ports\"\n\
                [[proxies]]\nname = \"nothing\"\ntype = \"http\"\nlocalPort = 1\ncustomDomains = [\"*.example\"]\n";
    let imported = import_of(ImportKind::Frp, text);
    assert_eq!(
        forwards(&imported),
        [
            r#"remote: "shop.example:80:127.0.0.1:8080""#,
            r#"remote: "tls:443:127.0.0.1:8443""#,
            r#"remote: "bank.example:443:127.0.0.1:8443""#,
            r#"remote: "ssh.example:22:127.0.0.1:22""#,
        ]
    );
    assert_eq!(
        left(&imported),
        [
            (6, "customDomains"),
            (6, "customDomains"),
            (7, "loadBalancer.group"),
            (15, "proxy mux"),
            (21, "proxy other"),
            (26, "proxy muxed"),
            (32, "proxy inner"),
            (37, "proxy ports"),
            (43, "proxy nothing"),
            (47, "customDomains"),
        ]
    );
    let said: Vec<String> = imported.left.iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    for words in [
        "--pool COUNT",
        "--open ssh.example:22",
        "a site for everybody",
        "\"*.shop.example\" is no whole domain",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("hunter"), "{said}");
}

/// G112.
#[test]
fn no_secret_is_printed() {
    let rathole = "[client]\nremote_addr = \"gw.example:2333\"\ndefault_token = \"hunter5\"\n\
                   [client.services.a]\ntoken = \"hunter6\"\nlocal_addr = \"127.0.0.1:22\"\n";
    for (kind, text) in [
        (ImportKind::Frp, FRPC),
        (
            ImportKind::Frp,
            "[common]\nserver_addr = a.example\ntoken = hunter2\n[x]\nlocal_port = 1\n",
        ),
        (ImportKind::Rathole, rathole),
    ] {
        let imported = import_of(kind, text);
        let said: Vec<String> = imported.left.iter().map(ToString::to_string).collect();
        let all = format!("{}{}", imported.text, said.join("\n"));
        assert!(!all.contains("hunter"), "{all}");
        assert!(all.contains("adit join"), "{all}");
    }
    let broken = import(
        ImportKind::Frp,
        "serverAddr = \"a\"\nauth.token = \"hunter2\" x\n",
    );
    let error = format!("{:#}", broken.unwrap_err());
    assert!(
        error.contains("line 2") && !error.contains("hunter2"),
        "{error}"
    );
}

/// G111.
#[test]
fn nothing_is_expanded_and_no_other_file_is_read() {
    let templates = "serverAddr = \"{{ .Envs.FRP_SERVER }}\"\n[[proxies]]\nname = \"a\"\ntype = \"tcp\"\n\
                     localPort = 22\nremotePort = {{ .Envs.PORT }}\n";
    let imported = import_of(ImportKind::Frp, templates);
    let templates = imported
        .left
        .iter()
        .filter(|left| left.what == "template {{ }}");
    assert_eq!(templates.map(|left| left.line).collect::<Vec<_>>(), [1, 6]);
    assert_eq!(imported.text, "");
    for command in [
        "ssh -N -R $PORT:localhost:22 gw.example",
        "ssh -N -R 22:localhost:22 \"$(id)@gw.example\"",
        "ssh -N -R 22:localhost:22 `id`@gw.example",
    ] {
        let imported = import_of(ImportKind::AutosshUnit, command);
        assert_eq!(imported.text, "");
        assert!(
            imported.left[0].why.contains("not expanded"),
            "{imported:?}"
        );
    }
    let unit = "[Service]\nEnvironmentFile=/etc/default/tunnel\nExecStart=/usr/bin/autossh -M 0 -N -R 22:localhost:22 %i\n";
    let imported = import_of(ImportKind::AutosshUnit, unit);
    assert_eq!(left(&imported), [(2, "EnvironmentFile"), (3, "command")]);
    assert_eq!(imported.text, "");
}

#[test]
fn the_old_form_of_frp_is_read_with_its_ranges() {
    let text = "# frpc.ini\n[common]\nserver_addr = 203.0.113.5\nserver_port = 7000\nuser = home\n\n\
                [ssh]\ntype = tcp\nlocal_ip = 127.0.0.1\nlocal_port = 22\nremote_port = 6000\n\n\
                [range:game]\ntype = tcp\nlocal_port = 6010-6011,6013\nremote_port = 7010-7011,7013\n\n\
                [web]\ntype = http\nlocal_port = 8080\nsubdomain = web\nuse_compression = true\nnonsense\n\n\
                [p2p_visitor]\nrole = visitor\ntype = xtcp\nserver_name = p2p\nbind_port = 6000\n";
    let imported = import_of(ImportKind::Frp, text);
    assert_eq!(
        forwards(&imported),
        [
            r#"remote: "*:6000:127.0.0.1:22""#,
            r#"remote: "*:7010:127.0.0.1:6010""#,
            r#"remote: "*:7011:127.0.0.1:6011""#,
            r#"remote: "*:7013:127.0.0.1:6013""#,
            r#"remote: "web:80:127.0.0.1:8080""#,
        ]
    );
    assert!(imported.text.contains("  \"home\":\n"), "{}", imported.text);
    assert_eq!(
        left(&imported),
        [
            (4, "server_port"),
            (22, "use_compression"),
            (23, ""),
            (25, "visitor p2p_visitor")
        ]
    );
}

#[test]
fn a_server_of_frp_becomes_settings() {
    let text = "bindPort = 7000\nvhostHTTPPort = 80\nvhostHTTPSPort = 443\nsubDomainHost = \"frps.example\"\n\
                allowPorts = [\n  { start = 2000, end = 3000 },\n  { single = 3001 },\n]\n\
                auth.token = \"x\"\nmaxPortsPerClient = 5\n";
    let imported = import_of(ImportKind::Frp, text);
    let settings: Vec<&str> = imported.text.lines().skip(1).collect();
    assert_eq!(
        settings,
        [
            r#"http: "80""#,
            r#"https: "443""#,
            r#"domain: "frps.example""#,
            r#"ports: "2000-3001""#
        ]
    );
    assert_eq!(
        left(&imported),
        [
            (1, "bindPort"),
            (9, "auth.token"),
            (10, "maxPortsPerClient")
        ]
    );
    // G110: what listened on one address alone does not listen everywhere by it.
    let inner = import_of(
        ImportKind::Frp,
        "bindPort = 7000\nproxyBindAddr = \"10.0.0.1\"\nallowPorts = [{ single = 1 }]\n",
    );
    assert!(!inner.text.contains("ports"), "{}", inner.text);
    let local = import_of(
        ImportKind::Frp,
        "bindPort = 7000\nproxyBindAddr = \"127.0.0.1\"\nvhostHTTPPort = 80\n",
    );
    assert!(
        local.text.contains("local_only: true") && local.text.contains("127.0.0.1:80"),
        "{}",
        local.text
    );
}

#[test]
fn both_ends_of_rathole_are_read() {
    let client = "[client]\nremote_addr = \"gw.example:2333\"\nheartbeat_timeout = 30\n\
                  [client.transport]\ntype = \"noise\"\n\
                  [client.services.nas_ssh]\nlocal_addr = \"127.0.0.1:22\"\nnodelay = true\n\
                  [client.services.game]\ntype = \"udp\"\nlocal_addr = \"127.0.0.1:27015\"\n";
    let imported = import_of(ImportKind::Rathole, client);
    assert_eq!(forwards(&imported), [r#"remote: "*:0:127.0.0.1:22""#]);
    assert_eq!(
        left(&imported),
        [
            (3, "client.heartbeat_timeout"),
            (5, "client.transport.type"),
            (7, "service nas_ssh"),
            (8, "nas_ssh: nodelay"),
            (10, "service game"),
        ]
    );
    let server = "[server]\nbind_addr = \"0.0.0.0:2333\"\n\
                  [server.services.nas_ssh]\nbind_addr = \"0.0.0.0:5202\"\n\
                  [server.services.inner]\nbind_addr = \"127.0.0.1:5203\"\n\
                  [server.services.one]\nbind_addr = \"10.0.0.1:5204\"\n";
    let imported = import_of(ImportKind::Rathole, server);
    assert!(
        imported.text.contains(r#"ports: "5202,5203""#),
        "{}",
        imported.text
    );
    assert!(
        imported
            .text
            .contains("grant add inner --ports 5203 --reach local"),
        "{}",
        imported.text
    );
    assert_eq!(
        left(&imported),
        [(2, "server.bind_addr"), (8, "service one")]
    );
    let both = import_of(ImportKind::Rathole, &format!("{client}{server}"));
    assert_eq!(forwards(&both), [r#"remote: "*:5202:127.0.0.1:22""#]);
    assert!(import(ImportKind::Rathole, "[other]\na = 1\n").is_err());
}

#[test]
fn a_unit_of_autossh_becomes_a_tunnel() {
    let text = "[Unit]\nDescription=AutoSSH tunnel service\nAfter=network-online.target\n\n\
                [Service]\nUser=autossh\nEnvironment=\"AUTOSSH_GATETIME=0\"\n\
                ExecStart=/usr/bin/autossh -M 0 -N -q \\\n\
                \x20   -o \"ServerAliveInterval 60\" -o ServerAliveCountMax=3 -o ExitOnForwardFailure=yes \\\n\
                \x20   -o StrictHostKeyChecking=no -C -p 2222 -i /etc/tunnel/key \\\n\
                \x20   -L 3306:localhost:3306 -R 127.0.0.1:8080:localhost:80 -D1080 me@gw.example\n\
                Restart=always\nNice=5\n\n[Install]\nWantedBy=multi-user.target\n";
    let imported = import_of(ImportKind::AutosshUnit, text);
    assert_eq!(
        forwards(&imported),
        [
            r#"local: "3306:localhost:3306""#,
            r#"remote: "127.0.0.1:8080:localhost:80""#,
            r#"dynamic: "1080""#,
        ]
    );
    for line in [
        r#"    host: "gw.example""#,
        r#"    user: "me""#,
        "    port: 2222",
        r#"    key: ["/etc/tunnel/key"]"#,
        "      interval: 60s",
        "      misses: 3",
        r#"      StrictHostKeyChecking: "no""#,
    ] {
        assert!(
            imported.text.lines().any(|it| it == line),
            "{line}: {}",
            imported.text
        );
    }
    assert_eq!(left(&imported), [(6, "User"), (8, "-C"), (13, "Nice")]);
}

#[test]
fn lines_of_a_crontab_become_tunnels_of_their_own() {
    let text = "# m h dom mon dow command\n\
                @reboot autossh -M 20000 -f -N -R 2201:localhost:22 me@gw.example >/dev/null 2>&1\n\
                */5 * * * * /usr/bin/ssh -fNR 2202:localhost:80 gw.example sleep 60\n\
                0 4 * * * /usr/local/bin/backup\n\
                @reboot autossh -M 0 -N gw.example\n";
    let imported = import_of(ImportKind::AutosshUnit, text);
    assert_eq!(
        forwards(&imported),
        [
            r#"remote: "2201:localhost:22""#,
            r#"remote: "2202:localhost:80""#
        ]
    );
    assert!(
        imported.text.contains("\"gw.example\":") && imported.text.contains("\"gw.example-2\":")
    );
    assert_eq!(
        left(&imported),
        [(3, "command behind the host"), (4, "line"), (5, "command")]
    );
}

/// G110: what sshd would restrict and adit does not know lets nobody in.
#[test]
fn keys_that_cannot_be_used_are_left_out_with_their_line() {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKc1PLMMBji/x3d+AYzt8SYpa7IE4v0JsoJuzRef3q2l alice";
    let text = format!(
        "# people\n{KEY}\nfrom=\"192.0.2.0/24\",permitlisten=\"8080\" {KEY}\nno-such-option {KEY}\n\
         command=\"/bin/backup\" {KEY}\nfrom=\"*.example.org\" {KEY}\n"
    );
    let imported = import_of(ImportKind::AuthorizedKeys, &text);
    let lines: Vec<&str> = imported.text.lines().collect();
    let left_out = |number: usize| lines[number].starts_with("# left out: ");
    // The first line says what it is for.
    assert!(
        !left_out(2) && left_out(4) && left_out(6),
        "{}",
        imported.text
    );
    let told: Vec<usize> = imported.left.iter().map(|left| left.line).collect();
    assert!(
        told.contains(&4) && told.contains(&5) && told.contains(&6),
        "{told:?}"
    );
}

#[test]
fn a_files_words_reach_a_terminal_escaped() {
    let text = "[common]\nserver_addr = a.example\nx\u{1b}[2J = 1\n[a]\nlocal_port = 1\n";
    let imported = import_of(ImportKind::Frp, text);
    let said: String = imported.left.iter().map(ToString::to_string).collect();
    assert!(
        said.contains("\\u{1b}") && !said.contains('\u{1b}'),
        "{said}"
    );
}
