//! `layout cat`

use std::process::ExitCode;

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regshape::rootfs::{ImageFiles, TreeEntry};
use regshape::view::Reading;
use serde::Serialize;

use super::image_source::ImagePath;
use super::source::LowerVariant;
use crate::cli::args::{BoundsArgs, PathFlag, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, write_stdout};
use crate::cli::printable::printable_bytes;
use crate::cli::style::Style;

/// Print files of an image
///
/// Links are followed inside the image. Upper layers are read first, and no more layers than are needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape cat -p ./my-image:latest /etc/os-release")]
pub(crate) struct Args {
    #[command(flatten)]
    path: PathFlag,
    /// Path in the image; repeatable
    #[arg(value_name = "PATH", required = true, value_parser = ImagePath::parser())]
    files: Vec<ImagePath>,
    /// Read only this layer, counted from 0 at the bottom
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// Do not follow a link at the end of a path
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    platform: PlatformArg,
    #[command(flatten)]
    bounds: BoundsArgs,
}

/// The most bytes of files that are printed in a value, which is in memory.
const VALUE_LIMIT: u64 = 1 << 30;

/// The files that were printed, under `--json`.
#[derive(Serialize)]
struct Printed {
    files: Vec<PrintedFile>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
}

#[derive(Serialize)]
struct PrintedFile {
    path: String,
    layer: u32,
    size: u64,
    /// The content, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Other content, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Screen for Printed {
    fn text(&self, _style: &Style) -> String {
        unreachable!("files are printed as they are")
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let platform = self.platform.platform()?;
        let is_value = context.ui.value_flag().is_some();
        let (files, lower_variants) =
            context.read_image(&self.path.path_beside(&self.files)?, platform, |image, reading| {
                let mut files = ImageFiles::of(image, self.bounds.bounds())?;
                let found = self.find(context, &mut files)?;
                if is_value { as_value(&files, &found) } else { print(&files, &found, reading) }
            })?;
        if is_value {
            context.ui.result(&Printed { files, lower_variants })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Args {
    /// Finds all files before any of them is printed.
    fn find(&self, context: &Context, files: &mut ImageFiles) -> anyhow::Result<Vec<TreeEntry>> {
        let mut found = Vec::new();
        for path in &self.files {
            let path = path.as_bytes();
            let file = match self.layer {
                Some(layer) => files.find_in_layer(layer, path, !self.no_follow)?,
                None => files.find(path, !self.no_follow)?,
            };
            for (link, target) in &file.links {
                let [link, target] = [link, target].map(|path| printable_bytes(path));
                context.ui.detail(&format!("Following the link /{link} to {target}"));
            }
            ImageFiles::expect_file(&file.entry)?;
            found.push(file.entry);
        }
        Ok(found)
    }
}

fn print(files: &ImageFiles, found: &[TreeEntry], reading: &mut Reading) -> anyhow::Result<Vec<PrintedFile>> {
    files.read_contents(found, |_, bytes| {
        reading.cannot_begin_again();
        write_stdout(bytes).map(drop)
    })?;
    Ok(Vec::new())
}

fn as_value(files: &ImageFiles, found: &[TreeEntry]) -> anyhow::Result<Vec<PrintedFile>> {
    let size = found.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
    ensure!(
        size <= VALUE_LIMIT,
        "{size} bytes are more than a value may have; print the content as it is, without --json and --template"
    );
    let mut contents = vec![Vec::new(); found.len()];
    files.read_contents(found, |at, bytes| {
        contents[at].extend_from_slice(bytes);
        anyhow::Ok(())
    })?;
    let printed = |(entry, content): (&TreeEntry, Vec<u8>)| {
        let path = format!("/{}", String::from_utf8_lossy(&entry.path));
        let (layer, size) = (entry.layer, content.len() as u64);
        let (text, base64) = match String::from_utf8(content) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
        };
        PrintedFile { path, layer, size, text, base64 }
    };
    Ok(found.iter().zip(contents).map(printed).collect())
}
