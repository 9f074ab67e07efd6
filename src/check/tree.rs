//! Builds the tree of a layout: references between documents, shared blobs, missing blobs.
//!
//! Documents are read; of layers only the size is checked. The tree is built once all documents are read, so each
//! document is read once and drawn once, no matter how many others refer to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::iter::successors;
use std::num::NonZeroUsize;

use super::node::{ChildrenAt, Node, NodeKind, NodeState, Tree};
use crate::error::{Error, Referrer, Result};
use crate::graph::names::Names;
use crate::graph::resolve::Resolver;
use crate::graph::walk::{Document, Reach, Role, Visit, walk};
use crate::layout::handle::Layout;
use crate::layout::unreferenced::count_unreferenced;
use crate::oci::{Descriptor, Digest, ImageConfig, Index, Platform, from_json};
use crate::tally::Tally;

/// The depth at which the tree is cut. Deeper documents are drawn as roots of their own, so that neither the lines nor
/// the JSON grow with the nesting. Real indexes rarely nest even three levels deep.
const DEPTH: usize = 16;

impl Layout {
    /// Reads the contents of the layout: all documents reachable from `index.json`, and the sizes of the blobs.
    ///
    /// Missing and unreadable blobs are marked in the tree. The cost is linear in the size of the documents; layers are
    /// not read.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedIndex`] if `index.json` is missing or not an image index; [`Error::Io`].
    pub fn tree(&self) -> Result<Tree> {
        self.site().read_unlocked(|| Holdings::read(self), Holdings::is_whole).map(|holdings| Drawing::of(&holdings))
    }

    /// Reads a part of the layout as [`Layout::tree`] does: the entries that match a reference, everything reachable
    /// from them, and their referrers. The unreferenced blobs are still those of the whole layout.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::tree`]; [`Error::UnknownManifest`], [`Error::AmbiguousDigest`].
    pub fn tree_of(&self, reference: &str) -> Result<Tree> {
        let read = || {
            let all = Holdings::read(self)?;
            let index = all.part(self, reference)?;
            Ok(Holdings { unreferenced: all.unreferenced, ..Holdings::of(self, index) })
        };
        self.site().read_unlocked(read, Holdings::is_whole).map(|holdings| Drawing::of(&holdings))
    }
}

/// The documents and blobs of a layout.
struct Holdings {
    index: Index,
    /// The visited documents, in the order of the walk.
    visited: Vec<Visited>,
    /// The positions of digests in `visited`.
    places: HashMap<Digest, usize>,
    /// All blobs that are referred to.
    blobs: HashMap<Digest, Blob>,
    /// The referrers of each digest, by the referrer's digest.
    referrers: HashMap<Digest, BTreeMap<Digest, Descriptor>>,
    /// The platforms of the image configs that were read.
    configs: HashMap<Digest, Option<Platform>>,
    unreferenced: Option<Tally>,
}

struct Visited {
    /// Kept only if no document read earlier has this entry among its parts.
    entry: Option<Box<Descriptor>>,
    document: Option<Document>,
    is_unreadable: bool,
}

/// A blob that is referred to.
pub(crate) struct Blob {
    found: Found,
    /// The number of documents that have the blob among their parts.
    named_by: u32,
}

enum Found {
    OfSize(u64),
    Missing,
    Unreadable(Box<str>),
}

impl Holdings {
    fn read(layout: &Layout) -> Result<Self> {
        let mut holdings = Self::of(layout, layout.read_index()?.with_own_names_on_entries());
        holdings.unreferenced = holdings.count_unreferenced(layout);
        Ok(holdings)
    }

    /// Reads everything reachable from an index.
    fn of(layout: &Layout, index: Index) -> Self {
        let mut holdings = Self {
            index: Index::empty(),
            visited: Vec::new(),
            places: HashMap::new(),
            blobs: HashMap::new(),
            referrers: HashMap::new(),
            configs: HashMap::new(),
            unreferenced: None,
        };
        holdings.note_parts(layout, &index.manifests);
        for visit in walk(layout, index.manifests.iter().chain(&index.subject), Reach::Subjects) {
            holdings.note(layout, visit);
        }
        holdings.index = index;
        holdings
    }

