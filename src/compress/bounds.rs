//! Limits on the size of decompressed streams.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use crate::compress::decode::{decoder, padded_decoder};
use crate::compress::encoding::Encoding;
use crate::options::setters;

/// Limits on the content of a layer. A layer that exceeds them is treated as a decompression bomb. The ratio holds for
/// compressed layers, the size for all.
///
/// ```
/// use regshape::compress::Bounds;
///
/// let bounds = Bounds::default().max_size(1 << 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Bounds {
    /// The maximum size of the content in bytes: 1 TiB by default.
    pub max_size: u64,
    /// The maximum ratio of content to compressed bytes: 200 by default.
    pub max_ratio: u64,
    /// The size of the content up to which the ratio is not checked: 8 GiB by default. A smaller layer may be all zeros
    /// in a legitimate image.
    pub ratio_after: u64,
}

impl Bounds {
    setters! {
        max_size: [u64],
        max_ratio: [u64],
        ratio_after: [u64],
    }
}

/// The content of a compressed stream exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BoundError {
    /// The content is larger than the maximum size.
    #[error("decompresses to more than {0} bytes")]
    Size(u64),
    /// The content, which is not compressed, is larger than the maximum size.
    #[error("has more than {0} bytes")]
    PlainSize(u64),
    /// The content exceeds the maximum ratio.
    #[error("decompresses to more than {0} times its size")]
    Ratio(u64),
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_size: 1 << 40, max_ratio: 200, ratio_after: 8 << 30 }
    }
}

impl Bounds {
    /// Checks the content decompressed so far against the compressed bytes read so far.
    pub(crate) fn check(self, compressed: u64, content: u64) -> Result<(), BoundError> {
        let Self { max_size, max_ratio, ratio_after } = self;
        if content > max_size {
            Err(BoundError::Size(max_size))
        } else if content > ratio_after && content > compressed.saturating_mul(max_ratio) {
            Err(BoundError::Ratio(max_ratio))
        } else {
            Ok(())
        }
    }
}

/// Decompresses a stream as [`decoder`] does, within limits. The ratio is relative to the size of the stream if that is
/// known, or else to the bytes read so far. Of an uncompressed stream only the size is limited.
///
/// An exceeded limit is reported as an error that wraps a [`BoundError`].
pub(crate) fn bounded_decoder<'a>(
    encoding: Encoding,
    stream: impl BufRead + 'a,
    size: Option<u64>,
    bounds: Bounds,
) -> io::Result<Box<dyn Read + 'a>> {
    if encoding == Encoding::Identity {
        let content = decoder(encoding, stream)?;
        return Ok(Box::new(Limited { content, length: 0, max_size: bounds.max_size }));
    }
    bounded(stream, size, bounds, |counted| decoder(encoding, counted))
}

/// Decompresses a stream within limits as [`bounded_decoder`] does, and accepts zeros after its end as padding. An
/// uncompressed stream is not limited.
pub(crate) fn bounded_padded_decoder<'a>(
    encoding: Encoding,
    stream: impl BufRead + 'a,
    size: Option<u64>,
    bounds: Bounds,
) -> io::Result<Box<dyn Read + 'a>> {
    if encoding == Encoding::Identity {
        return decoder(encoding, stream);
    }
    bounded(stream, size, bounds, |counted| padded_decoder(encoding, counted))
}

fn bounded<'a, R: BufRead + 'a>(
    stream: R,
    size: Option<u64>,
    bounds: Bounds,
    open: impl FnOnce(Counted<R>) -> io::Result<Box<dyn Read + 'a>>,
) -> io::Result<Box<dyn Read + 'a>> {
    let compressed = Rc::new(Cell::new(0));
    let counted = Counted { stream, read: Rc::clone(&compressed) };
    let content = open(counted)?;
    Ok(Box::new(Bounded { content, length: 0, compressed, size: size.unwrap_or_default(), bounds }))
}

/// Returns the exceeded limit, if this caused the error of a stream.
pub(crate) fn bound_of(error: &io::Error) -> Option<BoundError> {
    error.get_ref()?.downcast_ref().copied()
}

/// Counts the bytes read.
struct Counted<R> {
    stream: R,
    read: Rc<Cell<u64>>,
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.read.set(self.read.get() + amount as u64);
        self.stream.consume(amount);
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

struct Bounded<'a> {
    content: Box<dyn Read + 'a>,
    length: u64,
    compressed: Rc<Cell<u64>>,
    /// The size of the stream, or 0 if it is unknown.
    size: u64,
    bounds: Bounds,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.length += read as u64;
        self.bounds.check(self.compressed.get().max(self.size), self.length).map_err(io::Error::other)?;
        Ok(read)
    }
}

/// An uncompressed stream.
struct Limited<'a> {
    content: Box<dyn Read + 'a>,
    length: u64,
    max_size: u64,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.length += read as u64;
        if self.length > self.max_size {
            return Err(io::Error::other(BoundError::PlainSize(self.max_size)));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_counts_from_a_size_on_and_the_size_always() {
        let bounds = Bounds { max_size: 10_000, max_ratio: 10, ratio_after: 2_000 };
        for (compressed, content, says) in [
            (1, 2_000, Ok(())),
            (200, 2_001, Err(BoundError::Ratio(10))),
            (201, 2_001, Ok(())),
            (5_000, 10_000, Ok(())),
            (5_000, 10_001, Err(BoundError::Size(10_000))),
            (u64::MAX, 2_001, Ok(())),
        ] {
            assert_eq!(bounds.check(compressed, content), says, "{compressed} {content}");
        }
    }

    #[test]
    fn the_known_size_of_a_stream_counts() {
        let zeros = zstd::encode_all([0; 1 << 20].as_slice(), 3).expect("compressed");
        let bounds = Bounds::default().max_ratio(10).ratio_after(0);
        let read = |size| {
            let mut content = bounded_decoder(Encoding::Zstd, zeros.as_slice(), size, bounds).expect("a decoder");
            io::copy(&mut content, &mut io::sink())
        };
        let error = read(None).expect_err("too much");
        assert_eq!(bound_of(&error), Some(BoundError::Ratio(10)));
        assert_eq!(read(Some(1 << 20)).expect("little enough"), 1 << 20);
    }

    #[test]
    fn the_size_of_an_uncompressed_stream_counts() {
        let read = |max_size| {
            let bounds = Bounds::default().max_size(max_size).max_ratio(0).ratio_after(0);
            let mut content = bounded_decoder(Encoding::Identity, &[0; 100][..], None, bounds).expect("a decoder");
            io::copy(&mut content, &mut io::sink())
        };
        assert_eq!(read(100).expect("little enough"), 100);
        assert_eq!(bound_of(&read(99).expect_err("too much")), Some(BoundError::PlainSize(99)));
    }
}
