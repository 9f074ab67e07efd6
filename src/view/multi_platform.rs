//! Merging single-platform images into one multi-platform image.

use super::index_view::View;
use crate::error::Result;
use crate::graph::platform::Platforms;
use crate::oci::{Annotations, Descriptor, Digest, IMAGE_NAME, Index, MediaType, NameKey, REF_NAME, tag_in};

impl View {
    /// Merges the images of several views into one multi-platform image. The entries of each view's nested index, or of
    /// its index, become those of one index, to which an entry with the ref name refers. Each merged entry gets the
    /// platform of its image unless it has one, and loses its own names. An image name common to all views is kept, as
    /// it is when an entry gets another ref name.
    ///
    /// # Errors
    ///
    /// Those of [`View::unwrap_index`].
    pub fn multi_platform(views: impl IntoIterator<Item = Self>, ref_name: &str) -> Result<Self> {
        Self::multi_platform_with(views, ref_name, &Annotations::new())
    }

    /// Merges images as [`View::multi_platform`] does, and gives the index of the image annotations.
    ///
    /// # Errors
    ///
    /// Those of [`View::unwrap_index`].
    pub fn multi_platform_with(
        views: impl IntoIterator<Item = Self>,
        ref_name: &str,
        index_annotations: &Annotations,
    ) -> Result<Self> {
        let views: Vec<Self> = views.into_iter().collect();
        let annotations = Self::common_names(&views, Some(ref_name));
        let views = views.into_iter().map(|view| {
            let view = view.unwrap_index(|_| true)?;
            let mut manifests = view.index.manifests.clone();
            let mut platforms = Platforms::new(&view);
            for entry in &mut manifests {
                if entry.media_type.is_manifest() {
                    entry.platform = platforms.of(entry).map(Box::new).or_else(|| entry.platform.take());
                }
                entry.unname();
            }
            Ok(view.with_index(Index { manifests, ..Index::clone(&view.index) }))
        });
        let mut joined = Self::join(views.collect::<Result<Vec<_>>>()?);
        if !index_annotations.is_empty() {
            let index = Index::clone(&joined.index);
            joined = joined.with_index(Index { annotations: Some(index_annotations.clone()), ..index });
        }
        Ok(joined.wrap(annotations))
    }

    /// Returns the ref name common to all entries of some views; or else the tag of the image name common to all views.
    pub fn common_ref_name(views: &[Self]) -> Option<&str> {
        let mut names = views.iter().flat_map(|view| &view.index.manifests).filter_map(|entry| entry.ref_name());
        let common = names.next().filter(|first| names.all(|name| name == *first));
        common.or_else(|| tag_in(Self::common_image_name(views)?))
    }

    /// Returns the annotations of an entry for the merged image: the ref name, either given or common to all views, and
    /// the image name common to all views.
    pub fn common_names(views: &[Self], ref_name: Option<&str>) -> Annotations {
        let mut entry = Descriptor::new(MediaType::index(), Digest::sha256_of(b""), 0);
        entry.set_name(REF_NAME, Self::common_ref_name(views).map(str::to_owned));
        entry.set_name(IMAGE_NAME, Self::common_image_name(views).map(str::to_owned));
        if let Some(name) = ref_name.filter(|name| entry.ref_name() != Some(name)) {
            entry.rename(name.to_owned(), name);
        }
        entry.annotations.unwrap_or_default()
    }

    /// Returns the image name common to all views.
    fn common_image_name(views: &[Self]) -> Option<&str> {
        fn names(view: &View) -> impl Iterator<Item = &str> {
            view.index.manifests.iter().filter_map(Descriptor::image_name)
        }
        let first = names(views.first()?).next()?;
        let is_it = |name: &str| NameKey::of(name) == NameKey::of(first);
        let has_it = |view: &Self| names(view).next().is_some() && names(view).all(is_it);
        views.iter().all(has_it).then_some(first)
    }
}
