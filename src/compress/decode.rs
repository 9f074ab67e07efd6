//! Decompression.

use std::io::{self, BufRead, Read};

use super::encoding::Encoding;
use super::members::{self, Rest};

/// The memory limit for reading an xz stream, in KiB: more than `xz -9` needs.
const XZ_MEMORY_KIB: u32 = 128 * 1024;

/// Returns a reader of the decompressed content.
///
/// All members, frames or streams up to the end of the input are read. Any other bytes after them are an error, which
/// wraps [`TrailingBytes`] for gzip and zstd.
pub(crate) fn decoder<'a>(encoding: Encoding, reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(reader),
        Encoding::Gzip => members::gzip_members(reader, Rest::Nothing),
        Encoding::Zstd => Box::new(members::ZstdFrames::new(reader, Rest::Nothing)?),
        Encoding::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY_KIB)),
        Encoding::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
    })
}

/// Returns a reader of the decompressed content as [`decoder`] does. Zeros may follow the last member or frame.
pub(crate) fn padded_decoder<'a>(encoding: Encoding, reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        Encoding::Gzip => members::gzip_members(reader, Rest::Zeros),
        Encoding::Bzip2 => members::padded_bzip2_members(reader),
        Encoding::Zstd => Box::new(members::ZstdFrames::new(reader, Rest::Zeros)?),
        Encoding::Identity | Encoding::Xz => decoder(encoding, reader)?,
    })
}
