//! One zstd stream, compressed by threads of libzstd.

use std::io::{self, Write};
use std::time::{Duration, Instant};
use std::{mem, thread};

use crate::workers::pipe::PipeWriter;
use crate::workers::worker;

/// The input size of a job in bytes: the work of one thread at a time. Part of the format on disk. Also determines most of the
/// memory use: two threads take about 30 MiB.
const JOB: u32 = 2 * 1024 * 1024;

/// A stream that has begun.
pub(super) struct ZstdStream {
    encoder: zstd::Encoder<'static, Output>,
    /// The number of bytes taken so far.
    taken: u64,
    /// The number of bytes of a whole job.
    job: u64,
}

/// A stream whose output is sent to another thread.
pub(super) struct SentStream(ZstdStream);

/// Where the output goes.
enum Output {
    /// To a buffer, until it is taken from there.
    Kept(Vec<u8>),
    /// To another thread. `waited` is the time spent waiting for that thread since it was last looked at.
    Sent { pipe: PipeWriter, waited: Duration },
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Kept(buffer) => buffer.write(bytes),
            Self::Sent { pipe, waited } => timed(waited, || pipe.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Sent { pipe, waited } => timed(waited, || pipe.flush()),
        }
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
                Ok(()) => return Ok(Self { encoder, taken: first.len() as u64, job: job_size(level) }),
                Err(_) if jobs > 1 => jobs /= 2,
                // zstd reports a lack of threads as a lack of memory.
                Err(error) => return Err(no_thread().unwrap_or(error)),
            }
        }
    }

    /// Takes the next bytes, as soon as the threads are ready for them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.encoder.write_all(bytes)?;
        self.taken += bytes.len() as u64;
        Ok(())
    }

    /// Appends the output so far.
    pub(super) fn take_output(&mut self, result: &mut Vec<u8>) {
        self.encoder.get_mut().take(result);
    }

    /// Ends the stream and appends the rest of the output.
    pub(super) fn finish(self, result: &mut Vec<u8>) -> io::Result<()> {
        self.end()?.take(result);
        Ok(())
    }

    /// Sends the output to another thread: the output so far, and from now on.
    pub(super) fn send_output(mut self, mut pipe: PipeWriter) -> io::Result<SentStream> {
        let mut output = Vec::new();
        self.take_output(&mut output);
        pipe.write_all(&output)?;
        *self.encoder.get_mut() = Output::Sent { pipe, waited: Duration::ZERO };
        Ok(SentStream(self))
    }

    /// Ends the stream and returns where the output went.
    fn end(mut self) -> io::Result<Output> {
        // If the content ends with a whole job, zstd may or may not have started that job yet, depending on its threads. If it has, an
        // empty block ends the stream; if not, that job becomes the last one. The flush always starts it first.
        if self.taken > 0 && self.taken.is_multiple_of(self.job) {
            self.encoder.flush()?;
        }
        self.encoder.finish()
    }
}

impl SentStream {
    /// Takes the next bytes, as soon as the threads are ready for them. Returns the time for compressing.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<Duration> {
        let (start, whole_jobs) = (Instant::now(), self.0.taken / self.0.job);
        self.0.write(bytes)?;
        // The output of content that compresses well may never fill a piece of the pipe.
        if self.0.taken / self.0.job > whole_jobs {
            self.0.encoder.get_mut().flush()?;
        }
        Ok(start.elapsed().saturating_sub(self.waited()))
    }

    /// Ends the stream. Returns the time for compressing.
    pub(super) fn finish(self) -> io::Result<Duration> {
        let start = Instant::now();
        let output = self.0.end()?;
        let time = start.elapsed();
        match output {
            Output::Sent { pipe, waited } => pipe.finish().map(|()| time.saturating_sub(waited)),
            Output::Kept(_) => unreachable!("the output is sent"),
        }
    }

    /// Returns for how long the stream waited since the last call, because the other thread was not ready.
    fn waited(&mut self) -> Duration {
        match self.0.encoder.get_mut() {
            Output::Sent { waited, .. } => mem::take(waited),
            Output::Kept(_) => Duration::ZERO,
        }
    }
}

/// Runs work and adds its duration to a time.
fn timed<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *time += start.elapsed();
    result
}

/// Returns the input size of a job at a level, in bytes. Above level 16 the overlap, the end of the previous job that zstd loads
/// before each job, is larger than [`JOB`]; zstd then makes jobs as large as the overlap.
fn job_size(level: u8) -> u64 {
    match level {
        ..=16 => u64::from(JOB),
        17 | 18 => 2 * u64::from(JOB),
        _ => 4 * u64::from(JOB),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether zstd ends the stream of a content with an empty block, which has a header of three bytes before the
    /// checksum.
    fn has_empty_end(level: u8, content: &[u8]) -> bool {
        let mut encoder = encoder(level, 2).expect("an encoder");
        encoder.write_all(content).expect("compressed");
        let Ok(Output::Kept(stream)) = encoder.finish() else { panic!("it is kept") };
        stream.ends_with(&[&[1, 0, 0][..], &stream[stream.len() - 4..]].concat())
    }

    #[test]
    fn jobs_are_as_large_as_zstd_makes_them() {
        let zeros = vec![0; 8 << 20];
        for level in [1, 3, 16, 17, 18, 19] {
            let job = job_size(level) as usize;
            assert!(has_empty_end(level, &zeros[..job]), "{level}: {job} is no multiple of a job");
            assert!(!has_empty_end(level, &zeros[..job / 2]), "{level}: {job} is more than a job");
        }
    }
}
