//! The layers that a new layer is put on.

use std::fmt;
use std::io::{self, BufReader, Read};

use super::merge::{MergedTree, TreeEntry};
use crate::compress::{BUFFER, Bounds, Encoding, bounded_decoder, peek};
use crate::error::{Error, Result};
use crate::graph::verify::expect_digest;
use crate::layout::handle::Layout;
use crate::oci::{Digest, Hasher};
use crate::tar::header::looks_like_tar;

/// The merged files of layers, without their content.
#[derive(Clone, Default)]
pub struct Stack {
    pub(crate) tree: MergedTree,
    layers: Vec<Digest>,
    skipped: Vec<Digest>,
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stack").field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl Stack {
    /// Merges the staged layers of a layout. Layers whose blobs are not stored, and content that is not a tar, are
    /// skipped.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`], [`Error::CorruptStream`], [`Error::BeyondBound`] for a damaged layer;
    /// [`Error::MalformedStage`]; [`Error::Io`].
    pub fn of_staged(layout: &Layout, bounds: Bounds) -> Result<Self> {
        let mut stack = Self::default();
        stack.update(layout, bounds)?;
        Ok(stack)
    }

    /// Merges layers of an image in a layout, as [`Stack::of_staged`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Stack::of_staged`].
    pub fn of_layers(layout: &Layout, layers: &[Digest], bounds: Bounds) -> Result<Self> {
        let mut stack = Self::default();
        stack.add(layout, layers, bounds)?;
        Ok(stack)
    }

    /// Merges the staged layers of a layout that were added since the stack was made.
    ///
    /// # Errors
    ///
    /// Those of [`Stack::of_staged`].
    pub fn update(&mut self, layout: &Layout, bounds: Bounds) -> Result<()> {
        let layers = layout.find_stage()?.map_or_else(Vec::new, |stage| stage.layers);
        let known = self.layers.len();
        let is_begun = known <= layers.len() && layers.iter().map(|layer| &layer.digest).take(known).eq(&self.layers);
        if !is_begun {
            *self = Self::default();
        }
        let new: Vec<Digest> = layers.into_iter().skip(self.layers.len()).map(|layer| layer.digest).collect();
        self.add(layout, &new, bounds)
    }

    fn add(&mut self, layout: &Layout, layers: &[Digest], bounds: Bounds) -> Result<()> {
        for layer in layers {
            self.layers.push(layer.clone());
            match layout.open_blob(layer, &layout.caller()) {
                Ok((file, size)) => self.apply(layout, layer, file, size, bounds)?,
                Err(Error::MissingBlob { .. }) => self.skipped.push(layer.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn apply(&mut self, layout: &Layout, layer: &Digest, file: impl Read, size: u64, bounds: Bounds) -> Result<()> {
        let path = layout.blob_path(layer);
        let Some(algorithm) = layer.algorithm() else {
            self.skipped.push(layer.clone());
            return Ok(());
        };
        let mut hashed = Hashed { reader: file, hasher: Hasher::new(algorithm) };
        let (detected, mut reader) = peek(&mut hashed, looks_like_tar).map_err(Error::io("read", &path))?;
        let encoding = detected.encoding;
        if !detected.is_tar {
            self.skipped.push(layer.clone());
            return Ok(());
        }
        let broken = |error: io::Error| Error::from_stream(&path, encoding, error);
        let bounds_of = |encoding| (encoding != Encoding::Identity).then_some(size);
        let stored = BufReader::with_capacity(BUFFER, &mut reader);
        let mut content = bounded_decoder(encoding, stored, bounds_of(encoding), bounds).map_err(broken)?;
        self.tree.apply(&mut content).map_err(broken)?;
        io::copy(&mut content, &mut io::sink()).map_err(broken)?;
        drop(content);
        io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", &path))?;
        drop(reader);
        expect_digest(layer, hashed.hasher.finish())
    }

    /// Returns the digests of the layers, the lowest first.
    pub fn layers(&self) -> &[Digest] {
        &self.layers
    }

    /// Returns the layers that were skipped: they are stored elsewhere, or are not tars.
    pub fn skipped(&self) -> &[Digest] {
        &self.skipped
    }

    /// Returns all entries but the root, depth first, sorted by name.
    pub fn entries(&self) -> Vec<TreeEntry> {
        self.tree.entries()
    }
}

/// Hashes the bytes that are read.
struct Hashed<R> {
    reader: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
