//! Compressed streams: telling them apart, reading them, writing them.
//!
//! The only module that names a compression crate. The parameters that fix the bytes of a compressed layer stand here,
//! and nowhere else: equal input and equal parameters give equal bytes on every machine, whatever the sizes of the
//! pieces in which the input comes.

mod bounds;
mod deflate;
mod detect;
mod gzip;
mod members;
mod parallel;

pub use bounds::{BoundError, Bounds};
pub(crate) use bounds::{bound_of, bounded_decoder, bounded_padded_decoder};
pub(crate) use deflate::open_end;
pub(crate) use detect::{Peeked, Sight, peek};
use members::Rest;
pub use members::TrailingBytes;
pub(crate) use members::trailing_of;
pub(crate) use parallel::{Compressing, Failure, Pool, compress};

use std::io::{self, BufRead, Read};

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
    /// Returns the highest level; the lowest is 1.
    pub fn highest_level(self) -> u8 {
        match self {
            Self::Gzip => 9,
            Self::Zstd => 19,
        }
    }

    /// The level that is used by default. Fixes bytes on disk: another level gives layers other digests.
    fn default_level(self) -> u8 {
        match self {
            Self::Gzip => 5,
            Self::Zstd => 3,
        }
    }

    /// Returns the encoding of what is written.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Gzip => Encoding::Gzip,
            Self::Zstd => Encoding::Zstd,
        }
    }
}

/// What a layer is compressed with, and how hard: together with the content this fixes the bytes of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    format: CompressFormat,
    level: u8,
}

/// A level is not one of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{level} is not a level of {}, which has 1 to {}", .format.encoding().name(), .format.highest_level())]
pub struct LevelError {
    format: CompressFormat,
    level: u8,
}

impl Compression {
    /// Compresses with a format, at its default level or another one.
    ///
    /// # Errors
    ///
    /// [`LevelError`] unless the level is from 1 to [`CompressFormat::highest_level`].
    ///
    /// ```
    /// use regshape::compress::{CompressFormat, Compression};
    ///
    /// assert!(Compression::new(CompressFormat::Gzip, Some(9)).is_ok());
    /// assert!(Compression::new(CompressFormat::Gzip, Some(10)).is_err());
    /// ```
    pub fn new(format: CompressFormat, level: Option<u8>) -> Result<Self, LevelError> {
        let level = level.unwrap_or(format.default_level());
        if (1..=format.highest_level()).contains(&level) {
            Ok(Self { format, level })
        } else {
            Err(LevelError { format, level })
        }
    }

    /// Returns the format.
    pub fn format(self) -> CompressFormat {
        self.format
    }
}

impl Default for Compression {
    /// gzip at its default level.
    fn default() -> Self {
        CompressFormat::default().into()
    }
}

impl From<CompressFormat> for Compression {
    /// The default level of a format.
    fn from(format: CompressFormat) -> Self {
        Self { format, level: format.default_level() }
    }
}

/// The bytes that are handed on at a time. Fixes nothing on disk.
pub(crate) const BUFFER: usize = 256 * 1024;

/// The most memory that reading an xz stream may take, in KiB: what `xz -9` needs, and some.
const XZ_MEMORY_KIB: u32 = 128 * 1024;

/// Reads a compressed stream as what was compressed.
///
/// All members, frames or streams up to the end of the input are read; what follows them must be another one. For gzip and
/// zstd an error of the kind [`TrailingBytes`] tells what follows instead.
pub(crate) fn decoder<'a>(encoding: Encoding, reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(reader),
        Encoding::Gzip => members::gzip_members(reader, Rest::Nothing),
        Encoding::Zstd => Box::new(members::ZstdFrames::new(reader, Rest::Nothing)?),
        Encoding::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY_KIB)),
        Encoding::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
    })
}

