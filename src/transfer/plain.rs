//! The bytes of the tar in an archive: the file itself if the tar can be read in place, else a copy.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::compress::{BUFFER, Detected, Encoding, Remembering, bound_of, bounded_padded_decoder, peek};
use crate::error::{Error, Result};
use crate::fs::input::open_input;
use crate::fs::private_file;
use crate::tar::header_fields::looks_like_tar;
use crate::transfer::load::{LoadOptions, not_an_archive};
use crate::view::content::Content;

/// The number of bytes read at a time.
const PIECE: usize = 1024 * 1024;

/// The two blocks of zeros at the end of a tar.
const END: [u8; 1024] = [0; 1024];

/// The tar in an archive.
pub(crate) struct Plain {
    pub(crate) content: Content,
}

impl Plain {
    pub(crate) fn open(path: &Path, options: &LoadOptions<'_>) -> Result<Self> {
        let (file, size) = open_input(path)?;
        let Some(size) = size else { return Self::from_reader(path, file, None, options) };
        let (sight, reader) = peek(&file, looks_like_tar).map_err(Error::io("read", path))?;
        if sight.encoding != Encoding::Identity {
            return Self::copy(path, sight, reader, Some(size), options);
        }
        check(path, sight)?;
        drop(reader);
        Ok(Self { content: Content::within(Arc::new(file), 0, size) })
    }

    pub(crate) fn from_reader(
        path: &Path,
        reader: impl Read,
        size: Option<u64>,
        options: &LoadOptions<'_>,
    ) -> Result<Self> {
        let (sight, reader) = peek(reader, looks_like_tar).map_err(Error::io("read", path))?;
        Self::copy(path, sight, reader, size, options)
    }

    fn copy(
        path: &Path,
        sight: Detected,
        reader: impl Read,
        size: Option<u64>,
        options: &LoadOptions<'_>,
    ) -> Result<Self> {
        let encoding = sight.encoding;
        check(path, sight)?;
        let mut source = Remembering::new(reader, |bytes| {
            options.progress.add(bytes.len() as u64);
        });
        let broken = |source: io::Error| match bound_of(&source) {
            Some(bound) => Error::BeyondBound { path: path.to_owned(), bound },
            None => Error::CorruptStream { path: path.to_owned(), encoding, source },
        };
        let stored = BufReader::with_capacity(BUFFER, &mut source);
        let copied = bounded_padded_decoder(encoding, stored, size, options.bounds)
            .map_err(&broken)
            .and_then(|mut stream| Self::keep(|buffer| read(&mut stream, buffer).map_err(&broken), options));
        // If the input failed, its error is the cause, not the error of the decompressor.
        match source.into_failure() {
            Some(failure) => Err(Error::io("read", path)(failure)),
            None => copied,
        }
    }

    /// Keeps the tar in memory, or all of it in a file if it exceeds the threshold or the available memory.
    fn keep(mut read: impl FnMut(&mut [u8]) -> Result<usize>, options: &LoadOptions<'_>) -> Result<Self> {
        let mut memory: Vec<u8> = Vec::new();
        let mut buffer = vec![0; PIECE];
        let mut length = 0;
        while length <= options.memory_threshold && memory.try_reserve(PIECE).is_ok() {
            let read = read(&mut buffer)?;
            if read == 0 {
                memory.shrink_to_fit();
                return Ok(Self { content: Content::in_memory(memory) });
            }
            memory.extend_from_slice(&buffer[..read]);
            length += read as u64;
            // Zeros at the start are the end of a tar: it is empty, however many zeros follow.
            if memory.len() >= END.len() && memory[..END.len()] == END {
                memory.truncate(END.len());
                return Ok(Self { content: Content::in_memory(memory) });
            }
        }
        let parent = options.spill_directory.clone().unwrap_or_else(std::env::temp_dir);
        let failed = || Error::io("write to", &parent);
        // The archive may be readable for this user only, and so must be its copy.
        let mut file = private_file(&parent, &options.interrupt).map_err(failed())?;
        file.write_all(&memory).map_err(failed())?;
        drop(memory);
        loop {
            // Work that was abandoned does not fill the disk.
            file = options.interrupt.keep(file);
            let read = read(&mut buffer)?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).map_err(failed())?;
            length += read as u64;
        }
        Ok(Self { content: Content::within(Arc::new(file), 0, length) })
    }
}

/// Checks by its first bytes that the archive holds a tar.
fn check(path: &Path, sight: Detected) -> Result<()> {
    let Detected { encoding, is_tar, is_empty, flaw } = sight;
    match flaw {
        _ if is_empty => Err(Error::EmptyFile { path: path.to_owned() }),
        // A flaw after a valid header is reported later, when it is reached again.
        _ if is_tar => Ok(()),
        Some(source) => Err(Error::CorruptStream { path: path.to_owned(), encoding, source }),
        None if encoding == Encoding::Identity => Err(not_an_archive(path, "it is not a tar")),
        None => Err(not_an_archive(path, format!("what is compressed with {} in it is not a tar", encoding.name()))),
    }
}

/// Reads until the buffer is full or the stream ends.
fn read(stream: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match stream.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
