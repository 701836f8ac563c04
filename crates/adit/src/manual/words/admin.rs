//! Examples of the commands that look after a gateway.

/// What to try, of a page: what it does, and what to type.
pub(super) fn examples(page: &str) -> &'static [(&'static str, &'static str)] {
    let found = EXAMPLES.iter().find(|(name, _)| *name == page);
    found.map_or(&[], |(_, examples)| *examples)
}

/// The examples of one page.
type Examples = &'static [(&'static str, &'static str)];

const EXAMPLES: &[(&str, Examples)] = &[
    (
        "adit-user",
        &[(
            "Let somebody in and see who is there:",
            "adit user add alice --data /var/lib/adit\n\
adit key add alice id_ed25519.pub --data /var/lib/adit\n\
adit grant add alice --ports 10022 --data /var/lib/adit\n\
adit user list --data /var/lib/adit",
        )],
    ),
    (
        "adit-user-add",
        &[(
            "With a word about it:",
            "adit user add alice --note accounts --data /var/lib/adit",
        )],
    ),
    (
        "adit-user-list",
        &[(
            "For another program:",
            "adit user list --json --data /var/lib/adit",
        )],
    ),
    (
        "adit-user-show",
        &[(
            "With keys and grant:",
            "adit user show alice --data /var/lib/adit",
        )],
    ),
    (
        "adit-user-remove",
        &[("For good:", "adit user remove alice --data /var/lib/adit")],
    ),
    (
        "adit-user-enable",
        &[("Again:", "adit user enable alice --data /var/lib/adit")],
    ),
    (
        "adit-user-disable",
        &[(
            "For a while:",
            "adit user disable alice --data /var/lib/adit",
        )],
    ),
    (
        "adit-device",
        &[(
            "Let a machine in and see which are there:",
            "adit device add red001 --data /var/lib/adit\n\
adit key add red001 id_ed25519.pub --data /var/lib/adit\n\
adit grant add red001 --ports 10022 --data /var/lib/adit\n\
adit device list --data /var/lib/adit",
        )],
    ),
    (
        "adit-device-add",
        &[(
            "With a word about it:",
            "adit device add red001 --note roof --data /var/lib/adit",
        )],
    ),
    (
        "adit-device-list",
        &[(
            "For another program:",
            "adit device list --json --data /var/lib/adit",
        )],
    ),
    (
        "adit-device-show",
        &[(
            "With keys and grant:",
            "adit device show red001 --data /var/lib/adit",
        )],
    ),
    (
        "adit-device-remove",
        &[(
            "For good:",
            "adit device remove red001 --data /var/lib/adit",
        )],
    ),
    (
        "adit-device-enable",
        &[("Again:", "adit device enable red001 --data /var/lib/adit")],
    ),
    (
        "adit-device-disable",
        &[(
            "For a while:",
            "adit device disable red001 --data /var/lib/adit",
        )],
    ),
    (
        "adit-invite",
        &[(
            "Let one machine become a device that may have a name:",
            "adit invite add red001 --name shop --data /var/lib/adit\n\
adit invite list --data /var/lib/adit",
        )],
    ),
    (
        "adit-invite-add",
        &[(
            "For ten minutes:",
            "adit invite add red001 --name shop --lasts 10m --data /var/lib/adit",
        )],
    ),
    (
        "adit-invite-list",
        &[(
            "For another program:",
            "adit invite list --json --data /var/lib/adit",
        )],
    ),
    (
        "adit-invite-remove",
        &[(
            "By the number that is listed:",
            "adit invite remove 7v3k0m2x --data /var/lib/adit",
        )],
    ),
    (
        "adit-key",
        &[(
            "Let alice log in with a key:",
            "adit key add alice id_ed25519.pub --data /var/lib/adit",
        )],
    ),
    (
        "adit-key-add",
        &[(
            "From an office alone, and until the end of a year:",
            "adit key add alice id_ed25519.pub --from 192.0.2.0/24 --not-after 2027-12-31 --data /var/lib/adit",
        )],
    ),
    (
        "adit-key-list",
        &[(
            "Those of alice:",
            "adit key list alice --data /var/lib/adit",
        )],
    ),
    (
        "adit-key-show",
        &[(
            "Whose is this one:",
            "adit key show SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU --data /var/lib/adit",
        )],
    ),
    (
        "adit-key-remove",
        &[(
            "The owner may get another:",
            "adit key remove SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU --data /var/lib/adit",
        )],
    ),
    (
        "adit-grant",
        &[(
            "A port for red001, and alice may open its ssh:",
            "adit grant add red001 --ports 10022 --data /var/lib/adit\n\
adit grant add alice --open red001:22 --data /var/lib/adit",
        )],
    ),
    (
        "adit-grant-add",
        &[(
            "A hundred ports on every address, five of them at a time:",
            "adit grant add red001 --ports 10100-10199 --any-port --reach public --max-leases 5 --data /var/lib/adit",
        )],
    ),
    (
        "adit-grant-list",
        &[("Everybody's:", "adit grant list --data /var/lib/adit")],
    ),
    (
        "adit-grant-show",
        &[(
            "That of red001:",
            "adit grant show red001 --data /var/lib/adit",
        )],
    ),
    (
        "adit-grant-proof",
        &[(
            "What alice puts into the DNS to have blog.example.org:",
            "adit grant proof alice blog.example.org --data /var/lib/adit",
        )],
    ),
    (
        "adit-grant-remove",
        &[(
            "One port less, and no end:",
            "adit grant remove red001 --ports 10107 --not-after --data /var/lib/adit",
        )],
    ),
    (
        "adit-lease",
        &[(
            "What is held, and the end of one of it:",
            "adit lease list --data /var/lib/adit\n\
adit lease remove 10022 --data /var/lib/adit",
        )],
    ),
    (
        "adit-lease-list",
        &[(
            "For another program:",
            "adit lease list --json --data /var/lib/adit",
        )],
    ),
    (
        "adit-lease-show",
        &[(
            "Who has port 10022:",
            "adit lease show 10022 --data /var/lib/adit",
        )],
    ),
    (
        "adit-lease-remove",
        &[(
            "Free a port of a machine that is gone, before its quarantine is over:",
            "adit lease remove 10022 --data /var/lib/adit",
        )],
    ),
    (
        "adit-reservation",
        &[(
            "Port 10022 for red001 alone:",
            "adit reservation add red001 10022 --data /var/lib/adit",
        )],
    ),
    (
        "adit-reservation-add",
        &[
            (
                "A hundred ports:",
                "adit reservation add red001 10100-10199 --data /var/lib/adit",
            ),
            (
                "The ports 40122 and 40180 for services 22 and 80 of a machine whose number is 401:",
                "adit reservation add red001 --prefix 401 --services 22,80 --data /var/lib/adit",
            ),
        ],
    ),
    (
        "adit-reservation-list",
        &[("All of them:", "adit reservation list --data /var/lib/adit")],
    ),
    (
        "adit-reservation-show",
        &[("The third:", "adit reservation show 3 --data /var/lib/adit")],
    ),
    (
        "adit-reservation-remove",
        &[(
            "The third:",
            "adit reservation remove 3 --data /var/lib/adit",
        )],
    ),
    (
        "adit-authority",
        &[(
            "Certificates for operators let alice in:",
            "adit authority add ca.pub --data /var/lib/adit\n\
adit authority name SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU operators alice --data /var/lib/adit",
        )],
    ),
    (
        "adit-authority-add",
        &[(
            "From an office alone:",
            "adit authority add ca.pub --from 192.0.2.0/24 --data /var/lib/adit",
        )],
    ),
    (
        "adit-authority-list",
        &[("All of them:", "adit authority list --data /var/lib/adit")],
    ),
    (
        "adit-authority-show",
        &[(
            "Whom its certificates stand for:",
            "adit authority show SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU --data /var/lib/adit",
        )],
    ),
    (
        "adit-authority-remove",
        &[(
            "With all its names:",
            "adit authority remove SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU --data /var/lib/adit",
        )],
    ),
    (
        "adit-authority-name",
        &[(
            "Certificates for operators let alice in:",
            "adit authority name SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU operators alice --data /var/lib/adit",
        )],
    ),
    (
        "adit-authority-unname",
        &[(
            "They let nobody in:",
            "adit authority unname SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU operators --data /var/lib/adit",
        )],
    ),
    (
        "adit-revoke",
        &[(
            "A key that was lost:",
            "adit revoke add --key SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU --data /var/lib/adit",
        )],
    ),
    (
        "adit-revoke-add",
        &[(
            "A key, and some certificates:",
            "adit revoke add --key SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU --data /var/lib/adit\n\
adit revoke add --authority SHA256:YiGKL0MJ/oWaT8zGxM0yA6cDDkTNB0IxxYlfBNZEKlU --serials 17-25 --data /var/lib/adit",
        )],
    ),
    (
        "adit-revoke-list",
        &[("All of it:", "adit revoke list --data /var/lib/adit")],
    ),
    (
        "adit-revoke-remove",
        &[(
            "The second was a mistake:",
            "adit revoke remove 2 --data /var/lib/adit",
        )],
    ),
    (
        "adit-host-key",
        &[(
            "What clients know the gateway by, and others in their place:",
            "adit host-key list --data /var/lib/adit\n\
adit host-key rotate --data /var/lib/adit",
        )],
    ),
    (
        "adit-host-key-list",
        &[(
            "For another program:",
            "adit host-key list --json --data /var/lib/adit",
        )],
    ),
    (
        "adit-host-key-rotate",
        &[(
            "Somebody else may have the keys that are in use:",
            "adit host-key rotate --force --data /var/lib/adit",
        )],
    ),
    (
        "adit-audit",
        &[(
            "The last things that were done:",
            "adit audit list --limit 10 --data /var/lib/adit",
        )],
    ),
    (
        "adit-audit-list",
        &[(
            "For another program:",
            "adit audit list --json --data /var/lib/adit",
        )],
    ),
    (
        "adit-reload",
        &[(
            "After a change of gateway.yml:",
            "adit serve --config gateway.yml --check\n\
adit reload --config gateway.yml",
        )],
    ),
];
