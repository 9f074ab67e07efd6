//! Reads blobs to verify their digests, and decompresses layers. Each blob is read once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Read};

use crate::check::report::ValidateOptions;
use crate::compress::{BUFFER, Encoding, Remembering, bound_of, bounded_decoder, trailing_of};
use crate::error::{Error, Referrer, Result};
use crate::graph::verify::expect_digest;
use crate::layout::handle::Layout;
use crate::metrics::Phase;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::tar::check::TarCheck;
use crate::tar::fault::TarReport;
use crate::tar::layer::Look;
use crate::workers::map::{cores, map_bounded};

/// A blob to verify.
pub(crate) struct Job {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// The algorithms of the expected diff_ids, if the blob is a layer to decompress.
    pub(crate) look_into: Option<Vec<Algorithm>>,
}

/// The result of verifying a blob.
pub(crate) struct Verified {
    /// The digest differs, or the blob could not be read.
    pub(crate) error: Option<Error>,
    pub(crate) layer: Option<LayerContent>,
}

/// The detected content of a layer.
pub(crate) struct LayerContent {
    pub(crate) encoding: Encoding,
    /// The decompressed content, or why decompression failed.
    pub(crate) content: Result<Content, String>,
}

pub(crate) struct Content {
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) tar: TarReport,
}

/// Verifies blobs, the largest first, on as many threads as there are cores.
pub(crate) fn verify_blobs(
    layout: &Layout,
    mut jobs: Vec<Job>,
    options: ValidateOptions<'_>,
) -> HashMap<Digest, Verified> {
    jobs.sort_by(|one, other| (Reverse(one.size), &one.digest).cmp(&(Reverse(other.size), &other.digest)));
    let verify = |job: Job| Ok::<_, Infallible>((job.digest.clone(), verify_blob(layout, &job, options)));
    let Ok(verified) = map_bounded(jobs, cores(), verify);
    verified.into_iter().collect()
}

fn verify_blob(layout: &Layout, job: &Job, options: ValidateOptions<'_>) -> Verified {
    let digest = &job.digest;
    let (file, size) = match layout.open_blob(digest, &Referrer::Index) {
        Ok(opened) => opened,
        Err(error) => return Verified { error: Some(error), layer: None },
    };
    let Some(algorithms) = &job.look_into else {
        let advance = |bytes| options.progress.add(bytes);
        // An unsupported algorithm has been reported already.
        let verified = if digest.algorithm().is_some() { layout.verify(digest, file, advance) } else { Ok(()) };
        return Verified { error: verified.err(), layer: None };
    };
    let mut hasher = digest.algorithm().map(Hasher::new);
    let metrics = layout.metrics();
    let mut source = Remembering::new(metrics.reader(file), |bytes| {
        options.progress.add(bytes.len() as u64);
        metrics.time(Phase::Hash, || hasher.iter_mut().for_each(|hasher| hasher.update(bytes)));
    });
    let mut reader = BufReader::with_capacity(BUFFER, &mut source);
    let layer = look_into(layout, &mut reader, size, algorithms, options);
    // Decompression may stop early; the digest covers all bytes.
    let _ = io::copy(&mut reader, &mut io::sink());
    if let Some(failure) = source.into_failure() {
        return Verified { error: Some(Error::io("read", layout.blob_path(digest))(failure)), layer: None };
    }
    let verified = hasher.map_or(Ok(()), |hasher| expect_digest(digest, hasher.finish()));
    // With a wrong digest the content of the layer is meaningless.
    let layer = if verified.is_ok() { Some(layer) } else { None };
    Verified { error: verified.err(), layer }
}

fn look_into(
    layout: &Layout,
    reader: &mut impl BufRead,
    size: u64,
    algorithms: &[Algorithm],
    options: ValidateOptions<'_>,
) -> LayerContent {
    // Reading a file returns at least these few bytes at once, if the file has them.
    let encoding = Encoding::of(reader.fill_buf().unwrap_or_default());
    let content = decompress(layout, encoding, reader, size, algorithms, options);
    LayerContent { encoding, content }
}

fn decompress(
    layout: &Layout,
    encoding: Encoding,
    reader: &mut impl BufRead,
    size: u64,
    algorithms: &[Algorithm],
    options: ValidateOptions<'_>,
) -> Result<Content, String> {
    let unsound = |error: io::Error| match (bound_of(&error), trailing_of(&error)) {
        (Some(bound), _) => format!("the blob {bound}"),
        (None, Some(trailing)) => trailing.to_string(),
        (None, None) => format!("the blob is not a sound {} stream: {error}", encoding.name()),
    };
    let mut decoder = bounded_decoder(encoding, reader, Some(size), options.bounds).map_err(unsound)?;
    let mut hashers: Vec<_> = algorithms.iter().copied().map(Hasher::new).collect();
    let mut tar = TarCheck::new(Look::Content);
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = match layout.metrics().time(Phase::Compress, || decoder.read(&mut buffer)) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unsound(error)),
        };
        let bytes = &buffer[..read];
        layout.metrics().time(Phase::Hash, || hashers.iter_mut().for_each(|hasher| hasher.update(bytes)));
        tar.update(bytes);
    }
    Ok(Content { diff_ids: hashers.into_iter().map(Hasher::finish).collect(), tar: tar.finish() })
}
