//! Images that others are built on: their layers, config and history are staged.

use super::copied::copy_content;
use super::layer::URLS;
use crate::error::{BaseError, Error, Reason, Result};
use crate::graph::finding::Finding;
use crate::layout::blobs::PendingBlob;
use crate::layout::commit::write_stage;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::layout::staging_file::{Stage, StagedBase, StagedLayer};
use crate::oci::{self, Descriptor, Digest, ImageConfig, Platform, UnknownFields};
use crate::view::images::{ImageLayer, Layers, SoleImage};
use crate::view::index_view::View;

/// An image that another one is built on.
#[derive(Clone, Debug)]
pub struct BaseImage {
    base: StagedBase,
    platform: Option<Platform>,
    layers: Vec<(ImageLayer, StagedLayer)>,
}

impl BaseImage {
    /// Takes the one image of a view. `named` is the part of the view that the user named: the digest of its entry, which
    /// may be that of an index, is the base's digest in annotations. `chosen` has the image itself.
    ///
    /// The media types of Docker become those of the image-spec (images, rule E1).
    ///
    /// # Errors
    ///
    /// [`BaseError::NoImage`], [`BaseError::SeveralImages`]; [`BaseError::DiffIds`] if the config does not fit the
    /// layers; [`Error::MalformedDocument`]; those of [`View::images`].
    pub fn new(named: &View, chosen: &View) -> Result<Self> {
        let path = || chosen.path().to_owned();
        let image = match chosen.sole_image(Layers::Expected)? {
            SoleImage::One(image) => *image,
            SoleImage::None => return Err(BaseError::NoImage { path: path() }.into()),
            SoleImage::Several(platforms) => return Err(BaseError::SeveralImages { path: path(), platforms }.into()),
        };
        let malformed = |reason| Error::MalformedDocument {
            digest: image.config_digest.clone(),
            kind: "image config",
            reason: Reason::from(reason),
        };
        let config: UnknownFields = oci::from_json(&image.config).map_err(malformed)?;
        let parsed: ImageConfig = oci::from_json(&image.config).map_err(malformed)?;
        let diff_ids = parsed.rootfs.diff_ids.clone();
        if diff_ids.len() != image.layers.len() {
            let (layers, diff_ids) = (image.layers.len(), diff_ids.len());
            return Err(BaseError::DiffIds { path: path(), layers, diff_ids }.into());
        }
        let entry = named.index().manifests.first();
        let name = entry.and_then(Descriptor::image_name).map(str::to_owned);
        let digest = entry.map_or_else(|| image.manifest_digest.clone(), |entry| entry.digest.clone());
        let layers = image.layers.into_iter().zip(diff_ids).map(|(layer, diff_id)| staged(layer, diff_id)).collect();
        Ok(Self {
            base: StagedBase { digest, name, config, layers: diff_ids_of(&parsed), extra: UnknownFields::new() },
            platform: parsed.platform(),
            layers,
        })
    }

    /// Gives the base the name that it has in annotations, instead of the image name of its entry.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.base.name = Some(name.into());
        self
    }

    /// Returns the digest of the manifest or index that was named.
    pub fn digest(&self) -> &Digest {
        &self.base.digest
    }

    /// Returns the name of the image in a registry, if it is known.
    pub fn name(&self) -> Option<&str> {
        self.base.name.as_deref()
    }

    /// Returns the config of the image.
    pub(crate) fn config(&self) -> &UnknownFields {
        &self.base.config
    }

    /// Returns the layers, with their descriptors as an image that is built on this one has them.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (&ImageLayer, Descriptor, &Digest)> {
        self.layers.iter().map(|(layer, staged)| {
            let mut descriptor = layer.descriptor().clone();
            descriptor.media_type = staged.media_type.clone();
            (layer, descriptor, staged.diff_id.as_ref().expect("a base has all diff_ids"))
        })
    }

    /// Returns the platform of the image.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Stages the layers, the config and the history of this image, for one that is built on it. Config and
    /// manifest are generated from them and from further layers.
    ///
    /// Layers share the blocks of their files with the source, or are linked, or are copied: the first that the file
    /// systems can do. They are verified in each case.
    ///
    /// # Errors
    ///
    /// [`BaseError::Staged`] if something is staged already; [`Error::MissingBlob`], [`Error::DigestMismatch`] for a
    /// layer; [`Error::MalformedStage`]; [`Error::Io`]. After an error the layout is unchanged.
    pub fn stage(&self, layout: &Layout) -> Result<AddedBase> {
        let vacant = || -> Result<Stage> {
            let stage = layout.find_stage()?.unwrap_or_else(Stage::empty);
            if stage.is_vacant() { Ok(stage) } else { Err(BaseError::Staged { path: layout.path().to_owned() }.into()) }
        };
        vacant()?;
        let mut warnings = Vec::new();
        let mut pending = Vec::new();
        for (layer, staged) in &self.layers {
            match copy_layer(layout, layer)? {
                Some(blob) => pending.push(blob),
                None => {
                    let text = format!("layer {} of the base is stored elsewhere only", staged.digest);
                    warnings.push(Finding::new(text, staged.digest.to_string()));
                }
            }
        }
        let lock = take_lock(layout)?;
        let mut stage = vacant()?;
        let blobs = pending.into_iter().map(|blob| blob.commit(&lock)).collect::<Result<Vec<_>>>()?;
        stage.layers = self.layers.iter().map(|(_, staged)| staged.clone()).collect();
        stage.base = Some(self.base.clone());
        write_stage(layout, &lock, &stage, blobs)?;
        Ok(AddedBase { stage, warnings })
    }
}

fn diff_ids_of(config: &ImageConfig) -> u64 {
    config.rootfs.diff_ids.len() as u64
}

/// Returns a layer with its entry for the staging file.
fn staged(layer: ImageLayer, diff_id: Digest) -> (ImageLayer, StagedLayer) {
    let descriptor = layer.descriptor();
    let mut extra = UnknownFields::new();
    if let Some(urls) = &descriptor.urls {
        extra.insert(URLS, urls).expect("texts can be written");
    }
    let staged = StagedLayer {
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        media_type: descriptor.media_type.to_oci(),
        annotations: descriptor.annotations.clone().unwrap_or_default(),
        diff_id: Some(diff_id),
        extra,
    };
    (layer, staged)
}

/// A base that is staged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AddedBase {
    /// The staging file, which has the layers of the base.
    pub stage: Stage,
    /// Warnings, such as layers that are stored elsewhere only.
    pub warnings: Vec<Finding>,
}

/// Copies a layer, verified; `None` if it is stored elsewhere only.
fn copy_layer(layout: &Layout, layer: &ImageLayer) -> Result<Option<PendingBlob>> {
    let Some(content) = layer.content()? else { return Ok(None) };
    let Descriptor { digest, size, .. } = layer.descriptor();
    copy_content(layout, (digest, *size), &content).map(Some)
}
