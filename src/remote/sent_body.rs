//! The body of a request on its way.

use std::io::{self, Read};
use std::time::Instant;

/// Where the bytes of a body come from.
pub(super) enum SentFrom<'a> {
    Bytes(&'a [u8]),
    Reader(&'a mut dyn Read),
}

/// Reads the body of a request, and remembers how that ended. A body that ends too early is an error: without one, the
/// server would wait for the rest for ever.
pub(super) struct SentBody<'a> {
    from: SentFrom<'a>,
    left: u64,
    pub(super) sent: u64,
    pub(super) first_read: Option<Instant>,
    pub(super) failed: Option<io::Error>,
}

impl<'a> SentBody<'a> {
    pub(super) fn new(from: SentFrom<'a>, length: u64) -> Self {
        Self { from, left: length, sent: 0, first_read: None, failed: None }
    }
}

impl Read for SentBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.first_read.get_or_insert_with(Instant::now);
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = match &mut self.from {
            SentFrom::Bytes(bytes) => bytes.read(&mut buffer[..wanted]),
            SentFrom::Reader(reader) => reader.read(&mut buffer[..wanted]),
        };
        match read {
            Ok(0) => {
                self.failed = Some(io::ErrorKind::UnexpectedEof.into());
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(read) => {
                self.left -= read as u64;
                self.sent += read as u64;
                Ok(read)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}
