//! Writing an archive, compressed or not, to a file or a stream.

use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::{self, available_parallelism};

use crate::compress::{self, CompressFormat, Compressing, Compression, Failure};
use crate::error::{Error, Result};
use crate::fs::Output;
use crate::layout::blobs::EarlySync;
use crate::layout::leftovers::create_output;
use crate::layout::options::WriteOptions;
use crate::workers::pipe::{PipeReader, pipe};
use crate::workers::worker;

/// The number of bytes passed from the archive to the compressor at a time.
const PIECE: usize = 1024 * 1024;

/// Writes an archive to a path: calls a function with a writer of its plain bytes. An existing file is replaced only when
/// the archive is complete. An open descriptor, a pipe or a device is written to directly.
pub(crate) fn write_file<T: Send>(
    path: &Path,
    compression: Option<CompressFormat>,
    options: &WriteOptions,
    archive: impl FnOnce(&mut dyn Write) -> Result<T> + Send,
) -> Result<T> {
    let failed = || Error::io("write to", path);
    let output = create_output(path, &options.interrupt).map_err(failed())?;
    let waits_for_disk = !options.no_sync;
    let mut output = Synced { output, written: 0, early_sync: waits_for_disk.then(EarlySync::default) };
    let written = write(&mut output, path, compression, archive)?;
    output.finish().map_err(failed())?;
    Ok(written)
}

/// Writes an archive to a stream, as [`write_file`] does to a path. Errors show `path` as its name.
pub(crate) fn write<T: Send>(
    writer: impl Write + Send,
    path: &Path,
    compression: Option<CompressFormat>,
    archive: impl FnOnce(&mut dyn Write) -> Result<T> + Send,
) -> Result<T> {
    let Some(format) = compression else {
        let mut writer = BufWriter::with_capacity(PIECE, writer);
        let written = archive(&mut writer)?;
        writer.flush().map_err(Error::io("write to", path))?;
        return Ok(written);
    };
    let compression = Compression::new(format, None).expect("every format has a usual level");
    let jobs = available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        // zstd starts threads of its own and needs at least one. Where threads are scarce, they are left to zstd.
        let thread = if format == CompressFormat::Gzip { worker(scope).ok() } else { None };
        let Some(thread) = thread else {
            let mut compressing = Compressing::new(compression, jobs, writer);
            let written = archive(&mut compressing)?;
            compressing.finish().map_err(Error::io("write to", path))?;
            return Ok(written);
        };
        // The archive is written on a thread of its own; the compressor reads from its pipe.
        let (mut pipe, archive_bytes) = pipe();
        let archive = thread.start(move || {
            let written = archive(&mut pipe);
            // If the archive failed, its error is the result, not the end of the pipe.
            let _ = pipe.finish();
            written
        });
        let compressed = compress_stream(compression, jobs, archive_bytes, writer);
        let written = archive.join();
        match (written, compressed) {
            // The archive fails with an I/O error when the compressor stops reading: then the compressor's error is the
            // cause.
            (Ok(_) | Err(Error::Io { .. }), Err(error)) => Err(Error::io("write to", path)(error)),
            (written, _) => written,
        }
    })
}

fn compress_stream(
    compression: Compression,
    jobs: usize,
    mut input: PipeReader,
    mut writer: impl Write + Send,
) -> io::Result<()> {
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

/// A file that is synced in parts while it is being written.
struct Synced {
    output: Output,
    written: u64,
    /// `None` if the file is not synced.
    early_sync: Option<EarlySync>,
}

impl Synced {
    /// Renames the file to its path, and syncs both.
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
