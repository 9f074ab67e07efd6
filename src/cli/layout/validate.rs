//! `layout validate`

use std::process::ExitCode;

use regshape::layout::{Error, Finding, Layout, Report};
use serde::Serialize;

use super::{Common, Context, Leaf};
use crate::cli::ui::{Screen, printable};

/// Check that a layout is whole
///
/// Everything that index.json leads to must be there, with the digest and the size that is said of it. Every finding is
/// reported; the exit status is 1 if there is an error, warnings do not matter.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape layout validate --path ./my-image")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Validated {
    valid: bool,
    layout_path: String,
    #[serde(flatten)]
    report: Report,
}

impl Screen for Validated {
    fn text(&self) -> String {
        format!("Layout at {} is valid.", printable(&self.layout_path))
    }
}

impl Leaf for Args {
    const NAME: &'static str = "layout validate";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout_path = self.common.path.display().to_string();
        let report = match Layout::open(&self.common.path) {
            Ok(layout) => {
                let progress = context.ui.progress(None);
                context.opened(layout).validate(Some(&|bytes| progress.advance(bytes)))?
            }
            // That there is no layout is a finding like any other.
            Err(error @ (Error::NotALayout { .. } | Error::MalformedMarker { .. } | Error::LayoutVersion { .. })) => {
                Report { errors: vec![Finding::new(error.to_string(), "oci-layout")], ..Report::default() }
            }
            Err(error) => return Err(error.into()),
        };
        report.warnings.iter().for_each(|finding| context.ui.warn(&printable(finding.message())));
        let result = Validated { valid: report.is_valid(), layout_path, report };
        if result.valid || self.common.json {
            context.ui.result(&result)?;
        } else {
            result.report.errors.iter().for_each(|finding| context.ui.error(&printable(finding.message())));
        }
        Ok(if result.valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
