//! Decompresses a deflate stream.
//!
//! Most symbols are read by one loop ([`Run::symbols`]), which works on bytes that are in memory and fills a window. It
//! stops near the end of either; then symbols are read one by one, until there is more of what was missing. On layers it
//! takes less time than the crates that can be read from as from a reader (`docs/performance.md`).

use std::io::{self, BufRead};

use super::bits::{BitReader, low_bits};
use super::codes::{BitSource, CodeLengths, LONGEST};
use super::tables::Tables;

/// The greatest distance of a match.
const HISTORY: usize = 32 * 1024;

/// The number of bytes that are decompressed before the history moves to the start of the window.
const ROOM: usize = 64 * 1024;

/// The bytes that may be written after the last of them: a match of the greatest length begins at the last, copying
/// writes up to 15 bytes too many, and a few literals may come before.
const SLACK: usize = 512;

/// The end of the part of the window that symbols may begin in.
const END: usize = HISTORY + ROOM;

type Window = [u8; END + SLACK];

/// The number of bytes of input that a step of [`Run::symbols`] needs: two times eight are read, of which the first
/// time consumes seven.
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
}

impl<R: BufRead> Inflater<R> {
    pub(crate) fn new(reader: R) -> Self {
        let window = vec![0; END + SLACK].into_boxed_slice();
        Self {
            source: BitReader::new(reader),
            tables: Tables::new(),
            window: window.try_into().expect("this is its length"),
            start: 0,
            end: 0,
            state: State::Block,
            is_last_block: false,
        }
    }

    /// Begins another stream. Before that, the one before must have ended, and at least eight bytes after it been read
    /// with [`Self::read_after`].
    pub(crate) fn restart(&mut self) {
        (self.start, self.end) = (0, 0);
        self.state = State::Block;
    }

    /// The reader. Up to seven bytes after the stream may have been taken from it.
    pub(crate) fn reader(&mut self) -> &mut R {
        &mut self.source.reader
    }

