//! `layout blob get`

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use regshape::Error;
use regshape::oci::Digest;
use regshape::registry::{BlobReader, ByteRange};

use crate::cli::args::Common;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::blob::output::DigestArg;
use crate::cli::layout::place::{RegistryArgs, Target};
use crate::cli::layout::written_output::WrittenScreen;
use crate::cli::output::{is_stdout, write_stdout};
use crate::cli::usage::Usage;

/// Write a blob, or a range of its bytes
///
/// Verifies a whole blob while it is written: FILE appears only if the content is right; discard standard output if the exit status is
/// not 0. A range cannot be verified.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape blob get ./my-image --digest sha256:4dda0e58 \\\n      --output ./layer.tar.gz\n  regshape blob get ./my-image --digest sha256:4dda0e58 \\\n      --range 0-99 | xxd"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    digest: DigestArg,
    /// Output file; - for standard output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Bytes A to B, from 0, both included; A- for all from A, -N for the last N
    #[arg(long, value_name = "A-B", value_parser = parse_range, allow_hyphen_values = true)]
    range: Option<Range>,
}

/// A part of a blob as HTTP says it (RFC 9110, "Byte Ranges").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// From a byte to another one, which is included, or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

fn parse_range(text: &str) -> Result<Range, String> {
    let invalid = || "expected A-B, A- or -N".to_owned();
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().map_err(|error| error.to_string()),
        false => Err(invalid()),
    };
    match text.split_once('-').ok_or_else(invalid)? {
        ("", "") => Err(invalid()),
        ("", count) => Ok(Range::Last(number(count)?)),
        (start, "") => Ok(Range::From(number(start)?, None)),
        (start, end) => match (number(start)?, number(end)?) {
            (start, end) if start > end => Err(format!("{start} is after {end}")),
            (start, end) => Ok(Range::From(start, Some(end))),
        },
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let place = context.to_read(&self.common.path()?, &self.registry, None)?;
        place.without_reference(context)?;
        let digest = self.digest.digest(&place.repository)?;
        let reader = open(&place, &digest, self.range)?;
        let progress = context.ui.progress("Reading blob of", place.repository.path(), Some(reader.length()));
        if let Some(output) = self.output.as_deref().filter(|output| !is_stdout(output)) {
            let size = reader.save(output, |bytes| progress.advance(bytes))?;
            drop(progress);
            context.ui.result(&WrittenScreen::new("Wrote blob:", digest, size, output))?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(flag) = context.ui.value_flag() {
            return Err(
                Usage(format!("{flag} prints to standard output; write the blob to a file with --output")).into()
            );
        }
        ensure!(
            self.output.is_some() || !io::stdout().is_terminal(),
            "standard output is a terminal; use --output FILE, or --output - to write to it anyway"
        );
        reader.copy_to(|bytes| {
            progress.advance(bytes.len() as u64);
            write_stdout(bytes).map(drop)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn open(place: &Target, digest: &Digest, range: Option<Range>) -> anyhow::Result<BlobReader> {
    let repository = &place.repository;
    let Some(range) = range else { return Ok(repository.get_blob(digest)?) };
    let size = repository.resolve_blob(digest)?.size;
    // HTTP has no empty ranges: one that begins at the end is not within.
    let beyond = |start| Error::InvalidRange { digest: digest.clone(), start, size };
    let range = match range {
        Range::From(start, _) if start >= size => return Err(beyond(start).into()),
        Range::From(start, last) => ByteRange { start, end: last.map(|last| last.saturating_add(1)) },
        Range::Last(0) => return Err(beyond(size).into()),
        Range::Last(count) => ByteRange { start: size.saturating_sub(count), end: None },
    };
    repository.get_blob_range(digest, range).map_err(anyhow::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        assert_eq!(parse_range("0-99"), Ok(Range::From(0, Some(99))));
        assert_eq!(parse_range("5-"), Ok(Range::From(5, None)));
        assert_eq!(parse_range("-5"), Ok(Range::Last(5)));
        for bad in ["", "-", "5", "5-1", "a-b", "1-2-3", "+1-2", "0-99999999999999999999", " 1-2"] {
            assert!(parse_range(bad).is_err(), "{bad}");
        }
    }
}
