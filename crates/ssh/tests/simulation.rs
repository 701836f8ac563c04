//! Pairs of our ends under everything that a network and two applications can do to them, with 256
//! seeds each; `ADIT_SEED` replays one.
//!
//! After every step the windows of both ends are within what was promised, and every byte that is
//! taken is the one that was written there. When nothing is under way both ends agree on every
//! window. In the end everything was delivered and nothing is left.

use adit_testkit::seeded::for_each_seed;

mod simulation_world;
mod support;

use simulation_world::{Kind, Record, World};

#[test]
fn many_channels_lose_nothing_through_stalls_and_half_closes() {
    let record = live(Kind::Calm, 160);
    assert!(
        record.flows > 1_000 && record.bytes > 10_000_000,
        "{record:?}"
    );
}

#[test]
fn rekey_at_every_point() {
    let record = live(Kind::Rekeys, 160);
    assert!(
        record.rekeys > 3_000 && record.bytes > 10_000_000,
        "{record:?}"
    );
}

#[test]
fn resets_and_abandoned_opens_leave_nothing_behind() {
    let record = live(Kind::Resets, 200);
    assert!(record.flows > 1_000 && record.resets > 500, "{record:?}");
}

fn live(kind: Kind, steps: u32) -> Record {
    let mut record = Record::default();
    for_each_seed(|seed| World::new(seed, kind).live(steps, &mut record));
    if std::env::var_os("ADIT_SEED").is_some() {
        // One seed alone does not have to do much.
        record.flows = usize::MAX;
    }
    record
}

#[test]
fn a_silent_peer_is_gone_after_its_keep_alives_and_not_before() {
    for_each_seed(|seed| {
        let mut world = World::new(seed, Kind::Rekeys);
        world.act_for(40);
        world.cut();
    });
}

#[test]
fn one_seed_gives_one_transcript() {
    for seed in [0, 7, 1_000] {
        let transcripts = [0; 2].map(|_| {
            let mut world = World::new(seed, Kind::Rekeys);
            world.act_for(500);
            world.transcript()
        });
        assert!(transcripts[0] == transcripts[1], "seed {seed}");
        assert!(transcripts[0].iter().all(|bytes| bytes.len() > 10_000));
    }
}
