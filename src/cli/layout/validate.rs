//! `layout validate`

use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use regshape::check::{ImagePlace, Images, Report, ValidateOptions};
use regshape::graph::{Finding, Mismatch};
use regshape::layout::Layout;
use serde::Serialize;

use super::findings::{Places, Words, print_findings};
use super::tally_output::ShownBlobs;
use crate::cli::args::{BoundsArgs, Common};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, counted, printable};
use crate::cli::path_reference::PathReference;
use crate::cli::style::{Style, short};

/// Verify every digest, size and document of a layout
///
/// Verifies everything reachable from index.json, and each document against the image-spec. DIR:TAG verifies one image. Reports
/// every finding; the exit status is 1 if one of them is an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  regshape validate ./my-image\n  regshape validate ./my-image:latest --deep")]
#[command(mut_arg("max_layer_size", |arg| arg.requires("deep")), mut_arg("max_ratio", |arg| arg.requires("deep")))]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Also decompress layers: verify tars and diff_ids
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    bounds: BoundsArgs,
}

#[derive(Serialize)]
struct Validated<'a> {
    valid: bool,
    layout_path: String,
    errors: Words<'a>,
    warnings: Words<'a>,
    checked: ShownBlobs,
    /// Every finding with its place.
    findings: Places<'a>,
}

impl<'a> Validated<'a> {
    fn new(layout_path: String, report: &'a Report) -> Self {
        Self {
            valid: report.is_valid(),
            layout_path,
            errors: Words(&report.errors),
            warnings: Words(&report.warnings),
            checked: (&report.checked).into(),
            findings: Places(report),
        }
    }
}

impl Screen for Validated<'_> {
    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        format!("Layout at {} is valid.", printable(&self.layout_path))
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let located = PathReference::find(&path, false);
        let reference = located.full_reference();
        let directory = if reference.is_some() { &located.directory } else { &path };
        let mut images = Images::default();
        let report = match Layout::open(directory) {
            Ok(layout) => {
                let progress = context.ui.progress("Validating", directory, None);
                let advance = |bytes| progress.advance(bytes);
                let mut options = ValidateOptions::default().deep(self.deep).bounds(self.bounds.bounds());
                options.only = reference.as_deref();
                let layout = context.opened(layout);
                let report = layout.validate(&options.progress(&advance))?;
                if !report.errors.is_empty() || !report.warnings.is_empty() {
                    images = Images::of(layout).unwrap_or_default();
                }
                report
            }
            // That there is no layout is a finding like any other.
            Err(error) => Report::from_unopened(error)?,
        };
        let style = context.ui.message_style();
        let result = Validated::new(path.display().to_string(), &report);
        print_findings(
            context,
            &report,
            &result,
            |finding| text_of(finding, &images, &style),
            || concerned(&report, &images),
        )
    }
}

/// Returns the number of images with findings, of all images.
fn concerned(report: &Report, images: &Images) -> String {
    let findings = report.errors.iter().chain(&report.warnings);
    let digests = findings.filter_map(|finding| Some(images.place_of(finding)?.digest));
    match digests.filter(|digest| images.is_image(digest)).collect::<HashSet<_>>().len() {
        0 => String::new(),
        concerned => format!(" in {concerned} of {}", counted(images.len() as u64, "image")),
    }
}

/// Returns a finding as people read it: its message; then, indented, the image, two digests that differ under each other, and the
/// reason.
fn text_of(finding: &Finding, images: &Images, style: &Style) -> String {
    let mut text = printable(finding.message());
    // Where the message has all there is to name, nothing is added.
    let place = images.place_of(finding).filter(|place| place.tag.or(place.platform).is_some());
    if let Some(ImagePlace { digest, tag, platform, part, .. }) = place {
        let name = tag.map_or_else(|| short(digest).to_owned(), printable);
        let platform = platform.map(|platform| format!(" {}", printable(platform))).unwrap_or_default();
        let part = part.map(|part| format!(", {}", printable(&part))).unwrap_or_default();
        let _ = write!(text, "\n  {name}{platform}{part}");
    }
    if let Some(Mismatch { expected, actual, .. }) = finding.digests() {
        let _ = write!(text, "\n  expected {}\n  actual   {}", style.digest(expected), style.digest(actual));
    }
    if let Some(reason) = finding.reason() {
        let _ = write!(text, "\n  caused by: {}", printable(reason));
    }
    text
}
