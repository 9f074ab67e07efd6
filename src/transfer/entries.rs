//! The byte ranges of the files in an archive, checked before anything is used.
//!
//! Only headers are read. The rules are those of `validate/tar.rs`, and so of Go's `archive/tar`. Entries that other
//! programs might read differently are rejected.

use std::collections::HashMap;
use std::path::Path;

use ::tar::{EntryType, Header};

use super::entry_names::{checked, shown, target_of};
use crate::error::{Error, Reason, Result};
use crate::fs::zeroed;
use crate::tar::header::{EXTENDED_LIMIT, has_right_checksum, number, record};
use crate::transfer::load::not_an_archive;
use crate::view::content::Content;

/// The size of a tar's blocks.
const BLOCK: usize = 512;

/// The maximum number of entries in an archive.
const ENTRY_LIMIT: u64 = 1_000_000;

/// The maximum length of all names together, in bytes.
const NAMES_LIMIT: usize = 128 * 1024 * 1024;

/// The maximum length of a chain of links.
const LINK_LIMIT: usize = 40;

/// The files and links of an archive, by name.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    pub(crate) path: &'a Path,
    content: &'a Content,
    files: HashMap<String, Span>,
    /// The targets of links; after `settle_links`, only of dangling links.
    links: HashMap<String, String>,
}

/// The byte range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    offset: u64,
    size: u64,
}

/// The fields of extended headers that apply to the next entry.
#[derive(Debug, Default)]
struct Extended {
    is_there: bool,
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl<'a> Entries<'a> {
    /// Reads the headers of a tar.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnArchive`]; [`Error::UnsafeEntry`]; [`Error::Io`].
    pub(crate) fn find(path: &'a Path, content: &'a Content) -> Result<Self> {
        let files = HashMap::new();
        let mut entries = Self { path, content, files, links: HashMap::new() };
        EntryReader { entries: &mut entries, at: 0, last: String::new(), names: 0 }.run()?;
        Ok(entries)
    }

    /// Resolves links to other entries. A dangling link becomes an error only when it is read.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafeEntry`].
    pub(crate) fn settle_links(&mut self) -> Result<()> {
        let mut resolved = Vec::new();
        for name in self.links.keys() {
            let (mut end, mut steps) = (name, 0);
            while let Some(next) = self.links.get(end) {
                end = next;
                steps += 1;
                if steps > LINK_LIMIT {
                    return Err(self.not_safe(name, "is a link that leads in a circle, or over too many others"));
                }
            }
            resolved.extend(self.files.get(end).map(|span| (name.clone(), *span)));
        }
        for (name, span) in resolved {
            self.links.remove(&name);
            self.files.insert(name, span);
        }
        Ok(())
    }

    /// Returns the error for a dangling link; `None` if the name is not such a link.
    pub(crate) fn dangling(&self, name: &str) -> Option<Error> {
        let target = self.links.get(name)?;
        Some(self.not_safe(
            name,
            format!("is a dangling link: '{}' is no file in the archive", shown(target).escape_debug()),
        ))
    }

    /// Returns the names of the dangling links, in no particular order.
    pub(crate) fn dangling_names(&self) -> impl Iterator<Item = &str> {
        self.links.keys().map(String::as_str)
    }

    /// Returns whether there is a file or a link of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.links.contains_key(name)
    }

    /// Returns the content of a file.
    pub(crate) fn file(&self, name: &str) -> Option<Content> {
        self.span(name).map(|span| self.content(span))
    }

    /// Returns the content of a byte range.
    pub(crate) fn content(&self, span: Span) -> Content {
        self.content.part(span.offset, span.size)
    }

    /// Returns the byte range of a file. A link has the range of its target.
    pub(crate) fn span(&self, name: &str) -> Option<Span> {
        self.files.get(name).copied()
    }

