//! A file to add as a layer: detects its format and plans how the layer is stored.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::compress::{Bounds, Compression, Detected, Encoding, Peeked, peek};
use crate::error::{Error, Result};
use crate::fs::input::open_input;
use crate::oci::{Annotations, Digest, LayerEncoding, MediaType};
use crate::options::setters;
use crate::tar::header_fields::looks_like_tar;

/// The content of a layer to add. It is opened and read only once.
///
/// Its format is detected from the first bytes, not from the name.
pub struct LayerInput {
    pub(crate) path: PathBuf,
    pub(crate) reader: Peeked<Box<dyn Read + Send>>,
    pub(crate) encoding: Encoding,
    pub(crate) is_tar: bool,
    pub(crate) size: Option<u64>,
    /// Whether this library writes the tar, so that its entries need no check.
    pub(crate) is_own: bool,
}

impl fmt::Debug for LayerInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, encoding, is_tar, size, .. } = self;
        formatter
            .debug_struct("LayerInput")
            .field("path", path)
            .field("encoding", encoding)
            .field("is_tar", is_tar)
            .field("size", size)
            .finish_non_exhaustive()
    }
}

/// The uncompressed content that is compressed when it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompressionScope {
    /// Tars, and other content with the media type of a layer.
    #[default]
    Layers,
    /// All content.
    Everything,
    /// Nothing.
    Nothing,
}

/// Options for adding a layer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LayerOptions {
    /// The compression for uncompressed layers.
    pub compression: Compression,
    /// The content to compress.
    pub scope: CompressionScope,
    /// The number of compression threads; by default the number of cores. Does not affect the output.
    pub jobs: Option<NonZeroUsize>,
    /// The media type; by default detected from the content.
    pub media_type: Option<MediaType>,
    /// The annotations of the layer's descriptor.
    pub annotations: Annotations,
    /// The limits on the uncompressed size of a layer.
    pub bounds: Bounds,
    /// The command that made the layer, for the image's history.
    pub created_by: Option<String>,
    /// The layers that the layer was made for, which must be the staged ones.
    pub(crate) below: Option<Vec<Digest>>,
}

impl LayerOptions {
    setters! {
        compression: [Compression],
        scope: [CompressionScope],
        jobs: [option NonZeroUsize],
        media_type: [option MediaType],
        annotations: [Annotations],
        bounds: [Bounds],
        created_by: [some String],
    }
}

/// How the bytes of a layer are converted for the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Treatment {
    /// The bytes are stored unchanged.
    AsIs,
    /// The bytes are compressed.
    Compress(Compression),
    /// The bytes are decompressed from a format that image layers do not use, and compressed.
    Recompress(Compression),
    /// The bytes are decompressed.
    Decompress,
}

/// How a layer will be stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LayerPlan {
    /// The conversion of the bytes.
    pub treatment: Treatment,
    /// The media type: the given one, or else the detected one.
    pub media_type: MediaType,
    /// Whether the media type is that of a tar, but the content does not look like a tar.
    pub is_doubtful: bool,
}

impl LayerInput {
    /// Opens a file, a pipe or a device for reading.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`], [`Error::IsDirectory`], [`Error::EmptyFile`]; [`Error::CorruptStream`]; [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, size) = open_input(path)?;
        Self::look_at(path, Box::new(file), size)
    }

    /// Reads the content from a reader. The name is used in error messages.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyFile`]; [`Error::CorruptStream`]; [`Error::Io`].
    pub fn from_reader(name: impl AsRef<Path>, reader: impl Read + Send + 'static) -> Result<Self> {
        Self::look_at(name.as_ref(), Box::new(reader), None)
    }

    /// Reads a tar that this library writes.
    pub(crate) fn from_own_tar(name: &'static str, reader: impl Read + Send + 'static) -> Result<Self> {
        Ok(Self { is_own: true, ..Self::from_reader(name, reader)? })
    }

    pub(crate) fn look_at(path: &Path, reader: Box<dyn Read + Send>, size: Option<u64>) -> Result<Self> {
        let (sight, reader) = peek(reader, looks_like_tar).map_err(Error::io("read", path))?;
        if sight.is_empty {
            return Err(Error::EmptyFile { path: path.to_owned() });
        }
        let Detected { encoding, is_tar, .. } = sight;
        if let Some(source) = sight.flaw {
            return Err(Error::from_stream(path, encoding, source));
        }
        Ok(Self { path: path.to_owned(), reader, encoding, is_tar, size, is_own: false })
    }

    /// Returns the compression of the content.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Returns whether the content is a tar, after decompression if it is compressed.
    pub fn is_tar(&self) -> bool {
        self.is_tar
    }

    /// Returns the size of the content in bytes, if it is known in advance.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Plans how the layer is stored with the given options.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMediaType`] if no media type is given and none can be detected; [`Error::MediaTypeMismatch`] if
    /// the given media type implies another compression than that of the stored layer.
    pub fn plan(&self, options: &LayerOptions) -> Result<LayerPlan> {
        let LayerOptions { scope, compression, media_type, .. } = options;
        let (scope, compression, media_type) = (*scope, *compression, media_type.as_ref());
        let asked = media_type.and_then(MediaType::layer_encoding);
        let is_compressed = asked != Some(LayerEncoding::Tar)
            && match scope {
                CompressionScope::Layers => self.is_tar || asked.is_some(),
                CompressionScope::Everything => true,
                CompressionScope::Nothing => false,
            };
        let compression = is_compressed.then_some(compression);
        let treatment = match (self.encoding, compression) {
            (Encoding::Gzip | Encoding::Zstd, _) => Treatment::AsIs,
            (Encoding::Xz | Encoding::Bzip2, None) if self.is_tar => Treatment::Decompress,
            (Encoding::Xz | Encoding::Bzip2, Some(compression)) if self.is_tar => Treatment::Recompress(compression),
            (_, None) => Treatment::AsIs,
            (_, Some(compression)) => Treatment::Compress(compression),
        };
        let stored = match treatment {
            Treatment::AsIs => self.encoding,
            Treatment::Decompress => Encoding::Identity,
            Treatment::Compress(compression) | Treatment::Recompress(compression) => compression.format().encoding(),
        };
        let media_type = match media_type {
            Some(media_type) => media_type.clone(),
            None if !self.is_tar => return Err(Error::UnknownMediaType { name: extension(&self.path) }),
            None => MediaType::layer(match stored {
                Encoding::Zstd => LayerEncoding::Zstd,
                Encoding::Identity => LayerEncoding::Tar,
                _ => LayerEncoding::Gzip,
            }),
        };
        let fits = match asked {
            None => true,
            Some(LayerEncoding::Gzip) => stored == Encoding::Gzip,
            Some(LayerEncoding::Zstd) => stored == Encoding::Zstd,
            Some(LayerEncoding::Tar) => stored == Encoding::Identity,
        };
        if !fits {
            return Err(Error::MediaTypeMismatch { path: self.path.clone(), media_type, stored });
        }
        Ok(LayerPlan { treatment, media_type, is_doubtful: asked.is_some() && !self.is_tar })
    }
}

/// Returns the extension of a file name with its dot, or the whole name if it has no extension.
pub(crate) fn extension(path: &Path) -> String {
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let name =
        || path.file_name().map_or_else(|| path.to_string_lossy(), |name| Cow::Owned(name.to_string_lossy().into()));
    extension.unwrap_or_else(|| name().into_owned())
}
