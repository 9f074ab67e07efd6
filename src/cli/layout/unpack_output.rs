//! The result of commands that write files of images.

use std::path::Path;

use regshape::oci::Digest;
use regshape::unpack::{Skipped, Unpacked};
use serde::Serialize;

use super::source::LowerVariant;
use crate::cli::context::Context;
use crate::cli::output::{Block, Screen, counted, printable};
use crate::cli::style::Style;

/// Files that were written.
#[derive(Serialize)]
pub(crate) struct UnpackedScreen {
    #[serde(skip)]
    title: &'static str,
    digest: Digest,
    output: String,
    entries: u64,
    bytes: u64,
    skipped: SkippedParts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
}

/// What could not be made as the image has it.
#[derive(Serialize)]
struct SkippedParts {
    owners: u64,
    setuid: u64,
    privileged_xattrs: u64,
    unsupported_xattrs: u64,
    devices: Vec<String>,
    overlay_whiteouts: Vec<String>,
}

impl UnpackedScreen {
    /// Makes the result, and notes what is missing.
    pub(crate) fn new(
        context: &Context,
        title: &'static str,
        digest: Digest,
        output: &Path,
        unpacked: Unpacked,
        lower_variants: Vec<LowerVariant>,
    ) -> Self {
        let Unpacked { entries, bytes, skipped, .. } = unpacked;
        notes(&skipped).iter().for_each(|note| context.ui.note(note));
        let paths =
            |paths: Vec<Vec<u8>>| paths.iter().map(|path| format!("/{}", String::from_utf8_lossy(path))).collect();
        let Skipped { owners, setuid, privileged_xattrs, unsupported_xattrs, devices, overlay_whiteouts, .. } = skipped;
        let (devices, overlay_whiteouts) = (paths(devices), paths(overlay_whiteouts));
        let skipped =
            SkippedParts { owners, setuid, privileged_xattrs, unsupported_xattrs, devices, overlay_whiteouts };
        Self { title, digest, output: output.display().to_string(), entries, bytes, skipped, lower_variants }
    }
}

impl Screen for UnpackedScreen {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.to_string())
    }

    fn text(&self, style: &Style) -> String {
        Block::new(self.title, 7)
            .line("digest", style.digest(&self.digest))
            .line("output", printable(&self.output))
            .line("entries", self.entries)
            .line("bytes", self.bytes)
            .finish()
    }
}

/// Returns a note for each kind of thing that is missing: one line, however many there are.
fn notes(skipped: &Skipped) -> Vec<String> {
    let count = |number: u64, noun: &str, text: &str| (number > 0).then(|| format!("{} {text}", counted(number, noun)));
    let Skipped { owners, setuid, privileged_xattrs, unsupported_xattrs, devices, overlay_whiteouts, .. } = skipped;
    let lost = [
        count(*owners, "file", "without the owner in the image: only root can set owners"),
        count(*setuid, "file", "without setuid and setgid bits; --keep-setuid keeps them"),
        count(devices.len() as u64, "device", "not made: only root can make devices"),
        count(*privileged_xattrs, "extended attribute", "not set: only root can set capabilities and their like"),
        count(*unsupported_xattrs, "extended attribute", "not set: the file system has none"),
        count(overlay_whiteouts.len() as u64, "device", "0/0 not made: overlayfs takes them for deleted files"),
    ];
    lost.into_iter().flatten().collect()
}
