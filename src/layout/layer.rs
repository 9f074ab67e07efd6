//! Adding layers, and annotating those that were added.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::blobs::{NewBlob, PendingBlob};
use super::error::{Error, Result};
use super::handle::Layout;
use super::metrics::Phase;
use super::stage::{Stage, StagedLayer};
use crate::compress::{BUFFER, CompressFormat, Encoder, Encoding, Peeked, decoder, peek};
use crate::oci::{Algorithm, Annotations, Digest, Hasher, LayerEncoding, MediaType, UnknownFields};

/// A function that is told how many more bytes were read.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// The content of a layer that is to be added, opened once and read once.
///
/// What it is is told by its first bytes, not by its name.
pub struct LayerInput {
    path: PathBuf,
    reader: Peeked<Box<dyn Read + Send>>,
    encoding: Encoding,
    is_tar: bool,
    size: Option<u64>,
}

/// How a layer is added.
#[derive(Default)]
pub struct LayerOptions<'a> {
    /// What a layer that comes uncompressed is compressed with.
    pub format: CompressFormat,
    /// The media type; by default the one that [`LayerInput::plan`] proposes.
    pub media_type: Option<MediaType>,
    /// The annotations of the layer's descriptor.
    pub annotations: Annotations,
    /// Who is told of the bytes that were read.
    pub progress: Option<Progress<'a>>,
}

/// What happens to the bytes of a layer on their way into the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// They are stored as they are.
    AsIs,
    /// They are compressed.
    Compress(CompressFormat),
    /// They are decompressed, because image layers are not stored like this, and compressed.
    Recompress(CompressFormat),
    /// They are decompressed.
    Decompress,
}

/// What will become of a layer, before any of it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// What happens to the bytes.
    pub treatment: Treatment,
    /// The media type: the one that was given, or the one that the content calls for.
    pub media_type: MediaType,
    /// Whether the media type says that this is a tar, and it does not look like one.
    pub is_doubtful: bool,
}

