//! The files of an image, read from its layers as they are needed: the upper ones first.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::Range;

use super::cover::Cover;
use super::layer_tree::{LayerFile, LayerTree, ReadEntry};
use super::layered::{Layered, Seen};
use super::merge::{MergedTree, TreeEntry, entry_of};
use super::node::{Node, Path, split};
use super::read_layer::{Failure, LayerBlob, read_layer};
use crate::compress::{BUFFER, Bounds, Encoding, bounded_decoder, peek};
use crate::error::{Error, FilesError, LayerError, Reason, Result};
use crate::metrics::Progress;
use crate::oci::{self, Descriptor, Digest, ImageConfig};
use crate::tar::header_fields::looks_like_tar;
use crate::tar::read_header::Header;
use crate::tar::reader::TarReader;
use crate::text::shown;
use crate::view::content::{Content, ContentReader};
use crate::view::images::{ArchiveImage, ImageLayer, Layers, SoleImage};
use crate::view::index_view::View;

/// More bytes than tell how a blob is compressed.
const HEAD: u64 = 16;

/// The files of an image. Layers are read when they are needed, the upper ones first, and each is verified before an entry
/// of it is used. Nothing is kept on disk.
pub struct ImageFiles {
    /// The view, for errors.
    path: std::path::PathBuf,
    manifest: Digest,
    layers: Vec<(ImageLayer, Digest)>,
    layered: Layered,
    inodes: u64,
    bounds: Bounds,
    through_links: bool,
}

impl fmt::Debug for ImageFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ImageFiles").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

