//! Joins deflate streams (RFC 1951): reopens a finished stream at its end, so that another stream can follow.
//!
//! Each block of a layer is compressed separately, into a finished stream. A gzip member holds a single stream, and
//! some readers stop after the first member. So the last-block bit is cleared, and an empty stored block pads the
//! stream to a whole byte. The position of the last block's header depends on all blocks before it: this module walks
//! through them without decompressing.

/// The number of bits that index a table. Longer codes are rare and are decoded bit by bit.
const BITS: u32 = 10;

/// The number of entries of a table.
const ENTRIES: usize = 1 << BITS;

/// The length of the longest code (RFC 1951, section 3.2.7).
const LONGEST: usize = 15;

/// The number of bytes appended to a stream so that eight bytes can be read at any position in it.
const SLACK: usize = 8;

/// The body of an empty stored block: length 0 and its complement.
const EMPTY_STORED: [u8; 4] = [0, 0, 0xff, 0xff];

/// An empty last block with fixed codes. Ends a stream that has no last block yet.
pub(crate) const END: [u8; 2] = [0x03, 0x00];

/// Reopens a finished stream: clears its last-block bit and pads it to a whole byte. The stream is the part of the
/// buffer from `start` on.
///
/// Returns `false` and leaves the stream unchanged if it is not a complete deflate stream.
pub(crate) fn open_end(stream: &mut Vec<u8>, start: usize) -> bool {
    let length = stream.len();
    stream.resize(length + SLACK, 0);
    let found = BlockReader { stream: &stream[start..], at: 0 }.find_last_block();
    stream.truncate(length);
    let found = found.filter(|found| found.end.div_ceil(8) == length - start);
    let Some(LastBlock { header, end }) = found else { return false };
    stream[start + header / 8] &= !(1 << (header % 8));
    // The padding bits of the last byte can have any value; now they become a block header.
    if end % 8 != 0 {
        stream[length - 1] &= (1 << (end % 8)) - 1;
    }
    // The header of the stored block is three zero bits, which may fit into the last byte.
    if end % 8 == 0 || end % 8 > 5 {
        stream.push(0);
    }
    stream.extend(EMPTY_STORED);
    true
}

/// Writes bytes as stored blocks. None of them is marked as the last.
pub(crate) fn store(bytes: &[u8], stream: &mut Vec<u8>) {
    for piece in bytes.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(piece.len()).expect("chunks are that small");
        stream.push(0);
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(piece);
    }
}

/// The last block of a stream, as bit offsets from the start.
struct LastBlock {
    header: usize,
    end: usize,
}

struct BlockReader<'a> {
    /// The stream, followed by [`SLACK`] bytes.
    stream: &'a [u8],
    /// The offset of the next bit.
    at: usize,
}

