//! `layout validate`

use std::collections::HashSet;
use std::process::ExitCode;

use regshape::check::{Report, ValidateOptions};
use regshape::graph::Finding;
use regshape::layout::Layout;
use serde::{Serialize, Serializer};

use crate::cli::args::BoundsArgs;
use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, printable};

/// Check that a layout is whole
///
/// Everything that index.json leads to must be there, with the digest and the size that is said of it, and every document
/// must be as the image-spec has it. Every finding is reported; the exit status is 1 if there is an error, warnings do not
/// matter.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape layout validate --path ./my-image\n  regshape layout validate --path ./my-image --deep"
)]
#[command(mut_arg("max_layer_size", |arg| arg.requires("deep")), mut_arg("max_ratio", |arg| arg.requires("deep")))]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Look into the layers of images too: compression, tars, diff_ids
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    bounds: BoundsArgs,
}

/// The blobs that were verified.
#[derive(Serialize)]
struct VerifiedBlobs {
    blobs: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Validated<'a> {
    valid: bool,
    layout_path: String,
    errors: Words<'a>,
    warnings: Words<'a>,
    checked: VerifiedBlobs,
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
    message: &'a Finding,
}

impl Serialize for Words<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(distinct(self.0))
    }
}

impl Serialize for Places<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let errors = self.0.errors.iter().map(|finding| ("error", finding));
        let warnings = self.0.warnings.iter().map(|finding| ("warning", finding));
        let all = errors.chain(warnings);
        serializer.collect_seq(all.map(|(severity, message)| Placed {
            severity,
            location: message.location(),
            message,
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
            checked: VerifiedBlobs { blobs: report.checked.count, bytes: report.checked.bytes },
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

    fn text(&self) -> String {
        format!("Layout at {} is valid.", printable(&self.layout_path))
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout_path = self.common.path()?.display().to_string();
        let report = match Layout::open(&self.common.path()?) {
            Ok(layout) => {
                let progress = context.ui.progress(None);
                let advance = |bytes| progress.advance(bytes);
                let options = ValidateOptions::default().deep(self.deep).bounds(self.bounds.bounds());
                context.opened(layout).validate(&options.progress(&advance))?
            }
            // That there is no layout is a finding like any other.
            Err(error) => Report::from_unopened(error)?,
        };
        distinct(&report.warnings).for_each(|finding| context.ui.warn(&text_of(finding)));
        let result = Validated::new(layout_path, &report);
        if result.valid || context.ui.is_json() {
            context.ui.result(&result)?;
        } else {
            distinct(&report.errors).for_each(|finding| context.ui.error(&text_of(finding)));
        }
        Ok(if result.valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Returns a finding as people read it: a reason has a line of its own, as that of an error has under `--verbose`.
fn text_of(finding: &Finding) -> String {
    let reason = finding.reason().map(|reason| format!("\n  caused by: {}", printable(reason))).unwrap_or_default();
    printable(finding.message()) + &reason
}
