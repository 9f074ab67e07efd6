//! Removes paths from all layers of images (images, rule H2).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};

use super::engine::{Original, Verb, rewrite};
use super::maker::{ChangedLayer, Compares, Maker, Storage};
use super::options::RewriteOptions;
use super::saved::Saved;
use crate::build::edit::{Edited, LayerAfter};
use crate::error::Result;
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::rootfs::{Carrier, EntriesAtPaths, Failure};
use crate::tar::raw_headers::{relinked, renamed};
use crate::tar::reader::TarReader;

/// Removes paths from all layers of an image, directories with all below them, and whiteouts of these paths. A hard link to
/// a file that is removed becomes the file. Directories that are empty afterwards stay: one that is only a parent of removed
/// entries gets an entry of its own, where it would be missing or show an entry of the layers below.
///
/// # Errors
///
/// [`FilesError::NoPath`](crate::FilesError::NoPath) for a path that no layer has; those of
/// [`edit_image`](crate::build::edit::edit_image); those of reading a layer: [`LayerError`](crate::LayerError),
/// [`Error::DigestMismatch`](crate::Error::DigestMismatch); [`Error::Changed`](crate::Error::Changed). After an error the layout
/// is unchanged.
pub fn strip(
    layout: &Layout,
    reference: &str,
    paths: &[Vec<u8>],
    options: &RewriteOptions,
    progress: Progress<'_>,
) -> Result<Edited> {
    rewrite(layout, reference, options, progress, || Strip { paths }).map(|(edited, _)| edited)
}

struct Strip<'a> {
    paths: &'a [Vec<u8>],
}

impl Verb for Strip<'_> {
    type Plan = ();

    fn layers(&mut self, image: &mut Original, maker: &mut Maker<'_>) -> Result<(Vec<LayerAfter>, ())> {
        let layers = image.layers();
        let found = image.files.entries_at(self.paths, maker.progress)?;
        let wanted: HashSet<Carrier> = found.iter().flat_map(|layer| layer.links.values().copied()).collect();
        let mut saved = Saved::of(maker.layout, &image.files, &wanted)?;
        let mut after = Vec::new();
        for (at, found) in found.iter().enumerate() {
            if found.is_empty() {
                after.push(LayerAfter::Kept(at));
                continue;
            }
            let storage = Storage::of(&image.files.layer(at).0.media_type);
            // Hard links may be to files of the layers below.
            let of = layers[..=at].to_vec();
            let layer = ChangedLayer { at, of, storage, compares: Compares::Content };
            let copy = |content: &mut dyn Read, writer: &mut dyn Write| copy(content, writer, found, &mut saved);
            after.push(maker.change(&image.files, layer, copy)?);
        }
        Ok((after, ()))
    }
}

/// Copies a layer without some entries.
fn copy(
    content: &mut dyn Read,
    mut writer: &mut dyn Write,
    found: &EntriesAtPaths,
    saved: &mut Saved,
) -> Result<bool, Failure> {
    // The hard links that have become the files whose names are removed.
    let mut names: HashMap<Carrier, Vec<u8>> = HashMap::new();
    let mut tar = TarReader::keeping_headers(content);
    while let Some(header) = tar.next()? {
        if found.entries.contains(&header.start) {
            continue;
        }
        let moved = found.moved.get(&header.start);
        let mut headers = Cow::Borrowed(tar.raw_headers());
        if let Some(path) = moved {
            headers = renamed(&headers, path).into();
        }
        let Some(carrier) = found.links.get(&header.start) else {
            if let Some(target) = found.retargeted.get(&header.start) {
                headers = relinked(&headers, target).into();
            }
            writer.write_all(&headers)?;
            drop(headers);
            tar.copy_content(&mut writer)?;
            continue;
        };
        match names.get(carrier) {
            Some(name) => writer.write_all(&relinked(&headers, name))?,
            None => {
                let path = moved.unwrap_or(&header.path);
                let has_content = saved.write(*carrier, |headers| renamed(headers, path), writer)?;
                debug_assert!(has_content, "it was saved");
                let name = path.strip_prefix(b"/").unwrap_or(path);
                names.insert(*carrier, name.to_vec());
            }
        }
    }
    found.write_directories(writer)?;
    tar.copy_end(writer)?;
    Ok(true)
}
