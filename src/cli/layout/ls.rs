//! `layout ls`

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use indicatif::HumanBytes;
use regshape::oci::{Digest, Platform};
use regshape::view::{Listing, ListingKind, View};
use serde::Serialize;

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, Table, printable};
use crate::cli::path_reference::PathReference;
use crate::cli::style::Style;

/// List images: tag, platforms, size, age, digest
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  regshape ls ./my-image\n  regshape ls ./my-image --json")]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

/// The entries of index.json, by name; those without one come last.
#[derive(Serialize)]
#[serde(transparent)]
struct Images(Vec<Row>);

#[derive(Serialize)]
struct Row {
    name: Option<String>,
    image_name: Option<String>,
    kind: &'static str,
    platforms: Vec<String>,
    size: u64,
    created: Option<String>,
    digest: Digest,
}

impl Row {
    fn new(listing: &Listing) -> Self {
        let entry = &listing.entry;
        Self {
            name: entry.ref_name().map(str::to_owned),
            image_name: entry.image_name().map(str::to_owned),
            kind: match listing.kind {
                ListingKind::Image => "image",
                ListingKind::Index => "index",
                _ => "artifact",
            },
            platforms: listing.platforms.iter().map(Platform::to_string).collect(),
            size: listing.size,
            created: listing.created.clone(),
            digest: entry.digest.clone(),
        }
    }

    /// Returns the name that people get: the tag, or else the image name.
    fn shown_name(&self) -> Option<&str> {
        self.name.as_deref().or(self.image_name.as_deref())
    }
}

impl Screen for Images {
    fn quiet(&self) -> Option<String> {
        let names = self.0.iter().map(|row| printable(row.shown_name().unwrap_or(row.digest.as_str())));
        Some(names.collect::<Vec<_>>().join("\n"))
    }

    fn text(&self, style: &Style) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let now = SystemTime::now();
        let mut table = Table::default();
        table.row(["TAG", "PLATFORMS", "SIZE", "AGE", "DIGEST", "KIND"].map(str::to_owned));
        for row in &self.0 {
            let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            table.row([
                or_dash(printable(row.shown_name().unwrap_or_default())),
                or_dash(printable(&row.platforms.join(","))),
                HumanBytes(row.size).to_string(),
                row.created.as_deref().and_then(|created| age(created, now)).unwrap_or_else(|| "-".to_owned()),
                style.digest(&row.digest).to_owned(),
                row.kind.to_owned(),
            ]);
        }
        table.text(style, &[1, 0])
    }
}

/// Returns how long ago a time of RFC 3339 was, in the largest unit that fits.
fn age(created: &str, now: SystemTime) -> Option<String> {
    const UNITS: [(u64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ];
    let created = humantime::parse_rfc3339_weak(created).ok()?;
    let seconds = now.duration_since(created).unwrap_or(Duration::ZERO).as_secs();
    let (size, unit) = UNITS.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    let count = seconds / size;
    Some(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let located = PathReference::find(&path, false);
        if let Some(reference) = located.full_reference() {
            return Err(context.takes_a_layout(&reference).into());
        }
        let view = View::of(context.open_beside(&path)?)?;
        let rows = View::reading(vec![view], |views, _| -> anyhow::Result<_> {
            let mut rows: Vec<Row> = views[0].listings()?.iter().map(Row::new).collect();
            rows.sort_by(|one, other| {
                let key = |row: &Row| (row.shown_name().is_none(), row.shown_name().map(str::to_owned));
                key(one).cmp(&key(other))
            });
            Ok(rows)
        })?;
        context.ui.result(&Images(rows))?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_the_largest_unit_that_fits() {
        let now = humantime::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
        for (created, expected) in [
            ("2026-01-01T00:00:00Z", Some("0 seconds")),
            ("2025-12-31T23:59:59Z", Some("1 second")),
            ("2025-12-31T23:58:00Z", Some("2 minutes")),
            ("2025-12-31T00:00:00Z", Some("1 day")),
            ("2025-12-20T00:00:00Z", Some("1 week")),
            ("2025-10-01T00:00:00Z", Some("3 months")),
            ("2020-01-01T00:00:00Z", Some("6 years")),
            ("2027-01-01T00:00:00Z", Some("0 seconds")),
            ("yesterday", None),
        ] {
            assert_eq!(age(created, now).as_deref(), expected, "{created}");
        }
    }
}
