//! Archives in which both `index.json` and `manifest.json` list images, such as those of `docker save`: the union of
//! both lists.

use std::collections::{HashMap, HashSet};

use super::docker_read::{Blobs, Saved, named};
use super::entries::{Entries, Span};
use super::entry_names::normal;
use super::listed::Listed;
use super::oci::digest_of;
use crate::error::{Error, Result};
use crate::graph::walk::INDEX_FILE;
use crate::graph::walk::{Document, Reach, walk};
use crate::layout::site::BLOBS_DIRECTORY;
use crate::oci::{Descriptor, Digest, Index, Manifest, MediaType, NameKey, REF_NAME};
use crate::transfer::listed::MANIFEST_FILE;
use crate::transfer::load::{LoadOptions, not_an_archive};
use crate::view::index_view::{MadeDocuments, View};
use crate::view::rewrite::Rewrite;

/// A layer, as referred to by either document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Layer {
    At(Span),
    /// A file that is missing in the archive.
    Absent(String),
}

/// An image reachable from `index.json`.
struct Stored {
    entry: Descriptor,
    manifest: Manifest,
}

/// Adds to the images of a layout in an archive those listed only in `manifest.json`, and their names. Where both
/// documents list an image with different layers, the list that matches the diff_ids of its config is used. Layers are
/// read only for this comparison, and for images that are added.
///
/// # Errors
///
/// [`Error::NotAnArchive`] if neither list of layers matches; the errors of reading the images.
pub(crate) fn unite(view: View, entries: &Entries<'_>, options: &LoadOptions<'_>) -> Result<View> {
    let images = Listed::read_beside_layout(entries)?;
    if images.is_empty() {
        return Ok(view);
    }
    let mut union = Union::new(&view, entries, options);
    let mut added: Vec<(Listed, Option<Descriptor>)> = Vec::new();
    for image in images {
        let found = union.find(&image)?;
        added.push((image, found));
    }
    union.finish(added)
}

struct Union<'a> {
    view: &'a View,
    entries: &'a Entries<'a>,
    saved: Saved<'a>,
    stored: Vec<Stored>,
    /// The stored images of a config.
    by_config: HashMap<Digest, Vec<usize>>,
    by_layers: HashMap<(Digest, Vec<Layer>), usize>,
    /// For each config whose images were compared, the stored image whose layers match.
    fitting: HashMap<Digest, Option<usize>>,
    /// The manifests that replace those whose layers do not match.
    replaced: HashMap<Digest, Digest>,
    blobs: Blobs,
}

impl<'a> Union<'a> {
    fn new(view: &'a View, entries: &'a Entries<'a>, options: &'a LoadOptions<'a>) -> Self {
        let mut union = Self {
            view,
            entries,
            saved: Saved::new(entries, options),
            stored: Vec::new(),
            by_config: HashMap::new(),
            by_layers: HashMap::new(),
            fitting: HashMap::new(),
            replaced: HashMap::new(),
            blobs: Blobs::new(),
        };
        for visit in walk(view, &view.index().manifests, Reach::Manifests) {
            // A document that cannot be read becomes an error when it is needed.
            let Ok(Some(Document::Manifest(manifest))) = visit.document else { continue };
            let at = union.stored.len();
            let config = manifest.config.digest.clone();
            let layers = manifest.layers.iter().map(|layer| union.layer(&blob_name(&layer.digest))).collect();
            union.by_config.entry(config.clone()).or_default().push(at);
            union.by_layers.entry((config, layers)).or_insert(at);
            union.stored.push(Stored { entry: visit.entry.into_owned(), manifest: *manifest });
        }
        union
    }

    fn layer(&self, name: &str) -> Layer {
        let name = normal(name);
        self.entries.span(&name).map_or(Layer::Absent(name), Layer::At)
    }

