//! Exports: planned, and then written as planned.

use std::fmt;
use std::io::Write;
use std::path::Path;

use super::contents::{ExportOptions, Exported};
use super::dir::LayoutPlan;
use super::file;
use super::format::Format;
use super::tar::ArchivePlan;
use crate::compress::CompressFormat;
use crate::error::{Error, Result};
use crate::metrics::Progress;
use crate::view::index_view::View;

/// An export that is planned to the last blob. Each document was read and verified once, and nothing is written yet.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (image, archive) = (directory.path().join("image"), directory.path().join("image.tar.gz"));
/// # regshape::layout::Layout::init(&image)?;
/// use regshape::transfer::{ExportOptions, Format};
/// use regshape::view::View;
///
/// let view = View::open(&image)?;
/// let plan = view.plan_export(Format::from_name(&archive), &ExportOptions::default())?;
/// println!("{} bytes to write", plan.totals().blobs.bytes);
/// plan.write(&archive)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ExportPlan<'a> {
    target: Target,
    progress: Option<Progress<'a>>,
}

/// The output of an export.
#[derive(Clone, Debug)]
enum Target {
    Layout(LayoutPlan),
    Archive { plan: ArchivePlan, compression: Option<CompressFormat> },
}

impl fmt::Debug for ExportPlan<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ExportPlan").field("target", &self.target).finish_non_exhaustive()
    }
}

impl View {
    /// Plans an export of this view: collects its blobs, and reads and verifies its documents.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`], with the referrer; [`Error::PlatformNotStored`], if that is the manifest for a platform
    /// that a nested index lists; [`Error::SizeMismatch`]; the error of reading a document; [`Error::CannotHold`], if
    /// the format has no place for something; [`Error::TooLarge`].
    pub fn plan_export<'a>(&self, format: Format, options: &ExportOptions) -> Result<ExportPlan<'a>> {
        let target = match format {
            Format::Directory => Target::Layout(LayoutPlan::new(self, options)?),
            Format::Archive { kind, compression } => {
                Target::Archive { plan: ArchivePlan::new(self, kind, options)?, compression }
            }
        };
        Ok(ExportPlan { target, progress: None })
    }
}

impl<'a> ExportPlan<'a> {
    /// Returns the blobs to write. A layout that is added to may already have a part of them.
    pub fn totals(&self) -> &Exported {
        match &self.target {
            Target::Layout(plan) => &plan.contents.exported,
            Target::Archive { plan, .. } => &plan.contents.exported,
        }
    }

    /// Returns the result of [`ExportPlan::write`] to a path without writing. Blobs at the path are not read: one with
    /// the right size counts.
    ///
    /// # Errors
    ///
    /// Those of [`ExportPlan::write`] that show before anything is written.
    pub fn totals_at(&self, path: impl AsRef<Path>) -> Result<Exported> {
        match &self.target {
            Target::Layout(plan) => plan.totals_at(path.as_ref()),
            Target::Archive { plan, .. } => Ok(plan.contents.exported.clone()),
        }
    }

    /// Calls a function with the numbers of bytes that were written, or read and found right where they were to be written.
    #[must_use]
    pub fn with_progress(self, progress: Progress<'a>) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// Writes the export to a path: as a layout, which is made or added to, or as an archive.
    ///
    /// A new layout gets its name, or its marker in a directory that was empty, only when all of it is synced. In an
    /// existing layout, blobs with the right content stay and wrong ones are replaced; an entry is added unless an
    /// equal one is there, or, if it has no name, one of the same manifest; everything else stays. After an error, and
    /// whenever the process ends, the path has either its earlier content or all of the export.
    ///
    /// An archive replaces the file that is there when it is whole. A path that names an open descriptor, a pipe or a device is
    /// written to.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`]; of a layout also [`Error::NotEmpty`]; [`Error::NameTaken`], unless names are to be replaced;
    /// [`Error::MalformedMarker`], [`Error::LayoutVersion`], [`Error::MalformedIndex`], [`Error::LinkOutside`];
    /// [`Error::Locked`]; [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<Exported> {
        match &self.target {
            Target::Layout(plan) => plan.write(path.as_ref(), self.progress),
            Target::Archive { plan, compression } => file::write_file(plan, path.as_ref(), *compression, self.progress),
        }
    }

    /// Writes an archive to a stream. After an error the bytes written by then are useless.
    ///
    /// # Errors
    ///
    /// [`Error::CannotHold`], if the format is [`Format::Directory`]; [`Error::DigestMismatch`]; [`Error::Io`].
    pub fn write_to(&self, writer: impl Write + Send) -> Result<Exported> {
        match &self.target {
            Target::Layout(_) => {
                Err(Error::CannotHold { format: "a stream", what: "a layout, which is a directory".to_owned() })
            }
            Target::Archive { plan, compression } => {
                file::write(plan, writer, Path::new("standard output"), *compression, self.progress)
            }
        }
    }
}
