//! Upload sessions: POST, PATCH, PUT, GET and DELETE of `/v2/NAME/blobs/uploads/`.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::body::{Body, BodyError};
use super::http::{Answer, Framing, Request};
use super::options::{Bodies, Mounts, Options};
use super::registry::Registry;
use super::server::lock;
use super::store::{Content, State, digest_like, hex, is_digest, is_name};

/// How long a request waits for another one of the same session.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session as it is shown to tests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SessionInfo {
    pub(crate) id: String,
    pub(crate) repository: String,
    /// The number of bytes received.
    pub(crate) offset: u64,
}

/// An upload session.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) repository: String,
    pub(crate) received: Received,
    /// The states that were given out, the newest last.
    states: Vec<String>,
    /// Whether a request is at work on it.
    is_busy: bool,
    /// Whether the POST had `Content-Length: 0`, which chunks need.
    allows_chunks: bool,
    /// Whether a chunk below the minimum was the last.
    has_ended: bool,
}

/// The bytes of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    bytes: Vec<u8>,
    pub(crate) length: u64,
    hash: Sha256,
}

impl Received {
    fn add(&mut self, bytes: &[u8], bodies: Bodies) {
        if bodies == Bodies::Keep {
            self.bytes.extend_from_slice(bytes);
        }
        if bodies != Bodies::Count {
            self.hash.update(bytes);
        }
        self.length += bytes.len() as u64;
    }

    /// Reads a body to its end, or until it is cut.
    fn read(&mut self, body: &mut Body<'_>, bodies: Bodies) -> Result<(), BodyError> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match body.read(&mut buffer)? {
                0 => return Ok(()),
                read => self.add(&buffer[..read], bodies),
            }
        }
    }

    /// Returns the bytes as a blob, if they have a digest.
    fn finish(self, digest: &str, bodies: Bodies) -> Option<Content> {
        let is_right = match bodies {
            Bodies::Count => true,
            Bodies::Keep if digest.starts_with("sha512:") => digest_like(&self.bytes, digest) == digest,
            Bodies::Keep | Bodies::Hash => format!("sha256:{}", hex(&self.hash.finalize())) == digest,
        };
        let content = || match bodies {
            Bodies::Keep => Content::Bytes(Arc::new(self.bytes)),
            Bodies::Hash | Bodies::Count => Content::Gone(self.length),
        };
        is_right.then(content)
    }
}

/// Returns digits that no other call returns, in this process or another one.
fn fresh(length: usize) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let seed = RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed));
    hex(&Sha256::digest(seed.to_le_bytes()))[..length].to_owned()
}

fn unknown() -> Answer {
    Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "there is no such session")
}

fn invalid(message: &str) -> Answer {
    Answer::error(400, "BLOB_UPLOAD_INVALID", message)
}

/// The answer for a body that did not come whole; the server replaces it, or closes the connection.
fn broken() -> Answer {
    Answer::error(400, "BLOB_UPLOAD_INVALID", "the body is not whole")
}

/// Parses a Content-Range by `^[0-9]+-[0-9]+$`.
fn content_range(value: &str) -> Option<(u64, u64)> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    let (first, last) = value.split_once('-')?;
    Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
}

/// Returns why the type of a body is wrong, if it is.
fn wrong_type(request: &Request) -> Option<Answer> {
    match request.header("content-type") {
        Some("application/octet-stream") => None,
        found => Some(invalid(&format!("the Content-Type is {found:?} and not application/octet-stream"))),
    }
}

/// A session that a request has to itself.
struct Claim {
    id: String,
    received: Received,
    allows_chunks: bool,
    has_ended: bool,
}

impl Registry {
    /// POST: mounts, takes a whole blob, or begins a session.
    pub(crate) fn begin(&self, name: &str, request: &Request, body: &mut Body<'_>) -> Answer {
        let options = self.options();
        if let Some(digest) = request.parameter("mount") {
            if let Some(answer) = self.mount(name, &digest, request, &options) {
                return answer;
            }
        } else if let Some(digest) = request.parameter("digest") {
            if !is_digest(&digest) {
                return Answer::error(400, "DIGEST_INVALID", "the digest is wrong");
            }
            if options.has_single_post {
                return self.single_post(name, &digest, request, body, &options);
            }
        } else if !matches!(body.framing(), Framing::None | Framing::Length(0)) {
            return invalid("a POST without a digest has no body");
        }
        let id = format!("{}-{}-4{}-8{}-{}", fresh(8), fresh(4), fresh(3), fresh(3), fresh(12));
        let upload = Upload {
            repository: name.to_owned(),
            received: Received::default(),
            states: Vec::new(),
            is_busy: false,
            allows_chunks: body.framing() == Framing::Length(0),
            has_ended: false,
        };
        let mut state = lock(&self.state);
        state.repository(name);
        state.uploads.insert(id.clone(), upload);
        let answer = self.describe(&mut state, &id, request, 202);
        match options.chunk_min_length {
            Some(length) => answer.header("OCI-Chunk-Min-Length", length.to_string()),
            None => answer,
        }
    }

