//! The content of files of an image, in any order: each layer is read once for all its files.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::slice;

use super::image_files::ImageFiles;
use super::merge::TreeEntry;
use crate::compress::BUFFER;
use crate::error::{Error, Result};

/// The most bytes of files that are kept until it is their turn. Other files are read again then.
const KEPT: u64 = 16 * 1024 * 1024;

impl ImageFiles {
    /// Reads the content of a regular file, and calls a function with each piece of it.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::read_contents`].
    pub fn read_content<E: From<Error>>(
        &self,
        entry: &TreeEntry,
        mut piece: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read_contents(slice::from_ref(entry), |_, bytes| piece(bytes))
    }

    /// Reads the content of regular files, and calls a function with the position of each and each piece of it, in this order.
    /// A layer is read once for all files of it; again only for files of more than 16 MiB together that stand in another
    /// order there.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::expect_file`]; those of reading a layer; that of the function.
    pub fn read_contents<E: From<Error>>(
        &self,
        entries: &[TreeEntry],
        piece: impl FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        entries.iter().try_for_each(Self::expect_file)?;
        let mut order = Order { entries, next: 0, kept: HashMap::new(), room: KEPT, piece };
        while let Some(TreeEntry { layer, .. }) = entries.get(order.next) {
            let (before, wanted) = (order.next, order.wanted(*layer));
            let offsets: HashSet<u64> = wanted.keys().copied().collect();
            let mut buffer = vec![0; BUFFER];
            self.read_again(*layer, &offsets, |header, content| {
                let mut read = |buffer: &mut [u8]| loop {
                    match content.read(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        read => return read.map_err(Error::io("read", self.path())),
                    }
                };
                order.take(&wanted[&header.start], &mut buffer, &mut read)
            })?;
            if order.next == before {
                let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(Error::io("read", self.path())(gone).into());
            }
        }
        Ok(())
    }
}

/// Files that are handed on in an order.
struct Order<'a, P> {
    entries: &'a [TreeEntry],
    /// The position of the file whose turn it is.
    next: usize,
    /// The contents that were read before their turn.
    kept: HashMap<usize, Vec<u8>>,
    /// The bytes that may still be kept.
    room: u64,
    piece: P,
}

impl<E: From<Error>, P: FnMut(usize, &[u8]) -> Result<(), E>> Order<'_, P> {
    /// Returns the positions of the files of a layer that are still to be read, by the offsets of their entries.
    fn wanted(&self, layer: u32) -> HashMap<u64, Vec<usize>> {
        let mut wanted: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, entry) in self.entries.iter().enumerate().skip(self.next) {
            if entry.layer == layer && !self.kept.contains_key(&at) {
                wanted.entry(entry.offset).or_default().push(at);
            }
        }
        wanted
    }

    /// Takes the content of a file, which is wanted at some positions: hands it on if it is its turn, and keeps it for the
    /// others if there is room.
    fn take(
        &mut self,
        positions: &[usize],
        buffer: &mut [u8],
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<(), E> {
        let mut keeping = Vec::new();
        for at in positions.iter().filter(|at| **at != self.next) {
            if let Some(room) = self.room.checked_sub(self.entries[*at].size) {
                self.room = room;
                keeping.push(*at);
            }
        }
        let is_next = positions.contains(&self.next);
        if !is_next && keeping.is_empty() {
            return Ok(());
        }
        let mut content = Vec::new();
        loop {
            let length = read(buffer)?;
            if length == 0 {
                break;
            }
            if is_next {
                (self.piece)(self.next, &buffer[..length])?;
            }
            if !keeping.is_empty() {
                content.extend_from_slice(&buffer[..length]);
            }
        }
        self.kept.extend(keeping.into_iter().map(|at| (at, content.clone())));
        if is_next {
            self.next += 1;
            while let Some(content) = self.kept.remove(&self.next) {
                self.room += content.len() as u64;
                if !content.is_empty() {
                    (self.piece)(self.next, &content)?;
                }
                self.next += 1;
            }
        }
        Ok(())
    }
}
