//! Changes the documents of images, and puts the new ones in their places: all or nothing.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use super::base::leave_base;
use super::change::{ImageChange, ImageDocuments};
use super::outcome::{EditOptions, EditWarning, Edited};
use super::place::{Finished, Picked, Placed, Target, find, replace_manifest};
use crate::build::layer::NewLayer;
use crate::check::documents::check_document;
use crate::check::report::MissingParts;
use crate::error::{EditError, Error, Reason, Referrer, Result};
use crate::graph::platform::Platforms;
use crate::graph::walk::{Document, Reach, read_entry, walk};
use crate::layout::blobs::{PendingBlob, StoredBlob};
use crate::layout::handle::{Layout, Lock};
use crate::layout::lock::take_lock;
use crate::oci::{self, Descriptor, Digest, EMPTY_CONTENT, Index, Manifest, Platform, UnknownFields};

/// Changes the image that a reference resolves to: of an index all images, or those of the platforms asked for. Its
/// entry in `index.json` stays where it is, with its annotations. Fields without a change stay. Where nothing changes,
/// nothing is written.
///
/// # Errors
///
/// [`Error::UnknownManifest`], [`Error::AmbiguousName`]; [`EditError`]; [`Error::UnknownPlatform`]; [`Error::Config`]; the
/// errors of reading the documents; [`Error::Io`]. After an error the layout is unchanged.
pub fn edit_image(layout: &Layout, reference: &str, change: &ImageChange, options: &EditOptions) -> Result<Edited> {
    let change = |image: &mut ImageDocuments, name: &str| image.change(change, name, options.time_of_entries());
    edit_with(layout, reference, &change, options, |_| Ok(Vec::new()))
}

/// Returns the layers of the images that a change would be made to: each list of layers once.
///
/// # Errors
///
/// Those of [`edit_image`] before it changes anything.
pub fn layers_to_edit(layout: &Layout, reference: &str, options: &EditOptions) -> Result<Vec<Vec<Digest>>> {
    let index = layout.read_index()?;
    let mut found: Vec<Vec<Digest>> = Vec::new();
    for entry in manifests_to_edit(layout, &index, reference, options)? {
        let document = read_entry(layout, &entry, None).map_err(|error| or_changed(layout, &index, error));
        if let Some(Document::Manifest(manifest)) = document? {
            let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
            if !found.contains(&layers) {
                found.push(layers);
            }
        }
    }
    Ok(found)
}

/// Returns the error of an index that was replaced since it was read, if that is why a document is missing: the process that
/// replaced it deleted the document.
pub(crate) fn or_changed(layout: &Layout, index: &Index, error: Error) -> Error {
    let digests = |index: &Index| index.manifests.iter().map(|entry| entry.digest.clone()).collect::<Vec<_>>();
    match error {
        Error::MissingBlob { .. } if layout.read_index().is_ok_and(|now| digests(&now) != digests(index)) => {
            Error::Changed { path: layout.path().to_owned() }
        }
        error => error,
    }
}

/// Returns the descriptors of the manifests that a change would be made to.
///
/// # Errors
///
/// Those of [`edit_image`] before it changes anything; [`Error::Changed`] if the index was replaced meanwhile.
pub(crate) fn manifests_to_edit(
    layout: &Layout,
    index: &Index,
    reference: &str,
    options: &EditOptions,
) -> Result<Vec<Descriptor>> {
    manifests_in(layout, index, reference, options).map_err(|error| or_changed(layout, index, error))
}

fn manifests_in(layout: &Layout, index: &Index, reference: &str, options: &EditOptions) -> Result<Vec<Descriptor>> {
    let Target { entry, picked, .. } = find(layout, index, reference, options)?;
    let mut found: Vec<Descriptor> = Vec::new();
    let mut platforms = Platforms::new(layout);
    for visit in walk(layout, std::slice::from_ref(&entry), Reach::Manifests) {
        let visited = visit.entry.clone().into_owned();
        if visited.is_attestation() || visited.digest != entry.digest && !picked.has(&platforms.of(&visited)) {
            continue;
        }
        if matches!(visit.leads_to()?, Some(Document::Manifest(_))) {
            found.push(visited);
        }
    }
    Ok(found)
}

