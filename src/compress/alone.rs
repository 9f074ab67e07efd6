//! Compression on the calling thread, block by block.

use std::io;

use super::encoding::{CompressFormat, Compression};
use super::gzip::{self, BlockCompressor};
use super::zstd_stream::ZstdStream;

/// The number of bytes compressed at a time.
pub(super) const BLOCK: usize = gzip::BLOCK;

/// Compresses blocks one after the other.
pub(super) struct Alone {
    pub(super) compression: Compression,
    pub(super) jobs: usize,
    stream: Option<Stream>,
}

/// The state of a stream after its first block.
enum Stream {
    Gzip { compressor: BlockCompressor, checksum: crc32fast::Hasher, size: u64 },
    Zstd(ZstdStream),
}

impl Alone {
    pub(super) fn new(compression: Compression, jobs: usize) -> Self {
        Self { compression, jobs, stream: None }
    }

    /// Continues a zstd stream.
    pub(super) fn resume(self, stream: ZstdStream) -> Self {
        Self { stream: Some(Stream::Zstd(stream)), ..self }
    }

    /// Begins a zstd stream with the given bytes, unless a stream has begun. Returns whether the bytes were consumed.
    /// zstd starts its threads here, ahead of the optional threads of the code that produces the content.
    fn begin(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Compression { format, level } = self.compression;
        let begins = format == CompressFormat::Zstd && self.stream.is_none() && !bytes.is_empty();
        if begins {
            self.stream = Some(Stream::Zstd(ZstdStream::begin(level, self.jobs, bytes)?));
        }
        Ok(begins)
    }

    /// Compresses the next block and appends the output. Blocks of gzip have the size [`BLOCK`], but for the last one.
    pub(super) fn compress(&mut self, block: &[u8], is_last: bool, result: &mut Vec<u8>) -> io::Result<()> {
        let Compression { format, level } = self.compression;
        let mut stream = match (self.stream.take(), format) {
            (Some(mut stream), _) => {
                if let Stream::Zstd(stream) = &mut stream {
                    stream.write(block)?;
                }
                stream
            }
            (None, CompressFormat::Gzip) => {
                result.extend(gzip::HEADER);
                let compressor = BlockCompressor::new(level);
                Stream::Gzip { compressor, checksum: crc32fast::Hasher::new(), size: 0 }
            }
            (None, CompressFormat::Zstd) => Stream::Zstd(ZstdStream::begin(level, self.jobs, block)?),
        };
        match &mut stream {
            Stream::Gzip { compressor, checksum, size } => {
                compressor.compress(block, is_last, result);
                checksum.update(block);
                *size += block.len() as u64;
            }
            Stream::Zstd(stream) => stream.take_output(result),
        }
        match stream {
            stream if !is_last => self.stream = Some(stream),
            Stream::Gzip { checksum, size, .. } => result.extend(gzip::trailer(checksum.finalize(), size)),
            Stream::Zstd(stream) => stream.finish(result)?,
        }
        Ok(())
    }
}

/// A writer that compresses on the calling thread. zstd also uses threads of its own. The output is the same as that of
/// [`compress`](super::compress).
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
        let is_last = self.block.len() < BLOCK;
        self.alone.compress(&self.block, is_last, &mut self.result)?;
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
