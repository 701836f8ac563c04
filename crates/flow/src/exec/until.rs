//! Delays until a time of day or a date.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::error::JobError;

/// How long it is from `now` until a time: a time of day (`HH:MM`, `HH:MM:SS`), which is today's or,
/// where that has passed, tomorrow's; or a date with a time (RFC 3339, or without an offset, then in
/// the zone), which may have passed: then the delay is over at once. `zone` is a name of the IANA's;
/// without one it is this machine's zone.
///
/// Where clocks are put forward the time that does not exist is the one after it, where they are put
/// back the earlier of two counts (RFC 5545's rule, which jiff follows).
///
/// # Errors
///
/// It is no time, or there is no such zone here.
pub(super) fn until(time: &str, zone: Option<&str>, now: Timestamp) -> Result<Duration, JobError> {
    let zone = match zone {
        Some(name) => TimeZone::get(name).map_err(|_| {
            JobError::new(format!(
                "there is no time zone {} on this machine",
                adit_text::show(name)
            ))
        })?,
        None => TimeZone::system(),
    };
    let time = time.trim();
    let now = now.to_zoned(zone.clone());
    let wanted = at(time, zone, &now).ok_or_else(|| {
        JobError::new(format!(
            "{} is no time; wanted for example 18:30 or 2026-11-22T18:30:00+01:00",
            adit_text::show(time)
        ))
    })?;
    let delay = wanted.timestamp().duration_since(now.timestamp());
    Ok(delay.try_into().unwrap_or_default())
}

fn at(time: &str, zone: TimeZone, now: &Zoned) -> Option<Zoned> {
    if let Ok(timestamp) = time.parse::<Timestamp>() {
        return Some(timestamp.to_zoned(zone));
    }
    if let Ok(of_day) = time.parse::<civil::Time>()
        && !time.contains(['-', ' '])
        && !time.get(1..).is_some_and(|rest| rest.contains('T'))
    {
        let today = now.date().to_datetime(of_day).to_zoned(zone.clone()).ok()?;
        if today.timestamp() > now.timestamp() {
            return Some(today);
        }
        let tomorrow = now.date().tomorrow().ok()?;
        return tomorrow.to_datetime(of_day).to_zoned(zone).ok();
    }
    time.parse::<civil::DateTime>().ok()?.to_zoned(zone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_next_one_of_its_kind() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (time, zone, seconds) in [
            ("13:00", Some("UTC"), 3_600),
            ("12:00", Some("UTC"), 86_400),
            ("11:59:30", Some("UTC"), 86_370),
            ("21:30", Some("Asia/Seoul"), 1_800),
            ("2026-11-22T12:00:05Z", None, 5),
            ("2026-11-22T14:00:00+01:00", Some("UTC"), 3_600),
            ("2026-11-22 13:00", Some("UTC"), 3_600),
            ("2026-11-22T21:30:00", Some("Asia/Seoul"), 1_800),
            ("2026-11-23", Some("UTC"), 43_200),
            ("2020-01-01T00:00:00Z", None, 0),
        ] {
            let found = until(time, zone, now).unwrap();
            assert_eq!(found, Duration::from_secs(seconds), "{time} {zone:?}");
        }
        for (time, zone, message) in [
            (
                "soon",
                Some("UTC"),
                "\"soon\" is no time; wanted for example 18:30 or 2026-11-22T18:30:00+01:00",
            ),
            (
                "18:30",
                Some("Mars/Olympus"),
                "there is no time zone \"Mars/Olympus\" on this machine",
            ),
        ] {
            let error = until(time, zone, now).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
