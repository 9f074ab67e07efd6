//! The prefix codes of a deflate stream (RFC 1951, section 3.2), and how a block defines them.

/// The length of the longest code, in bits.
pub(super) const LONGEST: usize = 15;

/// The symbol at the end of a block.
pub(super) const END_OF_BLOCK: usize = 256;

/// The most codes for literals and lengths, and for distances, that a block can define.
pub(super) const MAIN_CODES: usize = 286;
pub(super) const DISTANCE_CODES: usize = 30;

/// The symbols of the fixed codes, the last two of each of which stand for nothing.
pub(super) const MAIN_SYMBOLS: usize = 288;
pub(super) const DISTANCE_SYMBOLS: usize = 32;

/// A source of bits, the lowest bit of a byte first.
pub(super) trait BitSource {
    /// The end of the stream, or a fault in it.
    type Error;

    /// Returns at least the next `count` bits, which is 56 or less. After the end of the stream there are zeros.
    fn peek(&mut self, count: u32) -> Result<u64, Self::Error>;

    /// Skips bits that were peeked at.
    fn skip(&mut self, count: u32) -> Result<(), Self::Error>;

    /// The error for bits that no deflate stream has.
    fn corrupt() -> Self::Error;

    /// Takes a number of at most 16 bits.
    fn take_bits(&mut self, count: u32) -> Result<usize, Self::Error> {
        let bits = self.peek(count)? & ((1 << count) - 1);
        self.skip(count)?;
        Ok(bits as usize)
    }
}

/// The lengths of the codes of a block.
pub(super) struct CodeLengths {
    lengths: [u8; MAIN_CODES + DISTANCE_CODES],
    main: usize,
    total: usize,
}

impl CodeLengths {
    /// The lengths of a block with fixed codes (section 3.2.6).
    pub(super) fn fixed() -> ([u8; MAIN_SYMBOLS], [u8; DISTANCE_SYMBOLS]) {
        let mut main = [8; MAIN_SYMBOLS];
        main[144..256].fill(9);
        main[256..280].fill(7);
        (main, [5; DISTANCE_SYMBOLS])
    }

    /// Reads the lengths at the start of a block with dynamic codes (section 3.2.7).
    pub(super) fn read<S: BitSource>(source: &mut S) -> Result<Self, S::Error> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        /// The bits of the longest code of a length.
        const BITS: u32 = 7;
        let main = source.take_bits(5)? + 257;
        let total = main + source.take_bits(5)? + 1;
        if main > MAIN_CODES || total - main > DISTANCE_CODES {
            return Err(S::corrupt());
        }
        let count = source.take_bits(4)? + 4;
        let mut lengths_of_lengths = [0; ORDER.len()];
        for at in &ORDER[..count] {
            lengths_of_lengths[*at] = source.take_bits(3)? as u8;
        }
        let code = Code::new(&lengths_of_lengths).filter(Code::is_complete).ok_or_else(S::corrupt)?;
        let symbols: [(u16, u8); 1 << BITS] = code.table();
        let mut lengths = [0; MAIN_CODES + DISTANCE_CODES];
        let mut at = 0;
        while at < total {
            let (symbol, bits) = symbols[source.peek(BITS)? as usize % symbols.len()];
            source.skip(bits.into())?;
            let (length, repeat) = match symbol {
                16 => {
                    let last = at.checked_sub(1).ok_or_else(S::corrupt)?;
                    (lengths[last], 3 + source.take_bits(2)?)
                }
                17 => (0, 3 + source.take_bits(3)?),
                18 => (0, 11 + source.take_bits(7)?),
                length => (length as u8, 1),
            };
            lengths[..total].get_mut(at..at + repeat).ok_or_else(S::corrupt)?.fill(length);
            at += repeat;
        }
        Ok(Self { lengths, main, total })
    }

    /// The lengths of the codes for literals, lengths and the end of the block.
    pub(super) fn main(&self) -> &[u8] {
        &self.lengths[..self.main]
    }

    /// The lengths of the codes for distances.
    pub(super) fn distance(&self) -> &[u8] {
        &self.lengths[self.main..self.total]
    }
}

