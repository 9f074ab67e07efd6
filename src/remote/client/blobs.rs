//! Blobs: whether they are there, and reading them from any byte on (distribution-spec, end-2).

use super::manifests::content_digest;
use super::{Ask, Client, Payload};
use crate::error::RemoteError;
use crate::oci::{Digest, RepositoryName};
use crate::remote::auth::scope::Scope;
use crate::remote::http::{Answer, AnswerReader, Method};
use crate::remote::retry::Failure;
use crate::remote::url::Url;

/// What a registry says of a blob without sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobState {
    Present,
    Absent,
    /// The registry refuses to be asked in this way.
    Unknown,
}

/// The bytes of a blob, as they come.
pub(crate) struct BlobBody {
    reader: AnswerReader,
    url: Url,
    /// The offset of the first byte.
    pub(crate) start: u64,
}

impl Client {
    /// Asks whether a blob of some size is there (end-2, HEAD).
    ///
    /// # Errors
    ///
    /// The registry is not reachable, or wants other credentials.
    pub(crate) fn head_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
        scope: &Scope,
    ) -> Result<BlobState, RemoteError> {
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"));
        let Some(answer) = self.ask_head(&Ask::new(Method::Head, url, scope))? else {
            return Ok(BlobState::Unknown);
        };
        Ok(match answer.status {
            200 => {
                let said = content_digest(&answer).filter(|said| said.algorithm() == digest.algorithm());
                let length = answer.length();
                // A server that is no registry may answer 200 to everything.
                let is_told = said.is_some() || length.is_some();
                let fits = said.is_none_or(|said| said == *digest) && length.is_none_or(|length| length == size);
                if is_told && fits { BlobState::Present } else { BlobState::Unknown }
            }
            404 => BlobState::Absent,
            _ => BlobState::Unknown,
        })
    }

    /// Fetches a blob from an offset on, once. If the registry has no ranges, the body begins at 0.
    ///
    /// # Errors
    ///
    /// A failure; [`RemoteError::BlobNotFound`].
    pub(crate) fn get_blob(
        &self,
        repository: &RepositoryName,
        (digest, size): (&Digest, u64),
        offset: u64,
        scope: &Scope,
    ) -> Result<BlobBody, Failure> {
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"));
        let mut ask = Ask::new(Method::Get, url, scope);
        if offset > 0 {
            ask = ask.with_header("range", format!("bytes={offset}-"));
        }
        let answer = self.ask_once(&ask, Payload::None)?;
        let lasting = |problem: String| Err(Failure::lasting(self.odd(problem)));
        let start = match answer.status {
            200 => 0,
            206 if offset > 0 => match answer.header("content-range").and_then(|range| range_start(range, size)) {
                Some(start) if start == offset => start,
                // Another part than was asked for: the whole of it is asked for instead.
                _ => return self.get_blob(repository, (digest, size), 0, scope),
            },
            416 if offset > 0 => return self.get_blob(repository, (digest, size), 0, scope),
            404 => {
                let (host, digest) = (self.shared.host.to_string(), digest.clone());
                return Err(Failure::lasting(RemoteError::BlobNotFound { host, digest }));
            }
            _ => return Err(Failure::lasting(self.refusal(answer, Method::Get))),
        };
        if let Some(encoding) = answer.header("content-encoding").filter(|encoding| *encoding != "identity") {
            let encoding = answer.shown(encoding);
            return lasting(format!("sent the blob {digest} with the Content-Encoding {encoding}"));
        }
        if let Some(length) = answer.length().filter(|length| *length != size - start) {
            return lasting(format!("sent {length} bytes as the blob {digest}, which has {}", size - start));
        }
        Ok(BlobBody::new(answer, start))
    }

    /// Fetches what a URL outside the registry has, without credentials.
    ///
    /// # Errors
    ///
    /// A failure.
    pub(crate) fn get_foreign(&self, url: &str) -> Result<BlobBody, Failure> {
        let scope = Scope::default();
        let parsed = Url::parse(url).map_err(|error| {
            Failure::lasting(RemoteError::Redirect {
                host: self.shared.host.to_string(),
                url: crate::remote::text::on_one_line(url.split(['?', '@']).next().unwrap_or_default()),
                reason: error.to_string(),
            })
        })?;
        let guard = self.guard();
        if guard.is_registry(&parsed) {
            return Err(Failure::lasting(self.odd("is the host of a URL beside the registry itself")));
        }
        let url = guard.location(&parsed, url).map_err(Failure::lasting)?;
        let answer = self.ask_once(&Ask::new(Method::Get, url, &scope), Payload::None)?;
        match answer.status {
            200 => Ok(BlobBody::new(answer, 0)),
            _ => Err(Failure::lasting(self.refusal(answer, Method::Get))),
        }
    }

    /// Makes the failure of a body that ended too early.
    pub(crate) fn cut_short(&self, digest: &Digest, have: u64, size: u64) -> Failure {
        let problem = format!("ended the blob {digest} after {have} of {size} bytes");
        Failure { is_transient: true, ..Failure::lasting(self.odd(problem)) }
    }

    /// Makes the failure of a body that does not end where it should.
    pub(crate) fn too_long(&self, digest: &Digest, size: u64) -> Failure {
        Failure::lasting(self.odd(format!("sent more than the {size} bytes of the blob {digest}")))
    }

    /// Reads the next bytes of a blob.
    ///
    /// # Errors
    ///
    /// A failure.
    pub(crate) fn read_blob(&self, body: &mut BlobBody, buffer: &mut [u8]) -> Result<usize, Failure> {
        body.reader.next(buffer).map_err(|error| self.broken(&body.url, error))
    }
}

impl BlobBody {
    fn new(answer: Answer, start: u64) -> Self {
        Self { url: answer.url.clone(), reader: answer.reader(), start }
    }

    /// Has the blob be whole before the deadline of documents.
    pub(crate) fn into_document(self) -> Self {
        Self { reader: self.reader.into_document(), ..self }
    }
}

/// Reads the first offset of a `Content-Range`, if the range goes to the end of so many bytes.
fn range_start(range: &str, size: u64) -> Option<u64> {
    let range = range.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']);
    let (span, total) = range.split_once('/')?;
    let (start, end) = span.split_once('-')?;
    let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    let fits = total.trim() == "*" || total.trim().parse() == Ok(size);
    (fits && end.checked_add(1) == Some(size) && start <= end).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_to_the_end_is_taken() {
        for (range, expected) in [
            ("bytes 5-9/10", Some(5)),
            ("bytes 5-9/*", Some(5)),
            ("bytes=5-9/10", Some(5)),
            ("bytes 5-8/10", None),
            ("bytes 5-9/11", None),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("5-9", None),
            ("bytes 5-18446744073709551615/*", None),
        ] {
            assert_eq!(range_start(range, 10), expected, "{range}");
        }
    }
}
