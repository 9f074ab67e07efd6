//! Compression on several threads, in constant memory.
//!
//! The calling thread reads blocks, workers compress them, and one thread writes the results in order. All queues are
//! short, so that no thread gets far ahead of the others.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::alone::{Alone, BLOCK};
use super::gzip::{self, BlockCompressor};
use crate::compress::encoding::{CompressFormat, Compression};
use crate::workers::pool::Pool;
use crate::workers::{crew, worker};

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
