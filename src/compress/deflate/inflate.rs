//! Decompresses a deflate stream.
//!
//! Most symbols are read by one loop ([`Run::symbols`]), which works on bytes in memory and fills a window. It stops near
//! the end of the bytes and near that of the window; the symbols there are read one by one. `docs/performance.md` compares
//! it with crates.

use std::io::{self, BufRead, Read};

use super::bits::{BitReader, incomplete, low_bits};
use super::codes::{BitSource, CodeLengths, LONGEST};
use super::tables::Tables;

/// The greatest distance of a match.
pub(super) const HISTORY: usize = 32 * 1024;

/// The number of bytes that are decompressed before the history moves to the start of the window.
pub(super) const ROOM: usize = 64 * 1024;

/// The bytes of the window after [`LIMIT`], for a few literals, a match of the greatest length that begins just before the
/// end, and up to 15 bytes that copying it writes too many.
const SLACK: usize = 512;

/// The end of the part of the window that symbols may begin in.
pub(super) const LIMIT: usize = HISTORY + ROOM;

type Window = [u8; LIMIT + SLACK];

/// The number of bytes of input that a step of [`Run::symbols`] needs. It reads eight bytes twice; the first time it
/// consumes at most seven of them.
const STEP: usize = 16;

/// Where a stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a block.
    Block,
    /// In a stored block, with this number of bytes to come.
    Stored(usize),
    /// In a block of symbols.
    Symbols,
    End,
}

/// Decompresses a stream from a reader.
pub(crate) struct Inflater<R> {
    source: BitReader<R>,
    tables: Tables,
    window: Box<Window>,
    /// The decompressed bytes of the window that were not handed out yet.
    start: usize,
    end: usize,
    state: State,
    is_last_block: bool,
    /// The error behind the bytes that were not handed out yet.
    failure: Option<io::Error>,
}

impl<R: BufRead> Inflater<R> {
    pub(crate) fn new(reader: R) -> Self {
        let window = vec![0; LIMIT + SLACK].into_boxed_slice();
        Self {
            source: BitReader::new(reader),
            tables: Tables::new(),
            window: window.try_into().expect("this is its length"),
            start: 0,
            end: 0,
            state: State::Block,
            is_last_block: false,
            failure: None,
        }
    }

    /// Begins another stream, after the end of the one before and after at least seven bytes that were read with
    /// [`Self::read_after`].
    pub(crate) fn restart(&mut self) {
        (self.start, self.end) = (0, 0);
        self.state = State::Block;
    }

    /// The reader. Up to seven bytes after the stream may have been taken from it.
    pub(crate) fn reader(&mut self) -> &mut R {
        &mut self.source.reader
    }

    /// Reads decompressed bytes. Returns 0 at the end of the stream, or for an empty buffer. Those before a fault are
    /// handed out before its error.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            if self.failure.is_none() {
                self.failure = self.decompress().err();
            }
            if self.start == self.end
                && let Some(failure) = self.failure.take()
            {
                return Err(failure);
            }
        }
        let length = buffer.len().min(self.end - self.start);
        buffer[..length].copy_from_slice(&self.window[self.start..self.start + length]);
        self.start += length;
        Ok(length)
    }

    /// Reads the bytes that follow the stream, after its end.
    pub(crate) fn read_after<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Fills the window. Adds nothing at the end of the stream.
    fn decompress(&mut self) -> io::Result<()> {
        if self.end >= LIMIT {
            self.window.copy_within(self.end - HISTORY..self.end, 0);
            (self.start, self.end) = (HISTORY, HISTORY);
        }
        while self.end < LIMIT {
            match self.state {
                State::Block => self.begin_block()?,
                State::Stored(length) => self.copy_stored(length)?,
                State::Symbols => self.read_symbols()?,
                State::End => break,
            }
        }
        Ok(())
    }

    fn begin_block(&mut self) -> io::Result<()> {
        let source = &mut self.source;
        self.is_last_block = source.take_bits(1)? == 1;
        self.state = State::Symbols;
        let made = match source.take_bits(2)? {
            0 => {
                source.align();
                let length = source.take_bits(16)?;
                self.state = State::Stored(length);
                (source.take_bits(16)? == length ^ 0xffff).then_some(())
            }
            1 => self.tables.make_fixed(),
            2 => {
                let lengths = CodeLengths::read(source)?;
                self.tables.make(lengths.main(), lengths.distance())
            }
            _ => None,
        };
        made.ok_or_else(corrupt)
    }

    fn end_block(&mut self) {
        self.state = State::Block;
        if self.is_last_block {
            self.source.align();
            self.state = State::End;
        }
    }

    fn copy_stored(&mut self, length: usize) -> io::Result<()> {
        let room = length.min(LIMIT - self.end);
        let read = self.source.read(&mut self.window[self.end..self.end + room])?;
        self.end += read;
        self.state = State::Stored(length - read);
        if length == read {
            self.end_block();
        } else if read == 0 {
            return Err(incomplete());
        }
        Ok(())
    }

    fn read_symbols(&mut self) -> io::Result<()> {
        let (bits, count, end) = (self.source.bits, self.source.count, self.end);
        let input = self.source.buffered()?;
        let mut run = Run { input, bits, count, window: &mut self.window, end };
        let is_sound = run.symbols(&self.tables);
        let consumed = input.len() - run.input.len();
        (self.source.bits, self.source.count, self.end) = (run.bits, run.count, run.end);
        self.source.reader.consume(consumed);
        if !is_sound {
            return Err(corrupt());
        }
        if self.end < LIMIT { self.read_symbol() } else { Ok(()) }
    }

    /// Reads a symbol, and the distance after a length, wherever the bytes of the reader end.
    fn read_symbol(&mut self) -> io::Result<()> {
        let source = &mut self.source;
        // The longest code, and the most extra bits of a length.
        let bits = source.peek(LONGEST as u32 + 5)?;
        let entry = self.tables.long_main(self.tables.main(bits), bits);
        if entry.is_invalid() {
            return Err(corrupt());
        }
        source.skip(entry.bits())?;
        if entry.is_other() {
            self.end_block();
        } else if entry.is_literal() {
            self.window[self.end] = entry.literal();
            self.end += 1;
        } else {
            let length = entry.value(bits);
            let bits = source.peek(LONGEST as u32 + 13)?;
            let entry = self.tables.long_distance(self.tables.distance(bits), bits);
            if entry.is_invalid() {
                return Err(corrupt());
            }
            source.skip(entry.bits())?;
            let distance = entry.value(bits);
            if distance > self.end {
                return Err(corrupt());
            }
            copy_match(&mut self.window, self.end, distance, length);
            self.end += length;
        }
        Ok(())
    }
}

