//! Small files, which another thread writes while the next ones are read: creating a file takes longer than reading it.

use std::io::{self, Read, Write};
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::attributes::Rules;
use super::pool_directory::{Key, PoolDirectory};
use super::shelves::{OnShelf, OpenShelf};
use crate::error::Result;
use crate::fs::made::Refused;
use crate::rootfs::Attributes;
use crate::tar::reader::TarReader;
use crate::workers::pool::Pool as Buffers;

/// The size of the largest small file.
pub(super) const LARGEST: u64 = 256 * 1024;

/// The bytes that a batch has room for.
const BATCH: usize = 1024 * 1024;

/// The most files of a batch.
const FILES: usize = 128;

/// The batches that can wait for the other thread.
const QUEUE: usize = 2;

/// Small files on their way to the thread that writes them.
pub(super) struct SmallFiles {
    batch: Batch,
    sender: SyncSender<Batch>,
    buffers: Arc<Buffers>,
}

/// Batches of small files.
pub(super) struct Batches {
    receiver: Receiver<Batch>,
    buffers: Arc<Buffers>,
}

/// The result of the other thread.
#[derive(Default)]
pub(super) struct Written {
    pub(super) refused: Refused,
    /// The files whose places on shelves were taken.
    pub(super) without_shelf: Vec<Key>,
}

#[derive(Default)]
struct Batch {
    content: Vec<u8>,
    /// The bytes of the content that are in use.
    length: usize,
    files: Vec<SmallFile>,
}

struct SmallFile {
    key: Key,
    path: Vec<u8>,
    place: Option<OnShelf>,
    attributes: Attributes,
    content: Range<usize>,
}

impl SmallFiles {
    pub(super) fn new() -> (Self, Batches) {
        let (sender, receiver) = sync_channel(QUEUE);
        let buffers = Arc::new(Buffers::default());
        let batches = Batches { receiver, buffers: Arc::clone(&buffers) };
        (Self { batch: Batch::default(), sender, buffers }, batches)
    }

    /// Reads a file, of which the beginning was read already.
    ///
    /// # Errors
    ///
    /// Those of reading; of kind `BrokenPipe` if the other thread has failed.
    pub(super) fn take(
        &mut self,
        (key, place): (Key, Option<OnShelf>),
        path: &[u8],
        attributes: Attributes,
        begun: &[u8],
        content: &mut TarReader<&mut dyn Read>,
    ) -> io::Result<()> {
        let most = usize::try_from(attributes.size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if self.batch.files.len() == FILES || self.batch.length + most > BATCH {
            self.send()?;
        }
        let Batch { content: buffer, length, files } = &mut self.batch;
        buffer.resize(BATCH, 0);
        let start = *length;
        buffer[start..start + begun.len()].copy_from_slice(begun);
        let end = start + most;
        content.read_exact(&mut buffer[start + begun.len()..end])?;
        *length = end;
        files.push(SmallFile { key, path: path.to_owned(), place, attributes, content: start..end });
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let batch = mem::replace(&mut self.batch, Batch { content: self.buffers.take(), ..Batch::default() });
        self.sender.send(batch).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for SmallFiles {
    /// Sends the last batch. If the other thread has failed, that is its error.
    fn drop(&mut self) {
        let _ = self.send();
    }
}

/// Writes small files until there are no more.
///
/// # Errors
///
/// That of the first file that cannot be written.
pub(super) fn write_batches(batches: &Batches, directory: &PoolDirectory, rules: &Rules<'_>) -> Result<Written> {
    let (mut written, mut open) = (Written::default(), OpenShelf::default());
    for batch in &batches.receiver {
        for SmallFile { key, path, place, attributes, content } in &batch.files {
            let _section = directory.interrupt.begin_section();
            rules.with(path, attributes, |made| {
                let mut new = directory.create(*key, path, (place.as_ref(), &mut open), made)?;
                if place.is_some() && !new.is_on_shelf {
                    written.without_shelf.push(*key);
                }
                new.file.write_all(&batch.content[content.clone()]).map_err(directory.failed("write", path))?;
                directory.finish(&new, path, &mut written.refused)
            })??;
        }
        batches.buffers.give(batch.content);
    }
    Ok(written)
}
