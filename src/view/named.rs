//! Naming and annotating the images of a view.

use super::index_view::View;
use crate::error::Result;
use crate::oci::{Annotations, ImageNames, Index, NameKind};

/// The tag of images that are saved without a tag.
const DEFAULT_TAG: &str = "latest";

impl View {
    /// Prepares images for saving: a single image gets the tag as the ref name of its entry; several are merged into
    /// one multi-platform image with the tag. The default tag is `latest`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
    /// # use regshape::layout::Layout;
    /// # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
    /// # std::fs::write(&tar, [0; 1024])?;
    /// # let layout = Layout::init(&path)?;
    /// # layout.stage_layer(LayerInput::open(&tar)?, &LayerOptions::default())?;
    /// # layout.generate_config(&ConfigOptions::default())?;
    /// # layout.generate_manifest(&ManifestOptions::default())?;
    /// # let output = directory.path().join("my-image.tar.gz");
    /// use regshape::transfer::{ExportOptions, Format};
    /// use regshape::view::View;
    ///
    /// let image = View::saved(&[View::open(&path)?], Some("my-app:1.0"))?;
    /// image.plan_export(Format::from_name(&output), &ExportOptions::default())?.write(&output)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`View::multi_platform`].
    pub fn saved(images: &[Self], tag: Option<&str>) -> Result<Self> {
        let tag = tag.unwrap_or(DEFAULT_TAG);
        match images {
            [image] => Ok(image.named(tag)),
            images => Self::multi_platform(images.iter().cloned(), tag),
        }
    }

    /// Adds annotations to each entry of the index, replacing those of the same keys.
    #[must_use]
    pub fn annotated(&self, annotations: &Annotations) -> Self {
        let mut manifests = self.index().manifests.clone();
        for entry in &mut manifests {
            entry.annotations.get_or_insert_default().extend(annotations.clone());
        }
        self.with_index(Index { manifests, ..self.index().clone() })
    }

    /// Sets the ref name of the first entry of the index, and of those with the same names. Other entries with this ref
    /// name lose it. An image name that equals the ref name is changed, too.
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
