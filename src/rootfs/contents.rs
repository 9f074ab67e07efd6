//! The contents of the files of an image, to be read in any order: each layer is read once, from its beginning to its end,
//! and its files are wanted in the order of the merged tree.
//!
//! The first 64 MiB are kept in memory, all others in one file without a name. The content of files that upper layers hide
//! is not kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::image_files::{ImageFiles, shown_path};
use super::layer_tree::LayerFile;
use super::merge::MergedTree;
use super::node::{Node, NodeKind, Path as Place};
use super::placed::Carrier;
use super::read_layer::Failure;
use super::walk::Walk;
use crate::error::{Error, FilesError, Result};
use crate::fs::private_file;
use crate::interrupt::Interrupt;
use crate::metrics::Progress;
use crate::tar::read_header::Header;
use crate::view::content::read_exact_at;

/// The bytes that are kept in memory.
const IN_MEMORY: usize = 64 * 1024 * 1024;

/// The bytes that are read at a time.
const PIECE: usize = 256 * 1024;

/// Which contents are loaded, and where they are kept.
pub(crate) struct LoadContents<'a> {
    /// The positions of the layers: only these are read, and the tree is that of these alone.
    pub(crate) layers: Range<usize>,
    /// The directory of the temporary file.
    pub(crate) directory: &'a Path,
    pub(crate) interrupt: &'a Interrupt,
    /// Is called with the bytes that are read of the layers.
    pub(crate) progress: Progress<'a>,
}

/// The contents of the regular files of a merged tree, by layer and offset of their entries
/// ([`Node::layer`](super::Node), [`Node::offset`](super::Node)).
pub(crate) struct Contents {
    parts: HashMap<Carrier, Range<u64>>,
    /// Sparse files that are too large, with their sizes.
    sparse: HashMap<Carrier, u64>,
    kept: Kept,
    buffer: Vec<u8>,
}

impl Contents {
    /// Begins without contents. The directory is that of the temporary file.
    pub(crate) fn new(directory: &Path, interrupt: &Interrupt) -> Self {
        Self::keeping(directory, interrupt, IN_MEMORY)
    }

    fn keeping(directory: &Path, interrupt: &Interrupt, in_memory: usize) -> Self {
        let kept = Kept::new(directory, interrupt, in_memory);
        Self { parts: HashMap::new(), sparse: HashMap::new(), kept, buffer: vec![0; PIECE] }
    }

    /// Reads layers, verifies them, and keeps the contents of all files of the merged tree. Returns the tree, too.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`]; [`FilesError::Sparse`]; [`Error::Io`] if the temporary file cannot be written.
    pub(crate) fn load(files: &mut ImageFiles, options: &LoadContents<'_>) -> Result<(MergedTree, Self)> {
        let mut contents = Self::new(options.directory, options.interrupt);
        let layers = options.layers.clone();
        let tree = files.tree_of(layers, options.progress, |file, content| contents.store(file, content))?;
        let mut wanted = Vec::new();
        let mut walk = Walk::at(tree.root(), &Place::new());
        while let Some(node) = walk.current {
            if matches!(node.kind, NodeKind::File { .. }) {
                contents.check(&walk.path, node)?;
                wanted.push((node.layer, node.offset));
            }
            walk.advance();
        }
        contents.complete(files, wanted)?;
        Ok((tree, contents))
    }

    /// Keeps the content of a file of a layer that is being read.
    ///
    /// # Errors
    ///
    /// Those of reading the layer; [`Error::Io`] if the temporary file cannot be written.
    pub(super) fn store(&mut self, file: LayerFile<'_>, content: &mut dyn Read) -> Result<(), Failure> {
        let LayerFile { layer, header, begun, .. } = file;
        self.keep(layer, header, &mut begun.chain(content))
    }

    /// Checks that a file of the tree is not a sparse one that is too large.
    ///
    /// # Errors
    ///
    /// [`FilesError::Sparse`].
    pub(super) fn check(&self, path: &[u8], node: &Node) -> Result<()> {
        match self.sparse.get(&(node.layer, node.offset)) {
            Some(size) => Err(FilesError::Sparse { path: shown_path(path), size: *size }.into()),
            None => Ok(()),
        }
    }

