//! A minimal HTTP client that sends exactly the bytes that a test wants.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended before its length.
    pub(crate) is_cut: bool,
    /// The statuses below 200 that came first, with the number of their headers.
    pub(crate) interim: Vec<(u16, usize)>,
}

impl Reply {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of a header that must be there.
    pub(crate) fn needed(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Returns the code of the distribution-spec's error.
    pub(crate) fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        document["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A request in the making. Without a body it has no Content-Length.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    is_chunked: bool,
}

/// Begins a request. The target may be a whole URL, whose host is ignored.
pub(crate) fn call(method: &str, target: &str) -> Call {
    let target = match target.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/').expect("a path")..],
        None => target,
    };
    Call { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None, is_chunked: false }
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body, and with it a Content-Length.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// Sets a body of `application/octet-stream`.
    pub(crate) fn bytes(self, body: impl AsRef<[u8]>) -> Self {
        self.header("Content-Type", "application/octet-stream").body(body)
    }

    /// Sends the body in two chunks.
    pub(crate) fn chunked(mut self) -> Self {
        self.is_chunked = true;
        self
    }

    fn head(&self, host: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Some(_) if self.is_chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Some(body) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
            None => {}
        }
        head.push_str("\r\n");
        head
    }

    fn payload(&self) -> Vec<u8> {
        let body = self.body.clone().unwrap_or_default();
        if !self.is_chunked {
            return body;
        }
        let mut payload = Vec::new();
        let (first, second) = body.split_at(body.len() / 2);
        for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
            payload.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            payload.extend_from_slice(part);
            payload.extend_from_slice(b"\r\n");
        }
        payload.extend_from_slice(b"0\r\n\r\n");
        payload
    }

    /// Sends the request on a new connection.
    pub(crate) fn send(&self, host: &str) -> Reply {
        self.try_send(host).unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.target))
    }

    /// Sends the request on a new connection, and returns an error if there is no answer.
    pub(crate) fn try_send(&self, host: &str) -> io::Result<Reply> {
        Connection::open(host).send(self)
    }
}

/// A connection, plain or with a stream of TLS around it.
#[derive(Debug)]
pub(crate) struct Connection<S: Read + Write> {
    reader: BufReader<S>,
    host: String,
}

impl Connection<TcpStream> {
    pub(crate) fn open(host: &str) -> Self {
        let stream = TcpStream::connect(host).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        Self::over(stream, host)
    }

    /// Waits no longer than this for bytes.
    pub(crate) fn patience(&self, time: Duration) {
        self.reader.get_ref().set_read_timeout(Some(time)).expect("set");
    }
}

impl Connection<StreamOwned<ClientConnection, TcpStream>> {
    /// Shakes hands, and reads no answer.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        let StreamOwned { conn, sock } = self.reader.get_mut();
        while conn.is_handshaking() {
            conn.complete_io(sock)?;
        }
        Ok(())
    }
}

impl<S: Read + Write> Connection<S> {
    pub(crate) fn over(stream: S, host: &str) -> Self {
        Self { reader: BufReader::new(stream), host: host.to_owned() }
    }

    pub(crate) fn stream(&mut self) -> &mut S {
        self.reader.get_mut()
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(&mut self, call: &Call) -> io::Result<Reply> {
        let mut bytes = call.head(&self.host).into_bytes();
        bytes.extend_from_slice(&call.payload());
        // A server that answers early may have closed the connection.
        let _ = self.write(&bytes);
        self.reply(call.method == "HEAD")
    }

    /// Sends a request's head alone.
    pub(crate) fn send_head(&mut self, call: &Call) -> io::Result<()> {
        self.write(call.head(&self.host).as_bytes())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)?;
        self.reader.get_mut().flush()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Waits for an interim answer, sends a body, and reads the answer.
    pub(crate) fn reply_after(&mut self, body: &[u8]) -> io::Result<Reply> {
        let first = self.line()?;
        assert!(first.starts_with("HTTP/1.1 100 ") && self.line()?.is_empty(), "{first}");
        self.write(body)?;
        self.reply(false).map(|reply| Reply { interim: vec![(100, 0)], ..reply })
    }

    /// Reads an answer.
    pub(crate) fn reply(&mut self, is_head: bool) -> io::Result<Reply> {
        let mut interim = Vec::new();
        loop {
            let first = self.line()?;
            let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
            let mut headers = Vec::new();
            loop {
                let line = self.line()?;
                let Some((name, value)) = line.split_once(": ") else { break };
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            if status < 200 {
                interim.push((status, headers.len()));
                continue;
            }
            let mut reply = Reply { status, headers, interim, ..Reply::default() };
            if !is_head && !matches!(status, 204 | 304) {
                reply.is_cut = self.body(&mut reply).is_err();
            }
            return Ok(reply);
        }
    }

    fn body(&mut self, reply: &mut Reply) -> io::Result<()> {
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let length = u64::from_str_radix(&self.line()?, 16).expect("a length");
                (&mut self.reader).take(length).read_to_end(&mut reply.body)?;
                self.line()?;
                if length == 0 {
                    return Ok(());
                }
            }
        }
        let length = reply.header("content-length").map_or(u64::MAX, |length| length.parse().expect("a length"));
        let read = (&mut self.reader).take(length).read_to_end(&mut reply.body)?;
        if (read as u64) < length && length < u64::MAX { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}
