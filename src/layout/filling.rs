//! Filling an empty directory with a layout: the record that is written before the first file is moved there, and the
//! removal of files that a killed export had moved.
//!
//! A file is deleted only if the record gives its device, inode, time of birth and size, and all still agree. So
//! foreign files, and copies of the record and of the listed files, stay.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::document_files::STAGE_FILE;
use super::site::{BLOBS_DIRECTORY, MARKER_FILE};
use super::uploads::UPLOADS_DIRECTORY;
use crate::fs::{Identity, for_each_leftover, is_called_temporary, open_regular, read_at_most};
use crate::graph::walk::INDEX_FILE;

/// The name of the record in the temporary directory whose content is moved.
pub(crate) const RECORD_FILE: &str = "filling.json";

/// The files that may be moved, in this order: with the marker the directory becomes a layout.
const MOVED: [&str; 4] = [BLOBS_DIRECTORY, INDEX_FILE, STAGE_FILE, MARKER_FILE];

/// Returns the files that are moved from a temporary directory, in their order. Only builds have a staging file.
pub(crate) fn moved_from(staging: &Path) -> impl Iterator<Item = &'static str> {
    let has_stage = fs::symlink_metadata(staging.join(STAGE_FILE)).is_ok();
    MOVED.into_iter().filter(move |name| *name != STAGE_FILE || has_stage)
}

/// The largest record that is read. A file takes some 200 bytes in it.
const RECORD_LIMIT: u64 = 128 * 1024 * 1024;

/// The moved files and directories by their paths; a directory comes before its files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Filling {
    moved: BTreeMap<String, Moved>,
    /// The user who wrote the record, where there are users.
    #[serde(skip)]
    owner: Option<u32>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moved {
    identity: String,
    /// The size of a file; directories have none.
    size: Option<u64>,
}

impl Moved {
    fn of(metadata: &Metadata) -> Self {
        let size = metadata.is_file().then_some(metadata.len());
        Self { identity: Identity::of(metadata).to_string(), size }
    }
}

impl Filling {
    /// Records the content of a temporary directory.
    pub(crate) fn of(staging: &Path) -> io::Result<Self> {
        let mut filling = Self { moved: BTreeMap::new(), owner: owner(&fs::symlink_metadata(staging)?) };
        moved_from(staging).try_for_each(|name| filling.record(staging, name.to_owned()))?;
        Ok(filling)
    }

    fn record(&mut self, staging: &Path, path: String) -> io::Result<()> {
        let found = staging.join(&path);
        let metadata = fs::symlink_metadata(&found)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&found)? {
                let name = entry?.file_name();
                let name = name.to_str().ok_or(io::ErrorKind::InvalidData)?;
                self.record(staging, format!("{path}/{name}"))?;
            }
        }
        self.moved.insert(path, Moved::of(&metadata));
        Ok(())
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the keys are strings")
    }

    /// Reads the record in a leftover, if that is one of an export that did not get to its end in a directory.
    fn read(root: &Path, staging: &Path) -> Option<Self> {
        // A layout that was made there meanwhile may use the moved files.
        if fs::symlink_metadata(root.join(MARKER_FILE)).is_ok() {
            return None;
        }
        let file = open_regular(&staging.join(RECORD_FILE)).ok()?;
        let content = read_at_most(&file, RECORD_LIMIT).ok()??;
        let mut filling: Self = serde_json::from_slice(&content).ok()?;
        filling.owner = owner(&file.metadata().ok()?);
        let is_plain = |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        // The marker is moved last.
        let has_marker = filling.agrees(staging, MARKER_FILE);
        (has_marker && filling.moved.keys().all(is_plain)).then_some(filling)
    }

    /// Returns whether a path is that of the recorded file.
    fn agrees(&self, root: &Path, path: &str) -> bool {
        let Ok(metadata) = fs::symlink_metadata(root.join(path)) else { return false };
        owner(&metadata) == self.owner && self.moved.get(path) == Some(&Moved::of(&metadata))
    }

    /// Returns the paths of the moved files that are still in a directory, a directory before its files.
    fn found(&self, root: &Path) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        let mut directories: HashSet<&str> = HashSet::new();
        for (path, moved) in &self.moved {
            // No link leads there.
            let is_reached = path.rsplit_once('/').is_none_or(|(parent, _)| directories.contains(parent));
            if is_reached && self.agrees(root, path) {
                found.push(path);
                if moved.size.is_none() {
                    directories.insert(path);
                }
            }
        }
        found
    }

    /// Deletes the files that a killed export had moved from a leftover into a directory.
    pub(crate) fn undo(root: &Path, staging: &Path) -> io::Result<()> {
        Self::read(root, staging).map_or(Ok(()), |filling| filling.take_away(root))
    }

    /// Deletes the moved files from a directory. Directories that hold other files stay.
    pub(crate) fn take_away(&self, root: &Path) -> io::Result<()> {
        for path in self.found(root).into_iter().rev() {
            let found = root.join(path);
            match self.moved[path].size {
                Some(_) => fs::remove_file(found)?,
                None => drop(fs::remove_dir(found)),
            }
        }
        Ok(())
    }
}

