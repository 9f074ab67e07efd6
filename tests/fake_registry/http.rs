//! Requests and answers of HTTP/1.1: the parsing is strict, and everything read is bounded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::tls::Session;

/// The maximum length of a request's head.
const LONGEST_HEAD: u64 = 64 * 1024;

/// A connection with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Session),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(session) => session.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(session) => session.flush(),
        }
    }
}

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with percent signs decoded.
    pub(crate) path: String,
    /// What follows the question mark, as it was sent.
    pub(crate) query: String,
    /// The headers in their order, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The number of the connection, from 1.
    pub(crate) connection: u64,
    /// When the head had come, counted from the start of the server.
    pub(crate) at: Duration,
    /// The port that the request came to.
    pub(crate) port: u16,
    /// Whether the request came over TLS.
    pub(crate) is_secure: bool,
    /// Whether a rule says that the request's token expires before it is looked at.
    pub(crate) expires_token: bool,
    /// Whether the client speaks HTTP/1.0.
    pub(crate) is_old: bool,
}

impl Request {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the decoded values of a parameter of the query, in their order.
    pub(crate) fn parameters(&self, name: &str) -> Vec<String> {
        pairs(&self.query).into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// Returns the decoded first value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).into_iter().next()
    }

    /// Returns the path and the query.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// Returns the scheme, host and port that the client used.
    pub(crate) fn base(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}", self.header("host").unwrap_or_default())
    }

    /// Returns whether the client waits for `100 Continue`.
    pub(crate) fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Returns whether the client closes the connection after the answer.
    pub(crate) fn closes(&self) -> bool {
        let connection = self.header("connection").unwrap_or_default().to_ascii_lowercase();
        connection.split(',').any(|word| word.trim() == "close") || self.is_old && connection != "keep-alive"
    }

    /// Returns how the body ends.
    pub(crate) fn framing(&self) -> Framing {
        match (self.header("transfer-encoding"), self.header("content-length")) {
            (Some(_), _) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().expect("checked when the head was read")),
            (None, None) => Framing::None,
        }
    }
}

/// How the body of a request ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// There is neither a length nor an encoding.
    None,
    Length(u64),
    Chunked,
}

/// Splits a query or a form into its decoded pairs.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Decodes percent signs.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes a value of a query.
pub(crate) fn encode(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Why a head could not be read.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The head is wrong: the status and a reason.
    Bad(u16, String),
    Lost,
}

fn bad(reason: impl Into<String>) -> HeadError {
    HeadError::Bad(400, reason.into())
}

fn line(reader: &mut BufReader<Stream>, left: &mut u64) -> Result<Option<String>, HeadError> {
    let mut bytes = Vec::new();
    let read = reader.by_ref().take(*left).read_until(b'\n', &mut bytes).map_err(|_| HeadError::Lost)?;
    *left -= read as u64;
    if bytes.pop() != Some(b'\n') {
        return match (*left, read) {
            (0, _) => Err(HeadError::Bad(431, "the head is too long".to_owned())),
            (_, 0) => Ok(None),
            _ => Err(HeadError::Lost),
        };
    }
    if bytes.pop() != Some(b'\r') {
        return Err(bad("a line does not end with CR LF"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| bad("the head is not UTF-8"))
}

/// Reads the head of the next request; none at the end of the connection.
pub(crate) fn read_head(reader: &mut BufReader<Stream>) -> Result<Option<Request>, HeadError> {
    let mut left = LONGEST_HEAD;
    let Some(first) = line(reader, &mut left)? else { return Ok(None) };
    let words: Vec<&str> = first.split(' ').collect();
    let &[method, target, version] = words.as_slice() else { return Err(bad("the request line has not three words")) };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(HeadError::Bad(505, format!("unknown version {version:?}")));
    }
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(bad("the method is wrong"));
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
    if !target.starts_with('/') || !target.bytes().all(is_plain) {
        return Err(bad("the target is not a path"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: decode(path),
        query: query.to_owned(),
        is_old: version == "HTTP/1.0",
        ..Request::default()
    };
    loop {
        let text = line(reader, &mut left)?.ok_or(HeadError::Lost)?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').ok_or_else(|| bad("a header has no colon"))?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) || value.chars().any(|sign| sign != '\t' && sign.is_control())
        {
            return Err(bad("a header is wrong"));
        }
        request.headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    check(&request)?;
    Ok(Some(request))
}

/// Checks the headers that may stand once only, and the framing.
fn check(request: &Request) -> Result<(), HeadError> {
    let count = |name: &str| request.headers.iter().filter(|(key, _)| key == name).count();
    for name in ["content-length", "transfer-encoding", "content-range", "content-type", "authorization", "expect"] {
        if count(name) > 1 {
            return Err(bad(format!("{name} stands twice")));
        }
    }
    if count("host") != 1 || request.header("host") == Some("") {
        return Err(bad("there is not one Host"));
    }
    if let Some(encoding) = request.header("transfer-encoding") {
        if !encoding.eq_ignore_ascii_case("chunked") {
            return Err(HeadError::Bad(501, "unknown transfer encoding".to_owned()));
        }
        if count("content-length") > 0 || request.is_old {
            return Err(bad("a chunked body has a length or an old version"));
        }
    }
    if let Some(length) = request.header("content-length") {
        let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || length.parse::<u64>().is_err() {
            return Err(bad("the Content-Length is no number"));
        }
    }
    match request.header("expect") {
        Some(expectation) if !expectation.eq_ignore_ascii_case("100-continue") => {
            Err(HeadError::Bad(417, "unknown expectation".to_owned()))
        }
        _ => Ok(()),
    }
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Bytes(Arc<Vec<u8>>),
    /// A part of stored bytes: the first and the number.
    Part(Arc<Vec<u8>>, u64, u64),
    /// A part of a file: the first byte and the number.
    File(PathBuf, u64, u64),
}

impl Payload {
    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part(_, _, length) | Self::File(_, _, length) => *length,
        }
    }

    /// Opens the bytes for reading.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read>> {
        let part = |bytes: &Arc<Vec<u8>>, first: u64, length: u64| {
            let mut cursor = io::Cursor::new(Shared(Arc::clone(bytes)));
            cursor.set_position(first);
            cursor.take(length)
        };
        match self {
            Self::Bytes(bytes) => Ok(Box::new(part(bytes, 0, bytes.len() as u64))),
            Self::Part(bytes, first, length) => Ok(Box::new(part(bytes, *first, *length))),
            Self::File(path, first, length) => {
                let mut file = File::open(path)?;
                io::Seek::seek(&mut file, io::SeekFrom::Start(*first))?;
                Ok(Box::new(file.take(*length)))
            }
        }
    }
}

/// Shared bytes that a cursor can read.
#[derive(Debug)]
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An answer before the rules have changed it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Payload,
}

impl Answer {
    /// Creates an answer without a body.
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Payload::Bytes(Arc::default()) }
    }

    /// Creates an answer with a JSON body.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status).header("Content-Type", "application/json").body(body.to_string())
    }

    /// Creates the distribution-spec's error answer.
    pub(crate) fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::json(status, &serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] }))
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Payload::Bytes(Arc::new(body.into()));
        self
    }

    /// Replaces a header, or removes it.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        if let Some(value) = value {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Returns the value of a header.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Returns the reason phrase of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}