    /// Returns an index with the entries that match a reference, and their referrers without names.
    fn part(&self, layout: &Layout, reference: &str) -> Result<Index> {
        let names = Names::AsTheyStand { default: None };
        let resolver = Resolver { names, index: &self.index, documents: layout, path: layout.path() };
        let found = resolver.find(reference)?;
        let mut entries: Vec<Descriptor> = found.entries(&self.index).into_iter().cloned().collect();
        let mut waiting: Vec<Digest> = entries.iter().map(|entry| entry.digest.clone()).collect();
        let mut reached: HashSet<Digest> = waiting.iter().cloned().collect();
        while let Some(digest) = waiting.pop() {
            let parts = self.document(&digest).into_iter().flat_map(Document::digests).cloned();
            let referrers = self.referrers.get(&digest).into_iter().flat_map(BTreeMap::values);
            let referrers = referrers.filter(|referrer| !reached.contains(&referrer.digest));
            let referrers: Vec<_> =
                referrers.map(|referrer| Descriptor { annotations: None, ..referrer.clone() }).collect();
            let next: Vec<_> = parts.chain(referrers.iter().map(|referrer| referrer.digest.clone())).collect();
            waiting.extend(next.into_iter().filter(|digest| reached.insert(digest.clone())));
            entries.extend(referrers);
        }
        Ok(Index { manifests: entries, ..Index::empty() })
    }

    /// Returns whether all blobs were found and could be read.
    fn is_whole(&self) -> bool {
        self.blobs.values().all(|blob| matches!(blob.found, Found::OfSize(_)))
    }

    fn note(&mut self, layout: &Layout, visit: Visit<'_>) {
        let Visit { entry, document, .. } = visit;
        // A digest with two media types is drawn as the first. The blobs that it refers to as the second count as well.
        if self.places.contains_key(&entry.digest) {
            if let Ok(Some(document)) = &document {
                self.note_parts(layout, document.parts());
            }
            return;
        }
        self.look_at(layout, &entry.digest);
        let (document, is_unreadable) = match document {
            Ok(document) => (document, false),
            Err(Error::MissingBlob { .. }) => (None, false),
            Err(error) => {
                self.look_at(layout, &entry.digest).found = Found::Unreadable(reason(&error).into());
                (None, true)
            }
        };
        if let Some(document) = &document {
            self.note_parts(layout, document.parts());
            if let Some(subject) = document.subject() {
                let referrers = self.referrers.entry(subject.digest.clone()).or_default();
                referrers.insert(entry.digest.clone(), entry.clone().into_owned());
            }
            if let Document::Manifest(manifest) = document
                && manifest.is_image(&entry)
            {
                self.read_config(layout, &manifest.config.digest);
            }
        }
        self.places.insert(entry.digest.clone(), self.visited.len());
        let entry = (!self.is_named(&entry.digest)).then(|| Box::new(entry.into_owned()));
        self.visited.push(Visited { entry, document, is_unreadable });
    }

