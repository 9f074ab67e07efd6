//! Reading a layer to its end: decompressed on a thread of its own, its digest and diff_id verified.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::thread;

use crate::compress::{BUFFER, Bounds, Encoding, Remembering, bound_of, bounded_decoder, peek, trailing_of};
use crate::error::{Error, LayerError, Result};
use crate::graph::verify::expect_digest;
use crate::oci::{Digest, Hasher};
use crate::tar::fault::TarError;
use crate::tar::header_fields::looks_like_tar;
use crate::workers::crew::worker;
use crate::workers::pipe::{PipeWriter, pipe, staged_pipe};

/// Layers of fewer bytes are decompressed on the thread that reads them.
const WORTH_A_THREAD: u64 = 256 * 1024;

/// The blob of a layer that is read.
pub(super) struct LayerBlob<'a, R> {
    pub(super) digest: &'a Digest,
    /// The digest of the decompressed content, if it is known.
    pub(super) diff_id: Option<&'a Digest>,
    pub(super) size: u64,
    /// The path of the blob, or of the archive that has it, for errors.
    pub(super) path: &'a Path,
    pub(super) reader: R,
}

/// Why a layer could not be used.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot be read.
    Layer(io::Error),
    /// The work with it failed.
    Work(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Layer(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Work(error)
    }
}

/// Calls a function with the decompressed content of a layer, and reads and verifies the rest. Returns `None` if the content
/// is not a tar. A layer without a byte is an empty tar, as it is to Go's reader and to Docker.
///
/// # Errors
///
/// [`Error::UnsupportedAlgorithm`]; [`Error::DigestMismatch`]; [`LayerError`]; [`Error::Io`]; that of the function.
pub(super) fn read_layer<T>(
    blob: LayerBlob<'_, impl Read + Send>,
    bounds: Bounds,
    work: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
) -> Result<Option<T>> {
    let LayerBlob { digest, diff_id, size, path, reader } = blob;
    let algorithm = digest.algorithm().ok_or_else(|| Error::UnsupportedAlgorithm { digest: digest.clone() })?;
    let mut hasher = Hasher::new(algorithm);
    let mut source = Remembering::new(reader, |bytes| hasher.update(bytes));
    let (detected, mut stored) = peek(&mut source, looks_like_tar).map_err(Error::io("read", path))?;
    let encoding = detected.encoding;
    // That of an uncompressed layer is the digest of its blob.
    let diff_id = diff_id.and_then(|diff_id| Some((diff_id, diff_id.algorithm()?)));
    let diff_id = diff_id.filter(|(diff_id, _)| encoding != Encoding::Identity || *diff_id != digest);
    let mut content_hasher = diff_id.map(|(_, algorithm)| Hasher::new(algorithm));
    let bound = (encoding != Encoding::Identity).then_some(size);
    let done = decompressed(&mut stored, (encoding, bound, bounds), content_hasher.as_mut(), |mut content| {
        if !detected.is_tar && !is_empty(&mut content)? {
            return Ok(None);
        }
        let done = work(content)?;
        io::copy(content, &mut io::sink())?;
        Ok(Some(done))
    });
    // Damage is told from a wrong digest first: the whole blob is read in any case.
    let rest = io::copy(&mut stored, &mut io::sink());
    drop(stored);
    if let Some(failure) = source.into_failure() {
        return Err(Error::io("read", path)(failure));
    }
    rest.map_err(Error::io("read", path))?;
    let done = match done {
        Ok(done) => done,
        Err(Failure::Layer(error)) => return Err(broken_layer(digest, encoding, &error)),
        Err(Failure::Work(error)) => return Err(error),
    };
    expect_digest(digest, hasher.finish())?;
    match (diff_id, content_hasher.map(Hasher::finish)) {
        (Some((expected, _)), Some(actual)) if done.is_some() && *expected != actual => {
            Err(LayerError::DiffId { layer: digest.clone(), expected: expected.clone(), actual }.into())
        }
        _ => Ok(done),
    }
}

/// Returns whether a reader has no byte. If it has one, that is read.
fn is_empty(reader: &mut impl Read) -> io::Result<bool> {
    let mut first = Vec::new();
    reader.take(1).read_to_end(&mut first)?;
    Ok(first.is_empty())
}

/// Reads a stream on a thread, decompresses it on another one, and hashes the content on a third one, as far as there are threads.
/// Calls a function with the content.
fn decompressed<T>(
    mut stored: impl Read + Send,
    (encoding, size, bounds): (Encoding, Option<u64>, Bounds),
    hasher: Option<&mut Hasher>,
    work: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let is_small = size.is_none_or(|size| size < WORTH_A_THREAD);
    thread::scope(|scope| {
        let Some(decompressing) = (!is_small).then(|| worker(scope).ok()).flatten() else {
            let stored = BufReader::with_capacity(BUFFER, stored);
            let reader = bounded_decoder(encoding, stored, size, bounds)?;
            return work(&mut Hashed { reader, hasher });
        };
        let hashing = hasher.is_some().then(|| worker(scope).ok()).flatten();
        let stored: Box<dyn BufRead + Send> = match worker(scope) {
            Ok(reading) => {
                let (mut writer, reader) = pipe();
                // A stream that cannot be read ends early; its error is kept by its reader.
                reading.start(move || writer.fill_from(&mut stored).and_then(|()| writer.finish()));
                Box::new(reader)
            }
            Err(_) => Box::new(BufReader::with_capacity(BUFFER, stored)),
        };
        let decompress = move |mut writer: PipeWriter| {
            let mut content = bounded_decoder(encoding, stored, size, bounds)?;
            writer.fill_from(&mut content)?;
            writer.finish()
        };
        let (working, mut reader) = match (hashing, hasher) {
            (Some(hashing), Some(hasher)) => {
                let (writer, stage, reader) = staged_pipe();
                hashing.start(move || stage.run(|bytes| hasher.update(bytes)));
                (decompressing.start(move || decompress(writer)), Hashed { reader, hasher: None })
            }
            (_, hasher) => {
                let (writer, reader) = pipe();
                (decompressing.start(move || decompress(writer)), Hashed { reader, hasher })
            }
        };
        let done = work(&mut reader);
        drop(reader);
        match (working.join(), done) {
            // The pipe is broken because the work has ended.
            (Err(error), done) if error.kind() == io::ErrorKind::BrokenPipe => done,
            // The work fails because the content ends early: the cause is that of the decompressor.
            (Err(error), Ok(_) | Err(Failure::Layer(_))) => Err(error.into()),
            (_, done) => done,
        }
    })
}

/// Returns the error of a layer that cannot be read to its end. It names the layer: the layout may be a temporary one.
fn broken_layer(layer: &Digest, encoding: Encoding, error: &io::Error) -> Error {
    let layer = layer.clone();
    let error = match (TarError::of(error), bound_of(error), trailing_of(error)) {
        (Some(fault), _, _) => LayerError::MalformedTar { layer, reason: fault.to_string() },
        (_, Some(bound), _) => LayerError::Bound { layer, bound },
        (_, _, Some(trailing)) => LayerError::Corrupt { layer, reason: format!("is damaged: {trailing}") },
        (None, None, None) => {
            let reason = format!("is not a sound {} stream: {error}", encoding.name());
            LayerError::Corrupt { layer, reason }
        }
    };
    error.into()
}

/// Hashes the bytes that are read, if there is a hasher.
struct Hashed<'a, R> {
    reader: R,
    hasher: Option<&'a mut Hasher>,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.iter_mut().for_each(|hasher| hasher.update(&buffer[..read]));
        Ok(read)
    }
}
