//! Blobs that are links to other blobs of the layout. The target of such a link is reachable if the link is.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use super::handle::Layout;
use super::site::BLOBS_DIRECTORY;
use crate::fs::FileIdentity;
use crate::oci::Digest;

/// How many links one path may lead through, as Linux has it.
const MAX_LINKS: usize = 40;

/// The algorithms that were looked at, and whether their directories are links: the blobs are somewhere else then.
#[derive(Default)]
pub(crate) struct LinkedDirectories(Vec<(String, bool)>);

impl LinkedDirectories {
    fn contains(&mut self, layout: &Layout, algorithm: &str) -> bool {
        if let Some((_, is_link)) = self.0.iter().find(|(known, _)| known == algorithm) {
            return *is_link;
        }
        let path: PathBuf = layout.path().join(BLOBS_DIRECTORY).join(algorithm);
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        self.0.push((algorithm.to_owned(), is_link));
        is_link
    }
}

/// Returns the files that blobs link to: each link on the way, and the file at its end. A regular file at the path of a
/// digest links to none.
pub(crate) fn link_targets<'a>(
    layout: &Layout,
    digests: impl IntoIterator<Item = &'a Digest>,
) -> HashSet<FileIdentity> {
    let mut targets = HashSet::new();
    let mut linked = LinkedDirectories::default();
    for digest in digests {
        targets.extend(targets_of(layout, digest, &mut linked));
    }
    targets
}

/// Returns the files that one blob links to.
pub(crate) fn targets_of(layout: &Layout, digest: &Digest, linked: &mut LinkedDirectories) -> Vec<FileIdentity> {
    let mut path = layout.blob_path(digest);
    let mut targets = Vec::new();
    let is_elsewhere = linked.contains(layout, digest.algorithm_name());
    for at in 0..=MAX_LINKS {
        let Ok(metadata) = fs::symlink_metadata(&path) else { break };
        // The name of the blob itself is known to be needed.
        if at > 0 || is_elsewhere {
            targets.push(FileIdentity::from(&metadata));
        }
        if !metadata.is_symlink() {
            break;
        }
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().map(|directory| directory.join(&target)).unwrap_or(target);
    }
    targets
}

/// Returns the identity of the file with the name of a blob.
pub(crate) fn identity_of(layout: &Layout, digest: &Digest) -> Option<FileIdentity> {
    fs::symlink_metadata(layout.blob_path(digest)).ok().map(|metadata| FileIdentity::from(&metadata))
}
