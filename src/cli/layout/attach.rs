//! `layout attach`

use std::path::PathBuf;
use std::process::ExitCode;

use regshape::build::{AttachOptions, attach};
use regshape::metrics::Progress;

use crate::cli::args::{AnnotationArgs, Common, PlatformArg, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::image_output::ImageScreen;
use crate::cli::layout::source::LowerVariant;
use crate::cli::output::is_dash;
use crate::cli::usage::Usage;

/// Attach files to an image: an SBOM, a signature, any file
///
/// Makes an artifact whose subject is the image, and lists it in index.json without a name. An index is the subject itself, unless
/// --platform picks an image in it. The files are stored as they are, with their names as titles.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape attach ./my-image:latest --artifact-type application/spdx+json \\\n      --file ./sbom.spdx.json\n  regshape attach ./my-image:latest --artifact-type application/vnd.example.report \\\n      --file ./report.html --media-type text/html"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Type of the artifact, e.g. application/spdx+json
    #[arg(long, value_name = "TYPE")]
    artifact_type: String,
    /// File to attach; repeatable
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Media type of the files [default: application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    #[command(flatten)]
    annotations: AnnotationArgs,
    #[command(flatten)]
    platform: PlatformArg,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut options = AttachOptions::new(self.artifact_type.parse()?).annotations(self.annotations.annotations());
        options.platform = self.platform.platform()?;
        if let Some(media_type) = &self.media_type {
            options.media_type = media_type.parse()?;
        }
        if self.files.iter().any(|file| is_dash(file)) {
            return Err(Usage("an attached file has a name, and standard input has none: use a file".to_owned()).into());
        }
        let image = context.image_of(&self.common.path()?, "image", &self.write)?;
        let sizes = self.files.iter().map(|file| Some(file.metadata().ok()?.len()));
        let progress = context.ui.progress("Attaching", &self.files[0], sizes.sum());
        let advance = |bytes| progress.advance(bytes);
        let attached = attach(&image.layout, &image.reference, &self.files, &options, Progress::new(&advance));
        drop(progress);
        let attached = attached.map_err(|error| image.advise(error))?;
        let lower: Vec<LowerVariant> =
            attached.choice.iter().filter_map(|choice| context.lower_variant(choice)).collect();
        let screen = ImageScreen::new(image.title(), &attached.entry, Vec::new(), Vec::new(), false);
        context.ui.result(&screen.with_lower_variants(lower))?;
        Ok(ExitCode::SUCCESS)
    }
}
