//! Sparse files: their maps, in the four forms that GNU tar has written, and their content with its holes.
//!
//! Files of which only the parts with data are stored (GNU tar manual, "Storing Sparse Files"): type `S` with the map in the
//! header and in blocks after it; pax records with the map, in the versions 0.0 and 0.1; and version 1.0, with the map at
//! the beginning of the content.

use std::collections::VecDeque;

use super::header_fields::{BLOCK, number};

/// The most parts of a file. Go's reader, and so every engine, has the same limit.
const PARTS: usize = 1 << 20;

/// The parts of a sparse file that have data, by offset and length, and its real size.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SparseMap {
    pub(super) parts: Vec<(u64, u64)>,
    pub(super) size: u64,
}

impl SparseMap {
    /// Adds the parts in a block: pairs of fields of 12 bytes, up to the first that is empty. Returns `None` if one is not a number, or there
    /// are too many.
    pub(super) fn add_fields(&mut self, fields: &[u8]) -> Option<()> {
        let natural = |field: &[u8]| u64::try_from(number(field)?).ok();
        for part in fields.chunks_exact(24).take_while(|part| part[0] != 0) {
            self.parts.push((natural(&part[..12])?, natural(&part[12..])?));
        }
        (self.parts.len() <= PARTS).then_some(())
    }

    /// Returns whether the parts follow each other, are within the file, and are as long as the stored content.
    pub(super) fn is_sound(&self, stored: u64) -> bool {
        let (mut end, mut sum) = (0, 0);
        for (offset, length) in &self.parts {
            let Some(next) = offset.checked_add(*length).filter(|next| *offset >= end && *next <= self.size) else {
                return false;
            };
            (end, sum) = (next, sum + length);
        }
        sum == stored
    }
}

/// The pax records of a sparse file.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    version: (Option<u32>, Option<u32>),
    parts: Vec<(u64, u64)>,
    /// The offset of a part whose length comes next.
    offset: Option<u64>,
    has_map: bool,
    size: Option<u64>,
    is_malformed: bool,
}

/// The place of a map.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MapPlace {
    /// The map is known.
    Records(SparseMap),
    /// The map is at the beginning of the content; the real size is known.
    Content { size: u64 },
}

/// The map of a sparse file is malformed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedMap;

impl SparseRecords {
    /// Takes a record, whose key stands after `GNU.sparse.`.
    pub(super) fn take(&mut self, key: &str, value: &[u8]) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let taken = match key {
            "major" => text.parse().map(|major| self.version.0 = Some(major)).ok(),
            "minor" => text.parse().map(|minor| self.version.1 = Some(minor)).ok(),
            "size" | "realsize" => natural(text).map(|size| self.size = Some(size)),
            "offset" => natural(text).filter(|_| self.offset.is_none()).map(|offset| self.offset = Some(offset)),
            "numbytes" => {
                self.has_map = true;
                self.offset.take().zip(natural(text)).map(|part| self.parts.push(part))
            }
            // An empty value is none.
            "map" if text.is_empty() => Some(()),
            "map" => self.take_map(text),
            // The number of parts, which are counted.
            _ => Some(()),
        };
        self.is_malformed |= taken.is_none();
    }

    fn take_map(&mut self, text: &str) -> Option<()> {
        self.has_map = true;
        let numbers: Vec<u64> = text.split(',').map(natural).collect::<Option<_>>()?;
        self.parts = numbers.chunks_exact(2).map(|part| (part[0], part[1])).collect();
        numbers.len().is_multiple_of(2).then_some(())
    }

    /// Returns the place of the map; `None` if readers do not take the file for a sparse one. `stored` is the size of the content.
    ///
    /// # Errors
    ///
    /// The records are malformed.
    pub(super) fn place(self, stored: u64) -> Option<Result<MapPlace, MalformedMap>> {
        let is_in_content = match self.version {
            (Some(1), Some(0)) => true,
            (Some(0), Some(0 | 1)) => false,
            // The first versions did not say so.
            (None, None) if self.has_map => false,
            _ => return None,
        };
        let size = self.size.unwrap_or(stored);
        let map = SparseMap { parts: self.parts, size };
        Some(match self.is_malformed || self.offset.is_some() {
            true => Err(MalformedMap),
            false if is_in_content => Ok(MapPlace::Content { size }),
            false if map.is_sound(stored) => Ok(MapPlace::Records(map)),
            false => Err(MalformedMap),
        })
    }
}

/// Reads a number of a record, which is below 2^63 to readers.
fn natural(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= i64::MAX as u64)
}

/// The map at the beginning of a content that is being read: the number of parts, then the offset and the length of each, a
/// line each, in whole blocks.
#[derive(Debug)]
pub(super) struct ContentMap {
    size: u64,
    numbers: Vec<u64>,
    /// The number of numbers, if it is known.
    wanted: Option<usize>,
    line: String,
}

impl ContentMap {
    pub(super) fn new(size: u64) -> Self {
        Self { size, numbers: Vec::new(), wanted: None, line: String::new() }
    }

