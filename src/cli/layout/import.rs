//! `layout import`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use regshape::oci::RefName;
use regshape::transfer::{ExportOptions, Format};
use regshape::view::View;

use crate::cli::args::PlatformsArg;
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::export_output::{ExportScreen, warnings};
use crate::cli::layout::source::named;
use crate::cli::output::printable;
use crate::cli::path_reference::PathReference;

/// Add the images of an archive to a layout
///
/// Reads OCI and Docker archives, plain or compressed, layouts, and skopeo's dir: directories. Creates the layout if necessary; its
/// other entries stay. Images that an index lists and the archive lacks are left out, with a warning.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape import ./my-layout --file ./my-image.tar\n  podman save --format oci-archive example/app |\n      regshape import ./my-layout --file - --ref-name example/app:v1"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Archive, layout or dir: directory; - for standard input
    #[arg(short, long, value_name = "ARCHIVE")]
    file: PathBuf,
    /// Take the image with this tag, image name, digest or TAG@DIGEST; repeatable [default: all]
    #[arg(long = "ref", value_name = "REF")]
    references: Vec<String>,
    #[command(flatten)]
    platforms: PlatformsArg,
    /// Tag of the image in the layout
    #[arg(long, value_name = "NAME")]
    ref_name: Option<String>,
    /// Take tags from other manifests, which stay
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
        // A path may say the name, too.
        let target = PathReference::find(&self.common.path()?, false);
        let ref_name = self.ref_name.or_else(|| target.full_reference());
        let ref_name = ref_name.as_deref().map(str::parse::<RefName>).transpose()?;
        let target = &target.directory;
        let source = context.source_for(&self.file, &self.references, Some(target))?;
        let platforms = self.platforms.platforms()?;
        let selection = source.selection().platforms(platforms);
        let write_options = context.write_options(target, &self.write);
        if !self.dry_run {
            context.clean_target(target, &write_options);
        }
        let reading = View::reading(vec![source.view], |views, reading| -> anyhow::Result<_> {
            let beside = context.beside(views[0].clone(), target)?;
            let (mut view, lower_variants) = context.select(&beside, &selection)?;
            if let Some(name) = &ref_name {
                let count = view.index().manifests.len();
                ensure!(count > 0, "no image is selected, so --ref-name has nothing to name");
                view = named(&view, name).with_context(|| {
                    format!("--ref-name names one image, and {count} are selected; choose one with --ref")
                })?;
            }
            let options = ExportOptions::default()
                .allow_missing(true)
                .replace(self.replace_tag)
                .write(write_options.clone())
                .shares_blobs(context.shares_blobs)
                .metrics(context.metrics());
            let plan = view.plan_export(Format::Directory, &options)?;
            view.check_documents()?;
            let mut missing = Vec::new();
            if plan.totals().left_out.count > 0 {
                reading.expect_unchanged(views)?;
                missing = view.missing_platforms()?;
            }
            if self.dry_run {
                let planned = plan.totals_at(target)?;
                return Ok((view, lower_variants, missing, planned));
            }
            let progress = context.ui.progress("Importing", &self.file, Some(plan.totals().blobs.bytes));
            let advance = |bytes| progress.advance(bytes);
            reading.let_writers_in();
            let imported = reading.copied(plan.with_progress(&advance).write(target))?;
            Ok((view, lower_variants, missing, imported))
        });
        let (view, lower_variants, missing, imported) = reading?;
        if imported.left_out.count > 0 {
            let blobs = match imported.left_out.count {
                1 => "1 blob that it refers to is".to_owned(),
                count => format!("{count} blobs that it refers to are"),
            };
            let archive = printable(&self.file.to_string_lossy());
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let images = match missing.as_slice() {
                [] => String::new(),
                missing => format!(": no image for {}", printable(&missing.join(", "))),
            };
            context.ui.warn_at_the_end(format!("{blobs} not in {archive}{images}"));
        }
        warnings(&imported).for_each(|warning| context.ui.warn_at_the_end(warning));
        let title = if self.dry_run { "Would import:" } else { "Imported:" };
        context.ui.result(&ExportScreen::new(title, target, &view, &imported, self.dry_run).with(lower_variants))?;
        Ok(ExitCode::SUCCESS)
    }
}
