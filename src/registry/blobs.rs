//! Blobs: looking, reading, storing, mounting and deleting. They belong to the layout, whichever repository is named.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::{Range, RangeFrom};
use std::path::Path;

use super::repository::Repository;
use crate::compress::BUFFER;
use crate::error::{Error, Referrer, Result};
use crate::graph::resolve::{NAMED_CANDIDATES, begins_with};
use crate::graph::verify::expect_digest;
use crate::graph::walk::{Reach, walk};
use crate::interrupt::Interrupt;
use crate::layout::handle::Layout;
use crate::layout::leftovers::create_output;
use crate::layout::links::LinkedDirectories;
use crate::layout::links::{identity_of, targets_of};
use crate::layout::lock::take_lock;
use crate::layout::reachable::{listed, roots};
use crate::layout::site::BLOBS_DIRECTORY;
use crate::layout::staging_file::Stage;
use crate::metrics::Phase;
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, Index, MediaType, is_short_digest};
use crate::options::setters;

/// A part of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a range has a start and an end")]
pub struct ByteRange {
    /// The number of bytes before it.
    pub start: u64,
    /// The number of bytes up to its end; the end of the blob by default, and where that comes first.
    pub end: Option<u64>,
}

/// The expected properties of content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Expected {
    /// The digest, which also says by which algorithm a blob is stored; by default it is SHA-256.
    pub digest: Option<Digest>,
    /// The size in bytes.
    pub size: Option<u64>,
}

impl Expected {
    setters! {
        digest: [option Digest],
        size: [option u64],
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: Some(range.end) }
    }
}

impl From<RangeFrom<u64>> for ByteRange {
    fn from(range: RangeFrom<u64>) -> Self {
        Self { start: range.start, end: None }
    }
}

/// Reads the content of a blob, or a part of it. A whole blob is verified on the way: the read that finds its end fails if the
/// content does not match the digest.
///
/// Positions count from the beginning of the part. A whole blob is verified after any seeks, too: a read beyond bytes that were
/// not read yet reads those first.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    /// The position in the file at which the part begins.
    start: u64,
    length: u64,
    /// The position of the next read.
    at: u64,
    /// The position of the file, which differs from `at` after a seek.
    file_at: u64,
    layout: Layout,
    digest: Digest,
    /// There until all is read, unless this is a part only. It has seen the bytes up to `hashed`.
    hasher: Option<Hasher>,
    hashed: u64,
    is_part: bool,
}

impl Repository {
    /// Returns the descriptor of a blob, referenced or not. Its media type is `application/octet-stream`.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], [`Error::NotAFile`], [`Error::LinkOutside`]; [`Error::Io`].
    pub fn resolve_blob(&self, digest: &Digest) -> Result<Descriptor> {
        let (_, _, size) = self.open_blob(digest)?;
        Ok(Descriptor::new(MediaType::octet_stream(), digest.clone(), size))
    }