/// Returns the shortest length of a match that a symbol stands for, and its number of extra bits.
pub(super) fn length_of(symbol: usize) -> Option<(u16, u8)> {
    const BASE: [u16; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227,
        258,
    ];
    const EXTRA: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
    match symbol {
        257..=285 => Some((BASE[symbol - 257], EXTRA[symbol - 257])),
        _ => None,
    }
}

/// Returns the shortest distance that a symbol stands for, and its number of extra bits.
pub(super) fn distance_of(symbol: usize) -> Option<(u16, u8)> {
    match symbol {
        0..=3 => Some((symbol as u16 + 1, 0)),
        4..=29 => {
            let extra = symbol / 2 - 1;
            Some((((2 + symbol as u16 % 2) << extra) + 1, extra as u8))
        }
        _ => None,
    }
}

/// A prefix code (section 3.2.2).
pub(super) struct Code {
    /// The number of codes of each length.
    counts: [u16; LONGEST + 1],
    /// The symbols, ordered by code, and zeros.
    symbols: [u16; MAIN_SYMBOLS],
    /// The number of codes of 15 bits that are unused.
    free: i32,
}

impl Code {
    /// The code of no symbol.
    pub(super) const EMPTY: Self = Self { counts: [0; LONGEST + 1], symbols: [0; MAIN_SYMBOLS], free: 1 << LONGEST };

    /// Makes the code from the length of each symbol's code, 0 for none. Returns `None` if a length is above 15, or if there
    /// are more codes than their lengths allow. Fewer are no error.
    pub(super) fn new(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0; LONGEST + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        counts[0] = 0;
        let mut starts = [0; LONGEST + 2];
        let mut free = 1i32;
        for length in 1..=LONGEST {
            starts[length + 1] = starts[length] + usize::from(counts[length]);
            free = free * 2 - i32::from(counts[length]);
            if free < 0 {
                return None;
            }
        }
        let mut symbols = [0; MAIN_SYMBOLS];
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let at = &mut starts[usize::from(*length)];
            symbols[*at] = symbol as u16;
            *at += 1;
        }
        Some(Self { counts, symbols, free })
    }

    /// Returns whether every sequence of bits begins with a code.
    pub(super) fn is_complete(&self) -> bool {
        self.free == 0
    }

    /// Returns whether there is a single code, of one bit, or none.
    pub(super) fn is_of_one_bit_or_none(&self) -> bool {
        let codes = self.counts.iter().sum::<u16>();
        codes == self.counts[1] && codes < 2
    }

    /// Calls a function for each code of these lengths, in the order of the codes: with the symbol, the length and the
    /// code as it lies in the stream, its first bit lowest.
    pub(super) fn for_each(&self, lengths: std::ops::RangeInclusive<usize>, mut each: impl FnMut(u16, usize, usize)) {
        let (mut code, mut index) = (0usize, 0usize);
        for length in 1..=*lengths.end() {
            code <<= 1;
            let count = usize::from(self.counts[length]);
            if lengths.contains(&length) {
                for (n, symbol) in self.symbols[index..index + count].iter().enumerate() {
                    each(*symbol, length, (code + n).reverse_bits() >> (usize::BITS as usize - length));
                }
            }
            code += count;
            index += count;
        }
    }

    /// Decodes a symbol bit by bit. Returns the symbol and the length of its code.
    pub(super) fn decode(&self, mut bits: u64) -> Option<(usize, usize)> {
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

    /// Returns, for each value of the next bits, the first symbol and the length of its code. The length is
    /// 0 if the code is longer, or if no code begins with these bits.
    pub(super) fn table<const ENTRIES: usize>(&self) -> [(u16, u8); ENTRIES] {
        let mut table = [(0, 0); ENTRIES];
        self.for_each(1..=ENTRIES.ilog2() as usize, |symbol, length, code| {
            let entries = table.iter_mut().skip(code).step_by(1 << length);
            entries.for_each(|entry| *entry = (symbol, length as u8));
        });
        table
    }
}
