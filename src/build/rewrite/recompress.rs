//! Compresses the layers of images in another format. Their content stays, and with it their diff_ids (images, rule H1).

use std::io;

use super::engine::{Original, Rewritten, Verb, rewrite};
use super::maker::{ChangedLayer, Compares, Maker, Storage};
use super::options::RewriteOptions;
use crate::build::edit::{LayerAfter, MadeLayer};
use crate::compress::{Compression, Encoding};
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

/// Compresses the layers of an image in a format. Layers whose bytes have it already stay, unless the options say otherwise, and
/// get its media type.
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
    progress: Progress<'_>,
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

impl Recompress {
    /// Returns the encoding of the bytes of the layers afterwards.
    fn encoding(&self) -> Encoding {
        self.storage.0.map_or(Encoding::Identity, |compression| compression.format().encoding())
    }
}

impl Verb for Recompress {
    type Plan = ();

    fn layers(&mut self, image: &mut Original, maker: &mut Maker<'_>) -> Result<(Vec<LayerAfter>, ())> {
        let mut after = Vec::new();
        for at in 0..image.files.layer_count() {
            let (descriptor, diff_id) = image.files.layer(at);
            let Some(encoding) = image.files.stored_encoding(at)? else {
                if !self.stored_elsewhere.contains(&descriptor.digest) {
                    self.stored_elsewhere.push(descriptor.digest.clone());
                }
                after.push(LayerAfter::Kept(at));
                continue;
            };
            // Media types lie (images, rule H1): the bytes say whether a layer has the format. One without a byte has every one.
            let has_format = encoding == self.encoding() || descriptor.size == 0;
            let has_type = descriptor.media_type.layer_encoding() == Some(self.storage.encoding());
            let mut layer = LayerAfter::Kept(at);
            if !has_format || self.is_forced {
                let of = vec![descriptor.digest.clone()];
                let changed = ChangedLayer { at, of, storage: self.storage, compares: Compares::Bytes };
                layer = maker.change(&image.files, changed, |content, writer| {
                    io::copy(content, writer)?;
                    Ok(true)
                })?;
            } else if !has_type {
                image.files.read_tar(at, maker.progress, |content| Ok(io::copy(content, &mut io::sink())?))?;
            }
            if !has_type && matches!(layer, LayerAfter::Kept(_)) {
                let (digest, size) = (descriptor.digest.clone(), descriptor.size);
                let encoding = self.storage.encoding();
                layer = LayerAfter::Changed(at, MadeLayer { digest, size, encoding, diff_id: diff_id.clone() });
            }
            after.push(layer);
        }
        Ok((after, ()))
    }
}
