//! The pool: the content of files, written while the layers are read, under names that have nothing to do with their paths.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use super::attributes::Maker;
use crate::error::{Error, FilesError, Result};
use crate::fs::made::{create_file, set_attributes};
use crate::interrupt::Interrupt;
use crate::rootfs::{Failure, LayerFile, attributes_of, shown_path};
use crate::tar::read_header::Header;

/// The bytes that are read and written at a time.
const PIECE: usize = 256 * 1024;

/// Files by layer and offset of their entries.
pub(super) struct Pool {
    directory: File,
    path: PathBuf,
    stored: HashSet<(u32, u64)>,
    buffer: Vec<u8>,
    interrupt: Interrupt,
    pub(super) bytes: u64,
}

impl Pool {
    /// Opens an empty directory.
    pub(super) fn new(path: PathBuf, interrupt: &Interrupt) -> Result<Self> {
        let directory = File::open(&path).map_err(Error::io("open", &path))?;
        let interrupt = interrupt.clone();
        Ok(Self { directory, path, stored: HashSet::new(), buffer: vec![0; PIECE], interrupt, bytes: 0 })
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Returns the name of a file.
    pub(super) fn name_of(layer: u32, offset: u64) -> String {
        format!("{layer}-{offset}")
    }

    pub(super) fn has(&self, layer: u32, offset: u64) -> bool {
        self.stored.contains(&(layer, offset))
    }

    /// Writes a file of a layer that is being read.
    ///
    /// # Errors
    ///
    /// [`FilesError::Sparse`]; those of reading the layer; [`Error::Io`].
    pub(super) fn store(
        &mut self,
        file: &LayerFile<'_>,
        content: &mut impl Read,
        maker: &mut Maker<'_>,
    ) -> Result<(), Failure> {
        self.write(file.layer, file.header, &mut file.begun.chain(content), maker)
    }

    /// Writes a file of a layer.
    pub(super) fn write(
        &mut self,
        layer: u32,
        header: &Header,
        content: &mut impl Read,
        maker: &mut Maker<'_>,
    ) -> Result<(), Failure> {
        if header.is_sparse() {
            return Err(Error::from(FilesError::Sparse { path: shown_path(&header.path) }).into());
        }
        let path = self.path.clone();
        let failed = || Error::io("write to", &path);
        let mut output = {
            let _section = self.interrupt.begin_section();
            create_file(self.directory.as_fd(), &Self::name_of(layer, header.start)).map_err(failed())?
        };
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => {
                    output.write_all(&self.buffer[..read]).map_err(failed())?;
                    self.bytes += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let attributes = attributes_of(header);
        let set = maker.with(&header.path, &attributes, false, |made, refused| set_attributes(&output, made, refused));
        set?.map_err(failed())?;
        self.stored.insert((layer, header.start));
        Ok(())
    }
}
