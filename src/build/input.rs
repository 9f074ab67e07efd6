//! A file to be added as a layer: its format, and how it is stored.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::compress::{Bounds, Compression, Detected, Encoding, Peeked, peek};
use crate::error::{Error, Result};
use crate::fs::input::open_input;
use crate::oci::{Annotations, LayerEncoding, MediaType};
use crate::options::setters;
use crate::tar::header::looks_like_tar;

/// The content of a layer that is to be added, opened once and read once.
///
/// Its type is detected from its first bytes, not from its name.
pub struct LayerInput {
    pub(crate) path: PathBuf,
    pub(crate) reader: Peeked<Box<dyn Read + Send>>,
    pub(crate) encoding: Encoding,
    pub(crate) is_tar: bool,
    pub(crate) size: Option<u64>,
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

/// Which uncompressed content is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressionScope {
    /// Tars, and other content under the media type of a layer.
    #[default]
    Layers,
    /// Other content too.
    Everything,
    /// Nothing.
    Nothing,
}

/// How a layer is added.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LayerOptions {
    /// The compression of layers that come uncompressed.
    pub compression: Compression,
    /// Which content is compressed.
    pub scope: CompressionScope,
    /// How many threads compress it; by default as many as there are cores. The bytes do not depend on it.
    pub jobs: Option<NonZeroUsize>,
    /// The media type; by default the one that the content calls for.
    pub media_type: Option<MediaType>,
    /// The annotations of the layer's descriptor.
    pub annotations: Annotations,
    /// How much a layer that comes compressed may decompress to.
    pub bounds: Bounds,
}

impl LayerOptions {
    setters! {
        compression: [Compression],
        scope: [CompressionScope],
        jobs: [option NonZeroUsize],
        media_type: [option MediaType],
        annotations: [Annotations],
        bounds: [Bounds],
    }
}

/// How the bytes of a layer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Treatment {
    /// They are stored as they are.
    AsIs,
    /// They are compressed.
    Compress(Compression),
    /// They are decompressed, because image layers are not stored like this, and compressed.
    Recompress(Compression),
    /// They are decompressed.
    Decompress,
}

/// How a layer will be stored, before any of it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerPlan {
    /// How the bytes are stored.
    pub treatment: Treatment,
    /// The media type: the one that was given, or the one that the content calls for.
    pub media_type: MediaType,
    /// Whether the media type says that this is a tar, and it does not look like one.
    pub is_doubtful: bool,
}

impl LayerInput {
    /// Opens a file, a pipe or another readable path.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`], [`Error::IsDirectory`], [`Error::EmptyFile`]; [`Error::CorruptStream`]; [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, size) = open_input(path)?;
        Self::look_at(path, Box::new(file), size)
    }

    /// Takes the content from a reader; the name stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyFile`]; [`Error::CorruptStream`]; [`Error::Io`].
    pub fn from_reader(name: impl AsRef<Path>, reader: impl Read + Send + 'static) -> Result<Self> {
        Self::look_at(name.as_ref(), Box::new(reader), None)
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
        Ok(Self { path: path.to_owned(), reader, encoding, is_tar, size })
    }

    /// Returns how the content is compressed.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Returns whether a tar begins here, under the compression if there is one.
    pub fn is_tar(&self) -> bool {
        self.is_tar
    }

    /// Returns the size of the content in bytes, where that is known before reading it.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Plans how this layer is stored with some options.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMediaType`] if no media type is given and the content calls for none;
    /// [`Error::MediaTypeMismatch`] if the one that is given names another compression than the layer will have.
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

/// Returns the extension of a name with its dot, or the name if it has none.
pub(crate) fn extension(path: &Path) -> String {
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let name =
        || path.file_name().map_or_else(|| path.to_string_lossy(), |name| Cow::Owned(name.to_string_lossy().into()));
    extension.unwrap_or_else(|| name().into_owned())
}
