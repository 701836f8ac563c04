//! The promises about forwards: ask, be refused, have visitors, take it back.

use adit_tunnel::transport::ForwardError;

use super::{Io, exchange, pattern, within};

/// Two ends, one of which asks the other for visitors of 127.0.0.1.
pub(crate) trait Forwards: Send + Sync {
    /// Where a visitor writes.
    type Visitor: Io;
    /// What comes of it at the end that asked.
    type Stream: Io;

    /// Asks for a port, 0 for any. The port that was granted.
    fn ask(&self, port: u16) -> impl Future<Output = Result<u16, ForwardError>> + Send;

    /// A port that the other end will not grant, and one that it will.
    fn taken_and_free(&self) -> (u16, u16);

    /// Takes a forward back that was asked for as `asked` and granted as `granted`; returns when the
    /// other end has no listener for it any more.
    fn take_back(&self, asked: u16, granted: u16) -> impl Future<Output = ()> + Send;

    /// Visits a granted port.
    fn visit(&self, port: u16) -> impl Future<Output = (Self::Visitor, Self::Stream)> + Send;
}

/// Every promise in turn, over one connection.
pub(crate) async fn all(pair: &impl Forwards) {
    let (taken, free) = pair.taken_and_free();
    let any = a_forward_of_port_zero_says_which_port_it_is(pair).await;
    a_refused_forward_says_so_and_harms_nobody(pair, taken, any).await;
    a_forward_has_the_port_that_was_asked_for(pair, free).await;
    a_forward_taken_back_leaves_the_others(pair, (0, any), free).await;
    a_forward_taken_back_can_be_asked_for_again(pair, free).await;
}

async fn a_forward_of_port_zero_says_which_port_it_is(pair: &impl Forwards) -> u16 {
    let port = within(pair.ask(0)).await.unwrap();
    assert!(port > 0, "port 0 is no answer");
    visitor_is_served(pair, port).await;
    port
}

async fn a_refused_forward_says_so_and_harms_nobody(pair: &impl Forwards, taken: u16, up: u16) {
    let refused = within(pair.ask(taken)).await;
    assert_eq!(refused, Err(ForwardError::Refused));
    visitor_is_served(pair, up).await;
}

async fn a_forward_has_the_port_that_was_asked_for(pair: &impl Forwards, free: u16) {
    assert_eq!(within(pair.ask(free)).await, Ok(free));
    visitor_is_served(pair, free).await;
}

async fn a_forward_taken_back_leaves_the_others(
    pair: &impl Forwards,
    (asked, granted): (u16, u16),
    other: u16,
) {
    within(pair.take_back(asked, granted)).await;
    visitor_is_served(pair, other).await;
}

async fn a_forward_taken_back_can_be_asked_for_again(pair: &impl Forwards, port: u16) {
    within(pair.take_back(port, port)).await;
    assert_eq!(within(pair.ask(port)).await, Ok(port));
    visitor_is_served(pair, port).await;
}

/// A visitor and the service exchange bytes and end, each for itself.
async fn visitor_is_served(pair: &impl Forwards, port: u16) {
    let (visitor, stream) = within(pair.visit(port)).await;
    let (there, back) = (pattern(13, 200_000), pattern(17, 100_000));
    let (got_back, got_there) =
        within(async { tokio::join!(exchange(visitor, &there), exchange(stream, &back)) }).await;
    assert!(got_back == back && got_there == there);
}
