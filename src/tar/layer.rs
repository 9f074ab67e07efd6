//! Checks the entries of a layer beyond the tar format: repeated paths, whiteouts without a name, sparse files, names
//! with `..`. Detects image archives, which are not layers.
//!
//! Works on a stream in bounded memory: only 16 bytes of hash are kept per path.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher as _};

use super::fault::TarFault;
use super::outline::Outline;
use super::read_header::Header;
use crate::fingerprint::Fingerprint;
use crate::json::Node;
use crate::text::shown;

/// The most entries whose paths are compared.
const ENTRY_LIMIT: u64 = 1_000_000;

/// The number of maps over which the paths are spread. The maps grow independently. At the entry limit none has just
/// doubled, so together they take about 33 MB.
const SHARDS: usize = 320;

/// The depth of the check of a tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Checks only the format: the tar need not be a layer of an image.
    Format,
    /// Also checks the entries.
    Entries,
    /// Also compares the content of entries with the same path, and makes the outline.
    Content,
}

/// Checks the entries of a tar.
pub(crate) struct LayerCheck {
    look: Look,
    paths: Paths,
    /// The entry whose content is being read, if content is compared.
    current: Option<(Vec<u8>, PathHash, Fingerprint)>,
    /// Repeated paths: with different entries, with equal entries or directories, and without comparison.
    differing: Seen,
    equal: Seen,
    repeated: Seen,
    whiteouts: Seen,
    sparse: Seen,
    upward: Seen,
    lone_xattrs: Seen,
    has_global_header: bool,
    has_marker: bool,
    has_index: bool,
    has_archive_manifest: bool,
    outline: Outline,
    /// The directories whose entries are known to the outline, with those above them.
    parents: HashSet<PathHash>,
}

type PathHash = [u8; 16];

/// A hash of an entry, 8 bytes long. All directories have the same hash.
type EntryHash = [u8; 8];

const DIRECTORY: EntryHash = [0; 8];

/// The paths seen so far.
#[derive(Default)]
struct Paths {
    /// A random key, so that an attacker cannot craft names with colliding hashes.
    key: [u8; 32],
    shards: Vec<HashMap<PathHash, EntryHash>>,
    count: u64,
}

/// The first of several entries with the same fault, and their number.
#[derive(Default)]
struct Seen {
    first: String,
    count: u64,
}

impl Seen {
    fn note(&mut self, path: &[u8]) {
        if self.count == 0 {
            self.first = shown(path);
        }
        self.count += 1;
    }

    /// Returns a message about the first entry, with the number of further ones.
    fn say(&self, kind: TarFault, what: impl Fn(&str) -> String) -> Option<(TarFault, String)> {
        match self.count {
            0 => None,
            1 => Some((kind, what(&self.first))),
            count => Some((kind, format!("{} (and {} more)", what(&self.first), count - 1))),
        }
    }
}

impl LayerCheck {
    pub(crate) fn new(look: Look) -> Self {
        Self {
            look,
            paths: Paths::default(),
            current: None,
            differing: Seen::default(),
            equal: Seen::default(),
            repeated: Seen::default(),
            whiteouts: Seen::default(),
            sparse: Seen::default(),
            upward: Seen::default(),
            lone_xattrs: Seen::default(),
            has_global_header: false,
            has_marker: false,
            has_index: false,
            has_archive_manifest: false,
            outline: Outline::default(),
            parents: HashSet::new(),
        }
    }

