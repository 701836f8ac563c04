//! Who has what another connection of the same principal holds.

use super::*;

#[test]
fn a_holder_that_answers_keeps_it_and_one_that_does_not_loses_it() {
    let mut bench = Bench::new();
    let first = bench.get(&asker(1, 1), 8080);
    let mut second = asker(2, 1);
    let probe = bench.ask(&second, 8080).unwrap();
    assert_eq!(
        probe,
        Answer::Probe {
            holding: Holding::Port(8080),
            epoch: first.epoch,
            holder: MemberId(1)
        }
    );
    // One question at a time.
    assert!(matches!(bench.ask(&asker(3, 1), 8080), Ok(Answer::Wait(_))));
    bench.table.probe_is_over(&Holding::Port(8080));
    let verdict = |is_alive| {
        Some(Verdict {
            epoch: first.epoch,
            is_alive,
        })
    };
    second.verdict = verdict(true);
    let refused = bench.ask(&second, 8080).unwrap_err();
    assert!(matches!(refused, Refused::HeldByYou { .. }), "{refused}");
    second.verdict = verdict(false);
    let taken = bench.get(&second, 8080);
    assert_eq!(taken.displaced, Some(MemberId(1)));
    // The verdict was about another holder.
    let mut third = asker(3, 1);
    third.verdict = verdict(false);
    assert!(matches!(bench.ask(&third, 8080), Ok(Answer::Probe { .. })));
}

#[test]
fn oldest_keeps_it_as_long_as_it_lives_and_newest_has_it_at_once() {
    let mut bench = Bench::new();
    bench.get(&asker(1, 1), 8080);
    let mut oldest = asker(2, 1);
    oldest.takeover = Takeover::Oldest;
    assert!(matches!(
        bench.ask(&oldest, 8080),
        Err(Refused::HeldByYou { .. })
    ));
    let mut newest = asker(2, 1);
    newest.takeover = Takeover::Newest;
    assert_eq!(bench.get(&newest, 8080).displaced, Some(MemberId(1)));
    bench.leave(2);
    oldest.member = 3;
    bench.get(&oldest, 8080);
}

#[test]
fn takeover_flap_is_stopped() {
    let mut bench = Bench::new();
    bench.get(&asker(1, 1), 8080);
    let mut newest = asker(1, 1);
    newest.takeover = Takeover::Newest;
    for member in 2..5 {
        bench.after(10);
        newest.member = member;
        bench.get(&newest, 8080);
    }
    newest.member = 5;
    // Only a holder that is gone loses it now.
    let Ok(Answer::Probe { epoch, holding, .. }) = bench.ask(&newest, 8080) else {
        panic!("a fourth takeover in 30 s is not stopped");
    };
    bench.table.probe_is_over(&holding);
    let verdict = |is_alive| Some(Verdict { epoch, is_alive });
    newest.verdict = verdict(true);
    let refused = bench.ask(&newest, 8080).unwrap_err();
    assert!(
        matches!(refused, Refused::Flapping { seconds: 300, .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("your own key from 192.0.2.1"),
        "{refused}"
    );
    bench.after(299);
    let refused = bench.ask(&newest, 8080).unwrap_err();
    assert!(
        matches!(refused, Refused::Flapping { seconds: 1, .. }),
        "{refused}"
    );
    newest.verdict = verdict(false);
    assert_eq!(bench.get(&newest, 8080).displaced, Some(MemberId(4)));
    // Five minutes later all is as before.
    bench.after(61);
    newest.member = 6;
    newest.verdict = None;
    bench.get(&newest, 8080);
}

#[test]
fn a_lease_moves_only_to_where_the_grant_says() {
    let mut bench = Bench::new();
    bench.get(&asker(1, 1), 8080);
    bench.leave(1);
    let mut far = asker(2, 1);
    far.source = "198.51.100.1:4000";
    let refused = bench.ask(&far, 8080).unwrap_err();
    assert!(matches!(refused, Refused::OtherNetwork { .. }), "{refused}");
    far.source = "192.0.2.99:4000";
    bench.get(&far, 8080);
}

#[test]
fn second_member_needs_pool() {
    let mut bench = Bench::new();
    let first = bench.get(&asker(1, 1), 8080);
    let mut second = asker(2, 1);
    second.verdict = Some(Verdict {
        epoch: first.epoch,
        is_alive: true,
    });
    // Neither the same principal nor another one shares it: there are no pools of ports.
    assert!(matches!(
        bench.ask(&second, 8080),
        Err(Refused::HeldByYou { .. })
    ));
    assert!(matches!(
        bench.ask(&asker(3, 2), 8080),
        Err(Refused::InUse { .. })
    ));
}