    fn note_parts<'a>(&mut self, layout: &Layout, parts: impl IntoIterator<Item = &'a Descriptor>) {
        let parts: HashSet<_> = parts.into_iter().map(|part| &part.digest).collect();
        for part in parts {
            self.look_at(layout, part).named_by += 1;
        }
    }

    fn look_at(&mut self, layout: &Layout, digest: &Digest) -> &mut Blob {
        self.blobs.entry(digest.clone()).or_insert_with(|| {
            let found = match layout.open_blob(digest, &Referrer::Index) {
                Ok((_, size)) => Found::OfSize(size),
                Err(Error::MissingBlob { .. }) => Found::Missing,
                Err(error) => Found::Unreadable(reason(&error).into()),
            };
            Blob { found, named_by: 0 }
        })
    }

    fn found(&self, digest: &Digest) -> Option<&Found> {
        self.blobs.get(digest).map(|blob| &blob.found)
    }

    /// Returns whether a document has a digest among its parts.
    fn is_named(&self, digest: &Digest) -> bool {
        self.blobs.get(digest).is_some_and(|blob| blob.named_by > 0)
    }

    /// Reads the config of an image. Most tools record the platform only there.
    fn read_config(&mut self, layout: &Layout, digest: &Digest) {
        if self.configs.contains_key(digest) || !matches!(self.found(digest), Some(Found::OfSize(_))) {
            return;
        }
        let platform = match layout.read_document_blob(digest, &Referrer::Index) {
            // Some artifacts have the media type of an image config, but other content.
            Ok(content) => from_json(&content).ok().and_then(|config: ImageConfig| config.platform()),
            Err(error) => {
                self.look_at(layout, digest).found = Found::Unreadable(reason(&error).into());
                None
            }
        };
        self.configs.insert(digest.clone(), platform);
    }

    fn count_unreferenced(&self, layout: &Layout) -> Option<Tally> {
        if self.visited.iter().any(|visited| visited.is_unreadable) {
            return None;
        }
        let stage = layout.find_stage().ok()?;
        let staged = stage.iter().flat_map(|stage| stage.blobs());
        let documents = self.visited.iter().filter_map(|visited| visited.document.as_ref());
        let named = documents.flat_map(Document::digests);
        let referenced = self.blobs.keys().chain(staged).chain(named).cloned().collect();
        count_unreferenced(layout, &referenced).ok()
    }

    fn document(&self, digest: &Digest) -> Option<&Document> {
        self.visited.get(*self.places.get(digest)?)?.document.as_ref()
    }

    /// Returns the subject of a document, and whether the subject is drawn in the tree.
    fn subject(&self, digest: &Digest) -> Option<(&Digest, bool)> {
        let subject = &self.document(digest)?.subject()?.digest;
        let is_there = !matches!(self.found(subject), None | Some(Found::Missing));
        Some((subject, is_there || self.is_named(subject)))
    }

    /// Returns whether a digest is drawn among the referrers of its subject.
    fn is_referrer(&self, digest: &Digest) -> bool {
        matches!(self.subject(digest), Some((_, true)))
    }
}

/// Returns why a blob is not usable, for display beside its digest.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::NotAFile { found, .. } => format!("{found}, not a regular file"),
        Error::BlobLinkOutside { .. } => "a link that leads out of the layout".to_owned(),
        Error::DigestMismatch { actual, .. } => format!("its digest is {actual}"),
        Error::UnsupportedAlgorithm { .. } => "the algorithm of its digest is not supported".to_owned(),
        Error::TooLarge { limit, .. } => format!("larger than {limit} bytes"),
        Error::MalformedDocument { kind, reason, .. } => format!("not a valid {kind}: {reason}"),
        error => error.report(),
    }
}

/// The state while a tree is built.
struct Drawing<'a> {
    holdings: &'a Holdings,
    tree: Tree,
    /// Where documents with children or referrers are drawn.
    drawn: HashMap<&'a Digest, ChildrenAt>,
    /// The documents to draw as roots because they are nested too deeply.
    continued: Vec<(&'a Descriptor, NodeKind)>,
    missing: HashSet<&'a Digest>,
}

impl<'a> Drawing<'a> {
    fn of(holdings: &'a Holdings) -> Tree {
        let tree = Tree { unreferenced: holdings.unreferenced, ..Tree::default() };
        let mut drawing =
            Self { holdings, tree, drawn: HashMap::new(), continued: Vec::new(), missing: HashSet::new() };
        drawing.draw_entries();
        // Documents that are reachable only as subjects.
        for entry in holdings.visited.iter().filter_map(|visited| visited.entry.as_deref()) {
            let digest = &entry.digest;
            let is_there = !matches!(holdings.found(digest), None | Some(Found::Missing));
            if is_there && !holdings.is_named(digest) && !holdings.is_referrer(digest) {
                drawing.draw_root(entry, NodeKind::Blob);
            }
        }
        drawing.count();
        drawing.tree
    }