/// An entry that was found by its path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FoundEntry {
    /// The entry, with its path without links.
    pub entry: TreeEntry,
    /// The links that were followed: their paths and targets.
    pub links: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ImageFiles {
    /// Takes the one image of a view.
    ///
    /// # Errors
    ///
    /// [`FilesError::NoImage`], [`FilesError::SeveralImages`]; [`FilesError::DiffIds`] if the config does not fit the
    /// layers; [`Error::MalformedDocument`]; those of [`View::images`].
    pub fn of(view: &View, bounds: Bounds) -> Result<Self> {
        Self::of_image(view, sole_image(view)?, bounds)
    }

    /// Takes an image of a view.
    ///
    /// # Errors
    ///
    /// [`FilesError::DiffIds`] if the config does not fit the layers; [`Error::MalformedDocument`].
    pub fn of_image(view: &View, image: ArchiveImage, bounds: Bounds) -> Result<Self> {
        let config: ImageConfig = oci::from_json(&image.config).map_err(|error| Error::MalformedDocument {
            digest: image.config_digest.clone(),
            kind: "image config",
            reason: Reason::from(error),
        })?;
        let diff_ids = config.rootfs.diff_ids;
        let path = view.path().to_owned();
        if diff_ids.len() != image.layers.len() {
            let (layers, diff_ids) = (image.layers.len(), diff_ids.len());
            return Err(FilesError::DiffIds { path, layers, diff_ids }.into());
        }
        let layered = Layered::new(image.layers.len());
        let manifest = image.manifest_digest;
        let layers = image.layers.into_iter().zip(diff_ids).collect();
        Ok(Self { path, manifest, layers, layered, inodes: 0, bounds, through_links: false })
    }

    /// Returns the path of the view.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Returns the digest of the manifest.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// Takes entries below a link of a lower layer for entries below its target, instead of hiding the link (images, rule E5).
    #[must_use]
    pub fn through_links(mut self, through_links: bool) -> Self {
        self.through_links = through_links;
        self
    }

    /// Returns the size of all layers as they are stored.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|(layer, _)| layer.descriptor().size).fold(0, u64::saturating_add)
    }

    /// Returns the number of layers.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Returns the descriptor and the diff_id of a layer.
    pub(crate) fn layer(&self, number: usize) -> (&Descriptor, &Digest) {
        let (layer, diff_id) = &self.layers[number];
        (layer.descriptor(), diff_id)
    }

    /// Returns how the blob of a layer is compressed, by its first bytes; `None` if it is stored elsewhere only.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], if it must be stored; [`Error::Io`].
    pub(crate) fn stored_encoding(&self, number: usize) -> Result<Option<Encoding>> {
        let Some(content) = self.layers[number].0.content()? else { return Ok(None) };
        let mut head = Vec::new();
        content.reader().take(HEAD).read_to_end(&mut head).map_err(Error::io("read", &self.path))?;
        Ok(Some(Encoding::of(&head)))
    }

    /// Returns the digests of the layers, the lowest first.
    pub fn layers(&self) -> impl Iterator<Item = &Digest> {
        self.layers.iter().map(|(layer, _)| &layer.descriptor().digest)
    }

    /// Returns all entries but the root, depth first, sorted by name. All layers are read.
    ///
    /// # Errors
    ///
    /// Those of reading a layer: [`LayerError`], [`Error::MissingBlob`], [`Error::DigestMismatch`]; [`Error::Io`].
    pub fn entries(&mut self) -> Result<Vec<TreeEntry>> {
        Ok(self.tree()?.entries())
    }

    /// Returns the entry at a path. Links to its directory are followed inside the image, and the entry itself if
    /// `follow` or if the path ends with a slash; `..` stays inside. Only the layers that are needed are read.
    ///
    /// # Errors
    ///
    /// [`FilesError::NoPath`], [`FilesError::BrokenLink`], [`FilesError::TooManyLinks`], [`FilesError::NotADirectory`]; those of
    /// [`ImageFiles::entries`].
    pub fn find(&mut self, path: &[u8], follow: bool) -> Result<FoundEntry> {
        self.find_in(0..self.layers.len(), path, follow)
    }

    /// Returns the entry that a layer has at a path, as [`ImageFiles::find`] does in all layers.
    ///
    /// # Errors
    ///
    /// [`FilesError::NoLayer`]; those of [`ImageFiles::find`].
    pub fn find_in_layer(&mut self, layer: usize, path: &[u8], follow: bool) -> Result<FoundEntry> {
        self.expect_layer(layer)?;
        self.find_in(layer..layer + 1, path, follow)
    }

    /// Checks that the image has a layer of this number.
    pub(super) fn expect_layer(&self, layer: usize) -> Result<()> {
        let count = self.layers.len();
        if layer < count { Ok(()) } else { Err(FilesError::NoLayer { layer, count }.into()) }
    }

    fn find_in(&mut self, layers: Range<usize>, path: &[u8], follow: bool) -> Result<FoundEntry> {
        let wanted: Path = split(path);
        // Only a directory has a slash at its end.
        let is_directory = path.ends_with(b"/");
        loop {
            let needed = match self.layered.resolve_in(layers.clone(), &wanted, follow || is_directory) {
                (Seen::Entry(_, node), _) if is_directory && node.children().is_none() => {
                    return Err(FilesError::NotADirectory { path: shown_path(path) }.into());
                }
                (Seen::Entry(place, node), links) => {
                    let entry = entry_of(&place.join(&b'/'), node);
                    return Ok(FoundEntry { entry, links });
                }
                (Seen::Nothing(place), links) => return Err(not_found(path, &place.join(&b'/'), links.last())),
                (Seen::TooManyLinks, _) => return Err(FilesError::TooManyLinks { path: shown_path(path) }.into()),
                (Seen::Unread(layer), _) => layer,
            };
            self.read(needed)?;
        }
    }

    /// Returns the node at a path that was found, without links.
    pub(crate) fn node_at(&self, place: &[Box<[u8]>]) -> Option<&Node> {
        match self.layered.resolve_in(0..self.layers.len(), place, false).0 {
            Seen::Entry(_, node) => Some(node),
            Seen::Nothing(_) | Seen::TooManyLinks | Seen::Unread(_) => None,
        }
    }

    /// Checks that an entry is a regular file.
    ///
    /// # Errors
    ///
    /// [`FilesError::NotAFile`], [`FilesError::LostHardLink`].
    pub fn expect_file(entry: &TreeEntry) -> Result<()> {
        let path = || shown_path(&entry.path);
        let found = match entry.flag {
            b'0' => return Ok(()),
            b'1' => {
                let target = shown_path(&entry.target);
                return Err(FilesError::LostHardLink { path: path(), target }.into());
            }
            b'2' => "a symbolic link",
            b'3' => "a character device",
            b'4' => "a block device",
            b'5' => "a directory",
            _ => "a named pipe",
        };
        Err(FilesError::NotAFile { path: path(), found }.into())
    }

    /// Returns the merged tree. All layers are read.
    pub(crate) fn tree(&mut self) -> Result<MergedTree> {
        self.tree_with(Progress::none(), |_, _| Ok(()))
    }

    /// Returns the merged tree, and calls a function with the regular files while all layers are read: with those that no
    /// upper layer hides, as far as that is known by then, and with a few more.
    pub(crate) fn tree_with(
        &mut self,
        progress: Progress<'_>,
        file: impl FnMut(LayerFile<'_>, &mut TarReader<&mut dyn Read>) -> Result<(), Failure>,
    ) -> Result<MergedTree> {
        self.tree_of(0..self.layers.len(), progress, file)
    }

    /// Returns the merged tree of some layers, as [`ImageFiles::tree_with`] does of all.
    pub(super) fn tree_of(
        &mut self,
        layers: Range<usize>,
        progress: Progress<'_>,
        mut file: impl FnMut(LayerFile<'_>, &mut TarReader<&mut dyn Read>) -> Result<(), Failure>,
    ) -> Result<MergedTree> {
        let mut cover = Cover::default();
        for number in layers.clone().rev() {
            self.read_with(
                number,
                progress,
                |found, content| if cover.hides(found.place) { Ok(()) } else { file(found, content) },
            )?;
            if let Some(tree) = self.layered.tree(number).filter(|_| number > layers.start) {
                cover.add(tree);
            }
        }
        Ok(self.merged_into(MergedTree::default(), layers))
    }

    /// Returns the merged tree, which records the entries that layers delete. All layers are read.
    pub(super) fn tree_with_deleted(&mut self) -> Result<MergedTree> {
        (0..self.layers.len()).rev().try_for_each(|layer| self.read(layer))?;
        Ok(self.merged_into(MergedTree::with_deleted(), 0..self.layers.len()))
    }

    /// Applies layers, which were read, to a tree.
    fn merged_into(&mut self, mut tree: MergedTree, layers: Range<usize>) -> MergedTree {
        for mut layer in layers.filter_map(|number| self.layered.take_layer(number)) {
            if self.through_links {
                tree.move_through_links(&mut layer);
            }
            tree.apply_tree(layer);
        }
        tree
    }

    /// Returns the merged tree of the layers, all of which were read.
    pub(super) fn merged(&mut self) -> MergedTree {
        self.merged_into(MergedTree::default(), 0..self.layers.len())
    }

    /// Returns the entries of a layer that was read.
    pub(super) fn read_layer_tree(&self, number: usize) -> Option<&LayerTree> {
        self.layered.tree(number)
    }

    /// Takes the entries of a layer, and no others are read.
    pub(super) fn layer_tree(&mut self, number: usize) -> Result<LayerTree> {
        self.read(number)?;
        Ok(self.layered.take_layer(number).expect("it was read"))
    }

    /// Reads the entries of a layer, unless they are known.
    fn read(&mut self, number: usize) -> Result<()> {
        self.read_with(number, Progress::none(), |_, _| Ok(()))
    }

    /// Calls a function with the regular files of a layer whose entries stand at some offsets.
    ///
    /// The layer was verified when its entries were read.
    ///
    /// # Errors
    ///
    /// Those of reading the layer; that of the function.
    pub(crate) fn read_again<E: From<Error>>(
        &self,
        layer: u32,
        offsets: &HashSet<u64>,
        mut file: impl FnMut(&Header, &mut TarReader<&mut dyn Read>) -> Result<(), E>,
    ) -> Result<(), E> {
        let content = content_of(&self.layers[layer as usize].0)?;
        let failed = |error| Error::io("read", self.path.as_path())(error);
        let (detected, stored) = peek(content.reader(), looks_like_tar).map_err(failed)?;
        let size = (detected.encoding != Encoding::Identity).then_some(content.size());
        let stored = BufReader::with_capacity(BUFFER, stored);
        let mut content = bounded_decoder(detected.encoding, stored, size, self.bounds).map_err(failed)?;
        let mut tar = TarReader::new(&mut content as &mut dyn Read);
        let mut left = offsets.len();
        while left > 0
            && let Some(header) = tar.next().map_err(failed)?
        {
            if offsets.contains(&header.start) {
                left -= 1;
                file(&header, &mut tar)?;
            }
        }
        Ok(())
    }

    /// Reads the entries of a layer, unless they are known, and calls a function with each regular file.
    pub(crate) fn read_with(
        &mut self,
        number: usize,
        progress: Progress<'_>,
        mut file: impl FnMut(LayerFile<'_>, &mut TarReader<&mut dyn Read>) -> Result<(), Failure>,
    ) -> Result<()> {
        if self.layered.has(number) {
            return Ok(());
        }
        let position = position_of(number);
        let mut inodes = self.inodes;
        let read = |content: &mut dyn Read| LayerTree::read_with(content, position, &mut inodes, &mut file);
        let tree = self.read_tar(number, progress, read)?;
        self.inodes = inodes;
        self.layered.put(number, tree);
        Ok(())
    }

    /// Returns the entries of a layer, and calls a function with each while they are read.
    pub(super) fn read_each(
        &mut self,
        number: usize,
        progress: Progress<'_>,
        mut each: impl FnMut(&LayerTree, ReadEntry<'_>) -> Result<(), Failure>,
    ) -> Result<LayerTree> {
        let mut inodes = self.inodes;
        let each = |tree: &LayerTree, entry: ReadEntry<'_>, _: &mut TarReader<&mut dyn Read>| each(tree, entry);
        let read = |content: &mut dyn Read| LayerTree::read_each(content, position_of(number), &mut inodes, each);
        let tree = self.read_tar(number, progress, read)?;
        self.inodes = inodes;
        Ok(tree)
    }

    /// Calls a function with the decompressed content of a layer, which is verified at its end.
    ///
    /// # Errors
    ///
    /// Those of reading a layer: [`LayerError`], [`Error::MissingBlob`], [`Error::DigestMismatch`]; [`Error::Io`]; that of the
    /// function.
    pub(crate) fn read_tar<T>(
        &self,
        number: usize,
        progress: Progress<'_>,
        work: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
    ) -> Result<T> {
        let (layer, diff_id) = &self.layers[number];
        let content = content_of(layer)?;
        let digest = &layer.descriptor().digest;
        let (size, reader) = (content.size(), Counted { reader: content.reader(), progress });
        let blob = LayerBlob { digest, diff_id: Some(diff_id), size, path: &self.path, reader };
        let done = read_layer(blob, self.bounds, work)?;
        Ok(done.ok_or_else(|| LayerError::NotATar { layer: digest.clone() })?)
    }
}

/// Returns the one image of a view.
///
/// # Errors
///
/// [`FilesError::NoImage`], [`FilesError::SeveralImages`]; those of [`View::images`].
pub(crate) fn sole_image(view: &View) -> Result<ArchiveImage> {
    let path = || view.path().to_owned();
    match view.sole_image(Layers::NotLookedUp)? {
        SoleImage::One(image) => Ok(*image),
        SoleImage::None => Err(FilesError::NoImage { path: path() }.into()),
        SoleImage::Several(platforms) => Err(FilesError::SeveralImages { path: path(), platforms }.into()),
    }
}

/// Reads a layer, and calls a function with the number of bytes.
struct Counted<'a> {
    reader: ContentReader,
    progress: Progress<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

/// Returns the number of a layer as nodes have it.
fn position_of(number: usize) -> u32 {
    u32::try_from(number).expect("a manifest has fewer layers")
}

/// Returns the stored content of a layer.
fn content_of(layer: &ImageLayer) -> Result<Content> {
    let elsewhere = || LayerError::StoredElsewhere { layer: layer.descriptor().digest.clone() };
    Ok(layer.content()?.ok_or_else(elsewhere)?)
}

fn not_found(path: &[u8], place: &[u8], link: Option<&(Vec<u8>, Vec<u8>)>) -> Error {
    let (path, place) = (shown_path(path), shown_path(place));
    match link {
        None => FilesError::NoPath { path },
        Some((link, target)) => FilesError::BrokenLink { path, link: shown_path(link), target: shown(target), place },
    }
    .into()
}

/// Returns a path of an image as a message shows it.
pub(crate) fn shown_path(path: &[u8]) -> String {
    format!("/{}", shown(path.strip_prefix(b"/").unwrap_or(path)))
}
