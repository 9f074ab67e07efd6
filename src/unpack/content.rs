//! The pool: the content of files, written while the layers are read, under names that have nothing to do with their paths.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::thread;

use super::attributes::Rules;
use super::pool_directory::{Key, PoolDirectory};
use super::shelves::{OnShelf, OpenShelf, Shelves};
use super::small_files::{LARGEST, SmallFiles, write_batches};
use crate::error::{Error, Result};
use crate::fs::made::Refused;
use crate::interrupt::Interrupt;
use crate::rootfs::{Attributes, Failure, LayerFile, attributes_of};
use crate::tar::read_header::Header;
use crate::tar::reader::TarReader;
use crate::workers::crew::{Working, worker};

/// The bytes that are read and written at a time.
const PIECE: usize = 256 * 1024;

/// Files by layer and offset of their entries. Those of the whole tree of an image stand on shelves as far as possible.
pub(super) struct Pool {
    directory: PoolDirectory,
    catalog: Catalog,
    shelves: Option<Shelves>,
    /// The attributes that files did not get.
    refused: Refused,
}

/// The files of a pool.
#[derive(Default)]
struct Catalog {
    /// The files that were written, with their places on shelves.
    stored: HashMap<Key, Option<OnShelf>>,
    /// Files that cannot be written. That is an error only if the tree has them.
    unwritable: HashMap<Key, Error>,
}

/// The fate of a file on a shelf.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stands where the tree has it.
    Stays,
    /// The tree has it elsewhere, or in several places.
    IsMoved,
    /// The tree does not have it.
    IsDeleted,
}

/// A pool that takes files.
pub(super) struct Filling<'p> {
    directory: &'p PoolDirectory,
    catalog: &'p mut Catalog,
    shelves: Option<&'p mut Shelves>,
    open: OpenShelf,
    rules: &'p Rules<'p>,
    refused: Refused,
    buffer: Vec<u8>,
    /// The files that another thread writes, if there is one.
    small: Option<SmallFiles>,
}

impl Pool {
    /// Takes an open, empty directory. Errors name files of the destination.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn new(directory: File, destination: &Path, interrupt: &Interrupt) -> Result<Self> {
        let directory = PoolDirectory::new(directory, destination, interrupt)?;
        Ok(Self { directory, catalog: Catalog::default(), shelves: None, refused: Refused::default() })
    }

    /// Lets files stand on shelves.
    pub(super) fn with_shelves(self) -> Self {
        Self { shelves: Some(Shelves::default()), ..self }
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Returns whether a file was written, or cannot be.
    pub(super) fn knows(&self, layer: u32, offset: u64) -> bool {
        let (key, Catalog { stored, unwritable }) = ((layer, offset), &self.catalog);
        stored.contains_key(&key) || unwritable.contains_key(&key)
    }

    /// Takes the error for which a file was not written.
    pub(super) fn take_error(&mut self, layer: u32, offset: u64) -> Option<Error> {
        self.catalog.unwritable.remove(&(layer, offset))
    }

    /// Returns the shelf that becomes a directory of the tree.
    pub(super) fn shelf_of(&self, path: &[u8]) -> Option<u32> {
        self.shelves.as_ref()?.of_directory(path)
    }

    /// Returns the place of a file on a shelf, if it has one.
    pub(super) fn on_shelf(&self, layer: u32, offset: u64) -> Option<&OnShelf> {
        self.catalog.stored.get(&(layer, offset))?.as_ref()
    }

    /// Takes files off their shelves that do not stay there.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn clear_shelves(&mut self, fate: impl Fn(Key) -> Fate) -> Result<()> {
        let mut gone = Vec::new();
        for (key, place) in &mut self.catalog.stored {
            let fate = fate(*key);
            if fate != Fate::Stays {
                gone.extend(place.take().map(|place| (place, *key, fate)));
            }
        }
        // Each shelf is opened once.
        gone.sort_unstable_by_key(|(place, ..)| place.shelf);
        let mut open = OpenShelf::default();
        gone.iter()
            .try_for_each(|(place, key, fate)| self.directory.take_off(*key, place, *fate == Fate::IsMoved, &mut open))
    }

    /// Returns the attributes that the files did not get.
    pub(super) fn refused(&self) -> Refused {
        self.refused
    }

    /// Calls a function that stores files. Another thread writes the small ones meanwhile, if there is one. When this returns
    /// without an error, all are written.
    ///
    /// # Errors
    ///
    /// Those of writing the files; that of the function.
    pub(super) fn fill<T>(&mut self, rules: &Rules<'_>, work: impl FnOnce(&mut Filling<'_>) -> Result<T>) -> Result<T> {
        let Self { directory, catalog, shelves, refused } = self;
        let directory = &*directory;
        thread::scope(|scope| {
            let (small, writing) = match worker(scope) {
                Ok(writer) => {
                    let (small, batches) = SmallFiles::new();
                    (Some(small), Some(writer.start(move || write_batches(&batches, directory, rules))))
                }
                Err(_) => (None, None),
            };
            let mut filling = Filling {
                directory,
                catalog,
                shelves: shelves.as_mut(),
                open: OpenShelf::default(),
                rules,
                refused: Refused::default(),
                buffer: vec![0; PIECE],
                small,
            };
            let done = work(&mut filling);
            refused.add(filling.refused);
            // The other thread ends after the last file.
            drop(filling);
            // Its error is the cause of one of the function.
            let written = writing.map(Working::join).transpose()?.unwrap_or_default();
            refused.add(written.refused);
            catalog.stored.extend(written.without_shelf.into_iter().map(|key| (key, None)));
            done
        })
    }
}

