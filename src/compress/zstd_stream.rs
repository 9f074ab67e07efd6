//! One zstd stream, compressed by threads of libzstd.

use std::io::{self, Write};
use std::thread;

use crate::workers::pipe::PipeWriter;
use crate::workers::worker;

/// The input size of a job, the work of one thread at a time. Part of the format on disk. Also determines most of the memory
/// use: two threads take about 30 MiB.
const JOB: u32 = 2 * 1024 * 1024;

/// A stream that has begun.
pub(super) struct ZstdStream(zstd::Encoder<'static, Output>);

/// Where the output goes.
enum Output {
    /// To a buffer, until it is taken from there.
    Kept(Vec<u8>),
    /// To another thread.
    Sent(PipeWriter),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Kept(buffer) => buffer.write(bytes),
            Self::Sent(pipe) => pipe.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    /// Moves the bytes that were kept.
    fn take(&mut self, result: &mut Vec<u8>) {
        if let Self::Kept(buffer) = self {
            result.append(buffer);
        }
    }
}

impl ZstdStream {
    /// Begins with the first bytes, which starts the threads. Uses fewer threads if the system has no more.
    pub(super) fn begin(level: u8, jobs: usize, first: &[u8]) -> io::Result<Self> {
        let mut jobs = jobs;
        loop {
            let mut encoder = encoder(level, jobs)?;
            match encoder.write_all(first) {
                Ok(()) => return Ok(Self(encoder)),
                Err(_) if jobs > 1 => jobs /= 2,
                // zstd reports a lack of threads as a lack of memory.
                Err(error) => return Err(no_thread().unwrap_or(error)),
            }
        }
    }

    /// Takes the next bytes, as soon as the threads are ready for them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Appends the output so far.
    pub(super) fn take_output(&mut self, result: &mut Vec<u8>) {
        self.0.get_mut().take(result);
    }

    /// Ends the stream and appends the rest of the output.
    pub(super) fn finish(self, result: &mut Vec<u8>) -> io::Result<()> {
        self.0.finish()?.take(result);
        Ok(())
    }

    /// Sends the output to another thread: the output so far, and from now on.
    pub(super) fn send_output(&mut self, mut pipe: PipeWriter) -> io::Result<()> {
        let mut output = Vec::new();
        self.take_output(&mut output);
        pipe.write_all(&output)?;
        *self.0.get_mut() = Output::Sent(pipe);
        Ok(())
    }

    /// Ends a stream whose output is sent.
    pub(super) fn finish_sent(self) -> io::Result<()> {
        match self.0.finish()? {
            Output::Sent(pipe) => pipe.finish(),
            Output::Kept(_) => Ok(()),
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
fn encoder(level: u8, jobs: usize) -> io::Result<zstd::Encoder<'static, Output>> {
    let mut encoder = zstd::Encoder::new(Output::Kept(Vec::new()), level.into())?;
    encoder.include_checksum(true)?;
    encoder.multithread(u32::try_from(jobs).expect("jobs are few"))?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(JOB))?;
    Ok(encoder)
}
