//! The images that are put into an index: references in its layout, other layouts, archives.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use regshape::Error;
use regshape::build::edit::{Edited, IndexImage};
use regshape::layout::Layout;
use regshape::oci::Descriptor;
use regshape::view::{Selection, View};

use crate::cli::context::Context;
use crate::cli::output::{is_dash, printable};
use crate::cli::path_reference::PathReference;
use crate::cli::usage::Usage;

/// An image, as the command line names it.
enum Word {
    /// A reference in the layout of the index.
    Stored(String),
    /// A view, by its place among the views, and the part of it.
    Source { name: String, at: usize, selection: Selection },
}

impl Context {
    /// Finds the images that words name, and puts them into an index of a layout.
    ///
    /// A word that is a reference in the layout means that; `./x` is always a path.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownManifest`] for a word that names nothing; [`Usage`] for a source with several images; those of reading
    /// the sources, and of the work.
    pub(crate) fn with_index_images(
        &self,
        layout: &Layout,
        words: &[PathBuf],
        work: impl Fn(&[IndexImage]) -> regshape::Result<Edited>,
    ) -> anyhow::Result<Edited> {
        if words.iter().filter(|word| is_dash(word)).count() > 1 {
            return Err(Usage("only one IMAGE can be -".to_owned()).into());
        }
        let own = View::of(layout.clone())?;
        let mut views = Vec::new();
        let mut found = Vec::new();
        for word in words {
            found.push(self.find_index_image(layout, &own, word, &mut views)?);
        }
        View::reading(views, |views, reading| -> anyhow::Result<Edited> {
            let image = |word: &Word| -> anyhow::Result<IndexImage> {
                Ok(match word {
                    Word::Stored(reference) => IndexImage::stored(reference.clone()),
                    Word::Source { name, at, selection } => {
                        let view = views[*at].select(selection)?;
                        expect_one(name, &view, &selection.references)?;
                        IndexImage::of_view(view, name.clone())
                    }
                })
            };
            let images = found.iter().map(image).collect::<anyhow::Result<Vec<_>>>()?;
            reading.let_writers_in();
            Ok(reading.copied(work(&images))?)
        })
    }

    fn find_index_image(
        &self,
        layout: &Layout,
        own: &View,
        word: &Path,
        views: &mut Vec<View>,
    ) -> anyhow::Result<Word> {
        let name = word.to_string_lossy().into_owned();
        let is_path = is_dash(word) || !matches!(word.components().next(), Some(Component::Normal(_)));
        if !is_path {
            match own.select(&Selection::default().references(vec![name.clone()])) {
                Ok(_) => return Ok(Word::Stored(name)),
                Err(Error::UnknownManifest { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let located = PathReference::find(word, false);
        if !is_path && !located.directory.exists() {
            return Err(Error::UnknownManifest { path: layout.path().to_owned(), reference: name }.into());
        }
        if let Some(reference) = located.full_reference()
            && is_same(&located.directory, layout.path())
        {
            return Ok(Word::Stored(reference));
        }
        let source = self.source_for(word, &[], Some(layout.path()))?;
        let selection = source.selection();
        views.push(source.view);
        Ok(Word::Source { name, at: views.len() - 1, selection })
    }
}

/// Returns whether two paths lead to one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

/// Checks that a source without a reference has one image: entries with one name are one image.
fn expect_one(name: &str, view: &View, references: &[String]) -> Result<(), Usage> {
    let entries: Vec<&Descriptor> = view.index().manifests.iter().filter(|entry| !entry.is_attestation()).collect();
    let digests: HashSet<_> = entries.iter().map(|entry| &entry.digest).collect();
    let is_one = digests.len() == 1 || entries.iter().all(|entry| entry.is_called_like(entries[0]));
    if !references.is_empty() || is_one && !entries.is_empty() {
        return Ok(());
    }
    let name = printable(name);
    if entries.is_empty() {
        return Err(Usage(format!("'{name}' holds no image")));
    }
    let mut names: Vec<String> = entries.iter().flat_map(|entry| entry.names().map(printable)).collect();
    names.dedup();
    let tags = if names.is_empty() { String::new() } else { format!(" (tags: {})", names.join(", ")) };
    Err(Usage(format!("which image of '{name}'? name it as {name}:TAG{tags}")))
}
