//! Makes one layer of the layers of images, or of those above the base (images, rule E4).

use super::base::{Base, Kept};
use super::engine::{Original, Verb, rewrite};
use super::maker::{Maker, Storage};
use super::options::RewriteOptions;
use crate::build::config::fault::Fault;
use crate::build::edit::{Edited, ImageDocuments, LayerAfter, has_layer};
use crate::error::{Error, Reason, Result};
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::oci::UnknownFields;
use crate::rootfs::Contents;

/// The step of a squashed layer in the history. Part of the bytes on disk.
const STEP: &str = "regshape squash";

/// Makes one layer of the layers of an image that are not kept: files that upper layers hide are gone. On a base, whiteouts
/// of its files stay; without one there are none. The history has one entry for the layer, and those without a layer. Where
/// there is one layer already, nothing changes.
///
/// # Errors
///
/// Those of [`edit_image`](crate::build::edit::edit_image); [`EditError::NoBase`](crate::EditError::NoBase) and its like for
/// layers to keep; [`FilesError::LostHardLink`](crate::FilesError::LostHardLink); those of reading a layer:
/// [`LayerError`](crate::LayerError), [`Error::DigestMismatch`]; [`Error::Changed`]. After an error the layout is unchanged.
pub fn squash(
    layout: &Layout,
    reference: &str,
    kept: &Kept,
    options: &RewriteOptions,
    progress: Progress<'_>,
) -> Result<Edited> {
    let created = options.edit.time_of_entries();
    rewrite(layout, reference, options, progress, || Squash { layout, kept, created }).map(|(edited, _)| edited)
}

struct Squash<'a> {
    layout: &'a Layout,
    kept: &'a Kept,
    created: &'a str,
}

impl Verb for Squash<'_> {
    /// The layers that are kept, if the others change.
    type Plan = Option<Base>;

    fn layers(&mut self, image: &mut Original, maker: &mut Maker<'_>) -> Result<(Vec<LayerAfter>, Option<Base>)> {
        let base = self.kept.of(self.layout, &image.documents, &image.name)?;
        let count = image.files.layer_count();
        let squashed = count - base.layers;
        let is_one =
            squashed == 0 || squashed == 1 && (base.layers > 0 || !image.files.has_whiteouts(0, maker.progress)?);
        if is_one {
            return Ok(((0..count).map(LayerAfter::Kept).collect(), None));
        }
        let storage = Storage::of(&image.files.layer(count - 1).0.media_type);
        let of = image.layers();
        let made = maker.make(of, storage, |maker| {
            let layout = maker.layout;
            let contents = Contents::new(layout.path(), layout.interrupt());
            let squashed = image.files.squash(base.layers, contents, maker.progress)?;
            maker.store(storage, |writer| squashed.write(writer, &|| Error::io("write to", layout.path())))
        })?;
        let kept = (0..base.layers).map(LayerAfter::Kept);
        Ok((kept.chain([LayerAfter::New(made)]).collect(), Some(base)))
    }

    fn documents(&self, image: &mut ImageDocuments, plan: &Option<Base>) -> Result<()> {
        let Some(base) = plan else { return Ok(()) };
        image.change_fields(|config| {
            let history = config.get::<Option<Vec<UnknownFields>>>("history");
            let history = history.map_err(|_| Reason::new("history is not an array of objects"))?.flatten();
            if let Some(history) = history {
                config.insert("history", &joined(&history, base.layers, self.created)?)?;
            }
            Ok(())
        })
    }
}

/// Returns a history in which one entry stands for all layers that are not kept, in the place of the last one.
fn joined(history: &[UnknownFields], kept: usize, created: &str) -> Result<Vec<UnknownFields>, Fault> {
    let last = history.iter().rposition(has_layer);
    let mut layers = 0;
    let mut after = Vec::new();
    for (at, entry) in history.iter().enumerate() {
        let is_squashed = has_layer(entry) && {
            layers += 1;
            layers > kept
        };
        if !is_squashed {
            after.push(entry.clone());
        } else if Some(at) == last {
            let mut entry = UnknownFields::new();
            entry.insert("created", created)?;
            entry.insert("created_by", STEP)?;
            after.push(entry);
        }
    }
    Ok(after)
}