impl BlockReader<'_> {
    fn find_last_block(&mut self) -> Option<LastBlock> {
        let mut tables = Tables::default();
        loop {
            let header = self.at;
            let is_last = self.take(1)? == 1;
            match self.take(2)? {
                0 => self.skip_stored()?,
                1 => {
                    let (main, distance) = fixed_lengths();
                    tables.make(&main, &distance)?;
                    self.skip_codes(&tables)?;
                }
                2 => {
                    self.read_tables(&mut tables)?;
                    self.skip_codes(&tables)?;
                }
                _ => return None,
            }
            if is_last {
                return Some(LastBlock { header, end: self.at });
            }
        }
    }

    /// Returns at least the next 56 bits.
    fn peek(&self) -> Option<u64> {
        let bytes = self.stream.get(self.at / 8..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes) >> (self.at % 8))
    }

    fn take(&mut self, count: u32) -> Option<usize> {
        let bits = self.peek()? & ((1 << count) - 1);
        self.at += count as usize;
        usize::try_from(bits).ok()
    }

    fn skip_stored(&mut self) -> Option<()> {
        self.at = self.at.next_multiple_of(8);
        let length = self.take(16)?;
        if self.take(16)? != length ^ 0xffff {
            return None;
        }
        self.at += length * 8;
        Some(())
    }

    /// Reads the code tables of a block (RFC 1951, section 3.2.7).
    fn read_tables(&mut self, tables: &mut Tables) -> Option<()> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let mains = self.take(5)? + 257;
        let distances = self.take(5)? + 1;
        let count = self.take(4)? + 4;
        let mut code_lengths = [0; 19];
        for at in &ORDER[..count] {
            code_lengths[*at] = u8::try_from(self.take(3)?).ok()?;
        }
        let codes = Codes::new(&code_lengths)?;
        let mut lengths = [0u8; 286 + 32];
        let total = mains + distances;
        let mut at = 0;
        while at < total {
            let (symbol, bits) = codes.decode(self.peek()?)?;
            self.at += bits;
            let (value, repeat) = match symbol {
                16 => (*lengths.get(at.checked_sub(1)?)?, 3 + self.take(2)?),
                17 => (0, 3 + self.take(3)?),
                18 => (0, 11 + self.take(7)?),
                length => (u8::try_from(length).ok()?, 1),
            };
            lengths.get_mut(at..at + repeat)?.fill(value);
            at += repeat;
        }
        if at != total {
            return None;
        }
        tables.make(&lengths[..mains], &lengths[mains..total])
    }

    /// Skips all literals, lengths and distances up to the end of a block.
    ///
    /// Joining spends most of its time here. The branch between literal and length is unpredictable, so each step names
    /// the next table instead.
    fn skip_codes(&mut self, tables: &Tables) -> Option<()> {
        let mut table = MAIN;
        loop {
            // Two steps take at most 2 * (11 + 13) bits.
            let bits = self.peek()?;
            let first = tables.step(table, bits);
            let second = tables.step(first.table.into(), bits >> first.skip);
            if first.skip != 0 && second.skip != 0 {
                self.at += usize::from(first.skip) + usize::from(second.skip);
                table = second.table.into();
            } else if first.skip != 0 {
                self.at += usize::from(first.skip);
                table = first.table.into();
            } else {
                let (symbol, length) = tables.codes[table / ENTRIES].decode(bits)?;
                let (extra, next) = symbol_of(table, symbol)?;
                self.at += length + extra as usize;
                match next {
                    Some(next) => table = next,
                    None => return Some(()),
                }
            }
        }
    }
}

/// The table of literals, lengths and the end of a block.
const MAIN: usize = 0;

/// The table of distances.
const DISTANCE: usize = ENTRIES;

/// The number of bits to skip, at most 24, and the table for the bits after them. A step of 0 bits stands for a code
/// longer than [`BITS`], for the end of the block, and for an invalid code.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    skip: u8,
    table: u16,
}

/// The codes of a block, as lookup tables.
struct Tables {
    /// The steps of both tables, indexed by the next bits. A step of the main table covers as many literals as fit into
    /// these bits, and then a length if it fits; a step of the distance table covers one distance.
    steps: Box<[Step; 2 * ENTRIES]>,
    /// The codes behind the two tables.
    codes: [Codes; 2],
}

impl Default for Tables {
    fn default() -> Self {
        Self { steps: Box::new([Step::default(); 2 * ENTRIES]), codes: Default::default() }
    }
}

impl Tables {
    fn step(&self, table: usize, bits: u64) -> Step {
        // The index is always in range. The remainder only saves the bounds check.
        self.steps[(table | (bits as usize & (ENTRIES - 1))) % (2 * ENTRIES)]
    }

    fn make(&mut self, main: &[u8], distance: &[u8]) -> Option<()> {
        self.codes = [Codes::new(main)?, Codes::new(distance)?];
        for table in [MAIN, DISTANCE] {
            let symbols = self.codes[table / ENTRIES].table();
            for (bits, slot) in self.steps[table..table + ENTRIES].iter_mut().enumerate() {
                *slot = join_steps(table, &symbols, bits);
            }
        }
        Some(())
    }
}

