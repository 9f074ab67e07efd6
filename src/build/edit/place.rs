//! Finds the entries of `index.json` that a reference resolves to, and puts changed ones in their places.

use std::collections::{BTreeSet, HashSet};

use super::outcome::{EditOptions, EditWarning, Edited};
use crate::error::{EditError, Result};
use crate::graph::edit::IndexEditor;
use crate::graph::left_behind::left_behind;
use crate::graph::names::Names;
use crate::graph::platform::{Choice, Chooser};
use crate::graph::resolve::{Meant, Resolver};
use crate::graph::summary::summaries;
use crate::layout::blobs::StoredBlob;
use crate::layout::commit::write_index;
use crate::layout::handle::{Layout, Lock};
use crate::layout::staging_file::Stage;
use crate::layout::unreferenced::remove_unreferenced;
use crate::oci::{Descriptor, Digest, Index, Platform};

/// The images of an index that are changed.
pub(super) enum Picked {
    All,
    Platforms(Vec<Platform>),
}

impl Picked {
    pub(super) fn has(&self, platform: &Option<Platform>) -> bool {
        match self {
            Self::All => true,
            Self::Platforms(picked) => platform.as_ref().is_some_and(|platform| picked.contains(platform)),
        }
    }
}

/// The entry and the images that a change is made to.
pub(super) struct Target {
    pub(super) entry: Descriptor,
    /// The places of the entries in `index.json` that the result takes.
    places: Vec<usize>,
    pub(super) picked: Picked,
    pub(super) choices: Vec<Choice>,
}

/// Finds the entry that a reference resolves to, and the images in it that are changed.
pub(super) fn find(layout: &Layout, index: &Index, reference: &str, options: &EditOptions) -> Result<Target> {
    let names = Names::AsTheyStand { default: None };
    let resolver = Resolver { names, index, documents: layout, path: layout.path() };
    let found = resolver.find(reference)?;
    let entry = resolver.one(&found, reference)?;
    let has_digest = |at: &usize| index.manifests[*at].digest == entry.digest;
    let (places, is_one) = match &found.meant {
        Meant::Named { places, .. } => (places.iter().copied().filter(has_digest).collect(), true),
        Meant::Manifest(_) => {
            let places: Vec<usize> = (0..index.manifests.len()).filter(has_digest).collect();
            let is_one = places.len() == 1;
            (places, is_one)
        }
    };
    if options.tag.is_none() && (!is_one || places.is_empty()) {
        return Err(EditError::NeedsTag { reference: reference.to_owned() }.into());
    }
    if options.platforms.is_empty() {
        return Ok(Target { entry, places, picked: Picked::All, choices: Vec::new() });
    }
    let mut chooser = Chooser::new(layout, &options.platforms);
    let bests = chooser.choose(&[&entry]);
    let (mut picked, mut choices) = (Vec::new(), Vec::new());
    for (asked, best) in options.platforms.iter().zip(bests) {
        let Some(best) = best else { return Err(chooser.not_there(&[&entry], reference, asked)) };
        picked.push(best.leaf.platform.clone());
        choices.push(best.choice_for(asked));
    }
    Ok(Target { entry, places, picked: Picked::Platforms(picked), choices })
}

/// Makes an entry that of another manifest. It keeps its annotations and unknown fields.
pub(super) fn replace_manifest(entry: &mut Descriptor, new: &Descriptor) {
    (entry.digest, entry.size) = (new.digest.clone(), new.size);
    entry.media_type = new.media_type.clone();
    if entry.data.is_some() {
        entry.data = new.data.clone();
    }
    if entry.platform.is_some() {
        entry.platform = new.platform.clone();
    }
}

/// An index with a changed entry.
pub(super) struct Placed {
    pub(super) index: Index,
    /// The entry of the result.
    pub(super) result: Descriptor,
}

