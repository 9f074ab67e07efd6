//! Reads the entries of a tar: header fields with the extended headers of pax and GNU applied.
//!
//! The formats are those that `check` accepts. Content is skipped unless the caller reads it.

use std::io::{self, Read};

use super::entry::Xattr;
use super::extended::Extended;
use super::header::{BLOCK, EXTENDED_LIMIT, has_right_checksum, number, record, text};
use crate::text::shown;

/// An entry of a tar that is read.
#[derive(Debug)]
pub(crate) struct ReadEntry {
    /// The path as it stands in the tar.
    pub(crate) path: Vec<u8>,
    /// The type flag. Old headers without one have `0`.
    pub(crate) flag: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// The modification time in seconds since 1970.
    pub(crate) modified: i64,
    /// The size of the content in the tar.
    pub(crate) size: u64,
    /// The target of a link.
    pub(crate) target: Vec<u8>,
    /// The extended attributes, sorted by name.
    pub(crate) xattrs: Vec<Xattr>,
}

/// Reads a tar from a stream.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    reader: R,
    /// The unread content of the current entry, and its padding.
    left: u64,
    padding: u64,
    is_over: bool,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0, is_over: false }
    }

    /// Returns the next entry; `None` at the end. Global pax headers and volume headers are skipped.
    ///
    /// # Errors
    ///
    /// Those of the stream; of kind `InvalidData` for a malformed tar, and `UnexpectedEof` for a truncated one.
    pub(crate) fn next(&mut self) -> io::Result<Option<ReadEntry>> {
        let mut extended = Extended::default();
        let mut block = [0; BLOCK];
        loop {
            self.skip()?;
            if self.is_over || !self.fill(&mut block)? {
                return Ok(None);
            }
            if block.iter().all(|byte| *byte == 0) {
                self.is_over = true;
                return Ok(None);
            }
            if !has_right_checksum(&block) {
                return Err(malformed("the checksum of a header is wrong"));
            }
            let flag = if block[156] == 0 { b'0' } else { block[156] };
            let size = number(&block[124..136]).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| malformed("the size of an entry is not a number"))?;
            match flag {
                b'x' | b'g' | b'L' | b'K' => {
                    let content = self.extended(size)?;
                    match flag {
                        b'x' => take_records(&mut extended, &content)?,
                        b'L' => extended.long_path = Some(text(&content).to_vec()),
                        b'K' => extended.long_link = Some(text(&content).to_vec()),
                        _ => {}
                    }
                }
                b'V' => self.begin(size),
                _ => return self.entry(&block, flag, size, extended).map(Some),
            }
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK], flag: u8, size: u64, extended: Extended) -> io::Result<ReadEntry> {
        let path = extended.path_of(block);
        let field = |range: std::ops::Range<usize>| {
            number(&block[range]).ok_or_else(|| malformed(&format!("a field of '{}' is not a number", shown(&path))))
        };
        let natural = |value: i64| u64::try_from(value).unwrap_or(0);
        // Links, devices, directories and pipes have no content, even if their size is not zero.
        let size = if matches!(flag, b'1'..=b'6') { 0 } else { extended.size.unwrap_or(size) };
        let mode = natural(field(100..108)?);
        let (uid, gid) = (natural(field(108..116)?), natural(field(116..124)?));
        let modified = field(136..148)?;
        let target = extended.link_of(block).to_vec();
        let is_gnu = block[257..265] == *b"ustar  \0";
        if flag == b'S' && is_gnu && block[482] != 0 {
            self.skip_sparse_map()?;
        }
        self.begin(size);
        let mut xattrs = extended.xattrs.clone();
        xattrs.extend(extended.lone_xattrs().cloned());
        xattrs.sort_unstable();
        Ok(ReadEntry {
            path,
            flag,
            mode: (mode & 0o7777) as u32,
            uid: extended.uid.unwrap_or(uid),
            gid: extended.gid.unwrap_or(gid),
            modified: extended.modified.unwrap_or(modified),
            size,
            target,
            xattrs,
        })
    }

    /// Reads the first bytes of the content of the current entry. The content cannot be read as a whole afterwards.
    pub(crate) fn head(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        let wanted = self.left.min(length as u64);
        let read = (&mut self.reader).take(wanted).read_to_end(&mut head)? as u64;
        if read < wanted {
            return Err(truncated());
        }
        self.left -= wanted;
        Ok(head)
    }

    /// Reads the content of the current entry, which must not be larger than a limit; `None` if it is.
    pub(crate) fn content(&mut self, limit: u64) -> io::Result<Option<Vec<u8>>> {
        if self.left > limit {
            return Ok(None);
        }
        let mut content = Vec::new();
        let read = (&mut self.reader).take(self.left).read_to_end(&mut content)? as u64;
        if read < self.left {
            return Err(truncated());
        }
        self.left = 0;
        Ok(Some(content))
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Reads the content of an extended header.
    fn extended(&mut self, size: u64) -> io::Result<Vec<u8>> {
        self.begin(size);
        self.content(EXTENDED_LIMIT)?.ok_or_else(|| malformed(&format!("an extended header has {size} bytes")))
    }

    /// Skips the rest of the current entry. There are programs, such as umoci, that end a tar after the content of a file.
    fn skip(&mut self) -> io::Result<()> {
        let (left, rest) = (self.left, self.left + self.padding);
        (self.left, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())?;
        if skipped < left { Err(truncated()) } else { Ok(()) }
    }

    /// Skips the blocks of a map of a GNU sparse file, which precede its content.
    fn skip_sparse_map(&mut self) -> io::Result<()> {
        let mut block = [0; BLOCK];
        loop {
            if !self.fill(&mut block)? {
                return Err(truncated());
            }
            if block[504] == 0 {
                return Ok(());
            }
        }
    }

    /// Reads a block; `false` if the stream has ended.
    fn fill(&mut self, block: &mut [u8; BLOCK]) -> io::Result<bool> {
        let mut length = 0;
        while length < BLOCK {
            match self.reader.read(&mut block[length..]) {
                Ok(0) if length == 0 => return Ok(false),
                Ok(0) => return Err(truncated()),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Takes the records of a pax header. They are split by their lengths: values may hold any byte.
fn take_records(extended: &mut Extended, content: &[u8]) -> io::Result<()> {
    let mut rest = content;
    while !rest.is_empty() {
        let (key, value, after) = record(rest).ok_or_else(|| malformed("a record of a pax header is malformed"))?;
        rest = after;
        if matches!(key, b"path" | b"linkpath") && value.contains(&0) {
            return Err(malformed("a name in a pax header contains a NUL"));
        }
        extended.take_record(&String::from_utf8_lossy(key), value);
    }
    Ok(())
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the tar is malformed: {reason}"))
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the tar is truncated")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::entry::{EntryKind, TarEntry};
    use super::super::write::TarWriter;
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let path = format!("{}/{}", "d".repeat(200), "f".repeat(120));
        let xattrs: [Xattr; 1] = [(b"user.x"[..].into(), b"1\n2=\0"[..].into())];
        let entry = TarEntry {
            path: path.as_bytes(),
            kind: EntryKind::File { size: 3 },
            mode: 0o4755,
            uid: 3_000_000,
            gid: 8,
            modified: -7,
            xattrs: &xattrs,
        };
        let mut tar = TarWriter::new(Vec::new());
        tar.file(&entry, b"abc").expect("written");
        let link = TarEntry { path: b"l", kind: EntryKind::SymbolicLink { target: b"t" }, xattrs: &[], ..entry };
        tar.file(&link, b"").expect("written");
        let tar = tar.finish().expect("written");
        let mut reader = TarReader::new(tar.as_slice());
        let read = reader.next().expect("read").expect("an entry");
        assert_eq!((read.path.as_slice(), read.flag, read.mode), (path.as_bytes(), b'0', 0o4755));
        assert_eq!((read.uid, read.gid, read.modified, read.size), (3_000_000, 8, -7, 3));
        assert_eq!(read.xattrs, xattrs);
        assert_eq!(reader.content(10).expect("read").as_deref(), Some(&b"abc"[..]));
        let read = reader.next().expect("read").expect("an entry");
        assert_eq!((read.flag, read.target.as_slice()), (b'2', &b"t"[..]));
        assert!(reader.next().expect("read").is_none());
    }

    #[test]
    fn a11_attributes_in_libarchives_form_are_read_where_they_stand_alone() {
        let read = |records: &[(&str, &[u8])]| {
            let mut extended = Extended::default();
            records.iter().for_each(|(key, value)| extended.take_record(key, value));
            let mut reader = TarReader::new(io::empty());
            reader.entry(&[0; BLOCK], b'0', 0, extended).expect("an entry").xattrs
        };
        let one = |name: &[u8], value: &[u8]| vec![(name.into(), value.into())];
        let capability = ("LIBARCHIVE.xattr.security.capability", &b"AQAAAgAgAAA"[..]);
        assert_eq!(read(&[capability]), one(b"security.capability", b"\x01\0\0\x02\0\x20\0\0"));
        assert_eq!(read(&[capability, ("SCHILY.xattr.security.capability", b"x")]), one(b"security.capability", b"x"));
        assert_eq!(read(&[("LIBARCHIVE.xattr.user.a%3db", b"MQ==")]), one(b"user.a=b", b"1"));
        for (key, value) in
            [("LIBARCHIVE.xattr.user.%3", &b"MQ"[..]), ("LIBARCHIVE.xattr.user.a", b"*"), ("LIBARCHIVE.x", b"MQ")]
        {
            assert_eq!(read(&[(key, value)]), [], "{key}");
        }
    }

    #[test]
    fn a_truncated_or_malformed_tar_is_an_error() {
        let mut tar = TarWriter::new(Vec::new());
        let entry = TarEntry {
            path: b"f",
            kind: EntryKind::File { size: 3 },
            mode: 0,
            uid: 0,
            gid: 0,
            modified: 0,
            xattrs: &[],
        };
        tar.begin(&entry).expect("written");
        tar.write_all(b"abc").expect("written");
        let tar = tar.into_inner();
        let after_entry = |length: usize| {
            let mut reader = TarReader::new(&tar[..length]);
            reader.next().expect("read").expect("an entry");
            reader.next()
        };
        assert!(after_entry(BLOCK + 3).expect("the blocks at the end may be missing").is_none());
        assert_eq!(after_entry(BLOCK + 2).expect_err("truncated").kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(TarReader::new(&[1; BLOCK][..]).next().expect_err("malformed").kind(), io::ErrorKind::InvalidData);
    }
}
