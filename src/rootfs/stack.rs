//! The layers that a new layer is put on.

use std::fmt;
use std::io::{self, BufReader, Read};

use super::layer_tree::LayerTree;
use super::merge::{MergedTree, TreeEntry};
use super::read_layer::{LayerBlob, read_layer};
use crate::compress::{BUFFER, Bounds, Encoding, bounded_decoder, peek};
use crate::error::{Error, Result};
use crate::layout::handle::Layout;
use crate::oci::Digest;
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
    /// [`Error::DigestMismatch`], [`Corrupt`](crate::LayerError::Corrupt),
    /// [`Bound`](crate::LayerError::Bound), [`MalformedTar`](crate::LayerError::MalformedTar) for a
    /// damaged layer; [`DiffId`](crate::LayerError::DiffId) for one that the config does not fit;
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
        (file, size): (impl Read + Send, u64),
        bounds: Bounds,
    ) -> Result<()> {
        let path = layout.blob_path(layer);
        let tree = match layer.algorithm() {
            Some(_) => {
                let blob = LayerBlob { digest: layer, diff_id, size, path: &path, reader: file };
                let (number, inodes) = self.tree.next();
                read_layer(blob, bounds, |content| Ok(LayerTree::read(content, number, inodes)?))?
            }
            None => None,
        };
        match tree {
            Some(tree) => {
                self.tree.apply_tree(tree);
                self.merged.push(layer.clone());
            }
            None => self.skipped.push(layer.clone()),
        }
        Ok(())
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
