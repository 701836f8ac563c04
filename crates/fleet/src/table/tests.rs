use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::host::Host;

fn hosts(text: &str) -> Vec<Host> {
    crate::range::expand([text], [], &crate::range::Groups::default()).unwrap()
}

fn services(ports: &[u16]) -> Vec<Service> {
    ports.iter().map(|port| Service::local(*port)).collect()
}

/// Creates, and gives the ports as they are printed; the table is left alone by what cannot be had.
fn create(
    table: &mut Table,
    names: &str,
    ports: &[u16],
    numbering: Numbering,
    busy: &[u16],
) -> Result<String, String> {
    let (hosts, services) = (hosts(names), services(ports));
    let busy = busy.iter().copied().collect();
    let wish = Wish {
        hosts: &hosts,
        services: &services,
        numbering,
        bind: "*",
        busy: &busy,
    };
    let plan = table.plan(&wish).map_err(|error| error.to_string())?;
    *table = plan.table;
    let entries = plan.entries.iter();
    let words = entries.map(|(entry, is_new)| {
        let mark = if *is_new { "" } else { "=" };
        format!("{mark}{}:{}:{}", entry.port, entry.host, entry.service.port)
    });
    Ok(words.collect::<Vec<_>>().join(" "))
}

fn from(start: u16) -> Numbering {
    Numbering::From(start)
}

fn prefix(text: &str) -> Numbering {
    Numbering::Prefix(text.parse().unwrap())
}

/// AT1, AT2, AT3: the seed's own command, again, and one more later.
#[test]
fn what_is_there_keeps_its_port() {
    let table = &mut Table::default();
    for (names, expected) in [
        ("red00[1-2]", "8080:red001:80 8081:red002:80"),
        ("red00[1-2]", "=8080:red001:80 =8081:red002:80"),
        ("red003", "8082:red003:80"),
        (
            "red00[1-4]",
            "=8080:red001:80 =8081:red002:80 =8082:red003:80 8083:red004:80",
        ),
        ("red000,red001", "8084:red000:80 =8080:red001:80"),
    ] {
        assert_eq!(
            create(table, names, &[80], from(8080), &[]).unwrap(),
            expected
        );
    }
    let (without, gone) = table.without(&["red001".parse().unwrap()], &[]);
    assert_eq!(gone.len(), 1);
    *table = without;
    // Its port is free again; the others have not moved.
    assert_eq!(
        create(table, "red00[2-5]", &[80], from(8080), &[]).unwrap(),
        "=8081:red002:80 =8082:red003:80 =8083:red004:80 8080:red005:80"
    );
}

#[test]
fn several_services_are_numbered_host_by_host() {
    let table = &mut Table::default();
    assert_eq!(
        create(table, "a,b", &[80, 443], from(9000), &[]).unwrap(),
        "9000:a:80 9001:a:443 9002:b:80 9003:b:443"
    );
    assert_eq!(
        create(table, "c", &[22], from(9002), &[9004]).unwrap(),
        "9005:c:22"
    );
    let (without, gone) = table.without(
        &["a".parse().unwrap(), "b".parse().unwrap()],
        &services(&[443]),
    );
    assert_eq!((without.entries().len(), gone.len()), (3, 2));
}

/// AT4: nothing is made before it is known to fit.
#[test]
fn what_does_not_fit_is_refused_whole() {
    let table = &mut Table::default();
    let error = create(table, "red00[1-2]", &[80], from(65_535), &[]).unwrap_err();
    assert_eq!(
        error,
        "red002 service 80 would have port 65536, and 65535 is the last: begin at 65534 or below, or name fewer"
    );
    assert_eq!(table.entries(), []);
    let error = create(table, "n[1-501]", &[80], from(1_000), &[]).unwrap_err();
    assert!(error.contains("501 entries"), "{error}");
}

