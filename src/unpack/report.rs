//! What was written, and what could not be.

/// The result of writing files of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Unpacked {
    /// The number of files, directories, links and devices.
    pub entries: u64,
    /// The bytes of the content of files.
    pub bytes: u64,
    /// What could not be made as the image has it.
    pub skipped: Skipped,
}

/// Numbers of things that a user, a system or a file system does not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Skipped {
    /// Whether all files belong to the user of this process.
    pub owners: bool,
    /// The setuid and setgid bits of files that were left off.
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
