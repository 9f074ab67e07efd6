//! Exports: first planned, then written as planned.

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

/// A planned export. Each document was read and verified once; nothing is written yet.
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
    progress: Progress<'a>,
}

/// The target format of an export.
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
    /// [`Error::MissingBlob`], with the document that refers to it; [`Error::PlatformNotStored`], if the blob is the
    /// manifest for a platform in a nested index; [`Error::SizeMismatch`]; the errors of reading a document;
    /// [`Error::CannotHold`], if the format cannot represent the view; [`Error::TooLarge`].
    pub fn plan_export<'a>(&self, format: Format, options: &ExportOptions) -> Result<ExportPlan<'a>> {
        let target = match format {
            Format::Directory => Target::Layout(LayoutPlan::new(self, options)?),
            Format::Archive { kind, compression } => {
                Target::Archive { plan: ArchivePlan::new(self, kind, options)?, compression }
            }
        };
        Ok(ExportPlan { target, progress: Progress::none() })
    }
}

impl<'a> ExportPlan<'a> {
    /// Returns the blobs to write. An existing layout may already have some of them.
    pub fn totals(&self) -> &Exported {
        match &self.target {
            Target::Layout(plan) => &plan.contents.exported,
            Target::Archive { plan, .. } => &plan.contents.exported,
        }
    }

    /// Returns the blobs that [`ExportPlan::write`] would write to a path, and those already there. Existing blobs are
    /// not read: a blob with the right size counts as present.
    ///
    /// # Errors
    ///
    /// Those errors of [`ExportPlan::write`] that can be detected before anything is written.
    pub fn totals_at(&self, path: impl AsRef<Path>) -> Result<Exported> {
        match &self.target {
            Target::Layout(plan) => plan.totals_at(path.as_ref()),
            Target::Archive { plan, .. } => Ok(plan.contents.exported.clone()),
        }
    }

    /// Sets a callback for the numbers of bytes that are written, and of bytes verified in existing blobs.
    #[must_use]
    pub fn with_progress(self, progress: impl Into<Progress<'a>>) -> Self {
        Self { progress: progress.into(), ..self }
    }

    /// Writes the planned export to a path: as a layout, new or added to an existing one, or as an archive.
    ///
    /// A new layout appears at its path only when all of it is on disk; in an existing empty directory, its marker is
    /// written last. In an existing layout, blobs with the right content stay and corrupt blobs are replaced. Entries
    /// are added unless the layout has equal ones or, for entries without a name, an entry for the same manifest.
    /// Everything else is unchanged. After an error, or if the process is killed, the layout has either its old content
    /// or all of the new.
    ///
    /// An archive replaces an existing file only when it is complete. An open descriptor, a pipe or a device is written
    /// to directly.
    ///
    /// # Errors
    ///
    /// [`Error::DigestMismatch`]; for a layout also [`Error::NotEmpty`]; [`Error::NameTaken`], unless
    /// [`ExportOptions::replace`] is set; [`Error::MalformedMarker`], [`Error::LayoutVersion`],
    /// [`Error::MalformedIndex`], [`Error::LinkOutside`]; [`Error::Locked`]; [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<Exported> {
        match &self.target {
            Target::Layout(plan) => plan.write(path.as_ref(), self.progress),
            Target::Archive { plan, compression } => {
                let path = path.as_ref();
                file::write_file(path, *compression, &plan.options.write, |writer| {
                    plan.write(writer, path, self.progress)
                })
            }
        }
    }

    /// Writes an archive to a stream. After an error, the bytes written so far are not a valid archive.
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
                let path = Path::new("standard output");
                file::write(writer, path, *compression, |writer| plan.write(writer, path, self.progress))
            }
        }
    }
}
