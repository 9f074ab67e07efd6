//! The two documents of a layout that change, `index.json` and the staging file: how they are read, and their form.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handle::Layout;
use super::site::Site;
use super::staging_file::{SCHEMA_VERSION, Stage};
use crate::error::{Error, Reason, Result};
use crate::fs::{FileVersion, open_inside, read_at_most};
use crate::graph::walk::INDEX_FILE;
use crate::json::{self, Node};
use crate::layout::lock::keep_writers_out;
use crate::metrics::Phase;
use crate::oci::{Algorithm, Digest, Hasher, Index, from_json};

/// The staging file. The name is the original program's.
pub(crate) const STAGE_FILE: &str = ".regshape-stage.json";

/// The largest `index.json` or staging file that is read or written: room for some hundred thousand entries.
pub(crate) const DOCUMENT_LIMIT: u64 = 128 * 1024 * 1024;

/// The largest `index.json` or `manifest.json` of an archive, read or written: archives come from elsewhere.
pub(crate) const ARCHIVE_DOCUMENT_LIMIT: u64 = 64 * 1024 * 1024;

/// A document as read: its bytes and its value.
#[derive(Debug)]
pub(crate) struct ReadDocument<T> {
    content: Vec<u8>,
    pub(crate) document: T,
}

impl Layout {
    /// Reads `index.json`.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedIndex`] if it is missing or not an image index; [`Error::Io`].
    pub fn read_index(&self) -> Result<Index> {
        self.read_index_again(None)
    }

    /// Reads `index.json`, which was read before: if it is still the same, it is not parsed again. Comparing bytes takes a
    /// fraction of the time of parsing them.
    pub(crate) fn read_index_again(&self, before: Option<ReadDocument<Index>>) -> Result<Index> {
        self.read_index_document(before).map(|read| read.document)
    }

    /// Reads `index.json` as a value that the next step can begin with.
    pub(crate) fn read_index_document(&self, before: Option<ReadDocument<Index>>) -> Result<ReadDocument<Index>> {
        let content = self.read_index_bytes()?;
        if let Some(before) = before.filter(|before| before.content == content) {
            return Ok(before);
        }
        let malformed = |reason| Error::MalformedIndex { path: self.path().to_owned(), reason };
        let document = parse(&content).map_err(malformed)?;
        Ok(ReadDocument { content, document })
    }

    /// Reads `index.json` as it stands.
    pub(crate) fn read_index_bytes(&self) -> Result<Vec<u8>> {
        let malformed = |reason| Error::MalformedIndex { path: self.path().to_owned(), reason };
        match self.read_document(INDEX_FILE)? {
            DocumentFile::Missing => Err(malformed(Reason::missing())),
            DocumentFile::Unusable(reason) => Err(malformed(reason)),
            DocumentFile::Content(content) => Ok(content),
        }
    }

    /// Reads the staging file.
    ///
    /// # Errors
    ///
    /// [`Error::NoStage`] if there is none, as in the layouts of other programs; [`Error::MalformedStage`] or
    /// [`Error::StageVersion`] if it is not one of schema 1; [`Error::Io`].
    pub fn read_stage(&self) -> Result<Stage> {
        self.find_stage()?.ok_or_else(|| Error::NoStage { path: self.path().to_owned() })
    }

    /// Reads the staging file if there is one.
    pub(crate) fn find_stage(&self) -> Result<Option<Stage>> {
        self.find_stage_again(None)
    }

    /// Reads the staging file if there is one, which was read before: if it is still the same, it is not parsed again.
    pub(crate) fn find_stage_again(&self, before: Option<ReadDocument<Stage>>) -> Result<Option<Stage>> {
        Ok(self.find_stage_document(before)?.map(|read| read.document))
    }

    /// Reads the staging file, if there is one, as a value that the next step can begin with.
    pub(crate) fn find_stage_document(
        &self,
        before: Option<ReadDocument<Stage>>,
    ) -> Result<Option<ReadDocument<Stage>>> {
        let malformed = |reason| Error::MalformedStage { path: self.path().to_owned(), reason };
        let content = match self.read_document(STAGE_FILE)? {
            DocumentFile::Missing => return Ok(None),
            DocumentFile::Unusable(reason) => return Err(malformed(reason)),
            DocumentFile::Content(content) => content,
        };
        if let Some(before) = before.filter(|before| before.content == content) {
            return Ok(Some(before));
        }
        let stage = parse::<Stage>(&content);
        let version = match &stage {
            Ok(stage) => stage.schema_version,
            // A file of another version need not look like ours.
            Err(_) => Node::parse(&content)
                .ok()
                .and_then(|value| value.get("schema_version")?.text().parse().ok())
                .unwrap_or(SCHEMA_VERSION),
        };
        if version != SCHEMA_VERSION {
            let path = self.path().to_owned();
            return Err(Error::StageVersion { path, found: version, expected: SCHEMA_VERSION });
        }
        let document = stage.map_err(malformed)?;
        Ok(Some(ReadDocument { content, document }))
    }

