//! Extended headers of pax and GNU, which give fields to the next entry.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fault::Flaw;
use super::header_fields::{record, text};
use super::sparse::SparseRecords;
use super::written_entry::Xattr;

/// The encoding of values in records of libarchive, which writes them without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The fields that extended headers give to the next entry.
#[derive(Debug, Default)]
pub(crate) struct Extended {
    pub(crate) is_expected: bool,
    pub(crate) size: Option<u64>,
    /// The path from a pax header.
    path: Option<Vec<u8>>,
    /// The real path of a sparse file from a pax header.
    sparse_path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// The path from a GNU header, which takes precedence. Readers cut it off at its first NUL.
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pub(crate) is_sparse: bool,
    /// The records of a sparse file, but for its name.
    pub(super) sparse: Option<Box<SparseRecords>>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    /// The modification time in whole seconds.
    pub(crate) modified: Option<i64>,
    /// Extended attributes: those of `SCHILY.xattr.`, as all engines read them.
    pub(crate) xattrs: Vec<Xattr>,
    /// Those of `LIBARCHIVE.xattr.`, which bsdtar writes beside them.
    libarchive_xattrs: Vec<Xattr>,
    /// The other pax records that distinguish entries.
    pub(crate) records: Vec<u8>,
}

impl Extended {
    /// Takes the records of a pax header. They replace those of an earlier one for the same entry.
    pub(super) fn take_records(&mut self, content: &[u8]) -> Result<(), Flaw> {
        let (long_path, long_link) = (self.long_path.take(), self.long_link.take());
        *self = Self { is_expected: self.is_expected, long_path, long_link, ..Self::default() };
        for_each_record(content, |key, value| self.take_record(key, value))
    }

    /// Takes the content of a GNU header with a long path.
    pub(super) fn take_long_path(&mut self, content: &[u8]) {
        self.long_path = Some(without_nuls(content).to_vec());
    }

    /// Takes the content of a GNU header with a long target of a link.
    pub(super) fn take_long_link(&mut self, content: &[u8]) {
        self.long_link = Some(without_nuls(content).to_vec());
    }

    /// Forgets all fields: a global header stands between them and the entry, and readers take it for one.
    pub(super) fn forget(&mut self) {
        *self = Self { is_expected: self.is_expected, ..Self::default() };
    }

