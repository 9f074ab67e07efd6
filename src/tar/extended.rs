//! Extended headers of pax and GNU, which give fields to the next entry.

use super::header::text;

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
                self.records.extend(key.as_bytes());
                self.records.push(b'=');
                self.records.extend(value);
                self.records.push(0);
            }
        }
        self.is_sparse |= key.starts_with("GNU.sparse.");
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
