//! Image indexes: making one of images, adding and removing images, annotations. They go the way of every edit: checked,
//! then made under the lock from the `index.json` of that moment.

use std::collections::HashSet;

use super::change::annotate;
use super::index_change::IndexWork;
use super::outcome::{EditOptions, EditWarning, Edited};
use super::place::{Finished, Placed, Target, add_entry, find, replace_manifest};
use crate::build::copied::{Copied, Replaced};
use crate::check::documents::check_document;
use crate::check::report::MissingParts;
use crate::error::{EditError, Error, Result};
use crate::graph::edit::IndexEditor;
use crate::graph::index_members::{Member, add_members, members};
use crate::graph::names::Names;
use crate::graph::resolve::Resolver;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::oci::{
    self, AnnotationChange, Annotations, Descriptor, Digest, IMAGE_NAME, Index, MediaType, Platform, REF_NAME, RefName,
};
use crate::options::setters;
use crate::view::index_view::View;

/// How often blobs are copied again because another process deleted those that the layout had.
const TRIES: usize = 3;

/// An image that is put into an index: an image, an artifact, or the images of an index.
#[derive(Clone, Debug)]
pub struct IndexImage {
    name: String,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    /// A reference in the layout.
    Stored,
    /// All entries of a view.
    View(View),
}

impl IndexImage {
    /// Takes the image of a reference in the layout of the index.
    pub fn stored(reference: impl Into<String>) -> Self {
        Self { name: reference.into(), origin: Origin::Stored }
    }

    /// Takes the images of a view, which are copied into the layout. The name is that in errors.
    pub fn of_view(view: View, name: impl Into<String>) -> Self {
        Self { name: name.into(), origin: Origin::View(view) }
    }
}

/// How an index is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IndexOptions {
    /// The annotations of the index.
    pub annotations: Annotations,
    /// Whether the tag is taken from another manifest, which then stays without a name.
    pub replace_tag: bool,
}

impl IndexOptions {
    setters! {
        annotations: [Annotations],
        replace_tag: [bool],
    }
}

/// A change of an index.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IndexChange {
    /// Adds images.
    Add(Vec<IndexImage>),
    /// Removes images, with their attestations.
    Remove {
        /// The platforms of the images.
        platforms: Vec<Platform>,
        /// Digests of manifests, or their beginnings.
        digests: Vec<String>,
    },
    /// Changes the annotations of the index itself.
    Annotate(AnnotationChange),
    /// Changes the annotations of the images' descriptors in the index: of all, or those for the platforms of the options.
    AnnotateDescriptors(AnnotationChange),
    /// Changes the annotations of the entry in `index.json`, which may be that of an image.
    AnnotateEntry(AnnotationChange),
}

