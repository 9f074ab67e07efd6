//! Exporting to a file or stream, in some format.

use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, available_parallelism};

use super::dir::export_dir;
use super::format::{ArchiveKind, Format};
use super::plan::{ExportOptions, Exported, Plan};
use super::tar::Packed;
use crate::compress::{self, CompressFormat, Compressing, Compression, Failure};
use crate::error::{Error, Result};
use crate::fs::Output;
use crate::layout::blobs::EarlySync;
use crate::view::index_view::View;
use crate::workers::worker;

/// How many bytes go from the archive to the compressor at a time.
const PIECE: usize = 1024 * 1024;

/// How many pieces wait for the compressor.
const QUEUE: usize = 2;

/// Finds what an export in a format holds, as [`View::plan_export`] does.
///
/// # Errors
///
/// Those of [`View::plan_export`]; [`Error::CannotHold`].
pub fn plan_export(view: &View, format: Format, options: &ExportOptions<'_>) -> Result<Plan> {
    match format {
        Format::Archive { kind, .. } => Ok(Packed::new(view, kind, options)?.plan),
        Format::Directory => view.plan_export(options),
    }
}

/// Writes a view to a path. An archive replaces the file that is there when it is whole; a path that names an open descriptor,
/// a pipe or a device is written to as `write_file` says.
///
/// # Errors
///
/// Those of [`export_dir`], [`export_tar`](super::export_tar) and [`export_docker_tar`](super::export_docker_tar). After an
/// error everything is as it was.
pub fn export(view: &View, path: impl AsRef<Path>, format: Format, options: &ExportOptions<'_>) -> Result<Exported> {
    let path = path.as_ref();
    let Format::Archive { kind, compression } = format else { return export_dir(view, path, options) };
    // What cannot be exported changes nothing, a pipe included.
    let packed = Packed::new(view, kind, options)?;
    let failed = || Error::io("write to", path);
    let output = Output::create(path).map_err(failed())?;
    let mut output = Synced { output, written: 0, early_sync: (!options.write.no_sync).then(EarlySync::default) };
    let exported = write(packed, &mut output, path, compression, options)?;
    output.finish().map_err(failed())?;
    Ok(exported)
}

/// Writes a view as an archive to a stream.
///
/// # Errors
///
/// Those of [`export`]. What was written by then is of no use.
pub fn export_stream(
    view: &View,
    writer: impl Write + Send,
    kind: ArchiveKind,
    compression: Option<CompressFormat>,
    options: &ExportOptions<'_>,
) -> Result<Exported> {
    write(Packed::new(view, kind, options)?, writer, Path::new("standard output"), compression, options)
}

fn write(
    packed: Packed,
    writer: impl Write + Send,
    path: &Path,
    compression: Option<CompressFormat>,
    options: &ExportOptions<'_>,
) -> Result<Exported> {
    let Some(format) = compression else {
        let writer = BufWriter::with_capacity(PIECE, writer);
        return packed.write(writer, path, options);
    };
    let compression = Compression::new(format, None).expect("every format has a usual level");
    let jobs = available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        // zstd has threads of its own, of which it needs one: where there are few, it must get them.
        let thread = if format == CompressFormat::Gzip { worker(scope).ok() } else { None };
        let Some(thread) = thread else {
            let mut compressing = Compressing::new(compression, jobs, writer);
            let exported = packed.write(&mut compressing, path, options)?;
            compressing.finish().map_err(Error::io("write to", path))?;
            return Ok(exported);
        };
        // The archive is written on a thread of its own; the compressor takes what it wants of it.
        let (sender, receiver) = sync_channel(QUEUE);
        let archive = thread.start(move || {
            let writer = BufWriter::with_capacity(PIECE, Sender(sender));
            packed.write(writer, path, options)
        });
        let compressed = compress_stream(compression, jobs, receiver, writer);
        let exported = archive.join();
        match (exported, compressed) {
            // The archive ends early if nobody takes it any more: then the other error is the cause.
            (Ok(_) | Err(Error::Io { .. }), Err(error)) => Err(Error::io("write to", path)(error)),
            (exported, _) => exported,
        }
    })
}

fn compress_stream(
    compression: Compression,
    jobs: usize,
    receiver: Receiver<Vec<u8>>,
    mut writer: impl Write + Send,
) -> io::Result<()> {
    let mut input = Pieces { receiver, piece: io::Cursor::default() };
    let read = |block: &mut Vec<u8>, size: usize| {
        block.clear();
        input.by_ref().take(size as u64).read_to_end(block).map(drop)
    };
    let write = |bytes: &[u8]| writer.write_all(bytes);
    compress::compress(compression, jobs, read, write, &|_| ()).map_err(|failure| match failure {
        Failure::Compressor(error) | Failure::Caller(error) => error,
    })?;
    writer.flush()
}

/// A file that comes to the disk while it is being written.
struct Synced {
    output: Output,
    written: u64,
    /// `None` if nobody waits for the disk.
    early_sync: Option<EarlySync>,
}

impl Synced {
    /// Gives the file its name, and waits until both are on the disk.
    fn finish(self) -> io::Result<()> {
        match self.early_sync {
            Some(mut early_sync) => {
                early_sync.finish()?;
                self.output.finish_synced()
            }
            None => self.output.finish(),
        }
    }
}

impl Write for Synced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.written += written as u64;
        if let (Some(early_sync), Some(file)) = (&mut self.early_sync, self.output.file()) {
            early_sync.go_on(file, self.written)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Sends what is written to another thread.
struct Sender(SyncSender<Vec<u8>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_owned()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what another thread sends.
struct Pieces {
    receiver: Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.receiver.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(_) => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        let archive = |compression| Format::Archive { kind: ArchiveKind::Oci, compression };
        for (name, format) in [
            ("x.tar", archive(None)),
            ("a.b/x.TAR", archive(None)),
            ("x.tar.gz", archive(Some(CompressFormat::Gzip))),
            ("x.tgz", archive(Some(CompressFormat::Gzip))),
            ("x.tar.zst", archive(Some(CompressFormat::Zstd))),
            ("x", Format::Directory),
            ("x.tar/", archive(None)),
            ("tar", Format::Directory),
        ] {
            assert_eq!(Format::of_name(Path::new(name)), format, "{name}");
            assert!(!Format::is_unknown_archive(Path::new(name)), "{name}");
        }
        for name in ["x.tar.xz", "x.TAR.BZ2", "a/x.txz", "x.zip", "x.7z", "x.gz", "x.tar.lz4"] {
            assert_eq!(Format::of_name(Path::new(name)), Format::Directory, "{name}");
            assert!(Format::is_unknown_archive(Path::new(name)), "{name}");
        }
        for name in ["xz", "app-1.7", "x.tar.d", "zip", "registry.example"] {
            assert!(!Format::is_unknown_archive(Path::new(name)), "{name}");
        }
    }
}
