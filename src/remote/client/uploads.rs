//! Uploads: in one body or in chunks, and how one goes on (distribution-spec, end-4, end-5, end-6, end-11, end-13, end-14).

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::Builder;
use std::time::Duration;

use super::manifests::content_digest;
use super::{Ask, Client, Payload};
use crate::oci::{Digest, RepositoryName};
use crate::remote::auth::scope::Scope;
use crate::remote::http::{Answer, Body, COMMIT_TIMEOUT, Method, Request};
use crate::remote::retry::Failure;
use crate::remote::stop::Stop;
use crate::remote::url::Url;

/// How long an upload that does not go on may take to be cancelled.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);

/// An upload that the registry began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadSession {
    /// Where the next bytes go. It can be a secret.
    pub(crate) location: Url,
    /// The smallest chunk that the registry takes.
    pub(crate) smallest_chunk: Option<u64>,
}

/// What a registry did when it was asked to begin an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// It had the blob in another repository.
    Mounted,
    Session(UploadSession),
}

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UploadStatus {
    /// So many bytes are there.
    At(UploadSession, u64),
    /// The registry does not know it, or does not say.
    Gone,
}

impl Client {
    /// Begins an upload (end-4a), or takes the blob from another repository (end-11).
    ///
    /// # Errors
    ///
    /// A failure.
    pub(crate) fn start_upload(
        &self,
        repository: &RepositoryName,
        mount: Option<(&Digest, &RepositoryName)>,
        scope: &Scope,
    ) -> Result<Started, Failure> {
        let mut url = self.url(&format!("/v2/{repository}/blobs/uploads/"));
        if let Some((digest, from)) = mount {
            url = url.with_parameter("mount", digest.as_str()).with_parameter("from", from.as_str());
        }
        let ask = Ask::new(Method::Post, url, scope);
        let answer = self.ask_once(&ask, Payload::Bytes(&[]))?;
        match answer.status {
            201 if mount.is_some() => Ok(Started::Mounted),
            202 => self.session(&answer, None).map(Started::Session),
            404 => Err(Failure::lasting(self.absent(self.refusal(answer, Method::Post)))),
            _ => Err(Failure::lasting(self.refusal(answer, Method::Post))),
        }
    }

