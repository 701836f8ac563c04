use super::*;

fn with_ports(ports: &str) -> Grant {
    Grant {
        ports: ports.parse().unwrap(),
        ..Grant::default()
    }
}

#[test]
fn the_default_may_nothing() {
    let grant = Grant::default();
    assert!(grant.listen("localhost", 8_080).is_err());
    assert!(grant.listen("localhost", 0).is_err());
    assert!(grant.socket(&"db.sock".parse().unwrap()).is_err());
    assert!(grant.opens_name(&"red001".parse().unwrap(), 22).is_err());
    assert!(
        grant
            .opens_address("192.0.2.1".parse().unwrap(), 22)
            .is_err()
    );
}

#[test]
fn where_a_forward_listens_follows_reach_and_the_text_it_was_asked_with() {
    let scope = |text: &str| Scope::read(text).unwrap();
    for (reach, asked, listens) in [
        (Reach::Asked, "localhost", "localhost"),
        (Reach::Asked, "", "*"),
        (Reach::Asked, "*", "*"),
        (Reach::Asked, "0.0.0.0", "0.0.0.0"),
        (Reach::Asked, "::", "::"),
        (Reach::Asked, "127.0.0.1", "127.0.0.1"),
        (Reach::Local, "", "localhost"),
        (Reach::Local, "0.0.0.0", "127.0.0.1"),
        (Reach::Local, "::", "::1"),
        (Reach::Public, "localhost", "*"),
        (Reach::Public, "", "*"),
        (Reach::Public, "127.0.0.1", "127.0.0.1"),
    ] {
        let grant = Grant {
            reach,
            ..with_ports("8080")
        };
        assert_eq!(
            grant.listen(asked, 8_080),
            Ok(scope(listens)),
            "{reach:?} {asked}"
        );
    }
}

#[test]
fn port_0_is_a_right_of_its_own() {
    let mut grant = with_ports("8000-8100");
    assert_eq!(grant.listen("", 0), Err(Denied::AnyPort));
    grant.any_port = true;
    assert_eq!(grant.listen("", 0), Ok(Scope::Any));
}

#[test]
fn permitlisten_is_matched_against_the_text_that_was_asked_with() {
    let grant = Grant {
        asked: vec![Asked {
            host: String::from("localhost"),
            ports: PortSet::one(8_080),
        }],
        ..with_ports("8080")
    };
    assert!(grant.listen("localhost", 8_080).is_ok());
    // As at sshd: localhost and 127.0.0.1 are two texts.
    assert!(matches!(
        grant.listen("127.0.0.1", 8_080),
        Err(Denied::Asked { .. })
    ));
}

#[test]
fn an_address_inside_needs_to_be_named_exactly() {
    let grant = |network: &str| Grant {
        targets: vec![TargetRule::Cidr {
            network: network.parse().unwrap(),
            ports: PortSet::one(80),
        }],
        ..Grant::default()
    };
    let everywhere = grant("0.0.0.0/0");
    assert!(
        everywhere
            .opens_address("192.0.2.1".parse().unwrap(), 80)
            .is_ok()
    );
    assert!(
        everywhere
            .opens_address("192.0.2.1".parse().unwrap(), 81)
            .is_err()
    );
    for inside in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"] {
        let address = inside.parse().unwrap();
        assert!(matches!(
            everywhere.opens_address(address, 80),
            Err(Denied::Inner { .. })
        ));
        assert!(
            grant(&format!("{inside}/32"))
                .opens_address(address, 80)
                .is_ok()
        );
    }
    assert!(
        grant("::/0")
            .opens_address("::ffff:127.0.0.1".parse().unwrap(), 80)
            .is_err()
    );
}

#[test]
fn a_time_window_has_both_ends() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let grant = Grant {
        not_before: Some(at("2026-01-01T00:00:00Z")),
        not_after: Some(at("2026-02-01T00:00:00Z")),
        sources: "192.0.2.0/24".parse().unwrap(),
        ..Grant::default()
    };
    let here = "192.0.2.1".parse().unwrap();
    assert!(matches!(
        grant.admits(here, at("2025-12-31T23:59:59Z")),
        Err(Denied::TooEarly { .. })
    ));
    assert_eq!(grant.admits(here, at("2026-01-01T00:00:00Z")), Ok(()));
    assert!(matches!(
        grant.admits(here, at("2026-02-01T00:00:00Z")),
        Err(Denied::TooLate { .. })
    ));
    assert!(matches!(
        grant.admits("198.51.100.1".parse().unwrap(), at("2026-01-02T00:00:00Z")),
        Err(Denied::Source { .. })
    ));
}

