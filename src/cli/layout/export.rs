//! `layout export`

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use regshape::Error;
use regshape::compress::CompressFormat;
use regshape::layout::Layout;
use regshape::oci::{Annotations, Descriptor, Digest, REF_NAME, RefName};
use regshape::transfer::{ArchiveKind, ExportOptions, Format};
use regshape::view::{ArchiveImage, View};

use crate::cli::args::{AnnotationArgs, BoundsArgs, Common, PlatformsArg, WriteArgs, parse_annotation};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::Advised;
use crate::cli::layout::archive_format::format_of_name;
use crate::cli::layout::export_output::{ExportScreen, expect_pipe, warnings};
use crate::cli::layout::export_rootfs::RootfsExport;
use crate::cli::layout::source::named;
use crate::cli::output::{is_dash, is_stdout, printable};
use crate::cli::time::source_seconds;
use crate::cli::usage::Usage;

/// Write images as a layout, an OCI archive or a Docker archive, or their files as a tar
///
/// Verifies each blob and writes it once. Adds to an existing layout; replaces an existing file once the new one is complete. Equal
/// input and flags give equal bytes. --format rootfs writes the files of one image as one tar, compressed by the ending of
/// its name.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape export ./my-image --output ./my-image.tar\n  regshape export ./my-image:v1 --platform linux/arm64 \\\n      --ref-name example/app:v1 --format docker-archive \\\n      --output - | podman load\n  regshape export ./my-image:v1 --format rootfs --output rootfs.tar.gz"
)]
#[command(mut_arg("path", |path| path.help("Layout or archive; DIR:TAG for one image; - for an archive on standard input")))]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Take the image with this tag, image name, digest or TAG@DIGEST; repeatable [default: all]
    #[arg(long = "ref", value_name = "REF")]
    references: Vec<String>,
    /// Output; - for an archive on standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Format of the output [default: by the name: .tar, .tar.gz and .tar.zst are OCI archives, others layouts]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<FormatArg>,
    #[command(flatten)]
    platforms: PlatformsArg,
    /// Leave out BuildKit attestations
    #[arg(long)]
    no_attestations: bool,
    /// Take only entries with this annotation; repeatable
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = parse_annotation)]
    filter: Vec<(String, String)>,
    /// Replace the index by its first nested index
    #[arg(long)]
    unwrap: bool,
    /// Nest the index in a new one, as its only entry
    #[arg(long)]
    wrap: bool,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Tag of the image in the output
    #[arg(long, value_name = "NAME")]
    ref_name: Option<String>,
    /// Also take referrers (signatures, SBOMs) of the selected manifests
    #[arg(long)]
    referrers: bool,
    /// Leave out blobs that LAYOUT has
    #[arg(long, value_name = "LAYOUT")]
    except: Option<PathBuf>,
    /// Leave out missing blobs that have a URL or belong to images of other platforms
    #[arg(long)]
    allow_missing: bool,
    /// Hard-link blobs into a layout on the same file system
    #[arg(long)]
    link: bool,
    /// Take tags from other manifests of an existing layout
    #[arg(long, alias = "replace")]
    replace_tag: bool,
    /// Print the result without writing anything
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    bounds: BoundsArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Dir,
    OciArchive,
    DockerArchive,
    #[value(name = "tar.gz")]
    TarGz,
    #[value(name = "tar.zst")]
    TarZst,
    Rootfs,
}

