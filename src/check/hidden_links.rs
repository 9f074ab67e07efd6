//! Finds links of lower layers in the paths of a layer's entries (images, rule E5): the layer has entries below `lib` and
//! none for `lib`, which is a link below. Engines that unpack each layer alone hide the link, others write through it.
//!
//! The outlines of the layers, made while they were verified, say which paths to look at. Few images have any; only
//! their layers are read once more, for the whiteouts and the entries at these paths.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::{self, BufReader};

use super::report::ValidateOptions;
use super::verify::Verified;
use crate::compress::{BUFFER, Encoding, bounded_decoder};
use crate::error::Referrer;
use crate::graph::finding::Finding;
use crate::layout::handle::Layout;
use crate::oci::Digest;
use crate::tar::outline::Outline;
use crate::tar::reader::TarReader;
use crate::text::shown;
use crate::workers::map::{cores, map_bounded};

type Path = Box<[u8]>;

/// A link that a layer hides: the positions of the layer and of the one with the link, and its path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HiddenLink {
    pub(crate) layer: usize,
    pub(crate) below: usize,
    pub(crate) path: Path,
}

/// Returns the finding about a link of a lower layer that is hidden by entries below it. The message begins with the layer.
pub(crate) fn hidden_link(layer: &str, location: &str, path: &[u8], below: usize) -> Finding {
    let path = shown(path);
    let text = format!(
        "{layer}: the entries below '{path}' hide the link '{path}' of layer {below}, or are written through it: engines \
         differ; an entry for '{path}' itself settles it"
    );
    Finding::new(text, location)
}

/// The entries of a layer at the paths that matter.
#[derive(Default)]
struct Events {
    whiteouts: HashSet<Path>,
    opaque: HashSet<Path>,
    /// The last entry for each path.
    entries: HashMap<Path, Type>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Link,
    Directory,
    Other,
}

/// Finds the hidden links of images. The layers of each image are named by their digests.
pub(crate) fn find_hidden_links(
    layout: &Layout,
    images: &[Vec<Digest>],
    verified: &HashMap<Digest, Verified>,
    options: ValidateOptions<'_>,
) -> Vec<Vec<HiddenLink>> {
    let outline_of = |layer: &Digest| Some(&verified.get(layer)?.layer.as_ref()?.content.as_ref().ok()?.tar.outline);
    let candidates: Vec<_> = images.iter().map(|layers| candidates_of(layers, outline_of)).collect();
    let mut layers = HashSet::new();
    let mut paths = HashSet::new();
    for (image, candidates) in images.iter().zip(&candidates).filter(|(_, candidates)| !candidates.is_empty()) {
        let last = candidates.iter().map(|(layer, _)| *layer).max().unwrap_or_default();
        layers.extend(image.iter().take(last + 1).cloned());
        for path in candidates.iter().map(|(_, path)| *path) {
            paths.extend(prefixes(path));
        }
    }
    let read = |layer: Digest| {
        // A layer that cannot be read has a finding already.
        let events = read_events(layout, &layer, &paths, options).unwrap_or_default();
        Ok::<_, Infallible>((layer, events))
    };
    let Ok(events) = map_bounded(layers.into_iter().collect::<Vec<_>>(), cores(), read);
    let events: HashMap<_, _> = events.into_iter().collect();
    images.iter().zip(&candidates).map(|(layers, candidates)| hidden_in(layers, candidates, &events)).collect()
}

