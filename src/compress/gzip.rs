//! One gzip member (RFC 1952) of blocks that are compressed on their own.
//!
//! Each block becomes a piece of a deflate stream that ends at a whole byte, and the pieces in a row are one stream. So
//! blocks can be compressed on any number of threads, and the bytes depend on the content and the level alone.

use libdeflater::{CompressionError, CompressionLvl, Compressor};

use super::deflate::{self, open_end};

/// The number of bytes in a block. Fixes bytes on disk. Larger blocks save little: at this size starting without
/// earlier content costs 0.2 per cent.
pub(super) const BLOCK: usize = 1024 * 1024;

/// The header: no name, no time, and no word of the system that wrote it (255).
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The size of the samples that tell whether a block is worth compressing, and how many are taken. Fix bytes on disk.
const SAMPLE: usize = 4096;
const SAMPLES: usize = 8;

/// Compresses blocks. One is made for each thread: it has tables of about a megabyte.
pub(super) struct BlockCompressor {
    main: Compressor,
    /// A compressor of the lowest level: it detects incompressible content quickly.
    probe: Compressor,
    sample: Vec<u8>,
    /// The output buffer of the compressors.
    output: Vec<u8>,
}

impl BlockCompressor {
    /// Makes a compressor of a level from 1 to 9.
    pub(super) fn new(level: u8) -> Self {
        let compressor = |level: u8| Compressor::new(CompressionLvl::new(level.into()).expect("1 to 9 are levels"));
        Self { main: compressor(level), probe: compressor(1), sample: Vec::new(), output: Vec::new() }
    }

    /// Appends a block to a stream, and ends the stream after its last one.
    pub(super) fn compress(&mut self, block: &[u8], is_last: bool, stream: &mut Vec<u8>) {
        if !self.is_noise(block) && self.try_compress(block, is_last, stream) {
            return;
        }
        deflate::store(block, stream);
        if is_last {
            stream.extend(deflate::END);
        }
    }

    /// Returns whether a block cannot be compressed. Fixes bytes on disk.
    ///
    /// Samples show whether a compressor finds repetitions; a count of all bytes shows places without a sample that are
    /// not noise.
    fn is_noise(&mut self, block: &[u8]) -> bool {
        if block.len() < SAMPLES * SAMPLE {
            return false;
        }
        self.sample.clear();
        for piece in block.chunks(block.len() / SAMPLES).take(SAMPLES) {
            self.sample.extend(&piece[..SAMPLE]);
        }
        let compressed = deflate_into(&mut self.probe, &self.sample, &mut self.output);
        compressed.is_ok_and(|length| length >= self.sample.len() - self.sample.len() / 100) && is_even(block)
    }

    /// Appends a block, open for others to follow or finished; leaves the stream as it was if that cannot be made.
    fn try_compress(&mut self, block: &[u8], is_last: bool, stream: &mut Vec<u8>) -> bool {
        let Ok(length) = deflate_into(&mut self.main, block, &mut self.output) else { return false };
        let start = stream.len();
        stream.extend(&self.output[..length]);
        if is_last || open_end(stream, start) {
            return true;
        }
        stream.truncate(start);
        false
    }
}

/// Compresses bytes into room that grows as needed, and returns how much of it they take.
fn deflate_into(compressor: &mut Compressor, bytes: &[u8], output: &mut Vec<u8>) -> Result<usize, CompressionError> {
    let bound = compressor.deflate_compress_bound(bytes.len());
    if output.len() < bound {
        output.resize(bound, 0);
    }
    compressor.deflate_compress(bytes, output)
}

/// Returns whether every byte occurs about equally often, so that a code for each of them saves less than about a
/// hundredth: then the sum of the squares of their counts is at most 1.11 times that of equal counts.
fn is_even(bytes: &[u8]) -> bool {
    // Several counters for a byte: one that was just written is slow to read.
    let mut counts = [[0u32; 256]; 4];
    let pieces = bytes.chunks_exact(4);
    for byte in pieces.remainder() {
        counts[0][usize::from(*byte)] += 1;
    }
    for piece in pieces {
        for (counts, byte) in counts.iter_mut().zip(piece) {
            counts[usize::from(*byte)] += 1;
        }
    }
    let squares: u64 =
        (0..256).map(|byte| u64::from(counts.iter().map(|counts| counts[byte]).sum::<u32>()).pow(2)).sum();
    squares * 256 * 100 <= (bytes.len() as u64).pow(2) * 111
}

/// Returns the trailer of the stream: the checksum and the size of the content.
pub(super) fn trailer(checksum: u32, size: u64) -> [u8; 8] {
    // The size is written modulo 2^32.
    let size = size as u32;
    let both = u64::from(size) << 32 | u64::from(checksum);
    both.to_le_bytes()
}
