//! Sets or clamps the times of the files in layers, and of the config with its history (images, rule H3).

use std::io::{Read, Write};

use super::base::{Base, Kept};
use super::engine::{Original, Verb, rewrite};
use super::maker::{ChangedLayer, Compares, Maker, Storage};
use super::options::RewriteOptions;
use crate::build::config::fault::Fault;
use crate::build::edit::{Edited, ImageDocuments, LayerAfter, entries_of_lowest};
use crate::error::Result;
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::oci::{Timestamp, UnknownFields};
use crate::rootfs::{Failure, is_whiteout};
use crate::tar::reader::TarReader;
use crate::tar::retime::{TimeChange, with_times};

/// Sets or clamps the times of all files in the layers of an image that are not kept, of its config, and of the history of
/// these layers. Whiteouts get the time 0.
///
/// # Errors
///
/// Those of [`edit_image`](crate::build::edit::edit_image); [`EditError::NoBase`](crate::EditError::NoBase) and its like for
/// layers to keep; those of reading a layer: [`LayerError`](crate::LayerError),
/// [`Error::DigestMismatch`](crate::Error::DigestMismatch); [`Error::Changed`](crate::Error::Changed). After an error the layout
/// is unchanged.
pub fn set_times(
    layout: &Layout,
    reference: &str,
    change: TimeChange,
    kept: &Kept,
    options: &RewriteOptions,
    progress: Progress<'_>,
) -> Result<Edited> {
    let verb = || SetTimes { layout, change, kept };
    rewrite(layout, reference, options, progress, verb).map(|(edited, _)| edited)
}

struct SetTimes<'a> {
    layout: &'a Layout,
    change: TimeChange,
    kept: &'a Kept,
}

impl Verb for SetTimes<'_> {
    type Plan = Base;

    fn layers(&mut self, image: &mut Original, maker: &mut Maker<'_>) -> Result<(Vec<LayerAfter>, Base)> {
        let base = self.kept.of(self.layout, &image.documents, &image.name)?;
        let mut after: Vec<LayerAfter> = (0..base.layers).map(LayerAfter::Kept).collect();
        for at in base.layers..image.files.layer_count() {
            let descriptor = image.files.layer(at).0;
            let storage = Storage::of(&descriptor.media_type);
            let of = vec![descriptor.digest.clone()];
            let layer = ChangedLayer { at, of, storage, compares: Compares::Content };
            after.push(maker.change(&image.files, layer, |content, writer| copy(content, writer, self.change))?);
        }
        Ok((after, base))
    }

    fn documents(&self, image: &mut ImageDocuments, base: &Base) -> Result<()> {
        let Some(time) = Timestamp::from_seconds(self.change.seconds()) else { return Ok(()) };
        let set = |fields: &mut UnknownFields, is_added: bool| -> Result<(), Fault> {
            let old = fields.get::<String>("created").ok().flatten();
            let is_changed = match self.change {
                TimeChange::Set(_) => is_added || old.is_some(),
                // A time that cannot be read is not known to be later.
                TimeChange::Clamp(_) => old.and_then(|old| old.parse::<Timestamp>().ok()).is_some_and(|old| old > time),
            };
            if is_changed {
                fields.insert("created", &time.to_string())?;
            }
            Ok(())
        };
        image.change_fields(|config| {
            set(config, true)?;
            if let Some(mut history) = config.get::<Vec<UnknownFields>>("history").ok().flatten() {
                let of_base = base.history.unwrap_or_else(|| entries_of_lowest(&history, base.layers));
                history.iter_mut().skip(of_base).try_for_each(|entry| set(entry, false))?;
                config.insert("history", &history)?;
            }
            Ok(())
        })
    }
}

/// Copies a layer with other times. Returns whether one changed.
fn copy(content: &mut dyn Read, mut writer: &mut dyn Write, change: TimeChange) -> Result<bool, Failure> {
    let mut tar = TarReader::keeping_headers(content);
    let mut is_changed = false;
    while let Some(header) = tar.next()? {
        let change = if is_whiteout(&header.path) { TimeChange::Set(0) } else { change };
        let headers = with_times(tar.raw_headers(), change);
        is_changed |= headers != tar.raw_headers();
        writer.write_all(&headers)?;
        tar.copy_content(&mut writer)?;
    }
    tar.copy_end(writer)?;
    Ok(is_changed)
}
