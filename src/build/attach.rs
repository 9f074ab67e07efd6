//! Attaches files to an image: an artifact whose subject is the image, in one step.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::artifact::{FoundSubject, find_subject, is_file_name};
use super::copied::{Copied, Replaced};
use super::input::{LayerInput, Treatment};
use super::pipeline::store_layer;
use crate::check::documents::check_document;
use crate::check::report::MissingParts;
use crate::compress::{Bounds, Encoding, peek};
use crate::error::{ArtifactError, CopyError, Error, Result};
use crate::fs::walk::open_target;
use crate::graph::platform::Choice;
use crate::layout::blobs::{PendingBlob, StoredBlob};
use crate::layout::commit::write_index;
use crate::layout::handle::Layout;
use crate::layout::lock::take_lock;
use crate::metrics::Progress;
use crate::oci::{self, Annotations, Descriptor, Digest, EMPTY_CONTENT, Manifest, MediaType, Platform, TITLE};
use crate::options::setters;
use crate::tar::layer::Look;

/// Options for an artifact that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AttachOptions {
    /// The type of the artifact.
    pub artifact_type: MediaType,
    /// The media type of the files.
    pub media_type: MediaType,
    /// The annotations in the manifest.
    pub annotations: Annotations,
    /// The platform of the image in an index that the artifact refers to; by default it refers to the index.
    pub platform: Option<Platform>,
}

impl AttachOptions {
    /// Options for an artifact of a type, with files of which nothing is known.
    pub fn new(artifact_type: MediaType) -> Self {
        Self { artifact_type, media_type: MediaType::octet_stream(), annotations: Annotations::new(), platform: None }
    }

    setters! {
        media_type: [MediaType],
        annotations: [Annotations],
        platform: [option Platform],
    }
}

/// An artifact that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Attached {
    /// The entry of the artifact in `index.json`.
    pub entry: Descriptor,
    /// The image or index that it refers to.
    pub subject: Descriptor,
    /// The platform that was chosen, if one was asked for.
    pub choice: Option<Choice>,
    /// Whether the artifact is new in `index.json`.
    pub is_new: bool,
}

/// So many blobs wait at most for the manifest: each is an open file, or two.
const WAITING: usize = 16;

/// Makes an artifact of files whose subject is the image that a reference resolves to, and lists it in `index.json` without a
/// name. The files are stored as they are, in one pass and constant memory, with their names as titles. The same artifact is
/// listed once.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
/// # use regshape::layout::Layout;
/// # let directory = tempfile::tempdir()?;
/// # let sbom = directory.path().join("sbom.spdx.json");
/// # std::fs::write(&sbom, "{}")?;
/// # let layout = Layout::init(directory.path().join("my-image"))?;
/// # layout.stage_layer(LayerInput::from_reader("x", &[0; 1024][..])?, &LayerOptions::default())?;
/// # layout.generate_config(&ConfigOptions::default())?;
/// # layout.generate_manifest(&ManifestOptions::default().ref_name("v1".parse()?))?;
/// use regshape::build::{AttachOptions, attach};
/// use regshape::metrics::Progress;
///
/// let options = AttachOptions::new("application/spdx+json".parse()?);
/// let attached = attach(&layout, "v1", &[sbom], &options, Progress::none())?;
/// assert_eq!(attached.subject.digest, layout.read_index()?.manifests[0].digest);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::FileNotFound`], [`Error::IsDirectory`]; [`ArtifactError::NotRegular`], [`ArtifactError::NoName`],
/// [`ArtifactError::SameName`]; [`CopyError::Changed`] if a file changes while it is read; [`Error::UnknownManifest`],
/// [`Error::AmbiguousName`], [`Error::UnknownPlatform`]; [`ArtifactError::NotASubject`]; [`Error::InvalidManifest`];
/// [`Error::MalformedIndex`]; [`Error::Changed`] if another process deletes a file's blob meanwhile; [`Error::Io`]. After an
/// error the layout is unchanged.
pub fn attach(
    layout: &Layout,
    reference: &str,
    files: &[PathBuf],
    options: &AttachOptions,
    progress: Progress<'_>,
) -> Result<Attached> {
    let names = names_of(files)?;
    let platform = options.platform.as_ref();
    // Errors are reported before the files are read.
    let find = || find_subject(layout, &layout.read_index()?, reference, platform);
    layout.site().read_unlocked(find, |_| true)?;
    files.iter().try_for_each(|path| open(path).map(drop))?;
    // It outlives the lock, which it takes to delete blobs after an error.
    let mut copied = Copied::none(layout);
    let mut layers = Vec::new();
    for (path, name) in files.iter().zip(names) {
        let blob = store(layout, path, progress)?;
        let mut layer = Descriptor::new(options.media_type.clone(), blob.digest.clone(), blob.size);
        layer.annotations = Some(Annotations::from([(TITLE.to_owned(), name)]));
        layers.push(layer);
        copied.add(blob, WAITING)?;
    }

    let lock = take_lock(layout)?;
    let mut index = layout.read_index()?;
    let FoundSubject { descriptor: subject, choice } = find_subject(layout, &index, reference, platform)?;
    let mut stored = vec![layout.store_document(&lock, "the empty config", EMPTY_CONTENT)?];
    stored.extend(copied.commit(&lock, Replaced::Verified)?);
    if layers.is_empty() {
        layers.push(Descriptor::empty());
    }
    let annotations = Some(options.annotations.clone()).filter(|annotations| !annotations.is_empty());
    let manifest = Manifest {
        artifact_type: Some(options.artifact_type.to_string()),
        subject: Some(subject.clone()),
        annotations,
        ..Manifest::new(Descriptor::empty(), layers)
    };
    let content = oci::to_blob(&manifest);
    let mut entry = Descriptor::new(MediaType::manifest(), Digest::sha256_of(&content), content.len() as u64);
    entry.artifact_type = manifest.artifact_type;
    check_document(Some(layout), layout.path(), (&entry, &content), MissingParts::Error)?;
    stored.push(layout.store_document(&lock, "the manifest", &content)?);
    let listed = index.manifests.iter().find(|listed| listed.digest == entry.digest);
    if let Some(listed) = listed.cloned() {
        // The missing parts of the artifact are there again.
        stored.into_iter().for_each(StoredBlob::keep);
        return Ok(Attached { entry: listed, subject, choice, is_new: false });
    }
    index.manifests.push(entry.clone());
    write_index(layout, &lock, &index, stored)?;
    Ok(Attached { entry, subject, choice, is_new: true })
}

