//! The directories that blobs are in: opening and making them, and where the temporary files of blobs are.

use std::fs;
use std::io;
use std::path::Path;

use super::handle::Lock;
use super::site::{BLOBS_DIRECTORY, Site};
use crate::error::{Error, Result};
use crate::fs::{Directory, FileKind, target_inside};
use crate::oci::Digest;

/// Opens the directory of the blobs of an algorithm; `None` if it is not there.
///
/// # Errors
///
/// [`Error::LinkOutside`] if it is not in the layout, unless the layout shares its blobs; [`Error::Io`].
pub(crate) fn blob_directory(site: &Site, root: &Directory, algorithm: &str) -> Result<Option<Directory>> {
    open_blobs(site, root, &Path::new(BLOBS_DIRECTORY).join(algorithm))
}

/// Opens `blobs`, or a directory in it; `None` if it is not there.
pub(crate) fn open_blobs(site: &Site, root: &Directory, relative: &Path) -> Result<Option<Directory>> {
    let path = root.path_of(relative);
    let opened = if site.shares_blobs() { Directory::open(&path) } else { root.open_beneath(relative) };
    match opened {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            relative.file_name().and_then(|name| name.to_str()).map_or(Ok(()), |algorithm| {
                // It names the one of the two directories that is the link.
                check_blob_directory_of(site, algorithm)
            })?;
            Err(Error::LinkOutside { path })
        }
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Opens the directory of the blobs of an algorithm, to write in it; `None` if it is to be made.
fn directory_to_fill(site: &Site, root: &Directory, algorithm: &str) -> Result<Option<Directory>> {
    blob_directory(site, root, algorithm).map_err(|error| match error {
        Error::Io { path, source, .. } => Error::io("create", path)(source),
        error => error,
    })
}

/// Opens the directory of the blobs of an algorithm, and makes it if it is not there.
pub(crate) fn make_blob_directory(site: &Site, lock: &Lock, algorithm: &str) -> Result<Directory> {
    let root = lock.root();
    if let Some(directory) = directory_to_fill(site, root, algorithm)? {
        return Ok(directory);
    }
    let path = root.path_of(Path::new(BLOBS_DIRECTORY).join(algorithm));
    let failed = || Error::io("create", &path);
    root.make(BLOBS_DIRECTORY).map_err(failed())?;
    let gone = || failed()(io::ErrorKind::NotFound.into());
    let blobs = open_blobs(site, root, Path::new(BLOBS_DIRECTORY))?.ok_or_else(gone)?;
    blobs.make(algorithm).map_err(failed())?;
    site.sync_names(&blobs)?;
    site.sync_names(root)?;
    blob_directory(site, root, algorithm)?.ok_or_else(gone)
}

/// Opens the directory that temporary files of blobs of an algorithm are made in: that of the layout, or, if the blobs are
/// on another file system, the one in which they will be. From there they can be renamed to their places.
pub(crate) fn scratch(site: &Site, algorithm: &str) -> Result<Directory> {
    let root = site.open_root()?;
    let place = match directory_to_fill(site, &root, algorithm)? {
        Some(directory) => directory,
        // It will be made there.
        None => open_blobs(site, &root, Path::new(BLOBS_DIRECTORY))?.unwrap_or_else(|| root.clone()),
    };
    let is_here = place.is_on_mount_of(&root).map_err(Error::io("read", place.path()))?;
    Ok(if is_here { root } else { place })
}

/// Returns the directories of blobs that are on another file system than the layout: they may hold temporary files.
pub(crate) fn blob_directories_elsewhere(site: &Site, root: &Directory) -> Result<Vec<Directory>> {
    let mut directories = blob_directories(site, root)?;
    directories.retain(|directory| directory.is_on_mount_of(root).is_ok_and(|is_here| !is_here));
    Ok(directories)
}

/// Returns `blobs` and its directories, of any name. Directories that cannot be opened or are not in the layout are
/// omitted.
pub(crate) fn blob_directories(site: &Site, root: &Directory) -> Result<Vec<Directory>> {
    let Ok(Some(blobs)) = open_blobs(site, root, Path::new(BLOBS_DIRECTORY)) else { return Ok(Vec::new()) };
    let entries = blobs.entries().map_err(Error::io("read", blobs.path()))?;
    let names = entries.into_iter().filter(|(_, kind)| matches!(kind, FileKind::Directory | FileKind::Link));
    let opened = names.filter_map(|(name, _)| blob_directory(site, root, name.to_str()?).ok().flatten());
    let mut directories: Vec<Directory> = opened.collect();
    directories.push(blobs);
    Ok(directories)
}

/// Checks that the directories on the way to a blob are in the layout, unless it shares its blobs with others.
pub(crate) fn check_blob_directory(site: &Site, digest: &Digest) -> Result<()> {
    check_blob_directory_of(site, digest.algorithm_name())
}

/// Checks the directories on the way to the blobs of an algorithm.
pub(crate) fn check_blob_directory_of(site: &Site, algorithm: &str) -> Result<()> {
    if site.shares_blobs() {
        return Ok(());
    }
    let blobs = site.path().join(BLOBS_DIRECTORY);
    for directory in [blobs.join(algorithm), blobs] {
        let is_link = fs::symlink_metadata(&directory).is_ok_and(|metadata| metadata.is_symlink());
        if is_link && target_inside(site.path(), &directory).is_ok_and(|target| target.is_none()) {
            return Err(Error::LinkOutside { path: directory });
        }
    }
    Ok(())
}
