//! Entries of layers that are written again in another place: the content of files whose names are removed.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};
use crate::fs::private_file;
use crate::layout::handle::Layout;
use crate::metrics::Progress;
use crate::rootfs::{Carrier, Failure, ImageFiles};
use crate::tar::header_fields::BLOCK;
use crate::tar::reader::TarReader;

/// Entries of layers, with their headers and their content. The content is in a temporary file without a name.
pub(super) struct Saved {
    file: Option<File>,
    entries: HashMap<Carrier, SavedEntry>,
}

struct SavedEntry {
    headers: Vec<u8>,
    at: u64,
    size: u64,
}

impl Saved {
    /// Saves the entries of files. Each of their layers is read once.
    pub(super) fn of(layout: &Layout, files: &ImageFiles, wanted: &HashSet<Carrier>) -> Result<Self> {
        let mut saved = Self { file: None, entries: HashMap::new() };
        if wanted.is_empty() {
            return Ok(saved);
        }
        let failed = || Error::io("write a temporary file in", layout.path());
        let mut file = private_file(layout.path(), layout.interrupt()).map_err(failed())?;
        let layers: HashSet<u32> = wanted.iter().map(|(layer, _)| *layer).collect();
        let mut end = 0;
        for layer in layers {
            files.read_tar(layer as usize, Progress::none(), |content| {
                let mut tar = TarReader::keeping_headers(content);
                while let Some(header) = tar.next()? {
                    if !wanted.contains(&(layer, header.start)) {
                        continue;
                    }
                    let headers = tar.raw_headers().to_vec();
                    copy(&mut tar, &mut file).map_err(|error| match error {
                        Copying::Read(error) => Failure::from(error),
                        Copying::Write(error) => failed()(error).into(),
                    })?;
                    saved.entries.insert((layer, header.start), SavedEntry { headers, at: end, size: header.size });
                    end += header.size;
                }
                Ok(())
            })?;
        }
        saved.file = Some(file);
        Ok(saved)
    }

    /// Writes an entry with headers that are changed. Returns whether it was saved.
    pub(super) fn write(
        &mut self,
        carrier: Carrier,
        change: impl FnOnce(&[u8]) -> Vec<u8>,
        writer: &mut dyn Write,
    ) -> io::Result<bool> {
        let (Some(entry), Some(file)) = (self.entries.get(&carrier), &mut self.file) else { return Ok(false) };
        writer.write_all(&change(&entry.headers))?;
        file.seek(SeekFrom::Start(entry.at))?;
        io::copy(&mut file.take(entry.size), writer)?;
        let padding =
            usize::try_from(entry.size.next_multiple_of(BLOCK as u64) - entry.size).expect("less than a block");
        writer.write_all(&[0; BLOCK][..padding])?;
        Ok(true)
    }
}

/// Why content could not be copied.
enum Copying {
    Read(io::Error),
    Write(io::Error),
}

fn copy(reader: &mut impl Read, writer: &mut impl Write) -> Result<(), Copying> {
    let mut buffer = vec![0; crate::compress::BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => writer.write_all(&buffer[..read]).map_err(Copying::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Copying::Read(error)),
        }
    }
}