    /// Reads decompressed bytes. Returns 0 at the end of the stream.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            self.decompress()?;
        }
        let length = buffer.len().min(self.end - self.start);
        buffer[..length].copy_from_slice(&self.window[self.start..self.start + length]);
        self.start += length;
        Ok(length)
    }

    /// Reads the bytes that follow the stream, after its end.
    pub(crate) fn read_after<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        let mut at = 0;
        while at < LENGTH {
            match self.source.read_bytes(&mut bytes[at..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => at += read,
            }
        }
        Ok(bytes)
    }

    /// Fills the window. Adds nothing at the end of the stream.
    fn decompress(&mut self) -> io::Result<()> {
        if self.end >= END {
            self.window.copy_within(self.end - HISTORY..self.end, 0);
            (self.start, self.end) = (HISTORY, HISTORY);
        }
        while self.end < END {
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
        self.is_last_block = source.take(1)? == 1;
        self.state = State::Symbols;
        let made = match source.take(2)? {
            0 => {
                source.align();
                let length = source.take(16)?;
                self.state = State::Stored(length);
                (source.take(16)? == length ^ 0xffff).then_some(())
            }
            1 => {
                let (main, distance) = CodeLengths::fixed();
                self.tables.make(&main, &distance)
            }
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
        let room = length.min(END - self.end);
        let read = self.source.read_bytes(&mut self.window[self.end..self.end + room])?;
        self.end += read;
        self.state = State::Stored(length - read);
        if length == read {
            self.end_block();
        } else if read == 0 {
            // The error for the end of the reader.
            self.source.take(1)?;
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
        if self.end < END { self.read_symbol() } else { Ok(()) }
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
    /// This loop takes nearly all the time of decompressing, and that time is what one step waits for the one before. So
    /// the entry of the next symbol is looked up as soon as its bits are known, and `count`, of which only the lowest six
    /// bits are meant, is computed from whole entries.
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
        macro_rules! write {
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
            while input.len() >= STEP && end < END {
                // Four literals take at most 48 bits, and a match as many.
                if entry.is_literal() {
                    write!(entry);
                    if entry.is_literal() {
                        write!(entry);
                        if entry.is_literal() {
                            write!(entry);
                            if entry.is_literal() {
                                write!(entry);
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
                        write!(entry);
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
    // What a step copies begins with bytes that the steps before it wrote, or are older.
    let step = distance.min(16);
    let mut at = 0;
    while at < length {
        let bytes: [u8; 16] = *window[start + at..].first_chunk().expect("the window has bytes to spare");
        *window[end + at..].first_chunk_mut().expect("the window has bytes to spare") = bytes;
        at += step;
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::compress::deflate::store;
    use crate::compress::deflate::tests::{deflated, deflated_by_libdeflate, inflated, samples};

    /// Decompresses a stream that is followed by some bytes, from a reader and into a buffer of these sizes.
    fn read(stream: &[u8], input: usize, output: usize) -> io::Result<Vec<u8>> {
        let after = *b"trailer.";
        let bytes = [stream, &after].concat();
        let mut inflater = Inflater::new(BufReader::with_capacity(input, bytes.as_slice()));
        let mut content = Vec::new();
        let mut buffer = vec![0; output];
        loop {
            let read = inflater.read(&mut buffer)?;
            content.extend(&buffer[..read]);
            if read == 0 {
                break;
            }
        }
        assert_eq!(inflater.read(&mut buffer)?, 0, "the end is the end");
        assert_eq!(inflater.read_after()?, after);
        Ok(content)
    }

    /// The sizes of readers and buffers: all ways through the code.
    const SIZES: [(usize, usize); 5] = [(1, 1 << 20), (7, 100), (24, 70_000), (1 << 20, ROOM), (1 << 20, 1)];

    #[test]
    fn streams_of_other_compressors_are_read_from_any_reader_into_any_buffer() {
        for content in samples() {
            let of_zlib = [0, 1, 6].map(|level| deflated(level, &content));
            let of_libdeflate = [1, 12].map(|level| deflated_by_libdeflate(level, &content));
            let streams = of_zlib.into_iter().chain(of_libdeflate);
            for stream in streams {
                // Byte by byte takes long.
                let sizes = if content.len() > 100_000 { &SIZES[1..4] } else { &SIZES };
                for (input, output) in sizes {
                    let read = read(&stream, *input, *output).expect("a sound stream");
                    assert!(read == content, "{} bytes, {input}, {output}", content.len());
                }
            }
        }
    }

    #[test]
    fn a_match_may_be_as_far_as_a_stream_allows() {
        let noise = &samples()[4][..HISTORY];
        // In a block with fixed codes: the length 258 and the distance 32,768, 200 times, and the end.
        let matched = [(8, 0b1010_0011), (5, 0b1_0111), (13, 8191)];
        let matches = bits(&[vec![(1, 1), (2, 1)], matched.repeat(200), vec![(7, 0)]].concat());
        for before in [0, 1, ROOM - 258, ROOM, END + 1] {
            let content = [vec![b'.'; before], noise.to_vec()].concat();
            let mut stream = Vec::new();
            store(&content, &mut stream);
            stream.extend(&matches);
            let content = [content.as_slice(), &noise.repeat(2)[..258 * 200]].concat();
            for (input, output) in SIZES {
                assert!(read(&stream, input, output).expect("a sound stream") == content, "{before} {input} {output}");
            }
        }
    }

    #[test]
    fn each_cut_is_reported_as_one() {
        for content in samples() {
            let stream = deflated(6, &content);
            let step = stream.len() / 100 + 1;
            for cut in (0..stream.len()).step_by(step) {
                let mut inflater = Inflater::new(&stream[..cut]);
                let error = loop {
                    match inflater.read(&mut [0; 1000]) {
                        Ok(0) => panic!("the end of a stream that was cut at {cut}"),
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.to_string(), "incomplete deflate stream", "{cut} of {}", stream.len());
            }
        }
    }

    #[test]
    fn changed_streams_are_read_as_zlib_reads_them_or_not_at_all() {
        for content in samples() {
            let content = &content[..content.len().min(20_000)];
            let stream = deflated(6, content);
            for bit in (0..stream.len() * 8).filter(|bit| *bit < 800 || bit % 307 == 0) {
                let mut changed = stream.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let expected = inflated(&changed);
                let mut inflater = Inflater::new(changed.as_slice());
                let mut content = Vec::new();
                let mut buffer = vec![0; 100_000];
                let found = loop {
                    match inflater.read(&mut buffer) {
                        Ok(0) => break Some(content),
                        Ok(read) => content.extend(&buffer[..read]),
                        Err(_) => break None,
                    }
                };
                assert!(found == expected, "bit {bit} of {} bytes", stream.len());
            }
        }
    }

    /// Writes bits, the lowest of a number first.
    fn bits(numbers: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, bit) in
            numbers.iter().flat_map(|(count, number)| (0..*count).map(move |bit| number >> bit & 1)).enumerate()
        {
            if at % 8 == 0 {
                bytes.push(0);
            }
            *bytes.last_mut().expect("pushed") |= (bit as u8) << (at % 8);
        }
        bytes
    }

    /// The start of a last block whose lengths of codes have codes of one bit: 0 for the first of two, 1 for the second.
    fn block(main: u32, distances: u32, first: usize, second: usize) -> Vec<(u32, u32)> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let mut numbers = vec![(1, 1), (2, 2), (5, main - 257), (5, distances - 1), (4, 15)];
        numbers.extend(ORDER.map(|length| (3, u32::from(length == first || length == second))));
        numbers
    }

    #[test]
    fn codes_that_no_compressor_makes_are_refused() {
        let repeat = |bit: u32, count: usize| vec![(1, bit); count];
        // The codes of length 1 belong to these symbols, the other codes have the length 0.
        let lengths = |ones: &[usize], total: usize| -> Vec<(u32, u32)> {
            (0..total).map(|symbol| (1, u32::from(ones.contains(&symbol)))).collect()
        };
        let cases = [
            ("the end alone, no distance", [block(257, 1, 0, 1), lengths(&[256], 258), repeat(0, 1)].concat(), true),
            ("the end and a literal", [block(257, 1, 0, 1), lengths(&[7, 256], 258), repeat(1, 1)].concat(), true),
            ("the end and one distance", [block(257, 1, 0, 1), lengths(&[256, 257], 258), repeat(0, 1)].concat(), true),
            ("no end", [block(257, 1, 0, 1), lengths(&[7, 8], 258), repeat(0, 1)].concat(), false),
            ("three codes of one bit", [block(257, 1, 0, 1), lengths(&[7, 8, 256], 258)].concat(), false),
            (
                "three distances of one bit",
                [block(257, 3, 0, 1), lengths(&[7, 256, 257, 258, 259], 260)].concat(),
                false,
            ),
            (
                "too many literals and lengths",
                [block(287, 1, 0, 1), lengths(&[7, 256], 288), repeat(1, 1)].concat(),
                false,
            ),
            ("one code of two bits", [block(257, 1, 0, 2), lengths(&[256], 258), repeat(0, 2)].concat(), false),
            ("a repetition of nothing", [block(257, 1, 0, 16), repeat(1, 1), repeat(0, 300)].concat(), false),
            ("the reserved kind of block", vec![(1, 1), (2, 3), (32, 0)], false),
            ("a stored length without its complement", vec![(1, 1), (2, 0), (5, 0), (16, 1), (16, 1), (8, 0)], false),
            ("a distance before the stream", vec![(1, 1), (2, 1), (7, 0x40), (5, 0), (7, 0)], false),
        ];
        for (name, numbers, is_sound) in cases {
            let stream = bits(&numbers);
            assert_eq!(inflated(&stream).is_some(), is_sound, "zlib: {name}");
            for (input, output) in SIZES {
                let read = read(&stream, input, output);
                assert_eq!(read.as_ref().ok(), is_sound.then(Vec::new).as_ref(), "{name}: {read:?}");
                if let Err(error) = read {
                    assert_eq!(error.to_string(), "corrupt deflate stream", "{name}");
                }
            }
        }
    }

    #[test]
    fn another_stream_does_not_see_the_bytes_of_the_one_before() {
        let first = deflated(6, &b"some text, ".repeat(5_000));
        // A match of three bytes, one byte before the stream.
        let second = bits(&[(1, 1), (2, 1), (7, 0x40), (5, 0), (7, 0)]);
        let stream = [first.as_slice(), b"trailer.", &second, b"trailer."].concat();
        let mut inflater = Inflater::new(stream.as_slice());
        let mut buffer = vec![0; 1 << 20];
        while inflater.read(&mut buffer).expect("a sound stream") > 0 {}
        assert_eq!(&inflater.read_after::<8>().expect("it follows"), b"trailer.");
        inflater.restart();
        assert_eq!(inflater.read(&mut buffer).expect_err("nothing is there").to_string(), "corrupt deflate stream");
    }

    #[test]
    fn an_error_of_the_reader_is_passed_on() {
        struct Broken<'a>(&'a [u8]);
        impl io::Read for Broken<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0.is_empty() { Err(io::Error::other("broken")) } else { self.0.read(buffer) }
            }
        }
        let stream = deflated(6, &samples()[3]);
        let mut inflater = Inflater::new(BufReader::new(Broken(&stream[..stream.len() / 2])));
        let error = io::copy(&mut Reading(&mut inflater), &mut io::sink()).expect_err("it is broken");
        assert_eq!(error.to_string(), "broken");
    }

    struct Reading<'a, R>(&'a mut Inflater<R>);

    impl<R: BufRead> io::Read for Reading<'_, R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
}
