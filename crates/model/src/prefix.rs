//! Public ports by rule: a machine's prefix and the port of its service, written behind one another. Prefix 401 and
//! service 22 are port 40122.
//!
//! The rule is an old one, and it is tight: of prefixes with three digits 654 is the last that has room for every
//! service of two digits, and 1 before 8080 is the same port as 180 before 80.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::port::PortSet;

/// What a machine's public ports begin with: digits, the first of them not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortPrefix(u16);

/// The longest prefix that leaves a digit for a service.
const HIGHEST: u16 = 6_553;
/// The first port that needs no right of its own to be bound (IANA's system ports end before it, RFC 6335, 6).
const UNPRIVILEGED: u16 = 1_024;

/// Why a prefix and a service make no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// No digits, or too many.
    #[error("{0:?} is no prefix of ports: a prefix is a number from 1 to {HIGHEST}")]
    NotAPrefix(String),
    /// The number is no port.
    #[error("{prefix} before {service} is {number}, and the highest port is 65535: {}", Room(*prefix, *service))]
    TooHigh {
        /// The prefix.
        prefix: PortPrefix,
        /// The port of the service.
        service: u16,
        /// The two behind one another.
        number: u64,
    },
    /// The number is a port of the system's services.
    #[error(
        "{prefix} before {service} is {port}, and ports below {UNPRIVILEGED} are the system's: take a longer prefix"
    )]
    Privileged {
        /// The prefix.
        prefix: PortPrefix,
        /// The port of the service.
        service: u16,
        /// The two behind one another.
        port: u16,
    },
    /// There is no service to put a prefix before.
    #[error("no service is named: ports like 22,80")]
    NoService,
}

impl PortPrefix {
    /// The longest prefix that leaves a digit for a service.
    pub const LAST: Self = Self(HIGHEST);

    /// The prefix that many places behind this one, if there is one.
    pub fn next(self, places: usize) -> Option<Self> {
        let number = usize::from(self.0).checked_add(places)?;
        let number = u16::try_from(number).ok().filter(|it| *it <= HIGHEST)?;
        Some(Self(number))
    }

    /// The public port of a service.
    ///
    /// # Errors
    /// The number is above 65535, or below 1024.
    pub fn port(self, service: u16) -> Result<u16, PrefixError> {
        let number = u64::from(self.0)
            .saturating_mul(power_of_ten(service))
            .saturating_add(u64::from(service));
        match u16::try_from(number) {
            Ok(port) if port < UNPRIVILEGED => Err(PrefixError::Privileged {
                prefix: self,
                service,
                port,
            }),
            Ok(port) => Ok(port),
            Err(_) => Err(PrefixError::TooHigh {
                prefix: self,
                service,
                number,
            }),
        }
    }

    /// The public ports of all these services: all of them, or the first that has none.
    ///
    /// # Errors
    /// There is no service, or one has no port.
    pub fn ports(self, services: &PortSet) -> Result<PortSet, PrefixError> {
        if services.is_empty() {
            return Err(PrefixError::NoService);
        }
        let ports = services.iter().map(|service| self.port(service));
        let ports: Vec<u16> = ports.collect::<Result<_, _>>()?;
        Ok(PortSet::from_ranges(
            ports.iter().map(|port| (*port, *port)),
        ))
    }
}

/// The number that moves a prefix left of that service's digits.
fn power_of_ten(service: u16) -> u64 {
    match service {
        0..=9 => 10,
        10..=99 => 100,
        100..=999 => 1_000,
        1_000..=9_999 => 10_000,
        10_000.. => 100_000,
    }
}

/// Up to where services of as many digits have a port behind a prefix, in words.
struct Room(PortPrefix, u16);

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(prefix, service) = self;
        let power = power_of_ten(*service);
        let first = u64::from(prefix.0).saturating_mul(power);
        let last = u64::from(u16::MAX).checked_sub(first);
        let lowest = power / 10;
        match last {
            Some(last) if last >= lowest => write!(
                f,
                "65535 - {first} = {last}, so behind {prefix} there is room for services from {lowest} to {last}"
            ),
            _ => write!(
                f,
                "behind {prefix} there is no room for any service of {} digits",
                service.to_string().len()
            ),
        }
    }
}

impl FromStr for PortPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = is_plain.then(|| text.parse().ok()).flatten();
        match number {
            Some(number) if number <= HIGHEST => Ok(Self(number)),
            _ => Err(PrefixError::NotAPrefix(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for PortPrefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<PortPrefix> for String {
    fn from(prefix: PortPrefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for PortPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> PortPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn at17_a_prefix_and_services_are_ports() {
        let ports = prefix("401").ports(&"22,80".parse().unwrap()).unwrap();
        assert_eq!(ports.to_string(), "40122,40180");
        for (before, service, port) in [
            ("655", 22, 65_522),
            ("655", 35, 65_535),
            ("654", 99, 65_499),
            ("11", 22, 1_122),
            ("64", 999, 64_999),
            ("6", 3_306, 63_306),
            ("6553", 5, 65_535),
        ] {
            assert_eq!(prefix(before).port(service), Ok(port));
        }
    }

    #[test]
    fn at18_what_is_no_port_is_refused_with_the_arithmetic() {
        for (before, service, words) in [
            (
                "655",
                80,
                "655 before 80 is 65580, and the highest port is 65535: 65535 - 65500 = 35, so behind 655 there is \
                 room for services from 10 to 35",
            ),
            (
                "656",
                10,
                "656 before 10 is 65610, and the highest port is 65535: behind 656 there is no room for any \
                         service of 2 digits",
            ),
            ("6553", 60_000, "6553 before 60000 is 655360000"),
            ("1", 10_000, "no room for any service of 5 digits"),
            (
                "1",
                22,
                "1 before 22 is 122, and ports below 1024 are the system's",
            ),
        ] {
            let error = prefix(before).port(service).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        // One that has none leaves the others without, too.
        assert!(prefix("655").ports(&"22,80".parse().unwrap()).is_err());
        let none = prefix("401").ports(&PortSet::EMPTY);
        assert_eq!(none, Err(PrefixError::NoService));
    }

    #[test]
    fn at19_two_prefixes_can_mean_one_port() {
        assert_eq!(prefix("1").port(8_080), prefix("180").port(80));
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_its_text() {
        for text in ["", "0", "04", "6554", "-1", "+4", "4a", "99999999999"] {
            let error = text.parse::<PortPrefix>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_port_is_the_digits_of_both(before in 1..=HIGHEST, service in 1_u16..) {
            let written = format!("{before}{service}").parse::<u64>().unwrap();
            match PortPrefix(before).port(service) {
                Ok(port) => {
                    prop_assert_eq!(u64::from(port), written);
                }
                Err(PrefixError::TooHigh { number, .. }) => prop_assert!(number == written && written > 65_535),
                Err(_) => prop_assert!(written < 1_024),
            }
        }
    }
}
