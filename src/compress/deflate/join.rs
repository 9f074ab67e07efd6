//! Joins deflate streams (RFC 1951): reopens a finished stream at its end, so that another stream can follow.
//!
//! Each block of a layer is compressed separately, into a finished stream. A gzip member holds a single stream, and
//! some readers stop after the first member. So the last-block bit is cleared, and an empty stored block pads the
//! stream to a whole byte. The position of the last block's header depends on all blocks before it: this module walks
//! through them without decompressing.

use super::codes::{BitSource, Code, CodeLengths, END_OF_BLOCK, distance_of, length_of};

/// The number of bits that index a table. Longer codes are rare and are decoded bit by bit.
const BITS: u32 = 10;

/// The number of entries of a table.
const ENTRIES: usize = 1 << BITS;

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
    let found = found.ok().filter(|found| found.end.div_ceil(8) == length - start);
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

/// The stream is not a complete deflate stream.
struct Unsound;

struct BlockReader<'a> {
    /// The stream, followed by [`SLACK`] bytes.
    stream: &'a [u8],
    /// The offset of the next bit.
    at: usize,
}

impl BitSource for BlockReader<'_> {
    type Error = Unsound;

    /// Returns at least the next 56 bits.
    fn peek(&mut self, _: u32) -> Result<u64, Unsound> {
        let bytes = self.stream.get(self.at / 8..).and_then(<[u8]>::first_chunk).ok_or(Unsound)?;
        Ok(u64::from_le_bytes(*bytes) >> (self.at % 8))
    }

    fn skip(&mut self, count: u32) -> Result<(), Unsound> {
        self.at += count as usize;
        Ok(())
    }

    fn corrupt() -> Unsound {
        Unsound
    }
}

impl BlockReader<'_> {
    fn find_last_block(&mut self) -> Result<LastBlock, Unsound> {
        let mut tables = Tables::default();
        loop {
            let header = self.at;
            let is_last = self.take_bits(1)? == 1;
            match self.take_bits(2)? {
                0 => self.skip_stored()?,
                1 => {
                    let (main, distance) = CodeLengths::fixed();
                    tables.make(&main, &distance)?;
                    self.skip_codes(&tables)?;
                }
                2 => {
                    let lengths = CodeLengths::read(self)?;
                    tables.make(lengths.main(), lengths.distance())?;
                    self.skip_codes(&tables)?;
                }
                _ => return Err(Unsound),
            }
            if is_last {
                return Ok(LastBlock { header, end: self.at });
            }
        }
    }

    fn skip_stored(&mut self) -> Result<(), Unsound> {
        self.at = self.at.next_multiple_of(8);
        let length = self.take_bits(16)?;
        if self.take_bits(16)? != length ^ 0xffff {
            return Err(Unsound);
        }
        self.at += length * 8;
        Ok(())
    }

    /// Skips all literals, lengths and distances up to the end of a block.
    ///
    /// Joining spends most of its time here. The branch between literal and length is unpredictable, so each step names
    /// the next table instead.
    fn skip_codes(&mut self, tables: &Tables) -> Result<(), Unsound> {
        let mut table = MAIN;
        loop {
            // Two steps take at most 2 * (11 + 13) bits.
            let bits = self.peek(BITS)?;
            let first = tables.step(table, bits);
            let second = tables.step(first.table.into(), bits >> first.skip);
            if first.skip != 0 && second.skip != 0 {
                self.at += usize::from(first.skip) + usize::from(second.skip);
                table = second.table.into();
            } else if first.skip != 0 {
                self.at += usize::from(first.skip);
                table = first.table.into();
            } else {
                let (symbol, length) = tables.codes[table / ENTRIES].decode(bits).ok_or(Unsound)?;
                let (extra, next) = symbol_of(table, symbol).ok_or(Unsound)?;
                self.at += length + extra as usize;
                match next {
                    Some(next) => table = next,
                    None => return Ok(()),
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
    codes: [Code; 2],
}

impl Default for Tables {
    fn default() -> Self {
        Self { steps: Box::new([Step::default(); 2 * ENTRIES]), codes: [Code::EMPTY; 2] }
    }
}

impl Tables {
    fn step(&self, table: usize, bits: u64) -> Step {
        // The index is always in range. The remainder only saves the bounds check.
        self.steps[(table | (bits as usize & (ENTRIES - 1))) % (2 * ENTRIES)]
    }

    fn make(&mut self, main: &[u8], distance: &[u8]) -> Result<(), Unsound> {
        self.codes = [Code::new(main).ok_or(Unsound)?, Code::new(distance).ok_or(Unsound)?];
        for table in [MAIN, DISTANCE] {
            let symbols: [_; ENTRIES] = self.codes[table / ENTRIES].table();
            for (bits, slot) in self.steps[table..table + ENTRIES].iter_mut().enumerate() {
                *slot = join_steps(table, &symbols, bits);
            }
        }
        Ok(())
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
    match symbol {
        _ if table == DISTANCE => Some((distance_of(symbol)?.1.into(), Some(MAIN))),
        END_OF_BLOCK => Some((0, None)),
        0..END_OF_BLOCK => Some((0, Some(MAIN))),
        _ => Some((length_of(symbol)?.1.into(), Some(DISTANCE))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::deflate::tests::{deflated, deflated_by_libdeflate, inflated, samples};

    #[test]
    fn opened_streams_join_into_one() {
        for level in [0, 1, 5, 6, 9] {
            for first in samples() {
                let mut stream = deflated(level, &first);
                assert!(open_end(&mut stream, 0), "level {level}, {} bytes", first.len());
                let mut more = deflated(level, b"and more");
                assert!(open_end(&mut more, 0));
                stream.extend(more);
                store(b"stored", &mut stream);
                stream.extend(END);
                assert!(
                    inflated(&stream).expect("a sound stream") == [first.as_slice(), b"and morestored"].concat(),
                    "level {level}"
                );
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
            assert!(inflated(&stream).expect("a sound stream") == b"more", "{filling}");
        }
    }

    #[test]
    fn libdeflates_streams_can_be_opened() {
        for level in 0..=12 {
            for content in samples() {
                let mut stream = deflated_by_libdeflate(level, &content);
                assert!(open_end(&mut stream, 0), "level {level}, {} bytes", content.len());
                stream.extend(END);
                assert!(
                    inflated(&stream).expect("a sound stream") == content,
                    "level {level}, {} bytes",
                    content.len()
                );
            }
        }
    }

    #[test]
    fn bytes_that_are_not_a_stream_stay_unchanged() {
        let whole = deflated(6, &samples()[6]);
        let broken = [vec![], vec![0xff], whole[..whole.len() - 1].to_vec(), [whole.as_slice(), b"x"].concat()];
        for stream in broken {
            let mut opened = stream.clone();
            assert!(!open_end(&mut opened, 0));
            assert!(opened == stream);
        }
        // No flipped bit may cause a panic or an endless loop.
        let text = deflated(6, &samples()[3][..20_000]);
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
        assert!(inflated(&stream).expect("a sound stream") == *noise);
    }
}
