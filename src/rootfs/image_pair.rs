//! Comparing two images: configs by field, layers by diff_id, files by the merged tree (images, rule I3).

use std::collections::HashSet;
use std::fmt;
use std::thread;

use super::compare::{Comparison, FileChange, Hashes};
use super::content_digests::{ContentDigests, Hashed};
use super::ignored::Ignored;
use super::image_files::{ImageFiles, sole_image};
use crate::compress::Bounds;
use crate::error::{Error, Reason, Result};
use crate::metrics::Progress;
use crate::oci::field_change::{FieldChange, ListOrder, field_changes};
use crate::oci::{Annotations, Descriptor, Digest, Json, from_json};
use crate::view::images::ArchiveImage;
use crate::view::index_view::View;
use crate::workers::crew::worker;

/// The annotation and the label that name the time of creation (image-spec, annotations.md).
const CREATED: &str = "org.opencontainers.image.created";

/// Two images that are compared.
pub struct ImagePair {
    before: Side,
    after: Side,
}

/// One of two images.
struct Side {
    config: Json,
    annotations: Annotations,
    files: ImageFiles,
}

/// In what two images differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ImageDifference {
    /// The fields of the configs that differ, but for the diff_ids.
    pub config: Vec<FieldChange>,
    /// The annotations of the manifests that differ.
    pub annotations: Vec<FieldChange>,
    /// The layers that differ, from the lowest on.
    pub layers: Vec<LayerChange>,
    /// The paths at which the merged trees differ, depth first, sorted by name.
    pub files: Vec<FileChange>,
}

/// A layer that differs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LayerChange {
    /// The layer of the first image, if it has one in this place.
    pub before: Option<ComparedLayer>,
    /// The layer of the second image, if it has one in this place.
    pub after: Option<ComparedLayer>,
}

/// A layer of one of two images.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ComparedLayer {
    /// The position, from the lowest on.
    pub number: usize,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The descriptor in the manifest.
    pub descriptor: Descriptor,
}

impl fmt::Debug for ImagePair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = [&self.before.files, &self.after.files];
        formatter.debug_struct("ImagePair").field("files", &files).finish_non_exhaustive()
    }
}

impl ImageDifference {
    /// Returns whether the images are equal.
    pub fn is_empty(&self) -> bool {
        self.config.is_empty() && self.annotations.is_empty() && self.layers.is_empty() && self.files.is_empty()
    }
}

impl Side {
    fn of(view: &View, bounds: Bounds) -> Result<Self> {
        let image: ArchiveImage = sole_image(view)?;
        let malformed = |error| Error::MalformedDocument {
            digest: image.config_digest.clone(),
            kind: "image config",
            reason: Reason::from(error),
        };
        let config = from_json(&image.config).map_err(malformed)?;
        let annotations = image.annotations.clone();
        Ok(Self { config, annotations, files: ImageFiles::of_image(view, image, bounds)? })
    }

    fn annotations(&self) -> Json {
        Json::new(&self.annotations).expect("keys are text")
    }

    fn diff_ids(&self) -> Vec<&Digest> {
        (0..self.files.layer_count()).map(|number| self.files.layer(number).1).collect()
    }

    fn layer(&self, number: usize) -> ComparedLayer {
        let (descriptor, diff_id) = self.files.layer(number);
        ComparedLayer { number, diff_id: diff_id.clone(), descriptor: descriptor.clone() }
    }
}

impl ImagePair {
    /// Takes the one image of each of two views.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::of`].
    pub fn of(before: &View, after: &View, bounds: Bounds) -> Result<Self> {
        Ok(Self { before: Side::of(before, bounds)?, after: Side::of(after, bounds)? })
    }

    /// Returns the size of the layers that are read, as they are stored: of none if all diff_ids agree.
    pub fn size(&self) -> u64 {
        if self.has_same_layers() { 0 } else { self.before.files.size().saturating_add(self.after.files.size()) }
    }

