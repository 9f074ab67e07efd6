//! Puts images on another base (images, rule E3).

use std::collections::HashSet;

use super::base::{Base, base_annotation, base_in, base_of};
use super::engine::{Original, Verb, rewrite};
use super::maker::Maker;
use super::options::RewriteOptions;
use super::three_way::rebase_config;
use crate::build::base::BaseImage;
use crate::build::config::fault::Fault;
use crate::build::config::history::{Steps, add_history};
use crate::build::edit::{Edited, ImageDocuments, LayerAfter, has_layer};
use crate::build::manifest::{BASE_DIGEST, BASE_NAME};
use crate::error::words::list;
use crate::error::{EditError, Error, Reason, Result};
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::oci::{self, Digest, Platform, UnknownFields};
use crate::rootfs::{Conflict, ImageFiles};
use crate::view::index_view::View;
use crate::view::select::Selection;

/// The bases of a rebase.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bases {
    /// The new base: one image, or an index that has an image for each platform.
    pub new: View,
    /// The old base; by default the image of the digest in the annotation `org.opencontainers.image.base.digest`.
    pub old: Option<View>,
    /// A view in which the old base is looked for, besides the layout of the image.
    pub source: Option<View>,
}

impl Bases {
    /// Names the new base.
    pub fn new(new: View) -> Self {
        Self { new, old: None, source: None }
    }

    /// Names the old base.
    #[must_use]
    pub fn old(mut self, old: View) -> Self {
        self.old = Some(old);
        self
    }

    /// Looks for the old base in another view, too.
    #[must_use]
    pub fn source(mut self, source: View) -> Self {
        self.source = Some(source);
        self
    }
}

/// An image that was put on another base.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rebased {
    /// The image after the change.
    pub edited: Edited,
    /// Paths at which the layers of the image and the new base do not fit.
    pub conflicts: Vec<Conflict>,
    /// The layers of the new base that are stored elsewhere.
    pub stored_elsewhere: Vec<Digest>,
    /// Whether the image has no history any more, because the new base has layers and none.
    pub lost_history: bool,
}

/// Puts an image on another base: the layers of the old base, which must be its lowest by their diff_ids, are replaced with
/// those of the new one. Fields of the config that are those of the old base follow the base, others stay.
///
/// # Errors
///
/// [`EditError::NoOldBase`], [`EditError::NotOnBase`], [`EditError::OtherHistory`]; [`EditError::OtherPlatform`], and
/// [`Error::UnknownPlatform`] if the new base has no image for the platform; those of [`BaseImage::new`] and of
/// [`edit_image`](crate::build::edit::edit_image); those of reading layers. After an error the layout is unchanged.
pub fn rebase(
    layout: &Layout,
    reference: &str,
    bases: &Bases,
    options: &RewriteOptions,
    progress: Progress<'_>,
) -> Result<Rebased> {
    let verb = || Rebase {
        layout,
        bases,
        bounds: options.bounds,
        conflicts: Vec::new(),
        stored_elsewhere: Vec::new(),
        lost_history: false,
        created: options.edit.time_of_entries().to_owned(),
    };
    let (edited, verb) = rewrite(layout, reference, options, progress, verb)?;
    let Rebase { conflicts, stored_elsewhere, lost_history, .. } = verb;
    Ok(Rebased { edited, conflicts, stored_elsewhere, lost_history })
}

struct Rebase<'a> {
    layout: &'a Layout,
    bases: &'a Bases,
    bounds: crate::compress::Bounds,
    conflicts: Vec<Conflict>,
    stored_elsewhere: Vec<Digest>,
    lost_history: bool,
    created: String,
}

/// The bases of one image.
struct Plan {
    old: Base,
    old_config: UnknownFields,
    new: BaseImage,
}

impl Verb for Rebase<'_> {
    type Plan = Plan;

    fn layers(&mut self, image: &mut Original, maker: &mut Maker<'_>) -> Result<(Vec<LayerAfter>, Plan)> {
        let (old, old_config) = self.old_base(image)?;
        check_history(image, old, &old_config)?;
        let (new, view) = self.new_base(image)?;
        let mut after = Vec::new();
        for (layer, descriptor, diff_id) in new.layers() {
            if !maker.copy(layer)? && !self.stored_elsewhere.contains(&descriptor.digest) {
                self.stored_elsewhere.push(descriptor.digest.clone());
            }
            after.push(LayerAfter::Copied(Box::new(descriptor), diff_id.clone()));
        }
        let is_same_base =
            new.layers().map(|(_, _, diff_id)| diff_id).eq(image.documents.diff_ids().iter().take(old.layers));
        after.extend((old.layers..image.files.layer_count()).map(LayerAfter::Kept));
        let is_readable = self.stored_elsewhere.is_empty();
        if !is_same_base && is_readable {
            let mut of_new = ImageFiles::of(&view, self.bounds)?;
            let mut found = image.files.conflicts(old.layers, &mut of_new, maker.progress)?;
            // Images of several platforms have most of theirs in common.
            let known: HashSet<&Conflict> = self.conflicts.iter().collect();
            found.retain(|conflict| !known.contains(conflict));
            self.conflicts.extend(found);
        }
        let has_history = |config: &UnknownFields| history_of(config).is_ok_and(|history| !history.is_empty());
        let of_image = image.documents.config.as_ref();
        self.lost_history |=
            new.layers().next().is_some() && !has_history(new.config()) && of_image.is_some_and(has_history);
        Ok((after, Plan { old, old_config, new }))
    }

    fn documents(&self, image: &mut ImageDocuments, plan: &Plan) -> Result<()> {
        let Plan { old, old_config, new } = plan;
        image.change_fields(|config| {
            rebase_config(config, old_config, new.config())?;
            let layers = image_layers(config)?;
            change_history(config, (*old, new), layers, &self.created)
        })?;
        let annotations = image.manifest.annotations.get_or_insert_default();
        annotations.insert(BASE_DIGEST.to_owned(), new.digest().to_string());
        match new.name() {
            Some(name) => drop(annotations.insert(BASE_NAME.to_owned(), name.to_owned())),
            None => drop(annotations.remove(BASE_NAME)),
        }
        Ok(())
    }
}

