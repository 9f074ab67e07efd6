//! Checks the values of single fields: URLs and times.

/// Returns whether a text is a URL as the schema requires: it has a scheme and none of the characters that RFC 3986
/// excludes.
pub(crate) fn is_url(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let excluded = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&byte);
    scheme.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
        && !text.bytes().any(excluded)
}

/// Returns whether a text is a time of RFC 3339, section 5.6.
pub(crate) fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |from: usize, length: usize| -> Option<u32> {
        let digits = bytes.get(from..from + length)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let between = |at: usize, low: u32, high: u32| number(at, 2).is_some_and(|part| (low..=high).contains(&part));
    let is = |at: usize, accepted: &[u8]| bytes.get(at).is_some_and(|byte| accepted.contains(byte));
    let days = match (number(0, 4), number(5, 2)) {
        (Some(year), Some(2)) if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        (_, Some(2)) => 28,
        (_, Some(4 | 6 | 9 | 11)) => 30,
        _ => 31,
    };
    let date = number(0, 4).is_some() && is(4, b"-") && between(5, 1, 12) && is(7, b"-") && between(8, 1, days);
    let clock = between(11, 0, 23) && is(13, b":") && between(14, 0, 59) && is(16, b":") && between(17, 0, 60);
    if !date || !is(10, b"Tt ") || !clock {
        return false;
    }
    let mut zone = 19;
    if is(zone, b".") {
        let digits = bytes[zone + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        zone += 1 + digits;
    }
    let offset = is(zone, b"+-") && between(zone + 1, 0, 23) && is(zone + 3, b":") && between(zone + 4, 0, 59);
    (is(zone, b"Zz") && bytes.len() == zone + 1) || (offset && bytes.len() == zone + 6)
}

/// Returns whether Go's parser, and so nearly every engine, reads a valid time of RFC 3339. Go accepts only uppercase
/// `T` and `Z`, and no leap second.
pub(crate) fn is_go_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.get(10) == Some(&b'T') && !text.ends_with('z') && bytes.get(17..19) != Some(b"60")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_reads_less_than_rfc_3339_allows() {
        for (time, is_read) in [
            ("2024-01-01T00:00:00Z", true),
            ("2024-01-01T00:00:00.123+02:00", true),
            ("2024-01-01T23:59:59.999999999999-23:59", true),
            ("2024-01-01 00:00:00Z", false),
            ("2024-01-01t00:00:00Z", false),
            ("2024-01-01T00:00:00z", false),
            ("2016-12-31T23:59:60Z", false),
            ("2016-12-31T23:59:60.5+00:00", false),
        ] {
            assert!(is_time(time), "{time}");
            assert_eq!(is_go_time(time), is_read, "{time}");
        }
        // Times that Go reads but RFC 3339 does not allow are not valid here.
        for time in ["2024-01-01T1:00:00Z", "2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00+24:00"] {
            assert!(!is_time(time), "{time}");
        }
    }

    #[test]
    fn times_follow_rfc_3339() {
        for good in ["2026-03-08T00:00:00Z", "0001-01-01T00:00:00Z", "2024-02-29t23:59:60.123456789+05:30"] {
            assert!(is_time(good), "{good}");
        }
        for bad in ["", "now", "2026-03-08", "2026-13-08T00:00:00Z", "2023-02-29T00:00:00Z", "2026-03-08T00:00:00"]
            .into_iter()
            .chain(["2026-03-08T00:00:00.Z", "2026-03-08T24:00:00Z", "2026-03-08T00:00:00Zx", "2026-03-08T00:00:00+1"])
        {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
