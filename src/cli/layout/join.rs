//! `layout join`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use regshape::Error;
use regshape::oci::RefName;
use regshape::transfer::{ExportOptions, Format};
use regshape::view::View;

use crate::cli::args::{Base, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::Advised;
use crate::cli::layout::archive_format::format_of_name;
use crate::cli::layout::export_output::{ExportScreen, warnings};
use crate::cli::output::{is_dash, is_stdout, printable};
use crate::cli::time::source_seconds;
use crate::cli::usage::Usage;

/// The name of an image whose parts have none, or several.
const DEFAULT_NAME: &str = "latest";

/// Merge single-platform images into one multi-platform image
///
/// The images of each PATH become entries of one new index, tagged with --ref-name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape join ./amd64 ./arm64.tar --output ./my-image --ref-name v1")]
pub(crate) struct Args {
    /// Layout or archive; DIR:TAG for one of its images; repeatable
    #[arg(short, long = "path", value_name = "PATH", required_unless_present = "sources")]
    paths: Vec<PathBuf>,
    /// Layouts or archives, instead of --path
    #[arg(value_name = "PATH", conflicts_with = "paths")]
    sources: Vec<PathBuf>,
    #[command(flatten)]
    _base: Base,
    /// Output: an archive if it ends in .tar, .tar.gz or .tar.zst, else a layout
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Tag of the image [default: the tag that all have, or latest]
    #[arg(long, value_name = "NAME")]
    ref_name: Option<String>,
    /// Take the tag from another manifest of an existing layout
    #[arg(long, alias = "replace")]
    replace_tag: bool,
    #[command(flatten)]
    write: WriteArgs,
    /// Print the result without writing anything
    #[arg(long)]
    dry_run: bool,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let ref_name = self.ref_name.as_deref().map(str::parse::<RefName>).transpose()?;
        let paths = if self.paths.is_empty() { &self.sources } else { &self.paths };
        let stdin = paths.iter().filter(|path| is_dash(path)).count();
        if is_stdout(&self.output) || stdin > 1 {
            return Err(Usage("only one PATH can be -, and --output cannot be -".to_owned()).into());
        }
        let format = format_of_name(&self.output)?;
        let (mut sources, mut selections) = (Vec::new(), Vec::new());
        for path in paths {
            let source = context.source(path, &[])?;
            selections.push(source.selection());
            sources.push(source.view);
        }
        let write_options = context.write_options(&self.output, &self.write);
        if format == Format::Directory {
            context.without_tag(&self.output)?;
        }
        if format == Format::Directory && !self.dry_run {
            context.clean_target(&self.output, &write_options);
        }
        // Bytes that went to a pipe or an open descriptor cannot be taken back.
        let is_stream = regshape::internals::is_stream(&self.output);
        let (view, exported) = View::reading(sources, |sources, reading| -> anyhow::Result<_> {
            let views = sources.iter().zip(&selections).map(|(view, selection)| view.select(selection));
            let views = views.collect::<Result<Vec<_>, _>>()?;
            let name = match &ref_name {
                Some(name) => name.as_str(),
                None => View::common_ref_name(&views).unwrap_or(DEFAULT_NAME),
            };
            let view = View::multi_platform(views.iter().cloned(), name)?;
            let options = ExportOptions::default()
                .replace(self.replace_tag)
                .modified(source_seconds()?.unwrap_or_default())
                .write(write_options.clone())
                .shares_blobs(context.shares_blobs)
                .metrics(context.metrics());
            let plan = view.plan_export(format, &options).map_err(|error| way_out(error, &views))?;
            view.check_documents()?;
            if self.dry_run {
                let planned = plan.totals_at(&self.output)?;
                return Ok((view, planned));
            }
            let progress = context.ui.progress("Joining into", &self.output, Some(plan.totals().blobs.bytes));
            let advance = |bytes| progress.advance(bytes);
            if is_stream {
                reading.cannot_begin_again();
            }
            if format == Format::Directory {
                reading.let_writers_in();
            }
            let exported = reading.copied(plan.with_progress(&advance).write(&self.output))?;
            Ok((view, exported))
        })?;
        warn_of_doubles(context, &view)?;
        warnings(&exported).for_each(|warning| context.ui.warn_at_the_end(warning));
        let title = if self.dry_run { "Would join:" } else { "Joined:" };
        context.ui.result(&ExportScreen::new(title, &self.output, &view, &exported, self.dry_run))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Warns of platforms that several images are for: programs take the first of them.
fn warn_of_doubles(context: &Context, view: &View) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for (entry, platform) in view.platforms()? {
        let Some(platform) = platform else {
            context.ui.warn_at_the_end(format!("{} has no platform", entry.digest));
            continue;
        };
        // `linux/arm64` is `linux/arm64/v8`; two versions of Windows are two platforms.
        let normalized = platform.normalized();
        if normalized.is_some_and(|normalized| !seen.insert(normalized.to_string())) {
            let platform = printable(&platform.to_string());
            context.ui.warn_at_the_end(format!("several images are for {platform}: programs take the first"));
        }
    }
    Ok(())
}

/// Names the input that lists a missing image, and the way out.
fn way_out(error: Error, views: &[View]) -> anyhow::Error {
    if !matches!(error, Error::PlatformNotStored { .. }) {
        return error.into();
    }
    let plans = views.iter().map(|view| view.plan_export(Format::Directory, &ExportOptions::default()));
    let first = plans.filter_map(Result::err).find(|error| matches!(error, Error::PlatformNotStored { .. }));
    let hint = "first export the stored ones with 'layout export --platform'".to_owned();
    Advised { error: first.unwrap_or(error), hint }.into()
}
