//! Compression on several threads, in constant memory.
//!
//! The calling thread reads blocks, workers compress them, and one thread writes the results in order. The workers of zstd
//! are its own, with a thread that feeds them. All queues are short, so that no thread gets far ahead of the others.

use std::io::{self, BufRead as _};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::alone::{Alone, BLOCK};
use super::gzip::{self, BlockCompressor};
use crate::compress::encoding::{CompressFormat, Compression};
use crate::compress::zstd_stream::ZstdStream;
use crate::workers::pipe::pipe;
use crate::workers::pool::Pool;
use crate::workers::{crew, worker};

/// The number of bytes that zstd is fed with at a time. They are hashed while they are in the cache of the processor.
const PIECE: usize = 256 * 1024;

/// The number of pieces that can wait for zstd.
const PIECES: usize = 8;

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
    let is_last = block.len() < BLOCK;
    match compression.format {
        // A small layer is compressed in less time than it takes to start a thread.
        _ if is_last => compress_alone(alone, block, is_last, read, write, clock),
        CompressFormat::Gzip => compress_gzip(alone, block, read, write, clock),
        CompressFormat::Zstd => compress_zstd(alone, block, read, write, clock),
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
        let next = || queue.lock().expect("no thread panics with the lock").recv();
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
        let Ok(writer) = worker(scope) else { return compress_alone(alone, block, false, read, write, clock) };
        if crew(scope, jobs, compress).is_empty() {
            return compress_alone(alone, block, false, read, write, clock);
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

fn compress_zstd<E: Send>(
    alone: Alone,
    first: Vec<u8>,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E> + Send,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    // libzstd starts its threads first: it needs one, and this function can do without its own.
    let start = Instant::now();
    let stream = ZstdStream::begin(alone.compression.level, alone.jobs, &first).map_err(Failure::Compressor)?;
    clock(start.elapsed());
    drop(first);
    let pool = &Pool::default();
    thread::scope(|scope| {
        let (Ok(feeder), Ok(writer)) = (worker(scope), worker(scope)) else {
            return compress_alone(alone.resume(stream), Vec::new(), false, read, write, clock);
        };
        let (output, mut compressed) = pipe();
        let (pieces, queue) = sync_channel::<Vec<u8>>(PIECES);
        let feeder = feeder.start(move || {
            let mut stream = stream.send_output(output)?;
            let mut is_last = false;
            for piece in queue {
                clock(stream.write(&piece)?);
                is_last = piece.len() < PIECE;
                pool.give(piece);
            }
            // If reading failed, the stream is left without its end.
            if is_last {
                clock(stream.finish()?);
            }
            Ok(())
        });
        let writer = writer.start(move || {
            // Reading fails after an error of the feeder, or of `read`.
            while let Ok(bytes @ [_, ..]) = compressed.fill_buf() {
                let size = bytes.len();
                write(bytes)?;
                compressed.consume(size);
            }
            Ok(())
        });
        let read = loop {
            let mut piece = pool.take();
            if let Err(error) = read(&mut piece, PIECE) {
                break Err(error);
            }
            let is_last = piece.len() < PIECE;
            // Sending fails after an error of the feeder or the writer.
            if pieces.send(piece).is_err() || is_last {
                break Ok(());
            }
        };
        drop(pieces);
        let fed = feeder.join();
        let written = writer.join();
        // If one side fails, the others end early: the feeder because it cannot send its output, the rest without an error.
        read.and(written).map_err(Failure::Caller)?;
        fed.map_err(Failure::Compressor)
    })
}

/// Compresses on the calling thread, beginning with the given block. zstd also uses threads of its own.
fn compress_alone<E>(
    mut alone: Alone,
    mut block: Vec<u8>,
    mut is_last: bool,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
    clock: &(dyn Fn(Duration) + Sync),
) -> Result<(), Failure<E>> {
    let mut result = Vec::new();
    loop {
        let start = Instant::now();
        alone.compress(&block, is_last, &mut result).map_err(Failure::Compressor)?;
        clock(start.elapsed());
        write(&result).map_err(Failure::Caller)?;
        if is_last {
            return Ok(());
        }
        result.clear();
        read(&mut block, BLOCK).map_err(Failure::Caller)?;
        is_last = block.len() < BLOCK;
    }
}