impl LayerInput {
    /// Opens a file, a pipe, or whatever else can be read.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`], [`Error::IsDirectory`], [`Error::EmptyFile`]; [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::FileNotFound { path: path.to_owned() },
            // Windows does not open a directory at all.
            _ if path.is_dir() => Error::IsDirectory { path: path.to_owned() },
            _ => Error::io("read", path)(error),
        })?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if metadata.is_dir() {
            return Err(Error::IsDirectory { path: path.to_owned() });
        }
        let size = metadata.is_file().then_some(metadata.len());
        Self::look_at(path, Box::new(file), size)
    }

    /// Takes the content from a reader; the name stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyFile`]; [`Error::Io`].
    pub fn from_reader(name: impl AsRef<Path>, reader: impl Read + Send + 'static) -> Result<Self> {
        Self::look_at(name.as_ref(), Box::new(reader), None)
    }

    fn look_at(path: &Path, reader: Box<dyn Read + Send>, size: Option<u64>) -> Result<Self> {
        let (sight, reader) = peek(reader).map_err(Error::io("read", path))?;
        if sight.is_empty {
            return Err(Error::EmptyFile { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), reader, encoding: sight.encoding, is_tar: sight.is_tar, size })
    }

    /// Returns how the content is compressed.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Tells whether a tar begins here, under the compression if there is one.
    pub fn is_tar(&self) -> bool {
        self.is_tar
    }

    /// Returns the size of the content in bytes, where that is known before reading it.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Tells what will become of this layer with a given format and media type.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMediaType`] if no media type is given and the content calls for none;
    /// [`Error::MediaTypeMismatch`] if the one that is given names another compression than the layer will have.
    pub fn plan(&self, format: CompressFormat, media_type: Option<&MediaType>) -> Result<LayerPlan> {
        let asked = media_type.and_then(MediaType::layer_encoding);
        let treatment = match self.encoding {
            Encoding::Gzip | Encoding::Zstd => Treatment::AsIs,
            Encoding::Xz | Encoding::Bzip2 if self.is_tar && asked == Some(LayerEncoding::Tar) => Treatment::Decompress,
            Encoding::Xz | Encoding::Bzip2 if self.is_tar => Treatment::Recompress(format),
            _ if asked == Some(LayerEncoding::Tar) => Treatment::AsIs,
            _ => Treatment::Compress(format),
        };
        let stored = match treatment {
            Treatment::AsIs => self.encoding,
            Treatment::Decompress => Encoding::Identity,
            Treatment::Compress(format) | Treatment::Recompress(format) => format.encoding(),
        };
        let media_type = match media_type {
            Some(media_type) => media_type.clone(),
            None if !self.is_tar => return Err(Error::UnknownMediaType { name: extension(&self.path) }),
            None => MediaType::layer(match stored {
                Encoding::Zstd => LayerEncoding::Zstd,
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
fn extension(path: &Path) -> String {
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let name =
        || path.file_name().map_or_else(|| path.to_string_lossy(), |name| Cow::Owned(name.to_string_lossy().into()));
    extension.unwrap_or_else(|| name().into_owned())
}

impl Layout {
    /// Stores a layer and appends it to the staging file, which a layout of another program gets by this.
    ///
    /// The content is read once, in small pieces, whatever its size.
    ///
    /// # Errors
    ///
    /// Those of [`LayerInput::plan`]; [`Error::CorruptStream`]; [`Error::Compress`]; [`Error::MalformedStage`];
    /// [`Error::Io`]. After an error the layout is as it was.
    pub fn stage_layer(&self, input: LayerInput, options: LayerOptions<'_>) -> Result<StagedLayer> {
        let plan = input.plan(options.format, options.media_type.as_ref())?;
        // What would fail at the end fails before the work.
        self.find_stage()?;
        let (blob, diff_id) = self.store_layer(input, plan.treatment, options.progress)?;

        let lock = self.lock()?;
        let mut stage = self.find_stage()?.unwrap_or_else(Stage::empty);
        let blob = blob.commit(&lock)?;
        let layer = StagedLayer {
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: plan.media_type,
            annotations: options.annotations,
            diff_id: Some(diff_id),
            extra: UnknownFields::new(),
        };
        stage.layers.push(layer.clone());
        self.write_stage(&lock, &stage)?;
        blob.keep();
        Ok(layer)
    }

    /// Merges annotations into those of a staged layer, or replaces them.
    ///
    /// # Errors
    ///
    /// [`Error::LayerIndex`]; [`Error::NoStage`], [`Error::MalformedStage`]; [`Error::Io`].
    pub fn update_layer_annotations(
        &self,
        index: usize,
        annotations: Annotations,
        replace: bool,
    ) -> Result<Updated<StagedLayer>> {
        let lock = self.lock()?;
        let mut stage = self.read_stage()?;
        let count = stage.layers.len();
        let out_of_range = || Error::LayerIndex { index: i64::try_from(index).unwrap_or(i64::MAX), count };
        let layer = stage.layers.get_mut(index).ok_or_else(out_of_range)?;
        let before = layer.annotations.clone();
        if replace {
            layer.annotations = annotations;
        } else {
            layer.annotations.extend(annotations);
        }
        let has_changed = layer.annotations != before;
        let layer = layer.clone();
        if has_changed {
            self.write_stage(&lock, &stage)?;
        }
        Ok(Updated { outdates_manifest: has_changed && stage.manifest.is_some(), value: layer })
    }

    /// Writes a layer's blob and computes the digest of its uncompressed content, in one pass.
    fn store_layer(
        &self,
        input: LayerInput,
        treatment: Treatment,
        progress: Option<Progress<'_>>,
    ) -> Result<(PendingBlob<'_>, Digest)> {
        let LayerInput { path, reader, encoding, .. } = input;
        let mut source = Source { layout: self, path: &path, reader, progress, copy: None, failure: None };
        let encoding = match treatment {
            Treatment::AsIs | Treatment::Recompress(_) | Treatment::Decompress => encoding,
            Treatment::Compress(_) => Encoding::Identity,
        };
        let mut compressor = match treatment {
            Treatment::AsIs | Treatment::Decompress => None,
            Treatment::Compress(format) | Treatment::Recompress(format) => Some(Compressor::new(self, &path, format)?),
        };
        let mut plain = None;
        match treatment {
            Treatment::AsIs => source.copy = Some(self.new_blob()?),
            Treatment::Decompress => plain = Some(self.new_blob()?),
            Treatment::Compress(_) | Treatment::Recompress(_) => {}
        }
        let diff_id = self.diff_id_of(&path, encoding, &mut source, |bytes| match (&mut compressor, &mut plain) {
            (Some(compressor), _) => compressor.write(bytes),
            (None, Some(plain)) => plain.write_all(bytes).map_err(Error::io("write to", self.path())),
            (None, None) => Ok(()),
        });
        // What a decompressor says when its input fails is not the cause.
        if let Some(failure) = source.failure {
            return Err(failure);
        }
        let diff_id = diff_id?;
        let blob = match compressor {
            Some(compressor) => compressor.finish()?,
            None => source.copy.or(plain).expect("what is not compressed is copied"),
        };
        Ok((blob.finish()?, diff_id))
    }

    /// Reads a layer to its end, decompressed, and computes the digest of that.
    pub(super) fn diff_id_of(
        &self,
        path: &Path,
        encoding: Encoding,
        stored: impl Read,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Digest> {
        let corrupt = |source| Error::CorruptStream { path: path.to_owned(), encoding, source };
        let mut content = decoder(encoding, stored).map_err(corrupt)?;
        let mut diff_id = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match self.metrics().time(Phase::Compress, || content.read(&mut buffer)) {
                Ok(0) => return Ok(diff_id.finish()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(corrupt(error)),
            };
            self.metrics().time(Phase::Hash, || diff_id.update(&buffer[..read]));
            each(&buffer[..read])?;
        }
    }
}

/// The result of a change, and what it means for what was made before.
#[derive(Clone, Debug, PartialEq)]
pub struct Updated<T> {
    /// What was changed, as it is now.
    pub value: T,
    /// Whether a manifest was generated that does not have the change.
    pub outdates_manifest: bool,
}

/// The bytes of a layer as they come in; stores them on the way where they are used as they are.
struct Source<'l, 'p, R> {
    layout: &'l Layout,
    path: &'p Path,
    reader: R,
    progress: Option<Progress<'p>>,
    copy: Option<NewBlob<'l>>,
    failure: Option<Error>,
}

impl<R: Read> Read for Source<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.layout.metrics().time(Phase::Read, || self.reader.read(buffer)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let kind = error.kind();
                self.failure = Some(Error::io("read", self.path)(error));
                return Err(kind.into());
            }
            result => result?,
        };
        self.layout.metrics().count_read(read);
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.write_all(&buffer[..read])
        {
            let kind = error.kind();
            self.failure = Some(Error::io("write to", self.layout.path())(error));
            return Err(kind.into());
        }
        if let Some(progress) = self.progress {
            progress(read as u64);
        }
        Ok(read)
    }
}

/// Compresses a layer into a blob.
struct Compressor<'l, 'p> {
    layout: &'l Layout,
    path: &'p Path,
    encoder: Encoder<Vec<u8>>,
    blob: NewBlob<'l>,
}

impl<'l, 'p> Compressor<'l, 'p> {
    fn new(layout: &'l Layout, path: &'p Path, format: CompressFormat) -> Result<Self> {
        let encoder = Encoder::new(format, Vec::new()).map_err(compress_error(path))?;
        Ok(Self { layout, path, encoder, blob: layout.new_blob()? })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { layout, path, encoder, blob } = self;
        layout.metrics().time(Phase::Compress, || encoder.write_all(bytes)).map_err(compress_error(path))?;
        let compressed = encoder.output();
        blob.write_all(compressed).map_err(Error::io("write to", layout.path()))?;
        compressed.clear();
        Ok(())
    }

    fn finish(self) -> Result<NewBlob<'l>> {
        let Self { layout, path, encoder, mut blob } = self;
        let rest = layout.metrics().time(Phase::Compress, || encoder.finish()).map_err(compress_error(path))?;
        blob.write_all(&rest).map_err(Error::io("write to", layout.path()))?;
        Ok(blob)
    }
}

fn compress_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Compress { path: path.to_owned(), source }
}
