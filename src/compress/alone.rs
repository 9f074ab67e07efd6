//! Compression on the calling thread, block by block.

use std::io::{self, Write as _};
use std::thread;

use super::encoding::{CompressFormat, Compression};
use super::gzip::{self, BlockCompressor};
use crate::workers::worker;

/// The number of bytes compressed at a time.
pub(super) const BLOCK: usize = gzip::BLOCK;

/// The input size of a zstd job. Part of the format on disk. Also determines most of the memory use: two threads take
/// about 30 MiB.
const ZSTD_JOB: u32 = 2 * 1024 * 1024;

/// Compresses blocks one after the other.
pub(super) struct Alone {
    pub(super) compression: Compression,
    pub(super) jobs: usize,
    stream: Option<Stream>,
}

/// The state of a stream after its first block.
enum Stream {
    Gzip { compressor: BlockCompressor, checksum: crc32fast::Hasher, size: u64 },
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Alone {
    pub(super) fn new(compression: Compression, jobs: usize) -> Self {
        Self { compression, jobs, stream: None }
    }

    /// Begins a zstd stream with the given bytes, unless a stream has begun. Returns whether the bytes were consumed.
    /// zstd starts its threads here, ahead of the optional threads of the code that produces the content.
    fn begin(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Compression { format, level } = self.compression;
        let begins = format == CompressFormat::Zstd && self.stream.is_none() && !bytes.is_empty();
        if begins {
            self.stream = Some(Stream::Zstd(begun_zstd_encoder(level, self.jobs, bytes)?));
        }
        Ok(begins)
    }

    /// Compresses the next block and appends the output. A block shorter than [`BLOCK`] is the last.
    pub(super) fn compress(&mut self, block: &[u8], result: &mut Vec<u8>) -> io::Result<()> {
        let Compression { format, level } = self.compression;
        let mut stream = match (self.stream.take(), format) {
            (Some(mut stream), _) => {
                if let Stream::Zstd(encoder) = &mut stream {
                    encoder.write_all(block)?;
                }
                stream
            }
            (None, CompressFormat::Gzip) => {
                result.extend(gzip::HEADER);
                let compressor = BlockCompressor::new(level);
                Stream::Gzip { compressor, checksum: crc32fast::Hasher::new(), size: 0 }
            }
            (None, CompressFormat::Zstd) => Stream::Zstd(begun_zstd_encoder(level, self.jobs, block)?),
        };
        let is_last = block.len() < BLOCK;
        match &mut stream {
            Stream::Gzip { compressor, checksum, size } => {
                compressor.compress(block, is_last, result);
                checksum.update(block);
                *size += block.len() as u64;
            }
            Stream::Zstd(encoder) => result.append(encoder.get_mut()),
        }
        match stream {
            stream if !is_last => self.stream = Some(stream),
            Stream::Gzip { checksum, size, .. } => result.extend(gzip::trailer(checksum.finalize(), size)),
            Stream::Zstd(encoder) => result.append(&mut encoder.finish()?),
        }
        Ok(())
    }
}

/// A writer that compresses on the calling thread. zstd also uses threads of its own. The output is the same as that of
/// [`compress`].
pub(crate) struct Compressing<W> {
    alone: Alone,
    block: Vec<u8>,
    result: Vec<u8>,
    writer: W,
}

impl<W: io::Write> Compressing<W> {
    pub(crate) fn new(compression: Compression, jobs: usize, writer: W) -> Self {
        Self { alone: Alone::new(compression, jobs), block: Vec::new(), result: Vec::new(), writer }
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.compress_block()?;
        self.writer.flush()
    }

    fn compress_block(&mut self) -> io::Result<()> {
        self.alone.compress(&self.block, &mut self.result)?;
        self.block.clear();
        self.writer.write_all(&self.result)?;
        self.result.clear();
        Ok(())
    }
}

impl<W: io::Write> io::Write for Compressing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.alone.begin(bytes)? {
            return Ok(bytes.len());
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.compress_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Creates an encoder and writes the first block to it, which starts its threads. Uses fewer threads if the system has
/// no more.
fn begun_zstd_encoder(level: u8, jobs: usize, first: &[u8]) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut jobs = jobs;
    loop {
        let mut encoder = zstd_encoder(level, jobs)?;
        match encoder.write_all(first) {
            Ok(()) => return Ok(encoder),
            Err(_) if jobs > 1 => jobs /= 2,
            // zstd reports a lack of threads as a lack of memory.
            Err(error) => return Err(no_thread().unwrap_or(error)),
        }
    }
}

/// Returns the error of starting a thread, if that fails.
fn no_thread() -> Option<io::Error> {
    let error = thread::scope(|scope| worker::<()>(scope).err())?;
    Some(io::Error::new(error.kind(), format!("no thread can be started: {error}")))
}

/// Creates an encoder whose output is the same for any number of threads. Without a thread of its own the output would
/// differ.
fn zstd_encoder(level: u8, jobs: usize) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level.into())?;
    encoder.include_checksum(true)?;
    encoder.multithread(u32::try_from(jobs).expect("jobs are few"))?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
    Ok(encoder)
}
