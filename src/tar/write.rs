//! Writes tars. Layers and archives are written here alone: the bytes are a promise.
//!
//! The format is ustar, "layout format 1" in `docs/design.md`. A field that does not fit into its header has a record in
//! a pax header before the entry; an entry that fits has none. There are no names of users and groups, no access times,
//! and no padding beyond the two blocks of zeros at the end.

use std::io::{self, Write};

use super::header_fields::{BLOCK, pax_record, set_checksum};
use super::written_entry::TarEntry;

/// The longest name and the longest link target of a ustar header.
const NAME: usize = 100;

/// The longest prefix of a path in a ustar header.
const PREFIX: usize = 155;

/// The first number that eleven octal digits cannot hold: sizes and times.
const LONG_NUMBER: u64 = 1 << 33;

/// The first number that seven octal digits cannot hold: owners, modes and device numbers.
const SHORT_NUMBER: u32 = 1 << 21;

/// A tar that is being written.
#[derive(Debug)]
pub(crate) struct TarWriter<W> {
    writer: W,
    /// The pax records of the current entry; kept to be used again.
    records: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer, records: Vec::new() }
    }

    /// Writes the header of an entry. The caller writes the content of a file next, and then calls
    /// [`TarWriter::end_content`].
    pub(crate) fn begin(&mut self, entry: &TarEntry<'_>) -> io::Result<()> {
        self.records.clear();
        add_records(&mut self.records, entry);
        if !self.records.is_empty() {
            let block = extended_header(entry.path, self.records.len());
            self.writer.write_all(&block)?;
            self.writer.write_all(&self.records)?;
            self.end_content(self.records.len() as u64)?;
        }
        self.writer.write_all(&header(entry))
    }

    /// Writes a file with its content.
    pub(crate) fn file(&mut self, entry: &TarEntry<'_>, content: &[u8]) -> io::Result<()> {
        self.begin(entry)?;
        self.writer.write_all(content)?;
        self.end_content(content.len() as u64)
    }

    /// Pads the last block of a content of the given size.
    pub(crate) fn end_content(&mut self, size: u64) -> io::Result<()> {
        let left = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).expect("less than a block");
        self.writer.write_all(&[0; BLOCK][..left])
    }

    /// Returns the writer, without an end of the tar.
    pub(crate) fn into_inner(self) -> W {
        self.writer
    }

    /// Ends the tar with two blocks of zeros, and returns the writer.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.writer.write_all(&[0; 2 * BLOCK])?;
        self.writer.flush()?;
        Ok(self.writer)
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

/// Splits a path into the prefix and the name of a ustar header, at the last slash that leaves both short enough.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME {
        return Some((b"", path));
    }
    // The slash at the end of a directory belongs to its name.
    let end = path.len().saturating_sub(1).min(PREFIX + 1);
    let slash = path[..end].iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (name.len() <= NAME).then_some((prefix, name))
}

/// Adds the pax records of the fields that do not fit into the header.
fn add_records(records: &mut Vec<u8>, entry: &TarEntry<'_>) {
    let long_path = split(entry.path).is_none();
    let target = entry.kind.target();
    let long_target = target.len() > NAME;
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    if long_path && !is_text(entry.path) || long_target && !is_text(target) {
        // Without this record names are UTF-8 (POSIX, pax, "pax Extended Header").
        records.extend(pax_record(b"hdrcharset", b"BINARY"));
    }
    if long_path {
        records.extend(pax_record(b"path", entry.path));
    }
    if long_target {
        records.extend(pax_record(b"linkpath", target));
    }
    let mut number = |key: &[u8], value: i128| records.extend(pax_record(key, value.to_string().as_bytes()));
    if entry.kind.size() >= LONG_NUMBER {
        number(b"size", entry.kind.size().into());
    }
    if entry.uid >= SHORT_NUMBER.into() {
        number(b"uid", entry.uid.into());
    }
    if entry.gid >= SHORT_NUMBER.into() {
        number(b"gid", entry.gid.into());
    }
    if time(entry.modified).is_none() {
        number(b"mtime", entry.modified.into());
    }
    for (name, value) in entry.xattrs {
        records.extend(pax_record(&[b"SCHILY.xattr.", &**name].concat(), value));
    }
}

/// Returns a time if the header can hold it.
fn time(modified: i64) -> Option<u64> {
    u64::try_from(modified).ok().filter(|seconds| *seconds < LONG_NUMBER)
}