    fn read_document(&self, name: &str) -> Result<DocumentFile> {
        let path = self.document_path(name);
        let read = self
            .metrics()
            .time(Phase::Read, || open_inside(self.path(), &path).and_then(|file| read_at_most(&file, DOCUMENT_LIMIT)));
        match read {
            Ok(Some(content)) => {
                self.metrics().count_read(content.len());
                Ok(DocumentFile::Content(content))
            }
            Ok(None) => Ok(DocumentFile::Unusable(Reason::new(format!("it is larger than {DOCUMENT_LIMIT} bytes")))),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Ok(DocumentFile::Missing),
                io::ErrorKind::InvalidInput => Ok(DocumentFile::Unusable(Reason::new(error.to_string()))),
                _ => Err(Error::io("read", path)(error)),
            },
        }
    }

    /// Returns the path of a document.
    pub(super) fn document_path(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Site {
    /// Reads documents and the blobs that they name without a lock. After a failure, if a document was replaced
    /// meanwhile, the read is repeated; the last time under the lock.
    pub(crate) fn read_unlocked<T>(&self, read: impl Fn() -> Result<T>, succeeded: impl Fn(&T) -> bool) -> Result<T> {
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            let before = self.document_versions();
            let result = read();
            if result.as_ref().is_ok_and(&succeeded) || self.document_versions() == before {
                return result;
            }
        }
        let _marker = keep_writers_out(self)?;
        read()
    }

    /// Tells the documents of now from earlier ones: a replaced document is another file.
    pub(crate) fn document_versions(&self) -> [Option<FileVersion>; 2] {
        [INDEX_FILE, STAGE_FILE].map(|name| FileVersion::of(&self.path().join(name)).ok())
    }
}

enum DocumentFile {
    Missing,
    /// It is there, but not a file that can be read.
    Unusable(Reason),
    Content(Vec<u8>),
}

/// Refuses to write a document that no command would read.
pub(crate) fn check_size(what: &str, content: &[u8], limit: u64) -> Result<()> {
    if content.len() as u64 > limit { Err(would_be_too_large(what, limit)) } else { Ok(()) }
}

pub(super) fn would_be_too_large(what: &str, limit: u64) -> Error {
    Error::WouldBeTooLarge { what: what.to_owned(), limit }
}

/// Writes at most so many bytes.
pub(super) struct Bounded<'a> {
    pub(super) writer: &'a mut dyn Write,
    pub(super) left: u64,
    pub(super) is_too_large: &'a mut bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            *self.is_too_large = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.writer.write_all(bytes)?;
        self.left = left;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, Reason> {
    Ok(from_json(content)?)
}

/// Writes a document as people read it: two spaces, a newline at the end.
pub(crate) fn write_pretty(document: &impl Serialize, writer: &mut dyn Write) -> io::Result<()> {
    json::write_json_pretty(document, writer)?;
    writer.write_all(b"\n")
}

/// Returns the output of [`write_pretty`].
pub(crate) fn pretty(document: &impl Serialize) -> Vec<u8> {
    let mut content = Vec::new();
    write_pretty(document, &mut content).expect("documents have string keys only");
    content
}

/// Counts the bytes that [`write_pretty`] writes, if they are not more than the document may have.
pub(crate) fn pretty_size(what: &str, document: &impl Serialize, limit: u64) -> Result<u64> {
    let mut is_too_large = false;
    let mut bounded = Bounded { writer: &mut io::sink(), left: limit, is_too_large: &mut is_too_large };
    let written = write_pretty(document, &mut bounded);
    let size = limit - bounded.left;
    if is_too_large {
        return Err(would_be_too_large(what, limit));
    }
    written.expect("documents have string keys only");
    Ok(size)
}

/// Returns whether an index is the same as before: equal indexes have equal fingerprints. A copy would take as much memory again.
pub(crate) fn fingerprint(index: &Index) -> Digest {
    struct Hashing(Hasher);

    impl Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut writer = BufWriter::with_capacity(64 * 1024, Hashing(Hasher::new(Algorithm::Blake3)));
    json::write_compact(index, &mut writer).expect("memory can be written");
    let Ok(Hashing(hasher)) = writer.into_inner() else { unreachable!("memory can be written") };
    hasher.finish()
}