    fn has_same_layers(&self) -> bool {
        self.before.diff_ids() == self.after.diff_ids()
    }

    /// Compares the images. Layers are read only if their diff_ids differ; then all are, and `progress` is called with the
    /// bytes.
    ///
    /// If attributes of files are ignored, or the order of entries, then layers with different diff_ids are equal if
    /// their entries differ in nothing else.
    ///
    /// # Errors
    ///
    /// [`FilesError::Sparse`](crate::FilesError::Sparse) for a sparse file that must be compared; those of [`ImageFiles::entries`].
    pub fn compare(mut self, ignored: &Ignored, progress: Progress<'_>) -> Result<ImageDifference> {
        let order = if ignored.order { ListOrder::Ignored } else { ListOrder::Counts };
        let mut config = field_changes(&self.before.config, &self.after.config, order);
        config.retain(|change| !is_ignored(&change.path, ignored));
        let [before, after] = [&self.before, &self.after].map(Side::annotations);
        let mut annotations = field_changes(&before, &after, ListOrder::Counts);
        annotations.retain(|change| !(ignored.created && change.path == [CREATED]));
        let mut layers = self.layer_changes(ignored);
        let files =
            if self.has_same_layers() { Vec::new() } else { self.compare_files(ignored, &mut layers, progress)? };
        Ok(ImageDifference { config, annotations, layers, files })
    }

    /// Returns the layers that differ by their diff_ids or their blobs.
    fn layer_changes(&self, ignored: &Ignored) -> Vec<LayerChange> {
        let (before, after) = (&self.before, &self.after);
        let pairs = aligned(&before.diff_ids(), &after.diff_ids());
        let change = |(of_before, of_after): (Option<usize>, Option<usize>)| LayerChange {
            before: of_before.map(|number| before.layer(number)),
            after: of_after.map(|number| after.layer(number)),
        };
        pairs.into_iter().map(change).filter(|change| !change.is_nothing(ignored)).collect()
    }

    /// Returns the paths that differ, and drops the changes of layers whose entries are equal.
    fn compare_files(
        &mut self,
        ignored: &Ignored,
        layers: &mut Vec<LayerChange>,
        progress: Progress<'_>,
    ) -> Result<Vec<FileChange>> {
        let [mut of_before, mut of_after] = self.read(ignored, progress)?;
        if ignored.is_of_layers() {
            let mut comparison = Comparison {
                before: Hashes { files: &self.before.files, digests: &mut of_before },
                after: Hashes { files: &self.after.files, digests: &mut of_after },
                ignored,
            };
            let mut kept = Vec::new();
            for change in layers.drain(..) {
                if let Some((before, after)) = change.different_tars()
                    && let Some(before) = self.before.files.read_layer_tree(before)
                    && let Some(after) = self.after.files.read_layer_tree(after)
                    && !comparison.are_layers_different(before, after)?
                    && (ignored.compression || change.has_same_format())
                {
                    continue;
                }
                kept.push(change);
            }
            *layers = kept;
        }
        let (before, after) = (self.before.files.merged(), self.after.files.merged());
        let mut comparison = Comparison {
            before: Hashes { files: &self.before.files, digests: &mut of_before },
            after: Hashes { files: &self.after.files, digests: &mut of_after },
            ignored,
        };
        comparison.changes(before.root(), after.root())
    }

    /// Reads the layers of both images at the same time.
    fn read(&mut self, ignored: &Ignored, progress: Progress<'_>) -> Result<[ContentDigests; 2]> {
        let of_before: HashSet<Digest> = self.before.diff_ids().into_iter().cloned().collect();
        let of_after: HashSet<Digest> = self.after.diff_ids().into_iter().cloned().collect();
        let shared: HashSet<Digest> = of_before.intersection(&of_after).cloned().collect();
        let hashed = Hashed { shared: &shared, hidden: ignored.is_of_layers() };
        let (before, after) = (&mut self.before.files, &mut self.after.files);
        let (of_before, of_after) = thread::scope(|scope| match worker(scope) {
            Ok(worker) => {
                let other = worker.start(|| after.read_hashed(&hashed, progress));
                (before.read_hashed(&hashed, progress), other.join())
            }
            Err(_) => (before.read_hashed(&hashed, progress), after.read_hashed(&hashed, progress)),
        });
        Ok([of_before?, of_after?])
    }
}

