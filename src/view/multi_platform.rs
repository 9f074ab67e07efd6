//! Images for one platform each, together as one image.

use super::index_view::View;
use crate::error::Result;
use crate::graph::platform::Platforms;
use crate::oci::{Annotations, Descriptor, Digest, IMAGE_NAME, Index, MediaType, NameKey, REF_NAME, tag_in};

impl View {
    /// Puts images for several platforms together into one, which has a name: the nested index of each view, or its index, is
    /// taken; their entries become those of one index; and a new index lists it by the name. Every entry says its
    /// platform, as its image does if it did not, and has no name of its own any more. An image name that all views have stays,
    /// as it does where an entry gets another ref name.
    ///
    /// # Errors
    ///
    /// Those of [`View::unwrap_index`].
    pub fn multi_platform(views: impl IntoIterator<Item = Self>, ref_name: &str) -> Result<Self> {
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
        let joined = Self::join(views.collect::<Result<Vec<_>>>()?);
        Ok(joined.wrap(annotations))
    }

    /// Returns the one ref name that the entries of some views have, if there is just one; or else the tag of the image name
    /// that all views have.
    pub fn common_ref_name(views: &[Self]) -> Option<&str> {
        let mut names = views.iter().flat_map(|view| &view.index.manifests).filter_map(|entry| entry.ref_name());
        let common = names.next().filter(|first| names.all(|name| name == *first));
        common.or_else(|| tag_in(Self::common_image_name(views)?))
    }

    /// Returns the annotations of an entry that leads to some views together: the ref name that is said, or that they have in
    /// common, and the image name that they have in common.
    pub fn common_names(views: &[Self], ref_name: Option<&str>) -> Annotations {
        let mut entry = Descriptor::new(MediaType::index(), Digest::sha256_of(b""), 0);
        entry.set_name(REF_NAME, Self::common_ref_name(views).map(str::to_owned));
        entry.set_name(IMAGE_NAME, Self::common_image_name(views).map(str::to_owned));
        if let Some(name) = ref_name.filter(|name| entry.ref_name() != Some(name)) {
            entry.rename(name.to_owned(), name);
        }
        entry.annotations.unwrap_or_default()
    }

    /// Returns the one image name that each of some views has.
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
