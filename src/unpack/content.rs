//! The pool: the content of files, written while the layers are read, under names that have nothing to do with their paths.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::attributes::Maker;
use crate::error::{Error, Result};
use crate::fs::made::{create_file, set_attributes};
use crate::interrupt::Interrupt;
use crate::rootfs::{Failure, LayerFile, attributes_of};
use crate::tar::read_header::Header;
use crate::tar::reader::TarReader;
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
        content: &mut TarReader<&mut dyn Read>,
        maker: &mut Maker<'_>,
    ) -> Result<(), Failure> {
        self.write((file.layer, file.header), file.begun, content, maker)
    }

    /// Writes a file of a layer, of which the beginning was read already. The holes of a sparse file are holes of the file.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::store`].
    pub(super) fn write(
        &mut self,
        (layer, header): (u32, &Header),
        begun: &[u8],
        content: &mut TarReader<&mut dyn Read>,
        maker: &mut Maker<'_>,
    ) -> Result<(), Failure> {
        let key = (layer, header.start);
        let attributes = attributes_of(header);
        if let Err(error) = maker.owner_of(&header.path, &attributes) {
            self.unwritable.insert(key, error);
            return Ok(());
        }
        let failed = |action| Error::io(action, self.path.join(shown(&header.path)));
        let mut output = {
            let _section = self.interrupt.begin_section();
            create_file(self.directory.as_fd(), &Self::name_of(layer, header.start)).map_err(failed("write"))?
        };
        output.write_all(begun).map_err(failed("write"))?;
        let mut ends_with_hole = false;
        loop {
            let hole = content.skip_hole();
            if hole > 0 {
                let hole = i64::try_from(hole).map_err(|_| io::ErrorKind::FileTooLarge.into());
                hole.and_then(|hole| output.seek(SeekFrom::Current(hole))).map_err(failed("write"))?;
                ends_with_hole = true;
            }
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => output.write_all(&self.buffer[..read]).map_err(failed("write"))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            ends_with_hole = false;
        }
        if ends_with_hole {
            output.set_len(header.size).map_err(failed("write"))?;
        }
        let set = maker.with(&header.path, &attributes, |made, refused| set_attributes(&output, made, refused));
        set?.map_err(failed("set the attributes of"))?;
        self.stored.insert(key);
        Ok(())
    }
}
