//! Stores a layer: from its file to its blob, in a single pass and constant memory.
//!
//! Slow steps run on threads of their own, with short queues between them. So memory use does not grow with a slow
//! disk, and an error in any step ends them all. The first error is reported.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::build::input::{LayerInput, Treatment};
use crate::compress::{BUFFER, Bounds, Compression, Encoding, Failure, Remembering, bounded_decoder, compress, peek};
use crate::error::{Error, Reason, Referrer, Result};
use crate::graph::severity::refusal;
use crate::layout::blobs::{NewBlob, PendingBlob};
use crate::layout::handle::Layout;
use crate::layout::staging_file::{Stage, StagedLayer};
use crate::metrics::{Metrics, Phase, Progress};
use crate::oci::{Algorithm, Digest, Hasher};
use crate::tar::check::TarCheck;
use crate::tar::fault::TarReport;
use crate::tar::header_fields::looks_like_tar;
use crate::tar::layer::Look;
use crate::workers::pool::Pool;
use crate::workers::worker;

/// The capacity of the queues between threads.
const QUEUE: usize = 4;

/// The diff_ids of layers, by the digest of the blob.
pub(crate) type DiffIds = HashMap<Digest, Digest>;

/// A layer that is stored, but not staged yet.
pub(crate) struct StoredLayer {
    pub(crate) blob: PendingBlob,
    pub(crate) diff_id: Digest,
    /// The result of checking the tar, if the layer is a tar.
    pub(crate) tar: Option<TarReport>,
}

/// Inspects the uncompressed content of a layer as a stream.
struct Inspection {
    hasher: Option<Hasher>,
    tar: Option<TarCheck>,
}

impl Inspection {
    /// Computes the diff_id, if it differs from the digest of the blob, and checks the tar, if `look` is given.
    fn new(has_own_diff_id: bool, look: Option<Look>) -> Self {
        Self { hasher: has_own_diff_id.then(|| Hasher::new(Algorithm::Sha256)), tar: look.map(TarCheck::new) }
    }

    /// Adds the next bytes.
    fn update(&mut self, bytes: &[u8]) {
        self.hasher.iter_mut().for_each(|hasher| hasher.update(bytes));
        self.tar.iter_mut().for_each(|tar| tar.update(bytes));
    }

    fn finish(self) -> (Option<Digest>, Option<TarReport>) {
        (self.hasher.map(Hasher::finish), self.tar.map(TarCheck::finish))
    }
}

/// The properties of the content to be read.
#[derive(Clone, Copy)]
struct Stream<'a> {
    path: &'a Path,
    encoding: Encoding,
    /// The size in bytes, if known.
    size: Option<u64>,
    bounds: Bounds,
    /// The depth of the check, if the content is a tar.
    look: Option<Look>,
}

impl Stream<'_> {
    /// Returns a reader of the decompressed content.
    fn decoder<'r>(&self, reader: impl BufRead + 'r) -> Result<Box<dyn Read + 'r>> {
        bounded_decoder(self.encoding, reader, self.size, self.bounds).map_err(|error| self.broken(error))
    }

    /// Returns the error for content that cannot be read to its end.
    fn broken(&self, source: io::Error) -> Error {
        Error::from_stream(self.path, self.encoding, source)
    }
}

/// A blob that has no name yet, and the inspection of its content.
type Stored<'l> = (NewBlob<'l>, Inspection);

fn garbage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "data after the end of the stream")
}

/// Fills a buffer with `size` bytes, or fewer at the end. Overwrites the old content of the buffer.
fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>, size: usize) -> io::Result<()> {
    /// The initial size of a new buffer. Small layers are common, and allocating fresh memory is slow.
    const START: usize = 32 * 1024;
    // The buffer is not cleared first: that would take as long as a copy.
    buffer.resize(size.min(buffer.capacity().max(START)), 0);
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length == size {
                return Ok(());
            }
            buffer.resize(size.min(length * 4), 0);
        }
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(length);
    Ok(())
}

/// Reads a layer and writes the bytes read to its blob.
struct Tee<'a, 'l, R> {
    first: &'a [u8],
    source: R,
    blob: &'a mut NewBlob<'l>,
    /// The error of writing the blob.
    failure: Option<io::Error>,
}

impl<R: Read> Read for Tee<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.first.is_empty() { self.source.read(buffer)? } else { self.first.read(buffer)? };
        self.blob.write_all(&buffer[..read]).map_err(|error| {
            let kind = error.kind();
            self.failure = Some(error);
            kind
        })?;
        Ok(read)
    }
}

