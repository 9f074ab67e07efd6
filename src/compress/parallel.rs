//! Compressing on several threads, at constant memory.
//!
//! The calling thread brings blocks, workers compress them, and one thread takes the results in the order of the blocks.
//! Every queue is short, so that none of them runs ahead of the others.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::gzip::{self, BlockCompressor};
use super::{CompressFormat, Compression};
use crate::workers::{crew, worker};

/// How many bytes are taken at a time.
const BLOCK: usize = gzip::BLOCK;

/// How many bytes of input a thread of zstd works on. Fixes bytes on disk, and most of the memory: two threads take
/// some 30 MiB.
const ZSTD_JOB: u32 = 2 * 1024 * 1024;

/// Why compressing ended early: the compressor failed, or what brings or takes the bytes did.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    Compressor(io::Error),
    Caller(E),
}

/// Compresses content.
///
/// `read` fills a buffer with the next bytes, of the given number or fewer at the end of the content.
/// `write` takes the compressed bytes in order, on a thread of its own. `clock` is told of the time that threads spend on
/// compressing.
pub(crate) fn compress<E: Send>(
    compression: Compression,
    jobs: usize,
    read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    write: impl FnMut(&[u8]) -> Result<(), E> + Send,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    match compression.format {
        CompressFormat::Gzip => compress_gzip(compression.level, jobs, read, write, clock).map_err(Failure::Caller),
        CompressFormat::Zstd => compress_zstd(compression.level, jobs, read, write, clock),
    }
}

/// Buffers that were used and can be used again: memory that is given back to the system and taken anew costs time.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// Returns a buffer with whatever it was used for, or an empty one.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.lock().expect("nobody panics with the lock").pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        self.0.lock().expect("nobody panics with the lock").push(buffer);
    }
}

/// A block on its way to a worker, and the way back.
struct Job {
    block: Vec<u8>,
    is_last: bool,
    done: SyncSender<Vec<u8>>,
}

fn compress_gzip<E: Send>(
    level: u8,
    jobs: usize,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E> + Send,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), E> {
    let mut block = Vec::new();
    read(&mut block, BLOCK)?;
    if block.len() < BLOCK {
        // A small layer is done before a thread would have started.
        return compress_gzip_alone(level, block, read, write, clock);
    }
    let (blocks, results) = (&Pool::default(), &Pool::default());
    let (work, queue) = sync_channel::<Job>(jobs);
    let queue = &Mutex::new(queue);
    // The results, in the order of the blocks: this queue bounds how many are under way.
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
            // The writer may have given up.
            let _ = done.send(result);
        }
    };

    thread::scope(|scope| {
        let Ok(writer) = worker(scope) else { return compress_gzip_alone(level, block, read, write, clock) };
        if crew(scope, jobs, compress).is_empty() {
            return compress_gzip_alone(level, block, read, write, clock);
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
            // If the writer has given up there is nobody to send to.
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
        // Whichever failed made the other end early, without an error of its own.
        let mut write = read.and(written)?;
        write(&gzip::trailer(checksum.finalize(), size))
    })
}

/// Compresses on this thread alone, from a first block on.
fn compress_gzip_alone<E>(
    level: u8,
    mut block: Vec<u8>,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), E> {
    let mut compressor = BlockCompressor::new(level);
    let (mut checksum, mut size) = (crc32fast::Hasher::new(), 0);
    let mut result = gzip::HEADER.to_vec();
    loop {
        let start = Instant::now();
        let is_last = block.len() < BLOCK;
        compressor.compress(&block, is_last, &mut result);
        clock(start.elapsed());
        checksum.update(&block);
        size += block.len() as u64;
        if is_last {
            result.extend(gzip::trailer(checksum.finalize(), size));
            return write(&result);
        }
        write(&result)?;
        result.clear();
        read(&mut block, BLOCK)?;
    }
}

fn compress_zstd<E>(
    level: u8,
    jobs: usize,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    let mut block = Vec::new();
    read(&mut block, BLOCK).map_err(Failure::Caller)?;
    let start = Instant::now();
    let mut encoder = begun_zstd_encoder(level, jobs, &block).map_err(Failure::Compressor)?;
    clock(start.elapsed());
    loop {
        write(encoder.get_ref()).map_err(Failure::Caller)?;
        encoder.get_mut().clear();
        if block.len() < BLOCK {
            break;
        }
        read(&mut block, BLOCK).map_err(Failure::Caller)?;
        let start = Instant::now();
        encoder.write_all(&block).map_err(Failure::Compressor)?;
        clock(start.elapsed());
    }
    let start = Instant::now();
    let rest = encoder.finish().map_err(Failure::Compressor)?;
    clock(start.elapsed());
    write(&rest).map_err(Failure::Caller)
}

/// Makes an encoder and gives it the first block: only then it starts its threads. Where the system does not have so many,
/// it takes fewer.
fn begun_zstd_encoder(level: u8, jobs: usize, first: &[u8]) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut jobs = jobs;
    loop {
        let mut encoder = zstd_encoder(level, jobs)?;
        match encoder.write_all(first) {
            Ok(()) => return Ok(encoder),
            Err(_) if jobs > 1 => jobs /= 2,
            // zstd takes a lack of threads for one of memory.
            Err(error) => return Err(no_thread().unwrap_or(error)),
        }
    }
}

/// Returns the error that starting a thread makes, if it does.
fn no_thread() -> Option<io::Error> {
    let error = thread::scope(|scope| worker::<()>(scope).err())?;
    Some(io::Error::new(error.kind(), format!("no thread can be started: {error}")))
}

/// Makes an encoder whose bytes are the same for every number of threads; without a thread of its own they would differ.
fn zstd_encoder(level: u8, jobs: usize) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level.into())?;
    encoder.include_checksum(true)?;
    encoder.multithread(u32::try_from(jobs).expect("jobs are few"))?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
    Ok(encoder)
}