    /// Reads a file, if it exists and is not larger than `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::Io`].
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(content) = self.file(name) else { return Ok(None) };
        if content.size() > limit {
            return Err(Error::TooLarge { what: format!("'{}' in {}", shown(name), self.path.display()), limit });
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut content.reader(), &mut bytes).map_err(Error::io("read", self.path))?;
        Ok(Some(bytes))
    }

    /// Returns the names of the files, in no particular order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(crate) fn not_safe(&self, entry: &str, reason: impl Into<String>) -> Error {
        Error::UnsafeEntry { path: self.path.to_owned(), entry: shown(entry), reason: Reason::new(reason) }
    }
}

/// A pass over the headers.
struct EntryReader<'w, 'a> {
    entries: &'w mut Entries<'a>,
    at: u64,
    /// The name of the previous entry, for errors.
    last: String,
    /// The length of all names so far, in bytes.
    names: usize,
}

impl EntryReader<'_, '_> {
    fn run(mut self) -> Result<()> {
        let mut extended = Extended::default();
        let mut count = 0;
        while let Some(header) = self.header()? {
            count += 1;
            if count > ENTRY_LIMIT {
                return Err(self.malformed(format!("it has more than {ENTRY_LIMIT} entries")));
            }
            let kind = header.entry_type();
            match kind {
                EntryType::XGlobalHeader => {
                    self.extended_header(&header)?;
                }
                EntryType::XHeader => {
                    let records = self.extended_header(&header)?;
                    self.read_records(&records, &mut extended)?;
                }
                EntryType::GNULongName => extended.name = Some(without_nuls(self.extended_header(&header)?)),
                EntryType::GNULongLink => extended.target = Some(without_nuls(self.extended_header(&header)?)),
                _ => {
                    self.entry(&header, std::mem::take(&mut extended))?;
                    continue;
                }
            }
            extended.is_there |= kind != EntryType::XGlobalHeader;
        }
        if extended.is_there {
            return Err(self.malformed("an extended header at its end belongs to no entry"));
        }
        Ok(())
    }

