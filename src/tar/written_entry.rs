//! An entry of a tar that is written.

/// The attributes of an entry and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TarEntry<'a> {
    /// The path, without a slash at its beginning. That of a directory ends with a slash.
    pub(crate) path: &'a [u8],
    pub(crate) kind: EntryKind<'a>,
    /// The permissions and the setuid, setgid and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// The modification time in seconds since 1970.
    pub(crate) modified: i64,
    /// The extended attributes with their values, sorted by name.
    pub(crate) xattrs: &'a [Xattr],
}

/// An extended attribute: its name and its value.
pub(crate) type Xattr = (Box<[u8]>, Box<[u8]>);

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind<'a> {
    /// A regular file of this size, whose content follows.
    File {
        size: u64,
    },
    /// Another name of an earlier entry.
    HardLink {
        target: &'a [u8],
    },
    SymbolicLink {
        target: &'a [u8],
    },
    CharacterDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Directory,
    Pipe,
}

/// The number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceNumber {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl<'a> EntryKind<'a> {
    /// Returns the type flag of the header (POSIX, pax, "ustar Interchange Format").
    pub(super) fn flag(self) -> u8 {
        match self {
            Self::File { .. } => b'0',
            Self::HardLink { .. } => b'1',
            Self::SymbolicLink { .. } => b'2',
            Self::CharacterDevice(_) => b'3',
            Self::BlockDevice(_) => b'4',
            Self::Directory => b'5',
            Self::Pipe => b'6',
        }
    }

    /// Returns the size of the content.
    pub(super) fn size(self) -> u64 {
        if let Self::File { size } = self { size } else { 0 }
    }

    /// Returns the target of a link; an empty one for other types.
    pub(super) fn target(self) -> &'a [u8] {
        match self {
            Self::HardLink { target } | Self::SymbolicLink { target } => target,
            _ => b"",
        }
    }

    /// Returns the number of a device.
    pub(super) fn device(self) -> Option<DeviceNumber> {
        match self {
            Self::CharacterDevice(number) | Self::BlockDevice(number) => Some(number),
            _ => None,
        }
    }
}