/// Makes an index of images, and lists it in `index.json`. The platforms of the images are those of their configs.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
/// # use regshape::layout::Layout;
/// # let tar = directory.path().join("layer.tar");
/// # std::fs::write(&tar, [0; 1024])?;
/// # let path = directory.path().join("image");
/// # let layout = Layout::init(&path)?;
/// # for architecture in ["amd64", "arm64"] {
/// #     regshape::build::reset(&layout)?;
/// #     layout.stage_layer(LayerInput::open(&tar)?, &LayerOptions::default())?;
/// #     layout.generate_config(&ConfigOptions::default().architecture(architecture.to_owned()))?;
/// #     layout.generate_manifest(&ManifestOptions::default().ref_name(architecture.parse()?))?;
/// # }
/// use regshape::build::edit::{IndexImage, IndexOptions, generate_index};
///
/// let images = [IndexImage::stored("amd64"), IndexImage::stored("arm64")];
/// let index = generate_index(&layout, &"v1".parse()?, &images, &IndexOptions::default())?;
/// assert_eq!(index.images.len(), 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::NameTaken`] if another manifest has the tag; [`EditError::TwoForPlatform`]; [`Error::UnknownManifest`],
/// [`Error::MissingBlob`], [`Error::PlatformNotStored`]; [`Error::NotValid`]; the errors of reading the documents;
/// [`Error::Io`]. After an error the layout is unchanged.
pub fn generate_index(
    layout: &Layout,
    ref_name: &RefName,
    images: &[IndexImage],
    options: &IndexOptions,
) -> Result<Edited> {
    let images = Prepared::all(images)?;
    write(layout, &images, |before| {
        let annotations = (!options.annotations.is_empty()).then(|| options.annotations.clone());
        let mut made = Index { annotations, ..Index::empty() };
        let contradictions =
            add_members(layout, &mut made, ref_name.as_str(), Prepared::members(&images, layout, before)?)?;
        let content = oci::to_blob(&made);
        let mut result = Descriptor::new(MediaType::index(), Digest::sha256_of(&content), content.len() as u64);
        result.set_name(REF_NAME, Some(ref_name.as_str().to_owned()));
        check_document(Some(layout), layout.path(), (&result, &content), MissingParts::Fine)?;
        let mut index = before.clone();
        add_entry(layout, &mut index, &result, options.replace_tag)?;
        if options.replace_tag {
            // It may have lost the tag earlier, and stands without a name since.
            let names = Names::AsTheyStand { default: None };
            let editor = IndexEditor { names: &names, documents: layout, path: layout.path() };
            editor.absorb_untagged(&mut index, &result.digest);
        }
        let warnings = contradictions.into_iter().map(Box::new).map(EditWarning::OtherPlatform).collect();
        Ok((Finished { warnings, ..Finished::new(index, result) }, vec![content]))
    })
}

/// Changes the index that a reference resolves to. Its entry in `index.json` stays where it is. Where nothing changes,
/// nothing is written.
///
/// # Errors
///
/// [`EditError::NoIndex`] for an image, [`EditError::TwoForPlatform`], [`EditError::NotListed`], [`EditError::LastImage`],
/// [`EditError::NameOfEntry`]; [`Error::UnknownPlatform`]; those of [`generate_index`]. After an error the layout is unchanged.
pub fn edit_index(layout: &Layout, reference: &str, change: &IndexChange, options: &EditOptions) -> Result<Edited> {
    let images = match change {
        IndexChange::Add(images) => Prepared::all(images)?,
        IndexChange::AnnotateEntry(change) => {
            check_no_name(change)?;
            Vec::new()
        }
        _ => Vec::new(),
    };
    let mut options = options.clone();
    if let IndexChange::Remove { platforms, .. } = change {
        options.platforms.clone_from(platforms);
    }
    let options = &options;
    write(layout, &images, |before| {
        let target = find(layout, before, reference, options)?;
        let Target { entry, picked, .. } = &target;
        let mut work = IndexWork::new(layout, reference);
        let changed = match change {
            IndexChange::Add(_) => work.add(entry, Prepared::members(&images, layout, before)?)?,
            IndexChange::Remove { digests, .. } => work.remove(&target, digests)?,
            IndexChange::Annotate(change) => work.annotate(entry, change)?,
            IndexChange::AnnotateDescriptors(change) => work.annotate_descriptors(entry, picked, change)?,
            IndexChange::AnnotateEntry(change) => {
                let Placed { index, result } =
                    target.place(layout, before, options, true, |entry| annotate_entry(entry, change))?;
                return Ok((Finished::new(index, result), Vec::new()));
            }
        };
        let Placed { index, result } = target.place(layout, before, options, changed.is_some(), |entry| {
            changed.iter().for_each(|changed| replace_manifest(entry, changed));
        })?;
        if let (Some(changed), Some(content)) = (&changed, work.documents.last()) {
            check_document(Some(layout), layout.path(), (changed, content), MissingParts::Fine)?;
        }
        let IndexWork { documents, old, removed, converted, contradictions, .. } = work;
        let warnings = converted.then_some(EditWarning::ConvertedIndex).into_iter();
        let warnings =
            warnings.chain(contradictions.into_iter().map(Box::new).map(EditWarning::OtherPlatform)).collect();
        Ok((Finished { choices: target.choices, old, removed, warnings, ..Finished::new(index, result) }, documents))
    })
}

