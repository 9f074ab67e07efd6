//! Writes a planned layer as a tar, and stages it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::attributes::EntryAttributes;
use super::capability::portable;
use super::note::{CopyNote, Counted};
use super::open::Opener;
use super::plan::{CopiedLayer, CopyPlan, visit};
use super::tree::{Node, NodeKind, Place, SourceFile};
use crate::build::input::LayerOptions;
use crate::build::layer::NewLayer;
use crate::build::writer::LayerWriter;
use crate::compress::BUFFER;
use crate::error::{CopyError, Error, Result};
use crate::fs::FileIdentity;
use crate::fs::walk::{SourceKind, as_path, stat_file, xattrs_of_file};
use crate::fs::xattr::{CAPABILITY, Xattrs};
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::tar::write::TarWriter;
use crate::tar::written_entry::{EntryKind, TarEntry};

/// A failure of writing a layer.
enum Failure {
    /// The layer cannot be stored. The thread that stores it has the cause.
    Store,
    /// A source cannot be read.
    Source(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Source(error)
    }
}

impl CopyPlan {
    /// Writes the layer, stores it and appends it to the staging file.
    ///
    /// # Errors
    ///
    /// [`CopyError::Changed`] if a file is not as it was planned; [`Error::Changed`] if the layers below are not the staged
    /// ones; [`Error::Io`]; those of
    /// [`PreparedLayer::stage`](crate::build::PreparedLayer::stage). After an error the layout is unchanged.
    pub fn stage(&self, layout: &Layout, options: &LayerOptions, progress: Progress<'_>) -> Result<CopiedLayer> {
        let (layer, notes) = self.store(layout, options, progress)?;
        Ok(CopiedLayer { added: layer.stage(layout)?, notes })
    }

    /// Writes the layer and stores it. Nothing refers to it yet.
    ///
    /// # Errors
    ///
    /// Those of [`CopyPlan::stage`].
    pub fn store(
        &self,
        layout: &Layout,
        options: &LayerOptions,
        progress: Progress<'_>,
    ) -> Result<(NewLayer, Vec<CopyNote>)> {
        let options = LayerOptions { below: self.below.clone(), ..options.clone() };
        let mut tar = TarWriter::new(LayerWriter::create_checked(layout, &options)?);
        let mut writing = Writing::new(self, progress);
        let written = writing.write(&mut tar);
        let dropped = writing.dropped;
        let written = match written {
            Err(Failure::Source(error)) => return Err(error),
            Err(Failure::Store) => Err(()),
            Ok(()) => Ok(()),
        };
        // After a failure to store, the writer has the cause.
        let writer = match written {
            Ok(()) => tar.finish().map_err(Error::io("write to", layout.path()))?,
            Err(()) => tar.into_inner(),
        };
        let layer = writer.finish_unnamed()?;
        let notes = self.notes().iter().cloned().chain(dropped.into_note(CopyNote::EmptyXattrs)).collect();
        Ok((layer, notes))
    }

    /// Returns the path of a file of a source.
    fn path_of(&self, place: Place, source: u32, name: &[u8]) -> PathBuf {
        let root = &self.sources[source as usize].path;
        let place = match place {
            Place::Source => return root.clone(),
            Place::Path(path) => return self.paths[path as usize].clone(),
            Place::In(place) => place,
        };
        let mut names = vec![name];
        let mut here = &self.places[place as usize];
        while let Some(parent) = here.parent {
            names.push(&*here.name);
            here = &self.places[parent as usize];
        }
        names.iter().rev().fold(root.clone(), |path, name| path.join(as_path(name)))
    }
}

/// The first name of an inode, and its attributes.
type FirstName<'a> = (Box<[u8]>, &'a EntryAttributes);

/// The state of writing a layer.
struct Writing<'a> {
    plan: &'a CopyPlan,
    progress: Progress<'a>,
    /// The names of inodes with several names, by source and identity.
    names: HashMap<(u32, FileIdentity), Vec<FirstName<'a>>>,
    opener: Opener,
    buffer: Vec<u8>,
    /// The files that had extended attributes without a value.
    dropped: Counted,
}

impl<'a> Writing<'a> {
    fn new(plan: &'a CopyPlan, progress: Progress<'a>) -> Self {
        let (names, dropped) = (HashMap::new(), Counted::default());
        Self { plan, progress, names, opener: Opener::default(), buffer: vec![0; BUFFER], dropped }
    }

    /// Writes all entries.
    fn write(&mut self, tar: &mut TarWriter<impl Write>) -> Result<(), Failure> {
        let plan = self.plan;
        if let Some(attributes) = &plan.root_attributes {
            self.entry(tar, b"./", EntryKind::Directory, attributes, None)?;
        }
        visit(&plan.root, &mut Vec::new(), &mut |path, node| self.node(tar, path, node))
    }

