//! Compressed streams: telling them apart, reading them, writing them.
//!
//! The only module that names a compression crate. The parameters that fix the bytes of a compressed layer stand here,
//! and nowhere else: equal input and equal parameters give equal bytes on every machine, whatever the sizes of the
//! pieces in which the input comes.

mod detect;

pub(crate) use detect::{Peeked, peek};

use std::io::{self, BufReader, Read, Write};

/// How the bytes of a file are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all, or in a way that this program does not know.
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
}

impl Encoding {
    /// Returns the name that people use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// Tells an encoding by the first bytes of a file.
    pub(crate) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable one that precedes it (RFC 8878, sections 3.1.1 and 3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // "BZh", the block size, and the mark of a block or of the end of an empty stream.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Self::Bzip2,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            _ => Self::Identity,
        }
    }
}

/// What a layer that comes uncompressed is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CompressFormat {
    /// gzip: what every consumer reads.
    #[default]
    Gzip,
    /// Zstandard: smaller and faster to unpack, for consumers of today.
    Zstd,
}

impl CompressFormat {
    /// Returns the encoding of what is written.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Gzip => Encoding::Gzip,
            Self::Zstd => Encoding::Zstd,
        }
    }
}

/// The bytes that are handed on at a time. Fixes nothing on disk.
pub(crate) const BUFFER: usize = 256 * 1024;

/// How many bytes of input a compressor is given at a time. Fixes bytes on disk.
const BLOCK: usize = 256 * 1024;

/// The gzip level. Fixes bytes on disk: another level gives layers other digests.
const GZIP_LEVEL: u32 = 6;

/// The zstd level. Fixes bytes on disk: another level gives layers other digests.
const ZSTD_LEVEL: i32 = 3;

/// The most memory that reading an xz stream may take, in KiB: what `xz -9` needs, and some.
const XZ_MEMORY_KIB: u32 = 128 * 1024;

/// Reads a compressed stream as what was compressed.
///
/// All members, frames or streams up to the end of the input are read; what follows them must be another one.
pub(crate) fn decoder<'a>(encoding: Encoding, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(reader),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, reader))),
        Encoding::Zstd => Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER, reader))?),
        Encoding::Xz => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(BufReader::with_capacity(BUFFER, reader), true, XZ_MEMORY_KIB))
        }
        Encoding::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(BufReader::with_capacity(BUFFER, reader))),
    })
}

/// Writes a compressed stream.
///
/// The compressors' output depends on how their input is cut into pieces, so they are given whole blocks only.
pub(crate) struct Encoder<W: Write> {
    block: Vec<u8>,
    stream: Stream<W>,
}

enum Stream<W: Write> {
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Starts a stream. The gzip header holds neither a name nor a time, nor the system that wrote it.
    pub(crate) fn new(format: CompressFormat, writer: W) -> io::Result<Self> {
        let stream = match format {
            CompressFormat::Gzip => {
                Stream::Gzip(flate2::GzBuilder::new().write(writer, flate2::Compression::new(GZIP_LEVEL)))
            }
            CompressFormat::Zstd => {
                let mut encoder = zstd::Encoder::new(writer, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Stream::Zstd(encoder)
            }
        };
        Ok(Self { block: Vec::with_capacity(BLOCK), stream })
    }

    /// Returns what the stream is written to.
    pub(crate) fn output(&mut self) -> &mut W {
        match &mut self.stream {
            Stream::Gzip(encoder) => encoder.get_mut(),
            Stream::Zstd(encoder) => encoder.get_mut(),
        }
    }

    /// Ends the stream and returns what it was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.write_block()?;
        match self.stream {
            Stream::Gzip(encoder) => encoder.finish(),
            Stream::Zstd(encoder) => encoder.finish(),
        }
    }

    fn write_block(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Gzip(encoder) => encoder.write_all(&self.block),
            Stream::Zstd(encoder) => encoder.write_all(&self.block),
        }?;
        self.block.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..length]);
        if self.block.len() == BLOCK {
            self.write_block()?;
        }
        Ok(length)
    }

    /// Does nothing: a stream that was flushed would have other bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    fn compress(format: CompressFormat, content: &[u8], piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(format, Vec::new()).expect("an encoder");
        content.chunks(piece).for_each(|piece| encoder.write_all(piece).expect("written"));
        encoder.finish().expect("finished")
    }

    /// Text that compresses, but not to nothing.
    fn sample() -> Vec<u8> {
        (0u32..300_000).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 22).to_le_bytes()).collect()
    }

    #[test]
    fn the_bytes_of_a_layer_are_a_promise() {
        // These digests change only with a reason in the changelog.
        let digest = |format| Digest::sha256_of(&compress(format, &sample(), 1 << 16)).encoded()[..16].to_owned();
        assert_eq!(
            [digest(CompressFormat::Gzip), digest(CompressFormat::Zstd)],
            ["f59bf898e4bf1f13", "50fe0e0431e14ce2"]
        );
    }

    #[test]
    fn what_is_written_does_not_depend_on_the_pieces_and_reads_back() {
        for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
            let whole = compress(format, &sample(), usize::MAX);
            assert_eq!(Encoding::of(&whole), format.encoding());
            for piece in [997, 65_536] {
                assert!(compress(format, &sample(), piece) == whole, "{format:?} in pieces of {piece}");
            }
            let twice = [whole.as_slice(), whole.as_slice()].concat();
            let mut read = Vec::new();
            decoder(format.encoding(), twice.as_slice()).expect("a decoder").read_to_end(&mut read).expect("sound");
            assert!(read == sample().repeat(2), "{format:?}: two members or frames are read as one");
            for broken in [&whole[..whole.len() - 1], &[whole.as_slice(), b"garbage"].concat()] {
                let mut decoder = decoder(format.encoding(), broken).expect("a decoder");
                assert!(io::copy(&mut decoder, &mut io::sink()).is_err(), "{format:?}");
            }
        }
    }
}