    fn mount(&self, name: &str, digest: &str, request: &Request, options: &Options) -> Option<Answer> {
        if !is_digest(digest) {
            return Some(Answer::error(400, "DIGEST_INVALID", "the digest is wrong"));
        }
        let from = request.parameter("from");
        if from.as_deref().is_some_and(|from| !is_name(from)) {
            return Some(Answer::error(400, "NAME_INVALID", "the name of the other repository is wrong"));
        }
        match options.mounts {
            Mounts::Disabled => return None,
            Mounts::Refused(status) => return Some(Answer::error(status, "UNSUPPORTED", "mounts are refused")),
            Mounts::Enabled | Mounts::Anywhere => {}
        }
        let mut state = lock(&self.state);
        let found = match from {
            Some(from) => state.blob(&from, digest).cloned(),
            None if options.mounts == Mounts::Anywhere => {
                state.repositories.values().find_map(|repository| repository.blobs.get(digest)).cloned()
            }
            None => None,
        };
        let content = found?;
        state.repository(name).blobs.insert(digest.to_owned(), content);
        Some(self.created(name, digest, request))
    }

    fn single_post(
        &self,
        name: &str,
        digest: &str,
        request: &Request,
        body: &mut Body<'_>,
        options: &Options,
    ) -> Answer {
        let Framing::Length(_) = body.framing() else {
            return Answer::error(411, "SIZE_INVALID", "there is no Content-Length");
        };
        if let Some(answer) = wrong_type(request) {
            return answer;
        }
        let mut received = Received::default();
        if received.read(body, options.bodies).is_err() {
            return broken();
        }
        match received.finish(digest, options.bodies) {
            Some(content) => {
                lock(&self.state).repository(name).blobs.insert(digest.to_owned(), content);
                self.created(name, digest, request)
            }
            None => Answer::error(400, "DIGEST_INVALID", "the digest does not match the body"),
        }
    }

    /// PATCH: takes a chunk, or a whole blob without a Content-Range.
    pub(crate) fn patch(&self, name: &str, id: &str, request: &Request, body: &mut Body<'_>) -> Answer {
        let options = self.options();
        if let Some(status) = options.no_chunks {
            return Answer::error(status, "UNSUPPORTED", "there are no chunks");
        }
        let mut claim = match self.claim(name, id, request) {
            Ok(claim) => claim,
            Err(answer) => return answer,
        };
        if let Err(answer) = self.check_chunk(&claim, request, body, &options) {
            return self.put_back(claim, answer);
        }
        if let Err(answer) = self.receive(&mut claim, request, body, &options) {
            return answer;
        }
        claim.has_ended = options.chunk_min_length.is_some_and(|length| body.bytes_read() < length);
        let mut state = lock(&self.state);
        self.release(&mut state, claim, true);
        self.describe(&mut state, id, request, 202)
    }

    /// Checks the head of a PATCH.
    fn check_chunk(&self, claim: &Claim, request: &Request, body: &Body<'_>, options: &Options) -> Result<(), Answer> {
        if body.framing() == Framing::None {
            return Err(Answer::error(411, "SIZE_INVALID", "there is no Content-Length"));
        }
        if let Some(answer) = wrong_type(request) {
            return Err(answer);
        }
        if !claim.allows_chunks {
            return Err(invalid("the POST had no 'Content-Length: 0'"));
        }
        if claim.has_ended {
            let least = options.chunk_min_length.unwrap_or_default();
            return Err(Answer::error(400, "SIZE_INVALID", format!("the chunk before was smaller than {least}")));
        }
        if request.header("content-range").is_none() && claim.received.length > 0 {
            return Err(invalid("there is no Content-Range"));
        }
        self.check_range(claim, request, body)
    }

