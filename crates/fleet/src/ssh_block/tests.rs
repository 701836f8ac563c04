use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn hosts(text: &str) -> Vec<Host> {
    text.split(' ').map(|host| host.parse().unwrap()).collect()
}

fn manager(text: &str) -> Front {
    Front::new(text.parse().unwrap(), None)
}

fn block(name: &str, behind: &str) -> Block {
    Block::through(&manager(name), &hosts(behind), None).unwrap()
}

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

/// Seed 003's second variant, and its first.
#[test]
fn a_block_says_what_the_seed_has() {
    let through = block("pi@red", "pi@red001 pi@red002").to_string();
    assert_eq!(
        through,
        "# >>> adit: red >>>\n\
         # Written by adit ssh config, which replaces it whole; adit ssh config --remove red takes it away.\n\
         Host red\n    HostName red.local\n    User pi\n\n\
         Host red001\n    HostName red001\n    User pi\n    ProxyJump red\n\n\
         Host red002\n    HostName red002\n    User pi\n    ProxyJump red\n\n\
         # What follows is for every host again, as it was.\nHost *\n\
         # <<< adit: red <<<\n"
    );
    let at = [("pi@red001", 8_001), ("red002", 8_002)]
        .map(|(host, port)| (host.parse::<Host>().unwrap(), port));
    let identity: IdentityFile = "~/.ssh/my key".parse().unwrap();
    let ports = Block::at_ports(&manager("red"), &at, Some(&identity)).unwrap();
    let ports = ports.to_string();
    assert!(ports.contains(
        "Host red001\n    HostName red.local\n    User pi\n    Port 8001\n    IdentityFile \"~/.ssh/my key\"\n"
    ), "{ports}");
    assert!(
        ports.contains("Host red002\n    HostName red.local\n    Port 8002\n"),
        "{ports}"
    );
}

