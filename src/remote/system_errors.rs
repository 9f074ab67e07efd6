//! The meaning of errors of the system.

use std::io;

/// Returns the text of an error of the system without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "Connection refused".to_owned(),
        _ if is_cut(error) => "it closed the connection".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}

/// Returns whether an error is that of a host that takes no connection.
pub(crate) fn takes_none(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
    )
}

/// Returns whether the other side closed the connection.
pub(crate) fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// Returns whether an error of the system says that a name has no address. One that may be found later is not such a name.
pub(crate) fn is_unknown_name(error: &io::Error) -> bool {
    /// `WSAHOST_NOT_FOUND` and `WSANO_DATA`.
    const OF_WINDOWS: [i32; 2] = [11001, 11004];
    if cfg!(windows) {
        return error.raw_os_error().is_some_and(|code| OF_WINDOWS.contains(&code));
    }
    // The standard library has no kind for it; its own words do not depend on the language of the system.
    let text = error.to_string();
    let reason = text.strip_prefix("failed to lookup address information: ");
    reason.is_some_and(|reason| !reason.starts_with("Temporary failure") && !reason.starts_with("Try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(windows))]
    #[test]
    fn a_name_that_may_be_found_later_is_not_unknown() {
        for (reason, expected) in [
            ("Name or service not known", true),
            ("Name does not resolve", true),
            ("nodename nor servname provided, or not known", true),
            ("Temporary failure in name resolution", false),
            ("Try again", false),
        ] {
            let error = io::Error::other(format!("failed to lookup address information: {reason}"));
            assert_eq!(is_unknown_name(&error), expected, "{reason}");
        }
        assert!(!is_unknown_name(&io::ErrorKind::ConnectionRefused.into()));
    }

    #[test]
    fn errors_are_told_without_their_numbers() {
        let error = io::Error::from_raw_os_error(2);
        assert!(error.to_string().ends_with(" (os error 2)") && !plain(&error).contains("os error"), "{error}");
        assert_eq!(plain(&io::ErrorKind::UnexpectedEof.into()), "it closed the connection");
    }
}