    /// Draws the entries of `index.json`. Entries with the same digest become one node; referrers without a name are
    /// left out.
    fn draw_entries(&mut self) {
        let entries = &self.holdings.index.manifests;
        // The first entry of each digest, and for each entry the next one with the same digest.
        let (mut firsts, mut next) = (Vec::new(), vec![None; entries.len()]);
        let mut last: HashMap<&'a Digest, usize> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            match last.insert(&entry.digest, at) {
                Some(before) => next[before] = NonZeroUsize::new(at),
                None => firsts.push(at),
            }
        }
        drop(last);
        for first in firsts {
            let places = successors(Some(first), |at| next[*at].map(NonZeroUsize::get));
            let same = || places.clone().map(|at| &entries[at]);
            let digest = &entries[first].digest;
            let ref_names = distinct(same().filter_map(|entry| entry.ref_name()));
            let image_names = distinct(same().filter_map(|entry| entry.image_name()));
            if ref_names.is_empty() && image_names.is_empty() && self.holdings.is_referrer(digest) {
                continue;
            }
            let root = self.draw_root(&entries[first], NodeKind::Blob);
            let platform = same().find_map(|entry| entry.said_platform().cloned().map(Box::new));
            let root = &mut self.tree.roots[root];
            root.ref_names = ref_names;
            root.image_names = image_names;
            root.platform = platform.or(root.platform.take());
        }
    }

    /// Draws a root, then the documents nested too deeply in it as further roots. Returns the position of the first
    /// root.
    fn draw_root(&mut self, descriptor: &'a Descriptor, kind: NodeKind) -> usize {
        let place = self.tree.roots.len();
        let mut next = Some((descriptor, kind));
        while let Some((descriptor, kind)) = next {
            let node = self.node(descriptor, kind, 1);
            self.tree.roots.push(node);
            next = self.continued.pop();
            if let Some((descriptor, _)) = next {
                self.drawn.remove(&descriptor.digest);
            }
        }
        place
    }

    /// Draws a node. `kind` is its kind if it is not a document.
    fn node(&mut self, descriptor: &'a Descriptor, kind: NodeKind, depth: usize) -> Node {
        let holdings = self.holdings;
        let digest = &descriptor.digest;
        // The same blob may be a document elsewhere; as a config or a layer it is plain content.
        let is_content =
            matches!(kind, NodeKind::Config | NodeKind::Layer) && Role::of_part(descriptor, false) == Role::Blob;
        let document = holdings.document(digest).filter(|_| !is_content);
        let kind = match document {
            Some(Document::Index(_)) => NodeKind::Index,
            Some(Document::Manifest(_)) => NodeKind::Manifest,
            Some(Document::Other(_)) => NodeKind::Blob,
            None if descriptor.media_type.is_index() => NodeKind::Index,
            None if descriptor.media_type.is_manifest() => NodeKind::Manifest,
            None => kind,
        };
        let mut node = Node {
            kind,
            ref_names: Vec::new(),
            image_names: Vec::new(),
            platform: descriptor.said_platform().cloned().map(Box::new),
            media_type: descriptor.media_type.clone(),
            artifact_type: descriptor.artifact_type.clone(),
            digest: digest.clone(),
            size: descriptor.size,
            state: self.state(descriptor),
            is_attestation: descriptor.is_attestation(),
            shared_by: holdings.blobs.get(digest).map(|blob| blob.named_by.into()).filter(|documents| *documents > 1),
            missing_subject: None,
            drawn: ChildrenAt::Here,
            children: Vec::new(),
            referrers: Vec::new(),
        };
        if let Some(document) = document {
            self.describe(&mut node, descriptor, document);
        }
        if is_content {
            return node;
        }
        node.drawn = self.place(descriptor, kind, depth);
        if node.drawn.is_here() {
            node.children = self.children(document, depth + 1);
            let referrers = holdings.referrers.get(digest).into_iter().flat_map(BTreeMap::values);
            node.referrers = referrers.map(|referrer| self.node(referrer, NodeKind::Blob, depth + 1)).collect();
            self.tree.totals.images += u64::from(is_image(descriptor, document));
        }
        node
    }

    /// Decides where the children and referrers of a node are drawn, and records the place.
    fn place(&mut self, descriptor: &'a Descriptor, kind: NodeKind, depth: usize) -> ChildrenAt {
        let digest = &descriptor.digest;
        let has_parts = self.holdings.document(digest).is_some_and(|document| !document.parts().is_empty());
        if !has_parts && !self.holdings.referrers.contains_key(digest) {
            return ChildrenAt::Here;
        }
        if let Some(drawn) = self.drawn.get(digest) {
            return *drawn;
        }
        if depth < DEPTH {
            self.drawn.insert(digest, ChildrenAt::Above);
            return ChildrenAt::Here;
        }
        self.drawn.insert(digest, ChildrenAt::Below);
        self.continued.push((descriptor, kind));
        ChildrenAt::Below
    }

    fn children(&mut self, document: Option<&'a Document>, depth: usize) -> Vec<Node> {
        match document {
            None => Vec::new(),
            Some(Document::Index(index)) => {
                index.manifests.iter().map(|entry| self.node(entry, NodeKind::Blob, depth)).collect()
            }
            Some(Document::Manifest(manifest)) => {
                let config = std::iter::once((&manifest.config, NodeKind::Config));
                let layers = manifest.layers.iter().map(|layer| (layer, NodeKind::Layer));
                config.chain(layers).map(|(part, kind)| self.node(part, kind, depth)).collect()
            }
            Some(document @ Document::Other(_)) => {
                document.parts().into_iter().map(|part| self.node(part, NodeKind::Blob, depth)).collect()
            }
        }
    }

    /// Adds the missing subject, the platform and the artifact type from the document.
    fn describe(&self, node: &mut Node, descriptor: &Descriptor, document: &Document) {
        node.missing_subject =
            self.holdings.subject(&node.digest).filter(|(_, is_there)| !is_there).map(|(subject, _)| subject.clone());
        let own = match document {
            Document::Index(index) => index.artifact_type.clone(),
            Document::Other(document) => document.artifact_type.clone(),
            Document::Manifest(manifest) => {
                let config = &manifest.config.media_type;
                let config_is_type = !config.is_image_config() && !config.is_empty();
                if node.platform.is_none() && manifest.is_image(descriptor) {
                    node.platform = self.holdings.configs.get(&manifest.config.digest).cloned().flatten().map(Box::new);
                }
                let by_config = || config_is_type.then(|| config.as_str().to_owned());
                manifest.artifact_type.clone().or_else(by_config)
            }
        };
        node.artifact_type = node.artifact_type.take().or(own);
    }

    fn state(&mut self, descriptor: &'a Descriptor) -> NodeState {
        let may_be_elsewhere = descriptor.urls.as_ref().is_some_and(|urls| !urls.is_empty())
            || descriptor.data.is_some()
            || descriptor.media_type.is_non_distributable();
        match self.holdings.found(&descriptor.digest) {
            Some(Found::OfSize(size)) if *size == descriptor.size => NodeState::Present,
            Some(Found::OfSize(size)) => NodeState::WrongSize { actual_size: *size },
            Some(Found::Unreadable(reason)) => NodeState::Unreadable { reason: reason.to_string() },
            Some(Found::Missing) | None if may_be_elsewhere => NodeState::Elsewhere,
            Some(Found::Missing) | None => {
                self.missing.insert(&descriptor.digest);
                NodeState::Missing
            }
        }
    }

    /// Adds up the totals of the blobs.
    fn count(&mut self) {
        let totals = &mut self.tree.totals;
        for blob in self.holdings.blobs.values() {
            let Found::OfSize(size) = &blob.found else { continue };
            totals.blobs += 1;
            totals.bytes = totals.bytes.saturating_add(*size);
            let shared = size.saturating_mul(blob.named_by.saturating_sub(1).into());
            totals.shared_bytes = totals.shared_bytes.saturating_add(shared);
        }
        totals.missing = self.missing.len() as u64;
    }
}

/// Returns the names without duplicates.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut distinct: Vec<String> = names.filter(|name| seen.insert(*name)).map(str::to_owned).collect();
    distinct.shrink_to_fit();
    distinct
}

/// Returns whether a descriptor points to an image, not to an artifact.
pub(crate) fn is_image(descriptor: &Descriptor, document: Option<&Document>) -> bool {
    matches!(document, Some(Document::Manifest(manifest)) if manifest.is_image(descriptor))
}