/// Returns the header of an entry. Fields that do not fit are cut off, or 0: readers take them from the pax records.
fn header(entry: &TarEntry<'_>) -> [u8; BLOCK] {
    let (prefix, name) = split(entry.path).unwrap_or_else(|| (b"", &entry.path[..NAME]));
    let target = entry.kind.target();
    let mut block = Block::new(entry.kind.flag());
    block.text(0, name);
    block.octal(100, 8, entry.mode.into());
    block.octal(108, 8, fitting(entry.uid));
    block.octal(116, 8, fitting(entry.gid));
    block.octal(124, 12, Some(entry.kind.size()).filter(|size| *size < LONG_NUMBER).unwrap_or(0));
    block.octal(136, 12, time(entry.modified).unwrap_or(0));
    block.text(157, &target[..target.len().min(NAME)]);
    if let Some(device) = entry.kind.device() {
        block.octal(329, 8, fitting(device.major.into()));
        block.octal(337, 8, fitting(device.minor.into()));
    }
    block.text(345, prefix);
    block.finish()
}

/// Returns the header of the pax records of an entry.
pub(super) fn extended_header(path: &[u8], size: usize) -> [u8; BLOCK] {
    const DIRECTORY: &[u8] = b"PaxHeaders/";
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let mut block = Block::new(b'x');
    block.text(0, &[DIRECTORY, &last[..last.len().min(NAME - DIRECTORY.len())]].concat());
    block.octal(100, 8, 0o644);
    block.octal(108, 8, 0);
    block.octal(116, 8, 0);
    block.octal(124, 12, size as u64);
    block.octal(136, 12, 0);
    block.finish()
}

/// Returns a number if seven octal digits can hold it, and 0 otherwise.
fn fitting(number: u64) -> u64 {
    if number < SHORT_NUMBER.into() { number } else { 0 }
}

/// A header that is being filled.
struct Block([u8; BLOCK]);

impl Block {
    fn new(flag: u8) -> Self {
        let mut block = Self([0; BLOCK]);
        block.0[156] = flag;
        block.text(257, b"ustar\x0000");
        block
    }

    fn text(&mut self, at: usize, text: &[u8]) {
        self.0[at..at + text.len()].copy_from_slice(text);
    }

    /// Writes a number as octal digits that fill the field up to the NUL at its end.
    fn octal(&mut self, at: usize, width: usize, number: u64) {
        let mut rest = number;
        for byte in self.0[at..at + width - 1].iter_mut().rev() {
            *byte = b'0' + (rest % 8) as u8;
            rest /= 8;
        }
    }

