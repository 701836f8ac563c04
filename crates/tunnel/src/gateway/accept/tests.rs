use super::*;

/// What the future of a function takes, in bytes.
fn size<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

/// Tasks of a connection are as large as the most that they ever do: with the way in inside them, or the connection's
/// state by value in each of them, an idle tunnel costs twice as much.
#[test]
fn the_tasks_of_a_connection_keep_no_room_for_what_is_over() {
    let serving = size(serve);
    let driving = size(|driver: Driver<Sourced>, (), (), ()| driver.run());
    assert!(serving <= 4_096, "serving: {serving} bytes");
    assert!(driving <= 1_024, "driving: {driving} bytes");
}
