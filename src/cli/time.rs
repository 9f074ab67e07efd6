//! Times: those that SOURCE_DATE_EPOCH and flags give, and how configs have them.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

/// A time of a flag: RFC 3339, `@SECONDS` since 1970, or `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Seconds since 1970, or before.
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// The first and the last second of the years with four digits, which RFC 3339 has.
const SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

const SECONDS_A_DAY: i64 = 86_400;

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = match text.strip_prefix('@') {
            Some(seconds) => seconds.parse().ok().map(|seconds| Self { seconds, nanoseconds: 0 }),
            None if text == "now" => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(now.as_secs()).ok().map(|seconds| Self { seconds, nanoseconds: 0 })
            }
            None => rfc_3339(text),
        };
        let time = time.filter(|time| SECONDS.contains(&time.seconds));
        time.ok_or_else(|| "expected a time such as 2026-03-08T12:00:00Z, @SECONDS or now".to_owned())
    }
}

/// The time as configs have it, in UTC: equal times give equal bytes.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.seconds.div_euclid(SECONDS_A_DAY));
        let second = self.seconds.rem_euclid(SECONDS_A_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanoseconds > 0 {
            write!(f, ".{}", format!("{:09}", self.nanoseconds).trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Reads a time of RFC 3339, with `T` and `Z` in either case. It has at most nine digits of a second, and no leap second: Go
/// reads none.
fn rfc_3339(text: &str) -> Option<Time> {
    let bytes = text.as_bytes();
    let number = |from: usize, length: usize| -> Option<i64> {
        let digits = bytes.get(from..from + length)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let within = |at: usize, low: i64, high: i64| number(at, 2).filter(|part| (low..=high).contains(part));
    let is = |at: usize, accepted: &[u8]| bytes.get(at).is_some_and(|byte| accepted.contains(byte)).then_some(());
    let (year, month, day) = (number(0, 4)?, within(5, 1, 12)?, within(8, 1, 31)?);
    let days = days_since_1970(year, month, day);
    // A day that the month does not have is one of the next month.
    let () = (date_of(days) == (year, month, day)).then_some(())?;
    let (hour, minute, second) = (within(11, 0, 23)?, within(14, 0, 59)?, within(17, 0, 59)?);
    [(4, "-"), (7, "-"), (10, "Tt"), (13, ":"), (16, ":")]
        .iter()
        .try_for_each(|(at, mark)| is(*at, mark.as_bytes()))?;
    let (mut zone, mut nanoseconds) = (19, 0);
    if is(zone, b".").is_some() {
        let digits = bytes[zone + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let () = (1..=9).contains(&digits).then_some(())?;
        let fraction = number(zone + 1, digits)? * 10_i64.pow(9 - u32::try_from(digits).ok()?);
        nanoseconds = u32::try_from(fraction).ok()?;
        zone += 1 + digits;
    }
    let (offset, end) = match bytes.get(zone)? {
        b'Z' | b'z' => (0, zone + 1),
        sign @ (b'+' | b'-') => {
            is(zone + 3, b":")?;
            let offset = within(zone + 1, 0, 23)? * 3600 + within(zone + 4, 0, 59)? * 60;
            (if *sign == b'-' { -offset } else { offset }, zone + 6)
        }
        _ => return None,
    };
    let seconds = days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second - offset;
    (bytes.len() == end).then_some(Time { seconds, nanoseconds })
}

/// Returns the days from 1970 to a date of the Gregorian calendar. Years begin in March here, so that leap days are last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Returns the year, month and day of a number of days since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
    let (year, month, day) = date_of(seconds.div_euclid(SECONDS_A_DAY));
    let minute = seconds.rem_euclid(SECONDS_A_DAY) / 60;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minute / 60, minute % 60)
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
        let now = "now".parse::<Time>().expect("now").seconds;
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

    #[test]
    fn every_day_has_its_date() {
        for days in (-719_528..2_932_897).step_by(97) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_since_1970(year, month, day), days, "{year}-{month}-{day}");
        }
    }
}