/// Reads the bytes sent by another thread.
struct Queue<'a> {
    receiver: Receiver<Vec<u8>>,
    pool: &'a Pool,
    buffer: Vec<u8>,
    at: usize,
}

impl BufRead for Queue<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.buffer.len() {
            // Receiving fails at the end, when the sender is gone.
            let next = Metrics::wait(|| self.receiver.recv()).unwrap_or_default();
            self.pool.give(std::mem::replace(&mut self.buffer, next));
            self.at = 0;
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Queue<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.fill_buf()?;
        let read = rest.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Writes the blob of a layer and computes its diff_id.
pub(crate) fn store_layer(
    layout: &Layout,
    input: LayerInput,
    treatment: Treatment,
    jobs: usize,
    bounds: Bounds,
    look: Look,
    progress: Progress<'_>,
) -> Result<StoredLayer> {
    let LayerInput { path, reader, encoding, size, is_tar, is_own } = input;
    let stream = Stream { path: &path, encoding, size, bounds, look: (is_tar && !is_own).then_some(look) };
    let mut source = Remembering::new(layout.metrics().reader(reader), |bytes| {
        progress.add(bytes.len() as u64);
    });
    let stored = match treatment {
        Treatment::AsIs if matches!(encoding, Encoding::Gzip | Encoding::Zstd) => {
            store_as_it_is(layout, stream, &mut source)
        }
        // Layers use only these encodings. Content in any other encoding is stored unchanged.
        Treatment::AsIs => store_plain(layout, Stream { encoding: Encoding::Identity, ..stream }, &mut source),
        Treatment::Decompress => store_plain(layout, stream, &mut source),
        Treatment::Compress(compression) => {
            let stream = Stream { encoding: Encoding::Identity, ..stream };
            store_compressed(layout, stream, &mut source, compression, jobs)
        }
        Treatment::Recompress(compression) => store_compressed(layout, stream, &mut source, compression, jobs),
    };
    // An error of the input is the cause of later errors.
    if let Some(failure) = source.into_failure() {
        return Err(Error::io("read", path)(failure));
    }
    let (blob, inspection) = stored?;
    let (diff_id, tar) = inspection.finish();
    if let Some(reason) = tar.as_ref().and_then(refusal) {
        return Err(Error::TruncatedTar { path, reason: Reason::new(reason) });
    }
    let blob = blob.finish()?;
    let diff_id = diff_id.unwrap_or_else(|| blob.digest.clone());
    Ok(StoredLayer { blob, diff_id, tar })
}

/// Stores the content uncompressed. The diff_id is the digest of the blob.
fn store_plain<'l>(layout: &'l Layout, stream: Stream<'_>, source: &mut impl Read) -> Result<Stored<'l>> {
    let mut blob = layout.new_blob()?;
    let mut inspection = Inspection::new(false, stream.look);
    read_content(layout, stream, BufReader::with_capacity(BUFFER, source), |bytes| {
        inspection.update(&bytes);
        blob.write_all(&bytes).map_err(Error::io("write to", layout.path()))?;
        Ok(bytes)
    })?;
    Ok((blob, inspection))
}

/// Stores a compressed layer unchanged. Other threads decompress and hash the bytes.
fn store_as_it_is<'l>(layout: &'l Layout, stream: Stream<'_>, source: &mut impl Read) -> Result<Stored<'l>> {
    let mut blob = layout.new_blob()?;
    let mut first = Vec::new();
    // The source keeps its error.
    let is_whole = fill(source, &mut first, BUFFER).is_err() || first.len() < BUFFER;
    if is_whole {
        // A small layer is read in less time than it takes to start a thread.
        blob.write_all(&first).map_err(Error::io("write to", layout.path()))?;
        let inspection = inspect(layout, stream, first.as_slice())?;
        return Ok((blob, inspection));
    }
    let (stored, plain) = (&Pool::default(), &Pool::default());
    thread::scope(|scope| {
        let (Ok(decoder), Ok(hasher)) = (worker(scope), worker(scope)) else {
            let mut tee = Tee { first: first.as_slice(), source, blob: &mut blob, failure: None };
            let inspection = inspect(layout, stream, &mut tee);
            let rest = inspection.as_ref().map_or(Ok(0), |_| io::copy(&mut tee, &mut io::sink()));
            return match (tee.failure, rest) {
                (Some(error), _) => Err(Error::io("write to", layout.path())(error)),
                (None, Ok(1..)) => Err(stream.broken(garbage())),
                // The source keeps its error.
                (None, _) => Ok((blob, inspection?)),
            };
        };
        let (to_decoder, from_source) = sync_channel::<Vec<u8>>(QUEUE);
        let (to_hasher, from_decoder) = sync_channel::<Vec<u8>>(QUEUE);
        let decoding = decoder.start(move || {
            let queue = Queue { receiver: from_source, pool: stored, buffer: Vec::new(), at: 0 };
            read_content(layout, stream, queue, |bytes| {
                to_hasher.send(bytes).expect("the hasher takes everything");
                Ok(plain.take())
            })
        });
        let hashing = hasher.start(move || {
            let mut inspection = Inspection::new(true, stream.look);
            for bytes in from_decoder {
                layout.metrics().time(Phase::Hash, || inspection.update(&bytes));
                plain.give(bytes);
            }
            inspection
        });
        let mut bytes = first;
        let copied = loop {
            if let Err(error) = blob.write_all(&bytes) {
                break Err(Error::io("write to", layout.path())(error));
            }
            if to_decoder.send(bytes).is_err() {
                // The decoder has ended: either with an error of its own, or because this is garbage after the stream.
                break Err(stream.broken(garbage()));
            }
            bytes = stored.take();
            if fill(source, &mut bytes, BUFFER).is_err() || bytes.is_empty() {
                break Ok(());
            }
        };
        drop(to_decoder);
        let decoded = decoding.join();
        let inspection = hashing.join();
        match copied {
            Err(error @ Error::Io { .. }) => return Err(error),
            copied => decoded.and(copied)?,
        }
        Ok((blob, inspection))
    })
}

/// Compresses a layer. Decompresses it first if it is in another format.
fn store_compressed<'l>(
    layout: &'l Layout,
    stream: Stream<'_>,
    source: &mut impl Read,
    compression: Compression,
    jobs: usize,
) -> Result<Stored<'l>> {
    let mut blob = layout.new_blob()?;
    let mut content = stream.decoder(BufReader::with_capacity(BUFFER, source))?;
    let mut inspection = Inspection::new(true, stream.look);
    let (mut read, mut written) = (0, 0);
    compress(
        compression,
        jobs,
        |block, size| {
            layout
                .metrics()
                .time(Phase::Compress, || fill(&mut content, block, size))
                .map_err(|error| stream.broken(error))?;
            read += block.len() as u64;
            layout.metrics().time(Phase::Hash, || inspection.update(block));
            Ok(())
        },
        |bytes| {
            written += bytes.len() as u64;
            blob.write_all(bytes).map_err(Error::io("write to", layout.path()))
        },
        &|time| layout.metrics().add(Phase::Compress, time),
    )
    .map_err(|failure| match failure {
        Failure::Compressor(source) => Error::Compress { path: stream.path.to_owned(), source },
        Failure::Caller(error) => error,
    })?;
    // A layer that validation and readers would refuse is not made.
    let bounds = stream.bounds.check(written, read);
    bounds.map_err(|bound| Error::BeyondBound { path: stream.path.to_owned(), bound })?;
    Ok((blob, inspection))
}

