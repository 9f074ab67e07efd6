//! Writes the files of an artifact below a directory, and never outside of it.
//!
//! All files are written and verified under temporary names first, then renamed to their places. Directories are opened name by
//! name without following links.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::artifact::{Artifact, ArtifactFile, NAMED};
use super::blobs::BlobReader;
use super::repository::Repository;
use crate::error::{ArtifactError, Error, Referrer, Result};
use crate::fs::{Directory, FileKind, TempDirectory};
use crate::layout::leftovers::clean_directories_in;
use crate::layout::site::{BLOBS_DIRECTORY, has_marker, layout_above};
use crate::metrics::Progress;
use crate::oci::{Algorithm, Digest};
use crate::options::setters;

/// How the files of an artifact are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Whether files that are there are replaced.
    pub overwrite: bool,
}

impl SaveOptions {
    setters! {
        overwrite: [bool],
    }
}

/// A file, and its place below the directory.
struct Target<'a> {
    file: &'a ArtifactFile,
    /// The names of the directories, and that of the file.
    names: Vec<String>,
}

impl Target<'_> {
    fn path(&self, directory: &Path) -> PathBuf {
        self.names.iter().fold(directory.to_owned(), |path, name| path.join(name))
    }

    fn title(&self) -> String {
        self.names.join("/")
    }
}

impl Artifact {
    /// Writes the files below a directory, at their [`ArtifactFile::path`]s, and returns the paths. The directory is made if it is
    /// not there. Files that are there are kept unless they are to be replaced; links are neither followed nor replaced.
    ///
    /// Each file is verified before it appears. After an error none is there; only if renaming fails, files that were replaced may
    /// have the new content.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::NoFiles`], [`ArtifactError::UnsafeTitle`], [`ArtifactError::Colliding`],
    /// [`ArtifactError::FilesExist`], [`ArtifactError::InTheWay`], [`ArtifactError::InLayout`]; [`Error::MissingBlob`],
    /// [`Error::DigestMismatch`], [`Error::SizeMismatch`]; [`Error::Io`].
    pub fn save(
        &self,
        repository: &Repository,
        directory: impl AsRef<Path>,
        options: &SaveOptions,
        progress: Progress<'_>,
    ) -> Result<Vec<PathBuf>> {
        let directory = directory.as_ref();
        let targets = self.targets()?;
        check_layouts(directory, &targets)?;
        check_places(directory, &targets, options)?;
        let is_there = |path: &&Path| !path.as_os_str().is_empty() && path.is_dir();
        let beside = directory.ancestors().find(is_there).unwrap_or(Path::new("."));
        // A killed program leaves its files here if the directory was there, or else above it.
        let above = directory.parent().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
        for place in above.filter(|above| above.is_dir()).into_iter().chain([beside]) {
            if !has_marker(place) {
                clean_directories_in(&repository.site, place);
            }
        }
        let interrupt = repository.site.interrupt();
        let scratch = TempDirectory::create_in(beside, interrupt).map_err(Error::io("write to", beside))?;
        let mut written = Vec::new();
        for (number, target) in targets.iter().enumerate() {
            written.push(self.write(repository, scratch.path(), number, target.file, progress)?);
        }
        let _section = interrupt.begin_section();
        let mut placing = Placing { options, new: Vec::new(), made: Vec::new() };
        let placed = placing.place_all(directory, &targets, &written);
        if placed.is_err() {
            placing.undo();
        }
        placed?;
        Ok(targets.iter().map(|target| target.path(directory)).collect())
    }

    /// Opens a file. Reading it to its end verifies it.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBlob`] if the file is not stored; [`Error::Io`].
    pub fn open_file(&self, repository: &Repository, file: &ArtifactFile) -> Result<BlobReader> {
        repository.get_blob(&file.descriptor.digest).map_err(|error| match error {
            // The artifact names the file; the command line does not.
            Error::MissingBlob { digest, .. } => {
                Error::MissingBlob { digest, referrer: Referrer::Document(self.descriptor.digest.clone()) }
            }
            error => error,
        })
    }

