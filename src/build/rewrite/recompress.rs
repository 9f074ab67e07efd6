//! Compresses the layers of images in another format. Their content stays, and with it their diff_ids (images, rule H1).

use std::io;

use super::engine::{Original, Rewritten, Verb, rewrite};
use super::maker::{ChangedLayer, Compares, Maker, Storage};
use super::options::RewriteOptions;
use crate::build::edit::LayerAfter;
use crate::compress::Compression;
use crate::error::Result;
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::oci::Digest;
use crate::options::setters;

/// How layers are compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RecompressOptions {
    /// The format and its level; `None` for plain tars.
    pub compression: Option<Compression>,
    /// Whether layers that have the format already are compressed again.
    pub force: bool,
}

impl RecompressOptions {
    setters! {
        compression: [option Compression],
        force: [bool],
    }
}

/// Compresses the layers of an image in a format. Layers that have it already stay, unless the options say otherwise.
///
/// # Errors
///
/// Those of [`edit_image`](crate::build::edit::edit_image);
/// those of reading a layer: [`LayerError`](crate::LayerError), [`Error::DigestMismatch`](crate::Error::DigestMismatch);
/// [`Error::Changed`](crate::Error::Changed). After an error the layout is unchanged.
pub fn recompress(
    layout: &Layout,
    reference: &str,
    how: &RecompressOptions,
    options: &RewriteOptions,
    progress: Option<Progress<'_>>,
) -> Result<Rewritten> {
    let storage = Storage(how.compression);
    let verb = || Recompress { storage, is_forced: how.force, stored_elsewhere: Vec::new() };
    let (edited, verb) = rewrite(layout, reference, options, progress, verb)?;
    Ok(Rewritten { edited, stored_elsewhere: verb.stored_elsewhere })
}

struct Recompress {
    storage: Storage,
    is_forced: bool,
    stored_elsewhere: Vec<Digest>,
}

impl Verb for Recompress {
    type Plan = ();

    fn layers(&mut self, image: &mut Original, maker: &mut Maker<'_>) -> Result<(Vec<LayerAfter>, ())> {
        let mut after = Vec::new();
        for at in 0..image.files.layer_count() {
            let descriptor = image.files.layer(at).0;
            let has_format = descriptor.media_type.layer_encoding() == Some(self.storage.encoding());
            let is_there = image.files.is_stored(at)?;
            if !is_there && !self.stored_elsewhere.contains(&descriptor.digest) {
                self.stored_elsewhere.push(descriptor.digest.clone());
            }
            if !is_there || has_format && !self.is_forced {
                after.push(LayerAfter::Kept(at));
                continue;
            }
            let of = vec![descriptor.digest.clone()];
            let layer = ChangedLayer { at, of, storage: self.storage, compares: Compares::Bytes };
            after.push(maker.change(&image.files, layer, |content, writer| {
                io::copy(content, writer)?;
                Ok(true)
            })?);
        }
        Ok((after, ()))
    }
}
