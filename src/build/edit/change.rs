//! A change of one image: its manifest and its config.

use super::history::{move_entry, place_of};
use crate::build::config::changes::ConfigChanges;
use crate::build::config::fault::Fault;
use crate::build::config::history::{self, Steps};
use crate::build::layer::CREATED_BY;
use crate::error::{EditError, Error, Reason, Result};
use crate::layout::staging_file::StagedLayer;
use crate::oci::{
    self, AnnotationChange, Annotations, Descriptor, Digest, ImageConfig, Json, Manifest, Platform, RootFs,
    UnknownFields,
};

/// A change of an image. Layers are counted from 0, the lowest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ImageChange {
    /// Changes fields of the config. It is an error for artifacts.
    Config(Box<ConfigChanges>),
    /// Changes the annotations of the manifest.
    Manifest(AnnotationChange),
    /// Changes the annotations of a layer's descriptor.
    Layer {
        /// The layer.
        index: usize,
        /// The change.
        annotations: AnnotationChange,
    },
    /// Removes a layer, with its diff_id and its entry in the history.
    RemoveLayer(usize),
    /// Moves a layer, with its diff_id and its entry in the history.
    MoveLayer {
        /// The layer.
        from: usize,
        /// Its place afterwards.
        to: usize,
    },
}

/// The documents of an image that is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageDocuments {
    pub(crate) manifest: Manifest,
    /// The config; `None` for an artifact.
    pub(crate) config: Option<UnknownFields>,
}

impl ImageDocuments {
    /// Makes a change. `name` names the image in errors.
    ///
    /// Entries that are added to the history get the time `created`.
    pub(super) fn change(&mut self, change: &ImageChange, name: &str, created: &str) -> Result<()> {
        match change {
            ImageChange::Config(changes) => {
                changes.check()?;
                let config = self.config.as_mut().ok_or_else(|| EditError::Artifact { image: name.to_owned() })?;
                let count = self.manifest.layers.len();
                let created = changes.created.clone().unwrap_or_else(|| created.to_owned());
                let steps = Steps { base: count, own: Vec::new(), created: Some(created) };
                changes.apply(config, &steps).map_err(|fault| fault.into_error(malformed(&self.manifest.config.digest)))
            }
            ImageChange::Manifest(annotations) => {
                annotate(&mut self.manifest.annotations, annotations);
                Ok(())
            }
            ImageChange::Layer { index, annotations } => {
                self.check_index(*index, name)?;
                annotate(&mut self.manifest.layers[*index].annotations, annotations);
                Ok(())
            }
            ImageChange::RemoveLayer(index) => {
                self.check_index(*index, name)?;
                let count = self.manifest.layers.len();
                let removed = self.manifest.layers.remove(*index);
                if self.config.is_none() && self.manifest.layers.is_empty() {
                    // An artifact without layers has the empty one (images, rule G1).
                    let empty = if is_placeholder(&removed) { removed } else { Descriptor::empty() };
                    self.manifest.layers.push(empty);
                }
                self.change_config(count, |diff_ids, history| {
                    diff_ids.remove(*index);
                    if let Some(at) = place_of(history, *index) {
                        history.remove(at);
                    }
                })
            }
            ImageChange::MoveLayer { from, to } => {
                self.check_index(*from, name)?;
                self.check_index(*to, name)?;
                let layer = self.manifest.layers.remove(*from);
                self.manifest.layers.insert(*to, layer);
                self.change_config(self.manifest.layers.len(), |diff_ids, history| {
                    let diff_id = diff_ids.remove(*from);
                    diff_ids.insert(*to, diff_id);
                    move_entry(history, *from, *to);
                })
            }
        }
    }

    fn check_index(&self, index: usize, name: &str) -> Result<()> {
        let count = self.manifest.layers.len();
        if index < count {
            return Ok(());
        }
        Err(EditError::LayerIndex { index, count, image: name.to_owned() }.into())
    }

