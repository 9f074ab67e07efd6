//! Compression on several threads, in constant memory.
//!
//! The calling thread reads blocks, workers compress them, and one thread writes the results in order. All queues are
//! short, so that no thread gets far ahead of the others.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::gzip::{self, BlockCompressor};
use crate::compress::encoding::{CompressFormat, Compression};
use crate::workers::pool::Pool;
use crate::workers::{crew, worker};

/// The number of bytes read at a time.
const BLOCK: usize = gzip::BLOCK;

/// The input size of a zstd job. Part of the format on disk. Also determines most of the memory use: two threads take
/// about 30 MiB.
const ZSTD_JOB: u32 = 2 * 1024 * 1024;

/// Why compression failed: in the compressor, or in `read` or `write`.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    Compressor(io::Error),
    Caller(E),
}

/// Compresses content.
///
/// `read` fills the buffer with the given number of bytes, or fewer at the end of the content. `write` is called with
/// the compressed bytes in order, on another thread. `clock` is called with the time that threads spent compressing.
pub(crate) fn compress<E: Send>(
    compression: Compression,
    jobs: usize,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    write: impl FnMut(&[u8]) -> Result<(), E> + Send,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    let mut block = Vec::new();
    read(&mut block, BLOCK).map_err(Failure::Caller)?;
    let alone = Alone::new(compression, jobs);
    match compression.format {
        // A small layer is compressed in less time than it takes to start a thread.
        CompressFormat::Gzip if block.len() == BLOCK => compress_gzip(alone, block, read, write, clock),
        _ => compress_alone(alone, block, read, write, clock),
    }
}

/// A block for a worker, and the channel for the result.
struct Job {
    block: Vec<u8>,
    is_last: bool,
    done: SyncSender<Vec<u8>>,
}

fn compress_gzip<E: Send>(
    alone: Alone,
    mut block: Vec<u8>,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E> + Send,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    let (level, jobs) = (alone.compression.level, alone.jobs);
    let (blocks, results) = (&Pool::default(), &Pool::default());
    let (work, queue) = sync_channel::<Job>(jobs);
    let queue = &Mutex::new(queue);
    // The results, in the order of the blocks. The capacity of this queue limits the number of blocks in progress.
    let (order, ordered) = sync_channel::<Receiver<Vec<u8>>>(jobs * 2);

    let compress = move || {
        let mut compressor = BlockCompressor::new(level);
        let next = || queue.lock().expect("nobody panics with the lock").recv();
        while let Ok(Job { block, is_last, done }) = next() {
            let start = Instant::now();
            let mut result = results.take();
            result.clear();
            compressor.compress(&block, is_last, &mut result);
            clock(start.elapsed());
            blocks.give(block);
            // The writer may have failed.
            let _ = done.send(result);
        }
    };

    thread::scope(|scope| {
        let Ok(writer) = worker(scope) else { return compress_alone(alone, block, read, write, clock) };
        if crew(scope, jobs, compress).is_empty() {
            return compress_alone(alone, block, read, write, clock);
        }
        let mut checksum = crc32fast::Hasher::new();
        let mut size = 0;
        let writer = writer.start(move || {
            write(&gzip::HEADER)?;
            for done in ordered {
                let result = done.recv().expect("workers end after their last block");
                write(&result)?;
                results.give(result);
            }
            Ok(write)
        });
        let read = loop {
            checksum.update(&block);
            size += block.len() as u64;
            let is_last = block.len() < BLOCK;
            let (done, result) = sync_channel(1);
            // Sending fails after an error of the writer.
            let is_over = order.send(result).is_err() || work.send(Job { block, is_last, done }).is_err();
            if is_over || is_last {
                break Ok(());
            }
            block = blocks.take();
            if let Err(error) = read(&mut block, BLOCK) {
                break Err(error);
            }
        };
        drop((order, work));
        let written = writer.join();
        // If one side fails, the other one ends early without an error.
        let mut write = read.and(written).map_err(Failure::Caller)?;
        write(&gzip::trailer(checksum.finalize(), size)).map_err(Failure::Caller)
    })
}

/// Compresses on the calling thread, beginning with the given block. zstd also uses threads of its own.
fn compress_alone<E>(
    mut alone: Alone,
    mut block: Vec<u8>,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    let mut result = Vec::new();
    loop {
        let start = Instant::now();
        alone.compress(&block, &mut result).map_err(Failure::Compressor)?;
        clock(start.elapsed());
        write(&result).map_err(Failure::Caller)?;
        if block.len() < BLOCK {
            return Ok(());
        }
        result.clear();
        read(&mut block, BLOCK).map_err(Failure::Caller)?;
    }
}

