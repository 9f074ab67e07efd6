//! Where images come from: a layout, an archive, standard input.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use regshape::graph::Choice;
use regshape::layout::Layout;
use regshape::oci::{Digest, RefName};
use regshape::transfer::LoadOptions;
use regshape::view::{Selected, Selection, View};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::printable;
use crate::cli::path_reference::PathReference;

/// Images, and which of them the path says.
pub(crate) struct ImageSource {
    pub(crate) view: View,
    /// The references that the path and the flags say.
    pub(crate) references: Vec<String>,
    /// The path with the reference, as errors name the image.
    pub(crate) typed: PathBuf,
}

impl ImageSource {
    /// Returns the selection of the part that the references name. Errors name it as the user typed it.
    pub(crate) fn selection(&self) -> Selection {
        Selection::default().references(self.references.clone()).name(&self.typed)
    }

    /// Returns the part of the view that the references name.
    pub(crate) fn named(&self) -> regshape::Result<View> {
        self.view.select(&self.selection())
    }
}

/// A lower variant that was taken for a platform, since there is no image for the one that was asked for.
#[derive(Serialize)]
pub(crate) struct LowerVariant {
    asked: String,
    taken: String,
}

impl Context {
    /// Takes a part of a view, and notes which lower variants were taken.
    pub(crate) fn select(&self, view: &View, selection: &Selection) -> anyhow::Result<(View, Vec<LowerVariant>)> {
        let Selected { view, choices, .. } = view.selected(selection)?;
        Ok((view, choices.iter().filter_map(|choice| self.lower_variant(choice)).collect()))
    }

    /// Notes that a lower variant was taken, if one was.
    pub(crate) fn lower_variant(&self, choice: &Choice) -> Option<LowerVariant> {
        if !choice.is_lower_variant {
            return None;
        }
        let (asked, taken) = (choice.asked.to_string(), choice.taken.to_string());
        self.ui.note(&format!("No image for {}; using {}", printable(&asked), printable(&taken)));
        Some(LowerVariant { asked, taken })
    }

    /// Opens a path that a view can be made of: a layout, perhaps with a reference after it; an archive; `-`.
    pub(crate) fn source(&self, path: &Path, references: &[String]) -> anyhow::Result<ImageSource> {
        self.source_for(path, references, None)
    }

    /// Opens a path whose images are to be added to a layout: temporary files of an archive are written beside the
    /// layout.
    pub(crate) fn source_for(
        &self,
        path: &Path,
        references: &[String],
        target: Option<&Path>,
    ) -> anyhow::Result<ImageSource> {
        let located = PathReference::find(path, false);
        let mut all: Vec<String> = located.full_reference().into_iter().collect();
        all.extend_from_slice(references);
        let typed = match references {
            [reference] if all.len() == 1 => with_reference(path, reference),
            _ => path.to_owned(),
        };
        let is_there = |path: &&Path| path.is_dir() && !path.as_os_str().is_empty();
        let spill = target.and_then(|target| target.ancestors().find(is_there)).map(Path::to_owned);
        let view = self.view(&located.directory, spill).map_err(|error| in_a_registry(error, path))?;
        Ok(ImageSource { view, references: all, typed })
    }

    /// Lets blobs be found that the layout has that a view is added to: `export --except` leaves them out.
    pub(crate) fn beside(&self, view: View, target: &Path) -> anyhow::Result<View> {
        if !Layout::is_at(target) || !target.join("index.json").is_file() {
            return Ok(view);
        }
        Ok(view.with_blobs_of(&View::of(self.open_beside(target)?)?))
    }

    fn view(&self, path: &Path, spill_directory: Option<PathBuf>) -> anyhow::Result<View> {
        let size = fs::metadata(path).ok().filter(|metadata| metadata.is_file()).map(|file| file.len());
        let progress = self.ui.progress("Reading", path, size);
        let advance = |bytes| progress.advance(bytes);
        let mut options = LoadOptions::default().progress(&advance).interrupt(self.interrupt.clone());
        options.spill_directory = spill_directory;
        if path == Path::new("-") {
            ensure!(!io::stdin().is_terminal(), "standard input is a terminal; pipe an archive into it");
            return Ok(View::from_reader(path, io::stdin(), &options)?);
        }
        if Layout::is_at(path) {
            return Ok(View::of(self.open_beside(path)?)?);
        }
        Ok(View::load(path, &options)?)
    }
}

/// Adds to the error of a missing path that it may be meant as an image in a registry.
#[cfg(feature = "remote")]
fn in_a_registry(error: anyhow::Error, path: &Path) -> anyhow::Error {
    use regshape::Error;
    use regshape::remote::RemoteReference;

    let reference = path.to_str().and_then(|text| text.parse::<RemoteReference>().ok());
    match (error.downcast::<Error>(), reference) {
        (Ok(error @ Error::FileNotFound { .. }), Some(reference)) => {
            let hint = format!("if it is in a registry, 'regshape pull {reference} DIR' fetches it");
            crate::cli::error::Advised { error, hint }.into()
        }
        (Ok(error), _) => error.into(),
        (Err(error), _) => error,
    }
}

#[cfg(not(feature = "remote"))]
fn in_a_registry(error: anyhow::Error, _: &Path) -> anyhow::Error {
    error
}

/// Returns a path with a reference after it.
fn with_reference(path: &Path, reference: &str) -> PathBuf {
    let mark = if reference.parse::<Digest>().is_ok() { "@" } else { ":" };
    let mut typed = path.as_os_str().to_owned();
    typed.push(mark);
    typed.push(reference);
    typed.into()
}

/// Names the only image of a view; `None` if there are several.
pub(crate) fn named(view: &View, ref_name: &RefName) -> Option<View> {
    let entries = &view.index().manifests;
    let Some(first) = entries.first() else { return Some(view.clone()) };
    if entries.iter().all(|entry| entry.digest == first.digest) {
        // Of several names of one manifest the new one is left.
        return Some(view.filter(|entry| entry == first).named(ref_name.as_str()));
    }
    let is_one_name = entries.iter().all(|entry| entry.is_called_like(first));
    is_one_name.then(|| view.named(ref_name.as_str()))
}
