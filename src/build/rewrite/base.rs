//! The layers of an image that are those of its base, and stay (images, "Base annotations").

use crate::build::edit::ImageDocuments;
use crate::build::manifest::BASE_DIGEST;
use crate::error::{EditError, Error, Result};
use crate::layout::handle::Layout;
use crate::oci::{self, Digest, ImageConfig, UnknownFields};
use crate::view::index_view::View;
use crate::view::select::Selection;

/// The lowest layers of an image, which a verb leaves as they are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Kept {
    /// None.
    #[default]
    None,
    /// So many.
    Count(usize),
    /// Those of the base: the image of the digest in the annotation `org.opencontainers.image.base.digest`, in the layout.
    Base,
    /// Those of the base, if the image has that annotation.
    BaseIfNamed,
    /// Those of the base, one of the images of a view.
    BaseIn(View),
}

/// The layers and the history of a base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) layers: usize,
    /// The number of entries in the history that belong to these layers, if the base is known.
    pub(super) history: Option<usize>,
}

/// Returns the digest of the base, as the annotations of the manifest have it.
pub(super) fn base_annotation(image: &ImageDocuments) -> Option<String> {
    image.manifest.annotations.as_ref()?.get(BASE_DIGEST).cloned()
}

impl Kept {
    /// Returns the layers of an image that are kept. `name` names the image in errors.
    ///
    /// # Errors
    ///
    /// [`EditError::NoBase`], [`EditError::NotOnBase`], [`EditError::KeepsMore`]; those of reading the base.
    pub(super) fn of(&self, layout: &Layout, image: &ImageDocuments, name: &str) -> Result<Base> {
        let count = image.manifest.layers.len();
        match self {
            Self::None => Ok(Base::default()),
            Self::Count(kept) if *kept > count => {
                Err(EditError::KeepsMore { image: name.to_owned(), kept: *kept, count }.into())
            }
            Self::Count(layers) => Ok(Base { layers: *layers, history: None }),
            Self::Base | Self::BaseIfNamed => match (self, base_annotation(image)) {
                (Self::BaseIfNamed, None) => Ok(Base::default()),
                (_, digest) => {
                    let view = View::of(layout.clone())?;
                    let found = digest.as_ref().map(|digest| base_in(&view, digest)).transpose()?.flatten();
                    let missing = || EditError::NoBase { image: name.to_owned(), digest: digest.clone() };
                    Ok(base_of(&found.ok_or_else(missing)?, image, name)?.0)
                }
            },
            Self::BaseIn(view) => Ok(base_of(view, image, name)?.0),
        }
    }
}

/// Returns the part of a view that has the image or index of a digest, if it is there.
pub(super) fn base_in(view: &View, digest: &str) -> Result<Option<View>> {
    // A text that is not a digest may be a tag.
    if digest.parse::<Digest>().is_err() {
        return Ok(None);
    }
    match view.select(&Selection::default().references(vec![digest.to_owned()])) {
        Ok(found) => Ok(Some(found)),
        Err(Error::UnknownManifest { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the layers and the config of the base: of the images of a view the one that the image begins with.
pub(super) fn base_of(view: &View, image: &ImageDocuments, name: &str) -> Result<(Base, UnknownFields)> {
    let diff_ids = image.diff_ids();
    let mut found: Option<(Base, UnknownFields)> = None;
    for of_base in view.images()? {
        let (Ok(config), Ok(fields)) =
            (oci::from_json::<ImageConfig>(&of_base.config), oci::from_json::<UnknownFields>(&of_base.config))
        else {
            continue;
        };
        let layers = config.rootfs.diff_ids.len();
        let is_more = found.as_ref().is_none_or(|(found, _)| found.layers < layers);
        if is_more && diff_ids.starts_with(&config.rootfs.diff_ids) {
            let history = fields.get::<Vec<UnknownFields>>("history").ok().flatten().map(|history| history.len());
            found = Some((Base { layers, history }, fields));
        }
    }
    let base = || view.path().display().to_string();
    Ok(found.ok_or_else(|| EditError::NotOnBase { image: name.to_owned(), base: base() })?)
}
