//! Changes of staged layers.

use crate::error::{EditError, Error, Result};
use crate::layout::commit::write_stage;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::layout::staging_file::{Stage, StagedLayer, Updated};

/// Removes a staged layer. Its blob is left to garbage collection.
///
/// # Errors
///
/// [`Error::LayerIndex`]; [`EditError::LayerOfBase`]; [`Error::NoStage`], [`Error::MalformedStage`]; [`Error::Io`].
pub fn remove_staged_layer(layout: &Layout, index: usize) -> Result<Updated<StagedLayer>> {
    change(layout, &[index], |stage| stage.layers.remove(index))
}

/// Moves a staged layer to another place.
///
/// # Errors
///
/// Those of [`remove_staged_layer`].
pub fn move_staged_layer(layout: &Layout, from: usize, to: usize) -> Result<Updated<StagedLayer>> {
    change(layout, &[from, to], |stage| {
        let layer = stage.layers.remove(from);
        stage.layers.insert(to, layer.clone());
        layer
    })
}

fn change(
    layout: &Layout,
    indexes: &[usize],
    change: impl FnOnce(&mut Stage) -> StagedLayer,
) -> Result<Updated<StagedLayer>> {
    let lock = take_lock(layout)?;
    let mut stage = layout.read_stage()?;
    let count = stage.layers.len();
    let of_base = stage.base.as_ref().map_or(0, |base| usize::try_from(base.layers).unwrap_or(usize::MAX));
    for index in indexes {
        if *index >= count {
            return Err(Error::LayerIndex { index: i64::try_from(*index).unwrap_or(i64::MAX), count });
        }
        if *index < of_base {
            return Err(EditError::LayerOfBase { index: *index }.into());
        }
    }
    let before = stage.clone();
    let value = change(&mut stage);
    let has_changed = stage != before;
    if has_changed {
        write_stage(layout, &lock, &stage, [])?;
    }
    Ok(Updated { value, outdates_manifest: has_changed && stage.manifest.is_some() })
}
