//! A layer of files that is planned: the entries are known, and no content is read.

use std::fmt;
use std::path::PathBuf;

use super::attributes::EntryAttributes;
use super::below::{Below, of_below};
use super::collect::{Collected, collect};
use super::note::{CopyNote, Notes};
use super::options::{CopyOptions, CopySource, PATH_LIMIT};
use super::tree::{Children, Merge, Node, NodeKind, Origin, SourcePlace};
use crate::build::layer::AddedLayer;
use crate::error::{CopyError, Result};
use crate::fs::walk::as_path;
use crate::fs::xattr::{CAPABILITY, XattrFilter};
use crate::oci::Digest;
use crate::rootfs::Stack;

/// The highest user or group number that every container can have without a mapping of its own.
const USUAL_IDS: u32 = 65535;

/// A layer of files and directories that is planned.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("my-image");
/// # let files = directory.path().join("files");
/// # std::fs::create_dir(&files)?;
/// # std::fs::write(files.join("app"), "#!/bin/sh\n")?;
/// use regshape::build::LayerOptions;
/// use regshape::build::copy::{CopyOptions, CopyPlan, CopySource};
/// use regshape::layout::Layout;
/// use regshape::metrics::Progress;
///
/// let layout = Layout::init(&path)?;
/// let source = CopySource::new(&files).destination("/usr/bin".parse()?);
/// let plan = CopyPlan::new(&CopyOptions::default().sources(vec![source]))?;
/// assert_eq!(plan.paths().collect::<Vec<_>>(), ["usr/", "usr/bin/", "usr/bin/app"]);
/// let copied = plan.stage(&layout, &LayerOptions::default(), Progress::none())?;
/// assert_eq!(layout.read_stage()?.layers, [copied.added.layer]);
/// # Ok(())
/// # }
/// ```
pub struct CopyPlan {
    pub(super) root: Children,
    /// The attributes of the entry of the root directory, if the layer has one.
    pub(super) root_attributes: Option<EntryAttributes>,
    pub(super) places: Vec<SourcePlace>,
    pub(super) paths: Vec<PathBuf>,
    pub(super) sources: Vec<CopySource>,
    pub(super) filter: XattrFilter,
    /// The layers that the layer is made for, if there are any.
    pub(super) below: Option<Vec<Digest>>,
    notes: Vec<CopyNote>,
    count: u64,
    size: u64,
}

impl fmt::Debug for CopyPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CopyPlan").field("count", &self.count).field("size", &self.size).finish_non_exhaustive()
    }
}

/// A layer of files that was added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CopiedLayer {
    /// The layer.
    pub added: AddedLayer,
    /// The parts of the sources that the layer leaves out, and remarks on its entries.
    pub notes: Vec<CopyNote>,
}

impl CopyPlan {
    /// Walks the sources. Reads no content.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`](crate::Error::FileNotFound) for a source; [`CopyError`]; [`Error::Io`](crate::Error::Io).
    pub fn new(options: &CopyOptions) -> Result<Self> {
        Self::on(options, &Stack::default())
    }

    /// Walks the sources, for a layer on others: parents get the attributes that they have there, links there are
    /// followed inside the image, and names of owners are those of its files.
    ///
    /// # Errors
    ///
    /// Those of [`CopyPlan::new`].
    #[expect(clippy::missing_panics_doc, reason = "the owners come from a list in memory")]
    pub fn on(options: &CopyOptions, below: &Stack) -> Result<Self> {
        let tree = &below.tree;
        let filter = XattrFilter::new(&options.xattrs)
            .map_err(|error| CopyError::XattrGlob { reason: format!("--xattr: {error}") })?;
        let Collected { mut root, root_attributes, places, paths, mut notes } = collect(options, &filter, tree)?;
        let owners = options.owners.iter().map(|(glob, owner)| Ok((glob, owner.resolve(tree)?)));
        let owners = owners.collect::<Result<Vec<_>>>()?;
        let owner_of = |path: &[u8]| {
            let position = owners.iter().rposition(|(glob, _)| glob.matches(path))?;
            Some(u32::try_from(position).expect("a command line is shorter"))
        };
        let sources = &options.sources;
        let merge = Merge { sources, overwrites: options.overwrites, parent_time: options.parent_time };
        let below_it = Below { tree, sources, merge, replaces_links: options.replaces_links };
        if !tree.is_empty() {
            if !owners.is_empty() {
                for_each(&mut root, &mut Vec::new(), &mut |path, node| node.owner = owner_of(path));
            }
            root = below_it.place(root)?;
        }
        set_capabilities(options, &mut root, |path| below_it.place_of(path))?;
        let (mut count, mut size, mut too_long) = (0, 0, None);
        for_each(&mut root, &mut Vec::new(), &mut |path, node| {
            count += 1;
            // Links of the layers below may have made a path longer.
            if path.len() > PATH_LIMIT && too_long.is_none() {
                too_long = Some(sources[node.source as usize].path.clone());
            }
            if let NodeKind::File(file) = &node.kind {
                size += file.size;
            }
            if matches!(node.kind, NodeKind::Whiteout) {
                return;
            }
            if let Some(position) = node.owner.max(owner_of(path)) {
                (node.attributes.uid, node.attributes.gid) = owners[position as usize].1;
            }
            if node.attributes.uid.max(node.attributes.gid) > USUAL_IDS {
                notes.high_ids.add(as_path(path).into_owned());
            }
        });
        if let Some(path) = too_long {
            return Err(CopyError::PathLength { path }.into());
        }
        let root_below = tree.root_attributes().map(of_below);
        let root_attributes = options.has_root_entry.then(|| match (root_attributes, root_below) {
            (Some((Origin::Entry, attributes)), _) | (Some((_, attributes)), None) => attributes,
            (_, Some(below)) => below,
            (None, None) => EntryAttributes::of_parent(options.parent_time),
        });
        Ok(Self {
            root,
            root_attributes,
            places,
            paths,
            sources: options.sources.clone(),
            filter,
            below: (!below.layers().is_empty()).then(|| below.layers().to_vec()),
            notes: below.skipped().iter().cloned().map(CopyNote::UnknownLayer).chain(notes.list()).collect(),
            count,
            size,
        })
    }

