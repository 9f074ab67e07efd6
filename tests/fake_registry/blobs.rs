//! GET, HEAD and DELETE of `/v2/NAME/blobs/DIGEST`.

use super::http::{Answer, Request};
use super::registry::Registry;
use super::server::lock;

impl Registry {
    /// GET and HEAD of a blob, or of a part of it.
    pub(crate) fn blob(&self, name: &str, digest: &str, request: &Request) -> Answer {
        let Some(content) = lock(&self.state).blob(name, digest).cloned() else {
            return Answer::error(404, "BLOB_UNKNOWN", "there is no such blob");
        };
        let options = self.options();
        let answer = serve(request, &content, options.has_ranges);
        match request.method.as_str() {
            "HEAD" if !options.has_head_digest => answer,
            _ => answer.header("Docker-Content-Digest", digest),
        }
    }

    /// DELETE of a blob.
    pub(crate) fn delete_blob(&self, name: &str, digest: &str) -> Answer {
        let mut state = lock(&self.state);
        match state.repositories.get_mut(name).and_then(|repository| repository.blobs.remove(digest)) {
            Some(_) => Answer::new(202),
            None => Answer::error(404, "BLOB_UNKNOWN", "there is no such blob"),
        }
    }
}

/// Answers with a blob, or with the part that a Range asks for.
pub(crate) fn serve(request: &Request, content: &super::store::Content, has_ranges: bool) -> Answer {
    let length = content.len();
    let range = request.header("range").filter(|_| has_ranges && request.method == "GET");
    let (status, first, count) = match range.and_then(|value| byte_range(value, length)) {
        None => (200, 0, length),
        Some(Some((first, last))) => (206, first, last - first + 1),
        Some(None) => {
            return Answer::error(416, "SIZE_INVALID", "the range is beyond the blob")
                .header("Content-Range", format!("bytes */{length}"));
        }
    };
    let mut answer = Answer::new(status).header("Content-Type", "application/octet-stream");
    if has_ranges {
        answer = answer.header("Accept-Ranges", "bytes");
    }
    if status == 206 {
        answer = answer.header("Content-Range", format!("bytes {first}-{}/{length}", first + count - 1));
    }
    match content.part(first, count) {
        Some(body) => Answer { body, ..answer },
        None if request.method == "HEAD" => answer.header("Content-Length", length.to_string()),
        None => Answer::error(500, "UNKNOWN", "the bytes of this blob were thrown away"),
    }
}

/// Parses a Range: none if it is to be ignored, an inner none if no byte is in it.
fn byte_range(value: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", count) => {
            let count: u64 = count.parse().ok()?;
            (count > 0 && length > 0).then(|| (length.saturating_sub(count), length - 1))
        }
        (first, "") => Some((first.parse().ok()?, length.saturating_sub(1))),
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            Some((first, last.min(length.saturating_sub(1))))
        }
    };
    Some(range.filter(|(first, _)| *first < length))
}
