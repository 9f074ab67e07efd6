//! A reader that keeps its error.

use std::io::{self, Read};

/// Reads from another reader, calls a function with each piece, and keeps the error if reading fails. A decompressor
/// would hide the cause of such a failure.
pub(crate) struct Remembering<R, F> {
    reader: R,
    each: F,
    failure: Option<io::Error>,
}

impl<R: Read, F: FnMut(&[u8])> Remembering<R, F> {
    pub(crate) fn new(reader: R, each: F) -> Self {
        Self { reader, each, failure: None }
    }

    /// Returns the error, if reading failed.
    pub(crate) fn into_failure(self) -> Option<io::Error> {
        self.failure
    }
}

impl<R: Read, F: FnMut(&[u8])> Read for Remembering<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(buffer) {
            Ok(read) => {
                (self.each)(&buffer[..read]);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure.get_or_insert(error);
                Err(kind.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the line is dead"))
        }
    }

    #[test]
    fn the_first_error_is_remembered_and_the_bytes_before_it_are_shown() {
        let mut shown = Vec::new();
        let mut reader = Remembering::new(b"one".chain(Broken), |bytes| shown.extend_from_slice(bytes));
        let read = io::read_to_string(BufReader::new(&mut reader));
        assert_eq!(read.expect_err("broken").kind(), io::ErrorKind::TimedOut);
        assert_eq!(reader.into_failure().expect("remembered").to_string(), "the line is dead");
        assert_eq!(shown, b"one");
    }
}
