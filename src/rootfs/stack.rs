//! The layers that a new layer is put on.

use std::fmt;
use std::io::{self, BufReader, Read};

use super::merge::{MergedTree, TreeEntry};
use crate::compress::{BUFFER, Bounds, Encoding, bound_of, bounded_decoder, peek, trailing_of};
use crate::error::{BaseError, Error, Result};
use crate::graph::verify::expect_digest;
use crate::layout::handle::Layout;
use crate::oci::{Digest, Hasher};
use crate::tar::fault::TarError;
use crate::tar::header_fields::looks_like_tar;

/// The merged files of layers, without their content.
#[derive(Default)]
pub struct Stack {
    pub(crate) tree: MergedTree,
    layers: Vec<Digest>,
    /// Those that the tree has, in their order.
    merged: Vec<Digest>,
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
    /// [`Error::DigestMismatch`], [`BaseError::CorruptLayer`], [`BaseError::LayerBound`], [`BaseError::MalformedTar`] for a
    /// damaged layer; [`BaseError::DiffId`] for one that the config does not fit;
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
        layers.iter().try_for_each(|layer| stack.add(layout, layer, None, bounds))?;
        stack.read_accounts(layout, bounds)?;
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
        let known = self.layers.len();
        let mut new = layers.iter().skip(known);
        new.try_for_each(|layer| self.add(layout, &layer.digest, layer.diff_id.as_ref(), bounds))?;
        self.read_accounts(layout, bounds)
    }

    /// Reads the files of users and groups to which `/etc/passwd` and `/etc/group` are links: which files these are is
    /// known only now, so their layers are read again.
    fn read_accounts(&mut self, layout: &Layout, bounds: Bounds) -> Result<()> {
        for unread in self.tree.unread_accounts() {
            let layer = self.merged[unread.layer as usize].clone();
            let path = layout.blob_path(&layer);
            let (file, size) = layout.open_blob(&layer, &layout.caller())?;
            let (detected, reader) = peek(file, looks_like_tar).map_err(Error::io("read", &path))?;
            let encoding = detected.encoding;
            let broken = |error: io::Error| Error::from_stream(&path, encoding, error);
            let size = (encoding != Encoding::Identity).then_some(size);
            let stored = BufReader::with_capacity(BUFFER, reader);
            let content = bounded_decoder(encoding, stored, size, bounds).map_err(broken)?;
            self.tree.read_accounts(&unread, content).map_err(broken)?;
        }
        Ok(())
    }

    fn add(&mut self, layout: &Layout, layer: &Digest, diff_id: Option<&Digest>, bounds: Bounds) -> Result<()> {
        self.layers.push(layer.clone());
        match layout.open_blob(layer, &layout.caller()) {
            Ok((file, size)) => self.apply(layout, (layer, diff_id), (file, size), bounds),
            Err(Error::MissingBlob { .. }) => {
                self.skipped.push(layer.clone());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn apply(
        &mut self,
        layout: &Layout,
        (layer, diff_id): (&Digest, Option<&Digest>),
        (file, size): (impl Read, u64),
        bounds: Bounds,
    ) -> Result<()> {
        let path = layout.blob_path(layer);
        let Some(algorithm) = layer.algorithm() else {
            self.skipped.push(layer.clone());
            return Ok(());
        };
        let mut hashed = Hashed { reader: file, hasher: Some(Hasher::new(algorithm)) };
        let (detected, mut reader) = peek(&mut hashed, looks_like_tar).map_err(Error::io("read", &path))?;
        let encoding = detected.encoding;
        if !detected.is_tar {
            self.skipped.push(layer.clone());
            return Ok(());
        }
        let broken = |error: io::Error| broken_layer(layer, encoding, &error);
        let bounds_of = |encoding| (encoding != Encoding::Identity).then_some(size);
        let stored = BufReader::with_capacity(BUFFER, &mut reader);
        let content = bounded_decoder(encoding, stored, bounds_of(encoding), bounds).map_err(broken)?;
        // That of an uncompressed layer is the digest of its blob.
        let diff_id = diff_id.and_then(|diff_id| Some((diff_id, diff_id.algorithm()?)));
        let diff_id = diff_id.filter(|(diff_id, _)| encoding != Encoding::Identity || *diff_id != layer);
        let mut content = Hashed { reader: content, hasher: diff_id.map(|(_, algorithm)| Hasher::new(algorithm)) };
        self.tree.apply(&mut content).map_err(broken)?;
        self.merged.push(layer.clone());
        io::copy(&mut content, &mut io::sink()).map_err(broken)?;
        let actual = content.hasher.take().map(Hasher::finish);
        drop(content);
        io::copy(&mut reader, &mut io::sink()).map_err(Error::io("read", &path))?;
        drop(reader);
        expect_digest(layer, hashed.hasher.take().expect("it is there").finish())?;
        match (diff_id, actual) {
            (Some((expected, _)), Some(actual)) if *expected != actual => {
                Err(BaseError::DiffId { layer: layer.clone(), expected: expected.clone(), actual }.into())
            }
            _ => Ok(()),
        }
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

/// Returns the error of a layer that cannot be read to its end. It names the layer: the layout may be a temporary one.
fn broken_layer(layer: &Digest, encoding: Encoding, error: &io::Error) -> Error {
    let layer = layer.clone();
    let error = match (TarError::of(error), bound_of(error), trailing_of(error)) {
        (Some(fault), _, _) => BaseError::MalformedTar { layer, reason: fault.to_string() },
        (_, Some(bound), _) => BaseError::LayerBound { layer, bound },
        (_, _, Some(trailing)) => BaseError::CorruptLayer { layer, reason: format!("is damaged: {trailing}") },
        (None, None, None) => {
            let reason = format!("is not a sound {} stream: {error}", encoding.name());
            BaseError::CorruptLayer { layer, reason }
        }
    };
    error.into()
}

/// Hashes the bytes that are read, if there is a hasher.
struct Hashed<R> {
    reader: R,
    hasher: Option<Hasher>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.iter_mut().for_each(|hasher| hasher.update(&buffer[..read]));
        Ok(read)
    }
}