    /// Writes a file under a temporary name, and verifies it. Names are those of blobs, so that the file of a killed program is known
    /// as a leftover.
    fn write(
        &self,
        repository: &Repository,
        scratch: &Path,
        number: usize,
        file: &ArtifactFile,
        progress: Progress<'_>,
    ) -> Result<PathBuf> {
        let descriptor = &file.descriptor;
        let reader = self.open_file(repository, file)?;
        if reader.length() != descriptor.size {
            let (digest, expected, actual) = (Some(descriptor.digest.clone()), descriptor.size, reader.length());
            return Err(Error::SizeMismatch { digest, expected, actual });
        }
        let parent = scratch.join(BLOBS_DIRECTORY).join(Algorithm::Sha256.name());
        let digest = Digest::sha256_of(&number.to_le_bytes());
        let failed = || Error::io("write to", scratch);
        let create = || {
            // Otherwise the directories might be made again after the work was abandoned and they were deleted.
            let _section = repository.site.interrupt().begin_section();
            fs::create_dir_all(&parent)?;
            let parent = Directory::open(&parent)?;
            Ok((parent.create_to_append(digest.encoded())?, parent))
        };
        let (mut output, parent) = create().map_err(failed())?;
        reader.copy_to(|bytes| {
            progress.add(bytes.len() as u64);
            output.write_all(bytes).map_err(failed())
        })?;
        output.sync_data().map_err(failed())?;
        Ok(parent.path_of(digest.encoded()))
    }

    /// Returns the places of the files. The same content with the same title is written once.
    fn targets(&self) -> Result<Vec<Target<'_>>> {
        if self.files.is_empty() {
            return Err(self.no_files());
        }
        let digest = &self.descriptor.digest;
        let mut known: BTreeMap<Vec<String>, &Digest> = BTreeMap::new();
        let mut targets = Vec::new();
        for file in &self.files {
            let unsafe_title = || ArtifactError::UnsafeTitle {
                digest: digest.clone(),
                title: file.title().unwrap_or_default().to_owned(),
            };
            let path = file.path().ok_or_else(unsafe_title)?;
            let names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            match known.insert(names.clone(), &file.descriptor.digest) {
                Some(other) if *other == file.descriptor.digest => {}
                Some(_) => return Err(colliding(digest, &names, &names)),
                None => targets.push(Target { file, names }),
            }
        }
        // In this order a path follows those that it is below.
        for names in known.keys() {
            if let Some(above) = (1..names.len()).map(|at| &names[..at]).find(|above| known.contains_key(*above)) {
                return Err(colliding(digest, above, names));
            }
        }
        Ok(targets)
    }
}

fn colliding(digest: &Digest, one: &[String], other: &[String]) -> Error {
    ArtifactError::Colliding { digest: digest.clone(), one: one.join("/"), other: other.join("/") }.into()
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "a file",
        FileKind::Directory => "a directory",
        FileKind::Link => "a link",
        FileKind::Other => "a device, a pipe or a socket",
    }
}

