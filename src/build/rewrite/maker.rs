//! Makes layers of the layers of an image: what a verb writes is compressed and stored while it is written.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use super::options::RewriteOptions;
use crate::build::copied::Copied;
use crate::build::edit::{LayerAfter, MadeLayer};
use crate::build::input::{CompressionScope, LayerOptions};
use crate::build::layer::NewLayer;
use crate::build::writer::LayerWriter;
use crate::compress::{CompressFormat, Compression};
use crate::error::Result;
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::oci::{Digest, LayerEncoding, MediaType};
use crate::rootfs::{Failure, ImageFiles};
use crate::view::images::ImageLayer;

/// So many layers wait at most for the manifest that refers to them: each is an open file.
const WAITING: usize = 64;

/// How a layer is stored: compressed, or as a plain tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage(pub(super) Option<Compression>);

impl Storage {
    /// Returns how a layer of a media type is stored, at the usual level. A type that is unknown is that of a gzip layer.
    pub(super) fn of(media_type: &MediaType) -> Self {
        let of_format = |format| Compression::new(format, None).expect("the usual level is one");
        Self(match media_type.layer_encoding() {
            Some(LayerEncoding::Tar) => None,
            Some(LayerEncoding::Zstd) => Some(of_format(CompressFormat::Zstd)),
            Some(LayerEncoding::Gzip) | None => Some(of_format(CompressFormat::Gzip)),
        })
    }

    pub(super) fn encoding(self) -> LayerEncoding {
        match self.0.map(|compression| compression.format()) {
            None => LayerEncoding::Tar,
            Some(CompressFormat::Gzip) => LayerEncoding::Gzip,
            Some(CompressFormat::Zstd) => LayerEncoding::Zstd,
        }
    }

    fn options(self, options: &RewriteOptions) -> LayerOptions {
        let scope = if self.0.is_some() { CompressionScope::Everything } else { CompressionScope::Nothing };
        let mut layer = LayerOptions::default().compression(self.0.unwrap_or_default()).scope(scope);
        layer.bounds = options.bounds;
        layer.jobs = options.jobs;
        layer.media_type = Some(MediaType::layer(self.encoding()));
        layer
    }
}

/// A layer of an image that is changed.
pub(super) struct ChangedLayer {
    /// Its place.
    pub(super) at: usize,
    /// The layers that the result depends on: for them it is made once.
    pub(super) of: Vec<Digest>,
    pub(super) storage: Storage,
    pub(super) compares: Compares,
}

/// What tells whether a layer has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compares {
    /// The stored bytes.
    Bytes,
    /// The uncompressed content.
    Content,
}

/// Makes layers. Those that nothing refers to in the end are deleted.
pub(super) struct Maker<'a> {
    pub(super) layout: &'a Layout,
    pub(super) options: &'a RewriteOptions,
    pub(super) progress: Progress<'a>,
    copied: Copied<'a>,
    /// The layers that were made, by those that they were made of. `None` for layers that would be the same again.
    made: HashMap<Vec<Digest>, Option<MadeLayer>>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(layout: &'a Layout, options: &'a RewriteOptions, progress: Progress<'a>) -> Self {
        Self { layout, options, progress, copied: Copied::none(layout), made: HashMap::new() }
    }

    /// Returns the layers that were made.
    pub(super) fn into_copied(self) -> Copied<'a> {
        self.copied
    }

    /// Changes a layer of an image, which keeps its place. A layer that does not change is kept. `write` returns whether it
    /// changed anything: without a change, what a copy leaves out (images, rule A19) stays.
    ///
    /// # Errors
    ///
    /// Those of reading the layer and of `write`; those of storing a layer.
    pub(super) fn change(
        &mut self,
        files: &ImageFiles,
        ChangedLayer { at, of, storage, compares }: ChangedLayer,
        write: impl FnOnce(&mut dyn Read, &mut dyn Write) -> Result<bool, Failure>,
    ) -> Result<LayerAfter> {
        let made = match self.made.get(&of) {
            Some(made) => made.clone(),
            None => {
                let (descriptor, diff_id) = files.layer(at);
                let progress = self.progress;
                let mut is_changed = true;
                let layer = self.store(storage, |writer| {
                    is_changed = files.read_tar(at, progress, |content| write(content, writer))?;
                    Ok(())
                })?;
                let added = &layer.added.layer;
                let is_same = !is_changed
                    || match compares {
                        Compares::Bytes => added.digest == descriptor.digest,
                        Compares::Content => added.diff_id.as_ref() == Some(diff_id),
                    };
                let made = if is_same { None } else { Some(self.keep(layer, storage)?) };
                self.made.insert(of, made.clone());
                made
            }
        };
        Ok(made.map_or(LayerAfter::Kept(at), |made| LayerAfter::Changed(at, made)))
    }

    /// Makes a layer of several. `of` are the layers that it depends on: for them it is made once.
    pub(super) fn make(
        &mut self,
        of: Vec<Digest>,
        storage: Storage,
        make: impl FnOnce(&Self) -> Result<NewLayer>,
    ) -> Result<MadeLayer> {
        if let Some(Some(made)) = self.made.get(&of) {
            return Ok(made.clone());
        }
        let made = self.keep(make(self)?, storage)?;
        self.made.insert(of, Some(made.clone()));
        Ok(made)
    }

    /// Copies a layer of another image. Returns whether it is stored, and not elsewhere only.
    pub(super) fn copy(&mut self, layer: &ImageLayer) -> Result<bool> {
        self.copied.add_layer(layer, WAITING)
    }

    /// Stores a layer that is written.
    pub(super) fn store(&self, storage: Storage, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<NewLayer> {
        let writer = LayerWriter::create_checked(self.layout, &storage.options(self.options))?;
        let mut sink = Sink { writer, has_failed: false };
        let written = write(&mut sink);
        match (written, sink.has_failed) {
            (Ok(()), _) => sink.writer.finish_unnamed(),
            (Err(error), false) => Err(error),
            // The thread that stores the layer has the cause.
            (Err(error), true) => Err(sink.writer.finish_unnamed().err().unwrap_or(error)),
        }
    }

    /// Keeps a layer for the manifest that will refer to it.
    pub(super) fn keep(&mut self, layer: NewLayer, storage: Storage) -> Result<MadeLayer> {
        let NewLayer { blob, added, .. } = layer;
        let layer = added.layer;
        self.copied.add(blob, WAITING)?;
        let diff_id = layer.diff_id.unwrap_or_else(|| layer.digest.clone());
        Ok(MadeLayer { digest: layer.digest, size: layer.size, encoding: storage.encoding(), diff_id })
    }
}

/// Writes to a layer, and remembers whether storing it has failed.
struct Sink {
    writer: LayerWriter,
    has_failed: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).inspect_err(|_| self.has_failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().inspect_err(|_| self.has_failed = true)
    }
}
