//! `layout export --format rootfs`: the files of one image as one tar.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use regshape::Tally;
use regshape::compress::{Bounds, CompressFormat};
use regshape::layout::WriteOptions;
use regshape::metrics::Progress;
use regshape::oci::{Digest, Platform};
use regshape::rootfs::ImageFiles;
use regshape::transfer::{Format, RootfsOptions};
use regshape::view::{Reading, View};
use serde::Serialize;

use super::archive_format::format_of_name;
use super::export_output::expect_pipe;
use super::source::LowerVariant;
use crate::cli::context::Context;
use crate::cli::output::{Block, Screen, is_stdout, output_error, printable};
use crate::cli::style::Style;
use crate::cli::usage::Usage;

/// An export of the files of an image.
pub(super) struct RootfsExport {
    pub(super) path: PathBuf,
    pub(super) reference: Option<String>,
    pub(super) platform: Option<Platform>,
    pub(super) output: PathBuf,
    pub(super) bounds: Bounds,
    pub(super) is_dry_run: bool,
    pub(super) no_sync: bool,
}

/// The result.
#[derive(Serialize)]
struct RootfsScreen {
    #[serde(skip)]
    title: &'static str,
    digest: Digest,
    output: String,
    dry_run: bool,
    entries: u64,
    /// The bytes of the content of files.
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
}

impl Screen for RootfsScreen {
    fn quiet(&self) -> Option<String> {
        Some(printable(&self.output))
    }

    fn text(&self, style: &Style) -> String {
        Block::new(self.title, 7)
            .line("digest", style.digest(&self.digest))
            .line("output", printable(&self.output))
            .line("entries", self.entries)
            .line("bytes", self.bytes)
            .finish()
    }
}

impl RootfsExport {
    /// Writes the tar and the result.
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let compression = compression_of(&self.output)?;
        let to_stdout = is_stdout(&self.output);
        if to_stdout && !self.is_dry_run {
            expect_pipe(context)?;
        }
        let reference = self.reference.as_deref();
        let ((digest, tally), lower_variants) =
            context.read_image_in(&self.path, reference, self.platform.clone(), |image, _, reading| {
                self.write(context, image, compression, reading)
            })?;
        if !to_stdout || self.is_dry_run {
            let title = if self.is_dry_run { "Would export files:" } else { "Exported files:" };
            let output = self.output.display().to_string();
            let (entries, bytes) = (tally.count, tally.bytes);
            let dry_run = self.is_dry_run;
            context.ui.result(&RootfsScreen { title, digest, output, dry_run, entries, bytes, lower_variants })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn write(
        &self,
        context: &Context,
        image: &View,
        compression: Option<CompressFormat>,
        reading: &mut Reading,
    ) -> anyhow::Result<(Digest, Tally)> {
        let mut files = ImageFiles::of(image, self.bounds)?;
        let read = context.ui.progress("Reading", &self.path, Some(files.size()));
        let advance = |bytes| read.advance(bytes);
        if self.is_dry_run {
            return Ok((files.manifest().clone(), files.rootfs_tally(Progress::new(&advance))?));
        }
        let is_stream = is_stdout(&self.output) || regshape::internals::is_stream(&self.output);
        let write = WriteOptions::default().no_sync(self.no_sync).interrupt(context.interrupt.clone());
        let mut options = RootfsOptions::default().write(write).metrics(context.metrics());
        if !is_stream {
            options.spill_directory = directory_of(&self.output);
        }
        let tar = files.rootfs_tar(&options, Progress::new(&advance))?;
        drop(read);
        let progress = context.ui.progress("Exporting to", &self.output, Some(tar.tally().bytes));
        let advance = |bytes| progress.advance(bytes);
        // Bytes that went to a pipe or an open descriptor cannot be taken back.
        if is_stream {
            reading.cannot_begin_again();
        }
        if is_stdout(&self.output) {
            tar.write_to(io::stdout(), compression, Progress::new(&advance)).map_err(output_error)?;
        } else {
            tar.write(&self.output, compression, Progress::new(&advance))?;
        }
        Ok((tar.manifest().clone(), tar.tally()))
    }
}

/// Returns the compression that the name of an output says. A name without an ending of archives is that of a plain tar.
fn compression_of(output: &Path) -> Result<Option<CompressFormat>, Usage> {
    Ok(match format_of_name(output)? {
        Format::Archive { compression, .. } => compression,
        _ => None,
    })
}

/// Returns the directory of an output, for temporary files on its file system.
fn directory_of(output: &Path) -> Option<PathBuf> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or_else(|| Path::new("."));
    // Writing to a directory that is not there is an error of its own.
    directory.is_dir().then(|| directory.to_owned())
}