/// Returns the step for some bits: takes symbols while they fit into the bits and the table stays the same.
fn join_steps(table: usize, symbols: &[(u16, u8)], bits: usize) -> Step {
    let mut skip = 0;
    while skip < BITS {
        let (symbol, length) = symbols[bits >> skip];
        let end = skip + u32::from(length);
        if length == 0 || end > BITS {
            break;
        }
        match symbol_of(table, usize::from(symbol)) {
            Some((0, Some(next))) if next == table => skip = end,
            Some((extra, Some(next))) => return Step { skip: (end + extra) as u8, table: next as u16 },
            // These are decoded bit by bit.
            Some((_, None)) | None => break,
        }
    }
    Step { skip: skip as u8, table: table as u16 }
}

/// Returns the number of extra bits of a symbol and the table of the next symbol, which is `None` at the end of a
/// block.
fn symbol_of(table: usize, symbol: usize) -> Option<(u32, Option<usize>)> {
    if table == MAIN { main_symbol(symbol) } else { Some((distance_extra(symbol)?, Some(MAIN))) }
}

/// Returns the same as [`symbol_of`] for a literal, a length or the end of a block.
fn main_symbol(symbol: usize) -> Option<(u32, Option<usize>)> {
    const LENGTH_EXTRA: [u32; 29] =
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
    match symbol {
        0..=255 => Some((0, Some(MAIN))),
        256 => Some((0, None)),
        _ => Some((*LENGTH_EXTRA.get(symbol - 257)?, Some(DISTANCE))),
    }
}

/// Returns the number of extra bits of a distance.
fn distance_extra(symbol: usize) -> Option<u32> {
    match symbol {
        0..=3 => Some(0),
        4..=29 => Some(u32::try_from(symbol / 2 - 1).ok()?),
        _ => None,
    }
}

/// The code lengths of a block with fixed codes (RFC 1951, section 3.2.6).
fn fixed_lengths() -> ([u8; 288], [u8; 30]) {
    let mut main = [8; 288];
    main[144..256].fill(9);
    main[256..280].fill(7);
    (main, [5; 30])
}

/// A prefix code (RFC 1951, section 3.2.2).
#[derive(Default)]
struct Codes {
    /// The number of codes of each length.
    counts: [u16; LONGEST + 1],
    /// The symbols, ordered by code.
    symbols: Vec<u16>,
}