    /// Checks an entry whose content comes next. Returns whether to keep that content, because it may be the
    /// `manifest.json` of an image archive.
    pub(crate) fn entry(&mut self, header: &Header) -> bool {
        if self.look == Look::Format {
            return false;
        }
        self.end_entry();
        let Header { path: name, block, extended, size, .. } = header;
        let flag = header.flag();
        let link: &[u8] = if matches!(flag, b'1' | b'2') { header.target() } else { &[] };
        let components = |path: &[u8]| path.split(|byte| *byte == b'/').any(|component| component == b"..");
        if components(name) || flag == b'1' && components(link) {
            self.upward.note(name);
        }
        let path = clean(name);
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        // These whiteouts do not name a file of a lower layer.
        if matches!(last, b".wh." | b".wh.." | b".wh...") {
            self.whiteouts.note(name);
        }
        if header.is_sparse() {
            self.sparse.note(name);
        }
        if extended.lone_xattrs().next().is_some() {
            self.lone_xattrs.note(name);
        }
        let is_file = header.is_file();
        match path.as_slice() {
            b"oci-layout" => self.has_marker |= is_file,
            b"index.json" => self.has_index |= is_file,
            _ => {}
        }
        if self.look == Look::Content {
            self.outline_entry(&path, flag);
        }
        let hash = self.paths.hash(&path);
        if flag == b'5' || self.look == Look::Entries {
            self.compare(&path, hash, DIRECTORY);
        } else {
            let mut fingerprint = Fingerprint::new(&self.paths.key);
            // The fingerprint covers the header without the name, the checksum, and the fields that some formats use
            // for more of the name or for times.
            fingerprint.update(&block[100..148]);
            fingerprint.update(&[if is_file { b'0' } else { flag }]);
            fingerprint.update(&block[257..345]);
            if flag == b'S' {
                fingerprint.update(&block[386..]);
            }
            for part in [&size.to_le_bytes(), link, &extended.records] {
                fingerprint.update(&(part.len() as u64).to_le_bytes());
                fingerprint.update(part);
            }
            self.current = Some((path.clone(), hash, fingerprint));
        }
        is_file && path == b"manifest.json"
    }

    fn outline_entry(&mut self, path: &[u8], flag: u8) {
        self.outline.entry(path, flag == b'2');
        let mut rest = path;
        while let Some(at) = rest.iter().rposition(|byte| *byte == b'/')
            && self.paths.count < ENTRY_LIMIT
        {
            rest = &rest[..at];
            let hash = self.paths.hash(rest);
            if !self.parents.insert(hash) {
                return;
            }
            if !self.paths.contains(hash) {
                self.outline.add_implied(rest);
            }
        }
    }

    /// Notes a pax header for all entries, which `git archive` writes.
    pub(crate) fn global_header(&mut self) {
        self.has_global_header |= self.look != Look::Format;
    }

    /// Adds content of the current entry.
    pub(crate) fn content(&mut self, content: &[u8]) {
        if let Some((_, _, fingerprint)) = &mut self.current {
            fingerprint.update(content);
        }
    }

    /// Reads a `manifest.json`. That of a Docker archive lists images with configs and layers.
    pub(crate) fn archive_manifest(&mut self, content: &[u8]) {
        let Ok(images) = Node::parse(content) else { return };
        let is_image = |image: Node<'_>| image.get("Config").is_some() && image.get("Layers").is_some();
        self.has_archive_manifest |= images.elements().next().is_some() && images.elements().all(is_image);
    }

    fn end_entry(&mut self) {
        if let Some((path, hash, fingerprint)) = self.current.take() {
            self.compare(&path, hash, fingerprint.finish());
        }
    }

    fn compare(&mut self, path: &[u8], hash: PathHash, entry: EntryHash) {
        let seen = match self.paths.insert(hash, entry) {
            None => return,
            Some(_) if self.look == Look::Entries => &mut self.repeated,
            Some(earlier) if earlier == entry => &mut self.equal,
            Some(_) => &mut self.differing,
        };
        seen.note(path);
    }

    /// Returns whether the tar is an image archive.
    pub(crate) fn looks_like_images(&self) -> bool {
        self.has_archive_manifest || self.has_marker && self.has_index
    }

    /// Returns the outline of the layer, which is made with [`Look::Content`].
    pub(crate) fn take_outline(&mut self) -> Outline {
        std::mem::take(&mut self.outline)
    }

    /// Ends the tar and returns the faults of its entries.
    pub(crate) fn finish(&mut self) -> Vec<(TarFault, String)> {
        self.end_entry();
        let findings = [
            self.differing.say(TarFault::DifferingDuplicates, |path| {
                format!("the tar has two different entries for '{path}'; readers take either")
            }),
            self.equal.say(TarFault::EqualDuplicates, |path| format!("the tar has two entries for '{path}'")),
            self.repeated.say(TarFault::EqualDuplicates, |path| format!("the tar has two entries for '{path}'")),
            self.whiteouts
                .say(TarFault::WhiteoutOfNothing, |path| format!("'{path}' is a whiteout without a file name")),
            self.sparse.say(TarFault::SparseFile, |path| {
                format!("'{path}' is stored as a sparse file, which not every reader supports")
            }),
            self.upward.say(TarFault::UpwardPath, |path| format!("the entry '{path}' has '..' in its path")),
            self.lone_xattrs.say(TarFault::LoneXattrs, |path| {
                format!("the extended attributes of '{path}' are in libarchive's form alone, which engines do not read")
            }),
            self.has_global_header.then(|| {
                let text = "the tar has a global pax header, which engines ignore and some programs refuse";
                (TarFault::GlobalHeader, text.to_owned())
            }),
            (self.paths.count > ENTRY_LIMIT || self.outline.is_incomplete()).then(|| {
                let text = format!("the tar has more than {ENTRY_LIMIT} entries; not all their paths were compared");
                (TarFault::UncomparedPaths, text)
            }),
        ];
        findings.into_iter().flatten().collect()
    }
}

