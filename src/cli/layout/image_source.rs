//! The one image of a path, whose files a command reads.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use regshape::layout::Layout;
use regshape::oci::Descriptor;
use regshape::oci::Platform;
use regshape::view::{Reading, Selection, View};

use super::edit::tags_in_brackets;
use super::source::{ImageSource, LowerVariant};
use crate::cli::args::PathFlag;
use crate::cli::context::Context;
use crate::cli::path_reference::PathReference;
use crate::cli::usage::Usage;

/// A path in an image, which is not empty: an unset variable of a script is not the whole image.
#[derive(Clone, Debug)]
pub(crate) struct ImagePath(OsString);

impl ImagePath {
    /// Returns the parser of arguments.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|path| if path.is_empty() { Err("it is empty") } else { Ok(Self(path)) })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_encoded_bytes()
    }
}

impl PathFlag {
    /// Returns the path of the layout of a command whose other arguments are paths in its image.
    pub(crate) fn path_beside(&self, files: &[ImagePath]) -> anyhow::Result<PathBuf> {
        self.path().map_err(|error| match files.first() {
            Some(word) => self.explain(error.into(), &word.0.to_string_lossy(), "PATH"),
            None => error.into(),
        })
    }
}

/// Views of the layout or archive of an image.
pub(crate) struct ImageSourceViews<'a> {
    /// All entries.
    pub(crate) all: &'a View,
    /// Those that the path names.
    pub(crate) named: &'a View,
}

impl Context {
    /// Reads the one image of a path: DIR:TAG, DIR@DIGEST, an archive, or a layout that has one image. Work that meets a
    /// layout that is being changed is done again.
    ///
    /// # Errors
    ///
    /// [`Usage`] if a layout has several images and none is named; those of opening the path and of the work.
    pub(crate) fn read_image<T>(
        &self,
        path: &Path,
        platform: Option<Platform>,
        mut work: impl FnMut(&View, &mut Reading) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Vec<LowerVariant>)> {
        self.read_image_in(path, None, platform, |image, _, reading| work(image, reading))
    }

    /// Reads the one image of a path, or of a path and a reference, as [`Context::read_image`] does, beside the other entries
    /// of its layout or archive.
    ///
    /// # Errors
    ///
    /// Those of [`Context::read_image`].
    pub(crate) fn read_image_in<T>(
        &self,
        path: &Path,
        reference: Option<&str>,
        platform: Option<Platform>,
        mut work: impl FnMut(&View, ImageSourceViews<'_>, &mut Reading) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Vec<LowerVariant>)> {
        let source = self.source_of_image(path, reference)?;
        self.read_sources(vec![source], platform, |images, reading| {
            let ChosenImage { image, all, named } = &images[0];
            work(image, ImageSourceViews { all, named }, reading)
        })
    }

    /// Reads the one image of each of two paths, as [`Context::read_image`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Context::read_image`].
    pub(crate) fn read_two_images<T>(
        &self,
        paths: [&Path; 2],
        platform: Option<Platform>,
        mut work: impl FnMut([&View; 2], &mut Reading) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Vec<LowerVariant>)> {
        let sources = paths.into_iter().map(|path| self.source_of_image(path, None)).collect::<anyhow::Result<_>>()?;
        self.read_sources(sources, platform, |images, reading| work([&images[0].image, &images[1].image], reading))
    }

    fn source_of_image(&self, path: &Path, reference: Option<&str>) -> anyhow::Result<ImageSource> {
        let located = PathReference::find(path, false);
        if reference.is_none() && located.full_reference().is_none() && Layout::is_at(&located.directory) {
            expect_one_entry(&self.open_beside(&located.directory)?)?;
        }
        let references: Vec<String> = reference.map(str::to_owned).into_iter().collect();
        let source = self.source(path, &references)?;
        if source.references.len() > 1 {
            return Err(Usage("one image is read: name it in the path or with --ref, not both".to_owned()).into());
        }
        Ok(source)
    }

    fn read_sources<T>(
        &self,
        sources: Vec<ImageSource>,
        platform: Option<Platform>,
        mut work: impl FnMut(&[ChosenImage], &mut Reading) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Vec<LowerVariant>)> {
        let views = sources.iter().map(|source| source.view.clone()).collect();
        let of_platform = Selection::default().platforms(platform.into_iter().collect()).no_attestations(true);
        View::reading(views, |views, reading| {
            let (mut images, mut lower_variants) = (Vec::new(), Vec::new());
            for (view, source) in views.iter().zip(&sources) {
                let named = view.select(&source.selection())?;
                let (image, lower) = self.select(&named, &of_platform)?;
                images.push(ChosenImage { image, all: view.clone(), named });
                lower_variants.extend(lower);
            }
            Ok((work(&images, reading)?, lower_variants))
        })
    }
}

/// The image of a source, beside the other entries there.
struct ChosenImage {
    image: View,
    all: View,
    named: View,
}

/// Checks that a layout has one manifest or index, perhaps under several names.
fn expect_one_entry(layout: &Layout) -> anyhow::Result<()> {
    let index = layout.read_index()?;
    let is_named = |entry: &&Descriptor| !entry.is_attestation();
    let digests: HashSet<_> = index.manifests.iter().filter(is_named).map(|entry| &entry.digest).collect();
    if digests.len() <= 1 {
        return Ok(());
    }
    Err(Usage(format!("which image? name it as DIR:TAG{}", tags_in_brackets(layout))).into())
}
