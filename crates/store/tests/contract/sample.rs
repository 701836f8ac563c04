//! Things to keep.

use adit_model::address::Scope;
use adit_model::grant::Grant;
use adit_model::id::{Epoch, Fingerprint, LeaseId, PrincipalId};
use adit_model::lease::{Drawn, Holding, Lease, LeaseState};
use adit_store::{Change, Kind, NewAuthority, NewKey, NewPrincipal, QuarantineUntil};
use jiff::Timestamp;

pub(crate) const NOW: &str = "2026-11-22T10:00:00.123456Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn change() -> Change<'static> {
    Change {
        when: at(NOW),
        who: "uid 0",
    }
}

/// A fingerprint that differs with the number and, between odd and even ones, in the case of letters alone.
pub(crate) fn fingerprint(number: usize) -> Fingerprint {
    let letters = if number.is_multiple_of(2) { "Ab" } else { "aB" };
    let half = number / 2;
    format!("SHA256:{half:041}{letters}").parse().unwrap()
}

pub(crate) fn grant() -> Grant {
    Grant {
        ports: "40100-40199,443".parse().unwrap(),
        any_port: true,
        sources: "192.0.2.0/24,!192.0.2.1".parse().unwrap(),
        not_after: Some(at("9999-12-30T22:00:00.999999999Z")),
        ..Grant::default()
    }
}

pub(crate) fn principal(name: &str) -> NewPrincipal {
    NewPrincipal {
        name: name.parse().unwrap(),
        kind: Kind::Device,
        grant: grant(),
        note: String::from("made for a test"),
    }
}

pub(crate) fn key(principal: PrincipalId, number: usize) -> NewKey {
    NewKey {
        principal,
        fingerprint: fingerprint(number),
        blob: vec![0, 255, 7, b'\''],
        comment: String::from("k\u{e4}y of \u{1f600}"),
        sources: "10.0.0.0/8".parse().unwrap(),
        not_after: Some(at("2027-01-01T00:00:00Z")),
        touch_required: true,
        verify_required: false,
    }
}

pub(crate) fn authority(number: usize) -> NewAuthority {
    NewAuthority {
        fingerprint: fingerprint(number),
        blob: vec![1; 51],
        sources: "".parse().unwrap(),
        not_after: None,
        note: String::new(),
    }
}

pub(crate) fn lease(holding: Holding, principal: PrincipalId, epoch: u64) -> Lease {
    Lease {
        id: LeaseId::new(0),
        holding,
        scope: Scope::Any,
        principal,
        epoch: Epoch::new(epoch),
        since: at(NOW),
        state: LeaseState::Held,
        drawn: None,
    }
}

pub(crate) fn until() -> QuarantineUntil {
    QuarantineUntil {
        ports: at("2026-11-23T10:00:00Z"),
        names: at("2026-12-22T10:00:00Z"),
    }
}

pub(crate) fn drawn() -> Drawn {
    Drawn {
        host: String::new(),
        label: String::from("k\u{e4}the"),
    }
}
