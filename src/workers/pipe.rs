//! A pipe for bytes between two threads, in constant memory.

use std::io::{self, BufRead, Read, Write};
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

/// A stage between the ends: it looks at the bytes on their way, on a thread of its own.
#[derive(Debug)]
pub(crate) struct PipeStage {
    receiver: Receiver<Piece>,
    sender: SyncSender<Piece>,
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

/// Creates a pipe with a stage in the middle. Bytes reach the reader while [`PipeStage::run`] runs.
pub(crate) fn staged_pipe() -> (PipeWriter, PipeStage, PipeReader) {
    let (writer, mut reader) = pipe();
    let (sender, receiver) = sync_channel(QUEUE);
    let receiver = mem::replace(&mut reader.receiver, receiver);
    (writer, PipeStage { receiver, sender }, reader)
}

impl PipeStage {
    /// Calls a function with all bytes, before the reader gets them. Returns at the end of the content, or as soon as one of the ends
    /// is dropped.
    pub(crate) fn run(self, mut each: impl FnMut(&[u8])) {
        for piece in self.receiver {
            if let Piece::Bytes(bytes) = &piece {
                each(bytes);
            }
            if self.sender.send(piece).is_err() {
                break;
            }
        }
    }
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
            // A buffer that was used before has this length: nothing is cleared.
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
                let empty = self.pool.take();
                self.send_buffer(empty)?;
                filled = 0;
            }
        }
        self.buffer.truncate(filled);
        result
    }

    fn send_buffer(&mut self, next: Vec<u8>) -> io::Result<()> {
        let piece = mem::replace(&mut self.buffer, next);
        self.send(Piece::Bytes(piece))
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
        self.send_buffer(empty)
    }
}

impl BufRead for PipeReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.fill_buf()?.is_empty() && !self.is_finished {
            match self.receiver.recv() {
                Ok(Piece::Bytes(bytes)) => {
                    self.pool.give(mem::replace(&mut self.piece, io::Cursor::new(bytes)).into_inner());
                }
                Ok(Piece::End) => self.is_finished = true,
                Err(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the writer gave up")),
            }
        }
        self.piece.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.piece.consume(amount);
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
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
    fn a_stage_sees_all_bytes_and_passes_on_how_the_content_ends() {
        let content: Vec<u8> = (0..3 * PIECE + 7).map(|at| at as u8).collect();
        for is_finished in [true, false] {
            let (mut writer, stage, mut reader) = staged_pipe();
            let (mut seen, mut read) = (Vec::new(), Vec::new());
            let result = thread::scope(|scope| {
                scope.spawn(|| {
                    writer.write_all(&content).expect("written");
                    if is_finished { writer.finish() } else { writer.flush() }
                });
                scope.spawn(|| stage.run(|bytes| seen.extend_from_slice(bytes)));
                reader.read_to_end(&mut read)
            });
            assert_eq!(result.is_ok(), is_finished);
            assert!(read == content && seen == content);
        }
    }

    #[test]
    fn a_stage_ends_with_the_reader() {
        let (mut writer, stage, reader) = staged_pipe();
        drop(reader);
        let error = thread::scope(|scope| {
            scope.spawn(|| stage.run(|_| ()));
            loop {
                if let Err(error) = writer.write_all(&[0; PIECE]) {
                    return error;
                }
            }
        });
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (mut writer, reader) = pipe();
        drop(reader);
        writer.write_all(b"x").expect("kept");
        assert_eq!(writer.finish().expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
    }
}
