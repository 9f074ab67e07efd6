//! Times: those that SOURCE_DATE_EPOCH or a flag gives, and how configs have them.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

/// A time of a flag, in seconds since 1970: RFC 3339, `@SECONDS` or `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) i64);

/// A time cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a time; expected for example 2026-01-31T12:00:00Z, @1769860800 or now", .0.escape_debug())]
pub(crate) struct TimeError(String);

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let seconds = match text.strip_prefix('@') {
            Some(seconds) => seconds.parse().ok().filter(|_| !seconds.starts_with('+')),
            None if text == "now" => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(now.as_secs()).ok()
            }
            None => rfc3339(text),
        };
        // The years that RFC 3339 can write.
        let seconds = seconds.filter(|seconds| (FIRST..=LAST).contains(seconds));
        seconds.map(Self).ok_or_else(|| TimeError(text.to_owned()))
    }
}

/// The first second of the year 0 and the last second of the year 9999.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// Parses a date and a time with an offset (RFC 3339, section 5.6). A fraction of a second is cut off.
fn rfc3339(text: &str) -> Option<i64> {
    let text = text.is_ascii().then_some(text)?;
    let (stamp, rest) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = &stamp[range];
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let parts: Vec<u8> = [4, 7, 10, 13, 16].into_iter().map(|at| stamp.as_bytes()[at]).collect();
    if !matches!(parts[..], [b'-', b'-', b'T' | b't' | b' ', b':', b':']) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|digit: char| !digit.is_ascii_digit())?;
            fraction.get(end..).filter(|_| end > 0)?
        }
        None => rest,
    };
    let offset = match rest.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1 @ b'0'..=b'9', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'9', m2 @ b'0'..=b'9'] => {
            let two = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    // Days since 1970 of a date, with years that begin in March: then the leap day is the last.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * months + 2) / 5 + day - 1;
    let days =
        years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400) + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
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

/// Returns a time as configs have it.
pub(crate) fn date(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_seconds_or_now() {
        for (text, expected) in [
            ("@0", 0),
            ("@-5", -5),
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2026-01-31t12:00:00.999z", 1_769_860_800),
            ("2026-01-31T14:30:00+02:30", 1_769_860_800),
            ("1969-12-31T23:59:59Z", -1),
            ("9999-12-31T23:59:59Z", LAST),
            ("0000-01-01T00:00:00Z", FIRST),
        ] {
            assert_eq!(text.parse(), Ok(Time(expected)), "{text}");
        }
        assert!("now".parse::<Time>().expect("a time").0 > 1_700_000_000);
        for text in [
            "",
            "@",
            "@+1",
            "@1.5",
            "0",
            "today",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+25:00",
            "@253402300800",
            "+026-01-31T12:00:00Z",
            "2026-01-31T12:00:00Zé",
        ] {
            assert_eq!(text.parse::<Time>(), Err(TimeError(text.to_owned())));
        }
    }

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
}