fn corrupt() -> io::Error {
    BitReader::<&[u8]>::corrupt()
}

/// The reading of symbols from bytes that are in memory.
struct Run<'a> {
    input: &'a [u8],
    bits: u64,
    count: u32,
    window: &'a mut Window,
    end: usize,
}

impl Run<'_> {
    /// Reads symbols while [`STEP`] bytes of input are left and the window is not full, up to one that is neither a
    /// literal nor a match. Returns `false` if a match begins before the stream.
    ///
    /// This loop takes nearly all the time of decompressing, and most of that is waiting: a step needs the result of the one
    /// before. So the entry of the next symbol is looked up as soon as its bits are known. Whole entries are subtracted from
    /// `count`: only its lowest six bits count, and those of an entry are the number of bits.
    fn symbols(&mut self, tables: &Tables) -> bool {
        let Self { mut input, mut bits, mut count, mut end, .. } = *self;
        let window = &mut *self.window;
        let mut is_sound = true;
        /// Adds bytes, so that there are at least 56 bits, and the bits of a next entry after them.
        macro_rules! fill {
            () => {{
                let next: &[u8; 8] = input.first_chunk().expect("a step leaves as many");
                bits |= u64::from_le_bytes(*next) << (count & 0x3f);
                input = &input[((63 - (count & 0x3f)) / 8) as usize..];
                count |= 56;
            }};
        }
        macro_rules! skip {
            ($entry:expr) => {{
                bits >>= $entry.skip() & 0x3f;
                count = count.wrapping_sub($entry.skip());
            }};
        }
        /// Writes a literal, and looks up the entry after it.
        macro_rules! literal {
            ($entry:ident) => {{
                skip!($entry);
                window[end] = $entry.literal();
                end += 1;
                $entry = tables.main(bits);
            }};
        }
        if input.len() >= STEP + 8 {
            fill!();
            let mut entry = tables.main(bits);
            while input.len() >= STEP && end < LIMIT {
                // Four literals take at most 48 bits, and a match as many.
                if entry.is_literal() {
                    literal!(entry);
                    if entry.is_literal() {
                        literal!(entry);
                        if entry.is_literal() {
                            literal!(entry);
                            if entry.is_literal() {
                                literal!(entry);
                            }
                            fill!();
                            continue;
                        }
                    }
                    fill!();
                }
                if entry.is_other() {
                    entry = tables.long_main(entry, bits);
                    if entry.is_other() {
                        break;
                    }
                    if entry.is_literal() {
                        literal!(entry);
                        fill!();
                        continue;
                    }
                }
                let after = bits >> (entry.skip() & 0x3f);
                let mut distance_entry = tables.distance(after);
                if distance_entry.is_other() {
                    distance_entry = tables.long_distance(distance_entry, after);
                    if distance_entry.is_other() {
                        break;
                    }
                }
                let length = entry.value(bits);
                let distance = distance_entry.value(after);
                skip!(entry);
                skip!(distance_entry);
                if distance > end {
                    is_sound = false;
                    break;
                }
                fill!();
                entry = tables.main(bits);
                copy_match(window, end, distance, length);
                end += length;
            }
        }
        let count = count & 0x3f;
        (self.input, self.bits, self.count, self.end) = (input, bits & low_bits(count), count, end);
        is_sound
    }
}

/// Copies a match to `end`. May write up to 15 bytes after it.
#[inline(always)]
fn copy_match(window: &mut Window, end: usize, distance: usize, length: usize) {
    let start = end - distance;
    if distance == 1 {
        let byte = window[start];
        window[end..end + length].fill(byte);
        return;
    }
    // Only the first `step` of the 16 bytes that are copied are right. The next step overwrites the others.
    let step = distance.min(16);
    let mut at = 0;
    while at < length {
        let bytes: [u8; 16] = *window[start + at..].first_chunk().expect("the window has bytes to spare");
        *window[end + at..].first_chunk_mut().expect("the window has bytes to spare") = bytes;
        at += step;
    }
}
