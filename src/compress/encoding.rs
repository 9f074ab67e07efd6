//! Encodings, compression formats and levels.

/// The compression of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Uncompressed, or in an unknown format.
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
}

impl Encoding {
    /// Returns the name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }

    /// Detects an encoding from the first bytes of a file.
    pub(crate) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame or a skippable frame (RFC 8878, sections 3.1.1 and 3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // "BZh", the block size, and the magic number of a block or of the end of the stream.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Self::Bzip2,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            _ => Self::Identity,
        }
    }
}

/// The format in which uncompressed layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CompressFormat {
    /// gzip: all consumers read it.
    #[default]
    Gzip,
    /// Zstandard: smaller and faster to unpack, but older consumers do not read it.
    Zstd,
}

impl CompressFormat {
    /// Returns the highest level; the lowest is 1.
    pub fn highest_level(self) -> u8 {
        match self {
            Self::Gzip => 9,
            Self::Zstd => 19,
        }
    }

    /// Returns the default level. Part of the format on disk: another level changes the digests of layers.
    pub(crate) fn default_level(self) -> u8 {
        match self {
            Self::Gzip => 5,
            Self::Zstd => 3,
        }
    }

    /// Returns the encoding of the output.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Gzip => Encoding::Gzip,
            Self::Zstd => Encoding::Zstd,
        }
    }
}

/// The format and level for compressing a layer. Together with the content they determine every byte of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compression {
    pub(crate) format: CompressFormat,
    pub(crate) level: u8,
}

/// The level is not valid for the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{level} is not a level of {}, which has 1 to {}", .format.encoding().name(), .format.highest_level())]
pub struct LevelError {
    pub(crate) format: CompressFormat,
    pub(crate) level: u8,
}

impl Compression {
    /// Returns a format with the given level, or with its default level.
    ///
    /// # Errors
    ///
    /// [`LevelError`] unless the level is from 1 to [`CompressFormat::highest_level`].
    ///
    /// ```
    /// use regshape::compress::{CompressFormat, Compression};
    ///
    /// assert!(Compression::new(CompressFormat::Gzip, Some(9)).is_ok());
    /// assert!(Compression::new(CompressFormat::Gzip, Some(10)).is_err());
    /// ```
    pub fn new(format: CompressFormat, level: Option<u8>) -> Result<Self, LevelError> {
        let level = level.unwrap_or(format.default_level());
        if (1..=format.highest_level()).contains(&level) {
            Ok(Self { format, level })
        } else {
            Err(LevelError { format, level })
        }
    }

    /// Returns the format.
    pub fn format(self) -> CompressFormat {
        self.format
    }
}

impl Default for Compression {
    /// Returns gzip at its default level.
    fn default() -> Self {
        CompressFormat::default().into()
    }
}

impl From<CompressFormat> for Compression {
    /// Returns a format at its default level.
    fn from(format: CompressFormat) -> Self {
        Self { format, level: format.default_level() }
    }
}

/// The size of I/O buffers. Does not affect the bytes on disk.
pub(crate) const BUFFER: usize = 256 * 1024;