impl LayerChange {
    /// Returns whether two layers differ in nothing that counts.
    fn is_nothing(&self, ignored: &Ignored) -> bool {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return false };
        let is_same_blob = before.descriptor.digest == after.descriptor.digest
            && before.descriptor.size == after.descriptor.size
            && before.descriptor.media_type == after.descriptor.media_type;
        before.diff_id == after.diff_id
            && (is_same_blob || ignored.compression)
            && before.descriptor.annotations == after.descriptor.annotations
    }

    /// Returns the numbers of two layers with different diff_ids.
    fn different_tars(&self) -> Option<(usize, usize)> {
        let (before, after) = (self.before.as_ref()?, self.after.as_ref()?);
        (before.diff_id != after.diff_id).then_some((before.number, after.number))
    }

    /// Returns whether the blobs of two layers have one format, and the same annotations.
    fn has_same_format(&self) -> bool {
        let format =
            |layer: &ComparedLayer| (layer.descriptor.media_type.clone(), layer.descriptor.annotations.clone());
        self.before.as_ref().map(format) == self.after.as_ref().map(format)
    }
}

/// Returns whether a field of a config does not count.
fn is_ignored(path: &[String], ignored: &Ignored) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        // The layers are compared on their own.
        ["rootfs", "diff_ids"] => true,
        ["history", ..] if ignored.history => true,
        ["created"] | ["history", _, "created"] | ["config", "Labels", CREATED] => ignored.created,
        _ => false,
    }
}

/// Pairs the layers of two images: those that are equal at the bottom and at the top, and the others by their position.
fn aligned(before: &[&Digest], after: &[&Digest]) -> Vec<(Option<usize>, Option<usize>)> {
    let bottom = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    let (upper_before, upper_after) = (&before[bottom..], &after[bottom..]);
    let top = upper_before.iter().rev().zip(upper_after.iter().rev()).take_while(|(one, other)| one == other).count();
    let (between_before, between_after) = (upper_before.len() - top, upper_after.len() - top);
    let place = |at: usize, count: usize| (at < count).then_some(bottom + at);
    let between =
        (0..between_before.max(between_after)).map(|at| (place(at, between_before), place(at, between_after)));
    let tops = (1..=top).rev().map(|at| (Some(before.len() - at), Some(after.len() - at)));
    (0..bottom).map(|at| (Some(at), Some(at))).chain(between).chain(tops).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i3_layers_are_paired_from_both_ends() {
        let digest = |name: char| Digest::sha256_of(name.to_string().as_bytes());
        let shown = |place: Option<usize>| place.map_or_else(|| "-".to_owned(), |place| place.to_string());
        let cases = [
            ("", "", ""),
            ("ab", "ab", "0:0 1:1"),
            ("ab", "axb", "0:0 -:1 1:2"),
            ("abc", "axc", "0:0 1:1 2:2"),
            ("abc", "s", "0:0 1:- 2:-"),
            ("ab", "xyab", "-:0 -:1 0:2 1:3"),
            ("aa", "aaa", "0:0 1:1 -:2"),
        ];
        for (before, after, expected) in cases {
            let [before, after] = [before, after].map(|names| names.chars().map(digest).collect::<Vec<_>>());
            let found = aligned(&before.iter().collect::<Vec<_>>(), &after.iter().collect::<Vec<_>>());
            let text: Vec<_> =
                found.into_iter().map(|(one, other)| format!("{}:{}", shown(one), shown(other))).collect();
            assert_eq!(text.join(" "), expected, "{before:?} {after:?}");
        }
    }
}
