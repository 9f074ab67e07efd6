//! Secrets in the files of an image: private keys, by their first line, and files for credentials, by their names.
//!
//! They are found in the layer that has them, whether an upper layer hides them or not: everyone who has the image can
//! read all layers.

use std::collections::HashSet;
use std::io::Read;

use crate::graph::finding::Finding;
use crate::graph::severity::FaultKind;
use crate::oci::Digest;
use crate::rootfs::{Failure, LayerFile, MergedTree, Path};
use crate::tar::reader::TarReader;

/// The first bytes of files that are read: more than the first line of any key.
const HEAD: usize = 64;

/// Files for credentials, by the ends of their paths. Packages have none of these.
const CREDENTIALS: [&[&[u8]]; 5] =
    [&[b".netrc"], &[b".pypirc"], &[b".git-credentials"], &[b".aws", b"credentials"], &[b".docker", b"config.json"]];

/// Files that may have credentials, and that packages also have for other settings.
const SETTINGS: [&[u8]; 2] = [b".npmrc", b".env"];

/// Directories of installed packages, in any directory.
const PACKAGES: [&[u8]; 3] = [b"node_modules", b"site-packages", b"dist-packages"];

/// The secrets of an image.
#[derive(Default)]
pub(super) struct Secrets {
    found: Vec<Secret>,
    /// The positions in `found` of those that no layer hides so far.
    seen: Vec<usize>,
}

struct Secret {
    /// The position of the layer, and the offset of the entry there.
    file: (u32, u64),
    path: Path,
    kind: Kind,
    hidden_by: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    PrivateKey,
    Credentials,
    Settings,
}

impl Secrets {
    /// Looks at a regular file of a layer that is being read.
    ///
    /// # Errors
    ///
    /// Those of reading the layer.
    pub(super) fn look_at(
        &mut self,
        file: &LayerFile<'_>,
        content: &mut TarReader<&mut dyn Read>,
    ) -> Result<(), Failure> {
        if file.header.size == 0 {
            return Ok(());
        }
        let mut head = file.begun[..file.begun.len().min(HEAD)].to_vec();
        if head.len() < HEAD {
            head.extend(content.head(HEAD - head.len())?);
        }
        let kind = if is_private_key(&head) { Some(Kind::PrivateKey) } else { by_name(file.place) };
        if let Some(kind) = kind {
            self.seen.push(self.found.len());
            let file_at = (file.layer, file.header.start);
            self.found.push(Secret { file: file_at, path: file.place.to_vec(), kind, hidden_by: None });
        }
        Ok(())
    }

    /// Notes which secrets a layer hides, which is in the tree already.
    pub(super) fn hide(&mut self, layer: u32, tree: &MergedTree) {
        let found = &mut self.found;
        self.seen.retain(|at| {
            let secret = &mut found[*at];
            let is_there = tree.find(&secret.path).is_some_and(|node| (node.layer, node.offset) == secret.file);
            if !is_there {
                secret.hidden_by = Some(layer);
            }
            is_there
        });
    }

    /// Returns the findings, by layers and paths. The layers are named by their digests.
    pub(super) fn findings(
        mut self,
        tree: &MergedTree,
        layers: &[Digest],
        location: impl Fn(u32) -> String,
    ) -> Vec<(u32, FaultKind, Finding)> {
        // A hard link may show a file whose own name is hidden.
        let hidden: HashSet<_> =
            self.found.iter().filter(|secret| secret.hidden_by.is_some()).map(|secret| secret.file).collect();
        let shown = if hidden.is_empty() { Default::default() } else { tree.paths_of(&hidden) };
        self.found
            .sort_by(|one, other| (one.file.0, &one.path, one.file.1).cmp(&(other.file.0, &other.path, other.file.1)));
        let finding = |secret: &Secret| {
            let layer = secret.file.0;
            let digest = &layers[layer as usize];
            let (path, hidden_by) = match (secret.hidden_by, shown.get(&secret.file)) {
                (Some(_), Some(link)) => (crate::rootfs::split(link), None),
                (hidden_by, _) => (secret.path.clone(), hidden_by),
            };
            let shown = escaped(&path);
            let noun = match secret.kind {
                Kind::PrivateKey => "a private key",
                Kind::Credentials => "a file for credentials",
                Kind::Settings => "a file that may have credentials",
            };
            let text = match hidden_by {
                None => format!("'{shown}' is {noun}, in layer {layer} ({digest})"),
                Some(by) => format!(
                    "layer {by} only hides '{shown}', {noun}: it is still in layer {layer} ({digest}); 'strip' \
                     removes it, and 'gc' the old layer"
                ),
            };
            (layer, secret.fault(&path, hidden_by.is_some()), Finding::new(text, location(layer)))
        };
        self.found.iter().map(finding).collect()
    }
}