/// Adds a layer on top of an image: of several layers the one that was made for its layers. See [`edit_image`].
///
/// # Errors
///
/// [`Error::Changed`] if no layer was made for the layers that an image has by now; those of [`edit_image`]. After an
/// error the layout is unchanged.
pub fn add_layers(layout: &Layout, reference: &str, layers: Vec<NewLayer>, options: &EditOptions) -> Result<Edited> {
    let (places, blobs): (Vec<_>, _) =
        layers.into_iter().map(|layer| ((layer.below, layer.added.layer), layer.blob)).unzip();
    let lacks_history = Cell::new(false);
    let add = |image: &mut ImageDocuments, _: &str| {
        let below = || image.manifest.layers.iter().map(|layer| &layer.digest);
        let fits = |only_on: &Option<Vec<Digest>>| only_on.as_ref().is_none_or(|only_on| only_on.iter().eq(below()));
        let changed = || Error::Changed { path: layout.path().to_owned() };
        let (_, layer) = places.iter().find(|(only_on, _)| fits(only_on)).ok_or_else(changed)?;
        let lacks = image.add_layer(layer, options.time_of_entries())?;
        lacks_history.set(lacks_history.get() | lacks);
        Ok(())
    };
    let blobs: Vec<PendingBlob> = blobs;
    let edited =
        edit_with(layout, reference, &add, options, |lock| blobs.into_iter().map(|blob| blob.commit(lock)).collect())?;
    Ok(Edited { lacks_history: lacks_history.get(), ..edited })
}

/// A change of the documents of an image that has a name.
pub(crate) type Change<'a> = dyn Fn(&mut ImageDocuments, &str) -> Result<()> + 'a;

/// Changes an image. `store` gives blobs their names to which the new documents refer.
pub(crate) fn edit_with(
    layout: &Layout,
    reference: &str,
    change: &Change<'_>,
    options: &EditOptions,
    store: impl FnOnce(&Lock) -> Result<Vec<StoredBlob>>,
) -> Result<Edited> {
    let lock = take_lock(layout)?;
    let before = layout.read_index()?;
    let target = find(layout, &before, reference, options)?;
    let mut work = Work {
        layout,
        lock: &lock,
        change,
        picked: &target.picked,
        written: Vec::new(),
        old: HashSet::new(),
        depth: 0,
        has_left_base: false,
        conversion: Conversion::default(),
        attestations: BTreeSet::new(),
        platforms: Vec::new(),
    };
    let changed = work.rewrite(&target.entry, None, reference)?;
    work.check_platforms()?;
    let Placed { index, result } = target.place(layout, &before, options, changed.is_some(), |entry| {
        changed.iter().for_each(|changed| replace_manifest(entry, changed));
    })?;
    let Work { written, old, conversion, attestations, has_left_base, .. } = work;
    let mut change = Finished { choices: target.choices, old, attestations, ..Finished::new(index, result) };
    change.warnings.extend(conversion.warning());
    change.warnings.extend(has_left_base.then_some(EditWarning::LeftBase));
    change.write(layout, &lock, &before, || Ok(written.into_iter().chain(store(&lock)?).collect()))
}

/// How many indexes may be nested in an image that is changed.
const MAX_DEPTH: usize = 64;

/// The rewriting of an image.
struct Work<'a> {
    layout: &'a Layout,
    lock: &'a Lock,
    change: &'a Change<'a>,
    picked: &'a Picked,
    written: Vec<StoredBlob>,
    /// The documents that were replaced.
    old: HashSet<Digest>,
    /// The number of indexes that are being rewritten.
    depth: usize,
    has_left_base: bool,
    conversion: Conversion,
    /// The attestations that the new index leaves out.
    attestations: BTreeSet<Digest>,
    platforms: Vec<PlatformOfImage>,
}

