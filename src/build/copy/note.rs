//! Notes on a layer of files: the parts of the sources that are left out, and remarks on entries.

use std::fmt;
use std::path::PathBuf;

use crate::oci::Digest;

/// A part of the sources that a layer leaves out, or a remark on its entries: the first path, and the number of paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CopyNote {
    /// The layout that is written is left out.
    Output(Counted),
    /// Sockets are left out.
    Sockets(Counted),
    /// The content of directories on other devices is left out.
    MountPoints(Counted),
    /// Files that cannot be read are left out.
    Unreadable(Counted),
    /// Entries belong to users or groups that most containers do not have.
    HighIds(Counted),
    /// Extended attributes without a value are left out: a tar cannot hold them.
    EmptyXattrs(Counted),
    /// Volumes of the image are left out.
    Masked(Counted),
    /// A layer below is not stored, or is not a tar: its files are not known.
    UnknownLayer(Digest),
    /// An mtree file has a keyword that this program does not know.
    Keyword {
        /// The file.
        path: PathBuf,
        /// The first line with the keyword.
        line: usize,
        /// The keyword.
        keyword: String,
    },
}

/// The first of several paths, and their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counted {
    first: PathBuf,
    count: u64,
}

impl Counted {
    pub(super) fn add(&mut self, path: PathBuf) {
        if self.count == 0 {
            self.first = path;
        }
        self.count += 1;
    }

    pub(super) fn into_note(self, note: fn(Self) -> CopyNote) -> Option<CopyNote> {
        (self.count > 0).then(|| note(self))
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.first.display())?;
        if self.count > 1 { write!(formatter, " and {} more", self.count - 1) } else { Ok(()) }
    }
}

impl fmt::Display for CopyNote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(paths) => write!(formatter, "left out the output layout: {paths}"),
            Self::Sockets(paths) => write!(formatter, "left out sockets: {paths}"),
            Self::MountPoints(paths) => write!(formatter, "left out the content of mount points: {paths}"),
            Self::Unreadable(paths) => write!(formatter, "left out unreadable files: {paths}"),
            Self::HighIds(paths) => {
                write!(formatter, "users or groups above 65535, which few containers have: {paths}")
            }
            Self::Masked(paths) => write!(formatter, "left out volumes of the image: {paths}"),
            Self::UnknownLayer(digest) => {
                write!(formatter, "the files of layer {digest} are not known: it is not stored here, or is not a tar")
            }
            Self::Keyword { path, line, keyword } => {
                write!(formatter, "unknown keyword '{}' in line {line} of {}", keyword.escape_debug(), path.display())
            }
            Self::EmptyXattrs(paths) => write!(formatter, "left out extended attributes without a value: {paths}"),
        }
    }
}

/// The notes of a layer while its entries are collected.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) sockets: Counted,
    pub(super) mounts: Counted,
    pub(super) outputs: Counted,
    pub(super) unreadable: Counted,
    pub(super) high_ids: Counted,
    pub(super) masked: Counted,
    /// Unknown keywords of mtree files.
    pub(super) keywords: Vec<CopyNote>,
}

impl Notes {
    pub(super) fn list(self) -> Vec<CopyNote> {
        let notes = [
            self.outputs.into_note(CopyNote::Output),
            self.sockets.into_note(CopyNote::Sockets),
            self.mounts.into_note(CopyNote::MountPoints),
            self.unreadable.into_note(CopyNote::Unreadable),
            self.high_ids.into_note(CopyNote::HighIds),
            self.masked.into_note(CopyNote::Masked),
        ];
        notes.into_iter().flatten().chain(self.keywords).collect()
    }
}