impl Paths {
    fn hash(&mut self, path: &[u8]) -> PathHash {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashMap::new);
            let random = RandomState::new();
            for (at, part) in self.key.chunks_mut(8).enumerate() {
                let mut hasher = random.build_hasher();
                hasher.write_usize(at);
                part.copy_from_slice(&hasher.finish().to_le_bytes());
            }
        }
        Fingerprint::of(&self.key, path)
    }

    fn contains(&self, hash: PathHash) -> bool {
        self.shards[shard_of(hash)].contains_key(&hash)
    }

    /// Stores a path. Returns the earlier entry of the same path. Beyond the limit no new paths are stored.
    fn insert(&mut self, hash: PathHash, entry: EntryHash) -> Option<EntryHash> {
        self.count += 1;
        let is_full = self.count > ENTRY_LIMIT;
        match self.shards[shard_of(hash)].entry(hash) {
            Entry::Occupied(earlier) => Some(*earlier.get()),
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
                None
            }
        }
    }
}

fn shard_of(hash: PathHash) -> usize {
    usize::from(u16::from_le_bytes([hash[0], hash[1]])) % SHARDS
}

/// Normalizes a path as readers do: `./a//b/` becomes `a/b`, and `..` is resolved.
pub(crate) fn clean(name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => {
                let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                path.truncate(parent);
            }
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend(component);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::check::TarCheck;
    use crate::tar::fault::{TarReport, Verdict};

    /// Builds a tar from entries: name, type, and content or link target.
    fn tar_of(entries: &[(&str, u8, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let is_link = matches!(kind, b'1' | b'2');
            let content = if is_link { "" } else { content };
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::new(*kind));
            header.set_size(content.len() as u64);
            // The builder would refuse some of these names.
            let link = if is_link { entries.iter().find(|entry| entry.0 == *name).expect("it is there").2 } else { "" };
            let bytes = header.as_mut_bytes();
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).expect("appended");
        }
        builder.into_inner().expect("a tar")
    }

    fn report(tar: &[u8], look: Look) -> TarReport {
        let mut check = TarCheck::new(look);
        tar.chunks(300).for_each(|piece| check.update(piece));
        check.finish()
    }

    #[test]
    fn odd_entries_are_found() {
        let (f, d, hard, soft) = (b'0', b'5', b'1', b'2');
        type Case<'a> = (&'a [(&'a str, u8, &'a str)], &'a [(TarFault, &'a str)]);
        use TarFault::{DifferingDuplicates, EqualDuplicates, UpwardPath, WhiteoutOfNothing};
        let two = "the tar has two entries for 'a'";
        let different = "the tar has two different entries for 'a'; readers take either";
        let cases: &[Case<'_>] = &[
            (&[("a", f, "x"), ("b", f, "x"), ("c/", d, ""), ("c/a", f, "")], &[]),
            (&[("./", d, ""), ("./a", f, "x"), (".wh.b", f, ""), ("c/.wh..wh.opq", f, "")], &[]),
            (&[("a", f, "x"), ("a", f, "x")], &[(EqualDuplicates, two)]),
            (&[("a", f, "x"), ("./a", f, "x")], &[(EqualDuplicates, two)]),
            (&[("a", d, ""), ("/a//", d, "")], &[(EqualDuplicates, two)]),
            (&[("a", f, "x"), ("a", f, "y")], &[(DifferingDuplicates, different)]),
            (&[("a", f, "x"), ("a", f, "")], &[(DifferingDuplicates, different)]),
            (&[("a", f, ""), ("a", d, "")], &[(DifferingDuplicates, different)]),
            (
                &[("a", f, ""), ("b/../a", hard, "c")],
                &[(DifferingDuplicates, different), (UpwardPath, "the entry 'b/../a' has '..' in its path")],
            ),
            (
                &[("a", f, "x"), ("a", f, "y"), ("a", f, "z")],
                &[(DifferingDuplicates, "the tar has two different entries for 'a'; readers take either (and 1 more)")],
            ),
            (&[("../a", f, "")], &[(UpwardPath, "the entry '../a' has '..' in its path")]),
            (&[("a", hard, "../b")], &[(UpwardPath, "the entry 'a' has '..' in its path")]),
            (&[("a", soft, "../b"), ("..a/b..", f, "")], &[]),
            (&[("d/.wh.", f, "")], &[(WhiteoutOfNothing, "'d/.wh.' is a whiteout without a file name")]),
            (&[("d/.wh..", f, "")], &[(WhiteoutOfNothing, "'d/.wh..' is a whiteout without a file name")]),
        ];
        for (entries, expected) in cases {
            let report = report(&tar_of(entries), Look::Content);
            let expected: Vec<_> = expected.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
            assert_eq!((report.verdict, report.findings), (Verdict::Sound, expected), "{entries:?}");
        }
    }

    #[test]
    fn without_a_look_at_content_repeated_paths_are_not_told_apart() {
        for second in ["x", "y"] {
            let tar = tar_of(&[("a", b'0', "x"), ("a", b'0', second)]);
            let expected = (TarFault::EqualDuplicates, "the tar has two entries for 'a'".to_owned());
            assert_eq!(report(&tar, Look::Entries).findings, [expected]);
            assert_eq!(report(&tar, Look::Format).findings, []);
        }
    }

    #[test]
    fn archives_of_images_are_told_by_their_files() {
        let docker = r#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":["l.tar"]}]"#;
        let f = b'0';
        for (entries, expected) in [
            (vec![("oci-layout", f, "{}"), ("index.json", f, "{}")], true),
            (vec![("./index.json", f, "{}"), ("./oci-layout", f, "{}")], true),
            (vec![("manifest.json", f, docker), ("c.json", f, "{}")], true),
            (vec![("c.json", f, "{}"), ("manifest.json", f, docker)], true),
            (vec![("index.json", f, "{}"), ("manifest.json", f, "{}"), ("package.json", f, "{}")], false),
            (vec![("manifest.json", f, "[]"), ("c.json", f, "{}")], false),
            (vec![("d/oci-layout", f, "{}"), ("d/index.json", f, "{}")], false),
            (vec![("d/manifest.json", f, docker)], false),
            (vec![("oci-layout", b'5', ""), ("index.json", f, "{}")], false),
        ] {
            assert_eq!(report(&tar_of(&entries), Look::Entries).looks_like_images, expected, "{entries:?}");
        }
    }

    #[test]
    fn paths_beyond_the_limit_are_said_not_to_be_compared() {
        let mut check = LayerCheck::new(Look::Entries);
        let hash = |paths: &mut Paths, number: u64| paths.hash(&number.to_le_bytes());
        for number in 0..=ENTRY_LIMIT {
            let hash = hash(&mut check.paths, number);
            assert_eq!(check.paths.insert(hash, DIRECTORY), None);
        }
        let (first, last) = (hash(&mut check.paths, 0), hash(&mut check.paths, ENTRY_LIMIT));
        assert_eq!((check.paths.insert(first, [1; 8]), check.paths.insert(last, [1; 8])), (Some(DIRECTORY), None));
        let entries: usize = check.paths.shards.iter().map(HashMap::capacity).sum();
        assert!(entries * 25 < 40_000_000, "{entries}");
        let says = "the tar has more than 1000000 entries; not all their paths were compared".to_owned();
        assert_eq!(check.finish(), [(TarFault::UncomparedPaths, says)]);
    }

    #[test]
    fn paths_are_compared_as_readers_make_them() {
        for (name, path) in [
            ("a", "a"),
            ("./a", "a"),
            ("/a", "a"),
            ("a/", "a"),
            ("a//b/./c", "a/b/c"),
            ("a/../b", "b"),
            ("a/b/../../c", "c"),
            ("../../a", "a"),
            (".", ""),
            ("..a", "..a"),
        ] {
            assert_eq!(clean(name.as_bytes()), path.as_bytes(), "{name}");
        }
    }
}
