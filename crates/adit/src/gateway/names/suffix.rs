//! Whether a domain is one of its own, by the public suffix list: cookies of whoever is under a domain reach what is
//! beside them as far as that list says (security rule G60).

use psl::Type;

/// What a domain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// One that was registered, or one under which everybody is a site of their own.
    Own,
    /// Part of one that was registered, which it shares with whatever else is there.
    PartOf(String),
    /// One under which anybody registers: nobody's.
    Suffix,
}

/// What a domain in lower case is, without a dot at its end.
pub(crate) fn standing(domain: &str) -> Standing {
    if let Some(suffix) = psl::suffix(domain.as_bytes())
        && suffix == domain.as_bytes()
    {
        // Somebody's own that is on the list at their wish keeps its tenants apart in every browser. What is not on
        // the list at all, as `localhost`, is nobody's business.
        return match suffix.typ() {
            Some(Type::Icann) => Standing::Suffix,
            Some(Type::Private) | None => Standing::Own,
        };
    }
    match psl::domain_str(domain) {
        Some(registered) if registered != domain => Standing::PartOf(String::from(registered)),
        Some(_) | None => Standing::Own,
    }
}

/// Whether nobody can have that domain, since anybody registers under it, or has a site there.
pub(crate) fn is_public(domain: &str) -> bool {
    psl::suffix(domain.as_bytes())
        .is_some_and(|suffix| suffix.is_known() && suffix == domain.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_its_own_part_of_another_or_nobodys() {
        let part = |of: &str| Standing::PartOf(String::from(of));
        for (domain, expected) in [
            ("example-tunnels.net", Standing::Own),
            ("example.co.uk", Standing::Own),
            ("tunnels.example.net", part("example.net")),
            ("a.b.example.co.uk", part("example.co.uk")),
            ("com", Standing::Suffix),
            ("co.uk", Standing::Suffix),
            // On the list at its owner's wish.
            ("github.io", Standing::Own),
            ("me.github.io", Standing::Own),
            ("gw.test", Standing::Own),
            ("localhost", Standing::Own),
        ] {
            assert_eq!(standing(domain), expected, "{domain}");
        }
        assert!(is_public("co.uk") && is_public("github.io"));
        assert!(!is_public("example.co.uk") && !is_public("gw.test"));
    }
}