impl Filling<'_> {
    /// Writes a file of a layer that is being read.
    ///
    /// # Errors
    ///
    /// Those of reading the layer; [`Error::Io`].
    pub(super) fn store(
        &mut self,
        file: &LayerFile<'_>,
        content: &mut TarReader<&mut dyn Read>,
    ) -> Result<(), Failure> {
        self.write((file.layer, file.header), Some(file.place), file.begun, content)
    }

    /// Writes a file of a layer, of which the beginning was read already. It gets a place on a shelf if its path is given.
    ///
    /// # Errors
    ///
    /// Those of [`Filling::store`].
    pub(super) fn write(
        &mut self,
        (layer, header): (u32, &Header),
        path: Option<&[Box<[u8]>]>,
        begun: &[u8],
        content: &mut TarReader<&mut dyn Read>,
    ) -> Result<(), Failure> {
        let key = (layer, header.start);
        let attributes = attributes_of(header);
        if let Err(error) = self.rules.owner_of(&header.path, &attributes) {
            self.catalog.unwritable.insert(key, error);
            return Ok(());
        }
        let place = self.place(path);
        self.catalog.stored.insert(key, place.clone());
        match &mut self.small {
            Some(small) if attributes.size <= LARGEST && !header.is_sparse() => {
                Ok(small.take((key, place), &header.path, attributes, begun, content)?)
            }
            _ => self.write_here((key, place), &header.path, &attributes, begun, content),
        }
    }

    /// Returns a place on a shelf. A file without one is moved to the tree by itself.
    fn place(&mut self, path: Option<&[Box<[u8]>]>) -> Option<OnShelf> {
        self.shelves.as_mut()?.place(self.directory.as_fd(), path?, &self.directory.interrupt).ok()?
    }

    /// Writes a file of any size on this thread. The holes of a sparse file are holes of the file.
    fn write_here(
        &mut self,
        (key, place): (Key, Option<OnShelf>),
        path: &[u8],
        attributes: &Attributes,
        begun: &[u8],
        content: &mut TarReader<&mut dyn Read>,
    ) -> Result<(), Failure> {
        let rules = self.rules;
        rules.with(path, attributes, |made| {
            let failed = || self.directory.failed("write", path);
            let mut new = {
                let _section = self.directory.interrupt.begin_section();
                self.directory.create(key, path, (place.as_ref(), &mut self.open), made)?
            };
            if !new.is_on_shelf {
                self.catalog.stored.insert(key, None);
            }
            let output = &mut new.file;
            output.write_all(begun).map_err(failed())?;
            let mut ends_with_hole = false;
            loop {
                let hole = content.skip_hole();
                if hole > 0 {
                    let hole = i64::try_from(hole).map_err(|_| io::ErrorKind::FileTooLarge.into());
                    hole.and_then(|hole| output.seek(SeekFrom::Current(hole))).map_err(failed())?;
                    ends_with_hole = true;
                }
                match content.read(&mut self.buffer) {
                    Ok(0) => break,
                    Ok(read) => output.write_all(&self.buffer[..read]).map_err(failed())?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
                ends_with_hole = false;
            }
            if ends_with_hole {
                output.set_len(attributes.size).map_err(failed())?;
            }
            Ok(self.directory.finish(&new, path, &mut self.refused)?)
        })?
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;
    use crate::tar::write::TarWriter;
    use crate::tar::written_entry::{EntryKind, TarEntry};
    use crate::unpack::UnpackOptions;
    use crate::unpack::attributes::Maker;
    use crate::unpack::pool_directory::name_of;
    use crate::workers::crew::tests::with_threads;

    /// The sizes of files: small ones that fill several batches, and some that are not small.
    fn sizes() -> Vec<usize> {
        let largest = LARGEST as usize;
        let few = [0, 1, largest, largest + 1, 3 * largest];
        few.into_iter().chain((0..600).map(|at| at * 17)).collect()
    }

    fn content(at: usize, size: usize) -> Vec<u8> {
        (0..size).map(|byte| (byte + at) as u8).collect()
    }

    /// Writes files to the pool in a directory.
    fn fill(directory: &Path) -> Result<Vec<u64>> {
        let mut tar = TarWriter::new(Vec::new());
        for (at, size) in sizes().into_iter().enumerate() {
            let kind = EntryKind::File { size: size as u64 };
            let path = format!("f{at}");
            let mode = if at % 2 == 0 { 0o640 } else { 0o555 };
            let entry =
                TarEntry { path: path.as_bytes(), kind, mode, uid: 0, gid: 0, modified: at as i64, xattrs: &[] };
            tar.file(&entry, &content(at, size)[..]).expect("written");
        }
        let tar = tar.finish().expect("written");
        let mut tar = tar.as_slice();
        let mut reader = TarReader::new(&mut tar as &mut dyn Read);
        let options = UnpackOptions::default();
        let maker = Maker::new(&options)?;
        let opened = File::open(directory).expect("a directory");
        let mut pool = Pool::new(opened, Path::new("out"), &Interrupt::default())?;
        pool.fill(&maker.rules, |filling| {
            let mut offsets = Vec::new();
            while let Some(header) = reader.next().expect("a tar") {
                offsets.push(header.start);
                let head = reader.head((offsets.len() % 3).min(header.size as usize)).expect("read");
                filling.write((7, &header), None, &head, &mut reader).map_err(|failure| match failure {
                    Failure::Work(error) => error,
                    Failure::Layer(error) => Error::io("read", directory)(error),
                })?;
            }
            Ok(offsets)
        })
    }

    #[test]
    fn files_of_all_sizes_are_complete_with_and_without_another_thread() {
        for threads in [0, 1] {
            let directory = tempfile::tempdir().expect("a directory");
            let offsets = with_threads(threads, || fill(directory.path())).expect("filled");
            for (at, (offset, size)) in offsets.iter().zip(sizes()).enumerate() {
                let path = directory.path().join(name_of((7, *offset)));
                assert!(fs::read(&path).expect("there") == content(at, size), "{threads} {at}");
                let metadata = fs::metadata(&path).expect("there");
                let mode = if at % 2 == 0 { 0o640 } else { 0o555 };
                assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (mode, at as i64));
            }
            assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), sizes().len());
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_the_error_of_either_thread() {
        let offsets = fill(tempfile::tempdir().expect("a directory").path()).expect("filled");
        // A small file, and one that is not.
        for taken in [30, 3] {
            for threads in [0, 1] {
                let directory = tempfile::tempdir().expect("a directory");
                fs::write(directory.path().join(name_of((7, offsets[taken]))), b"").expect("written");
                let error = with_threads(threads, || fill(directory.path())).expect_err("the name is taken");
                let expected = format!("failed to write out/f{taken}");
                assert_eq!(error.to_string(), expected, "{threads}");
            }
        }
    }
}