/// Returns the names of files, which become their titles.
fn names_of(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut known: HashMap<String, &Path> = HashMap::new();
    let name = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_file_name(name));
        name.map(str::to_owned).ok_or_else(|| Error::from(ArtifactError::NoName { path: path.clone() }))
    };
    let names = files.iter().map(name).collect::<Result<Vec<_>>>()?;
    for (path, name) in files.iter().zip(&names) {
        if let Some(one) = known.insert(name.clone(), path) {
            let (one, other) = (one.to_owned(), path.clone());
            return Err(ArtifactError::SameName { name: name.clone(), one, other }.into());
        }
    }
    Ok(names)
}

/// Opens a regular file, or the target of a link to one.
fn open(path: &Path) -> Result<(std::fs::File, std::fs::Metadata)> {
    let read = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            Error::FileNotFound { path: path.to_owned() }
        }
        _ => Error::io("read", path)(source),
    };
    let metadata = std::fs::metadata(path).map_err(read)?;
    let check = |metadata: &std::fs::Metadata| match metadata {
        metadata if metadata.is_dir() => Err(Error::IsDirectory { path: path.to_owned() }),
        metadata if !metadata.is_file() => Err(ArtifactError::NotRegular { path: path.to_owned() }.into()),
        _ => Ok(()),
    };
    check(&metadata)?;
    let file = open_target(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    check(&metadata)?;
    Ok((file, metadata))
}

/// Stores a file as it is, hashed while it is written.
fn store(layout: &Layout, path: &Path, progress: Progress<'_>) -> Result<PendingBlob> {
    let (file, before) = open(path)?;
    let failed = || Error::io("read", path);
    let same_file = file.try_clone().map_err(failed())?;
    let reader: Box<dyn std::io::Read + Send> = Box::new(file);
    let (_, reader) = peek(reader, |_| false).map_err(failed())?;
    let (path_of_input, size) = (path.to_owned(), Some(before.len()));
    let encoding = Encoding::Identity;
    let input = LayerInput { path: path_of_input, reader, encoding, is_tar: false, size, is_own: false };
    let stored = store_layer(layout, input, Treatment::AsIs, 1, Bounds::default(), Look::Format, progress)?;
    let after = same_file.metadata().map_err(failed())?;
    let is_same = stored.blob.size == before.len()
        && after.len() == before.len()
        && after.modified().ok() == before.modified().ok();
    if is_same { Ok(stored.blob) } else { Err(CopyError::Changed { path: path.to_owned() }.into()) }
}
