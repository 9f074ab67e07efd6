//! Reads the entries of a tar from a stream.

use std::io::{self, Read, Write};

use super::decode::{Decoder, Step, Stop};
use super::fault::{Flaw, TarError};
use super::header_fields::BLOCK;
use super::read_header::Header;
use super::sparse::SparseContent;
use crate::text::shown;

/// Reads a tar from a stream: [`TarReader::next`] reads the header of an entry, and the reader itself its content.
/// Content that is not read is skipped. That of a sparse file has zeros for its holes.
///
/// Errors that the tar causes have a [`TarError`]; others are those of the stream.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    reader: R,
    decoder: Decoder,
    /// The headers of the current entry as they stand in the tar, if they are kept.
    raw: Option<Vec<u8>>,
    /// The unread content of the current entry, and its padding.
    left: u64,
    padding: u64,
    /// The map of the current entry, if it is a sparse file.
    sparse: Option<SparseContent>,
    is_over: bool,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, decoder: Decoder::default(), raw: None, left: 0, padding: 0, sparse: None, is_over: false }
    }

    /// Reads a tar that is to be copied: [`TarReader::raw_headers`] has the headers of each entry.
    pub(crate) fn keeping_headers(reader: R) -> Self {
        Self { raw: Some(Vec::new()), ..Self::new(reader) }
    }

    /// Returns the blocks of the current entry before its content, as they stand in the tar: extended headers, the header,
    /// the map of a sparse file. After the last entry it is the blocks of zeros. Global headers, and extended headers before
    /// them, are left out (images, rule A19), as are volume headers.
    pub(crate) fn raw_headers(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or_default()
    }

    /// Copies the rest of the current entry's content with its padding, as they stand in the tar.
    pub(crate) fn copy_content(&mut self, mut writer: impl Write) -> io::Result<()> {
        io::copy(self, &mut writer)?;
        let mut padding = (&mut self.reader).take(self.padding);
        io::copy(&mut padding, &mut writer)?;
        self.padding = 0;
        Ok(())
    }

    /// Copies everything after the last entry, as it stands in the tar.
    pub(crate) fn copy_end(mut self, mut writer: impl Write) -> io::Result<()> {
        writer.write_all(self.raw_headers())?;
        io::copy(&mut self.reader, &mut writer)?;
        Ok(())
    }

    /// Returns the header of the next entry; `None` at the end. Volume headers are skipped.
    ///
    /// # Errors
    ///
    /// Those of the stream; of kind `InvalidData` for a malformed tar, and `UnexpectedEof` for a truncated one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Box<Header>>> {
        let mut block = [0; BLOCK];
        self.forget_headers();
        loop {
            self.skip()?;
            if self.is_over || !self.fill(&mut block)? {
                self.is_over = true;
                return Ok(None);
            }
            self.keep(&block);
            match self.decoder.block(&block).map_err(malformed)? {
                Step::Block => {}
                Step::Extended(size) => {
                    self.begin(size);
                    let mut content = Vec::new();
                    self.read_to_end(&mut content)?;
                    if self.decoder.extended(&content).map_err(malformed)? == b'g' {
                        self.forget_headers();
                    } else {
                        self.keep(&content);
                        self.keep_padding()?;
                    }
                }
                Step::Entry(mut header) => {
                    self.begin(header.size);
                    if header.flag() != b'V' {
                        // A copy has the bytes of the tar, not those of the file.
                        if let Some(map) = header.sparse.take().filter(|_| self.raw.is_none()) {
                            header.size = map.size;
                            self.sparse = Some(SparseContent::new(map));
                        }
                        return Ok(Some(header));
                    }
                    self.forget_headers();
                }
                Step::End => self.is_over = true,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.raw.iter_mut().for_each(|raw| raw.extend_from_slice(bytes));
    }

    /// Keeps the padding of an extended header as it stands in the tar.
    fn keep_padding(&mut self) -> io::Result<()> {
        let Some(raw) = &mut self.raw else { return Ok(()) };
        (&mut self.reader).take(std::mem::take(&mut self.padding)).read_to_end(raw)?;
        Ok(())
    }

    fn forget_headers(&mut self) {
        self.raw.iter_mut().for_each(Vec::clear);
    }

    /// Reads the first bytes of the content of the current entry.
    pub(crate) fn head(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.take(length as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Reads the content of the current entry, which must not be larger than a limit; `None` if it is.
    pub(crate) fn content(&mut self, limit: u64) -> io::Result<Option<Vec<u8>>> {
        if self.sparse.as_ref().map_or(self.left, SparseContent::left) > limit {
            return Ok(None);
        }
        let mut content = Vec::new();
        self.read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Passes over the hole at this place of a sparse file, and returns its length. Reading gives zeros for it.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "files of images are written on Linux alone"))]
    pub(crate) fn skip_hole(&mut self) -> u64 {
        let Some(sparse) = &mut self.sparse else { return 0 };
        let hole = sparse.hole();
        sparse.advance(hole);
        hole
    }

    fn begin(&mut self, size: u64) {
        self.sparse = None;
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Skips the rest of the current entry. There are programs, such as umoci, that end a tar after the content of a file.
    fn skip(&mut self) -> io::Result<()> {
        let (left, rest) = (self.left, self.left.saturating_add(self.padding));
        let skipped = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())?;
        if skipped < left {
            return Err(self.truncated());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads a block; `false` if the stream has ended.
    fn fill(&mut self, block: &mut [u8; BLOCK]) -> io::Result<bool> {
        let mut length = 0;
        while length < BLOCK {
            match self.reader.read(&mut block[length..]) {
                Ok(0) if length == 0 && self.decoder.stop() != Stop::SparseMap => return Ok(false),
                Ok(0) if length > 0 => return Err(TarError::Truncated("it ends within a header".to_owned()).into()),
                Ok(0) => return Err(self.truncated()),
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn truncated(&self) -> io::Error {
        let text = match self.decoder.stop() {
            Stop::Extended => "it ends within an extended header".to_owned(),
            _ => format!("it ends within '{}'", shown(self.decoder.name())),
        };
        TarError::Truncated(text).into()
    }
}

/// Reads the content of the current entry.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let within = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let mut length = within(self.left);
        if let Some(sparse) = &mut self.sparse {
            let zeros = within(sparse.hole());
            if zeros > 0 {
                buffer[..zeros].fill(0);
                sparse.advance(zeros as u64);
                return Ok(zeros);
            }
            length = within(sparse.data());
        }
        if length == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(self.truncated());
        }
        self.left -= read as u64;
        self.sparse.iter_mut().for_each(|sparse| sparse.advance(read as u64));
        Ok(read)
    }
}

fn malformed(flaw: Flaw) -> io::Error {
    TarError::Malformed(flaw.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::super::extended::Extended;
    use super::super::header_fields::pax_record;
    use super::super::write::TarWriter;
    use super::super::written_entry::{EntryKind, TarEntry, Xattr};
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
        assert_eq!((read.path.as_slice(), read.flag(), read.mode()), (path.as_bytes(), b'0', 0o4755));
        assert_eq!((read.uid(), read.gid(), read.modified(), read.size), (3_000_000, 8, -7, 3));
        assert_eq!(read.xattrs(), xattrs);
        assert_eq!(reader.content(10).expect("read").as_deref(), Some(&b"abc"[..]));
        let read = reader.next().expect("read").expect("an entry");
        assert_eq!((read.flag(), read.target()), (b'2', &b"t"[..]));
        assert!(reader.next().expect("read").is_none());
    }

    #[test]
    fn a11_attributes_in_libarchives_form_are_read_where_they_stand_alone() {
        let read = |records: &[(&str, &[u8])]| {
            let records: Vec<_> = records.iter().map(|(key, value)| pax_record(key.as_bytes(), value)).collect();
            let mut extended = Extended::default();
            extended.take_records(&records.concat()).expect("well-formed records");
            Header::new(&[0; BLOCK], extended, Vec::new(), 0, 0).xattrs()
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

    /// Returns an entry of any type.
    fn raw(name: &[u8], flag: u8, content: &[u8]) -> Vec<u8> {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        [(100, 8), (108, 8), (116, 8), (136, 12)].iter().for_each(|(at, _)| header.as_mut_bytes()[*at] = b'0');
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[156] = flag;
        header.set_cksum();
        let mut entry = [header.as_bytes(), content].concat();
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        entry
    }

    #[test]
    fn extended_headers_apply_as_gos_reader_has_it() {
        let pax = |key: &str, value: &str| raw(b"x", b'x', &pax_record(key.as_bytes(), value.as_bytes()));
        let long = |name: &[u8]| raw(b"l", b'L', name);
        let global = raw(b"g", b'g', &pax_record(b"path", b"global"));
        let file = raw(b"f", b'0', b"abc");
        for (headers, path, flag, size) in [
            (vec![], "f", b'0', 3),
            (vec![pax("path", "p")], "p", b'0', 3),
            // A second header replaces the first.
            (vec![pax("size", "2"), pax("path", "p")], "p", b'0', 3),
            (vec![pax("path", "p"), pax("path", "")], "f", b'0', 3),
            // A global header is an entry to Go: the others do not reach beyond it.
            (vec![global.clone()], "f", b'0', 3),
            (vec![pax("path", "p"), long(b"long"), global], "f", b'0', 3),
            // A long name takes precedence, on either side, up to its first NUL.
            (vec![long(b"long\0"), pax("path", "p")], "long", b'0', 3),
            (vec![pax("path", "p"), long(b"lo\0ng")], "lo", b'0', 3),
            (vec![pax("path", "p"), long(b"\0")], "p", b'0', 3),
            (vec![pax("path", "d/")], "d/", b'5', 3),
            (vec![pax("size", "1")], "f", b'0', 1),
        ] {
            let tar = [headers.concat(), file.clone()].concat();
            let header = TarReader::new(tar.as_slice()).next().expect("read").expect("an entry");
            let found = (header.path.escape_ascii().to_string(), header.flag(), header.size, header.start);
            assert_eq!(found, (path.to_owned(), flag, size, 0));
        }
        // An old directory, which has no type, has no content either.
        let tar = [raw(b"d/", 0, b"")[..BLOCK].to_vec(), raw(b"f", 0, b"x")].concat();
        let mut reader = TarReader::new(tar.as_slice());
        let read = [(); 2].map(|()| reader.next().expect("read").expect("an entry"));
        assert_eq!(read.map(|header| (header.flag(), header.size, header.start)), [(b'5', 0, 0), (b'0', 1, 512)]);
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