    /// Reads the next header; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            return match self.block()? {
                Some(block) if block != [0; BLOCK] => {
                    Err(self.malformed(format!("a block of zeros stands between its entries, after '{}'", self.last)))
                }
                _ => Ok(None),
            };
        }
        if !has_right_checksum(&block) {
            return Err(self.malformed(format!("the checksum of the header after '{}' is wrong", self.last)));
        }
        Ok(Some(Header::from_byte_slice(&block).clone()))
    }

    /// Reads the next block; `None` at the end of the content.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        match self.read_at(&mut block)? {
            0 => Ok(None),
            BLOCK => {
                self.at += BLOCK as u64;
                Ok(Some(block))
            }
            _ => Err(self.malformed(format!("it is truncated: it ends within a header, after '{}'", self.last))),
        }
    }

    fn read_at(&self, buffer: &mut [u8]) -> Result<usize> {
        let Entries { path, content, .. } = *self.entries;
        content.read_at(buffer, self.at).map_err(Error::io("read", path))
    }

    /// Reads the content of an extended header.
    fn extended_header(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = self.size(header, "an extended header")?;
        if size > EXTENDED_LIMIT {
            let reason = format!("an extended header has {size} bytes, more than {EXTENDED_LIMIT}");
            return Err(self.malformed(reason));
        }
        let mut content = zeroed(size).map_err(Error::io("read", self.entries.path))?;
        if self.read_at(&mut content)? < content.len() {
            return Err(self.malformed("it is truncated: it ends within an extended header"));
        }
        self.skip(size);
        Ok(content)
    }

    /// Reads the records of a pax header: `length key=value\n`.
    fn read_records(&mut self, mut records: &[u8], extended: &mut Extended) -> Result<()> {
        while !records.is_empty() {
            let Some((key, value, after)) = record(records) else {
                return Err(self.malformed("a record of an extended header is malformed"));
            };
            records = after;
            match key {
                // An empty value cancels the value of a global header.
                _ if value.is_empty() => {}
                b"path" => extended.name = Some(value.to_owned()),
                b"linkpath" => extended.target = Some(value.to_owned()),
                b"size" => {
                    let digits = std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
                    let size = digits.and_then(|text| text.parse().ok()).filter(|size| i64::try_from(*size).is_ok());
                    let malformed = || self.malformed("the size in an extended header is not a number");
                    extended.size = Some(size.ok_or_else(malformed)?);
                }
                _ => extended.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }

    /// Records an entry, and moves on to the next header.
    fn entry(&mut self, header: &Header, extended: Extended) -> Result<()> {
        let bytes = extended.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let given = String::from_utf8_lossy(&bytes).into_owned();
        self.last = shown(&given);
        let name = checked(&bytes).map_err(|reason| self.entries.not_safe(&given, reason))?;
        self.names += bytes.len();
        if self.names > NAMES_LIMIT {
            return Err(self.malformed(format!("the names in it have more than {NAMES_LIMIT} bytes")));
        }
        let kind = header.entry_type();
        let is_directory = kind.is_dir() || kind.is_file() && bytes.ends_with(b"/");
        let odd = match kind {
            _ if extended.is_sparse || kind.is_gnu_sparse() => Some("a sparse file"),
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
            EntryType::Link | EntryType::Symlink => None,
            EntryType::Char => Some("a character device"),
            EntryType::Block => Some("a block device"),
            EntryType::Fifo => Some("a FIFO"),
            _ => Some("of an unknown type"),
        };
        if let Some(odd) = odd {
            return Err(self.entries.not_safe(&given, format!("is {odd}")));
        }
        if kind.is_hard_link() || kind.is_symlink() {
            let target = extended.target.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
            return self.link(name, &given, &target.unwrap_or_default(), kind.is_symlink());
        }
        // A directory has no content, even if its header has a size.
        let size = if kind.is_dir() { 0 } else { extended.size.map_or_else(|| self.size(header, &given), Ok)? };
        let span = Span { offset: self.at, size };
        if size > self.entries.content.size().saturating_sub(self.at) {
            return Err(self.malformed(format!("it is truncated: it ends within '{}'", self.last)));
        }
        self.skip(size);
        if name.as_ref().is_some_and(String::is_empty) && !is_directory {
            return Err(self.entries.not_safe(&given, "has no name"));
        }
        // A name that is not UTF-8 cannot be referred to, so the entry is ignored.
        if let Some(name) = name {
            self.entries.links.remove(&name);
            if is_directory {
                self.entries.files.remove(&name);
            } else {
                self.entries.files.insert(name, span);
            }
        }
        Ok(())
    }

    /// Records a link. Its size is ignored.
    fn link(&mut self, name: Option<String>, given: &str, target: &[u8], is_symlink: bool) -> Result<()> {
        let kind = if is_symlink { "a symbolic link" } else { "a hard link" };
        let Some(name) = name else { return Ok(()) };
        let directory = if is_symlink { name.rsplit_once('/').map_or("", |(directory, _)| directory) } else { "" };
        let Some(target) = target_of(directory, target) else {
            let target = shown(&String::from_utf8_lossy(target));
            let reason = format!("is {kind} to '{}', which is not in the archive", target.escape_debug());
            return Err(self.entries.not_safe(given, reason));
        };
        self.entries.files.remove(&name);
        self.entries.links.insert(name, target);
        Ok(())
    }

    fn size(&self, header: &Header, name: &str) -> Result<u64> {
        let size = number(&header.as_bytes()[124..136]).and_then(|size| u64::try_from(size).ok());
        size.ok_or_else(|| self.malformed(format!("the size of '{}' is not one", shown(name).escape_debug())))
    }

    /// Skips content, and the padding of its last block.
    fn skip(&mut self, size: u64) {
        self.at = self.at.saturating_add(size).checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX);
    }

    fn malformed(&self, reason: impl Into<String>) -> Error {
        not_an_archive(self.entries.path, reason)
    }
}

/// Removes trailing NUL bytes.
fn without_nuls(mut name: Vec<u8>) -> Vec<u8> {
    while name.last() == Some(&0) {
        name.pop();
    }
    name
}
