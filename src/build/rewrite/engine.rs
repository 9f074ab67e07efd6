//! The engine: reads the images that are rewritten, lets a verb make their layers, and puts these in their places.

use super::base::base_annotation;
use super::maker::Maker;
use super::options::RewriteOptions;
use crate::build::copied::{Copied, Replaced};
use crate::build::edit::{Edited, ImageDocuments, LayerAfter, edit_with, manifests_to_edit, or_changed};
use crate::error::{EditError, Error, Reason, Result};
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::oci::{self, Descriptor, Digest, Index, Platform, UnknownFields};
use crate::rootfs::ImageFiles;
use crate::view::index_view::View;

/// How often layers are made again, because other processes change the image meanwhile.
const TRIES: usize = 3;

/// The result of rewriting an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rewritten {
    /// The image after the change.
    pub edited: Edited,
    /// The layers that were left as they are, because they are stored elsewhere.
    pub stored_elsewhere: Vec<Digest>,
}

/// An image that is rewritten.
pub(super) struct Original {
    /// The image, for errors.
    pub(super) name: String,
    pub(super) documents: ImageDocuments,
    pub(super) files: ImageFiles,
}

impl Original {
    /// Returns the digests of the layers, the lowest first.
    pub(super) fn layers(&self) -> Vec<Digest> {
        self.documents.layer_digests().cloned().collect()
    }
}

/// The parts of an image that its new layers depend on.
#[derive(PartialEq, Eq)]
struct Key {
    layers: Vec<Digest>,
    base: Option<String>,
    platform: Option<Platform>,
}

impl Key {
    fn of(image: &ImageDocuments) -> Self {
        let layers = image.layer_digests().cloned().collect();
        Self { layers, base: base_annotation(image), platform: image.platform() }
    }
}

/// The layers of an image that a verb made, and the image that they were made for.
struct Prepared<P> {
    image: Key,
    after: Vec<LayerAfter>,
    plan: P,
}

/// A verb: how the layers of an image change, and its documents with them.
pub(super) trait Verb {
    /// The plan for one image.
    type Plan;

    /// Makes the layers of an image.
    fn layers(&mut self, image: &mut Original, maker: &mut Maker<'_>) -> Result<(Vec<LayerAfter>, Self::Plan)>;

    /// Is called when all images are read and before any document changes.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// Changes the documents of an image, which have the layers already.
    fn documents(&self, _image: &mut ImageDocuments, _plan: &Self::Plan) -> Result<()> {
        Ok(())
    }
}

/// Rewrites the image that a reference resolves to: of an index all images, or those of the platforms asked for.
///
/// # Errors
///
/// Those of [`edit_image`](crate::build::edit::edit_image), of reading layers, and of the verb. [`Error::Changed`] if other
/// processes change the image again and again. After an error the layout is unchanged.
pub(super) fn rewrite<V: Verb>(
    layout: &Layout,
    reference: &str,
    options: &RewriteOptions,
    progress: Progress<'_>,
    verb: impl Fn() -> V,
) -> Result<(Edited, V)> {
    let mut tries = 1;
    loop {
        match try_rewrite(layout, reference, options, progress, verb()) {
            Err(Error::Changed { .. }) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

fn try_rewrite<V: Verb>(
    layout: &Layout,
    reference: &str,
    options: &RewriteOptions,
    progress: Progress<'_>,
    mut verb: V,
) -> Result<(Edited, V)> {
    let mut maker = Maker::new(layout, options, progress);
    let mut prepared = Vec::new();
    for mut image in originals(layout, reference, options)? {
        let (after, plan) = verb.layers(&mut image, &mut maker)?;
        prepared.push(Prepared { image: Key::of(&image.documents), after, plan });
    }
    verb.check()?;
    let mut copied: Copied<'_> = maker.into_copied();
    let change = |image: &mut ImageDocuments, _: &str| {
        // An artifact in an index has no layers of files.
        if image.config.is_none() {
            return Ok(());
        }
        let key = Key::of(image);
        let changed = || Error::Changed { path: layout.path().to_owned() };
        let found = prepared.iter().find(|prepared| prepared.image == key);
        let Prepared { after, plan, .. } = found.ok_or_else(changed)?;
        image.replace_layers(after)?;
        verb.documents(image, plan)
    };
    let edited = edit_with(layout, reference, &change, &options.edit, |lock| copied.commit(lock, Replaced::Error))?;
    Ok((edited, verb))
}

/// Returns the images that are rewritten: of those that give the same layers the first.
fn originals(layout: &Layout, reference: &str, options: &RewriteOptions) -> Result<Vec<Original>> {
    let view = View::of(layout.clone())?;
    let entries = manifests_to_edit(layout, view.index(), reference, &options.edit)?;
    let is_alone = entries.len() == 1;
    let mut originals: Vec<Original> = Vec::new();
    for entry in entries {
        let original = original(&view, entry, (reference, is_alone), options);
        let original = original.map_err(|error| or_changed(layout, view.index(), error))?;
        let Some(original) = original else { continue };
        let key = Key::of(&original.documents);
        if originals.iter().all(|known| Key::of(&known.documents) != key) {
            originals.push(original);
        }
    }
    if originals.is_empty() {
        return Err(EditError::Artifact { image: reference.to_owned() }.into());
    }
    Ok(originals)
}

fn original(
    view: &View,
    entry: Descriptor,
    (reference, is_alone): (&str, bool),
    options: &RewriteOptions,
) -> Result<Option<Original>> {
    let view = view.with_index(Index { manifests: vec![entry], ..Index::empty() });
    let Some(image) = view.images()?.pop() else { return Ok(None) };
    let name = match &image.platform {
        Some(platform) if !is_alone => format!("{reference} ({platform})"),
        _ => reference.to_owned(),
    };
    let malformed = |digest: &Digest, kind| {
        let digest = digest.clone();
        move |error| Error::MalformedDocument { digest, kind, reason: Reason::from(error) }
    };
    let manifest = oci::from_json(&image.manifest).map_err(malformed(&image.manifest_digest, "manifest"))?;
    let config: UnknownFields =
        oci::from_json(&image.config).map_err(malformed(&image.config_digest, "image config"))?;
    let documents = ImageDocuments { manifest, config: Some(config) };
    Ok(Some(Original { name, documents, files: ImageFiles::of_image(&view, image, options.bounds)? }))
}
