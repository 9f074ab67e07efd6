//! Times: those that SOURCE_DATE_EPOCH gives, and how configs have them.

use anyhow::Context as _;

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
