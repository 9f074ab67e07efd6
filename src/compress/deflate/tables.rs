//! The codes of a block as tables: the next bits are the index of an entry, which is their meaning.

use std::array;

use super::codes::{
    Code, CodeLengths, DISTANCE_CODES, DISTANCE_SYMBOLS, LONGEST, MAIN_CODES, MAIN_SYMBOLS, distance_of, length_of,
};

/// The number of bits that index the table of literals and lengths, and that of distances. Longer codes take a second
/// step, to a part of the table that begins after the first one.
const MAIN_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 9;

/// The sizes of the tables. Longer codes that begin with the same bits share a second part. At least two codes share one:
/// only a complete code has codes that are longer than one bit.
const MAIN_ENTRIES: usize = (1 << MAIN_BITS) + ((MAIN_CODES / 2) << (LONGEST as u32 - MAIN_BITS));
const DISTANCE_ENTRIES: usize = (1 << DISTANCE_BITS) + ((DISTANCE_CODES / 2) << (LONGEST as u32 - DISTANCE_BITS));

/// The meaning of some bits. The bits of the number, from the lowest:
///
/// - 0 to 5: how many bits to skip: the code and its extra bits
/// - 8 to 11: how many of these are the code
/// - 12 to 15: the marks below
/// - 16 to 31: the literal, the shortest length or distance, or the start of the second part
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

impl Entry {
    const LITERAL: u32 = 1 << 15;
    /// Neither a literal, a length nor a distance.
    const OTHER: u32 = 1 << 14;
    /// The start of codes that take a second step.
    const LONG: u32 = 1 << 13;
    const NO_CODE: u32 = 1 << 12;

    const INVALID: Self = Self(Self::OTHER | Self::NO_CODE);

    fn new(value: u16, marks: u32, extra: u8) -> Self {
        Self((value as u32) << 16 | marks | extra as u32)
    }

    /// The entry of a literal, a length or the end of a block, without the bits of its code.
    fn main(symbol: usize) -> Self {
        match (symbol, length_of(symbol)) {
            (0..=255, _) => Self::new(symbol as u16, Self::LITERAL, 0),
            (256, _) => Self::new(0, Self::OTHER, 0),
            (_, Some((length, extra))) => Self::new(length, 0, extra),
            (_, None) => Self::INVALID,
        }
    }

    /// The entry of a distance, without the bits of its code.
    fn distance(symbol: usize) -> Self {
        match distance_of(symbol) {
            Some((distance, extra)) => Self::new(distance, 0, extra),
            None => Self::INVALID,
        }
    }

    fn with_code(self, bits: usize) -> Self {
        Self(self.0 + (bits as u32 * 0x101))
    }

    /// How many bits to skip, in the lowest six bits of a number whose other bits mean something else.
    #[inline(always)]
    pub(super) fn skip(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) fn is_literal(self) -> bool {
        self.0 & Self::LITERAL != 0
    }

    /// Returns whether the code is a long one, the end of a block, or invalid.
    #[inline(always)]
    pub(super) fn is_other(self) -> bool {
        self.0 & Self::OTHER != 0
    }

    /// Returns whether no code begins with these bits, or one of a symbol that does not exist.
    pub(super) fn is_invalid(self) -> bool {
        self.0 & Self::NO_CODE != 0
    }

    /// How many bits to skip.
    pub(super) fn bits(self) -> u32 {
        self.0 & 0x3f
    }