/// Returns the format that is meant. The name tells it only if the flag does not.
fn format_of(format: Option<FormatArg>, output: &Path) -> Result<Format, Usage> {
    let oci = |compression: Option<CompressFormat>| Format::Archive { kind: ArchiveKind::Oci, compression };
    Ok(match format {
        None if is_dash(output) => oci(None),
        None => format_of_name(output)
            .map_err(|Usage(message)| Usage(format!("{message}; --format dir makes a directory of any name")))?,
        Some(FormatArg::Dir) => Format::Directory,
        Some(FormatArg::OciArchive) => oci(None),
        Some(FormatArg::DockerArchive) => Format::Archive { kind: ArchiveKind::Docker, compression: None },
        Some(FormatArg::TarGz) => oci(Some(CompressFormat::Gzip)),
        Some(FormatArg::TarZst) => oci(Some(CompressFormat::Zstd)),
        Some(FormatArg::Rootfs) => unreachable!("the files of an image are no image"),
    })
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if matches!(self.format, Some(FormatArg::Rootfs)) {
            return self.rootfs()?.run(context);
        }
        if let Some(flag) = self.bounds.given() {
            return Err(Usage(format!("{flag} has a meaning with --format rootfs only")).into());
        }
        let ref_name = self.ref_name.as_deref().map(str::parse::<RefName>).transpose()?;
        let platforms = self.platforms.platforms()?;
        let format = format_of(self.format, &self.output)?;
        let to_stdout = is_stdout(&self.output);
        if to_stdout && !self.dry_run {
            ensure!(
                format != Format::Directory,
                "a layout cannot be written to standard output; choose another --format"
            );
            expect_pipe(context)?;
        }
        let source = context.source(&self.common.path()?, &self.references)?;
        let is_docker = matches!(format, Format::Archive { kind: ArchiveKind::Docker, .. });
        let selection = source
            .selection()
            .unwrap(self.unwrap)
            .annotations(self.filter.into_iter().collect())
            .platforms(platforms)
            // Docker archives have no place for them.
            .no_attestations(self.no_attestations || is_docker)
            .referrers(self.referrers);
        let mut annotations = self.annotations.annotations();
        // The annotation that is the name is no other one.
        let ref_name = match (ref_name, annotations.remove(REF_NAME)) {
            (None, Some(name)) => Some(name.parse()?),
            (ref_name, _) => ref_name,
        };
        let except = self.except.map(Layout::open).transpose()?;
        // Bytes that went to a pipe or an open descriptor cannot be taken back.
        let is_stream = regshape::internals::is_stream(&self.output);
        let mut notes = Vec::new();
        let write_options = context.write_options(&self.output, &self.write);
        if format == Format::Directory {
            context.without_tag(&self.output)?;
        }
        if format == Format::Directory && !self.dry_run {
            context.clean_target(&self.output, &write_options);
        }
        let reading = View::reading(vec![source.view], |views, reading| -> anyhow::Result<_> {
            let view = views[0].clone();
            let view = if format == Format::Directory { context.beside(view, &self.output)? } else { view };
            let (view, lower_variants) = context.select(&view, &selection)?;
            notes.clear();
            let view = if is_docker { images_for_docker(&view, &mut notes)? } else { view };
            let (annotations, ref_name) = (annotations.clone(), ref_name.clone());
            let view =
                if self.wrap { wrapped(&view, annotations, ref_name)? } else { renamed(view, annotations, ref_name)? };
            if is_docker {
                let entries = view.index().manifests.iter().filter(|entry| entry.repo_tags().is_empty());
                notes.extend(entries.filter_map(|entry| entry.names().next()).map(nameless));
            }
            let mut options = ExportOptions::default()
                .allow_missing(self.allow_missing)
                .link(self.link)
                .replace(self.replace_tag)
                .modified(source_seconds()?.unwrap_or_default())
                .write(write_options.clone())
                .shares_blobs(context.shares_blobs)
                .metrics(context.metrics());
            options.except = except.clone();
            let plan = view.plan_export(format, &options).map_err(|error| way_out(error, &view, format))?;
            view.check_documents()?;
            if plan.totals().left_out.count > 0 {
                reading.expect_unchanged(views)?;
            }
            notes.drain(..).for_each(|note| context.ui.note(&note));
            if self.dry_run {
                let planned = plan.totals_at(&self.output)?;
                return Ok((view, lower_variants, planned));
            }
            let progress = context.ui.progress("Exporting to", &self.output, Some(plan.totals().blobs.bytes));
            let advance = |bytes| progress.advance(bytes);
            let plan = plan.with_progress(&advance);
            if to_stdout || is_stream {
                reading.cannot_begin_again();
            }
            if format == Format::Directory {
                reading.let_writers_in();
            }
            let exported = if to_stdout {
                plan.write_to(io::stdout()).map_err(crate::cli::output::output_error)?
            } else {
                reading.copied(plan.write(&self.output))?
            };
            Ok((view, lower_variants, exported))
        });
        let (view, lower_variants, exported) = reading?;
        if self.dry_run {
            context.ui.result(
                &ExportScreen::new("Would export:", &self.output, &view, &exported, true).with(lower_variants),
            )?;
        } else if to_stdout {
            warnings(&exported).for_each(|warning| context.ui.warn(&warning));
        } else {
            warnings(&exported).for_each(|warning| context.ui.warn_at_the_end(warning));
            context
                .ui
                .result(&ExportScreen::new("Exported:", &self.output, &view, &exported, false).with(lower_variants))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Args {
    /// Returns the export of the files of an image.
    ///
    /// # Errors
    ///
    /// [`Usage`] for flags that have no meaning for files.
    fn rootfs(&self) -> anyhow::Result<RootfsExport> {
        let others = [
            ("--filter", !self.filter.is_empty()),
            ("--unwrap", self.unwrap),
            ("--wrap", self.wrap),
            ("--annotation", self.annotations.is_given()),
            ("--ref-name", self.ref_name.is_some()),
            ("--referrers", self.referrers),
            ("--except", self.except.is_some()),
            ("--allow-missing", self.allow_missing),
            ("--link", self.link),
            ("--replace-tag", self.replace_tag),
        ];
        if let Some((flag, _)) = others.iter().find(|(_, is_given)| *is_given) {
            return Err(Usage(format!("{flag} has no meaning with --format rootfs")).into());
        }
        let (mut platforms, reference) = (self.platforms.platforms()?, self.references.first().cloned());
        if platforms.len() > 1 || self.references.len() > 1 {
            return Err(Usage("--format rootfs takes one image: name one --ref and one --platform".to_owned()).into());
        }
        Ok(RootfsExport {
            path: self.common.path()?,
            reference,
            platform: platforms.pop(),
            output: self.output.clone(),
            bounds: self.bounds.bounds(),
            is_dry_run: self.dry_run,
            no_sync: self.write.no_sync,
        })
    }
}

/// Returns whether a blob is a layer that is not there, and all that is not there may be left out.
fn is_left_out(view: &View, format: Format, digest: &Digest) -> bool {
    let is_layer = |image: &ArchiveImage| image.layers.iter().any(|layer| layer.descriptor().digest == *digest);
    let options = ExportOptions::default().allow_missing(true);
    view.images().is_ok_and(|images| images.iter().any(is_layer)) && view.plan_export(format, &options).is_ok()
}

/// Adds the way out to an error about missing content that may be left out.
fn way_out(error: Error, view: &View, format: Format) -> anyhow::Error {
    match error {
        Error::PlatformNotStored { ref platform, .. } => {
            // Only entries of a nested index may be left out.
            let is_entry = view.index().manifests.iter().any(|entry| entry.platform.as_ref() == Some(platform));
            let flags = if is_entry { "--platform" } else { "--allow-missing or --platform" };
            Advised { error, hint: format!("use {flags}") }.into()
        }
        Error::MissingBlob { ref digest, .. } if is_left_out(view, format, digest) => {
            Advised { error, hint: "use --allow-missing".to_owned() }.into()
        }
        error => error.into(),
    }
}

/// Leaves out the entries that are no images, and notes them.
fn images_for_docker(view: &View, notes: &mut Vec<String>) -> anyhow::Result<View> {
    let (view, others) = view.images_for_docker()?;
    let note = |entry: &Descriptor| {
        let name =
            entry.names().next().map_or_else(|| entry.digest.to_string(), |name| format!("'{}'", printable(name)));
        let kind = entry.artifact_type.as_deref().unwrap_or(entry.media_type.as_str());
        format!("{name} is left out: a Docker archive holds images, and this is {}", printable(kind))
    };
    notes.extend(others.iter().map(note));
    Ok(view)
}

/// Returns the note about a name that Docker does not show.
fn nameless(name: &str) -> String {
    let name = printable(name);
    format!("'docker load' will show '{name}' without a name; give it one with --ref-name REPOSITORY:TAG")
}

/// Puts the index into a new one. The new entry has the name that is given, or that all entries have.
fn wrapped(view: &View, mut annotations: Annotations, ref_name: Option<RefName>) -> anyhow::Result<View> {
    let names = View::common_names(std::slice::from_ref(view), ref_name.as_ref().map(RefName::as_str));
    for (key, name) in names {
        annotations.entry(key).or_insert(name);
    }
    Ok(view.wrap(annotations))
}

/// Sets annotations of entries, and their name if they are of one image.
fn renamed(view: View, annotations: Annotations, ref_name: Option<RefName>) -> anyhow::Result<View> {
    let count = view.index().manifests.len();
    let view = match ref_name {
        Some(ref_name) => named(&view, &ref_name).with_context(|| {
            format!("--ref-name names one image, and {count} are selected; choose one with --ref, or use --wrap")
        })?,
        None => view,
    };
    Ok(if annotations.is_empty() { view } else { view.annotated(&annotations) })
}