/// Reads a compressed stream as [`decoder`] does; after the last member or frame, zeros may follow up to the end.
fn padded_decoder<'a>(encoding: Encoding, reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        Encoding::Gzip => members::gzip_members(reader, Rest::Zeros),
        Encoding::Bzip2 => members::padded_bzip2_members(reader),
        Encoding::Zstd => Box::new(members::ZstdFrames::new(reader, Rest::Zeros)?),
        Encoding::Identity | Encoding::Xz => decoder(encoding, reader)?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::oci::Digest;
    use crate::workers::tests::with_threads;

    fn compressed(compression: Compression, content: &[u8], jobs: usize) -> Vec<u8> {
        let mut rest = content;
        let mut stream = Vec::new();
        let read = |block: &mut Vec<u8>, size: usize| {
            let (next, after) = rest.split_at(size.min(rest.len()));
            block.clear();
            block.extend(next);
            rest = after;
            Ok::<_, io::Error>(())
        };
        let write = |bytes: &[u8]| {
            stream.extend(bytes);
            Ok(())
        };
        compress(compression, jobs, read, write, &|_| ()).expect("compressed");
        stream
    }

    /// Text that compresses, but not to nothing.
    fn sample() -> Vec<u8> {
        (0u32..300_000).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 22).to_le_bytes()).collect()
    }

    /// As [`sample`], with a part that cannot be compressed.
    fn mixed_sample() -> Vec<u8> {
        let mut state = 1u64;
        let noise = (0..1_500_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        sample().into_iter().chain(noise).chain(sample()).collect()
    }

    #[test]
    fn the_bytes_of_a_layer_are_a_promise() {
        // These digests change only with a reason in the changelog.
        let digest = |format: CompressFormat| {
            Digest::sha256_of(&compressed(format.into(), &mixed_sample(), 2)).encoded()[..16].to_owned()
        };
        assert_eq!(
            [digest(CompressFormat::Gzip), digest(CompressFormat::Zstd)],
            ["eadee5de489768b8", "34e7ac406e6e73de"]
        );
    }

    #[test]
    fn what_is_written_does_not_depend_on_the_threads_and_reads_back() {
        let contents = [vec![], vec![7], sample(), mixed_sample(), mixed_sample()[..2 << 20].to_vec()];
        for compression in [CompressFormat::Gzip.into(), CompressFormat::Zstd.into()] {
            for content in &contents {
                let stream = compressed(compression, content, 1);
                assert_eq!(Encoding::of(&stream), compression.format().encoding());
                for jobs in [2, 3, 7] {
                    assert!(compressed(compression, content, jobs) == stream, "{compression:?} with {jobs} threads");
                }
                let mut read = Vec::new();
                let mut stream = decoder(compression.format().encoding(), stream.as_slice()).expect("a decoder");
                stream.read_to_end(&mut read).expect("sound");
                assert!(read == *content, "{compression:?}, {} bytes", content.len());
            }
        }
    }

    #[test]
    fn what_is_written_piece_by_piece_is_the_same() {
        for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
            for content in [vec![], vec![7], mixed_sample(), mixed_sample()[..2 << 20].to_vec()] {
                for size in [1 << 12, 3_000_001] {
                    let mut stream = Vec::new();
                    let mut compressing = Compressing::new(format.into(), 2, &mut stream);
                    content.chunks(size).for_each(|piece| compressing.write_all(piece).expect("compressed"));
                    compressing.finish().expect("finished");
                    assert!(stream == compressed(format.into(), &content, 2), "{format:?}, {} bytes", content.len());
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_the_same_where_there_are_fewer_threads() {
        for content in [sample(), mixed_sample(), mixed_sample()[..2 << 20].to_vec()] {
            let stream = compressed(CompressFormat::Gzip.into(), &content, 3);
            for threads in 0..4 {
                let limited = with_threads(threads, || compressed(CompressFormat::Gzip.into(), &content, 3));
                assert!(limited == stream, "{} bytes with {threads} threads", content.len());
            }
        }
    }

    #[test]
    fn every_level_gives_one_gzip_member_or_zstd_frame() {
        for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
            for level in 1..=format.highest_level() {
                let compression = Compression::new(format, Some(level)).expect("a level");
                let stream = compressed(compression, &sample(), 2);
                let mut read = Vec::new();
                match format {
                    // This reader stops at the end of the first member, and tells what it left.
                    CompressFormat::Gzip => {
                        let mut reader = flate2::bufread::GzDecoder::new(stream.as_slice());
                        reader.read_to_end(&mut read).expect("sound");
                        assert!(reader.into_inner().is_empty(), "level {level}");
                    }
                    CompressFormat::Zstd => {
                        let mut reader =
                            zstd::Decoder::with_buffer(stream.as_slice()).expect("a decoder").single_frame();
                        reader.read_to_end(&mut read).expect("sound");
                        assert!(reader.finish().is_empty(), "level {level}");
                    }
                }
                assert!(read == sample(), "{format:?} {level}");
            }
            assert!(Compression::new(format, Some(0)).is_err());
            assert!(Compression::new(format, Some(format.highest_level() + 1)).is_err());
        }
    }

    #[test]
    fn what_cannot_be_compressed_hardly_grows() {
        let noise = &mixed_sample()[sample().len()..][..1_500_000];
        for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
            let stream = compressed(format.into(), noise, 2);
            assert!(stream.len() < noise.len() + noise.len() / 3_000, "{format:?}: {}", stream.len());
        }
    }

    #[test]
    fn an_error_of_the_reader_or_the_writer_ends_everything_and_is_the_one_reported() {
        for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
            let endless = |block: &mut Vec<u8>, size: usize| {
                block.resize(size, 1);
                Ok(())
            };
            let failure = compress(format.into(), 2, endless, |_| Err("full"), &|_| ());
            assert!(matches!(failure, Err(Failure::Caller("full"))));
            let mut blocks = 0;
            let failing = |block: &mut Vec<u8>, size: usize| {
                blocks += 1;
                block.resize(size, 1);
                if blocks < 20 { Ok(()) } else { Err("broken") }
            };
            let failure = compress(format.into(), 2, failing, |_| Ok(()), &|_| ());
            assert!(matches!(failure, Err(Failure::Caller("broken"))));
        }
    }

    #[test]
    fn members_and_frames_are_read_as_one_up_to_the_last_byte() {
        for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
            let whole = compressed(format.into(), &sample(), 2);
            let twice = [whole.as_slice(), whole.as_slice()].concat();
            let mut read = Vec::new();
            decoder(format.encoding(), twice.as_slice()).expect("a decoder").read_to_end(&mut read).expect("sound");
            assert!(read == sample().repeat(2), "{format:?}");
            for broken in [&whole[..whole.len() - 1], &[whole.as_slice(), b"garbage"].concat()] {
                let mut decoder = decoder(format.encoding(), broken).expect("a decoder");
                assert!(io::copy(&mut decoder, &mut io::sink()).is_err(), "{format:?}");
            }
        }
    }
}