/// Returns the directories without an entry, with their layers, that may be links of lower layers.
fn candidates_of<'a>(layers: &[Digest], outline_of: impl Fn(&Digest) -> Option<&'a Outline>) -> Vec<(usize, &'a [u8])> {
    let outlines: Vec<_> = layers.iter().map(outline_of).collect();
    let mut candidates = Vec::new();
    let mut links = HashSet::new();
    let mut all_links_are_known = true;
    // Up to the last layer that has such directories.
    let has_implied = |outline: &Option<&Outline>| outline.is_some_and(|outline| outline.implied().next().is_some());
    let last = outlines.iter().rposition(has_implied).unwrap_or_default();
    for (layer, outline) in outlines.iter().take(last + 1).enumerate() {
        let Some(outline) = outline else { continue };
        let may_be_link = |path: &&[u8]| layer > 0 && (!all_links_are_known || links.contains(path));
        let start = candidates.len();
        candidates.extend(outline.implied().filter(may_be_link).map(|path| (layer, path)));
        candidates[start..].sort_unstable();
        if layer < last {
            links.extend(outline.links());
            all_links_are_known &= outline.has_all_links();
        }
    }
    candidates
}

fn read_events(
    layout: &Layout,
    layer: &Digest,
    paths: &HashSet<&[u8]>,
    options: ValidateOptions<'_>,
) -> io::Result<Events> {
    let (file, size) = layout.open_blob(layer, &Referrer::Index).map_err(io::Error::other)?;
    let mut stored = BufReader::with_capacity(BUFFER, layout.metrics().reader(file));
    let encoding = Encoding::of(io::BufRead::fill_buf(&mut stored)?);
    let mut tar = TarReader::new(bounded_decoder(encoding, stored, Some(size), options.bounds)?);
    let mut events = Events::default();
    while let Some(header) = tar.next()? {
        let path = crate::tar::layer::clean(&header.path);
        let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let (parent, name) = (path[..at].strip_suffix(b"/").unwrap_or_default(), &path[at..]);
        if name == b".wh..wh..opq" {
            if parent.is_empty() || paths.contains(parent) {
                events.opaque.insert(parent.into());
            }
        } else if let Some(hidden) = name.strip_prefix(b".wh.") {
            let hidden = [&path[..at], hidden].concat();
            if paths.contains(hidden.as_slice()) {
                events.whiteouts.insert(hidden.into());
            }
        } else if paths.contains(path.as_slice()) {
            let entry = match header.flag() {
                b'2' => Type::Link,
                b'5' => Type::Directory,
                _ => Type::Other,
            };
            events.entries.insert(path.into(), entry);
        }
    }
    Ok(events)
}

fn hidden_in(layers: &[Digest], candidates: &[(usize, &[u8])], events: &HashMap<Digest, Events>) -> Vec<HiddenLink> {
    let mut hidden = Vec::new();
    // The layers of the links that are there, by path.
    let mut links: HashMap<&[u8], usize> = HashMap::new();
    let mut candidates_left = candidates;
    for (layer, digest) in layers.iter().enumerate() {
        let Some(events) = events.get(digest) else { continue };
        links.retain(|path, _| !events.remove(path));
        let count = candidates_left.iter().take_while(|(of, _)| *of == layer).count();
        let (here, rest) = candidates_left.split_at(count);
        candidates_left = rest;
        for (_, path) in here {
            if let Some(below) = links.remove(path) {
                hidden.push(HiddenLink { layer, below, path: (*path).into() });
            }
        }
        for (_, path) in rest {
            match events.entries.get(*path) {
                Some(Type::Link) => drop(links.insert(path, layer)),
                Some(_) => drop(links.remove(path)),
                None => {}
            }
        }
    }
    hidden
}

impl Events {
    /// Returns whether the layer removes a path of the layers below, or the directory that it is in.
    fn remove(&self, path: &[u8]) -> bool {
        let is_removed = |prefix: &[u8]| {
            let is_replaced =
                prefix.len() < path.len() && self.entries.get(prefix).is_some_and(|entry| *entry != Type::Directory);
            self.whiteouts.contains(prefix) || prefix.len() < path.len() && self.opaque.contains(prefix) || is_replaced
        };
        self.opaque.contains(&b""[..]) || prefixes(path).any(is_removed)
    }
}

/// Returns the directories above a path, and the path itself.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([path.len()]).map(|end| &path[..end])
}
