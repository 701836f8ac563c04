//! Tables of an earlier life.

use super::*;

#[test]
fn a_restart_keeps_every_lease_for_its_owner() {
    let mut bench = Bench::new();
    let now = bench.now();
    let ago = now.wall - Duration::from_secs(100);
    bench.table.restore(
        vec![
            stored(1, 5, LeaseState::Held),
            stored(2, 5, LeaseState::Grace(ago)),
            stored(
                3,
                5,
                LeaseState::Quarantine(now.wall + Duration::from_secs(50)),
            ),
            stored(4, 5, LeaseState::Quarantine(ago)),
            stored(5, 5, LeaseState::Quarantine(Timestamp::MAX)),
        ],
        now,
    );
    let listening = bench.table.entries();
    let listening = listening.filter(|(_, entry)| entry.wants_listener());
    let listening: Vec<_> = listening.map(|(holding, _)| holding.clone()).collect();
    assert_eq!(listening, [Holding::Port(1), Holding::Port(2)]);
    for port in [1, 2, 3, 5] {
        assert!(matches!(
            bench.ask(&asker(9, 2), port),
            Err(Refused::InUse { .. })
        ));
    }
    bench.get(&asker(9, 2), 4);
    bench.after(51);
    bench.get(&asker(9, 2), 3);
    bench.get(&asker(1, 1), 1);
    bench.after(24 * 3_600);
    // A clock that stood wrong keeps nothing for longer than the quarantine.
    bench.get(&asker(9, 2), 5);
}

#[test]
fn old_backup_cannot_lower_epoch() {
    let floor = Epoch::floor_at(1_763_000_000_000);
    let mut bench = Bench::new();
    bench.table = Table::new(rules(), floor);
    let now = bench.now();
    bench
        .table
        .restore(vec![stored(1, 7, LeaseState::Held)], now);
    assert!(bench.get(&asker(1, 1), 1).epoch > floor);
    // And a store that is ahead of the clock is not undercut either.
    let ahead = floor.get() + (1 << 40);
    bench.table = Table::new(rules(), floor);
    bench
        .table
        .restore(vec![stored(1, ahead, LeaseState::Held)], now);
    assert_eq!(bench.get(&asker(1, 1), 1).epoch, Epoch::new(ahead + 1));
}
