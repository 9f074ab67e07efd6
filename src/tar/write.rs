//! Writes a tar of regular files with mode 0444 and owner 0, in the order given. Headers are ustar, or pax if a name is
//! too long. The bytes depend only on names, contents and the time.

use std::io::{self, Write};

use ::tar::{EntryType, Header};

use super::header::pax_record;

/// The block size of a tar.
const BLOCK: u64 = 512;

/// A tar that is being written.
pub(crate) struct TarWriter<W> {
    writer: W,
    /// The modification time of all files, in seconds since 1970.
    modified: u64,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(writer: W, modified: u64) -> Self {
        Self { writer, modified }
    }

    /// Writes a whole file.
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.begin(name, content.len() as u64)?;
        self.writer.write_all(content)?;
        self.end(content.len() as u64)
    }

    /// Writes the header of a file. The caller writes the content next.
    pub(crate) fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, size);
        if header.set_path(name).is_err() {
            // The longest names contain SHA-512 digests.
            let record = pax_record("path", name);
            let mut pax = self.header(EntryType::XHeader, record.len() as u64);
            pax.set_path("PaxHeaders/blob").expect("it is short");
            pax.set_cksum();
            self.writer.write_all(pax.as_bytes())?;
            self.writer.write_all(record.as_bytes())?;
            self.end(record.len() as u64)?;
            header.set_path("blob").expect("it is short");
        }
        header.set_cksum();
        self.writer.write_all(header.as_bytes())
    }

    /// Pads the last block of a file of the given size.
    pub(crate) fn end(&mut self, size: u64) -> io::Result<()> {
        let left = usize::try_from(size.next_multiple_of(BLOCK) - size).expect("less than a block");
        self.writer.write_all(&[0; BLOCK as usize][..left])
    }

    /// Ends the tar with two blocks of zeros.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.write_all(&[0; 2 * BLOCK as usize])?;
        self.writer.flush()
    }

    fn header(&self, kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o444);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.modified);
        header.set_size(size);
        header
    }
}

/// Writes a part of the content of the current file.
impl<W: Write> Write for TarWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
