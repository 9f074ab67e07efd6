//! `layout validate`

use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use regshape::check::{ImagePlace, Images, Report, ValidateOptions};
use regshape::graph::{Finding, Mismatch};
use regshape::layout::Layout;
use regshape::oci::Digest;
use serde::{Serialize, Serializer};

use crate::cli::args::{BoundsArgs, Common};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::tally_output::ShownBlobs;
use crate::cli::output::{Screen, counted, printable, write_stderr};
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

/// Findings, each once.
struct Words<'a>(&'a [Finding]);

/// Every finding with its place. There may be millions: they are written one by one.
struct Places<'a>(&'a Report);

#[derive(Serialize)]
struct Placed<'a> {
    severity: &'static str,
    location: &'a str,
    message: Message<'a>,
}

/// A finding as its message, with its reason if it has one.
struct Message<'a>(&'a Finding);

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

impl Serialize for Words<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(distinct(self.0).map(Message))
    }
}

impl Serialize for Places<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let errors = self.0.errors.iter().map(|finding| ("error", finding));
        let warnings = self.0.warnings.iter().map(|finding| ("warning", finding));
        let all = errors.chain(warnings);
        serializer.collect_seq(all.map(|(severity, finding)| Placed {
            severity,
            location: finding.location(),
            message: Message(finding),
        }))
    }
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

/// Leaves out findings whose words are those of an earlier one: of several descriptors of one blob, say.
fn distinct(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    let mut said = HashSet::new();
    findings.iter().filter(move |finding| said.insert((finding.message(), finding.reason())))
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
        let mut summary = Summary::new(&images);
        for finding in distinct(&report.warnings) {
            context.ui.warn(&text_of(finding, &images, &style));
            summary.warnings += 1;
        }
        let result = Validated::new(path.display().to_string(), &report);
        if result.valid || context.ui.value_flag().is_some() {
            context.ui.result(&result)?;
        }
        if !context.ui.is_json() {
            for finding in distinct(&report.errors) {
                context.ui.error(&text_of(finding, &images, &style));
                summary.errors += 1;
            }
        }
        report.errors.iter().chain(&report.warnings).for_each(|finding| summary.note(finding));
        if !context.ui.is_json() && !summary.is_empty() {
            write_stderr(&summary.text());
        }
        Ok(if result.valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The numbers of findings as they are printed, and of the images that have them.
struct Summary<'a> {
    images: &'a Images,
    errors: usize,
    warnings: usize,
    concerned: HashSet<&'a Digest>,
}

impl<'a> Summary<'a> {
    fn new(images: &'a Images) -> Self {
        Self { images, errors: 0, warnings: 0, concerned: HashSet::new() }
    }

    fn is_empty(&self) -> bool {
        self.errors + self.warnings == 0
    }

    fn note(&mut self, finding: &Finding) {
        let digest = self.images.place_of(finding).map(|place| place.digest);
        self.concerned.extend(digest.filter(|digest| self.images.is_image(digest)));
    }

    fn text(&self) -> String {
        let counts = [(self.errors, "error"), (self.warnings, "warning")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts = counts.map(|(count, noun)| counted(count as u64, noun)).collect::<Vec<_>>().join(", ");
        match self.concerned.len() {
            0 => counts,
            images => format!("{counts} in {images} of {}", counted(self.images.len() as u64, "image")),
        }
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