#[test]
fn a_manager_is_dialled_where_it_is() {
    for (written, address) in [
        ("red", "red.local"),
        ("red.example", "red.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        assert_eq!(manager(written).address.as_str(), address);
    }
    let named = Front::new("red".parse().unwrap(), Some(name("10.0.0.1")));
    assert_eq!(named.address.as_str(), "10.0.0.1");
    let text = block("red", "#x@red001 =y@red002 a#b@red003").to_string();
    assert!(
        text.contains("User \"#x\"\n") && text.contains("User \"=y\"\n"),
        "{text}"
    );
    let text = block("2001:db8::1", "red001").to_string();
    assert!(text.contains("ProxyJump [2001:db8::1]\n"), "{text}");
}

#[test]
fn what_would_not_do_what_it_says_is_no_block() {
    let of = |name, behind| Block::through(&manager(name), &hosts(behind), None);
    assert_eq!(of("red", "red001 red"), Err(BlockError::Front(name("red"))));
    assert_eq!(
        of("red", "pi@red001 root@red001"),
        Err(BlockError::Twice(name("red001")))
    );
    assert_eq!(
        Block::through(&manager("red"), &[], None),
        Err(BlockError::Nobody)
    );
    for path in [
        "key",
        "",
        "~",
        "/a\nb",
        "/a\"b",
        "~/%h",
        "/${HOME}/x",
        "/a\\b",
    ] {
        assert_eq!(
            path.parse::<IdentityFile>(),
            Err(BlockError::Path),
            "{path}"
        );
    }
}

#[test]
fn a_new_block_is_first_and_an_old_one_stays_where_it_is() {
    let foreign = b"Host *\r\n\tUser \xff\r\nHost x";
    let red = write(foreign, &block("red", "red001")).unwrap();
    assert!(red.starts_with(b"# >>> adit: red >>>\n") && red.ends_with(foreign));
    let blue = write(&red, &block("blue", "blue001")).unwrap();
    assert!(blue.starts_with(b"# >>> adit: blue >>>\n") && blue.ends_with(&red));
    let again = write(&blue, &block("red", "red001 red002")).unwrap();
    let text = String::from_utf8_lossy(&again);
    assert!(
        text.find("blue") < text.find("Host red002") && text.matches("adit: red >>>").count() == 1
    );
    let names = blocks(&again).unwrap().into_iter().map(|(name, _)| name);
    assert_eq!(names.collect::<Vec<_>>(), [name("blue"), name("red")]);
    let without = remove(&again, &name("blue")).unwrap().unwrap();
    let without = remove(&without, &name("red")).unwrap().unwrap();
    assert_eq!(without, foreign);
    assert_eq!(remove(foreign, &name("red")), Ok(None));
}

#[test]
fn a_broken_block_is_told_by_its_line_and_left() {
    let red = || name("red");
    for (file, line, fault) in [
        (
            "# >>> adit: red >>>\nHost a\n",
            1,
            FileFault::Endless(red()),
        ),
        ("\n# <<< adit: red <<<\n", 2, FileFault::Beginless(red())),
        (
            "# >>> adit: red >>>\n # >>> adit: blue >>>\n",
            2,
            FileFault::Nested(red()),
        ),
        (
            "# >>> adit: red >>>\n# <<< adit: blue <<<\n",
            2,
            FileFault::Beginless(name("blue")),
        ),
        (
            "# >>> adit: red >>>\r\n# <<< adit: red <<<\r\nx\n# >>> adit: red >>>\n# <<< adit: red <<<",
            4,
            FileFault::Twice(red(), 1),
        ),
        ("# >>> adit: a b >>>\n", 1, FileFault::Nameless),
        ("# <<< adit: \n", 1, FileFault::Nameless),
    ] {
        let error = Err(FileError { line, fault });
        assert_eq!(
            write(file.as_bytes(), &block("red", "red001")),
            error,
            "{file:?}"
        );
        assert_eq!(
            blocks(file.as_bytes()).map(|_| Vec::new()),
            error,
            "{file:?}"
        );
    }
}

/// Bytes as files have them, and as they have them never.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"Host *\n\tUser x\n".to_vec()),
        Just(b"Match all\nProxyJump none".to_vec()),
        Just(b"# >>> someone: red >>>\n".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
    ];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

fn host_name() -> impl Strategy<Value = HostName> {
    "[A-Za-z0-9][A-Za-z0-9._:-]{0,20}".prop_map(|text| text.parse().unwrap())
}

fn host() -> impl Strategy<Value = Host> {
    (proptest::option::of("[a-z][a-z0-9_.+-]{0,12}"), host_name()).prop_map(|(user, name)| Host {
        user: user.map(|user| user.parse().unwrap()),
        name,
    })
}

fn any_block() -> impl Strategy<Value = Block> {
    (host(), vec(host(), 1..6), proptest::option::of(1_u16..)).prop_filter_map(
        "a block",
        |(manager, hosts, port)| {
            let manager = Front::new(manager, None);
            match port {
                None => Block::through(&manager, &hosts, None).ok(),
                Some(port) => {
                    let at: Vec<_> = hosts.into_iter().map(|host| (host, port)).collect();
                    Block::at_ports(&manager, &at, None).ok()
                }
            }
        },
    )
}

proptest! {
    #[test]
    fn other_bytes_are_kept_whatever_is_written_and_removed(
        file in file(), first in any_block(), second in any_block(), third in any_block()
    ) {
        prop_assume!(blocks(&file).is_ok_and(|blocks| blocks.is_empty()));
        let once = write(&file, &first).unwrap();
        prop_assert!(once.ends_with(&file));
        prop_assert_eq!(&write(&once, &first).unwrap(), &once);
        prop_assert_eq!(remove(&once, first.manager()).unwrap(), Some(file.clone()));
        let both = write(&once, &second).unwrap();
        let more = write(&both, &third).unwrap();
        let mut left = more;
        for block in [&second, &first, &third] {
            left = remove(&left, block.manager()).unwrap().unwrap_or(left);
        }
        prop_assert_eq!(left, file);
    }

    /// Wherever its owner has moved it to: between lines, behind a last line with an end, before any.
    #[test]
    fn a_block_that_was_moved_is_replaced_where_it_is(
        before in file(), after in file(), first in any_block(), hosts in vec(host(), 1..4)
    ) {
        prop_assume!(before.is_empty() || before.ends_with(b"\n"));
        prop_assume!(blocks(&before).is_ok_and(|it| it.is_empty()) && blocks(&after).is_ok_and(|it| it.is_empty()));
        let manager = Front::new(Host { user: None, name: first.manager().clone() }, None);
        let second = Block::through(&manager, &hosts, None);
        prop_assume!(second.is_ok());
        let second = second.unwrap();
        let file = [&before[..], first.to_string().as_bytes(), &after].concat();
        let written = write(&file, &second).unwrap();
        prop_assert_eq!(&written, &[&before[..], second.to_string().as_bytes(), &after].concat());
        prop_assert_eq!(remove(&written, first.manager()).unwrap(), Some([before, after].concat()));
    }

    /// G106: what is written reads back as the values that it was made of, in as many lines as they take.
    #[test]
    fn a_block_has_the_lines_of_its_values_and_no_others(block in any_block()) {
        let text = block.to_string();
        let said: Vec<_> = block.hosts().collect();
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for host in &said {
            let mut expected = vec![format!("Host {}", host.name), format!("    HostName {}", host.address)];
            expected.extend(host.user.map(|user| format!("    User {user}")));
            expected.extend(host.port.map(|port| format!("    Port {port}")));
            expected.extend(host.jump.map(|jump| {
                let is_v6 = jump.as_str().contains(':');
                if is_v6 { format!("    ProxyJump [{jump}]") } else { format!("    ProxyJump {jump}") }
            }));
            for line in expected {
                prop_assert_eq!(lines.next(), Some(line.as_str()));
            }
        }
        prop_assert_eq!(lines.next(), Some("Host *"));
        prop_assert_eq!(lines.next(), None);
    }

    #[test]
    fn any_bytes_are_read(file in vec(any::<u8>(), 0..200)) {
        drop(blocks(&file));
    }
}
