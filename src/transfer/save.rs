//! Saving images as an archive with a name.

use std::path::Path;

use super::file::export;
use super::plan::{ExportOptions, Exported};
use crate::error::Result;
use crate::oci::{Annotations, ImageNames, Index, NameKind};
use crate::transfer::format::Format;
use crate::view::index_view::View;

/// The tag of images that are saved without one.
const DEFAULT_TAG: &str = "latest";

/// Saves images as an archive: one is listed in the index by its tag; several become one image for several platforms, which
/// the index leads to by the tag.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
/// # use regshape::layout::Layout;
/// # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
/// # std::fs::write(&tar, [0; 1024])?;
/// # let layout = Layout::init(&path)?;
/// # layout.stage_layer(LayerInput::open(&tar)?, LayerOptions::default())?;
/// # layout.generate_config(ConfigOptions::default())?;
/// # layout.generate_manifest(ManifestOptions::default())?;
/// # let output = directory.path().join("my-image.tar.gz");
/// use regshape::transfer::{ExportOptions, Format, save};
/// use regshape::view::View;
///
/// let image = View::open(&path)?;
/// save(&[image], &output, Some("my-app:1.0"), Format::of_name(&output), &ExportOptions::default())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`export`]; those of [`View::multi_platform`].
pub fn save(
    images: &[View],
    path: impl AsRef<Path>,
    tag: Option<&str>,
    format: Format,
    options: &ExportOptions<'_>,
) -> Result<Exported> {
    let tag = tag.unwrap_or(DEFAULT_TAG);
    let view = match images {
        [image] => image.named(tag),
        images => View::multi_platform(images.iter().cloned(), tag)?,
    };
    export(&view, path, format, options)
}

impl View {
    /// Gives each entry of the index annotations, in place of those of the same keys.
    #[must_use]
    pub fn annotated(&self, annotations: &Annotations) -> Self {
        let mut manifests = self.index().manifests.clone();
        for entry in &mut manifests {
            entry.annotations.get_or_insert_default().extend(annotations.clone());
        }
        self.with_index(Index { manifests, ..self.index().clone() })
    }

    /// Gives the first entry of the index a name, and those that were called as it was. Others lose it. An image name that says
    /// the same as the ref name goes with it.
    #[must_use]
    pub fn named(&self, ref_name: &str) -> Self {
        let mut manifests = self.index().manifests.clone();
        let Some(first) = manifests.first().cloned() else { return self.clone() };
        for (at, entry) in manifests.iter_mut().enumerate() {
            if at == 0 || entry.is_called_like(&first) {
                entry.rename(ref_name.to_owned(), ref_name);
            } else if entry.ref_name() == Some(ref_name) {
                entry.drop_name(NameKind::RefName);
            }
        }
        let named = manifests[0].clone();
        let taken = ImageNames::of(std::slice::from_ref(&named));
        for entry in manifests.iter_mut().filter(|entry| !entry.is_called_like(&named)) {
            taken.take_from(entry);
        }
        self.with_index(Index { manifests, ..self.index().clone() }).without_own_name()
    }
}