/// An image that is put into an index, as it was looked at before the layout is locked.
struct Prepared {
    name: String,
    /// The view of its entries, with these; `None` if it is in the layout, where it may change.
    view: Option<(View, Vec<Member>)>,
}

impl Prepared {
    fn all(images: &[IndexImage]) -> Result<Vec<Self>> {
        let prepare = |image: &IndexImage| -> Result<Self> {
            let name = image.name.clone();
            let view = match &image.origin {
                Origin::Stored => None,
                Origin::View(view) => {
                    let members = members(view, view.path(), &view.index().manifests, &name)?;
                    let manifests = members.iter().map(|member| member.entry.clone()).collect();
                    let view = view.with_index(Index { manifests, ..Index::empty() });
                    view.check_documents()?;
                    Some((view, members))
                }
            };
            Ok(Self { name, view })
        };
        images.iter().map(prepare).collect()
    }

    /// Returns the entries of an index for images.
    fn members(images: &[Self], layout: &Layout, index: &Index) -> Result<Vec<Member>> {
        let mut found = Vec::new();
        for Self { name, view } in images {
            found.extend(match view {
                Some((_, members)) => members.clone(),
                None => {
                    let names = Names::AsTheyStand { default: None };
                    let resolved = Resolver { names, index, documents: layout, path: layout.path() }.find(name)?;
                    let entries: Vec<Descriptor> = resolved.entries(index).into_iter().cloned().collect();
                    members(layout, layout.path(), &entries, name)?
                }
            });
        }
        Ok(found)
    }
}

/// Makes a change: checks it, copies the blobs of views, and then makes it under the lock from the `index.json` of that moment.
fn write(
    layout: &Layout,
    images: &[Prepared],
    make: impl Fn(&Index) -> Result<(Finished, Vec<Vec<u8>>)>,
) -> Result<Edited> {
    let views: Vec<View> = images.iter().filter_map(|image| Some(image.view.as_ref()?.0.clone())).collect();
    if !views.is_empty() {
        // Conflicts are reported before blobs are copied; they are checked again under the lock.
        layout.site().read_unlocked(|| make(&layout.read_index()?).map(drop), |()| true)?;
    }
    let mut tries = 0;
    loop {
        tries += 1;
        // It outlives the lock, which it takes to delete blobs after an error.
        let mut copied = Copied::of(layout, &views)?;
        let lock = take_lock(layout)?;
        let before = layout.read_index()?;
        let (change, documents) = make(&before)?;
        let store = || {
            let replaced = if tries < TRIES { Replaced::Error } else { Replaced::Verified };
            let mut blobs = copied.commit(&lock, replaced)?;
            for content in &documents {
                blobs.push(layout.store_document(&lock, "the index", content)?);
            }
            Ok(blobs)
        };
        match change.write(layout, &lock, &before, store) {
            Err(Error::Changed { .. }) if tries < TRIES => {}
            result => return result,
        }
    }
}

/// Changes the annotations of an entry of `index.json`. Its names stay.
fn annotate_entry(entry: &mut Descriptor, change: &AnnotationChange) {
    let names = [REF_NAME, IMAGE_NAME].map(|key| {
        let name = entry.annotations.as_ref().and_then(|annotations| annotations.get(key));
        (key, name.cloned())
    });
    annotate(&mut entry.annotations, change);
    for (key, name) in names.into_iter().filter(|(_, name)| name.is_some()) {
        entry.set_name(key, name);
    }
}

/// Checks that a change of an entry's annotations is none of its names.
fn check_no_name(change: &AnnotationChange) -> Result<()> {
    let keys: HashSet<&String> = match change {
        AnnotationChange::Merge(set) | AnnotationChange::Replace(set) => set.keys().collect(),
        AnnotationChange::Remove(keys, set) => keys.iter().chain(set.keys()).collect(),
    };
    match keys.into_iter().find(|key| [REF_NAME, IMAGE_NAME].contains(&key.as_str())) {
        Some(key) => Err(EditError::NameOfEntry { key: key.clone() }.into()),
        None => Ok(()),
    }
}