/// The documents whose media types were those of Docker.
#[derive(Default)]
struct Conversion {
    of_index: bool,
    of_images: bool,
    /// Whether images of an index stay as they were.
    is_partial: bool,
}

impl Conversion {
    fn warning(&self) -> Option<EditWarning> {
        match (self.of_images, self.is_partial, self.of_index) {
            (true, false, _) => Some(EditWarning::Converted),
            (true, true, _) => Some(EditWarning::ConvertedPart),
            (false, _, true) => Some(EditWarning::ConvertedIndex),
            (false, _, false) => None,
        }
    }
}

/// The platform of an image before and after a change: `arm64` and `arm64/v8` are one.
struct PlatformOfImage {
    /// The image, for errors.
    name: String,
    before: Option<Platform>,
    after: Option<Platform>,
    /// The platform after the change, as the config says it.
    said: Option<Platform>,
}

impl PlatformOfImage {
    /// Records the platform of an image that has not changed yet.
    fn new(name: &str, platform: &Option<Platform>) -> Self {
        let normal = normalized(platform);
        Self { name: name.to_owned(), before: normal.clone(), after: normal, said: platform.clone() }
    }

    fn has_changed(&self) -> bool {
        self.before != self.after
    }
}

fn normalized(platform: &Option<Platform>) -> Option<Platform> {
    platform.as_ref().map(|platform| platform.normalized().unwrap_or_else(|| platform.clone()))
}

