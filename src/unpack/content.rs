//! The pool: the content of files, written while the layers are read, under names that have nothing to do with their paths.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::attributes::Maker;
use crate::error::{Error, FilesError, Result};
use crate::fs::made::{create_file, set_attributes};
use crate::interrupt::Interrupt;
use crate::rootfs::{Failure, LayerFile, attributes_of, shown_path};
use crate::tar::read_header::Header;
use crate::text::shown;

/// The bytes that are read and written at a time.
const PIECE: usize = 256 * 1024;

/// Files by layer and offset of their entries.
pub(super) struct Pool {
    directory: File,
    /// The destination, for errors.
    path: PathBuf,
    stored: HashSet<(u32, u64)>,
    /// Files that cannot be written. That is an error only if the tree has them.
    unwritable: HashMap<(u32, u64), Error>,
    buffer: Vec<u8>,
    interrupt: Interrupt,
}

impl Pool {
    /// Takes an open, empty directory. Errors name files of the destination.
    pub(super) fn new(directory: File, destination: &Path, interrupt: &Interrupt) -> Self {
        Self {
            directory,
            path: destination.to_owned(),
            stored: HashSet::new(),
            unwritable: HashMap::new(),
            buffer: vec![0; PIECE],
            interrupt: interrupt.clone(),
        }
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Returns the name of a file.
    pub(super) fn name_of(layer: u32, offset: u64) -> String {
        format!("{layer}-{offset}")
    }

    /// Returns whether a file was written, or cannot be.
    pub(super) fn knows(&self, layer: u32, offset: u64) -> bool {
        self.stored.contains(&(layer, offset)) || self.unwritable.contains_key(&(layer, offset))
    }

    /// Takes the error for which a file was not written.
    pub(super) fn take_error(&mut self, layer: u32, offset: u64) -> Option<Error> {
        self.unwritable.remove(&(layer, offset))
    }

    /// Writes a file of a layer that is being read.
    ///
    /// # Errors
    ///
    /// Those of reading the layer; [`Error::Io`].
    pub(super) fn store(
        &mut self,
        file: &LayerFile<'_>,
        content: &mut impl Read,
        maker: &mut Maker<'_>,
    ) -> Result<(), Failure> {
        self.write(file.layer, file.header, &mut file.begun.chain(content), maker)
    }

    /// Writes a file of a layer.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::store`].
    pub(super) fn write(
        &mut self,
        layer: u32,
        header: &Header,
        content: &mut impl Read,
        maker: &mut Maker<'_>,
    ) -> Result<(), Failure> {
        let key = (layer, header.start);
        let attributes = attributes_of(header);
        let possible = match header.is_sparse() {
            true => Err(FilesError::Sparse { path: shown_path(&header.path) }.into()),
            false => maker.owner_of(&header.path, &attributes).map(drop),
        };
        if let Err(error) = possible {
            self.unwritable.insert(key, error);
            return Ok(());
        }
        let failed = |action| Error::io(action, self.path.join(shown(&header.path)));
        let mut output = {
            let _section = self.interrupt.begin_section();
            create_file(self.directory.as_fd(), &Self::name_of(layer, header.start)).map_err(failed("write"))?
        };
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => output.write_all(&self.buffer[..read]).map_err(failed("write"))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let set = maker.with(&header.path, &attributes, false, |made, refused| set_attributes(&output, made, refused));
        set?.map_err(failed("set the attributes of"))?;
        self.stored.insert(key);
        Ok(())
    }
}
