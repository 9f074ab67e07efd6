//! The byte ranges of the files in an archive, checked before anything is used.
//!
//! Only headers are read. Entries that other programs might read differently are rejected.

use std::collections::HashMap;
use std::path::Path;

use super::entry_names::{checked, shown, target_of};
use crate::error::{Error, Reason, Result};
use crate::fs::zeroed;
use crate::tar::decode::{Decoder, Step, Stop};
use crate::tar::fault::{Flaw, ORPHAN};
use crate::tar::header_fields::BLOCK;
use crate::tar::read_header::Header;
use crate::transfer::load::not_an_archive;
use crate::view::content::Content;

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
    /// The last entry of a tar without the blocks that mark its end. Some programs leave them out.
    unmarked_end: Option<String>,
}

/// The byte range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    offset: u64,
    size: u64,
}

impl<'a> Entries<'a> {
    /// Reads the headers of a tar.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnArchive`]; [`Error::UnsafeEntry`]; [`Error::Io`].
    pub(crate) fn find(path: &'a Path, content: &'a Content) -> Result<Self> {
        let files = HashMap::new();
        let mut entries = Self { path, content, files, links: HashMap::new(), unmarked_end: None };
        EntryReader { entries: &mut entries, decoder: Decoder::default(), names: 0 }.run()?;
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

    /// Returns the error for a tar that lacks a file and the blocks that mark its end; `None` if it has these.
    pub(crate) fn truncated(&self) -> Option<Error> {
        let last = self.unmarked_end.as_ref()?;
        Some(not_an_archive(self.path, format!("it is truncated: it ends after '{last}'")))
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
    decoder: Decoder,
    /// The length of all names so far, in bytes.
    names: usize,
}

impl EntryReader<'_, '_> {
    fn run(mut self) -> Result<()> {
        let mut count = 0;
        let mut is_marked = false;
        while let Some(block) = self.block()? {
            count += 1;
            if count > ENTRY_LIMIT {
                return Err(self.malformed(format!("it has more than {ENTRY_LIMIT} entries")));
            }
            match self.decoder.block(&block).map_err(|flaw| self.refused(flaw))? {
                Step::Block => {}
                Step::Extended(size) => self.extended_header(size)?,
                Step::Entry(header) => self.entry(&header)?,
                Step::End => {
                    is_marked = true;
                    break;
                }
            }
        }
        if self.decoder.stop() == Stop::SparseMap {
            return Err(self.ends_within_entry());
        }
        if self.decoder.expects_entry() {
            return Err(self.malformed(ORPHAN));
        }
        if !is_marked && count > 0 {
            self.entries.unmarked_end = Some(self.last());
        }
        Ok(())
    }

    /// Reads the next block; `None` at the end of the content.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        match self.read_at(&mut block)? {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => {
                let last = self.last();
                Err(self.malformed(format!("it is truncated: it ends within a header, after '{last}'")))
            }
        }
    }

    fn read_at(&self, buffer: &mut [u8]) -> Result<usize> {
        let Entries { path, content, .. } = *self.entries;
        content.read_at(buffer, self.decoder.at()).map_err(Error::io("read", path))
    }

    /// Reads the content of an extended header.
    fn extended_header(&mut self, size: u64) -> Result<()> {
        let mut content = zeroed(size).map_err(Error::io("read", self.entries.path))?;
        if self.read_at(&mut content)? < content.len() {
            return Err(self.malformed("it is truncated: it ends within an extended header"));
        }
        self.decoder.extended(&content).map_err(|flaw| self.refused(flaw))?;
        Ok(())
    }

    /// Records an entry.
    fn entry(&mut self, header: &Header) -> Result<()> {
        // Other readers cut a long name off at a NUL.
        let bytes = header.extended.whole_long_path().filter(|path| !path.is_empty()).unwrap_or(&header.path);
        let given = String::from_utf8_lossy(bytes).into_owned();
        let name = checked(bytes).map_err(|reason| self.entries.not_safe(&given, reason))?;
        self.names += bytes.len();
        if self.names > NAMES_LIMIT {
            return Err(self.malformed(format!("the names in it have more than {NAMES_LIMIT} bytes")));
        }
        let flag = header.flag();
        let odd = match flag {
            _ if header.is_sparse() => Some("a sparse file"),
            b'0' | b'1' | b'2' | b'5' | b'7' => None,
            b'3' => Some("a character device"),
            b'4' => Some("a block device"),
            b'6' => Some("a FIFO"),
            _ => Some("of an unknown type"),
        };
        if let Some(odd) = odd {
            return Err(self.entries.not_safe(&given, format!("is {odd}")));
        }
        if matches!(flag, b'1' | b'2') {
            let target = header.extended.whole_long_link().filter(|link| !link.is_empty());
            return self.link(name, &given, target.unwrap_or_else(|| header.target()), flag == b'2');
        }
        let span = Span { offset: header.content_at, size: header.size };
        if span.size > self.entries.content.size().saturating_sub(span.offset) {
            return Err(self.ends_within_entry());
        }
        let is_directory = flag == b'5';
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

    /// Returns the name of the last entry, for messages.
    fn last(&self) -> String {
        shown(&String::from_utf8_lossy(self.decoder.name()))
    }

    /// Returns the error for a header that cannot be decoded.
    fn refused(&self, flaw: Flaw) -> Error {
        match flaw {
            Flaw::RecordWithNul { key, value } if key == "path" => {
                self.entries.not_safe(&String::from_utf8_lossy(&value), "has a NUL byte in its name")
            }
            Flaw::RecordValue { key, .. } if key == "size" => {
                self.malformed("the size in an extended header is not a number")
            }
            flaw => self.malformed(flaw.to_string()),
        }
    }

    fn ends_within_entry(&self) -> Error {
        self.malformed(format!("it is truncated: it ends within '{}'", self.last()))
    }

    fn malformed(&self, reason: impl Into<String>) -> Error {
        not_an_archive(self.entries.path, reason)
    }
}
