//! The bits of a stream that is read.

use std::io::{self, BufRead, Read};

use super::codes::BitSource;

/// Reads bits, and then bytes, from a reader.
///
/// It takes up to seven bytes from the reader before they are needed. So at least seven bytes must follow a deflate stream,
/// and be read from here: those of a gzip member's trailer.
pub(super) struct BitReader<R> {
    pub(super) reader: R,
    /// The next bits. Those above `count` are 0.
    pub(super) bits: u64,
    /// The number of these bits, at most 63.
    pub(super) count: u32,
}

impl<R: BufRead> BitReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, bits: 0, count: 0 }
    }

    /// Returns the bytes that the reader has buffered, an empty slice at its end.
    pub(super) fn buffered(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                // Another call would ask the reader again.
                Ok([]) => return Ok(&[]),
                Ok(_) => return self.reader.fill_buf(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds bytes until there are `count` bits, or the reader is at its end.
    fn fill(&mut self, count: u32) -> io::Result<()> {
        if let Some(bytes) = self.buffered()?.first_chunk() {
            let next = u64::from_le_bytes(*bytes);
            let fitting = (63 - self.count) / 8;
            self.bits |= next << self.count;
            self.count += fitting * 8;
            self.bits &= low_bits(self.count);
            self.reader.consume(fitting as usize);
            return Ok(());
        }
        while self.count < count {
            let Some(byte) = self.buffered()?.first().copied() else { break };
            self.reader.consume(1);
            self.bits |= u64::from(byte) << self.count;
            self.count += 8;
        }
        Ok(())
    }

    /// Skips the rest of a byte.
    pub(super) fn align(&mut self) {
        self.bits >>= self.count % 8;
        self.count -= self.count % 8;
    }
}

/// Reads bytes, after [`BitReader::align`].
impl<R: BufRead> Read for BitReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.count == 0 {
            let read = self.buffered()?.read(buffer)?;
            self.reader.consume(read);
            return Ok(read);
        }
        let mut read = 0;
        while self.count > 0 && read < buffer.len() {
            buffer[read] = self.bits as u8;
            self.bits >>= 8;
            self.count -= 8;
            read += 1;
        }
        Ok(read)
    }
}

/// The error for a stream that ends too early.
pub(super) fn incomplete() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete deflate stream")
}

/// Returns a mask of the lowest bits, fewer than 64.
pub(super) fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

impl<R: BufRead> BitSource for BitReader<R> {
    type Error = io::Error;

    fn peek(&mut self, count: u32) -> io::Result<u64> {
        if self.count < count {
            self.fill(count)?;
        }
        Ok(self.bits)
    }

    fn skip(&mut self, count: u32) -> io::Result<()> {
        if self.count < count {
            return Err(incomplete());
        }
        self.bits >>= count;
        self.count -= count;
        Ok(())
    }

    fn corrupt() -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream")
    }
}