    /// Checks the Content-Range, if there is one, against the offset and the length of the body.
    fn check_range(&self, claim: &Claim, request: &Request, body: &Body<'_>) -> Result<(), Answer> {
        let Some(value) = request.header("content-range") else { return Ok(()) };
        let (first, last) =
            content_range(value).ok_or_else(|| invalid("the Content-Range does not match ^[0-9]+-[0-9]+$"))?;
        if first != claim.received.length {
            let mut state = lock(&self.state);
            // The offset is told while the session is claimed: nothing else can change it.
            let answer = self.locate(
                &mut state,
                &claim.id,
                request,
                Answer::error(
                    416,
                    "BLOB_UPLOAD_INVALID",
                    format!("the chunk begins at {first} and not at {}", claim.received.length),
                ),
            );
            return Err(answer.header("Range", range_of(claim.received.length)));
        }
        match body.framing() {
            Framing::Length(length) if last - first + 1 != length => {
                Err(Answer::error(400, "SIZE_INVALID", "the Content-Range and the Content-Length disagree"))
            }
            _ => Ok(()),
        }
    }

    /// Reads a body into a session. After an error the session is what the options make of it.
    fn receive(
        &self,
        claim: &mut Claim,
        request: &Request,
        body: &mut Body<'_>,
        options: &Options,
    ) -> Result<(), Answer> {
        let before = (options.bodies != Bodies::Keep).then(|| claim.received.clone());
        let start = claim.received.length;
        let rewind = |received: &mut Received| match &before {
            Some(before) => received.clone_from(before),
            None => {
                received.bytes.truncate(usize::try_from(start).expect("in memory"));
                received.length = start;
                received.hash = Sha256::new_with_prefix(&received.bytes);
            }
        };
        let mut whole = claim.received.read(body, options.bodies);
        let declared = request.header("content-range").and_then(content_range);
        let is_short = whole.is_ok() && declared.is_some_and(|(first, last)| last - first + 1 != body.bytes_read());
        if is_short || whole == Err(BodyError::TooLarge) {
            // Refused as a whole, so it counts for nothing.
            rewind(&mut claim.received);
            whole = Err(BodyError::TooLarge);
        }
        let Err(error) = whole else { return Ok(()) };
        let lives = error == BodyError::TooLarge || options.keeps_cut_uploads || body.bytes_read() == 0;
        let taken = Claim {
            id: claim.id.clone(),
            received: std::mem::take(&mut claim.received),
            allows_chunks: claim.allows_chunks,
            has_ended: claim.has_ended,
        };
        self.release(&mut lock(&self.state), taken, lives);
        Err(if is_short { Answer::error(400, "SIZE_INVALID", "the chunk has another length") } else { broken() })
    }

    /// PUT: closes a session, perhaps with the last bytes.
    pub(crate) fn finish(&self, name: &str, id: &str, request: &Request, body: &mut Body<'_>) -> Answer {
        let options = self.options();
        let mut claim = match self.claim(name, id, request) {
            Ok(claim) => claim,
            Err(answer) => return answer,
        };
        let digest = request.parameter("digest").unwrap_or_default();
        let checked = if is_digest(&digest) {
            self.check_closing(&claim, request, body, &options)
        } else {
            Err(Answer::error(400, "DIGEST_INVALID", "the digest is missing or wrong"))
        };
        if let Err(answer) = checked {
            return self.put_back(claim, answer);
        }
        if let Err(answer) = self.receive(&mut claim, request, body, &options) {
            return answer;
        }
        let mut state = lock(&self.state);
        state.uploads.remove(id);
        self.changed.notify_all();
        match claim.received.finish(&digest, options.bodies) {
            Some(content) => {
                state.repository(name).blobs.insert(digest.clone(), content);
                self.created(name, &digest, request)
            }
            None => Answer::error(400, "DIGEST_INVALID", "the digest does not match the bytes"),
        }
    }

    /// Checks the head of a PUT.
    fn check_closing(
        &self,
        claim: &Claim,
        request: &Request,
        body: &Body<'_>,
        options: &Options,
    ) -> Result<(), Answer> {
        if matches!(body.framing(), Framing::Length(0)) {
            return Ok(());
        }
        if body.framing() == Framing::None {
            return Err(Answer::error(411, "SIZE_INVALID", "there is no Content-Length"));
        }
        if let Some(answer) = wrong_type(request) {
            return Err(answer);
        }
        if claim.has_ended {
            let least = options.chunk_min_length.unwrap_or_default();
            return Err(Answer::error(400, "SIZE_INVALID", format!("the chunk before was smaller than {least}")));
        }
        if request.header("content-range").is_none() && claim.received.length > 0 {
            return Err(invalid("there is no Content-Range"));
        }
        self.check_range(claim, request, body)
    }

