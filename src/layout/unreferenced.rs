//! The unreachable files of a layout: counting and listing them, and deleting blobs that a change left unreferenced.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use super::handle::{Layout, Lock};
use super::links::LinkedDirectories;
use super::site::BLOBS_DIRECTORY;
use super::staging_file::Stage;
use crate::error::{Error, Result};
use crate::fs::{FileIdentity, is_temporary};
use crate::graph::finding::Finding;
use crate::graph::severity::FaultKind;
use crate::graph::walk::{Document, Reach, walk};
use crate::layout::links::{identity_of, link_targets, targets_of};
use crate::layout::reachable::roots;
use crate::oci::{Digest, Index};
use crate::tally::Tally;
use crate::text::shortened;

/// How many foreign files are named. The others are counted.
const NAMED: usize = 20;

/// The unreferenced files under `blobs/`.
#[derive(Default)]
struct Stray {
    tally: Tally,
    /// The paths of files that are no blobs, in the layout.
    foreign: Vec<String>,
}

impl Stray {
    fn look_through(&mut self, layout: &Layout, blobs: &Path, referenced: &HashSet<Digest>) -> io::Result<()> {
        let root = layout.path();
        // Links to blobs are rare: their targets are looked up only for a file that is about to be reported.
        let mut linked = None;
        for (algorithm, path) in entries(root, blobs)? {
            if is_temporary(&path) {
                continue;
            }
            // A digest of any length tells whether the name can be that of an algorithm.
            let is_algorithm = format!("{algorithm}:0").parse::<Digest>().is_ok() || is_registered(&algorithm);
            if !is_algorithm || !path.is_dir() {
                self.foreign.push(format!("{BLOBS_DIRECTORY}/{}", shortened(&algorithm)));
                continue;
            }
            // Another directory of blobs is looked through where it is.
            if leads_to_blobs(&path, blobs)? {
                continue;
            }
            for (name, path) in entries(root, &path)? {
                if is_temporary(&path) {
                    continue;
                }
                let digest = format!("{algorithm}:{name}").parse::<Digest>();
                // Referenced files are checked elsewhere, of any kind.
                if digest.as_ref().is_ok_and(|digest| referenced.contains(digest)) {
                    continue;
                }
                let metadata = match fs::symlink_metadata(path) {
                    Ok(metadata) => metadata,
                    // Another process deletes unreferenced files.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let linked = linked.get_or_insert_with(|| link_targets(layout, referenced));
                if linked.contains(&FileIdentity::from(&metadata)) {
                    continue;
                }
                if digest.is_ok() && metadata.is_file() {
                    self.tally.add(metadata.len());
                } else {
                    self.foreign.push(format!("{BLOBS_DIRECTORY}/{algorithm}/{}", shortened(&name)));
                }
            }
        }
        self.foreign.sort();
        Ok(())
    }

    fn findings(self) -> Vec<(FaultKind, Finding)> {
        let plural = |number: u64, one: &'static str, more: &'static str| if number == 1 { one } else { more };
        let mut findings = Vec::new();
        let Self { tally: Tally { count: blobs, bytes }, foreign } = self;
        if blobs > 0 {
            let (noun, unit) = (plural(blobs, "blob", "blobs"), plural(bytes, "byte", "bytes"));
            let verb = plural(blobs, "is", "are");
            let message = format!("{blobs} {noun} ({bytes} {unit}) {verb} not referenced");
            findings.push((FaultKind::Unreferenced, Finding::new(message, BLOBS_DIRECTORY)));
        }
        let more = foreign.len().saturating_sub(NAMED) as u64;
        let foreign = foreign.into_iter().take(NAMED);
        findings.extend(foreign.map(|path| (FaultKind::ForeignFile, Finding::new(format!("{path} is no blob"), path))));
        if more > 0 {
            let (noun, verb) = (plural(more, "file", "files"), plural(more, "is", "are"));
            let message = format!("{more} more {noun} under blobs/ {verb} no blobs");
            findings.push((FaultKind::ForeignFile, Finding::new(message, BLOBS_DIRECTORY)));
        }
        findings
    }
}

/// Returns whether a directory in `blobs` is a link to another one there.
fn leads_to_blobs(directory: &Path, blobs: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(directory)?.is_symlink() {
        return Ok(false);
    }
    Ok(directory.canonicalize()?.parent() == Some(&blobs.canonicalize()?))
}

fn is_registered(algorithm: &str) -> bool {
    ["sha256", "sha512", "blake3"].contains(&algorithm)
}

/// Lists a directory; nothing if there is none, or if it is a link out of the layout.
fn entries(root: &Path, directory: &Path) -> io::Result<Vec<(String, std::path::PathBuf)>> {
    if fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_symlink())
        && !directory.canonicalize()?.starts_with(root.canonicalize()?)
    {
        return Ok(Vec::new());
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    entries.map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))).collect()
}