/// AT17, AT18, AT19.
#[test]
fn a_prefix_and_a_service_are_a_port() {
    let table = &mut Table::default();
    assert_eq!(
        create(table, "dev", &[22, 80], prefix("401"), &[]).unwrap(),
        "40122:dev:22 40180:dev:80"
    );
    assert_eq!(
        create(table, "dev", &[22, 80], prefix("401"), &[]).unwrap(),
        "=40122:dev:22 =40180:dev:80"
    );
    let error = create(table, "far", &[80], prefix("655"), &[]).unwrap_err();
    assert!(
        error.contains("655 before 80 is 65580, and the highest port is 65535"),
        "{error}"
    );
    assert_eq!(
        create(table, "one", &[8_080], prefix("1"), &[]).unwrap(),
        "18080:one:8080"
    );
    let error = create(table, "other", &[80], prefix("180"), &[]).unwrap_err();
    assert_eq!(
        error,
        "port 18080 of other service 80 (prefix 180) is that of one service 8080 (prefix 1) already"
    );
    // Within one wish, too.
    assert!(create(&mut Table::default(), "a,b", &[5, 15], prefix("110"), &[]).is_ok());
    assert_eq!(
        create(table, "x,y", &[22], prefix("410"), &[]).unwrap(),
        "41022:x:22 41122:y:22"
    );
    let error = create(table, "z", &[22], prefix("412"), &[41_222]).unwrap_err();
    assert_eq!(error, "port 41222 of z service 22 is taken");
    let error = create(table, "dev", &[22], prefix("402"), &[]).unwrap_err();
    assert!(
        error.contains("dev service 22 is at *:40122 already"),
        "{error}"
    );
}

#[test]
fn a_file_of_a_table_is_read_whole_or_not() {
    let table = &mut Table::default();
    create(table, "pi@red00[1-2]", &[80], from(8080), &[]).unwrap();
    create(table, "dev", &[22], prefix("401"), &[]).unwrap();
    let text = table.to_json();
    assert_eq!(Table::from_json(&text).unwrap(), *table);
    for (old, new) in [
        ("\"version\": 1", "\"version\": 2"),
        ("\"version\": 1", "\"version\": 1, \"more\": 1"),
        ("red001", "red001\\n  ProxyCommand x"),
        ("\"pi\"", "\"pi\\nx\""),
        ("8081", "8080"),
        ("8081", "0"),
        ("8081", "65536"),
        ("red002", "red001"),
        ("\"401\"", "\"nine\""),
    ] {
        assert!(text.contains(old), "{old}");
        assert!(
            Table::from_json(&text.replacen(old, new, 1)).is_err(),
            "{old} {new}"
        );
    }
}

#[derive(Debug, Clone)]
enum Deed {
    Create(Vec<u8>, Vec<u16>, u16, Vec<u16>),
    Delete(Vec<u8>, Vec<u16>),
}

fn deed() -> impl Strategy<Value = Deed> {
    let hosts = || prop::collection::vec(0u8..12, 1..5);
    let services = || prop::collection::vec(prop::sample::select(vec![22u16, 80, 443]), 1..3);
    let busy = prop::collection::vec(8_000u16..8_020, 0..4);
    prop_oneof![
        3 => (hosts(), services(), 8_000u16..8_010, busy).prop_map(|(h, s, p, b)| Deed::Create(h, s, p, b)),
        1 => (hosts(), services()).prop_map(|(h, s)| Deed::Delete(h, s)),
    ]
}

proptest! {
    /// No sequence of deeds renumbers what stays, and no port has two.
    #[test]
    fn nothing_is_ever_renumbered(deeds in prop::collection::vec(deed(), 1..40)) {
        let mut table = Table::default();
        for deed in deeds {
            let before = table.clone();
            match deed {
                Deed::Create(names, ports, start, busy) => {
                    let names = names.iter().map(|name| format!("h{name}")).collect::<Vec<_>>().join(",");
                    let mut ports = ports;
                    ports.dedup();
                    let made = create(&mut table, &names, &ports, from(start), &busy);
                    let again = table.clone();
                    if made.is_ok() {
                        // The same once more changes nothing.
                        create(&mut table, &names, &ports, from(start), &busy).unwrap();
                        prop_assert_eq!(&again, &table);
                    }
                    for entry in before.entries() {
                        prop_assert!(table.entries().contains(entry));
                    }
                    let new = table.entries().iter().filter(|it| !before.entries().contains(it));
                    for entry in new {
                        prop_assert!(!busy.contains(&entry.port) && entry.port >= start);
                    }
                }
                Deed::Delete(names, ports) => {
                    let names: Vec<_> = names.iter().map(|name| format!("h{name}").parse().unwrap()).collect();
                    let (without, gone) = table.without(&names, &services(&ports));
                    prop_assert_eq!(without.entries().len() + gone.len(), before.entries().len());
                    for entry in without.entries() {
                        prop_assert!(before.entries().contains(entry));
                    }
                    table = without;
                }
            }
            let ports: BTreeSet<_> = table.entries().iter().map(|it| it.port).collect();
            prop_assert_eq!(ports.len(), table.entries().len());
            prop_assert_eq!(&Table::from_json(&table.to_json()).unwrap(), &table);
        }
    }
}
