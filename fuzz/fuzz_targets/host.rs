//! The host of a request: one spelling, which is read as itself, or an error; and the table of names, which finds by it.
#![no_main]

use adit_edge::access::Access;
use adit_edge::host::host;
use adit_edge::route::{Balance, Route, Routes, Upstream};
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Uri, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // Lines: the target, and fields.
    let mut lines = input.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let Ok(target) = Uri::try_from(target) else {
        return;
    };
    let mut fields = HeaderMap::new();
    for value in lines.take(3) {
        let Ok(value) = HeaderValue::from_bytes(value) else {
            return;
        };
        fields.append(HOST, value);
    }
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let Ok(found) = host(version, &target, &fields) else {
            continue;
        };
        assert!(fields.get_all(HOST).iter().count() < 2);
        if found.is_empty() {
            assert_eq!(version, Version::HTTP_10);
            continue;
        }
        assert!(found.len() <= 254 && !found.ends_with('.') && !found.contains(['@', '/', '%']));
        assert_eq!(found, found.to_ascii_lowercase());
        // What is canonical is read as what it is, wherever it stands.
        let mut again = HeaderMap::new();
        again.insert(HOST, HeaderValue::from_str(&found).expect("a host is a value"));
        assert_eq!(host(Version::HTTP_11, &Uri::from_static("/"), &again).as_ref(), Ok(&found));
        for name in [found.clone(), format!("*.{found}")] {
            let routes = Routes::new([route(&name)]);
            let is_itself = !name.starts_with('*');
            assert_eq!(routes.find(&found).is_some(), is_itself);
            assert_eq!(routes.find(&format!("x.{found}")).is_some(), !is_itself);
        }
    }
});

fn route(name: &str) -> Route {
    Route {
        name: name.into(),
        tenant: None,
        upstream: Upstream {
            members: Vec::new(),
            balance: Balance::Failover,
        },
        access: Access::everyone(),
        any_upgrade: false,
    }
}