#[test]
fn a_grant_reads_back_as_it_was_written_and_takes_no_unknown_word() {
    let grant = Grant {
        reach: Reach::Public,
        any_port: true,
        sockets: Sockets::Named(vec!["db.sock".parse().unwrap()]),
        targets: vec![TargetRule::Name {
            name: None,
            ports: PortSet::one(22),
        }],
        ..with_ports("22,8000-8100")
    };
    let text = serde_json::to_string(&grant).unwrap();
    assert_eq!(serde_json::from_str::<Grant>(&text).unwrap(), grant);
    assert_eq!(
        serde_json::from_str::<Grant>("{}").unwrap(),
        Grant::default()
    );
    assert!(serde_json::from_str::<Grant>(r#"{"port": "22"}"#).is_err());
}

#[test]
fn a_service_is_offered_at_a_name_of_ones_own_alone() {
    let name: Name = "red001".parse().unwrap();
    let rules = NameRules::new("gw.test", []);
    let grant = Grant {
        names: vec![name.clone().into()],
        ..with_ports("8080")
    };
    let offer = Offer {
        name,
        needs_proof: false,
    };
    // Its port is no port of the machine.
    for asked in ["Red001.", "red001.GW.test"] {
        assert_eq!(grant.offers(asked, 22, &rules), Ok(Some(offer.clone())));
    }
    let denied = grant.offers("red002", 22, &rules).unwrap_err().to_string();
    assert!(denied.contains("(yours: red001)"), "{denied}");
    for address in ["localhost", "", "*", "127.0.0.1", "[::]"] {
        assert_eq!(grant.offers(address, 22, &rules), Ok(None), "{address}");
    }
    let denied = grant.offers("red001", 0, &rules).unwrap_err();
    assert!(matches!(denied, Denied::AnyService { .. }), "{denied}");
    let asked = Grant {
        asked: vec![Asked {
            host: String::from("localhost"),
            ports: PortSet::all(),
        }],
        ..grant
    };
    let denied = asked.offers("red001", 22, &rules).unwrap_err();
    assert!(matches!(denied, Denied::Asked { .. }), "{denied}");
}

#[test]
fn a_reserved_name_is_given_word_for_word_alone() {
    let rules = NameRules::new("gw.test", []);
    let wide = Grant {
        names: vec!["*".parse().unwrap()],
        ..Grant::default()
    };
    assert!(wide.offers("app", 80, &rules).unwrap().is_some());
    for name in ["www", "xn--bcher-kva", "app-"] {
        let denied = wide.offers(name, 80, &rules).unwrap_err();
        assert!(matches!(denied, Denied::BadName { .. }), "{denied}");
    }
    let exact = Grant {
        names: vec!["*".parse().unwrap(), "www".parse().unwrap()],
        ..Grant::default()
    };
    assert!(exact.offers("www", 80, &rules).unwrap().is_some());
}

#[test]
fn a_domain_of_ones_own_is_proved_and_for_its_site_alone() {
    let rules = NameRules::new("gw.test", []);
    let grant = Grant {
        own_domains: true,
        names: vec!["*.team.example".parse().unwrap()],
        ..Grant::default()
    };
    let offer = |name| {
        grant
            .offers(name, 80, &rules)
            .map(|it| it.unwrap().needs_proof)
    };
    assert_eq!(offer("blog.example.org"), Ok(true));
    // What the operator says needs no proof.
    assert_eq!(offer("a.team.example"), Ok(false));
    for name in ["app", "gw.test", "a.app.gw.test"] {
        offer(name).unwrap_err();
    }
    grant.offers("blog.example.org", 22, &rules).unwrap_err();
}

#[test]
fn a_name_is_drawn_where_no_place_is_named_and_no_port_is_meant() {
    let grant = Grant {
        any_name: true,
        ..with_ports("443")
    };
    for asked in ["", "*", "localhost", "LOCALHOST"] {
        assert_eq!(grant.draws_name(asked, 80), Ok(true), "{asked}");
        for port in [0, 22, 443] {
            assert_eq!(grant.draws_name(asked, port), Ok(false), "{asked} {port}");
        }
    }
    for asked in ["127.0.0.1", "0.0.0.0", "[::]", "app"] {
        assert_eq!(grant.draws_name(asked, 80), Ok(false), "{asked}");
    }
}

#[test]
fn a_pool_is_a_number_and_a_way() {
    for (text, shown) in [
        ("3", "3:round-robin"),
        ("3:failover", "3:failover"),
        ("64:least-streams", "64:least-streams"),
    ] {
        assert_eq!(text.parse::<Pool>().unwrap().to_string(), shown);
    }
    for text in ["", "0", "65", "3:", "3:random", "x"] {
        assert_eq!(text.parse::<Pool>(), Err(PoolError), "{text}");
    }
}