    #[inline(always)]
    pub(super) fn literal(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// The length or distance, with the extra bits that are among the next bits.
    #[inline(always)]
    pub(super) fn value(self, bits: u64) -> usize {
        let extra = (bits & ((1 << (self.0 & 0x3f)) - 1)) >> (self.0 >> 8 & 0xf);
        (self.0 >> 16) as usize + extra as usize
    }
}

/// The tables of a block.
pub(super) struct Tables {
    main: Box<[Entry; MAIN_ENTRIES]>,
    distance: Box<[Entry; DISTANCE_ENTRIES]>,
    /// The entries of all symbols, without the bits of their codes.
    main_symbols: [Entry; MAIN_SYMBOLS],
    distance_symbols: [Entry; DISTANCE_SYMBOLS],
    /// Whether they are those of the fixed codes.
    are_fixed: bool,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            main: Box::new([Entry::INVALID; MAIN_ENTRIES]),
            distance: Box::new([Entry::INVALID; DISTANCE_ENTRIES]),
            main_symbols: array::from_fn(Entry::main),
            distance_symbols: array::from_fn(Entry::distance),
            are_fixed: false,
        }
    }

    /// Makes the tables of the fixed codes (RFC 1951, section 3.2.6), unless they are there: a block of ten bits can need them.
    pub(super) fn make_fixed(&mut self) -> Option<()> {
        if !self.are_fixed {
            let (main, distance) = CodeLengths::fixed();
            self.make(&main, &distance)?;
            self.are_fixed = true;
        }
        Some(())
    }

    /// Makes the tables from the lengths of the codes. Returns `None`, with tables that must not be used, if zlib refuses
    /// such codes.
    pub(super) fn make(&mut self, main: &[u8], distance: &[u8]) -> Option<()> {
        self.are_fixed = false;
        // Without an end no block can be sound.
        main.get(256).filter(|length| **length > 0)?;
        fill(&Code::new(main)?, MAIN_BITS, &mut self.main[..], &self.main_symbols)?;
        fill(&Code::new(distance)?, DISTANCE_BITS, &mut self.distance[..], &self.distance_symbols)
    }

    /// The entry of the next literal, length or end, if its code is not a long one.
    #[inline(always)]
    pub(super) fn main(&self, bits: u64) -> Entry {
        self.main[bits as usize % (1 << MAIN_BITS)]
    }

    /// The entry of the next distance, if its code is not a long one.
    #[inline(always)]
    pub(super) fn distance(&self, bits: u64) -> Entry {
        self.distance[bits as usize % (1 << DISTANCE_BITS)]
    }

    /// The entry of the next literal, length or end, after [`Self::main`] returned this one.
    #[inline(always)]
    pub(super) fn long_main(&self, entry: Entry, bits: u64) -> Entry {
        second_step(&self.main[..], MAIN_BITS, entry, bits)
    }

    /// The entry of the next distance, after [`Self::distance`] returned this one.
    #[inline(always)]
    pub(super) fn long_distance(&self, entry: Entry, bits: u64) -> Entry {
        second_step(&self.distance[..], DISTANCE_BITS, entry, bits)
    }
}

#[inline(always)]
fn second_step(table: &[Entry], first_bits: u32, entry: Entry, bits: u64) -> Entry {
    if entry.0 & Entry::LONG == 0 {
        return entry;
    }
    let within = (bits >> first_bits) as usize % (1 << (LONGEST as u32 - first_bits));
    table[(entry.0 >> 16) as usize + within]
}

/// Fills a table. Returns `None` if the code is not complete. A single code of one bit is allowed, and none: compressors
/// write them for a block with one distance, or without.
fn fill(code: &Code, bits: u32, table: &mut [Entry], symbols: &[Entry]) -> Option<()> {
    if !code.is_complete() && !code.is_of_one_bit_or_none() {
        return None;
    }
    // Each code ends at the entry that it indexes. For one bit more the table is doubled: then its entries are right
    // for both values of that bit, and the codes of the new length replace invalid ones.
    table[0] = Entry::INVALID;
    let mut size = 1;
    code.for_each(1..=bits as usize, |symbol, length, code| {
        while size < 1 << length {
            table.copy_within(..size, size);
            size *= 2;
        }
        table[code] = symbols[usize::from(symbol)].with_code(length);
    });
    while size < 1 << bits {
        table.copy_within(..size, size);
        size *= 2;
    }
    let part = 1 << (LONGEST as u32 - bits);
    let mut next = size;
    let mut prefix = usize::MAX;
    code.for_each(bits as usize + 1..=LONGEST, |symbol, length, code| {
        if code % size != prefix {
            prefix = code % size;
            table[prefix] = Entry::new(next as u16, Entry::OTHER | Entry::LONG, 0);
            next += part;
        }
        let entries = table[next - part..next].iter_mut().skip(code >> bits).step_by(1 << (length as u32 - bits));
        entries.for_each(|slot| *slot = symbols[usize::from(symbol)].with_code(length));
    });
    Some(())
}