    /// Returns the digest of a stored blob from its beginning: at least four digits, perhaps after the algorithm. A whole digest is
    /// returned as it is, whether the blob is stored or not.
    ///
    /// # Errors
    ///
    /// [`Error::Digest`] for a text that cannot begin a digest; [`Error::UnknownBlob`], [`Error::AmbiguousDigest`]; [`Error::Io`].
    pub fn resolve_digest(&self, text: &str) -> Result<Digest> {
        let error = match text.parse::<Digest>() {
            Ok(digest) => return Ok(digest),
            Err(error) => error,
        };
        if !is_short_digest(text) {
            return Err(error.into());
        }
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL.map(Algorithm::name) {
            let directory = self.path().join(BLOBS_DIRECTORY).join(algorithm);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(Error::io("read", directory)(error)),
            };
            for entry in entries {
                let name = entry.map_err(Error::io("read", &directory))?.file_name();
                let digest = name.to_str().and_then(|name| format!("{algorithm}:{name}").parse::<Digest>().ok());
                found.extend(digest.filter(|digest| begins_with(digest, text)));
            }
        }
        found.sort();
        match found.len() {
            0 => Err(Error::UnknownBlob { path: self.path().to_owned(), beginning: text.to_owned() }),
            1 => Ok(found.remove(0)),
            _ => {
                found.truncate(NAMED_CANDIDATES);
                Err(Error::AmbiguousDigest { beginning: text.to_owned(), digests: found })
            }
        }
    }

    /// Opens a blob.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::resolve_blob`]; [`Error::UnsupportedAlgorithm`] if it could not be verified.
    pub fn get_blob(&self, digest: &Digest) -> Result<BlobReader> {
        let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
        let (layout, file, size) = self.open_blob(digest)?;
        let hasher = Some(Hasher::new(algorithm));
        Ok(BlobReader { hasher, is_part: false, ..BlobReader::new(layout, file, digest, 0..size) })
    }

    /// Opens a part of a blob, such as `0..100` or `100..`, which cannot be verified.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::resolve_blob`]; [`Error::InvalidRange`] if the part begins after its end or that of the blob.
    pub fn get_blob_range(&self, digest: &Digest, range: impl Into<ByteRange>) -> Result<BlobReader> {
        let range = range.into();
        let (layout, mut file, size) = self.open_blob(digest)?;
        let end = range.end.map_or(size, |end| end.min(size));
        if range.start > end {
            return Err(Error::InvalidRange { digest: digest.clone(), start: range.start, size });
        }
        file.seek(SeekFrom::Start(range.start)).map_err(Error::io("read", layout.blob_path(digest)))?;
        Ok(BlobReader::new(layout, file, digest, range.start..end))
    }

    /// Opens a blob and its layout, and returns the size.
    fn open_blob(&self, digest: &Digest) -> Result<(Layout, File, u64)> {
        let caller = Referrer::Caller(self.path().to_owned());
        let Some(layout) = Layout::find(&self.site)? else {
            return Err(Error::MissingBlob { digest: digest.clone(), referrer: caller });
        };
        let (file, size) = layout.open_blob(digest, &caller)?;
        Ok((layout, file, size))
    }

    /// Stores a blob. A stored one is verified, and replaced if it does not match its name.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`], [`Error::UnsupportedAlgorithm`]; [`Error::SizeMismatch`]; [`Error::Io`]. After an error
    /// nothing is left of it.
    #[expect(clippy::missing_panics_doc, reason = "the layout was found or is made")]
    pub fn push_blob(&self, mut content: impl Read, expected: &Expected) -> Result<Descriptor> {
        let algorithm = match &expected.digest {
            None => Algorithm::Sha256,
            Some(digest) => digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?,
        };
        let found = Layout::find(&self.site)?;
        let made = if found.is_some() { None } else { Some(self.prepare()?) };
        let mut blob = match &found {
            Some(layout) => layout.new_blob_of(algorithm)?,
            None => self.site.new_blob_of(algorithm)?,
        };
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match self.site.metrics().time(Phase::Read, || content.read(&mut buffer)) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", "the content of the blob")(error)),
            };
            self.site.metrics().count_read(read);
            blob.write_all(&buffer[..read]).map_err(Error::io("write to", self.path()))?;
        }
        let blob = blob.finish()?;
        expected.digest.iter().try_for_each(|digest| expect_digest(digest, blob.digest.clone()))?;
        if let Some(size) = expected.size.filter(|size| *size != blob.size) {
            return Err(Error::SizeMismatch { digest: None, expected: size, actual: blob.size });
        }
        let layout = match made {
            Some(made) => &self.site.make_layout(made)?,
            None => found.as_ref().expect("it was found, or is made"),
        };
        let stored = blob.commit_unnamed(&take_lock(layout)?)?;
        let descriptor = Descriptor::new(MediaType::octet_stream(), stored.digest.clone(), stored.size);
        // The referrer is stored later.
        stored.keep();
        Ok(descriptor)
    }

    /// Puts a blob of this layout into that of another repository, which may be the same.
    pub(crate) fn mount_into(&self, target: &Self, digest: &Digest) -> Result<Descriptor> {
        let (layout, file, size) = self.open_blob(digest)?;
        let path = layout.blob_path(digest);
        if self.path() == target.path() {
            let there = file.try_clone().map_err(Error::io("read", &path))?;
            layout.adopt_blob((digest, size), (&file, &path), Some(there))?;
        } else {
            layout.verify(digest, &file, |_| ())?;
            let target = target.made_layout()?;
            let there = target.sound_blob(digest, size, |_| ());
            target.adopt_blob((digest, size), (&file, &path), there)?;
        }
        Ok(Descriptor::new(MediaType::octet_stream(), digest.clone(), size))
    }

    /// Deletes a blob that nothing refers to.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`]; [`Error::StillReferenced`]; [`Error::BlobsAreShared`]; the error of reading a document
    /// that may refer to it; [`Error::Locked`]; [`Error::Io`].
    pub fn delete_blob(&self, digest: &Digest) -> Result<Descriptor> {
        let (layout, ..) = self.open_blob(digest)?;
        self.check_blobs_are_own()?;
        let lock = take_lock(&layout)?;
        let descriptor = unreferenced_blob(&layout, digest)?;
        layout.remove_blob(&lock, digest)?;
        Ok(descriptor)
    }

    /// Returns the result of [`Repository::delete_blob`] without deleting the blob. Takes no lock.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::delete_blob`], except [`Error::Locked`].
    pub fn plan_delete_blob(&self, digest: &Digest) -> Result<Descriptor> {
        let (layout, ..) = self.open_blob(digest)?;
        self.check_blobs_are_own()?;
        unreferenced_blob(&layout, digest)
    }

    fn check_blobs_are_own(&self) -> Result<()> {
        match self.site.shares_blobs() {
            true => Err(Error::BlobsAreShared { path: self.path().to_owned() }),
            false => Ok(()),
        }
    }
}

