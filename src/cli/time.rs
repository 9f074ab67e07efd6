//! Times: those that SOURCE_DATE_EPOCH and flags give, and how lists show them.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use regshape::oci::Timestamp;

/// A time of a flag: RFC 3339, `@SECONDS` since 1970, or `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Time {
    /// Returns the seconds since 1970.
    pub(crate) fn seconds(self) -> i64 {
        self.0.seconds()
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = match text.strip_prefix('@') {
            Some(seconds) => seconds.parse().ok().and_then(Timestamp::from_seconds),
            None if text == "now" => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(now.as_secs()).ok().and_then(Timestamp::from_seconds)
            }
            None => text.parse().ok(),
        };
        time.map(Self).ok_or_else(|| "expected a time such as 2026-03-08T12:00:00Z, @SECONDS or now".to_owned())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the time that SOURCE_DATE_EPOCH says, in seconds since 1970.
pub(crate) fn source_seconds() -> anyhow::Result<Option<u64>> {
    parse_seconds(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())
}

pub(crate) fn parse_seconds(seconds: Option<&str>) -> anyhow::Result<Option<u64>> {
    /// The last second of the year 9999: RFC 3339 has four digits for the year.
    const LAST: u64 = 253_402_300_799;
    let Some(text) = seconds.filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= LAST).with_context(|| {
        format!("SOURCE_DATE_EPOCH is '{}', not a number of seconds since 1970", text.escape_debug())
    })?;
    Ok(Some(seconds))
}

/// Returns a time in UTC to the minute, as `ls --time-style=long-iso` prints it.
pub(crate) fn minute(seconds: i64) -> String {
    match Timestamp::from_seconds(seconds) {
        Some(time) => time.to_string()[..16].replace('T', " "),
        None => format!("@{seconds}"),
    }
}

/// Returns a time as configs have it.
pub(crate) fn date(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_date_is_a_number_of_seconds() {
        let date = |text| parse_seconds(Some(text)).map(|seconds| seconds.map(date)).map_err(|error| error.to_string());
        assert_eq!(date("0"), Ok(Some("1970-01-01T00:00:00Z".to_owned())));
        assert_eq!(date("253402300799"), Ok(Some("9999-12-31T23:59:59Z".to_owned())));
        assert_eq!(date(""), Ok(None));
        for bad in ["253402300800", "-1", "today", "1.5", "99999999999999999999"] {
            assert_eq!(date(bad), Err(format!("SOURCE_DATE_EPOCH is '{bad}', not a number of seconds since 1970")));
        }
    }

    #[test]
    fn a_time_is_rfc_3339_or_seconds_and_is_written_in_utc() {
        for (text, written) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2026-03-08t12:00:00.120+02:00", "2026-03-08T10:00:00.12Z"),
            ("2024-02-29T23:59:59-00:30", "2024-03-01T00:29:59Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
            ("@0", "1970-01-01T00:00:00Z"),
            ("@1700000000", "2023-11-14T22:13:20Z"),
            ("@-1", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(text.parse::<Time>().map(|time| time.to_string()), Ok(written.to_owned()), "{text}");
        }
        let now = "now".parse::<Time>().expect("now").seconds();
        assert!(now > 1_700_000_000);
        for bad in [
            "",
            "Now",
            "yesterday",
            "1700000000",
            "@",
            "@1.5",
            "@253402300800",
            "2026-03-08",
            "2026-03-08 12:00:00Z",
            "2026-03-08T12:00:00",
            "2026-02-29T12:00:00Z",
            "2026-04-31T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2016-12-31T23:59:60Z",
            "2026-03-08T12:00:00.Z",
            "2026-03-08T12:00:00.1234567890Z",
            "2026-03-08T12:00:00+0200",
            "2026-03-08T12:00:00Zé",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }
}