/// Compresses blocks one after the other.
struct Alone {
    compression: Compression,
    jobs: usize,
    stream: Option<Stream>,
}

/// The state of a stream after its first block.
enum Stream {
    Gzip { compressor: BlockCompressor, checksum: crc32fast::Hasher, size: u64 },
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Alone {
    fn new(compression: Compression, jobs: usize) -> Self {
        Self { compression, jobs, stream: None }
    }

    /// Begins a zstd stream with the given bytes, unless a stream has begun. Returns whether the bytes were consumed.
    /// zstd starts its threads here, ahead of the optional threads of the code that produces the content.
    fn begin(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Compression { format, level } = self.compression;
        let begins = format == CompressFormat::Zstd && self.stream.is_none() && !bytes.is_empty();
        if begins {
            self.stream = Some(Stream::Zstd(begun_zstd_encoder(level, self.jobs, bytes)?));
        }
        Ok(begins)
    }

    /// Compresses the next block and appends the output. A block shorter than [`BLOCK`] is the last.
    fn compress(&mut self, block: &[u8], result: &mut Vec<u8>) -> io::Result<()> {
        let Compression { format, level } = self.compression;
        let mut stream = match (self.stream.take(), format) {
            (Some(mut stream), _) => {
                if let Stream::Zstd(encoder) = &mut stream {
                    encoder.write_all(block)?;
                }
                stream
            }
            (None, CompressFormat::Gzip) => {
                result.extend(gzip::HEADER);
                let compressor = BlockCompressor::new(level);
                Stream::Gzip { compressor, checksum: crc32fast::Hasher::new(), size: 0 }
            }
            (None, CompressFormat::Zstd) => Stream::Zstd(begun_zstd_encoder(level, self.jobs, block)?),
        };
        let is_last = block.len() < BLOCK;
        match &mut stream {
            Stream::Gzip { compressor, checksum, size } => {
                compressor.compress(block, is_last, result);
                checksum.update(block);
                *size += block.len() as u64;
            }
            Stream::Zstd(encoder) => result.append(encoder.get_mut()),
        }
        match stream {
            stream if !is_last => self.stream = Some(stream),
            Stream::Gzip { checksum, size, .. } => result.extend(gzip::trailer(checksum.finalize(), size)),
            Stream::Zstd(encoder) => result.append(&mut encoder.finish()?),
        }
        Ok(())
    }
}

/// A writer that compresses on the calling thread. zstd also uses threads of its own. The output is the same as that of
/// [`compress`].
pub(crate) struct Compressing<W> {
    alone: Alone,
    block: Vec<u8>,
    result: Vec<u8>,
    writer: W,
}

impl<W: io::Write> Compressing<W> {
    pub(crate) fn new(compression: Compression, jobs: usize, writer: W) -> Self {
        Self { alone: Alone::new(compression, jobs), block: Vec::new(), result: Vec::new(), writer }
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.compress_block()?;
        self.writer.flush()
    }

    fn compress_block(&mut self) -> io::Result<()> {
        self.alone.compress(&self.block, &mut self.result)?;
        self.block.clear();
        self.writer.write_all(&self.result)?;
        self.result.clear();
        Ok(())
    }
}

impl<W: io::Write> io::Write for Compressing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.alone.begin(bytes)? {
            return Ok(bytes.len());
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.compress_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Creates an encoder and writes the first block to it, which starts its threads. Uses fewer threads if the system has
/// no more.
fn begun_zstd_encoder(level: u8, jobs: usize, first: &[u8]) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut jobs = jobs;
    loop {
        let mut encoder = zstd_encoder(level, jobs)?;
        match encoder.write_all(first) {
            Ok(()) => return Ok(encoder),
            Err(_) if jobs > 1 => jobs /= 2,
            // zstd reports a lack of threads as a lack of memory.
            Err(error) => return Err(no_thread().unwrap_or(error)),
        }
    }
}

/// Returns the error of starting a thread, if that fails.
fn no_thread() -> Option<io::Error> {
    let error = thread::scope(|scope| worker::<()>(scope).err())?;
    Some(io::Error::new(error.kind(), format!("no thread can be started: {error}")))
}

/// Creates an encoder whose output is the same for any number of threads. Without a thread of its own the output would
/// differ.
fn zstd_encoder(level: u8, jobs: usize) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level.into())?;
    encoder.include_checksum(true)?;
    encoder.multithread(u32::try_from(jobs).expect("jobs are few"))?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
    Ok(encoder)
}