    /// Returns the plan of a layer of changes, which has its entries.
    pub(super) fn of_changes(
        options: &CopyOptions,
        mut root: Children,
        root_attributes: Option<EntryAttributes>,
        (places, paths): (Vec<SourcePlace>, Vec<PathBuf>),
        (filter, mut notes): (XattrFilter, Notes),
    ) -> Result<Self> {
        set_capabilities(options, &mut root, <[_]>::to_vec)?;
        let (mut count, mut size) = (0, 0);
        for_each(&mut root, &mut Vec::new(), &mut |path, node| {
            count += 1;
            if let NodeKind::File(file) = &node.kind {
                size += file.size;
            }
            if node.attributes.uid.max(node.attributes.gid) > USUAL_IDS {
                notes.high_ids.add(as_path(path).into_owned());
            }
        });
        let (sources, notes) = (options.sources.clone(), notes.list());
        Ok(Self { root, root_attributes, places, paths, sources, filter, below: None, notes, count, size })
    }

    /// Says which layers the layer is made for, the lowest first.
    #[must_use]
    pub fn only_on(mut self, below: Vec<Digest>) -> Self {
        self.below = Some(below);
        self
    }

    /// Returns the number of entries.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns whether another plan with the same flags has the same entries, from the same files.
    pub fn has_entries_of(&self, other: &Self) -> bool {
        self.root == other.root
            && self.root_attributes == other.root_attributes
            && self.places == other.places
            && self.paths == other.paths
            && self.sources == other.sources
    }

    /// Returns the size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the parts of the sources that are left out, and remarks on entries.
    pub fn notes(&self) -> &[CopyNote] {
        &self.notes
    }

    /// Returns the paths of the entries in their order, for people: text that is not UTF-8 is replaced.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        let mut paths = Vec::new();
        visit(&self.root, &mut Vec::new(), &mut |path, node| {
            let slash = if matches!(node.kind, NodeKind::Directory { .. }) { "/" } else { "" };
            paths.push(String::from_utf8_lossy(path).into_owned() + slash);
            Ok::<(), std::convert::Infallible>(())
        })
        .unwrap_or_else(|never| match never {});
        paths.into_iter()
    }
}

/// Gives files the capabilities that the options have for them.
fn set_capabilities(
    options: &CopyOptions,
    root: &mut Children,
    place_of: impl Fn(&[Box<[u8]>]) -> Vec<Box<[u8]>>,
) -> Result<()> {
    for (destination, capabilities) in &options.capabilities {
        let node = find(root, &place_of(&destination.components)).filter(|node| matches!(node.kind, NodeKind::File(_)));
        let Some(node) = node.filter(|_| !destination.is_directory) else {
            return Err(CopyError::CapabilityTarget { path: destination.to_string() }.into());
        };
        let value = capabilities.to_attribute();
        node.attributes.xattrs = Some(Box::new(vec![(CAPABILITY.as_bytes().into(), value.into())]));
    }
    Ok(())
}

/// Returns the entry at a path.
fn find<'t>(children: &'t mut Children, components: &[Box<[u8]>]) -> Option<&'t mut Node> {
    let (name, rest) = components.split_first()?;
    let node = children.get_mut(name)?;
    if rest.is_empty() {
        return Some(node);
    }
    if let NodeKind::Directory { children, .. } = &mut node.kind { find(children, rest) } else { None }
}

/// Calls a function with each entry and its path.
fn for_each(children: &mut Children, path: &mut Vec<u8>, each: &mut dyn FnMut(&[u8], &mut Node)) {
    let length = path.len();
    for (name, node) in children {
        path.extend(name);
        each(path, node);
        if let NodeKind::Directory { children, .. } = &mut node.kind {
            path.push(b'/');
            for_each(children, path, each);
        }
        path.truncate(length);
    }
}

/// Calls a function with each entry and its path in the order of the layer: depth first, whiteouts before their
/// siblings, siblings by the bytes of their names.
pub(super) fn visit<'t, E>(
    children: &'t Children,
    path: &mut Vec<u8>,
    each: &mut impl FnMut(&[u8], &'t Node) -> Result<(), E>,
) -> Result<(), E> {
    let length = path.len();
    let is_whiteout = |node: &Node| matches!(node.kind, NodeKind::Whiteout);
    let whiteouts = children.iter().filter(|(_, node)| is_whiteout(node));
    let others = children.iter().filter(|(_, node)| !is_whiteout(node));
    for (name, node) in whiteouts.chain(others) {
        path.extend(name);
        each(path, node)?;
        if let NodeKind::Directory { children, .. } = &node.kind {
            path.push(b'/');
            visit(children, path, each)?;
        }
        path.truncate(length);
    }
    Ok(())
}
