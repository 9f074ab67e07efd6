//! Findings of commands that check: as JSON, and one by one with their number.

use std::collections::HashSet;
use std::process::ExitCode;

use regshape::check::Report;
use regshape::graph::Finding;
use serde::{Serialize, Serializer};

use crate::cli::context::Context;
use crate::cli::output::{Screen, counted, write_stderr};

/// Findings, each once.
pub(crate) struct Words<'a>(pub(crate) &'a [Finding]);

/// Every finding with its place. There may be millions: they are written one by one.
pub(crate) struct Places<'a>(pub(crate) &'a Report);

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

/// Leaves out findings whose words are those of an earlier one: of several descriptors of one blob, say.
fn distinct(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    let mut said = HashSet::new();
    findings.iter().filter(move |finding| said.insert((finding.message(), finding.reason())))
}

/// Prints the result if there are no errors, or as a value; all findings, each once; and their number, with `images` after
/// it. The exit status says whether there are errors.
pub(crate) fn print_findings(
    context: &Context,
    report: &Report,
    result: &impl Screen,
    text_of: impl Fn(&Finding) -> String,
    images: impl Fn() -> String,
) -> anyhow::Result<ExitCode> {
    let (mut warnings, mut errors) = (0, 0);
    for finding in distinct(&report.warnings) {
        context.ui.warn(&text_of(finding));
        warnings += 1;
    }
    if report.is_valid() || context.ui.value_flag().is_some() {
        context.ui.result(result)?;
    }
    if !context.ui.is_json() {
        for finding in distinct(&report.errors) {
            context.ui.error(&text_of(finding));
            errors += 1;
        }
        let counts = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, noun)| counted(count, noun)).collect();
        if !counts.is_empty() {
            write_stderr(&format!("{}{}", counts.join(", "), images()));
        }
    }
    Ok(if report.is_valid() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
