//! The history of an image: an entry for each layer, in order, and entries without a layer.

use super::fault::Fault;
use crate::build::layer::CREATED_BY;
use crate::error::{ConfigError, Reason};
use crate::layout::staging_file::{Stage, StagedLayer};
use crate::oci::{Json, RootFs, UnknownFields};

/// The creation time of images and history entries where no time is given. Part of the bytes on disk.
pub(crate) const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The step that made a layer of which the staging file says none. Part of the bytes on disk.
pub(crate) const USUAL_STEP: &str = "regshape add layer --file";

/// The beginnings of the steps that made layers of files. Part of the bytes on disk.
const COPY_STEPS: [&str; 3] = ["regshape add layer --copy", "regshape add layer --mtree", "regshape add layer --diff"];

/// Returns the step that made a staged layer, if the staging file says it.
fn stated_step(layer: &StagedLayer) -> Option<String> {
    layer.extra.get::<String>(CREATED_BY).ok().flatten()
}

/// The steps that made the layers of an image.
pub(crate) struct Steps {
    /// The number of layers of the base, whose entries are in its history.
    pub(crate) base: usize,
    /// The steps of the other layers.
    pub(crate) own: Vec<String>,
    /// The time of entries that are added; by default that of the config.
    pub(crate) created: Option<String>,
}

impl Steps {
    /// Returns the steps that made staged layers.
    pub(crate) fn of(stage: &Stage) -> Self {
        let base = base_layers(stage);
        let own = stage.layers.iter().skip(base);
        let own = own.map(|layer| stated_step(layer).unwrap_or_else(|| USUAL_STEP.to_owned())).collect();
        Self { base, own, created: None }
    }

    /// Returns the time of entries that are added to the history of a config.
    fn time_of_entries(&self, config: &mut UnknownFields) -> Result<String, Fault> {
        let of_config = ensure_created(config)?;
        Ok(self.created.clone().unwrap_or(of_config))
    }

    /// Returns whether a layer above the base was made of files, as far as the steps tell.
    pub(crate) fn has_copies(&self) -> bool {
        self.own.iter().any(|step| COPY_STEPS.iter().any(|copy| step.starts_with(copy)))
    }

    /// Returns the number of layers.
    fn count(&self) -> usize {
        self.base + self.own.len()
    }

    /// Returns the step that made a layer above the base.
    fn get(&self, at: usize) -> Option<&String> {
        self.own.get(at.checked_sub(self.base)?)
    }
}

/// Returns the number of staged layers that are those of the base.
fn base_layers(stage: &Stage) -> usize {
    let base = stage.base.as_ref().map_or(0, |base| usize::try_from(base.layers).unwrap_or(usize::MAX));
    base.min(stage.layers.len())
}

/// Checks that the history of the base has no more entries than layers: those above it would be taken for entries of
/// the layers that follow.
pub(crate) fn check_base(stage: &Stage) -> Result<(), Fault> {
    let Some(base) = &stage.base else { return Ok(()) };
    let history = base.config.get::<Vec<UnknownFields>>("history").ok().flatten().unwrap_or_default();
    let (entries, layers) = (history.iter().filter(has_layer).count(), base_layers(stage));
    if entries > layers {
        return Err(ConfigError::LongHistory { entries, layers }.into());
    }
    Ok(())
}

fn has_layer(entry: &&UnknownFields) -> bool {
    entry.get::<bool>("empty_layer").ok().flatten() != Some(true)
}

/// Returns whether staged layers call for a history: not those that are tars alone, and none on a base that has layers
/// and no history.
pub(crate) fn is_wanted(stage: &Stage) -> bool {
    let base = base_layers(stage);
    let history = stage.base.as_ref().and_then(|base| base.config.get::<Vec<Json>>("history").ok().flatten());
    match history.map_or(0, |history| history.len()) {
        0 if base > 0 => false,
        0 => stage.layers.iter().any(|layer| stated_step(layer).is_some()),
        _ => true,
    }
}

/// Returns whether the staging file has a text for a layer above the base that a user gave.
pub(crate) fn has_given_step(stage: &Stage) -> bool {
    let mut own = stage.layers.iter().skip(base_layers(stage)).filter_map(stated_step);
    own.any(|step| ![USUAL_STEP].iter().chain(&COPY_STEPS).any(|ours| step.starts_with(ours)))
}

/// Changes to the history of a config.
pub(crate) struct HistoryChanges<'a> {
    /// The texts of entries without a layer.
    pub(crate) texts: &'a [String],
    pub(crate) is_dropped: bool,
}

impl HistoryChanges<'_> {
    /// Changes the history of a config. `layers` are the steps that made its layers.
    pub(crate) fn apply(&self, config: &mut UnknownFields, layers: &Steps) -> Result<(), Fault> {
        if self.is_dropped {
            config.remove("history");
        }
        if self.texts.is_empty() {
            return Ok(());
        }
        let created = layers.time_of_entries(config)?;
        let mut history = with_layers(config, layers, &created)?;
        for text in self.texts {
            let mut entry = entry(&created, Some(text))?;
            entry.insert("empty_layer", &true)?;
            history.push(entry);
        }
        config.insert("history", &history)?;
        Ok(())
    }
}

/// Gives a config a history with an entry for each layer.
pub(crate) fn add_history(config: &mut UnknownFields, layers: &Steps) -> Result<(), Fault> {
    let created = layers.time_of_entries(config)?;
    let history = with_layers(config, layers, &created)?;
    config.insert("history", &history)?;
    Ok(())
}

/// Returns the creation time of a config. One without it gets [`EPOCH`]: there are programs that cannot read an entry
/// of the history without a time.
fn ensure_created(config: &mut UnknownFields) -> Result<String, Fault> {
    let created = config.get::<Option<String>>("created").map_err(|_| Reason::new("created is not a string"))?;
    match created.flatten() {
        Some(created) => Ok(created),
        None => {
            config.insert("created", EPOCH)?;
            Ok(EPOCH.to_owned())
        }
    }
}

/// Returns the history of a config, with an entry for each layer: entries that are missing at the end are added.
fn with_layers(config: &UnknownFields, layers: &Steps, created: &str) -> Result<Vec<UnknownFields>, Fault> {
    let history = config.get::<Option<Vec<UnknownFields>>>("history");
    let history = history.map_err(|_| Reason::new("history is not an array of objects"))?.flatten();
    let mut history = history.unwrap_or_default();
    let entries = history.iter().filter(has_layer).count();
    let rootfs = config.get::<RootFs>("rootfs").ok().flatten();
    let count = rootfs.map_or(layers.count(), |rootfs| rootfs.diff_ids.len());
    if entries > count {
        return Err(ConfigError::LongHistory { entries, layers: count }.into());
    }
    // Which entry belongs to which layer is not known where there are fewer.
    let is_known = (history.is_empty() || layers.base > 0) && layers.count() == count;
    for at in entries..count {
        history.push(entry(created, layers.get(at).filter(|_| is_known))?);
    }
    Ok(history)
}

fn entry(created: &str, step: Option<&String>) -> Result<UnknownFields, Fault> {
    let mut entry = UnknownFields::new();
    entry.insert("created", created)?;
    if let Some(step) = step {
        entry.insert("created_by", step)?;
    }
    Ok(entry)
}
