//! Extended headers of pax and GNU, which give fields to the next entry.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::entry::Xattr;
use super::header::text;

/// The encoding of values in records of libarchive, which writes them without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The fields that extended headers give to the next entry.
#[derive(Default)]
pub(crate) struct Extended {
    pub(crate) is_expected: bool,
    pub(crate) size: Option<u64>,
    /// The path from a pax header.
    pub(crate) path: Option<Vec<u8>>,
    /// The real path of a sparse file from a pax header.
    pub(crate) sparse_path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    /// The path from a GNU header, which takes precedence.
    pub(crate) long_path: Option<Vec<u8>>,
    pub(crate) long_link: Option<Vec<u8>>,
    pub(crate) is_sparse: bool,
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
    pub(crate) fn take_record(&mut self, key: &str, value: &[u8]) {
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
                        if let Some(name) = key.strip_prefix("SCHILY.xattr.").filter(|_| !value.is_empty()) {
                            self.xattrs.push((name.as_bytes().into(), value.into()));
                        }
                        let name = key.strip_prefix("LIBARCHIVE.xattr.").and_then(unescaped);
                        if let (Some(name), Ok(value)) = (name, BASE64.decode(value))
                            && !value.is_empty()
                        {
                            self.libarchive_xattrs.push((name.into(), value.into()));
                        }
                    }
                }
                self.records.extend(key.as_bytes());
                self.records.push(b'=');
                self.records.extend(value);
                self.records.push(0);
            }
        }
        self.is_sparse |= key.starts_with("GNU.sparse.");
    }

    /// Returns the extended attributes that stand in records of libarchive alone.
    pub(crate) fn lone_xattrs(&self) -> impl Iterator<Item = &Xattr> {
        self.libarchive_xattrs.iter().filter(|(name, _)| self.xattrs.iter().all(|(other, _)| other != name))
    }

    /// Returns the path of the entry with this header.
    pub(crate) fn path_of(&self, block: &[u8]) -> Vec<u8> {
        let extended = self.long_path.as_ref().or(self.sparse_path.as_ref()).or(self.path.as_ref());
        if let Some(path) = extended {
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
        let extended = self.long_link.as_ref().or(self.link.as_ref());
        extended.map_or_else(|| text(&block[157..257]), Vec::as_slice)
    }
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
