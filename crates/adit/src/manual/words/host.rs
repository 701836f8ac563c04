//! Examples of the commands that name hosts.

/// What to try, of a page: what it does, and what to type.
pub(super) fn examples(page: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let examples: &[_] = match page {
        "adit-host" => &[(
            "A web page of each of two workers at ports 8080 and 8081 here, and which of them are reached:",
            "adit host tunnel create red00[1-2] 80 8080\nadit host tunnel check",
        )],
        "adit-host-expand" => &[
            (
                "All workers but one, a line each:",
                "adit host expand red00[1-9] -x red005",
            ),
            (
                "A group of adit.yml, without another:",
                "adit host expand @workers!@broken",
            ),
        ],
        "adit-host-fold" => &[
            (
                "Back again: red00[1-3]",
                "adit host fold red001 red002 red003",
            ),
            (
                "What another program prints, sorted:",
                "awk '{print $1}' nodes | adit host fold --sort -",
            ),
        ],
        "adit-host-tunnel" => &[(
            "Log in at two workers by ports 8001 and 8002 of this machine:",
            "adit host tunnel create red00[1-2]",
        )],
        "adit-host-tunnel-create" => &[
            (
                "A web page of each of two workers, for whoever reaches this machine:",
                "adit host tunnel create red00[1-2] 80 8080",
            ),
            (
                "To log in, at the wireless network alone, whose address may change:",
                "adit host tunnel create pi@red00[1-2] --port 8001 --bind wlan0",
            ),
            (
                "Ports of a gateway for a device, by its prefix: 40122 and 40180:",
                "adit host tunnel create pump 22,80 --port-prefix 401 --gateway /var/lib/adit",
            ),
        ],
        "adit-host-tunnel-delete" => &[
            (
                "All services of a worker:",
                "adit host tunnel delete red001",
            ),
            ("One of them:", "adit host tunnel delete red001 80"),
        ],
        "adit-host-tunnel-list" => &[(
            "For another program:",
            "adit host tunnel list --output json",
        )],
        "adit-host-tunnel-check" => &[(
            "Of some workers alone:",
            "adit host tunnel check red00[1-3]",
        )],
        "adit-host-up" => &[("In the background:", "adit host up --detach")],
        "adit-host-down" => &[("The tunnels end, and the table stays:", "adit host down")],
        _ => return None,
    };
    Some(examples)
}
