//! The header of an entry that is read.

use super::extended::Extended;
use super::header_fields::{BLOCK, number};
use super::sparse::{MalformedMap, MapPlace, SparseMap};
use super::written_entry::{DeviceNumber, Xattr};

/// The header of an entry, with the extended headers that apply to it. Its numbers have been checked.
#[derive(Debug)]
pub(crate) struct Header {
    /// The block as it stands in the tar.
    pub(crate) block: [u8; BLOCK],
    pub(crate) extended: Extended,
    /// The path as it stands in the tar: bytes, with any slashes.
    pub(crate) path: Vec<u8>,
    /// The offset of the entry in the tar: its first extended header, or its header.
    pub(crate) start: u64,
    /// The offset of its content.
    pub(crate) content_at: u64,
    /// The size of the content in the tar. Entries of other types than files have none, even if their headers say otherwise.
    /// Readers of the content set that of a sparse file to its real size.
    pub(crate) size: u64,
    /// The map of a sparse file.
    pub(super) sparse: Option<SparseMap>,
}

impl Header {
    pub(super) fn new(block: &[u8; BLOCK], extended: Extended, path: Vec<u8>, start: u64, size: u64) -> Self {
        let mut header = Self { block: *block, extended, path, start, content_at: 0, size: 0, sparse: None };
        // An old directory, which has no type flag but a slash at the end of its name, has no content. A file with a
        // type flag has it in any case.
        let is_old_directory = block[156] == 0 && header.flag() == b'5';
        if !is_old_directory && !matches!(block[156], b'1'..=b'6') {
            header.size = header.extended.size.unwrap_or(size);
        }
        header
    }

    /// Returns the type flag: that of old headers is `0`, and that of a file with a slash at the end of its name is
    /// `5`, as readers take it for a directory.
    pub(crate) fn flag(&self) -> u8 {
        match self.block[156] {
            0 | b'0' | b'7' if self.path.ends_with(b"/") => b'5',
            0 => b'0',
            flag => flag,
        }
    }

    /// Returns whether the entry is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.flag(), b'0' | b'7' | b'S')
    }

    /// Returns whether the entry is a sparse file that is too large to be written without its holes: these cost a tar nothing.
    pub(crate) fn is_too_sparse(&self) -> bool {
        /// The size up to which a layer may grow in any case.
        const DENSE: u64 = 8 << 30;
        self.is_sparse() && self.size > DENSE
    }

    /// Returns whether the entry is a sparse file: its content in the tar is not the content of the file.
    pub(crate) fn is_sparse(&self) -> bool {
        self.extended.is_sparse || self.block[156] == b'S'
    }

    /// Takes the map of a sparse file from its records, or its place.
    ///
    /// # Errors
    ///
    /// The map is malformed.
    pub(super) fn take_map(&mut self) -> Result<Option<MapPlace>, MalformedMap> {
        if self.block[156] == b'S' {
            return if self.is_gnu() { Ok(None) } else { Err(MalformedMap) };
        }
        self.extended.sparse.take().and_then(|records| records.place(self.size)).transpose()
    }

    /// Returns whether the block has the map of a sparse file.
    pub(super) fn has_sparse_map(&self) -> bool {
        self.block[156] == b'S' && self.is_gnu()
    }

    fn is_gnu(&self) -> bool {
        self.block[257..265] == *b"ustar  \0"
    }

    /// Returns the target of a link.
    pub(crate) fn target(&self) -> &[u8] {
        self.extended.link_of(&self.block)
    }

    /// Returns the permissions, and the setuid, setgid and sticky bits.
    pub(crate) fn mode(&self) -> u32 {
        (self.natural(100..108) & 0o7777) as u32
    }

    /// Returns the user.
    pub(crate) fn uid(&self) -> u64 {
        self.extended.uid.unwrap_or_else(|| self.natural(108..116))
    }

    /// Returns the group.
    pub(crate) fn gid(&self) -> u64 {
        self.extended.gid.unwrap_or_else(|| self.natural(116..124))
    }

    /// Returns the modification time in seconds since 1970.
    pub(crate) fn modified(&self) -> i64 {
        self.extended.modified.unwrap_or_else(|| number(&self.block[136..148]).unwrap_or(0))
    }

    /// Returns the number of a device.
    pub(crate) fn device(&self) -> DeviceNumber {
        let part = |range| u32::try_from(self.natural(range)).unwrap_or(u32::MAX);
        let has_device = self.is_gnu() || self.block[257..263] == *b"ustar\0";
        let number = |range| if has_device { part(range) } else { 0 };
        DeviceNumber { major: number(329..337), minor: number(337..345) }
    }

    /// Returns the extended attributes, sorted by name: those in libarchive's form where no others are of that name.
    pub(crate) fn xattrs(&self) -> Vec<Xattr> {
        let mut xattrs = self.extended.xattrs.clone();
        xattrs.extend(self.extended.lone_xattrs().cloned());
        xattrs.sort_unstable();
        xattrs
    }

    /// Returns a number that is not negative.
    fn natural(&self, range: std::ops::Range<usize>) -> u64 {
        number(&self.block[range]).and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
    }
}