    /// Adds a layer on top, with its diff_id and an entry in the history if the image has one. Returns whether it has
    /// layers and no history, and so gets none.
    pub(super) fn add_layer(&mut self, layer: &StagedLayer, created: &str) -> Result<bool> {
        let mut descriptor = Descriptor::new(layer.media_type.clone(), layer.digest.clone(), layer.size);
        descriptor.annotations = (!layer.annotations.is_empty()).then(|| layer.annotations.clone());
        if self.config.is_none() && self.has_placeholder() {
            self.manifest.layers.clear();
        }
        let below = self.manifest.layers.len();
        self.manifest.layers.push(descriptor);
        let malformed = malformed(&self.manifest.config.digest);
        let Some(config) = &mut self.config else { return Ok(false) };
        let step = layer.extra.get::<String>(CREATED_BY).ok().flatten();
        let add = |config: &mut UnknownFields| -> Result<bool, Fault> {
            let rootfs = config.get::<RootFs>("rootfs")?;
            let mut rootfs = rootfs.ok_or_else(|| Reason::new("it has no rootfs"))?;
            rootfs.diff_ids.extend(layer.diff_id.clone());
            config.insert("rootfs", &rootfs)?;
            let history = config.get::<Option<Vec<Json>>>("history")?.flatten().unwrap_or_default();
            if !history.is_empty() || below == 0 && step.is_some() {
                let step = step.clone().unwrap_or_else(|| history::USUAL_STEP.to_owned());
                history::add_history(
                    config,
                    &Steps { base: below, own: vec![step], created: Some(created.to_owned()) },
                )?;
            }
            Ok(history.is_empty() && below > 0)
        };
        add(config).map_err(|fault| fault.into_error(malformed))
    }

    /// Returns whether the only layer is the empty one of an artifact without layers (images, rule G1).
    pub(super) fn has_placeholder(&self) -> bool {
        matches!(self.manifest.layers.as_slice(), [layer] if is_placeholder(layer))
    }

    /// Changes the config, if the image has one.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedDocument`] and those of the change.
    pub(crate) fn change_fields(&mut self, change: impl FnOnce(&mut UnknownFields) -> Result<(), Fault>) -> Result<()> {
        let malformed = malformed(&self.manifest.config.digest);
        let Some(config) = &mut self.config else { return Ok(()) };
        change(config).map_err(|fault| fault.into_error(malformed))
    }

    /// Returns the platform of the config, if it says one.
    pub(crate) fn platform(&self) -> Option<Platform> {
        oci::from_json::<ImageConfig>(&oci::to_blob(self.config.as_ref()?)).ok()?.platform()
    }

    /// Returns the diff_ids of the config.
    pub(crate) fn diff_ids(&self) -> Vec<Digest> {
        let rootfs = self.config.as_ref().and_then(|config| config.get::<RootFs>("rootfs").ok().flatten());
        rootfs.map_or_else(Vec::new, |rootfs| rootfs.diff_ids)
    }

    /// Changes the diff_ids and the history of the config.
    ///
    /// `layers` is the number of layers before the change: which diff_id belongs to a layer is known only where there are
    /// as many.
    pub(crate) fn change_config(
        &mut self,
        layers: usize,
        change: impl FnOnce(&mut Vec<Digest>, &mut Vec<UnknownFields>),
    ) -> Result<()> {
        self.change_fields(|config| {
            let rootfs = config.get::<RootFs>("rootfs")?;
            let mut rootfs = rootfs.ok_or_else(|| Reason::new("it has no rootfs"))?;
            if rootfs.diff_ids.len() != layers {
                return Err(Reason::new("its diff_ids do not fit the layers").into());
            }
            let history = config.get::<Option<Vec<UnknownFields>>>("history")?.flatten();
            let mut entries = history.clone().unwrap_or_default();
            change(&mut rootfs.diff_ids, &mut entries);
            config.insert("rootfs", &rootfs)?;
            if history.is_some() {
                config.insert("history", &entries)?;
            }
            Ok(())
        })
    }
}

/// Changes annotations: an empty list of them is none.
pub(super) fn annotate(annotations: &mut Option<Annotations>, change: &AnnotationChange) {
    let changed = change.apply(&annotations.take().unwrap_or_default());
    *annotations = (!changed.is_empty()).then_some(changed);
}

fn is_placeholder(layer: &Descriptor) -> bool {
    layer.media_type.is_empty() && layer.digest == Descriptor::empty().digest && layer.annotations.is_none()
}

fn malformed(digest: &Digest) -> impl Fn(Reason) -> Error + use<> {
    let digest = digest.clone();
    move |reason| Error::MalformedDocument { digest: digest.clone(), kind: "image config", reason }
}
