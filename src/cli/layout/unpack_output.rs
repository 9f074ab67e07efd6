//! The result of commands that write files of images.

use std::path::Path;
use std::process::ExitCode;

use regshape::compress::Bounds;
use regshape::oci::{Digest, Platform};
use regshape::rootfs::ImageFiles;
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

/// Attributes and devices that the files do not have.
#[derive(Serialize)]
struct SkippedParts {
    owners: u64,
    setuid: u64,
    privileged_xattrs: u64,
    unsupported_xattrs: u64,
    devices: Vec<String>,
    overlay_whiteouts: Vec<String>,
}

/// The flags and arguments of a command that writes files of an image.
pub(crate) struct UnpackPlan<'a> {
    pub(crate) title: &'static str,
    pub(crate) source: &'a Path,
    pub(crate) platform: Option<Platform>,
    pub(crate) bounds: Bounds,
    pub(crate) output: &'a Path,
}

impl UnpackPlan<'_> {
    /// Opens the image, writes files of it by calling `work`, and prints the result.
    pub(crate) fn run(
        self,
        context: &Context,
        mut work: impl FnMut(ImageFiles) -> regshape::Result<Unpacked>,
    ) -> anyhow::Result<ExitCode> {
        let Self { title, source, platform, bounds, output } = self;
        let ((digest, unpacked), lower_variants) = context.read_image(source, platform, |image, _| {
            let files = ImageFiles::of(image, bounds)?;
            Ok((files.manifest().clone(), work(files)?))
        })?;
        context.ui.result(&UnpackedScreen::new(context, title, digest, output, unpacked, lower_variants))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl UnpackedScreen {
    /// Makes the result, and prints a note for each kind of loss.
    fn new(
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

/// Returns a note for each kind of loss: one line, however many files have it.
fn notes(skipped: &Skipped) -> Vec<String> {
    let count = |number: u64, noun: &str, text: &str| (number > 0).then(|| format!("{} {text}", counted(number, noun)));
    let Skipped { owners, setuid, privileged_xattrs, unsupported_xattrs, devices, overlay_whiteouts, .. } = skipped;
    let zero = match overlay_whiteouts.len() {
        1 => "0/0 not made: overlayfs takes it for a deleted file",
        _ => "0/0 not made: overlayfs takes them for deleted files",
    };
    let lost = [
        count(*owners, "file", "without the owner in the image: only root can set owners"),
        count(*setuid, "file", "without setuid and setgid bits; --keep-setuid keeps them"),
        count(devices.len() as u64, "device", "not made: only root can make devices"),
        count(*privileged_xattrs, "extended attribute", "not set: only root can set capabilities and their like"),
        count(*unsupported_xattrs, "extended attribute", "not set: the file system has none"),
        count(overlay_whiteouts.len() as u64, "device", zero),
    ];
    lost.into_iter().flatten().collect()
}