impl Work<'_> {
    /// Checks that the change gives no two images one platform. Images that had one platform before may keep one.
    fn check_platforms(&self) -> Result<()> {
        for changed in self.platforms.iter().filter(|image| image.has_changed()) {
            let Some(platform) = &changed.said else { continue };
            let collides = |other: &PlatformOfImage| other.after == changed.after && other.before != changed.before;
            if self.platforms.iter().any(collides) {
                return Err(
                    EditError::SamePlatform { image: changed.name.clone(), platform: platform.to_string() }.into()
                );
            }
        }
        Ok(())
    }

    /// Rewrites an image or an index, which another index may list; `None` if it does not change.
    fn rewrite(&mut self, entry: &Descriptor, lister: Option<&Digest>, name: &str) -> Result<Option<Descriptor>> {
        match read_entry(self.layout, entry, lister)? {
            Some(Document::Index(_)) if self.depth == MAX_DEPTH => {
                Err(EditError::TooDeep { image: name.to_owned(), limit: MAX_DEPTH }.into())
            }
            Some(Document::Index(index)) => {
                self.depth += 1;
                let rewritten = self.rewrite_index(entry, *index, name);
                self.depth -= 1;
                rewritten
            }
            Some(Document::Manifest(manifest)) => self.rewrite_manifest(entry, *manifest, name),
            _ => Err(EditError::NoImage { image: name.to_owned() }.into()),
        }
    }

    fn rewrite_index(&mut self, entry: &Descriptor, index: Index, name: &str) -> Result<Option<Descriptor>> {
        let mut manifests = Vec::new();
        let mut changed: HashSet<Digest> = HashSet::new();
        for child in &index.manifests {
            if child.is_attestation() {
                manifests.push(child.clone());
                continue;
            }
            let name = match Platforms::new(self.layout).of(child) {
                Some(platform) => format!("{name} ({platform})"),
                None => name.to_owned(),
            };
            match self.rewrite(child, Some(&entry.digest), &name)? {
                Some(new) => {
                    changed.insert(child.digest.clone());
                    manifests.push(new);
                }
                None => {
                    self.conversion.is_partial = true;
                    manifests.push(child.clone());
                }
            }
        }
        if changed.is_empty() {
            return Ok(None);
        }
        let (left, kept): (Vec<_>, Vec<_>) = manifests.into_iter().partition(|child| child.attests(&changed));
        left.into_iter().for_each(|attestation| self.leave_out(&attestation));
        let media_type = index.media_type.as_ref().map(|media_type| media_type.to_oci());
        self.conversion.of_index |= entry.media_type.to_oci() != entry.media_type;
        let content = oci::to_blob(&Index { manifests: kept, media_type, ..index });
        self.replace(entry, &content, "the index").map(Some)
    }

    /// Notes that the new index does not list an attestation.
    fn leave_out(&mut self, attestation: &Descriptor) {
        // An attestation that is not stored has no config to delete.
        if let Ok(Some(Document::Manifest(manifest))) = read_entry(self.layout, attestation, None) {
            self.old.insert(manifest.config.digest);
        }
        self.old.insert(attestation.digest.clone());
        self.attestations.insert(attestation.digest.clone());
    }

    fn rewrite_manifest(&mut self, entry: &Descriptor, manifest: Manifest, name: &str) -> Result<Option<Descriptor>> {
        let platform = Platforms::new(self.layout).of(entry);
        self.platforms.push(PlatformOfImage::new(name, &platform));
        if !self.picked.has(&platform) {
            return Ok(None);
        }
        let config = if manifest.is_image(entry) { Some(self.config(entry, &manifest)?) } else { None };
        let before = ImageDocuments { manifest, config };
        let mut after = before.clone();
        (self.change)(&mut after, name)?;
        self.has_left_base |= leave_base(self.layout, &before, &mut after);
        if after == before {
            return Ok(None);
        }
        let mut platform = None;
        if let Some(config) = &after.config {
            self.convert(&mut after.manifest);
            if before.config.as_ref() != Some(config) || after.manifest.config != before.manifest.config {
                let content = oci::to_blob(config);
                let stored = self.layout.store_document(self.lock, "the config", &content)?;
                self.old.insert(before.manifest.config.digest.clone());
                after.manifest.config.describe(stored.digest.clone(), &content);
                self.written.push(stored);
            }
            platform = (before.platform() != after.platform()).then(|| after.platform());
            if let (Some(after), Some(image)) = (&platform, self.platforms.last_mut()) {
                image.after = normalized(after);
                image.said.clone_from(after);
            }
        }
        match (before.has_placeholder(), after.has_placeholder()) {
            (false, true) => {
                self.written.push(self.layout.store_document(self.lock, "the empty layer", EMPTY_CONTENT)?);
            }
            (true, false) => {
                self.old.insert(Descriptor::empty().digest);
            }
            _ => {}
        }
        let content = oci::to_blob(&after.manifest);
        let mut new = self.replace(entry, &content, "the manifest")?;
        if let Some(platform) = platform.filter(|_| entry.platform.is_some()) {
            new.platform = platform.map(Box::new);
        }
        check_document(Some(self.layout), self.layout.path(), (&new, &content), MissingParts::Fine)?;
        Ok(Some(new))
    }

    fn config(&self, entry: &Descriptor, manifest: &Manifest) -> Result<UnknownFields> {
        let referrer = Referrer::Document(entry.digest.clone());
        let content = self.layout.read_document_blob(&manifest.config.digest, &referrer)?;
        oci::from_json(&content).map_err(|error| Error::MalformedDocument {
            digest: manifest.config.digest.clone(),
            kind: "image config",
            reason: Reason::from(error),
        })
    }

    /// Gives an image the media types of the image-spec: a mix is unusable (images, rule E1).
    fn convert(&mut self, manifest: &mut Manifest) {
        let types = manifest.media_type.iter_mut();
        let types = types.chain([&mut manifest.config.media_type]);
        for media_type in types.chain(manifest.layers.iter_mut().map(|layer| &mut layer.media_type)) {
            let converted = media_type.to_oci();
            self.conversion.of_images |= converted != *media_type;
            *media_type = converted;
        }
    }

    /// Stores the new document of an entry, and returns the entry for it.
    fn replace(&mut self, entry: &Descriptor, content: &[u8], what: &str) -> Result<Descriptor> {
        let stored = self.layout.store_document(self.lock, what, content)?;
        self.old.insert(entry.digest.clone());
        let mut new = entry.clone();
        new.media_type = new.media_type.to_oci();
        new.describe(stored.digest.clone(), content);
        self.written.push(stored);
        Ok(new)
    }
}
