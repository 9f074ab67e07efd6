//! Decodes the headers of a tar, with the extended headers of pax and GNU. Archives, layers and checks are all read
//! with this decoder.
//!
//! The decoder reads nothing itself: its callers have the bytes in pieces, in a stream, or in a file. They hand it one
//! block after another, and the content of extended headers.
//!
//! Supports the formats of layers: the old format, ustar, pax, and GNU's long names, sparse files and base-256 numbers.
//! The rules are those of Go's `archive/tar`, with which nearly every consumer of images reads layers.

use super::extended::{Extended, check_records};
use super::fault::Flaw;
use super::header_fields::{BLOCK, EXTENDED_LIMIT, has_right_checksum, number, text};
use super::read_header::Header;
use super::sparse::{ContentMap, MalformedMap, MapPlace, SparseMap};

/// Decodes the headers of one tar.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    /// The offset of the next block.
    at: u64,
    /// Where the next entry begins: with its first extended header.
    start: Option<u64>,
    /// The name of the last entry.
    name: Vec<u8>,
    /// The extended headers for the next entry.
    next: Extended,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    /// In the content of an extended header with this type flag.
    Extended(u8),
    /// In the map of a GNU sparse file, which precedes its content, or is the beginning of its content.
    SparseMap(Box<Header>, SparseMap),
    ContentMap(Box<Header>, ContentMap),
    FirstZeros,
    End,
}

/// The part of a tar that follows a block.
#[derive(Debug)]
pub(crate) enum Step {
    /// Another block, for [`Decoder::block`].
    Block,
    /// The content of an extended header, of this size, for [`Decoder::extended`].
    Extended(u64),
    /// The content of an entry, which the decoder is not given; then another block.
    Entry(Box<Header>),
    /// Nothing: the tar has ended.
    End,
}

/// The place at which a tar stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Where a header could begin.
    Header,
    /// Within an extended header.
    Extended,
    /// Within the map of a sparse file.
    SparseMap,
    /// After the first of the two blocks of zeros that end a tar.
    FirstZeros,
    /// After the end.
    End,
}

impl Decoder {
    /// Decodes the next block.
    ///
    /// # Errors
    ///
    /// The flaw of a malformed tar. Nothing after it can be decoded.
    pub(crate) fn block(&mut self, block: &[u8; BLOCK]) -> Result<Step, Flaw> {
        let begin = self.at;
        self.at = self.at.saturating_add(BLOCK as u64);
        let is_zero = block.iter().all(|byte| *byte == 0);
        match std::mem::take(&mut self.state) {
            State::SparseMap(header, mut map) => match map.add_fields(&block[..504]) {
                Some(()) if block[504] != 0 => {
                    self.state = State::SparseMap(header, map);
                    Ok(Step::Block)
                }
                Some(()) => self.begin_sparse(header, map),
                None => Err(self.malformed_map()),
            },
            State::ContentMap(mut header, mut map) => {
                let is_over = map.block(block).map_err(|MalformedMap| self.malformed_map())?;
                header.size -= BLOCK as u64;
                if is_over {
                    return self.begin_sparse(header, map.into_map());
                }
                self.expect_map(header, map)
            }
            State::FirstZeros if !is_zero => Err(Flaw::ZerosBetween { after: self.name.clone() }),
            State::FirstZeros | State::End => {
                self.state = State::End;
                Ok(Step::End)
            }
            State::Header | State::Extended(_) if is_zero => {
                self.state = State::FirstZeros;
                Ok(Step::Block)
            }
            State::Header | State::Extended(_) => {
                let start = *self.start.get_or_insert(begin);
                self.header(block, start)
            }
        }
    }