    /// Keeps the contents of files that are not kept yet: hard links whose targets are found through links of lower layers.
    /// Their layers were verified; they are read again.
    ///
    /// # Errors
    ///
    /// [`FilesError::Sparse`]; [`Error::Io`].
    pub(super) fn complete(&mut self, files: &ImageFiles, wanted: impl IntoIterator<Item = Carrier>) -> Result<()> {
        let mut missing: BTreeMap<u32, HashSet<u64>> = BTreeMap::new();
        for key in wanted {
            if !self.parts.contains_key(&key) {
                missing.entry(key.0).or_default().insert(key.1);
            }
        }
        for (layer, offsets) in missing {
            files.read_again(layer, &offsets, |header, content| {
                if header.is_too_sparse() {
                    return Err(FilesError::Sparse { path: shown_path(&header.path), size: header.size }.into());
                }
                self.keep(layer, header, content).map_err(|failure| match failure {
                    Failure::Work(error) => error,
                    Failure::Layer(error) => Error::io("read", files.path())(error),
                })
            })?;
        }
        self.kept.finish();
        Ok(())
    }

    /// Returns a reader of the content of a file of the tree.
    pub(crate) fn reader(&self, layer: u32, offset: u64) -> ContentsReader<'_> {
        let part = self.parts.get(&(layer, offset)).cloned();
        // All files of the tree are there.
        ContentsReader { kept: &self.kept, part: part.unwrap_or_default() }
    }

    /// Returns the directory of the temporary file, for errors.
    pub(crate) fn directory(&self) -> &Path {
        &self.kept.directory
    }

    /// Keeps the content of a file.
    fn keep(&mut self, layer: u32, header: &Header, content: &mut dyn Read) -> Result<(), Failure> {
        let key = (layer, header.start);
        if header.is_too_sparse() {
            self.sparse.insert(key, header.size);
            return Ok(());
        }
        let start = self.kept.length;
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => self.kept.append(&self.buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.parts.insert(key, start..self.kept.length);
        Ok(())
    }
}

/// Bytes that are appended and then read in any order: the first ones in memory, the others in a file without a name.
struct Kept {
    memory: Vec<u8>,
    in_memory: usize,
    file: Option<File>,
    length: u64,
    directory: PathBuf,
    interrupt: Interrupt,
}

impl Kept {
    fn new(directory: &Path, interrupt: &Interrupt, in_memory: usize) -> Self {
        let (directory, interrupt) = (directory.to_owned(), interrupt.clone());
        Self { memory: Vec::new(), in_memory, file: None, length: 0, directory, interrupt }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let room = self.in_memory - self.memory.len();
        let mut here = room.min(bytes.len());
        if here > 0 && self.memory.try_reserve(here).is_err() {
            (here, self.in_memory) = (0, self.memory.len());
        }
        self.memory.extend_from_slice(&bytes[..here]);
        self.length += bytes.len() as u64;
        if here == bytes.len() {
            return Ok(());
        }
        let failed = || Error::io("write to", &self.directory);
        let file = match self.file.take() {
            // Work that was abandoned does not fill the disk.
            Some(file) => self.interrupt.keep(file),
            None => private_file(&self.directory, &self.interrupt).map_err(failed())?,
        };
        (&file).write_all(&bytes[here..]).map_err(failed())?;
        self.file = Some(file);
        Ok(())
    }

    /// Gives back the memory that is not needed.
    fn finish(&mut self) {
        self.memory.shrink_to_fit();
    }

    /// Reads some bytes from a place.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let in_memory = self.memory.len() as u64;
        if at < in_memory {
            let memory = &self.memory[usize::try_from(at).expect("memory has addresses")..];
            let length = memory.len().min(buffer.len());
            buffer[..length].copy_from_slice(&memory[..length]);
            return Ok(length);
        }
        let Some(file) = &self.file else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        read_exact_at(file, buffer, at - in_memory)?;
        Ok(buffer.len())
    }
}

/// Reads the content of a file.
pub(crate) struct ContentsReader<'a> {
    kept: &'a Kept,
    part: Range<u64>,
}

impl Read for ContentsReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.part.end - self.part.start).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        let read = self.kept.read_at(&mut buffer[..length], self.part.start)?;
        self.part.start += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_memory_in_a_file_and_across_both_are_read_in_any_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let interrupt = Interrupt::default();
        for in_memory in [0, 1, 5, 6, 100] {
            let mut kept = Kept::new(directory.path(), &interrupt, in_memory);
            for piece in [&b"0"[..], b"", b"12345", b"678", b"9"] {
                kept.append(piece).expect("kept");
            }
            assert_eq!(kept.file.is_some(), in_memory < 10, "{in_memory}");
            for part in [7..10, 0..10, 3..8, 4..4, 9..10, 0..1] {
                let expected = &b"0123456789"[part.start as usize..part.end as usize];
                let mut read = Vec::new();
                ContentsReader { kept: &kept, part }.read_to_end(&mut read).expect("read");
                assert_eq!(read, expected, "{in_memory}");
            }
        }
        // A file without a name leaves nothing.
        assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 0);
    }
}