    /// GET: tells how far a session is.
    pub(crate) fn status(&self, name: &str, id: &str, request: &Request) -> Answer {
        let is_any_state = self.options().keeps_cut_uploads;
        let mut state = lock(&self.state);
        loop {
            if let Err(answer) = find(&state, name, id, request, is_any_state) {
                return answer;
            }
            if !state.uploads[id].is_busy {
                break;
            }
            let (next, timeout) = self.changed.wait_timeout(state, PATIENCE).expect("not poisoned");
            state = next;
            if timeout.timed_out() {
                return Answer::error(409, "BLOB_UPLOAD_INVALID", "the session is in use");
            }
        }
        self.describe(&mut state, id, request, 204)
    }

    /// DELETE: ends a session.
    pub(crate) fn cancel(&self, name: &str, id: &str, request: &Request) -> Answer {
        let is_any_state = self.options().keeps_cut_uploads;
        let mut state = lock(&self.state);
        if let Err(answer) = find(&state, name, id, request, is_any_state) {
            return answer;
        }
        state.uploads.remove(id);
        self.changed.notify_all();
        Answer::new(204)
    }

    /// Takes a session for a request that changes it.
    fn claim(&self, name: &str, id: &str, request: &Request) -> Result<Claim, Answer> {
        let mut state = lock(&self.state);
        loop {
            find(&state, name, id, request, false)?;
            let upload = state.uploads.get_mut(id).expect("it was found");
            if !upload.is_busy {
                upload.is_busy = true;
                return Ok(Claim {
                    id: id.to_owned(),
                    received: std::mem::take(&mut upload.received),
                    allows_chunks: upload.allows_chunks,
                    has_ended: upload.has_ended,
                });
            }
            let (next, timeout) = self.changed.wait_timeout(state, PATIENCE).expect("not poisoned");
            state = next;
            if timeout.timed_out() {
                return Err(Answer::error(409, "BLOB_UPLOAD_INVALID", "the session is in use"));
            }
        }
    }

    /// Gives a session back, or ends it.
    fn release(&self, state: &mut State, claim: Claim, lives: bool) {
        // A session that was cancelled meanwhile stays cancelled.
        if let Some(upload) = state.uploads.get_mut(&claim.id) {
            upload.is_busy = false;
            upload.received = claim.received;
            upload.has_ended = claim.has_ended;
            if !lives {
                state.uploads.remove(&claim.id);
            }
        }
        self.changed.notify_all();
    }

    /// Gives an unchanged session back.
    fn put_back(&self, claim: Claim, answer: Answer) -> Answer {
        self.release(&mut lock(&self.state), claim, true);
        answer
    }

    /// Answers with a session's newest Location and its range.
    fn describe(&self, state: &mut State, id: &str, request: &Request, status: u16) -> Answer {
        let Some(upload) = state.uploads.get(id) else { return unknown() };
        let range = range_of(upload.received.length);
        let answer = Answer::new(status).header("Range", range).header("Docker-Upload-UUID", id);
        self.locate(state, id, request, answer)
    }

    /// Adds a new Location of a session to an answer.
    fn locate(&self, state: &mut State, id: &str, request: &Request, answer: Answer) -> Answer {
        let Some(upload) = state.uploads.get_mut(id) else { return answer };
        let next = fresh(32);
        let location = format!("/v2/{}/blobs/uploads/{id}?_state={next}", upload.repository);
        upload.states.push(next);
        answer.header("Location", self.location(request, &location))
    }

    /// Answers that a blob is there.
    fn created(&self, name: &str, digest: &str, request: &Request) -> Answer {
        Answer::new(201)
            .header("Location", self.location(request, &format!("/v2/{name}/blobs/{digest}")))
            .header("Docker-Content-Digest", digest)
    }
}

/// Returns the Range of a session, in which nothing and a single byte look the same.
fn range_of(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

/// Checks that a session exists in a repository, and that the request has a valid state.
fn find(state: &State, name: &str, id: &str, request: &Request, is_any_state: bool) -> Result<(), Answer> {
    let upload = state.uploads.get(id).filter(|upload| upload.repository == name).ok_or_else(unknown)?;
    let sent = request.parameter("_state").ok_or_else(|| invalid("the Location lacks its state"))?;
    let is_known = upload.states.contains(&sent);
    let is_newest = upload.states.last() == Some(&sent);
    if !is_known {
        return Err(invalid("the state of the Location is wrong"));
    }
    if !is_newest && !is_any_state {
        return Err(Answer::error(404, "BLOB_UPLOAD_INVALID", "the Location is not the newest"));
    }
    Ok(())
}
