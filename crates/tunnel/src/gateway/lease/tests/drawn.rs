//! Ports that were asked for as any.

use super::*;

#[test]
fn any_port_is_the_one_it_was_before_for_the_same_label() {
    let mut bench = Bench::new();
    let port = bench.draw_port(&asker(1, 1), "9000-9009");
    assert_eq!(port, 9009, "the last of ten");
    assert_ne!(
        bench.draw_port(&asker(1, 1), "9000-9009"),
        port,
        "twice is two"
    );
    bench.leave(1);
    let mut other = asker(2, 1);
    other.label = "another";
    assert_eq!(bench.draw_port(&other, "9000-9009"), 9007);
    assert_eq!(bench.draw_port(&asker(3, 1), "9000-9009"), 9008);
    assert_eq!(bench.draw_port(&asker(3, 1), "9000-9009"), 9009);
    bench.get(&asker(4, 1), 9005);
    bench.leave(4);
    assert_eq!(
        bench.draw_port(&asker(5, 1), "9000-9009"),
        9006,
        "what was asked for by its number is not drawn"
    );
}

#[test]
fn a_drawn_port_is_had_back_from_a_connection_that_is_gone_and_from_no_other() {
    let mut bench = Bench::new();
    let first = bench.draw_port(&asker(1, 1), "9000-9009");
    bench.after(1);
    let second = bench.draw_port(&asker(1, 1), "9000-9009");
    for takeover in [Takeover::Probe, Takeover::Newest, Takeover::Oldest] {
        let mut new = asker(2, 1);
        new.takeover = takeover;
        let third = bench.draw_port(&new, "9000-9009");
        assert!(third != first && third != second, "{takeover}: {third}");
        let now = bench.now();
        bench.table.leave(MemberId(2), now);
        bench.table.release(&Holding::Port(third), now);
        bench.after(24 * 3_600 + 1);
    }
    let mut new = asker(2, 1);
    let probe = bench.ask_any(&new, "9000-9009").unwrap();
    let Answer::Probe { holding, epoch, .. } = probe else {
        panic!("{probe:?} is no question");
    };
    assert_eq!(holding, Holding::Port(first), "in their old order");
    // Another that asks meanwhile waits for the same answer.
    let waits = bench.ask_any(&asker(3, 1), "9000-9009").unwrap();
    assert_eq!(waits, Answer::Wait(holding.clone()));
    bench.table.probe_is_over(&holding);
    new.verdict = Some(Verdict {
        epoch,
        is_alive: false,
    });
    let taken = bench.ask_any(&new, "9000-9009").unwrap();
    let taken = bench.commit(taken);
    assert_eq!(taken.displaced, Some(MemberId(1)));
    assert_eq!(taken.bind.port(), Some(first));
    bench.leave(1);
    assert_eq!(bench.draw_port(&asker(2, 1), "9000-9009"), second);
}

#[test]
fn a_drawn_port_is_had_back_after_a_restart_by_the_same_words_and_label() {
    let drawn = |host: &str, label: &str| {
        Some(Drawn {
            host: String::from(host),
            label: String::from(label),
        })
    };
    let of = |port: u16, seconds: u64, drawn| Lease {
        since: Timestamp::from_second(START).unwrap() + Duration::from_secs(seconds),
        drawn,
        ..stored(port, u64::from(port), LeaseState::Held)
    };
    let mut bench = Bench::new();
    let now = bench.now();
    let leases = vec![
        of(9_001, 3, drawn("localhost", "me")),
        of(9_002, 1, drawn("*", "me")),
        of(9_003, 2, drawn("localhost", "me")),
        of(9_004, 0, drawn("localhost", "another")),
        of(9_005, 0, None),
    ];
    bench.table.restore(leases, now);
    let ports: Vec<_> = (0..4)
        .map(|_| bench.draw_port(&asker(1, 1), "9000-9009"))
        .collect();
    // Its own words first, in the order in which they were drawn; then what it had besides; then a new one.
    assert_eq!(ports, [9_003, 9_001, 9_002, 9_009]);
    let lease = bench.table.lease(&Holding::Port(9_003), now).unwrap();
    assert_eq!(lease.drawn, drawn("localhost", "me"));
}