    /// Adds the checksum.
    fn finish(mut self) -> [u8; BLOCK] {
        set_checksum(&mut self.0);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::written_entry::{DeviceNumber, EntryKind, Xattr};
    use super::*;

    fn entry<'a>(path: &'a [u8], kind: EntryKind<'a>) -> TarEntry<'a> {
        TarEntry { path, kind, mode: 0o644, uid: 0, gid: 0, modified: 0, xattrs: &[] }
    }

    fn tar_of(entries: &[(TarEntry<'_>, &[u8])]) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for (entry, content) in entries {
            tar.begin(entry).expect("written");
            tar.write_all(content).expect("written");
            tar.end_content(content.len() as u64).expect("written");
        }
        tar.finish().expect("written")
    }

    #[test]
    fn the_bytes_of_a_header_are_those_of_layout_format_1() {
        let file = TarEntry {
            mode: 0o4755,
            uid: 33,
            gid: 8,
            modified: 1_700_000_000,
            ..entry(b"bin/su", EntryKind::File { size: 3 })
        };
        let tar = tar_of(&[(file, b"abc")]);
        let mut expected = [0; 4 * BLOCK];
        for (at, text) in [
            (0, &b"bin/su"[..]),
            (100, b"0004755\0"),
            (108, b"0000041\0"),
            (116, b"0000010\0"),
            (124, b"00000000003\0"),
            (136, b"14524770400\0"),
            (148, b"0007137\0"),
            (156, b"0"),
            (257, b"ustar\x0000"),
            (512, b"abc"),
        ] {
            expected[at..at + text.len()].copy_from_slice(text);
        }
        assert_eq!(String::from_utf8_lossy(&tar[..BLOCK]), String::from_utf8_lossy(&expected[..BLOCK]));
        assert!(tar == expected);
    }

    #[test]
    fn a_long_path_is_split_at_a_slash_or_has_a_record() {
        let long = |lengths: &[usize]| lengths.iter().map(|length| "d".repeat(*length)).collect::<Vec<_>>().join("/");
        for (path, has_record) in [
            (long(&[100]), false),
            (long(&[101]), true),
            (long(&[155, 100]), false),
            (long(&[156, 100]), true),
            (long(&[155, 101]), true),
            (long(&[100, 50, 99]) + "/", false),
            (long(&[155, 100]) + "/", true),
            (long(&[155, 99]) + "/", false),
            (long(&[200, 200, 200]), true),
            (format!("/{}", long(&[101])), true),
        ] {
            let tar = tar_of(&[(entry(path.as_bytes(), EntryKind::Directory), b"")]);
            assert_eq!(tar[156] == b'x', has_record, "{path}");
            let mut archive = ::tar::Archive::new(tar.as_slice());
            let read = archive.entries().expect("entries").next().expect("one").expect("read");
            assert_eq!(*read.path_bytes(), *path.as_bytes());
        }
    }

    #[test]
    fn fields_that_do_not_fit_have_records_in_their_order() {
        let target = [b"\xff".as_slice(), &[b'x'; 100]].concat();
        let xattrs: [Xattr; 2] =
            [(b"security.capability"[..].into(), b"\x01\n=\0"[..].into()), (b"user.note"[..].into(), b"x"[..].into())];
        let link = TarEntry {
            uid: 3_000_000,
            gid: 2_097_152,
            modified: -1,
            xattrs: &xattrs,
            ..entry(b"link", EntryKind::SymbolicLink { target: &target })
        };
        let tar = tar_of(&[(link, b"")]);
        let records = [
            b"21 hdrcharset=BINARY\n".as_slice(),
            b"115 linkpath=",
            &target,
            b"\n15 uid=3000000\n15 gid=2097152\n12 mtime=-1\n41 SCHILY.xattr.security.capability=\x01\n=\0\n28 SCHILY.xattr.user.note=x\n",
        ]
        .concat();
        assert_eq!(String::from_utf8_lossy(&tar[BLOCK..BLOCK + records.len()]), String::from_utf8_lossy(&records));
        assert_eq!(&tar[..15], b"PaxHeaders/link");
        assert_eq!(&tar[100..108], b"0000644\0");
    }

    #[test]
    fn a_size_of_8_gib_has_a_record() {
        for (size, has_record) in [(LONG_NUMBER - 1, false), (LONG_NUMBER, true)] {
            let mut tar = TarWriter::new(Vec::new());
            tar.begin(&entry(b"f", EntryKind::File { size })).expect("written");
            assert_eq!(tar.finish().expect("written")[156] == b'x', has_record);
        }
    }

    #[test]
    fn another_reader_sees_every_type() {
        let device = DeviceNumber { major: 1, minor: 300 };
        let tar = tar_of(&[
            (entry(b"dir/", EntryKind::Directory), b""),
            (entry(b"dir/file", EntryKind::File { size: 2 }), b"hi"),
            (entry(b"dir/hard", EntryKind::HardLink { target: b"dir/file" }), b""),
            (entry(b"dir/soft", EntryKind::SymbolicLink { target: b"file" }), b""),
            (entry(b"null", EntryKind::CharacterDevice(device)), b""),
            (entry(b"disk", EntryKind::BlockDevice(device)), b""),
            (entry(b"pipe", EntryKind::Pipe), b""),
        ]);
        let mut archive = ::tar::Archive::new(tar.as_slice());
        let mut seen = Vec::new();
        for read in archive.entries().expect("entries") {
            let mut read = read.expect("read");
            let mut content = String::new();
            read.read_to_string(&mut content).expect("read");
            let header = read.header();
            let number = header.device_major().ok().flatten().zip(header.device_minor().ok().flatten());
            let link = read.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
            seen.push(format!(
                "{} {} {} {content} {number:?}",
                char::from(header.entry_type().as_byte()),
                String::from_utf8_lossy(&read.path_bytes()),
                link.unwrap_or_default()
            ));
        }
        assert_eq!(
            seen,
            [
                "5 dir/   None",
                "0 dir/file  hi None",
                "1 dir/hard dir/file  None",
                "2 dir/soft file  None",
                "3 null   Some((1, 300))",
                "4 disk   Some((1, 300))",
                "6 pipe   None",
            ]
        );
    }
}