    /// Finds the stored image of a listed one, and makes sure that it has the right layers; `None` if it is not stored.
    fn find(&mut self, image: &Listed) -> Result<Option<Descriptor>> {
        let config = match self.saved.config(&image.config) {
            Ok(config) => config.digest.clone(),
            // The config of an image that was not copied.
            Err(error @ Error::NotAnArchive { .. }) => {
                let digest = digest_of(&normal(&image.config)).filter(|digest| self.by_config.contains_key(digest));
                digest.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        if !self.by_config.contains_key(&config) {
            return Ok(None);
        }
        let layers = image.layers.iter().map(|name| self.layer(name)).collect();
        if let Some(at) = self.by_layers.get(&(config.clone(), layers)) {
            return Ok(Some(self.stored[*at].entry.clone()));
        }
        let fitting = match self.fitting.get(&config) {
            Some(known) => *known,
            None => {
                let fitting = self.fitting_stored(&config, image)?;
                self.fitting.insert(config.clone(), fitting);
                fitting
            }
        };
        match fitting {
            Some(at) => Ok(Some(self.stored[at].entry.clone())),
            None => self.replace(&config, image).map(Some),
        }
    }

    /// Finds the stored image of a config whose layers match its diff_ids.
    fn fitting_stored(&mut self, config: &Digest, image: &Listed) -> Result<Option<usize>> {
        let diff_ids = match self.saved.config(&image.config) {
            Ok(config) => config.diff_ids().map(<[Digest]>::to_vec).unwrap_or_default(),
            Err(_) => return Ok(self.by_config[config].first().copied()),
        };
        for at in self.by_config[config].clone() {
            let layers = self.stored[at].manifest.layers.clone();
            if layers.len() == diff_ids.len() && self.all_fit(&layers, &diff_ids)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn all_fit(&mut self, layers: &[Descriptor], diff_ids: &[Digest]) -> Result<bool> {
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let name = blob_name(&layer.digest);
            let (Some(span), Some(algorithm)) = (self.entries.span(&name), diff_id.algorithm()) else {
                return Ok(false);
            };
            match self.saved.diff_id(&name, span, algorithm) {
                Ok(actual) if actual == *diff_id => {}
                Ok(_) | Err(Error::UnsafeEntry { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Replaces the stored images of a config, whose layers do not match, by the listed image.
    fn replace(&mut self, config: &Digest, image: &Listed) -> Result<Descriptor> {
        let converted = match self.saved.read_layers(std::slice::from_ref(image)) {
            Ok(()) => self.saved.convert(image, &mut self.blobs),
            Err(error) => Err(error),
        };
        let stored: Vec<&Stored> = self.by_config[config].iter().map(|at| &self.stored[*at]).collect();
        let entry = converted.map_err(|error| match error {
            Error::NotAnArchive { .. } | Error::UnsafeEntry { .. } | Error::MalformedDocument { .. } => {
                let list = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let in_index = stored[0].manifest.layers.iter().map(|layer| layer.digest.to_string()).collect();
                let in_manifest = image.layers.iter().map(|name| name.escape_debug().to_string()).collect();
                not_an_archive(
                    self.entries.path,
                    format!(
                        "{INDEX_FILE} and {MANIFEST_FILE} list different layers for the image with the config {config}, and \
                         neither list fits its diff_ids: {INDEX_FILE} has {}; {MANIFEST_FILE} has {}",
                        list(in_index),
                        list(in_manifest)
                    ),
                )
            }
            error => error,
        })?;
        for stored in stored {
            self.replaced.insert(stored.entry.digest.clone(), entry.digest.clone());
        }
        // Layers of other images of this config are compared with this one from now on.
        let layers = image.layers.iter().map(|name| self.layer(name)).collect();
        let at = self.stored.len();
        self.by_layers.insert((config.clone(), layers), at);
        self.fitting.insert(config.clone(), Some(at));
        let manifest = self.stored[self.by_config[config][0]].manifest.clone();
        self.stored.push(Stored { entry: entry.clone(), manifest });
        Ok(entry)
    }

    /// Adds the images that were not found, and the names.
    fn finish(mut self, images: Vec<(Listed, Option<Descriptor>)>) -> Result<View> {
        let replacing = Replacing { manifests: &self.replaced, blobs: &self.blobs };
        let view =
            if self.replaced.is_empty() { self.view.clone() } else { self.view.rewritten(&mut { replacing })? };
        let mut index = Index::clone(view.index());
        let mut names: HashSet<NameKey<'_>> = HashSet::new();
        let mut nameless: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (at, entry) in view.index().manifests.iter().enumerate() {
            names.extend(entry.names().map(NameKey::of));
            if !entry.is_named() {
                nameless.entry(entry.digest.clone()).or_default().push(at);
            }
        }
        let missing: Vec<&Listed> =
            images.iter().filter(|(_, found)| found.is_none()).map(|(image, _)| image).collect();
        self.saved.read_layers(missing)?;
        let mut listed: HashSet<Digest> = index.manifests.iter().map(|entry| entry.digest.clone()).collect();
        for (image, found) in &images {
            let entry = match found {
                Some(entry) => entry.clone(),
                None => self.saved.convert(image, &mut self.blobs)?,
            };
            let mut is_listed = found.is_some() || listed.contains(&entry.digest);
            for name in image.distinct_names().filter(|name| names.insert(NameKey::of(name))) {
                match nameless.get_mut(&entry.digest).and_then(Vec::pop) {
                    Some(at) => index.manifests[at].set_name(REF_NAME, Some(name.to_owned())),
                    None => index.manifests.push(named(&Descriptor { data: None, ..entry.clone() }, name)),
                }
                is_listed = true;
            }
            if !is_listed {
                index.manifests.push(entry.clone());
            }
            listed.insert(entry.digest);
        }
        let mut made = MadeDocuments::default();
        for (digest, content) in self.blobs {
            made.insert(digest, content);
        }
        Ok(view.with_documents(made).with_index(index))
    }
}

/// Replaces manifests by others.
struct Replacing<'a> {
    manifests: &'a HashMap<Digest, Digest>,
    blobs: &'a Blobs,
}

impl Rewrite for Replacing<'_> {
    fn media_type(&self, media_type: &MediaType) -> MediaType {
        media_type.clone()
    }

    fn manifest(&mut self, entry: &Descriptor, _: Manifest) -> Result<Option<Vec<u8>>> {
        let Some(content) = self.manifests.get(&entry.digest).and_then(|made| self.blobs.get(made)) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut content.reader(), &mut bytes)
            .map_err(Error::io("read", entry.digest.as_str()))?;
        Ok(Some(bytes))
    }

    fn allows_missing(&self) -> bool {
        true
    }
}

/// Returns the name of a blob in a layout.
fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS_DIRECTORY}/{}/{}", digest.algorithm_name(), digest.encoded())
}