/// Returns whether a directory contains only what has temporary names, and the uploads of a pull that was cut.
pub(crate) fn is_vacant_but_for_uploads(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let is_uploads = entry.file_name() == UPLOADS_DIRECTORY && entry.file_type()?.is_dir();
        if !is_uploads && !is_called_temporary(&entry.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether a directory will be vacant once it is cleaned: it holds only temporary files and files that killed
/// exports had moved there.
pub(crate) fn is_vacant_but_for_fillings(root: &Path) -> io::Result<bool> {
    if is_vacant_but_for_uploads(root)? {
        return Ok(true);
    }
    let mut fillings = Vec::new();
    for_each_leftover(root, |path, metadata| {
        fillings.extend(if metadata.is_dir() { Filling::read(root, path) } else { None });
        Ok(())
    })?;
    let found: HashSet<&str> = fillings.iter().flat_map(|filling| filling.found(root)).collect();
    if found.is_empty() {
        return Ok(false);
    }
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory))? {
            let entry = entry?;
            let name = entry.file_name();
            if directory.is_empty() && (is_called_temporary(&name) || name == UPLOADS_DIRECTORY) {
                continue;
            }
            let name = name.to_string_lossy();
            let path = if directory.is_empty() { name.into_owned() } else { format!("{directory}/{name}") };
            if !found.contains(path.as_str()) {
                return Ok(false);
            }
            if entry.file_type()?.is_dir() {
                directories.push(path);
            }
        }
    }
    Ok(true)
}

/// Returns the user whom a file is of, where there are users.
fn owner(metadata: &Metadata) -> Option<u32> {
    #[cfg(unix)]
    return Some(std::os::unix::fs::MetadataExt::uid(metadata));
    #[cfg(not(unix))]
    return {
        let _ = metadata;
        None
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a directory `out`, and in it the temporary directory of an export that moved so many things.
    fn filling(directory: &Path, moved: usize) -> std::path::PathBuf {
        let (root, staging) = (directory.join("out"), directory.join("out/staging"));
        fs::create_dir_all(staging.join("blobs/sha256")).expect("made");
        for name in ["blobs/sha256/a", "blobs/sha256/b", INDEX_FILE, STAGE_FILE, MARKER_FILE] {
            fs::write(staging.join(name), name).expect("written");
        }
        let filling = Filling::of(&staging).expect("recorded");
        fs::write(staging.join(RECORD_FILE), filling.to_json()).expect("written");
        MOVED[..moved].iter().for_each(|name| fs::rename(staging.join(name), root.join(name)).expect("moved"));
        staging
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(root).expect("readable") {
            let entry = entry.expect("readable");
            let name = entry.file_name().into_string().expect("text");
            if entry.path().is_dir() && name != "staging" {
                names.extend(self::names(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
            }
            names.push(name);
        }
        names.sort();
        names
    }

    #[test]
    fn moved_files_are_deleted_and_nothing_else() {
        for moved in 0..MOVED.len() {
            let directory = tempfile::tempdir().expect("a directory");
            let root = directory.path().join("out");
            let staging = filling(directory.path(), moved);
            Filling::undo(&root, &staging).expect("undone");
            assert_eq!(names(&root), ["staging"], "{moved}");
        }
        for (case, change, left) in [
            (
                "files of others",
                (|root| fs::write(root.join("blobs/sha256/mine"), "mine")) as fn(&Path) -> io::Result<()>,
                &["blobs", "blobs/sha256", "blobs/sha256/mine", "staging"][..],
            ),
            (
                "a copy",
                |root| {
                    let path = root.join(INDEX_FILE);
                    fs::copy(&path, root.join("copy"))?;
                    fs::rename(root.join("copy"), path)
                },
                &[INDEX_FILE, "staging"],
            ),
            (
                "another size",
                |root| fs::write(root.join("blobs/sha256/a"), "longer than before"),
                &["blobs", "blobs/sha256", "blobs/sha256/a", "staging"],
            ),
            (
                "a layout of others",
                |root| fs::write(root.join(MARKER_FILE), ""),
                &["blobs", "blobs/sha256", "blobs/sha256/a", "blobs/sha256/b", INDEX_FILE, MARKER_FILE, "staging"],
            ),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let root = directory.path().join("out");
            let staging = filling(directory.path(), 2);
            change(&root).expect(case);
            Filling::undo(&root, &staging).expect("undone");
            assert_eq!(names(&root), left, "{case}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_record_leads_nowhere_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("out");
        let staging = filling(directory.path(), 2);
        // The directory is elsewhere, and a link leads there.
        fs::rename(root.join("blobs"), directory.path().join("elsewhere")).expect("moved");
        std::os::unix::fs::symlink("../elsewhere", root.join("blobs")).expect("linked");
        // The record names a file outside.
        let path = staging.join(RECORD_FILE);
        let record = fs::read_to_string(&path).expect("readable");
        Filling::undo(&root, &staging).expect("undone");
        assert_eq!(names(&directory.path().join("elsewhere")), ["sha256", "sha256/a", "sha256/b"]);
        fs::write(&path, record.replace("\"blobs", "\"../elsewhere")).expect("written");
        Filling::undo(&root, &staging).expect("undone");
        assert_eq!(names(&directory.path().join("elsewhere")), ["sha256", "sha256/a", "sha256/b"]);
    }
}
