use super::*;

fn of(text: &str, arguments: &ServeArguments) -> anyhow::Result<Settings> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yml");
    std::fs::write(&path, text).unwrap();
    let arguments = ServeArguments {
        config: Some(path),
        ..arguments.clone()
    };
    let settings = Settings::read(&arguments);
    settings.map_err(|error| {
        let text = format!("{error:#}");
        anyhow::anyhow!(text.replace(&format!("{}/", folder.path().display()), ""))
    })
}

fn data() -> ServeArguments {
    ServeArguments {
        data: Some(PathBuf::from("data")),
        ..ServeArguments::default()
    }
}

#[test]
fn one_line_is_enough() {
    let settings = Settings::read(&data()).unwrap();
    assert_eq!(settings.ssh, [SSH]);
    assert_eq!(settings.defaults.ports.to_string(), "10000-20000");
    assert_eq!(settings.defaults.reach, Reach::Asked);
    assert_eq!(settings.defaults.takeover, Takeover::Probe);
    assert!(settings.ends_refused && !settings.is_local_only);
}

#[test]
fn the_command_line_counts_before_the_file() {
    let text = "
data: here
ssh: [\"[::]:2200\", 127.0.0.1:2201]
domain: gw.example.org
ports: 30000-30010
default_bind: public
takeover: newest
authorized_keys: keys
local_only: yes
end_refused: no
leases: {grace: 1h, port_quarantine: 2d}
limits: {connections: 3, up: 1MiB}
caps: {connections: 100}
proxy_protocol: [10.0.0.0/8, 192.0.2.1]
metrics: 127.0.0.1:9464
drain: 30s
";
    let settings = of(text, &ServeArguments::default()).unwrap();
    assert!(settings.data.ends_with("here") && settings.data.is_absolute());
    assert_eq!(settings.ssh.len(), 2);
    assert_eq!(settings.name(), "gw.example.org");
    assert_eq!(settings.defaults.limits.connections, Some(3));
    assert_eq!(settings.defaults.limits.up, Some(1 << 20));
    assert_eq!(settings.leases.grace, Duration::from_secs(3_600));
    assert!(settings.authorized_keys[0].ends_with("keys"));
    assert!(settings.proxies.contains("10.1.2.3".parse().unwrap()));
    let arguments = ServeArguments {
        ports: Some("40000-40001".parse().unwrap()),
        ssh: vec!["2222".parse().unwrap()],
        ..data()
    };
    let settings = of(text, &arguments).unwrap();
    assert_eq!(settings.data, PathBuf::from("data"));
    assert_eq!(settings.defaults.ports.to_string(), "40000-40001");
    assert_eq!(settings.ssh, [SSH]);
}

#[test]
fn everything_that_is_wrong_with_the_file_is_said_with_its_place() {
    let text = "
dta: x
ssh: gw.example.org:22
ports: 90-80
takeover: steal
leases: {grace: 0s}
database: postgres://user:password@db/adit
";
    let error = of(text, &data()).unwrap_err().to_string();
    for words in [
        "gateway.yml:2:1: ",
        "did you mean \"data\"",
        "gateway.yml:3:6: ",
        "gateway.yml:4:8: ",
        "ends before",
        "gateway.yml:5:11: ",
        "gateway.yml:6:17: ",
        "1s to 30d",
        "gateway.yml:7:11: ",
        "named here and not written",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(!error.contains("password@"), "{error}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (text, words) in [
        ("ssh: 15000", "ports of forwards"),
        ("metrics: 0.0.0.0:9464", "loopback"),
        ("domain: 'a b'", "no name"),
    ] {
        let error = of(text, &data()).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    let error = Settings::read(&ServeArguments::default()).unwrap_err();
    assert!(error.to_string().contains("--data"), "{error}");
}

#[test]
fn where_to_listen_is_a_port_or_an_address_and_a_port() {
    for (text, shown) in [
        ("2222", "*:2222"),
        (":2222", "*:2222"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:22", "[::1]:22"),
        ("localhost:22", "localhost:22"),
    ] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), shown);
    }
    for text in ["", "ssh", "::1:22", "gw:22", "1.2.3.4:99999"] {
        assert_eq!(text.parse::<Listen>(), Err(ListenError), "{text}");
    }
}

#[test]
fn rules_for_visitors_say_who_comes_in_where_and_what_is_told_of_it() {
    let text = "
visitors:
- {ports: 10025, send_proxy: v2, deny: 192.0.2.7}
- {ports: 10000-10100, allow: [192.0.2.0/24, \"2001:db8::/32\"]}
- {proxy_protocol: 10.0.0.0/8, send_proxy: v1, allow: []}
";
    let rules = of(text, &data()).unwrap().rules;
    let rule = |port| rules.of(&adit_model::lease::Holding::Port(port));
    let admits = |port, address: &str| {
        let address = format!("{address}:1").parse().unwrap();
        rule(port)
            .access
            .admits(adit_edge::visitor::Endpoint::Tcp(address))
    };
    let announce = |port| rule(port).announce.map(|version| version.to_string());
    assert_eq!(announce(10_025).as_deref(), Some("v2"));
    assert!(admits(10_025, "198.51.100.1") && !admits(10_025, "192.0.2.7"));
    assert_eq!(announce(10_026), None);
    assert!(admits(10_026, "192.0.2.7") && admits(10_026, "[2001:db8::1]"));
    assert!(!admits(10_026, "198.51.100.1"));
    assert_eq!(announce(10_200).as_deref(), Some("v1"));
    assert!(rule(10_200).balancers.is_some() && !admits(10_200, "10.0.0.1"));
}

#[test]
fn a_rule_for_visitors_that_cannot_be_meant_is_refused_with_its_place() {
    let refused = |rule: &str| {
        of(&format!("visitors:\n- {rule}\n"), &data())
            .unwrap_err()
            .to_string()
    };
    for (rule, words) in [
        ("{allow: }", "nothing stands there"),
        ("{deny: gw.example.org}", "no address or network"),
        ("{deny: 192.0.2.7/24}", "bits set behind its mask"),
        ("{proxy_protocol: v2}", "send_proxy: v2"),
        ("{proxy_protocol: []}", "names the networks"),
        ("{send_proxy: v3}", "v2"),
        ("{allowed: 192.0.2.7}", "did you mean \"allow\""),
        ("{ports: 22}", "no forward has a port of 22"),
        ("{ports: 10001-10009}\n- {ports: 10003}", "it never counts"),
    ] {
        let error = refused(rule);
        assert!(error.contains(words), "{rule}: {error}");
    }
}

#[test]
fn what_holds_for_names_is_read_and_what_cannot_be_meant_is_refused_with_its_place() {
    let text = "
domain: GW.example.org.
names:
  reserved: [shop, intranet]
  dns: [192.0.2.53, \"127.0.0.1:5353\"]
  recheck: 1h
  withdraw_after: 0s
  trusted_proxies: 10.0.0.0/8
  proxy_protocol: 10.1.0.0/16
";
    let settings = of(text, &data()).unwrap();
    assert_eq!(settings.domain.as_deref(), Some("gw.example.org"));
    let names = settings.names;
    assert_eq!(names.reserved.len(), 2);
    let servers = ["192.0.2.53:53", "127.0.0.1:5353"].map(|it| it.parse().unwrap());
    assert_eq!(names.dns, servers);
    assert_eq!(names.recheck, Duration::from_secs(3_600));
    assert_eq!(names.withdraw_after, Duration::ZERO);
    assert!(names.trusted_proxies.len() == 1 && names.balancers.is_some());
    for (text, words) in [
        ("{reserved: 1}", "number or an address"),
        ("{dns: ns.example.org}", "wanted a name server"),
        ("{recheck: 0s}", "1s to 30d"),
        ("{trusted_proxies: }", "nothing stands there"),
        ("{proxy_protocol: }", "nothing stands there"),
        (
            "{trusted_proxie: 10.0.0.0/8}",
            "did you mean \"trusted_proxies\"",
        ),
    ] {
        let error = of(&format!("names: {text}\n"), &data()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("gateway.yml:1:"), "{text}: {error}");
        assert!(error.contains(words), "{text}: {error}");
    }
    let public = |more| {
        let text = format!("domain: co.uk\nhttp: 127.0.0.1:0\n{more}");
        of(&text, &data()).map(drop)
    };
    let error = public("").unwrap_err().to_string();
    assert!(error.contains("anybody registers"), "{error}");
    public("names: {public_suffix: true}\n").unwrap();
}