    /// Sends a chunk (end-5). Returns the session for the next one.
    ///
    /// # Errors
    ///
    /// A failure, with the status of the answer.
    pub(crate) fn send_chunk(
        &self,
        session: &UploadSession,
        offset: u64,
        payload: (u64, Payload<'_>),
        closes: bool,
        scope: &Scope,
    ) -> Result<UploadSession, Failure> {
        let (length, payload) = payload;
        let mut ask = Ask::new(Method::Patch, session.location.clone(), scope)
            .with_header("content-type", "application/octet-stream")
            .with_header("content-range", format!("{offset}-{}", offset + length - 1));
        ask.closes = closes;
        let answer = self.ask_once(&ask, payload)?;
        match answer.status {
            200..=204 => {
                let expected = offset + length;
                if let Some(end) = answer.header("range").and_then(range_end)
                    && end + 1 != expected
                {
                    let problem = format!("has {} bytes of an upload after {expected} were sent", end + 1);
                    return Err(Failure { status: Some(416), ..Failure::lasting(self.odd(problem)) });
                }
                self.session(&answer, Some(session))
            }
            status => Err(Failure { status: Some(status), ..Failure::lasting(self.refusal(answer, Method::Patch)) }),
        }
    }

    /// Sends the last bytes of an upload, or all of them, and makes a blob of it (end-6).
    ///
    /// # Errors
    ///
    /// A failure, with the status of the answer.
    pub(crate) fn finish_upload(
        &self,
        session: &UploadSession,
        digest: &Digest,
        range: Option<(u64, u64)>,
        payload: Payload<'_>,
        closes: bool,
        scope: &Scope,
    ) -> Result<(), Failure> {
        let url = session.location.clone().with_parameter("digest", digest.as_str());
        let mut ask = Ask::new(Method::Put, url, scope).with_header("content-type", "application/octet-stream");
        if let Some((start, end)) = range {
            ask = ask.with_header("content-range", format!("{start}-{end}"));
        }
        ask.patience = Some(COMMIT_TIMEOUT);
        ask.closes = closes;
        let answer = self.ask_once(&ask, payload)?;
        match answer.status {
            201 => {
                let said = content_digest(&answer).filter(|said| said.algorithm() == digest.algorithm());
                match said.filter(|said| said != digest) {
                    Some(said) => Err(Failure::lasting(self.odd(format!("stored the blob {digest} as {said}")))),
                    None => Ok(()),
                }
            }
            // In doubt: whether the blob is there shows when it is asked for.
            status @ (200 | 202 | 204) => {
                let failure = Failure::lasting(self.refusal(answer, Method::Put));
                Err(Failure { is_transient: true, status: Some(status), ..failure })
            }
            status => Err(Failure { status: Some(status), ..Failure::lasting(self.refusal(answer, Method::Put)) }),
        }
    }

    /// Asks how far an upload is (end-13).
    ///
    /// # Errors
    ///
    /// A failure.
    pub(crate) fn upload_status(&self, session: &UploadSession, scope: &Scope) -> Result<UploadStatus, Failure> {
        let answer = self.ask_once(&Ask::new(Method::Get, session.location.clone(), scope), Payload::None)?;
        if !matches!(answer.status, 200 | 202 | 204) {
            return Ok(UploadStatus::Gone);
        }
        // `0-0` is said of an upload without a byte; one with a single byte begins anew, which costs nothing.
        let bytes = match answer.header("range").map(range_end) {
            None | Some(Some(0)) => 0,
            Some(Some(end)) => end + 1,
            Some(None) => return Ok(UploadStatus::Gone),
        };
        Ok(UploadStatus::At(self.session(&answer, Some(session))?, bytes))
    }

    /// Returns the session of a location that an earlier run noted; `None` if it may not be used.
    pub(crate) fn saved_session(&self, location: &str) -> Option<UploadSession> {
        let location = self.guard().location(&self.url("/v2/"), location).ok()?;
        Some(UploadSession { location, smallest_chunk: None })
    }

    /// Tells the registry that an upload will not go on (end-14), also when the work has ended. What becomes of that is of no
    /// interest. No token is fetched for it.
    pub(crate) fn cancel_upload(&self, session: &UploadSession, scope: &Scope) {
        let shared = Arc::clone(&self.shared);
        let (session, scope) = (session.clone(), scope.clone());
        let guard = self.guard();
        // The request waits for an address or a token no longer than `CANCEL_TIMEOUT`.
        let (sender, receiver) = sync_channel::<()>(1);
        let cancel = move || {
            let is_registry = guard.is_registry(&session.location);
            let authorization = is_registry.then(|| shared.session.known_authorization(&scope)).flatten();
            let headers: Vec<_> =
                authorization.iter().map(|value| ("authorization", value.expose().to_owned())).collect();
            let (url, method) = (&session.location, Method::Delete);
            let request = Request { method, url, headers: &headers, patience: Some(CANCEL_TIMEOUT), closes: true };
            let _ = shared.http.send(&request, Body::None, &Stop::default());
            drop(sender);
        };
        if Builder::new().spawn(cancel).is_ok() {
            let _ = receiver.recv_timeout(CANCEL_TIMEOUT);
        }
    }

    /// Reads the session that an answer names; without a location the one before goes on.
    fn session(&self, answer: &Answer, before: Option<&UploadSession>) -> Result<UploadSession, Failure> {
        let smallest_chunk = answer
            .header("oci-chunk-min-length")
            .and_then(|length| length.trim().parse().ok())
            .or(before.and_then(|before| before.smallest_chunk));
        let location = match (answer.header("location"), before) {
            (Some(location), _) => self.guard().location(&answer.url, location).map_err(Failure::lasting)?,
            (None, Some(before)) => before.location.clone(),
            (None, None) => {
                return Err(Failure::lasting(self.odd("began an upload without saying where it goes on")));
            }
        };
        Ok(UploadSession { location, smallest_chunk })
    }
}

/// Reads the last offset of a `Range` of uploads: `0-N`, with or without a unit.
fn range_end(range: &str) -> Option<u64> {
    let range = range.trim();
    let range = range.strip_prefix("bytes=").or_else(|| range.strip_prefix("bytes ")).unwrap_or(range);
    let (start, end) = range.split_once('-')?;
    (start == "0").then(|| end.parse().ok()).flatten().filter(|end| *end < u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_uploads_are_read() {
        for (range, expected) in [
            ("0-0", Some(0)),
            ("0-1023", Some(1023)),
            ("bytes=0-9", Some(9)),
            ("1-9", None),
            ("0--1", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(range_end(range), expected, "{range}");
        }
    }
}
