//! The unreachable files of a layout: blobs that are not referenced, and files that are no blobs.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::handle::Layout;
use super::site::BLOBS_DIRECTORY;
use crate::error::{Error, Result};
use crate::fs::{FileIdentity, is_temporary};
use crate::layout::links::link_targets;
use crate::oci::Digest;

use crate::graph::finding::Finding;
use crate::graph::severity::FaultKind;
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
