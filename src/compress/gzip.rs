//! A single gzip member (RFC 1952) made of separately compressed blocks.
//!
//! Each block becomes a part of a deflate stream that ends at a whole byte, and the concatenated parts form one stream.
//! So blocks can be compressed on any number of threads, and the bytes depend only on the content and the level.

use libdeflater::{CompressionError, CompressionLvl, Compressor};

use super::deflate::{self, open_end};

/// The size of a block. Part of the format on disk. At this size the missing history at the start of each block costs
/// 0.2 per cent, so larger blocks would save little.
pub(super) const BLOCK: usize = 1024 * 1024;

/// The header: no file name, no time, unknown operating system (255).
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The size and number of the samples that decide whether a block is worth compressing. Part of the format on disk.
const SAMPLE: usize = 4096;
const SAMPLES: usize = 8;

/// Compresses blocks. Each thread has a compressor of its own, with about a megabyte of tables.
pub(super) struct BlockCompressor {
    main: Compressor,
    /// Level 1: quickly detects incompressible data.
    probe: Compressor,
    sample: Vec<u8>,
    /// The output buffer of the compressors.
    output: Vec<u8>,
}

impl BlockCompressor {
    /// Creates a compressor for a level from 1 to 9.
    pub(super) fn new(level: u8) -> Self {
        let compressor = |level: u8| Compressor::new(CompressionLvl::new(level.into()).expect("1 to 9 are levels"));
        Self { main: compressor(level), probe: compressor(1), sample: Vec::new(), output: Vec::new() }
    }

    /// Appends a block to a stream. Ends the stream after the last block.
    pub(super) fn compress(&mut self, block: &[u8], is_last: bool, stream: &mut Vec<u8>) {
        if !self.is_noise(block) && self.try_compress(block, is_last, stream) {
            return;
        }
        deflate::store(block, stream);
        if is_last {
            stream.extend(deflate::END);
        }
    }

    /// Returns whether a block cannot be compressed. Part of the format on disk.
    ///
    /// A compressor tries the samples. A count of all bytes then detects compressible parts between the samples.
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

    /// Appends a compressed block, which stays open for another one unless it is the last. Returns `false` and leaves
    /// the stream unchanged if that fails.
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

/// Compresses bytes into a buffer that grows as needed. Returns the compressed size.
fn deflate_into(compressor: &mut Compressor, bytes: &[u8], output: &mut Vec<u8>) -> Result<usize, CompressionError> {
    let bound = compressor.deflate_compress_bound(bytes.len());
    if output.len() < bound {
        output.resize(bound, 0);
    }
    compressor.deflate_compress(bytes, output)
}

/// Returns whether all byte values are about equally frequent, so that a prefix code would save less than about one per
/// cent: the sum of the squared counts is at most 1.11 times its minimum.
fn is_even(bytes: &[u8]) -> bool {
    // Four sets of counters: incrementing the same counter twice in a row is slow.
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

/// Returns the trailer: the checksum and the size of the content.
pub(super) fn trailer(checksum: u32, size: u64) -> [u8; 8] {
    // The size is stored modulo 2^32.
    let size = size as u32;
    let both = u64::from(size) << 32 | u64::from(checksum);
    both.to_le_bytes()
}