/// Checks that no file would be written into a layout, where it could take the place of a document or a blob.
fn check_layouts(directory: &Path, targets: &[Target<'_>]) -> Result<()> {
    let below = || {
        targets.iter().flat_map(|target| (1..target.names.len()).map(|count| &target.names[..count])).find_map(
            |names| {
                let path = names.iter().fold(directory.to_owned(), |path, name| path.join(name));
                has_marker(&path).then_some(path)
            },
        )
    };
    match layout_above(directory).or_else(below) {
        Some(layout) => Err(ArtifactError::InLayout { layout }.into()),
        None => Ok(()),
    }
}

/// Checks that the files can be written: nothing is in the way, and no file would be replaced unasked.
fn check_places(directory: &Path, targets: &[Target<'_>], options: &SaveOptions) -> Result<()> {
    let in_the_way = |path: PathBuf, kind, expected| -> Error {
        ArtifactError::InTheWay { path, found: kind_name(kind), expected }.into()
    };
    let root = match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Directory::open(directory).map_err(Error::io("open", directory))?,
        Ok(_) => return Err(in_the_way(directory.to_owned(), FileKind::File, "a directory")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("open", directory)(error)),
    };
    let mut existing = Vec::new();
    for target in targets {
        let (name, parents) = target.names.split_last().expect("a path has a name");
        let mut here = Some(root.clone());
        for parent in parents {
            let Some(above) = here.take() else { break };
            let path = above.path_of(parent);
            match above.find(parent).map_err(Error::io("read", &path))? {
                None => {}
                Some(found) if found.kind == FileKind::Directory => {
                    here = Some(above.open_child(parent).map_err(Error::io("open", &path))?);
                }
                Some(found) => return Err(in_the_way(path, found.kind, "a directory")),
            }
        }
        let Some(here) = here else { continue };
        let path = here.path_of(name);
        match here.find(name).map_err(Error::io("read", &path))? {
            None => {}
            Some(found) if found.kind == FileKind::File => existing.push(target.title().escape_debug().to_string()),
            Some(found) => return Err(in_the_way(path, found.kind, "a regular file")),
        }
    }
    if options.overwrite || existing.is_empty() {
        return Ok(());
    }
    let count = existing.len();
    existing.truncate(NAMED);
    Err(ArtifactError::FilesExist { directory: directory.to_owned(), files: existing, count }.into())
}

/// The renaming of written files to their places.
struct Placing<'a> {
    options: &'a SaveOptions,
    /// The files that were not there before.
    new: Vec<(Directory, String)>,
    /// The directories that were made, the outermost first.
    made: Vec<PathBuf>,
}

impl Placing<'_> {
    fn place_all(&mut self, directory: &Path, targets: &[Target<'_>], written: &[PathBuf]) -> Result<()> {
        let failed = || Error::io("write to", directory);
        self.make_directory(directory).map_err(failed())?;
        let root = Directory::open(directory).map_err(failed())?;
        let mut changed: BTreeMap<PathBuf, Directory> = BTreeMap::new();
        for (target, from) in targets.iter().zip(written) {
            let path = target.path(directory);
            let parent = self.place(&root, target, from).map_err(Error::io("write to", path))?;
            changed.insert(parent.path().to_owned(), parent);
        }
        for directory in changed.values() {
            match directory.sync() {
                // A directory without read permission cannot be synced.
                Err(error) if error.kind() != ErrorKind::PermissionDenied => {
                    return Err(Error::io("write to", directory.path())(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the directory and those above it.
    fn make_directory(&mut self, directory: &Path) -> io::Result<()> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
        let missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
        for path in missing.into_iter().rev() {
            match fs::create_dir(path) {
                Ok(()) => self.made.push(path.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Renames a file to its place, and returns its directory.
    fn place(&mut self, root: &Directory, target: &Target<'_>, from: &Path) -> io::Result<Directory> {
        let (name, parents) = target.names.split_last().expect("a path has a name");
        let mut here = root.clone();
        for parent in parents {
            if here.make(parent)? {
                self.made.push(here.path_of(parent));
            }
            here = here.open_child(parent)?;
        }
        match here.take_new(from, name) {
            Ok(()) => self.new.push((here.clone(), name.clone())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.options.overwrite => {
                here.take(from, name)?
            }
            Err(error) => return Err(error),
        }
        Ok(here)
    }

    /// Deletes the files and directories that are new. An error here would hide the first one.
    fn undo(&self) {
        for (directory, name) in self.new.iter().rev() {
            let _ = directory.remove_file(name);
        }
        for directory in self.made.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}