    fn header(&mut self, block: &[u8; BLOCK], start: u64) -> Result<Step, Flaw> {
        if !has_right_checksum(block) {
            return Err(Flaw::Checksum { after: self.name.clone() });
        }
        let flag = block[156];
        let is_extended = matches!(flag, b'x' | b'g' | b'L' | b'K');
        let name = if is_extended { text(&block[..100]).to_vec() } else { self.next.path_of(block) };
        let size = check_numbers(block, &name)?;
        if is_extended {
            if size > EXTENDED_LIMIT {
                return Err(Flaw::ExtendedSize(size));
            }
            self.state = State::Extended(flag);
            self.next.is_expected |= flag != b'g';
            return if size == 0 { self.extended(b"").map(|_| Step::Block) } else { Ok(Step::Extended(size)) };
        }
        self.name.clone_from(&name);
        self.start = None;
        let header = Header::new(block, std::mem::take(&mut self.next), name, start, size);
        let mut header = Box::new(header);
        if header.has_sparse_map() {
            let size = number(&block[483..495]).and_then(|size| u64::try_from(size).ok());
            let mut map = SparseMap { parts: Vec::new(), size: size.ok_or_else(|| self.malformed_map())? };
            map.add_fields(&block[386..482]).ok_or_else(|| self.malformed_map())?;
            if block[482] == 0 {
                return self.begin_sparse(header, map);
            }
            self.state = State::SparseMap(header, map);
            return Ok(Step::Block);
        }
        match header.take_map().map_err(|MalformedMap| self.malformed_map())? {
            None => Ok(self.begin_content(header)),
            Some(MapPlace::Records(map)) => self.begin_sparse(header, map),
            Some(MapPlace::Content { size }) => self.expect_map(header, ContentMap::new(size)),
        }
    }

    fn malformed_map(&self) -> Flaw {
        Flaw::SparseMap { name: self.name.clone() }
    }

    /// Expects another block of a map at the beginning of the content.
    fn expect_map(&mut self, header: Box<Header>, map: ContentMap) -> Result<Step, Flaw> {
        if header.size < BLOCK as u64 {
            return Err(self.malformed_map());
        }
        self.state = State::ContentMap(header, map);
        Ok(Step::Block)
    }

    fn begin_sparse(&mut self, mut header: Box<Header>, map: SparseMap) -> Result<Step, Flaw> {
        if !map.is_sound(header.size) {
            return Err(self.malformed_map());
        }
        header.sparse = Some(map);
        Ok(self.begin_content(header))
    }

    fn begin_content(&mut self, mut header: Box<Header>) -> Step {
        header.content_at = self.at;
        self.skip(header.size);
        Step::Entry(header)
    }

    /// Decodes the content of an extended header. Returns its type flag.
    ///
    /// # Errors
    ///
    /// As those of [`Decoder::block`].
    pub(crate) fn extended(&mut self, content: &[u8]) -> Result<u8, Flaw> {
        let State::Extended(flag) = std::mem::take(&mut self.state) else {
            unreachable!("an extended header comes first")
        };
        self.skip(content.len() as u64);
        match flag {
            b'x' => self.next.take_records(content)?,
            b'L' => self.next.take_long_path(content),
            b'K' => self.next.take_long_link(content),
            _ => {
                // Global headers do not apply to entries: engines ignore them (images, rule A19).
                check_records(content)?;
                self.next.forget();
            }
        }
        Ok(flag)
    }

    /// Moves past content and its padding.
    fn skip(&mut self, size: u64) {
        self.at = self.at.saturating_add(size).checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
    }

    /// Returns the offset of the next block, or of the content of an extended header.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the name of the last entry, for messages.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns whether an extended header has no entry yet.
    pub(crate) fn expects_entry(&self) -> bool {
        self.next.is_expected
    }

    /// Returns the place at which the tar stops, if no bytes follow.
    pub(crate) fn stop(&self) -> Stop {
        match self.state {
            State::Header => Stop::Header,
            State::Extended(_) => Stop::Extended,
            State::SparseMap(..) | State::ContentMap(..) => Stop::SparseMap,
            State::FirstZeros => Stop::FirstZeros,
            State::End => Stop::End,
        }
    }
}

/// Checks the numbers of a header, and returns the size.
fn check_numbers(block: &[u8; BLOCK], name: &[u8]) -> Result<u64, Flaw> {
    let wrong = |field| Flaw::Field { field, name: name.to_vec() };
    for (range, field) in [(100..108, "mode"), (108..116, "owner"), (116..124, "group"), (136..148, "time")] {
        number(&block[range]).ok_or_else(|| wrong(field))?;
    }
    if block[257..265] == *b"ustar  \0" || block[257..263] == *b"ustar\0" {
        for range in [329..337, 337..345] {
            number(&block[range]).ok_or_else(|| wrong("device"))?;
        }
    }
    let size = number(&block[124..136]).ok_or_else(|| wrong("size"))?;
    u64::try_from(size).map_err(|_| Flaw::NegativeSize { size, name: name.to_vec() })
}