impl Rebase<'_> {
    /// Finds the old base of an image, and its config.
    fn old_base(&self, image: &Original) -> Result<(Base, UnknownFields)> {
        let view = match (&self.bases.old, base_annotation(&image.documents)) {
            (Some(view), _) => view.clone(),
            (None, None) => return Err(EditError::NoOldBase { image: image.name.clone(), digest: None }.into()),
            (None, Some(digest)) => {
                let found = match base_in(&View::of(self.layout.clone())?, &digest)? {
                    None => self.bases.source.as_ref().map(|source| base_in(source, &digest)).transpose()?.flatten(),
                    found => found,
                };
                let missing = || EditError::NoOldBase { image: image.name.clone(), digest: Some(digest.clone()) };
                found.ok_or_else(missing)?
            }
        };
        base_of(&view, &image.documents, &image.name)
    }

    /// Finds the new base for the platform of an image.
    fn new_base(&self, image: &Original) -> Result<(BaseImage, View)> {
        let platform = image.documents.platform();
        let is_known = platform.as_ref().is_some_and(Platform::is_known);
        let selection = Selection::default().platforms(platform.clone().filter(|_| is_known).into_iter().collect());
        let shown =
            |platform: Option<&Platform>| platform.map_or_else(|| "no platform".to_owned(), Platform::to_string);
        let other = |base: String| EditError::OtherPlatform {
            image: image.name.clone(),
            platform: shown(platform.as_ref()),
            base,
        };
        let chosen = match self.bases.new.select(&selection.no_attestations(true)) {
            Err(Error::UnknownPlatform { platforms, .. }) => return Err(other(list(&platforms)).into()),
            chosen => chosen?,
        };
        let base = BaseImage::new(&self.bases.new, &chosen)?;
        let normal = |platform: Option<&Platform>| {
            platform.map(|platform| platform.normalized().unwrap_or_else(|| platform.clone()))
        };
        let (ours, theirs) = (normal(platform.as_ref()), normal(base.platform()));
        let agree = match (&ours, &theirs) {
            (Some(ours), Some(theirs)) => {
                (&ours.os, &ours.architecture, &ours.variant) == (&theirs.os, &theirs.architecture, &theirs.variant)
            }
            (None, None) => true,
            _ => false,
        };
        if !agree {
            return Err(other(shown(base.platform())).into());
        }
        Ok((base, chosen))
    }
}

fn history_of(config: &UnknownFields) -> Result<Vec<UnknownFields>, Fault> {
    let history = config.get::<Option<Vec<UnknownFields>>>("history");
    Ok(history.map_err(|_| Reason::new("history is not an array of objects"))?.flatten().unwrap_or_default())
}

fn image_layers(config: &UnknownFields) -> Result<usize, Fault> {
    Ok(config.get::<oci::RootFs>("rootfs")?.map_or(0, |rootfs| rootfs.diff_ids.len()))
}

/// Checks that the history of an image begins with that of its old base.
fn check_history(image: &Original, old: Base, old_config: &UnknownFields) -> Result<()> {
    let of_base = history_of(old_config).unwrap_or_default();
    let config = image.documents.config.as_ref();
    let own = config.map(history_of).and_then(Result::ok).unwrap_or_default();
    if own.is_empty() || old.layers == 0 || own.starts_with(&of_base) {
        return Ok(());
    }
    Err(Error::from(EditError::OtherHistory { image: image.name.clone() }))
}

/// Gives a config the history of its new base, and after it its own.
fn change_history(
    config: &mut UnknownFields,
    (old, new): (Base, &BaseImage),
    layers: usize,
    created: &str,
) -> Result<(), Fault> {
    let (before, of_new) = (history_of(config)?, history_of(new.config())?);
    let has_layers = new.layers().next().is_some();
    if of_new.is_empty() && has_layers {
        config.remove("history");
        return Ok(());
    }
    let own = before.iter().skip(old.history.unwrap_or(0).min(before.len())).cloned();
    let after: Vec<UnknownFields> = of_new.into_iter().chain(own).collect();
    if after.is_empty() {
        return Ok(());
    }
    let entries = after.iter().filter(|entry| has_layer(entry)).count();
    config.insert("history", &after)?;
    if entries < layers {
        let steps = Steps { base: layers, own: Vec::new(), created: Some(created.to_owned()) };
        add_history(config, &steps)?;
    }
    Ok(())
}