impl BlobReader {
    /// Returns a reader of a part of a file, which is at the beginning of that part.
    fn new(layout: Layout, file: File, digest: &Digest, part: Range<u64>) -> Self {
        Self {
            file,
            start: part.start,
            length: part.end - part.start,
            at: 0,
            file_at: 0,
            layout,
            digest: digest.clone(),
            hasher: None,
            hashed: 0,
            is_part: true,
        }
    }

    /// Returns how many bytes there are in all.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digest of the blob.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Calls a function with the remaining content in pieces, and returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`] after the last piece if the content does not match the digest; [`Error::Io`]; the
    /// error of `write`.
    pub fn copy_to<E: From<Error>>(mut self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<u64, E> {
        let mut buffer = vec![0; BUFFER];
        let mut copied = 0;
        loop {
            let read = match self.read_piece(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.layout.blob_path(&self.digest))(error).into()),
            };
            copied += read as u64;
            write(&buffer[..read])?;
        }
        self.verify()?;
        Ok(copied)
    }

    /// Writes the remaining content to a file, which gets its name when it is whole, and waits until both are on the
    /// disk. Calls a function with the numbers of bytes, and returns their sum.
    ///
    /// A path that names an open descriptor of this process, such as `/dev/stdout`, `/dev/fd/3` or a link to one, is
    /// written to at its place, and a pipe or device as it is. Of the descriptors above 2 only those count that this
    /// process was started with. Links stay, and the file that they point to is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`]; [`Error::Io`].
    pub fn save(self, path: impl AsRef<Path>, mut progress: impl FnMut(u64)) -> Result<u64> {
        let path = path.as_ref();
        let failed = || Error::io("write to", path);
        let mut output = create_output(path, self.layout.interrupt()).map_err(failed())?;
        let copied = self.copy_to(|bytes| {
            progress(bytes.len() as u64);
            output.write_all(bytes).map_err(failed())
        })?;
        output.finish_synced().map_err(failed())?;
        Ok(copied)
    }

    fn read_piece(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut between = Vec::new();
        while self.hasher.is_some() && self.hashed < self.at {
            between.resize(BUFFER, 0);
            let left = usize::try_from(self.at - self.hashed).unwrap_or(BUFFER).min(BUFFER);
            if self.read_from(self.hashed, &mut between[..left])? == 0 {
                return Ok(0);
            }
        }
        let read = self.read_from(self.at, buffer)?;
        self.at += read as u64;
        Ok(read)
    }

    /// Reads from a position, and hashes the bytes that were not hashed yet.
    fn read_from(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // The end of a whole blob is that of its file: bytes after the blob are a mismatch.
        let left = if self.is_part { self.length.saturating_sub(position) } else { u64::MAX };
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let metrics = self.layout.metrics();
        let read = metrics.time(Phase::Read, || {
            if self.file_at != position {
                let begin = self.start.checked_add(position).ok_or(ErrorKind::InvalidInput)?;
                self.file.seek(SeekFrom::Start(begin))?;
                self.file_at = position;
            }
            self.file.read(&mut buffer[..wanted])
        })?;
        self.file_at += read as u64;
        metrics.count_read(read);
        if let Some(hasher) = &mut self.hasher {
            let known = usize::try_from(self.hashed - position).unwrap_or(read).min(read);
            metrics.time(Phase::Hash, || hasher.update(&buffer[known..read]));
            self.hashed += (read - known) as u64;
        }
        Ok(read)
    }

    /// Compares the digest, once all is read.
    fn verify(&mut self) -> Result<()> {
        let hasher = self.hasher.take();
        hasher.map_or(Ok(()), |hasher| expect_digest(&self.digest, hasher.finish()))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_piece(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.verify().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        Ok(read)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match position {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::End(offset) => (self.length, offset),
            SeekFrom::Current(offset) => (self.at, offset),
        };
        let before = || io::Error::new(ErrorKind::InvalidInput, "the position is before the beginning");
        self.at = base.checked_add_signed(offset).ok_or_else(before)?;
        Ok(self.at)
    }
}