/// Computes the missing diff_ids of staged layers from their blobs.
pub(crate) fn diff_ids(layout: &Layout, stage: &Stage) -> Result<DiffIds> {
    let mut known = DiffIds::new();
    complete_diff_ids(layout, &mut stage.layers.clone(), &mut known)?;
    Ok(known)
}

/// Fills in the missing diff_ids of layers. Computes those that are not in `known`, and adds them.
pub(crate) fn complete_diff_ids(layout: &Layout, layers: &mut [StagedLayer], known: &mut DiffIds) -> Result<()> {
    for layer in layers.iter_mut().filter(|layer| layer.diff_id.is_none()) {
        if !known.contains_key(&layer.digest) {
            known.insert(layer.digest.clone(), diff_id_of_blob(layout, &layer.digest)?);
        }
        layer.diff_id = known.get(&layer.digest).cloned();
    }
    Ok(())
}

fn diff_id_of_blob(layout: &Layout, digest: &Digest) -> Result<Digest> {
    let (file, size) = layout.open_blob(digest, &Referrer::Stage)?;
    let path = layout.blob_path(digest);
    let (sight, reader) = peek(file, looks_like_tar).map_err(Error::io("read", &path))?;
    // Layers use only these encodings. A blob in any other encoding was stored unchanged.
    let encoding = match sight.encoding {
        stored @ (Encoding::Gzip | Encoding::Zstd) => stored,
        _ => Encoding::Identity,
    };
    let stream = Stream { path: &path, encoding, size: Some(size), bounds: Bounds::default(), look: None };
    let (diff_id, _) = inspect(layout, stream, reader)?.finish();
    Ok(diff_id.expect("it was asked for"))
}

