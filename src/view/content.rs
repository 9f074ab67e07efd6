//! The content of a blob: a file, a part of an archive, or bytes in memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The content of a blob. It is read in place, any number of times, and is not verified.
#[derive(Clone, Debug)]
pub struct Content {
    storage: Storage,
    size: u64,
}

#[derive(Clone, Debug)]
enum Storage {
    /// A part of a file, or a whole file, which has a path.
    File { file: Arc<File>, offset: u64, whole: Option<PathBuf> },
    /// A part of a buffer, or a whole buffer, with a path if it was read from a file.
    Memory { bytes: Arc<Vec<u8>>, offset: usize, whole: Option<PathBuf> },
}

impl Content {
    /// Takes the content of a whole file.
    pub(crate) fn from_file(file: File, path: PathBuf, size: u64) -> Self {
        Self { storage: Storage::File { file: Arc::new(file), offset: 0, whole: Some(path) }, size }
    }

    /// Takes a part of a file.
    pub(crate) fn within(file: Arc<File>, offset: u64, size: u64) -> Self {
        Self { storage: Storage::File { file, offset, whole: None }, size }
    }

    /// Takes bytes in memory.
    pub(crate) fn in_memory(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, storage: Storage::Memory { bytes: Arc::new(bytes), offset: 0, whole: None } }
    }

    /// Returns a part of this content, which must be within its bounds. Nothing is copied.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Self {
        let storage = match &self.storage {
            Storage::File { file, offset: start, .. } => {
                Storage::File { file: Arc::clone(file), offset: start + offset, whole: None }
            }
            Storage::Memory { bytes, offset: start, .. } => {
                let offset = usize::try_from(offset).expect("what is in memory has addresses");
                Storage::Memory { bytes: Arc::clone(bytes), offset: start + offset, whole: None }
            }
        };
        Self { storage, size }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns this content as bytes in memory that were read from it.
    pub(crate) fn with_bytes(&self, bytes: Vec<u8>) -> Self {
        let whole = self.path().map(Path::to_owned);
        Self { size: bytes.len() as u64, storage: Storage::Memory { bytes: Arc::new(bytes), offset: 0, whole } }
    }

    /// Returns whether the content is read from a file.
    pub(crate) fn is_in_file(&self) -> bool {
        matches!(self.storage, Storage::File { .. })
    }

    /// Returns the path, if the content is a whole file.
    pub(crate) fn path(&self) -> Option<&Path> {
        let (Storage::File { whole, .. } | Storage::Memory { whole, .. }) = &self.storage;
        whole.as_deref()
    }

    /// Returns the open file, if the content is a whole file.
    pub(crate) fn whole_file(&self) -> Option<&File> {
        match &self.storage {
            Storage::File { file, whole: Some(_), .. } => Some(file),
            _ => None,
        }
    }

    /// Returns the file that holds this content, and the offset of the content, if it is in a file.
    pub(crate) fn part_of_file(&self) -> Option<(&File, u64)> {
        match &self.storage {
            Storage::File { file, offset, .. } => Some((file, *offset)),
            Storage::Memory { .. } => None,
        }
    }

    /// Reads from an offset, independently of other readers, until the buffer is full or the content ends.
    ///
    /// # Errors
    ///
    /// The error of the system; of kind `UnexpectedEof` if the file was truncated.
    #[expect(clippy::missing_panics_doc, reason = "bytes in memory have addresses")]
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = &mut buffer[..wanted];
        match &self.storage {
            _ if wanted == 0 => {}
            Storage::Memory { bytes, offset: start, .. } => {
                let start = start + usize::try_from(offset).expect("what is in memory has addresses");
                buffer.copy_from_slice(&bytes[start..start + wanted]);
            }
            Storage::File { file, offset: start, .. } => read_exact_at(file, buffer, start + offset)?,
        }
        Ok(wanted)
    }

    /// Returns a reader of the whole content.
    pub fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), at: 0 }
    }
}

/// Fills a buffer from an offset of a file.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills a buffer from an offset of a file.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// Reads a [`Content`], unverified.
#[derive(Clone, Debug)]
pub struct ContentReader {
    content: Content,
    at: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for ContentReader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match position {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::End(offset) => (self.content.size(), offset),
            SeekFrom::Current(offset) => (self.at, offset),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "the position is before the beginning");
        self.at = base.checked_add_signed(offset).ok_or_else(before)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_wherever_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "0123456789").expect("written");
        let open = || File::open(&path).expect("opened");
        for content in [
            Content::from_file(open(), path.clone(), 10),
            Content::in_memory(*b"0123456789"),
            Content::within(Arc::new(open()), 0, 10),
            Content::in_memory(*b"<0123456789>").part(1, 10),
            Content::within(Arc::new(open()), 0, 10).part(0, 10),
        ] {
            assert_eq!(content.size(), 10);
            assert_eq!(io::read_to_string(content.reader()).expect("read"), "0123456789");
            let mut reader = content.reader();
            assert_eq!(reader.seek(SeekFrom::End(-3)).expect("sought"), 7);
            assert_eq!(io::read_to_string(&mut reader).expect("read"), "789");
            assert!(reader.seek(SeekFrom::Current(-11)).is_err());
            let mut buffer = [0; 4];
            for (offset, expected) in [(0, &b"0123"[..]), (8, b"89"), (10, b""), (u64::MAX, b"")] {
                let read = content.read_at(&mut buffer, offset).expect("read");
                assert_eq!(&buffer[..read], expected, "from {offset}");
            }
        }
        for part in [Content::within(Arc::new(open()), 3, 4), Content::in_memory(*b"0123456789").part(2, 6).part(1, 4)]
        {
            assert_eq!(io::read_to_string(part.reader()).expect("read"), "3456");
        }
        let short = Content::within(Arc::new(open()), 8, 4);
        assert_eq!(io::read_to_string(short.reader()).expect_err("too short").kind(), io::ErrorKind::UnexpectedEof);
    }
}
