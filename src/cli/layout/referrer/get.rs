//! `layout referrer get`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use regshape::metrics::Progress;
use regshape::oci::{Digest, MediaType};
use regshape::registry::{Artifact, ReferrerFilter, SaveOptions};
use serde::Serialize;

use crate::cli::args::{Common, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::{RefArgs, RegistryArgs, Target};
use crate::cli::output::{Block, Screen, is_stdout, printable, write_stdout};
use crate::cli::style::Style;
use crate::cli::usage::Usage;

/// Write the files of a referrer: an SBOM, a signature
///
/// Writes each file below DIR by its title, or by its digest if it has none. Titles that lead out of DIR are refused, and links are not
/// followed. Each file is verified before it appears. If several referrers match, the error lists them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape referrer get ./my-image:latest --output ./sboms \\\n      --artifact-type application/spdx+json\n  regshape referrer get ./my-image:latest --digest sha256:4dda0e58 --output - | jq"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    reference: RefArgs,
    #[command(flatten)]
    platform: PlatformArg,
    /// Take the referrer of this type
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
    /// Take the referrer with this digest; its first 4 digits or more are enough
    #[arg(short, long, value_name = "DIGEST")]
    digest: Option<String>,
    /// Output directory; - writes one file to standard output
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

#[derive(Serialize)]
struct GotReferrer {
    digest: Digest,
    artifact_type: Option<String>,
    output: String,
    files: Vec<WrittenFile>,
}

#[derive(Serialize)]
struct WrittenFile {
    path: String,
    digest: Digest,
    size: u64,
    media_type: MediaType,
}

impl Screen for GotReferrer {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn text(&self, style: &Style) -> String {
        let mut block = Block::new("Wrote files of referrer:", 13).line("digest", style.digest(&self.digest));
        block = self.artifact_type.iter().fold(block, |block, kind| block.line("artifact-type", printable(kind)));
        block = self.files.iter().fold(block, |block, file| block.line("file", printable(&file.path)));
        block.finish()
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = context.to_read(&self.common.path()?, &self.registry, self.reference.given())?;
        let digest = place.subject(context, self.platform.platform()?.as_ref())?;
        let mut filter = ReferrerFilter::default();
        (filter.artifact_type, filter.digest) = (self.artifact_type, self.digest);
        let artifact = place.repository.artifact(&digest, &filter)?;
        artifact.warnings.iter().cloned().for_each(|warning| context.ui.warn_at_the_end(warning));
        if is_stdout(&self.output) {
            return write_only_file(context, &place, &artifact);
        }
        let size = artifact.files.iter().map(|file| file.descriptor.size).fold(0, u64::saturating_add);
        let progress = context.ui.progress("Reading files of", place.repository.path(), Some(size));
        let advance = |bytes| progress.advance(bytes);
        let options = SaveOptions::default().overwrite(self.overwrite);
        artifact.save(&place.repository, &self.output, &options, Progress::new(&advance))?;
        drop(progress);
        context.ui.result(&shown(artifact, &self.output))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the only file of an artifact to standard output.
fn write_only_file(context: &Context, place: &Target, artifact: &Artifact) -> anyhow::Result<ExitCode> {
    if let Some(flag) = context.ui.value_flag() {
        return Err(Usage(format!(
            "{flag} prints to standard output; write the file into a directory with --output DIR"
        ))
        .into());
    }
    let file = artifact.only_file()?;
    let reader = artifact.open_file(&place.repository, file)?;
    let progress = context.ui.progress("Reading files of", place.repository.path(), Some(reader.length()));
    reader.copy_to(|bytes| {
        progress.advance(bytes.len() as u64);
        write_stdout(bytes).map(drop)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn shown(artifact: Artifact, output: &Path) -> GotReferrer {
    let file = |file: regshape::registry::ArtifactFile| WrittenFile {
        path: output.join(file.path().unwrap_or_default()).display().to_string(),
        digest: file.descriptor.digest,
        size: file.descriptor.size,
        media_type: file.descriptor.media_type,
    };
    GotReferrer {
        digest: artifact.descriptor.digest,
        artifact_type: artifact.descriptor.artifact_type,
        output: output.display().to_string(),
        files: artifact.files.into_iter().map(file).collect(),
    }
}
