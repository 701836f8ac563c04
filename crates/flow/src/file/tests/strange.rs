//! Trees that nobody writes.

use proptest::prelude::*;

use super::*;

/// Keys and values that mean something somewhere, and some that do not.
const WORDS: &[&str] = &[
    "controller",
    "gateway",
    "gateways",
    "listener",
    "component",
    "components",
    "workflow",
    "workflows",
    "logger",
    "type",
    "http-server",
    "http-client",
    "shell",
    "ssh-tunnel",
    "http-tunnel",
    "http-callback",
    "http-trigger",
    "port",
    "connection",
    "auth",
    "host",
    "adapter",
    "webui",
    "job",
    "jobs",
    "id",
    "a",
    "b",
    "depends_on",
    "if",
    "switch",
    "random-router",
    "for-each",
    "do",
    "routings",
    "to",
    "cases",
    "then",
    "conditions",
    "if_true",
    "otherwise",
    "action",
    "actions",
    "command",
    "start",
    "manage",
    "completion",
    "polling",
    "callback",
    "path",
    "endpoint",
    "driver",
    "ngrok",
    "cloudflare",
    "${env.SECRET}",
    "${input}",
    "__default__",
    "",
    "0",
    "8090",
    "0:8090",
    "true",
    "1s",
];

fn word() -> impl Strategy<Value = String> {
    proptest::sample::select(WORDS).prop_map(|word| format!("{word:?}"))
}

fn tree() -> impl Strategy<Value = String> {
    word().prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(", "))),
            proptest::collection::btree_map(word(), inner, 0..6).prop_map(|all| {
                let all: Vec<String> = all
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                format!("{{{}}}", all.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_tree_is_too_strange(text in tree(), strict: bool) {
        let dialect = if strict { Dialect::Adit } else { Dialect::ModelCompose };
        let (_, problems) = read_all(&[("f.yml", &text, dialect)]);
        prop_assert!(!problems.contains("s3cr3t"));
    }

    #[test]
    fn no_section_is_too_strange(section in 0_usize..5, text in tree()) {
        let section = ["controller", "gateways", "listeners", "components", "workflows"][section];
        let (_, problems) = read_all(&[("f.yml", &format!("{section}: {text}"), Dialect::Adit)]);
        prop_assert!(!problems.contains("s3cr3t"));
    }
}