/// Counts the blobs that are not among the referenced ones, and their bytes.
pub(crate) fn count_unreferenced(layout: &Layout, referenced: &HashSet<Digest>) -> Result<Tally> {
    let mut stray = Stray::default();
    let blobs = layout.path().join(BLOBS_DIRECTORY);
    stray.look_through(layout, &blobs, referenced).map_err(Error::io("read", blobs))?;
    Ok(stray.tally)
}

/// Lists the files in `blobs/` that are not among the referenced blobs.
pub(crate) fn find_stray(layout: &Layout, referenced: &HashSet<Digest>) -> Vec<(FaultKind, Finding)> {
    let mut stray = Stray::default();
    let blobs = layout.path().join(BLOBS_DIRECTORY);
    if fs::symlink_metadata(&blobs).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // Programs that keep layouts in version control lose empty directories.
        let finding = Finding::new("the directory blobs does not exist", BLOBS_DIRECTORY);
        return vec![(FaultKind::NoBlobsDirectory, finding)];
    }
    match stray.look_through(layout, &blobs, referenced) {
        Ok(()) => stray.findings(),
        Err(error) => {
            let finding = Finding::new(Error::io("read", blobs)(error).report(), BLOBS_DIRECTORY);
            vec![(FaultKind::UnreadableDirectory, finding)]
        }
    }
}

/// Deletes those of some blobs that nothing names any more.
///
/// A blob that cannot be deleted stays: it is unreferenced, not wrong, and the documents are in their new state.
pub(crate) fn remove_unreferenced(layout: &Layout, lock: &Lock, index: &Index, stage: &Stage, candidates: Vec<Digest>) {
    // References from other layouts cannot be known here.
    if layout.shares_blobs() {
        return;
    }
    for digest in unreferenced(layout, index, stage, candidates) {
        let _ = layout.remove_blob(lock, &digest);
    }
}

/// Returns those of some blobs that neither the staging file nor anything that `index.json` leads to names, and that no link
/// points to that is named.
///
/// Where in doubt a blob counts as named: a document that cannot be read keeps all of them.
pub(crate) fn unreferenced(layout: &Layout, index: &Index, stage: &Stage, candidates: Vec<Digest>) -> Vec<Digest> {
    let mut left: HashMap<Digest, Option<FileIdentity>> = HashMap::new();
    left.extend(candidates.into_iter().map(|digest| (digest.clone(), identity_of(layout, &digest))));
    let mut linked = LinkedDirectories::default();
    let mut keep = |left: &mut HashMap<Digest, Option<FileIdentity>>, named: &Digest| {
        left.remove(named);
        let targets = targets_of(layout, named, &mut linked);
        if !targets.is_empty() {
            left.retain(|_, identity| identity.is_none_or(|identity| !targets.contains(&identity)));
        }
    };
    let roots = roots(index, stage);
    for named in stage.blobs().chain(roots.iter().map(|root| &root.digest)) {
        keep(&mut left, named);
    }
    let mut walk = walk(layout, roots.iter(), Reach::Subjects);
    while !left.is_empty() {
        let Some(visit) = walk.next() else { break };
        match visit.leads_to() {
            Ok(document) => document.iter().flat_map(Document::digests).for_each(|named| keep(&mut left, named)),
            Err(_) => return Vec::new(),
        }
    }
    left.into_keys().collect()
}