/// Writes bytes to a file as [`BlobReader::save`] does.
///
/// # Errors
///
/// [`Error::Io`].
pub fn write_file(content: &[u8], path: impl AsRef<Path>, interrupt: &Interrupt) -> Result<()> {
    let path = path.as_ref();
    let write = || {
        let mut output = create_output(path, interrupt)?;
        output.write_all(content)?;
        output.finish_synced()
    };
    write().map_err(Error::io("write to", path))
}

/// Returns a blob to which no document refers.
fn unreferenced_blob(layout: &Layout, digest: &Digest) -> Result<Descriptor> {
    let (_, size) = layout.open_blob(digest, &layout.caller())?;
    let stage = layout.find_stage()?.unwrap_or_else(Stage::empty);
    match referrer_of(layout, digest, &layout.read_index()?, &stage)? {
        Some(referrer) => Err(Error::StillReferenced { digest: digest.clone(), referrer }),
        None => Ok(Descriptor::new(MediaType::octet_stream(), digest.clone(), size)),
    }
}

/// Finds the referrer of a blob among the documents reachable from `index.json` or the staging file; or a referenced
/// link to it.
fn referrer_of(layout: &Layout, digest: &Digest, index: &Index, stage: &Stage) -> Result<Option<Referrer>> {
    let (identity, mut linked) = (identity_of(layout, digest), LinkedDirectories::default());
    let mut leads_to_it = |named: &Digest| {
        named != digest && identity.is_some_and(|identity| targets_of(layout, named, &mut linked).contains(&identity))
    };
    let mut link = None;
    let mut entries = index.manifests.iter().chain(&index.subject).map(|entry| &entry.digest);
    let mut names = |named: &Digest, referrer: &dyn Fn() -> Referrer| {
        if link.is_none() && leads_to_it(named) {
            link = Some(Referrer::Link(named.clone()));
        }
        (named == digest).then(referrer)
    };
    if let Some(referrer) = entries.find_map(|named| names(named, &|| Referrer::Index)) {
        return Ok(Some(referrer));
    }
    if let Some(referrer) = stage.blobs().find_map(|named| names(named, &|| Referrer::Stage)) {
        return Ok(Some(referrer));
    }
    let listed = listed(index);
    let roots = roots(index, stage);
    for visit in walk(layout, roots.iter(), Reach::Subjects) {
        let referrer = Referrer::Document(visit.entry.digest.clone());
        let document = visit.surely_leads_to(&listed)?;
        let mut digests = document.iter().flat_map(|document| document.digests());
        if let Some(referrer) = digests.find_map(|named| names(named, &|| referrer.clone())) {
            return Ok(Some(referrer));
        }
    }
    Ok(link)
}
