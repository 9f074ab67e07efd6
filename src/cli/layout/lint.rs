//! `layout lint`

use std::process::ExitCode;

use regshape::check::{LintOptions, LintReport};
use regshape::oci::Digest;
use serde::Serialize;

use super::findings::{Places, Words, print_findings};
use super::source::LowerVariant;
use super::tally_output::ShownBlobs;
use crate::cli::args::{BoundsArgs, Common, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, printable};
use crate::cli::style::Style;

/// Find faults in the files and the config of an image
///
/// Looks for programs, users and directories of the config that the image does not have, private keys and credentials (also those that an
/// upper layer only hides), whiteouts of nothing, hidden links, and referrers of images that are gone. Reports every finding; the exit
/// status is 1 if one of them is an error.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape lint ./my-image:latest\n  regshape lint ./my-image:latest --platform linux/arm64 --json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    platform: PlatformArg,
    #[command(flatten)]
    bounds: BoundsArgs,
}

#[derive(Serialize)]
struct Linted<'a> {
    passed: bool,
    layout_path: String,
    /// The digest of the manifest.
    image: &'a Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    errors: Words<'a>,
    warnings: Words<'a>,
    /// The layers.
    checked: ShownBlobs,
    /// Every finding with its place.
    findings: Places<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
}

impl Screen for Linted<'_> {
    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        format!("The image at {} has no errors.", printable(&self.layout_path))
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let platform = self.platform.platform()?;
        let progress = context.ui.progress("Checking", &path, None);
        let advance = |bytes| progress.advance(bytes);
        let (LintReport { manifest, platform, report, .. }, lower_variants) =
            context.read_image_in(&path, None, platform, |image, source, _| {
                let options = LintOptions::default().bounds(self.bounds.bounds()).progress(&advance);
                Ok(image.lint(&options.listed_in(source.all).part(source.named))?)
            })?;
        drop(progress);
        let result = Linted {
            passed: report.is_valid(),
            layout_path: path.display().to_string(),
            image: &manifest,
            platform: platform.map(|platform| platform.to_string()),
            errors: Words(&report.errors),
            warnings: Words(&report.warnings),
            checked: (&report.checked).into(),
            findings: Places(&report),
            lower_variants,
        };
        print_findings(context, &report, &result, |finding| printable(finding.message()), String::new)
    }
}