impl Secret {
    fn fault(&self, path: &[Box<[u8]>], is_hidden: bool) -> FaultKind {
        let is_certain = match self.kind {
            Kind::Credentials => true,
            Kind::PrivateKey => path.iter().rev().nth(1).is_some_and(|directory| **directory == *b".ssh"),
            Kind::Settings => false,
        };
        match (is_of_package(path), is_hidden) {
            (true, _) => FaultKind::PossibleSecret,
            (false, true) => FaultKind::HiddenSecret,
            (false, false) if is_certain => FaultKind::Secret,
            (false, false) => FaultKind::PossibleSecret,
        }
    }
}

/// Returns whether a file belongs to a package: packages have keys for their tests.
fn is_of_package(path: &[Box<[u8]>]) -> bool {
    let name = |at: usize| path.get(at).map(|name| &**name);
    let is_of_system = name(0) == Some(b"usr") && !matches!(name(1), Some(b"local" | b"src"));
    is_of_system || path.iter().any(|name| PACKAGES.contains(&&**name))
}

/// Returns whether content is a private key: in PEM of any kind, of OpenPGP, or of PuTTY.
fn is_private_key(head: &[u8]) -> bool {
    let line = head.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    if line.starts_with(b"PuTTY-User-Key-File-") {
        return true;
    }
    let Some(label) = line.strip_prefix(b"-----BEGIN ") else { return false };
    [&b"PRIVATE KEY-----"[..], b"PRIVATE KEY BLOCK-----"].iter().any(|end| label.trim_ascii_end().ends_with(end))
}

fn by_name(place: &[Box<[u8]>]) -> Option<Kind> {
    let ends_with = |end: &&&[&[u8]]| {
        place.len() >= end.len() && place[place.len() - end.len()..].iter().map(|name| &**name).eq(end.iter().copied())
    };
    if CREDENTIALS.iter().any(|end| ends_with(&end)) {
        return Some(Kind::Credentials);
    }
    let name = place.last()?;
    SETTINGS.contains(&&**name).then_some(Kind::Settings)
}

/// Returns a path on one line, from the root on. It is whole, so that it can be found.
pub(super) fn escaped(path: &[Box<[u8]>]) -> String {
    format!("/{}", String::from_utf8_lossy(&path.join(&b'/')).escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::split;

    #[test]
    fn private_keys_are_known_by_their_first_line() {
        for (head, expected) in [
            ("-----BEGIN PRIVATE KEY-----\n", true),
            ("-----BEGIN PRIVATE KEY-----", true),
            ("-----BEGIN RSA PRIVATE KEY-----\r\n", true),
            ("-----BEGIN EC PRIVATE KEY----- \n", true),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", true),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", true),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", true),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", true),
            ("-----BEGIN PUBLIC KEY-----\n", false),
            ("-----BEGIN PGP PUBLIC KEY BLOCK-----\n", false),
            ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n", false),
            ("# -----BEGIN PRIVATE KEY-----\n", false),
            ("-----BEGIN PRIVATE KEY----- and more\n", false),
            ("", false),
        ] {
            assert_eq!(is_private_key(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn packages_have_keys_of_their_own() {
        for (path, expected) in [
            ("usr/share/doc/x/key.pem", true),
            ("usr/lib/python3/test/keycert.pem", true),
            ("usr/local/etc/key.pem", false),
            ("usr/src/app/key.pem", false),
            ("usr", true),
            ("opt/app/node_modules/x/.npmrc", true),
            ("opt/venv/lib/python3.13/site-packages/x/key.pem", true),
            ("etc/ssl/private/key.pem", false),
            ("home/usr/key.pem", false),
        ] {
            assert_eq!(is_of_package(&split(path.as_bytes())), expected, "{path}");
        }
    }
}
