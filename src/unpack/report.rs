//! Counts of the entries that were written, and of the attributes and devices that were not.

/// The result of writing files of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Unpacked {
    /// The number of files, directories, links and devices.
    pub entries: u64,
    /// The bytes of the content of files.
    pub bytes: u64,
    /// Attributes and devices that the files do not have.
    pub skipped: Skipped,
}

/// Attributes and devices that this user may not make, or that the file system does not support.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Skipped {
    /// Entries that have the user and group of this process instead of their own.
    pub owners: u64,
    /// The files and directories without their setuid and setgid bits.
    pub setuid: u64,
    /// Extended attributes that only root may set, capabilities among them.
    pub privileged_xattrs: u64,
    /// Extended attributes that the file system does not support.
    pub unsupported_xattrs: u64,
    /// The paths of devices that were not made.
    pub devices: Vec<Vec<u8>>,
    /// The paths of character devices 0/0, which overlayfs takes for whiteouts.
    pub overlay_whiteouts: Vec<Vec<u8>>,
}
