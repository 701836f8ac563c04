//! Where the time of a test comes from.

/// Where the time of a test begins; from there only the test moves it.
#[expect(
    clippy::disallowed_methods,
    reason = "an `Instant` can be had in no other way"
)]
pub(crate) fn test_clock() -> std::time::Instant {
    std::time::Instant::now()
}