impl Target {
    /// Changes the entries in `index.json` where they stand, or adds a changed one for the tag of the options.
    ///
    /// # Errors
    ///
    /// [`Error::NameTaken`](crate::Error::NameTaken) if another manifest has the tag.
    pub(super) fn place(
        &self,
        layout: &Layout,
        before: &Index,
        options: &EditOptions,
        has_changed: bool,
        change: impl Fn(&mut Descriptor),
    ) -> Result<Placed> {
        let mut result = self.entry.clone();
        change(&mut result);
        let mut index = before.clone();
        match &options.tag {
            None if has_changed => self.places.iter().for_each(|at| change(&mut index.manifests[*at])),
            None => {}
            Some(tag) => {
                result.rename(tag.as_str().to_owned(), tag.as_str());
                add_entry(layout, &mut index, &result, options.replace_tag)?;
            }
        }
        Ok(Placed { index, result })
    }
}

/// Adds an entry to an index. A tag that another manifest has is taken only if it is to be replaced: that manifest stays
/// as an entry without a name.
///
/// # Errors
///
/// [`Error::NameTaken`](crate::Error::NameTaken).
pub(super) fn add_entry(layout: &Layout, index: &mut Index, entry: &Descriptor, replaces: bool) -> Result<()> {
    let names = Names::AsTheyStand { default: None };
    let editor = IndexEditor { names: &names, documents: layout, path: layout.path() };
    editor.add_entries(index, std::slice::from_ref(entry), replaces)
}

/// A change that is complete but not written.
pub(super) struct Finished {
    /// The new `index.json`.
    pub(super) index: Index,
    /// The entry of the result.
    pub(super) result: Descriptor,
    pub(super) choices: Vec<Choice>,
    /// The documents that nothing may refer to any more.
    pub(super) old: HashSet<Digest>,
    /// Those of them that were to be removed: they are not reported.
    pub(super) removed: HashSet<Digest>,
    /// The attestations that the result leaves out.
    pub(super) attestations: BTreeSet<Digest>,
    pub(super) warnings: Vec<EditWarning>,
}

impl Finished {
    pub(super) fn new(index: Index, result: Descriptor) -> Self {
        Self {
            index,
            result,
            choices: Vec::new(),
            old: HashSet::new(),
            removed: HashSet::new(),
            attestations: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    /// Writes `index.json`, which refers to the blobs from then on, and deletes old documents that nothing refers to. Where
    /// nothing changes, nothing is written.
    pub(super) fn write(
        self,
        layout: &Layout,
        lock: &Lock,
        before: &Index,
        store: impl FnOnce() -> Result<Vec<StoredBlob>>,
    ) -> Result<Edited> {
        let Self { index, result, choices, old, removed, attestations, warnings: others } = self;
        let images = |result: &Descriptor| summaries(layout, std::slice::from_ref(result));
        if index == *before {
            let images = images(&result);
            return Ok(Edited {
                entry: result,
                images,
                choices,
                has_changed: false,
                lacks_history: false,
                warnings: Vec::new(),
            });
        }
        let mut warnings = Vec::new();
        if !attestations.is_empty() {
            warnings.push(EditWarning::LeftOut(attestations.iter().map(Digest::to_string).collect()));
        }
        let reported = removed.into_iter().chain(attestations).collect();
        let left = left_behind(layout, before, &old, &reported);
        if !left.is_empty() {
            warnings.push(EditWarning::LeftBehind(left));
        }
        warnings.extend(others);
        write_index(layout, lock, &index, store()?)?;
        let images = images(&result);
        // A staging file that cannot be read may refer to any blob: then nothing is deleted.
        if let Ok(stage) = layout.find_stage() {
            let stage = stage.unwrap_or_else(Stage::empty);
            remove_unreferenced(layout, lock, &index, &stage, old.into_iter().collect());
        }
        Ok(Edited { entry: result, images, choices, has_changed: true, lacks_history: false, warnings })
    }
}