/// Decompresses a layer to its end and inspects the content.
fn inspect(layout: &Layout, stream: Stream<'_>, stored: impl Read) -> Result<Inspection> {
    let mut inspection = Inspection::new(true, stream.look);
    read_content(layout, stream, BufReader::with_capacity(BUFFER, stored), |bytes| {
        layout.metrics().time(Phase::Hash, || inspection.update(&bytes));
        Ok(bytes)
    })?;
    Ok(inspection)
}

/// Reads a stream to its end. Calls `each` with each buffer of content; `each` returns a buffer for reuse.
fn read_content(
    layout: &Layout,
    stream: Stream<'_>,
    reader: impl BufRead,
    mut each: impl FnMut(Vec<u8>) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut content = stream.decoder(reader)?;
    let mut buffer = Vec::new();
    loop {
        let filled = layout.metrics().time(Phase::Compress, || fill(&mut content, &mut buffer, BUFFER));
        filled.map_err(|error| stream.broken(error))?;
        if buffer.is_empty() {
            return Ok(());
        }
        buffer = each(buffer)?;
    }
}

#[cfg(test)]
mod tests {
    use crate::build::config::ConfigOptions;
    use crate::build::input::LayerInput;
    use crate::build::input::LayerOptions;
    use crate::build::manifest::ManifestOptions;
    use crate::compress::CompressFormat;
    use crate::layout::handle::Layout;
    use crate::transfer::contents::ExportOptions;
    use crate::transfer::format::{ArchiveKind, Format};
    use crate::view::index_view::View;
    use crate::workers::crew::tests::with_threads;

    /// Exports a view as an archive.
    fn archive_of(view: &View, compression: Option<CompressFormat>) -> Vec<u8> {
        let format = Format::Archive { kind: ArchiveKind::Oci, compression };
        let mut archive = Vec::new();
        let plan = view.plan_export(format, &ExportOptions::default()).expect("planned");
        plan.write_to(&mut archive).expect("exported");
        archive
    }

    /// Builds a tar with a single incompressible file of 3 MiB.
    fn tar() -> Vec<u8> {
        let mut state = 1u32;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        });
        let content: Vec<u8> = noise.take(3 << 20).collect();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut header, "noise", content.as_slice()).expect("written");
        tar.into_inner().expect("written")
    }

    #[test]
    fn an_image_is_made_and_exported_the_same_where_there_are_fewer_threads() {
        let directory = tempfile::tempdir().expect("a directory");
        let tar = tar();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &tar).expect("written");
        let gzip = encoder.finish().expect("written");
        let make = |name: &str, threads: usize| {
            let path = directory.path().join(name);
            with_threads(threads, || {
                let layout = Layout::init(&path).expect("made");
                for content in [tar.clone(), gzip.clone()] {
                    let input = LayerInput::from_reader("layer.tar", std::io::Cursor::new(content)).expect("opened");
                    layout.stage_layer(input, &LayerOptions::default()).expect("staged");
                }
                layout.generate_config(&ConfigOptions::default()).expect("made");
                let manifest = layout.generate_manifest(&ManifestOptions::default()).expect("made");
                let view = View::open(&path).expect("opened");
                let plan = view.plan_export(Format::Directory, &ExportOptions::default()).expect("planned");
                plan.write(directory.path().join(format!("{name}-copy"))).expect("exported");
                (manifest.digest, archive_of(&view, None))
            })
        };
        let (digest, archive) = make("all", usize::MAX);
        for threads in 0..4 {
            let (limited_digest, limited_archive) = make(&threads.to_string(), threads);
            assert_eq!(limited_digest, digest, "{threads} threads");
            assert!(limited_archive == archive, "{threads} threads");
            let copy = Layout::open(directory.path().join(format!("{threads}-copy"))).expect("opened");
            assert!(copy.validate(&Default::default()).expect("read").is_valid(), "{threads} threads");
        }
        // Compressed archives are the same as well. The threads of zstd are not counted here.
        let view = View::open(directory.path().join("all")).expect("opened");
        for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
            let export = || archive_of(&view, Some(format));
            let archive = export();
            for threads in 0..4 {
                assert!(with_threads(threads, export) == archive, "{format:?}, {threads} threads");
            }
        }
    }
}