    /// Reads a block. Returns whether it is the last one.
    ///
    /// # Errors
    ///
    /// The map is malformed.
    pub(super) fn block(&mut self, block: &[u8; BLOCK]) -> Result<bool, MalformedMap> {
        /// The digits of the largest number.
        const DIGITS: usize = 19;
        for byte in block {
            if *byte != b'\n' {
                self.line.push(char::from(*byte));
                if self.line.len() > DIGITS {
                    return Err(MalformedMap);
                }
                continue;
            }
            let number = natural(&self.line).ok_or(MalformedMap)?;
            self.line.clear();
            match self.wanted {
                Some(_) => self.numbers.push(number),
                None => self.wanted = Some(2 * usize::try_from(number).unwrap_or(usize::MAX).min(PARTS + 1)),
            }
            if self.wanted.is_some_and(|wanted| wanted > 2 * PARTS) {
                return Err(MalformedMap);
            }
            if self.wanted == Some(self.numbers.len()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the map, which was read.
    pub(super) fn into_map(self) -> SparseMap {
        SparseMap { parts: self.numbers.chunks_exact(2).map(|part| (part[0], part[1])).collect(), size: self.size }
    }
}

/// The content of a sparse file that is being read.
#[derive(Debug)]
pub(super) struct SparseContent {
    parts: VecDeque<(u64, u64)>,
    /// The place that is read next.
    at: u64,
    size: u64,
}

impl SparseContent {
    pub(super) fn new(map: SparseMap) -> Self {
        Self { parts: map.parts.into(), at: 0, size: map.size }
    }

    /// Returns the bytes that are left, holes included.
    pub(super) fn left(&self) -> u64 {
        self.size - self.at
    }

    /// Returns the length of the hole at the place that is read next.
    pub(super) fn hole(&mut self) -> u64 {
        // Parts without data mark the end of a file.
        while self.parts.front().is_some_and(|(offset, length)| *length == 0 || offset + length <= self.at) {
            self.parts.pop_front();
        }
        self.parts.front().map_or(self.size, |(offset, _)| *offset).saturating_sub(self.at)
    }

    /// Returns the length of the data at the place that is read next.
    pub(super) fn data(&self) -> u64 {
        let part = self.parts.front().filter(|(offset, _)| *offset <= self.at);
        part.map_or(0, |(offset, length)| offset + length - self.at)
    }

    /// Goes on to the place after some bytes.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.at += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(records: &[(&str, &str)]) -> SparseRecords {
        let mut taken = SparseRecords::default();
        records.iter().for_each(|(key, value)| taken.take(key, value.as_bytes()));
        taken
    }

    #[test]
    fn the_records_of_each_version_are_read_as_gos_reader_does() {
        let map = |parts: &[(u64, u64)], size| Some(Ok(MapPlace::Records(SparseMap { parts: parts.to_vec(), size })));
        let malformed = || Some(Err(MalformedMap));
        for (found, stored, expected) in [
            (records(&[("size", "10"), ("offset", "2"), ("numbytes", "3")]), 3, map(&[(2, 3)], 10)),
            (records(&[("major", "0"), ("minor", "0"), ("size", "9")]), 0, map(&[], 9)),
            (
                records(&[("major", "0"), ("minor", "1"), ("size", "9"), ("map", "1,2,9,0")]),
                2,
                map(&[(1, 2), (9, 0)], 9),
            ),
            (records(&[("map", "0,3"), ("numblocks", "1")]), 3, map(&[(0, 3)], 3)),
            (
                records(&[("major", "1"), ("minor", "0"), ("realsize", "9")]),
                512,
                Some(Ok(MapPlace::Content { size: 9 })),
            ),
            // Readers take these for other files.
            (records(&[("major", "1")]), 3, None),
            (records(&[("major", "2"), ("minor", "0"), ("map", "0,3")]), 3, None),
            (records(&[("size", "9")]), 3, None),
            (records(&[("map", "0")]), 3, malformed()),
            (records(&[("map", "0,x")]), 3, malformed()),
            (records(&[("map", "0,+3")]), 3, malformed()),
            (records(&[("map", "")]), 0, None),
            (records(&[("map", "0,3"), ("size", "-1")]), 3, malformed()),
            (records(&[("map", "0,3"), ("size", "2")]), 3, malformed()),
            (records(&[("map", "0,2"), ("size", "9")]), 3, malformed()),
            (records(&[("map", "4,2,1,1"), ("size", "9")]), 3, malformed()),
            (records(&[("map", "1,2,2,1"), ("size", "9")]), 3, malformed()),
            (records(&[("map", "9223372036854775807,9223372036854775807"), ("size", "9")]), 3, malformed()),
            (records(&[("offset", "1"), ("offset", "2"), ("numbytes", "1")]), 1, malformed()),
            (records(&[("numbytes", "1")]), 1, malformed()),
            (records(&[("offset", "1"), ("numbytes", "1"), ("offset", "2")]), 1, malformed()),
        ] {
            let text = format!("{found:?}");
            assert_eq!(found.place(stored), expected, "{text}");
        }
    }

    #[test]
    fn the_map_in_a_content_is_read_in_whole_blocks() {
        let read = |content: &str| {
            let mut map = ContentMap::new(5000);
            let mut content = content.as_bytes().to_vec();
            content.resize(content.len().next_multiple_of(BLOCK).max(BLOCK), 0);
            let mut blocks = content.chunks_exact(BLOCK).map(|block| block.try_into().expect("a block"));
            while !map.block(blocks.next().ok_or(MalformedMap)?)? {}
            assert_eq!(blocks.count(), 0);
            Ok(map.into_map())
        };
        let map = |parts: Vec<(u64, u64)>| Ok(SparseMap { parts, size: 5000 });
        let long: String = (0..100).map(|at| format!("{}\n5\n", at * 10)).collect();
        for (content, expected) in [
            ("0\n", map(vec![])),
            ("1\n2\n3\n", map(vec![(2, 3)])),
            (&format!("100\n{long}"), map((0..100).map(|at| (at * 10, 5)).collect())),
            ("2\n2\n3\n", Err(MalformedMap)),
            ("x\n", Err(MalformedMap)),
            ("\n", Err(MalformedMap)),
            (&"1".repeat(600), Err(MalformedMap)),
            ("1048577\n", Err(MalformedMap)),
            ("9223372036854775807\n", Err(MalformedMap)),
        ] {
            assert_eq!(read(content), expected, "{content:?}");
        }
    }
}
