//! What registries say when they do not do what they are asked (distribution-spec, "Error Codes").

use serde::Deserialize;

use super::http::{Answer, HttpError, Method};
use super::system_errors::plain;
use super::text::on_one_line;
use super::tls::TlsError;
use super::url::{Scheme, Url};
use crate::error::{ConnectionFault, RemoteError};

/// The number of bytes of such an answer that are read.
const BODY_LIMIT: u64 = 64 * 1024;

/// The codes and the message of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) codes: Vec<String>,
    /// On one line, without control characters.
    pub(crate) message: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<OneError>,
    /// Token servers, and Quay.
    details: Option<String>,
    message: Option<String>,
    error_description: Option<String>,
}

#[derive(Deserialize)]
struct OneError {
    code: Option<String>,
    message: Option<String>,
}

/// Reads the message of an answer. The body of a success is content, and no text for people.
pub(crate) fn said(answer: Answer) -> Said {
    if matches!(answer.status, 200..=299) {
        return Said::default();
    }
    let (secrets, bytes) = (answer.secrets(), answer.beginning(BODY_LIMIT));
    let shown = |text: &str| on_one_line(&secrets.redact(text));
    match serde_json::from_slice::<Errors>(&bytes) {
        Ok(errors) => {
            let codes: Vec<String> =
                errors.errors.iter().take(8).filter_map(|error| error.code.as_deref()).map(shown).collect();
            let from_list = errors.errors.into_iter().next().and_then(|error| error.message.or(error.code));
            let message = from_list.or(errors.details).or(errors.message).or(errors.error_description);
            Said { codes, message: message.as_deref().map(shown).filter(|message| !message.is_empty()) }
        }
        Err(_) => {
            let text = text(&bytes).map(str::trim);
            // A page is for browsers.
            let text = text.filter(|text| !text.is_empty() && !text.starts_with('<') && !text.starts_with('{'));
            Said { codes: Vec::new(), message: text.map(shown) }
        }
    }
}

/// Returns bytes as text, if they are some: UTF-8, of which the last character may be cut, without control characters.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).or_else(|error| match error.error_len() {
        None => str::from_utf8(&bytes[..error.valid_up_to()]),
        Some(_) => Err(error),
    });
    text.ok().filter(|text| !text.contains(|c: char| c.is_control() && !c.is_whitespace()))
}

/// Makes the error of an answer that was not expected.
pub(crate) fn error(answer: Answer, host: &str, method: Method, url: &Url) -> RemoteError {
    let status = answer.status;
    let request = format!("{} {}", method.as_str(), answer.secrets().redact(url.path()));
    let said = said(answer);
    let speaks_tls = |message: &String| {
        let message = message.to_lowercase();
        message.contains("http request to an https server") || message.contains("sent to https port")
    };
    if status == 400 && url.origin.scheme == Scheme::Http && said.message.as_ref().is_some_and(speaks_tls) {
        return RemoteError::Unreachable {
            host: host.to_owned(),
            reason: "it speaks HTTPS, not plain HTTP".to_owned(),
            fault: ConnectionFault::SpeaksTls,
        };
    }
    RemoteError::Status { host: host.to_owned(), request, status, codes: said.codes, message: said.message }
}

/// Makes the error of an exchange without an answer.
pub(crate) fn unreachable(url: &Url, error: &HttpError) -> RemoteError {
    let fault = match error {
        HttpError::UnknownHost => ConnectionFault::UnknownHost,
        HttpError::Connect(_) => ConnectionFault::Refused,
        HttpError::Stalled(_) | HttpError::Slow(_) | HttpError::ConnectTimeout => ConnectionFault::Timeout,
        HttpError::Broken(_) | HttpError::Body(_) | HttpError::Stopped => ConnectionFault::Broken,
        HttpError::Proxy { .. } => ConnectionFault::Proxy,
        HttpError::Malformed(_) => ConnectionFault::NotHttp,
        HttpError::Address { .. } => ConnectionFault::Refused,
        HttpError::Tls(tls) => match tls {
            TlsError::PlainHttp => ConnectionFault::PlainHttp,
            TlsError::UnknownAuthority | TlsError::Authority | TlsError::NoRoots => ConnectionFault::Untrusted,
            TlsError::Expired | TlsError::NotYetValid | TlsError::OtherName | TlsError::Other(_) => {
                ConnectionFault::Certificate
            }
            TlsError::ClientRefused
            | TlsError::File { .. }
            | TlsError::NoCertificate { .. }
            | TlsError::NoKey { .. }
            | TlsError::OtherKey { .. }
            | TlsError::NoKeyFile { .. } => ConnectionFault::ClientCertificate,
        },
    };
    // The files of certificates are faults of the user's machine, not of the host.
    if let HttpError::Tls(
        tls @ (TlsError::File { .. }
        | TlsError::NoCertificate { .. }
        | TlsError::NoKey { .. }
        | TlsError::OtherKey { .. }
        | TlsError::NoKeyFile { .. }),
    ) = error
    {
        return RemoteError::Settings { reason: tls.to_string() };
    }
    let reason = match error {
        HttpError::Connect(error) | HttpError::Broken(error) => plain(error),
        error => error.to_string(),
    };
    RemoteError::Unreachable { host: url.origin.authority(), reason, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_is_repeated() {
        for (bytes, expected) in [
            (&b"no\r\n\tway"[..], Some("no\r\n\tway")),
            ("für \u{1f600}".as_bytes(), Some("für \u{1f600}")),
            // The limit may cut a character.
            (&"für \u{1f600}".as_bytes()[..8], Some("für ")),
            (b"f\xfcr", None),
            (b"\x1f\x8b\x08", None),
            (b"a\0b", None),
            (b"\x1b[31mno", None),
        ] {
            assert_eq!(text(bytes), expected, "{bytes:?}");
        }
    }
}
