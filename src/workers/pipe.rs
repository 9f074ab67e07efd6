//! A pipe for bytes between two threads, in constant memory.

use std::io::{self, Read, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::pool::Pool;

/// The number of bytes sent to the reader at a time.
const PIECE: usize = 1024 * 1024;

/// The number of pieces that can wait for the reader.
const QUEUE: usize = 2;

/// The write end. Must be finished: if the writer is dropped unfinished, reading fails.
#[derive(Debug)]
pub(crate) struct PipeWriter {
    buffer: Vec<u8>,
    sender: SyncSender<Piece>,
    pool: Arc<Pool>,
}

/// The read end.
#[derive(Debug)]
pub(crate) struct PipeReader {
    piece: io::Cursor<Vec<u8>>,
    receiver: Receiver<Piece>,
    pool: Arc<Pool>,
    is_finished: bool,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Creates a pipe.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, receiver) = sync_channel(QUEUE);
    let pool = Arc::new(Pool::default());
    let reader = PipeReader { piece: io::Cursor::default(), receiver, pool: Arc::clone(&pool), is_finished: false };
    (PipeWriter { buffer: Vec::new(), sender, pool }, reader)
}

impl PipeWriter {
    /// Marks the end of the content.
    ///
    /// # Errors
    ///
    /// An error of kind `BrokenPipe` if the reader was dropped.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(Piece::End)
    }

    /// Writes all content of a reader, read into the pieces themselves.
    ///
    /// # Errors
    ///
    /// Those of the reader; an error of kind `BrokenPipe` if the other end was dropped.
    pub(crate) fn fill_from(&mut self, reader: &mut impl Read) -> io::Result<()> {
        let mut filled = self.buffer.len();
        let mut result = Ok(());
        loop {
            self.buffer.resize(PIECE, 0);
            match reader.read(&mut self.buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            if filled == PIECE {
                self.flush()?;
                filled = 0;
            }
        }
        self.buffer.truncate(filled);
        result
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        self.sender.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut empty = self.pool.take();
        empty.clear();
        let piece = mem::replace(&mut self.buffer, empty);
        self.send(Piece::Bytes(piece))
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.is_finished {
                return Ok(read);
            }
            match self.receiver.recv() {
                Ok(Piece::Bytes(bytes)) => {
                    self.pool.give(mem::replace(&mut self.piece, io::Cursor::new(bytes)).into_inner());
                }
                Ok(Piece::End) => self.is_finished = true,
                Err(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the writer gave up")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn content_is_read_up_to_its_stated_size() {
        for size in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 7] {
            let content: Vec<u8> = (0..size).map(|at| at as u8).collect();
            for is_finished in [true, false] {
                let (mut writer, mut reader) = pipe();
                let written = content.clone();
                let thread = thread::spawn(move || {
                    writer.write_all(&written).expect("written");
                    if is_finished { writer.finish() } else { writer.flush() }
                });
                let mut read = Vec::new();
                let result = reader.read_to_end(&mut read);
                assert_eq!(result.map_err(|error| error.kind()).is_ok(), is_finished, "{size}");
                assert!(read == content, "{size}");
                thread.join().expect("no panic").expect("sent");
            }
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (mut writer, reader) = pipe();
        drop(reader);
        writer.write_all(b"x").expect("kept");
        assert_eq!(writer.finish().expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
    }
}