    pub(super) fn take_record(&mut self, key: &str, value: &[u8]) {
        let value_or_none = (!value.is_empty()).then(|| value.to_vec());
        match key {
            "path" => self.path = value_or_none,
            "linkpath" => self.link = value_or_none,
            "size" => self.size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
            "GNU.sparse.name" => self.sparse_path = value_or_none,
            // Access times and comments do not distinguish entries.
            "atime" | "ctime" | "comment" => {}
            _ => {
                let shown = std::str::from_utf8(value).ok();
                match key {
                    "uid" => self.uid = shown.and_then(|number| number.parse().ok()),
                    "gid" => self.gid = shown.and_then(|number| number.parse().ok()),
                    "mtime" => self.modified = shown.and_then(whole_seconds),
                    _ => {
                        if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                            put(&mut self.xattrs, name.as_bytes(), value);
                        }
                        let name = key.strip_prefix("LIBARCHIVE.xattr.").and_then(unescaped);
                        if let (Some(name), Ok(value)) = (name, BASE64.decode(value)) {
                            put(&mut self.libarchive_xattrs, &name, &value);
                        }
                    }
                }
                self.records.extend(key.as_bytes());
                self.records.push(b'=');
                self.records.extend(value);
                self.records.push(0);
            }
        }
        if let Some(key) = key.strip_prefix("GNU.sparse.") {
            self.is_sparse = true;
            self.sparse.get_or_insert_default().take(key, value);
        }
    }

    /// Returns the extended attributes that stand in records of libarchive alone.
    pub(crate) fn lone_xattrs(&self) -> impl Iterator<Item = &Xattr> {
        self.libarchive_xattrs.iter().filter(|(name, _)| self.xattrs.iter().all(|(other, _)| other != name))
    }

    /// Returns the path of the entry with this header.
    pub(crate) fn path_of(&self, block: &[u8]) -> Vec<u8> {
        if let Some(path) = self.long_path.as_deref().map(text).filter(|path| !path.is_empty()) {
            return path.to_vec();
        }
        if let Some(path) = self.sparse_path.as_ref().or(self.path.as_ref()) {
            return path.clone();
        }
        let name = text(&block[..100]);
        // GNU headers have other fields here, and the prefix of star is shorter.
        let prefix = match &block[257..263] {
            b"ustar\0" if block[508..512] == *b"tar\0" => text(&block[345..476]),
            b"ustar\0" => text(&block[345..500]),
            _ => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// Returns the link target of the entry with this header.
    pub(crate) fn link_of<'a>(&'a self, block: &'a [u8]) -> &'a [u8] {
        let long = self.long_link.as_deref().map(text).filter(|link| !link.is_empty());
        long.or(self.link.as_deref()).unwrap_or_else(|| text(&block[157..257]))
    }

    /// Returns the path from a GNU header, with the bytes after a NUL that readers cut off.
    pub(crate) fn whole_long_path(&self) -> Option<&[u8]> {
        self.long_path.as_deref()
    }

    /// Returns the target of a link from a GNU header, with the bytes after a NUL that readers cut off.
    pub(crate) fn whole_long_link(&self) -> Option<&[u8]> {
        self.long_link.as_deref()
    }
}

/// Checks the records of a global pax header.
pub(super) fn check_records(content: &[u8]) -> Result<(), Flaw> {
    for_each_record(content, |_, _| ())
}

/// Parses and checks the records of a pax header: `length key=value\n`. They are split by their lengths: values may hold
/// any byte.
fn for_each_record(content: &[u8], mut take: impl FnMut(&str, &[u8])) -> Result<(), Flaw> {
    let mut rest = content;
    while !rest.is_empty() {
        let (key, value, after) = record(rest).ok_or(Flaw::Record)?;
        rest = after;
        let key = std::str::from_utf8(key).map_err(|_| Flaw::RecordKey)?;
        let is_name = matches!(key, "path" | "linkpath" | "uname" | "gname" | "GNU.sparse.name");
        let has_nul = |bytes: &[u8]| bytes.contains(&0);
        if key.is_empty() || if is_name { has_nul(value) } else { has_nul(key.as_bytes()) } {
            return Err(Flaw::RecordWithNul { key: key.to_owned(), value: value.to_vec() });
        }
        let shown = std::str::from_utf8(value).unwrap_or("?");
        let is_right = match key {
            // An empty value resets the value of a global header.
            _ if value.is_empty() => true,
            // Not every reader takes a plus sign.
            "size" => !shown.starts_with('+') && shown.parse::<i64>().is_ok_and(|size| size >= 0),
            "uid" | "gid" => shown.parse::<i64>().is_ok(),
            "mtime" | "atime" | "ctime" => is_time(shown),
            _ => true,
        };
        if !is_right {
            return Err(Flaw::RecordValue { key: key.to_owned(), value: shown.to_owned() });
        }
        take(key, value);
    }
    Ok(())
}

/// Sets an attribute: the last record of a name counts, and an empty one removes it.
fn put(xattrs: &mut Vec<Xattr>, name: &[u8], value: &[u8]) {
    xattrs.retain(|(other, _)| **other != *name);
    if !value.is_empty() {
        xattrs.push((name.into(), value.into()));
    }
}

/// Returns a name without the NULs at its end.
fn without_nuls(name: &[u8]) -> &[u8] {
    &name[..name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

/// Returns whether a text is a pax time: seconds with an optional fraction.
fn is_time(text: &str) -> bool {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    seconds.parse::<i64>().is_ok() && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a name without the escapes of URLs, such as `%20`.
fn unescaped(name: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            plain.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        plain.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    Some(plain)
}

/// Returns the seconds of a pax time, cut off to the second before.
fn whole_seconds(time: &str) -> Option<i64> {
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    let whole: i64 = seconds.parse().ok()?;
    let has_fraction = fraction.bytes().any(|digit| digit != b'0');
    Some(if seconds.starts_with('-') && has_fraction { whole - 1 } else { whole })
}
