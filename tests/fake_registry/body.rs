//! The body of a request, read as it is asked for, and cut or held where a rule says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::http::{Framing, Request, Stream};

/// The longest line that starts a chunk.
const LONGEST_LINE: u64 = 4096;

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyError {
    /// The client or a rule closed the connection.
    Cut,
    /// A rule says that no more is read, and that the connection stays open.
    Stalled,
    /// A chunked body passes the limit.
    TooLarge,
    /// The framing of a chunked body is wrong.
    Malformed,
}

/// What becomes of a body while it is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BodyPlan {
    /// Closes the connection when so many bytes were read and more are due.
    pub(crate) cut_after: Option<u64>,
    /// Reads no further than this.
    pub(crate) stall_after: Option<u64>,
    /// The most that a body may have.
    pub(crate) limit: Option<u64>,
    /// Reads no more than so many bytes at once, with a pause before each of these pieces.
    pub(crate) drip: Option<(usize, Duration)>,
    /// Whether `100 Continue` is sent before the first byte is read.
    pub(crate) sends_continue: bool,
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    reader: &'a mut BufReader<Stream>,
    framing: Framing,
    /// What is left of the body, or of the chunk.
    left: u64,
    is_first_chunk: bool,
    is_done: bool,
    read: u64,
    plan: BodyPlan,
    failure: Option<BodyError>,
    total: &'a AtomicU64,
}

impl<'a> Body<'a> {
    /// Creates the body of a request whose head was read.
    pub(crate) fn new(
        reader: &'a mut BufReader<Stream>,
        request: &Request,
        plan: BodyPlan,
        total: &'a AtomicU64,
    ) -> Self {
        let framing = request.framing();
        let (left, is_done) = match framing {
            Framing::None => (0, true),
            Framing::Length(length) => (length, length == 0),
            Framing::Chunked => (0, false),
        };
        Self { reader, framing, left, is_first_chunk: true, is_done, read: 0, plan, failure: None, total }
    }

    /// Returns how the body ends.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns the number of bytes that were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Returns whether every byte was read.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Returns why the body ended early, if it did.
    pub(crate) fn failure(&self) -> Option<BodyError> {
        self.failure
    }

    /// Returns whether the client still waits for `100 Continue`.
    pub(crate) fn is_awaited(&self) -> bool {
        self.plan.sends_continue && !self.is_done
    }

    /// Reads some bytes; none at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BodyError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let result = self.read_some(buffer);
        if let Err(failure) = result {
            self.failure = Some(failure);
        }
        result
    }

    /// Reads the rest, which may not be longer than a limit.
    pub(crate) fn read_all(&mut self, limit: u64) -> Result<Vec<u8>, BodyError> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = self.read(&mut buffer)?;
            if read == 0 {
                return Ok(all);
            }
            all.extend_from_slice(&buffer[..read]);
            if all.len() as u64 > limit {
                return Err(BodyError::TooLarge);
            }
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, BodyError> {
        if self.is_done {
            return Ok(0);
        }
        if std::mem::take(&mut self.plan.sends_continue) {
            let stream = self.reader.get_mut();
            let sent = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").and_then(|()| stream.flush());
            sent.map_err(|_| BodyError::Cut)?;
        }
        if self.framing == Framing::Chunked && self.left == 0 {
            self.next_chunk()?;
            if self.is_done {
                return Ok(0);
            }
        }
        let mut most = self.left.min(buffer.len() as u64);
        for (end, failure) in [(self.plan.cut_after, BodyError::Cut), (self.plan.stall_after, BodyError::Stalled)] {
            let Some(end) = end else { continue };
            if self.read >= end {
                return Err(failure);
            }
            most = most.min(end - self.read);
        }
        let mut most = usize::try_from(most).expect("no more than the buffer");
        if let Some((piece, pause)) = self.plan.drip {
            std::thread::sleep(pause);
            most = most.min(piece);
        }
        let read = self.reader.read(&mut buffer[..most]).map_err(|_| BodyError::Cut)?;
        if read == 0 {
            return Err(BodyError::Cut);
        }
        self.read += read as u64;
        self.left -= read as u64;
        self.total.fetch_add(read as u64, Ordering::Relaxed);
        self.is_done = self.left == 0 && self.framing != Framing::Chunked;
        if self.plan.limit.is_some_and(|limit| self.read > limit) {
            return Err(BodyError::TooLarge);
        }
        Ok(read)
    }

    /// Reads the line that starts a chunk, and at the last one the trailers.
    fn next_chunk(&mut self) -> Result<(), BodyError> {
        if !std::mem::take(&mut self.is_first_chunk) && !self.line()?.is_empty() {
            return Err(BodyError::Malformed);
        }
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(size, 16).map_err(|_| BodyError::Malformed)?;
        if self.left == 0 {
            while !self.line()?.is_empty() {}
            self.is_done = true;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String, BodyError> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(|_| BodyError::Cut)?;
        match bytes.strip_suffix(b"\r\n") {
            Some(line) => String::from_utf8(line.to_vec()).map_err(|_| BodyError::Malformed),
            None if bytes.ends_with(b"\n") || bytes.len() as u64 == LONGEST_LINE => Err(BodyError::Malformed),
            None => Err(BodyError::Cut),
        }
    }
}
