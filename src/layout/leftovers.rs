//! Cleaning up: deleting the leftovers of killed programs, a step of its own that comes before a change.
//!
//! A leftover that cannot be deleted, such as another user's, does not stop the command: [`LeftoverObserver`] is called with it.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

use super::document_files::STAGE_FILE;
use super::filling::{Filling, RECORD_FILE};
use super::handle::Layout;
use super::lock::try_lock;
use super::site::{BLOBS_DIRECTORY, MARKER_FILE, SCRATCH_DIRECTORY, Site, has_marker};
use crate::fs::{Output, for_each_leftover, remove_stale_files};
use crate::graph::walk::INDEX_FILE;
use crate::interrupt::Interrupt;
use crate::layout::blob_directory::blob_directories_elsewhere;
use crate::oci::Digest;

/// The file in a temporary directory that says that a tree of an image's files is being made in it: everything in it is ours.
#[cfg(target_os = "linux")]
pub(crate) const TREE_MARKER: &str = "tree-of-an-image";

/// Deletes the trees of killed programs in a directory.
#[cfg(target_os = "linux")]
pub(crate) fn clean_trees(directory: &Path) {
    let delete = |path: &Path, metadata: &Metadata| {
        if !metadata.is_dir() {
            return Ok(());
        }
        if path.join(TREE_MARKER).is_file() {
            return delete_leftover(directory, path, metadata);
        }
        // An empty one was about to get its marker; any other belongs to other commands.
        let _ = fs::remove_dir(path);
        Ok(())
    };
    // The next command tries again.
    let _ = for_each_leftover(directory, delete);
}

/// Deletes a leftover in a directory, and the files that it had moved there. In a leftover directory only files that
/// this program makes are deleted: a foreign file stays, and the directory with it.
pub(crate) fn delete_leftover(directory: &Path, path: &Path, metadata: &Metadata) -> io::Result<()> {
    if !metadata.is_dir() {
        return fs::remove_file(path);
    }
    #[cfg(target_os = "linux")]
    if path.join(TREE_MARKER).is_file() {
        return crate::fs::remove::remove_tree(path, TREE_MARKER);
    }
    Filling::undo(directory, path)?;
    let scratch = path.join(SCRATCH_DIRECTORY);
    if is_directory(&scratch) {
        delete_leftover(path, &scratch, &fs::symlink_metadata(&scratch)?)?;
    }
    for name in [INDEX_FILE, MARKER_FILE, RECORD_FILE, STAGE_FILE] {
        unless_gone(fs::remove_file(path.join(name)))?;
    }
    // Those that are being written, and may have names.
    for_each_leftover(path, |path, metadata| if metadata.is_file() { fs::remove_file(path) } else { Ok(()) })?;
    let blobs = path.join(BLOBS_DIRECTORY);
    let algorithms =
        if is_directory(&blobs) { fs::read_dir(&blobs)?.collect::<io::Result<Vec<_>>>()? } else { Vec::new() };
    for algorithm in algorithms {
        let (directory, name) = (algorithm.path(), algorithm.file_name());
        if !is_directory(&directory) {
            continue;
        }
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if is_blob(&name.to_string_lossy(), &entry.file_name().to_string_lossy()) && !entry.file_type()?.is_dir() {
                unless_gone(fs::remove_file(entry.path()))?;
            }
        }
        for_each_leftover(
            &directory,
            |path, metadata| {
                if metadata.is_file() { fs::remove_file(path) } else { Ok(()) }
            },
        )?;
        fs::remove_dir(&directory)?;
    }
    if is_directory(&blobs) {
        fs::remove_dir(blobs)?;
    }
    fs::remove_dir(path)
}

/// Returns whether an export makes a file of such a name for a blob of such an algorithm. Of an algorithm that is not registered
/// it need not look like a hash; where it does not, it could be another program's file.
fn is_blob(algorithm: &str, name: &str) -> bool {
    let Ok(digest) = format!("{algorithm}:{name}").parse::<Digest>() else { return false };
    let looks_like_hash = name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    digest.algorithm().is_some() || looks_like_hash
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Deletes the leftovers of killed programs in a layout, and beside its blobs where these are on another file system.
///
/// While another process writes, nothing is deleted: the next call does it. A leftover that cannot be deleted is not in the way:
/// the layout's [`LeftoverObserver`](super::options::LeftoverObserver) is called with it.
pub fn clean(layout: &Layout) {
    let Some(lock) = try_lock(layout) else { return };
    let site = layout.site();
    clean_directory(site, layout.path());
    for directory in blob_directories_elsewhere(site, lock.root()).unwrap_or_default() {
        clean_directory(site, directory.path());
    }
}

/// Deletes the leftovers in a directory of which the caller holds the lock.
pub(crate) fn clean_directory(site: &Site, directory: &Path) {
    work_on_leftovers(site, directory, |path, metadata| delete_leftover(directory, path, metadata));
}

/// Deletes the leftover directories in a directory that need not be of a layout.
pub(crate) fn clean_directories_in(site: &Site, parent: &Path) {
    work_on_leftovers(
        site,
        parent,
        |path, metadata| {
            if metadata.is_dir() { delete_leftover(parent, path, metadata) } else { Ok(()) }
        },
    );
}

/// Calls a function with each leftover in a directory, which no other process takes up meanwhile; and the observer with
/// those for which it fails.
pub(crate) fn work_on_leftovers(site: &Site, directory: &Path, work: impl FnMut(&Path, &Metadata) -> io::Result<()>) {
    // A directory that cannot be listed is not cleaned; the command itself reports the error if it matters.
    let undeleted = for_each_leftover(directory, work).unwrap_or_default();
    if let Some(observer) = &site.write_options().leftover_observer {
        undeleted.iter().for_each(|leftover| observer.call(&leftover.path, &leftover.error));
    }
}

/// Begins to write where a path leads, and deletes the leftovers of killed programs beside it; not those in a layout, which
/// are for those who hold its lock.
///
/// # Errors
///
/// Those of [`Output::create`]. Failing to clean is no error.
pub(crate) fn create_output(path: &Path, interrupt: &Interrupt) -> io::Result<Output> {
    let output = Output::create(path, interrupt)?;
    if let Some(directory) = output.directory().filter(|directory| !has_marker(directory)) {
        remove_stale_files(directory);
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_files_in_a_leftover_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let digest = "0".repeat(64);
        let unregistered = format!("blobs/sha384/{digest}{}", &digest[..32]);
        let ours = ["index.json", "oci-layout", "filling.json", &format!("blobs/sha256/{digest}"), &unregistered];
        for others in [
            "mine",
            "blobs/mine",
            "blobs/mine/mine",
            "blobs/sha256/mine",
            "blobs/sha384/mine",
            "index.json/mine",
            &format!("blobs/sha256/{digest}/mine"),
        ] {
            let path = directory.path().join("leftover");
            let write = |name: &str| {
                let path = path.join(name);
                fs::create_dir_all(path.parent().expect("a directory")).expect("made");
                fs::write(path, name)
            };
            write(others).expect("written");
            // One of the names may be taken.
            ours.iter().for_each(|name| drop(write(name)));
            let metadata = fs::symlink_metadata(&path).expect("there");
            assert!(delete_leftover(directory.path(), &path, &metadata).is_err(), "{others}");
            assert_eq!(fs::read_to_string(path.join(others)).expect("there"), others);
            fs::remove_dir_all(&path).expect("removed");
            ours.iter().for_each(|name| write(name).expect("written"));
            delete_leftover(directory.path(), &path, &metadata).expect("deleted");
            assert!(!path.exists(), "{others}");
        }
    }
}
