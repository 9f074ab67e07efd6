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
    let mut checksum = crc32fast::Hasher::new();
    let mut size = 0;
    if block.len() < BLOCK {
        // A small layer is done before a thread would have started.
        let mut result = gzip::HEADER.to_vec();
        let start = Instant::now();
        BlockCompressor::new(level).compress(&block, true, &mut result);
        clock(start.elapsed());
        checksum.update(&block);
        size += block.len() as u64;
        result.extend(gzip::trailer(checksum.finalize(), size));
        return write(&result);
    }
    let (blocks, results) = (&Pool::default(), &Pool::default());
    let (work, queue) = sync_channel::<Job>(jobs);
    let queue = &Mutex::new(queue);
    // The results, in the order of the blocks: this queue bounds how many are under way.
    let (order, ordered) = sync_channel::<Receiver<Vec<u8>>>(jobs * 2);

    let mut write = thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(move || {
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
            });
        }
        let writer = scope.spawn(move || {
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
        let written = writer.join().expect("the writer does not panic");
        // Whichever failed made the other end early, without an error of its own.
        read.and(written)
    })?;
    write(&gzip::trailer(checksum.finalize(), size))
}

fn compress_zstd<E>(
    level: u8,
    jobs: usize,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    let mut encoder = zstd_encoder(level, jobs).map_err(Failure::Compressor)?;
    let mut block = Vec::new();
    loop {
        read(&mut block, BLOCK).map_err(Failure::Caller)?;
        let start = Instant::now();
        encoder.write_all(&block).map_err(Failure::Compressor)?;
        clock(start.elapsed());
        write(encoder.get_ref()).map_err(Failure::Caller)?;
        encoder.get_mut().clear();
        if block.len() < BLOCK {
            break;
        }
    }
    let start = Instant::now();
    let rest = encoder.finish().map_err(Failure::Compressor)?;
    clock(start.elapsed());
    write(&rest).map_err(Failure::Caller)
}

/// Makes an encoder whose bytes are the same for every number of threads; without a thread of its own they would differ.
fn zstd_encoder(level: u8, jobs: usize) -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level.into())?;
    encoder.include_checksum(true)?;
    encoder.multithread(u32::try_from(jobs).expect("jobs are few"))?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
    Ok(encoder)
}
