//! Times, as configs have them (RFC 3339).

use std::fmt;
use std::str::FromStr;

/// A time of RFC 3339. It is written in UTC, so that equal times give equal bytes.
///
/// ```
/// use regshape::oci::Timestamp;
///
/// let time: Timestamp = "2026-03-08T14:00:00+02:00".parse()?;
/// assert_eq!(time.to_string(), "2026-03-08T12:00:00Z");
/// assert!(Timestamp::from_seconds(0) < Some(time));
/// # Ok::<(), regshape::oci::ParseTimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

/// A text is not a time of RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{0}' is not a time such as 2026-03-08T12:00:00Z")]
pub struct ParseTimestampError(String);

/// The first and the last second of the years with four digits, which RFC 3339 has.
const SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

const SECONDS_A_DAY: i64 = 86_400;

impl Timestamp {
    /// Returns a time of seconds since 1970, or before; `None` if its year does not have four digits.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Some(Self { seconds, nanoseconds: 0 }).filter(|time| time.has_four_digits())
    }

    /// Returns the seconds since 1970, cut off to the second before.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    fn has_four_digits(self) -> bool {
        SECONDS.contains(&self.seconds)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let time = rfc_3339(text).filter(|time| time.has_four_digits());
        time.ok_or_else(|| ParseTimestampError(text.escape_debug().to_string()))
    }
}

impl fmt::Display for Timestamp {
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
fn rfc_3339(text: &str) -> Option<Timestamp> {
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
    (bytes.len() == end).then_some(Timestamp { seconds, nanoseconds })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_date() {
        for days in (-719_528..2_932_897).step_by(97) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_since_1970(year, month, day), days, "{year}-{month}-{day}");
        }
    }
}
