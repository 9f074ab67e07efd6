//! The contents of the files of an image, to be read in any order after its layers were read once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::covered::Carrier;
use super::image_files::{ImageFiles, shown_path};
use super::layer_tree::LayerFile;
use super::read_layer::Failure;
use crate::compress::BUFFER;
use crate::error::{Error, FilesError, Result};
use crate::fs::private_file;
use crate::interrupt::Interrupt;
use crate::tar::read_header::Header;

/// So many bytes of contents are kept in memory, and all further ones in a temporary file.
const IN_MEMORY: u64 = 64 * 1024 * 1024;

/// The contents of files. Beyond 64 MiB they are in a temporary file without a name.
pub(crate) struct Contents {
    kept: HashMap<Carrier, Kept>,
    in_memory: u64,
    file: Option<File>,
    /// The size of that file.
    end: u64,
    directory: PathBuf,
    interrupt: Interrupt,
    buffer: Vec<u8>,
}

/// The content of a file.
enum Kept {
    Memory(Box<[u8]>),
    File {
        at: u64,
        size: u64,
    },
    /// A sparse file, whose bytes in the tar are not its content.
    Sparse(String),
}

impl Contents {
    /// Begins without contents. The directory is that of the temporary file.
    pub(crate) fn new(directory: impl Into<PathBuf>, interrupt: &Interrupt) -> Self {
        Self {
            kept: HashMap::new(),
            in_memory: 0,
            file: None,
            end: 0,
            directory: directory.into(),
            interrupt: interrupt.clone(),
            buffer: Vec::new(),
        }
    }

    /// Keeps the content of a file of a layer that is being read.
    ///
    /// # Errors
    ///
    /// Those of reading the layer; [`Error::Io`].
    pub(crate) fn store(&mut self, file: &LayerFile<'_>, content: &mut impl Read) -> Result<(), Failure> {
        self.keep((file.layer, file.header.start), file.header, &mut file.begun.chain(content))
    }

    fn keep(&mut self, carrier: Carrier, header: &Header, content: &mut impl Read) -> Result<(), Failure> {
        if header.is_sparse() {
            self.kept.insert(carrier, Kept::Sparse(shown_path(&header.path)));
            return Ok(());
        }
        if self.in_memory + header.size <= IN_MEMORY {
            let mut bytes = Vec::with_capacity(usize::try_from(header.size).unwrap_or(0));
            content.read_to_end(&mut bytes)?;
            self.in_memory += bytes.len() as u64;
            self.kept.insert(carrier, Kept::Memory(bytes.into()));
            return Ok(());
        }
        let failed = || Error::io("write a temporary file in", &self.directory);
        if self.file.is_none() {
            self.file = Some(private_file(&self.directory, &self.interrupt).map_err(failed())?);
            self.buffer = vec![0; BUFFER];
        }
        let file = self.file.as_mut().expect("it was made");
        let at = self.end;
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => {
                    file.write_all(&self.buffer[..read]).map_err(failed())?;
                    self.end += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.kept.insert(carrier, Kept::File { at, size: self.end - at });
        Ok(())
    }

    /// Keeps the contents of files that are not kept yet: hard links to files that upper layers hide. Their layers are read
    /// again.
    ///
    /// # Errors
    ///
    /// Those of reading a layer; [`Error::Io`].
    pub(crate) fn complete(&mut self, files: &ImageFiles, wanted: impl Iterator<Item = Carrier>) -> Result<()> {
        let mut missing: HashMap<u32, HashSet<u64>> = HashMap::new();
        for carrier in wanted.filter(|carrier| !self.kept.contains_key(carrier)) {
            missing.entry(carrier.0).or_default().insert(carrier.1);
        }
        for (layer, offsets) in missing {
            files.read_again(layer, &offsets, |header, mut content| {
                self.keep((layer, header.start), header, &mut content).map_err(|failure| match failure {
                    Failure::Work(error) => error,
                    Failure::Layer(error) => Error::io("read", files.path())(error),
                })
            })?;
        }
        Ok(())
    }

    /// Writes the content of a file that is kept.
    ///
    /// # Errors
    ///
    /// [`FilesError::Sparse`]; [`Error::Io`] for the temporary file; `failed` makes the error of the writer.
    pub(crate) fn write(
        &mut self,
        carrier: Carrier,
        writer: &mut dyn Write,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<()> {
        match self.kept.get(&carrier).expect("the contents are complete") {
            Kept::Memory(bytes) => writer.write_all(bytes).map_err(failed),
            Kept::Sparse(path) => Err(FilesError::Sparse { path: path.clone() }.into()),
            Kept::File { at, size } => {
                let read = || Error::io("read a temporary file in", &self.directory);
                let file = self.file.as_mut().expect("it was made");
                file.seek(SeekFrom::Start(*at)).map_err(read())?;
                let mut left = *size;
                while left > 0 {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                    file.read_exact(&mut self.buffer[..length]).map_err(read())?;
                    writer.write_all(&self.buffer[..length]).map_err(&failed)?;
                    left -= length as u64;
                }
                Ok(())
            }
        }
    }
}