impl Codes {
    fn new(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0; LONGEST + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        counts[0] = 0;
        let mut starts = [0; LONGEST + 2];
        let mut left = 1i32;
        for length in 1..=LONGEST {
            starts[length + 1] = starts[length] + usize::from(counts[length]);
            left = left * 2 - i32::from(counts[length]);
            if left < 0 {
                return None;
            }
        }
        let mut symbols = vec![0; starts[LONGEST + 1]];
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let at = &mut starts[usize::from(*length)];
            symbols[*at] = u16::try_from(symbol).ok()?;
            *at += 1;
        }
        Some(Self { counts, symbols })
    }

    /// Decodes a symbol bit by bit. Returns the symbol and the length of its code.
    fn decode(&self, mut bits: u64) -> Option<(usize, usize)> {
        let (mut code, mut first, mut index) = (0usize, 0usize, 0usize);
        for length in 1..=LONGEST {
            code |= (bits & 1) as usize;
            bits >>= 1;
            let count = usize::from(self.counts[length]);
            if code < first + count {
                return Some((usize::from(*self.symbols.get(index + code - first)?), length));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// Returns, for each value of the next bits, the first symbol and the length of its code; 0 if the code is longer.
    fn table(&self) -> [(u16, u8); ENTRIES] {
        let mut table = [(0, 0); ENTRIES];
        let (mut code, mut index) = (0usize, 0usize);
        for length in 1..=BITS as usize {
            code <<= 1;
            for _ in 0..self.counts[length] {
                // A code is stored with its first bit lowest, so the index is the reversed code.
                let reversed = code.reverse_bits() >> (usize::BITS as usize - length);
                let entry = (self.symbols[index], length as u8);
                table.iter_mut().skip(reversed).step_by(1 << length).for_each(|slot| *slot = entry);
                code += 1;
                index += 1;
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn finished(level: u32, content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(content).expect("written");
        encoder.finish().expect("finished")
    }

    fn inflated(stream: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        flate2::read::DeflateDecoder::new(stream).read_to_end(&mut content).expect("a sound stream");
        content
    }

    /// Samples: no bytes, one byte, a run, text, noise, skewed noise, and all of these together.
    fn samples() -> Vec<Vec<u8>> {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let noise: Vec<u8> = (0..200_000).map(|_| noise()).collect();
        let text: Vec<u8> = noise.iter().map(|byte| b"etaoin shrdlu,.\n"[usize::from(byte % 16)]).collect();
        let skewed: Vec<u8> = noise.iter().map(|byte| byte.leading_zeros() as u8 * byte).collect();
        let all = [text.as_slice(), &noise, &[0; 100_000], &skewed].concat();
        vec![vec![], vec![7], vec![0; 70_000], text, noise, skewed, all]
    }

    #[test]
    fn opened_streams_join_into_one() {
        for level in [0, 1, 5, 6, 9] {
            for first in samples() {
                let mut stream = finished(level, &first);
                assert!(open_end(&mut stream, 0), "level {level}, {} bytes", first.len());
                let mut more = finished(level, b"and more");
                assert!(open_end(&mut more, 0));
                stream.extend(more);
                store(b"stored", &mut stream);
                stream.extend(END);
                assert!(inflated(&stream) == [first.as_slice(), b"and morestored"].concat(), "level {level}");
            }
        }
    }

    #[test]
    fn the_padding_of_a_streams_last_byte_does_not_matter() {
        for filling in 0..64 {
            let mut stream = vec![END[0], filling << 2];
            assert!(open_end(&mut stream, 0));
            store(b"more", &mut stream);
            stream.extend(END);
            assert!(inflated(&stream) == b"more", "{filling}");
        }
    }

    #[test]
    fn libdeflates_streams_can_be_opened() {
        for level in 0..=12 {
            let mut compressor =
                libdeflater::Compressor::new(libdeflater::CompressionLvl::new(level).expect("a level"));
            for content in samples() {
                let mut stream = vec![0; compressor.deflate_compress_bound(content.len())];
                let length = compressor.deflate_compress(&content, &mut stream).expect("it fits");
                stream.truncate(length);
                assert!(open_end(&mut stream, 0), "level {level}, {} bytes", content.len());
                stream.extend(END);
                assert!(inflated(&stream) == content, "level {level}, {} bytes", content.len());
            }
        }
    }

    #[test]
    fn bytes_that_are_not_a_stream_stay_unchanged() {
        let whole = finished(6, &samples()[6]);
        let broken = [vec![], vec![0xff], whole[..whole.len() - 1].to_vec(), [whole.as_slice(), b"x"].concat()];
        for stream in broken {
            let mut opened = stream.clone();
            assert!(!open_end(&mut opened, 0));
            assert!(opened == stream);
        }
        // No flipped bit may cause a panic or an endless loop.
        let text = finished(6, &samples()[3][..20_000]);
        for bit in 0..1_000 {
            let mut stream = text.clone();
            stream[bit / 8] ^= 1 << (bit % 8);
            open_end(&mut stream, 0);
        }
    }

    #[test]
    fn bytes_are_stored_in_pieces() {
        let noise = &samples()[4];
        let mut stream = Vec::new();
        store(noise, &mut stream);
        assert_eq!(stream.len(), noise.len() + 4 * 5);
        stream.extend(END);
        assert!(inflated(&stream) == *noise);
    }
}