    fn node(&mut self, tar: &mut TarWriter<impl Write>, path: &[u8], node: &'a Node) -> Result<(), Failure> {
        if let Some(inode) = node.kind.inode() {
            let names = self.names.entry((node.source, inode)).or_default();
            // Names with other attributes are other files in the image.
            match names.iter().find(|(_, attributes)| **attributes == node.attributes) {
                Some((target, _)) => {
                    let target = target.clone();
                    return self.entry(tar, path, EntryKind::HardLink { target: &target }, &node.attributes, None);
                }
                None => names.push((path.into(), &node.attributes)),
            }
        }
        let kind = match &node.kind {
            NodeKind::Directory { .. } => {
                let path = [path, b"/"].concat();
                return self.entry(tar, &path, EntryKind::Directory, &node.attributes, None);
            }
            NodeKind::File(file) => return self.file(tar, path, node, file),
            NodeKind::Link { target, .. } => EntryKind::SymbolicLink { target },
            NodeKind::Device { is_block: true, number, .. } => EntryKind::BlockDevice(*number),
            NodeKind::Device { is_block: false, number, .. } => EntryKind::CharacterDevice(*number),
            NodeKind::Pipe { .. } => EntryKind::Pipe,
            NodeKind::Whiteout => EntryKind::File { size: 0 },
        };
        self.entry(tar, path, kind, &node.attributes, None)
    }

    /// Writes a header.
    fn entry(
        &mut self,
        tar: &mut TarWriter<impl Write>,
        path: &[u8],
        kind: EntryKind<'_>,
        attributes: &EntryAttributes,
        xattrs: Option<Xattrs>,
    ) -> Result<(), Failure> {
        let EntryAttributes { uid, gid, mode, modified, .. } = *attributes;
        let mut xattrs = match kind {
            // A link has the attributes of its target.
            EntryKind::HardLink { .. } => Xattrs::new(),
            _ => xattrs.or_else(|| attributes.xattrs.as_deref().cloned()).unwrap_or_default(),
        };
        if xattrs.iter().any(|(_, value)| value.is_empty()) {
            self.dropped.add(as_path(path).into_owned());
            xattrs.retain(|(_, value)| !value.is_empty());
        }
        let (uid, gid) = (uid.into(), gid.into());
        let entry = TarEntry { path, kind, mode, uid, gid, modified, xattrs: &xattrs };
        tar.begin(&entry).map_err(|_| Failure::Store)
    }

    /// Writes a regular file.
    fn file(
        &mut self,
        tar: &mut TarWriter<impl Write>,
        path: &[u8],
        node: &'a Node,
        file: &SourceFile,
    ) -> Result<(), Failure> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let plan = self.plan;
        let shown = || plan.path_of(file.place, node.source, name);
        let changed = || Failure::Source(CopyError::Changed { path: shown() }.into());
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => changed(),
            _ => Failure::Source(Error::io("read", shown())(error)),
        };
        let source = &plan.sources[node.source as usize].path;
        let opened = self.opener.open(source, (&plan.places, &plan.paths), file.place, name).map_err(failed)?;
        let before = stat_file(&opened).map_err(failed)?;
        let is_same = before.kind == SourceKind::File
            && (before.identity, before.size, before.modified) == (file.identity, file.size, file.modified);
        if !is_same {
            return Err(changed());
        }
        let xattrs = self.xattrs(&opened, &node.attributes).map_err(failed)?;
        let mut reader = &opened;
        let mut left = file.size;
        // One byte more than the file has shows whether it has grown, without another call.
        let mut length = read_up_to(&mut reader, &mut self.buffer, left.saturating_add(1)).map_err(failed)?;
        if length as u64 > left {
            return Err(changed());
        }
        let kind = EntryKind::File { size: file.size };
        let buffer = std::mem::take(&mut self.buffer);
        let begun = self.entry(tar, path, kind, &node.attributes, Some(xattrs));
        self.buffer = buffer;
        begun?;
        loop {
            tar.write_all(&self.buffer[..length]).map_err(|_| Failure::Store)?;
            left -= length as u64;
            self.progress.add(length as u64);
            if left == 0 {
                break;
            }
            length = read_up_to(&mut reader, &mut self.buffer, left.saturating_add(1)).map_err(failed)?;
            if length == 0 || length as u64 > left {
                return Err(changed());
            }
        }
        let after = stat_file(&opened).map_err(failed)?;
        if (after.size, after.modified) != (file.size, file.modified) {
            return Err(changed());
        }
        tar.end_content(file.size).map_err(|_| Failure::Store)
    }

    /// Returns the extended attributes of a regular file, with the capabilities that it is given.
    fn xattrs(&self, file: &File, attributes: &EntryAttributes) -> io::Result<Xattrs> {
        let mut xattrs = xattrs_of_file(file, &self.plan.filter)?;
        for (name, value) in &mut xattrs {
            if **name == *CAPABILITY.as_bytes() {
                *value = portable(std::mem::take(value));
            }
        }
        if let Some(given) = &attributes.xattrs {
            xattrs.retain(|(name, _)| given.iter().all(|(other, _)| name != other));
            xattrs.extend(given.iter().cloned());
            xattrs.sort_unstable();
        }
        Ok(xattrs)
    }
}

/// Reads until the buffer is full, or `limit` bytes are read, or the file ends.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8], limit: u64) -> io::Result<usize> {
    let end = buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut length = 0;
    while length < end {
        match reader.read(&mut buffer[length..end]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
