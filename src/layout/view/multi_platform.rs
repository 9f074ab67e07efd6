//! Images for one platform each, together as one image.

use super::View;
use crate::layout::error::Result;
use crate::layout::registry::platform_of;
use crate::oci::{Annotations, Index, REF_NAME};

impl View {
    /// Puts images for several platforms together into one, which has a name: the nested index of each view, or its index, is
    /// taken; their entries become those of one index; and a new index leads to it by the name. Every entry says its
    /// platform, as its image does if it did not, and has no name of its own any more.
    ///
    /// # Errors
    ///
    /// Those of [`View::unwrap_index`].
    pub fn multi_platform(views: impl IntoIterator<Item = Self>, ref_name: &str) -> Result<Self> {
        let views = views.into_iter().map(|view| {
            let view = view.unwrap_index(|_| true)?;
            let mut manifests = view.index.manifests.clone();
            for entry in &mut manifests {
                if entry.media_type.is_manifest() {
                    entry.platform = platform_of(&view, entry).or_else(|| entry.platform.take());
                }
                entry.rename(None);
            }
            Ok(view.with_index(Index { manifests, ..Index::clone(&view.index) }))
        });
        let joined = Self::join(views.collect::<Result<Vec<_>>>()?);
        Ok(joined.wrap(Annotations::from([(REF_NAME.to_owned(), ref_name.to_owned())])))
    }

    /// Returns the one ref name that the entries of some views have, if there is just one.
    pub fn common_ref_name(views: &[Self]) -> Option<&str> {
        let mut names = views.iter().flat_map(|view| &view.index.manifests).filter_map(|entry| entry.ref_name());
        let first = names.next()?;
        names.all(|name| name == first).then_some(first)
    }
}
