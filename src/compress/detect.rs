//! Detects the format of a file from its first bytes.

use std::io::{self, BufReader, Cursor, Read};

use crate::compress::decode::decoder;
use crate::compress::encoding::{BUFFER, Encoding};

/// The block size of a tar.
const TAR_BLOCK: usize = 512;

/// The most bytes buffered to decompress the first two tar blocks: more than a bzip2 block. A file that takes more is
/// not treated as a tar.
const PEEK_LIMIT: u64 = 4 * 1024 * 1024;

/// A reader that replays the bytes that were peeked at.
pub(crate) type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// The format detected from the first bytes of a file.
pub(crate) struct Detected {
    pub(crate) encoding: Encoding,
    /// Whether the content is a tar, after decompression if there is an encoding.
    pub(crate) is_tar: bool,
    /// Whether the file is empty.
    pub(crate) is_empty: bool,
    /// The error of the decompressor, if the first bytes are corrupt.
    pub(crate) flaw: Option<io::Error>,
}

/// Detects the format of a file from its first bytes. Returns a reader that still yields all bytes.
///
/// # Errors
///
/// I/O errors of the reader. A corrupt stream is not an error here: it is noted in [`Detected::flaw`].
pub(crate) fn peek<R: Read>(mut reader: R, looks_like_tar: fn(&[u8]) -> bool) -> io::Result<(Detected, Peeked<R>)> {
    let mut seen = Vec::new();
    let (mut failure, mut flaw) = (None, None);
    reader.by_ref().take(TAR_BLOCK as u64 * 2).read_to_end(&mut seen)?;
    let encoding = Encoding::of(&seen);
    let start = match encoding {
        Encoding::Identity => seen.clone(),
        _ => {
            let recorder = Recorder { reader: &mut reader, seen: &mut seen, at: 0, failure: &mut failure };
            let mut start = Vec::with_capacity(TAR_BLOCK * 2);
            let read = decoder(encoding, BufReader::with_capacity(BUFFER, recorder.take(PEEK_LIMIT)))
                .and_then(|stream| stream.take(TAR_BLOCK as u64 * 2).read_to_end(&mut start));
            // At the peek limit, every stream looks truncated.
            flaw = read.err().filter(|_| (seen.len() as u64) < PEEK_LIMIT);
            start
        }
    };
    if let Some(error) = failure {
        return Err(error);
    }
    let sight = Detected { encoding, is_tar: looks_like_tar(&start), is_empty: seen.is_empty(), flaw };
    Ok((sight, Cursor::new(seen).chain(reader)))
}

/// Yields the bytes read before, then reads on and records the bytes.
struct Recorder<'a, R> {
    reader: &'a mut R,
    seen: &'a mut Vec<u8>,
    at: usize,
    failure: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Recorder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.seen.len() {
            let length = buffer.len().min(BUFFER);
            match self.reader.read(&mut buffer[..length]) {
                Ok(read) => self.seen.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    let kind = error.kind();
                    *self.failure = Some(error);
                    return Err(kind.into());
                }
            }
        }
        let length = buffer.len().min(self.seen.len() - self.at);
        buffer[..length].copy_from_slice(&self.seen[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tar_of(name: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        builder.append_data(&mut header, name, b"abc".as_slice()).expect("appended");
        builder.into_inner().expect("a tar")
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).expect("written");
        encoder.finish().expect("finished")
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        zstd::encode_all(content, 3).expect("compressed")
    }

    #[test]
    fn looking_loses_no_byte() {
        let skippable = [&[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], zstd(&tar_of("f")).as_slice()].concat();
        let cases = [
            (tar_of("f"), Encoding::Identity, true),
            (b"text".to_vec(), Encoding::Identity, false),
            (gzip(&tar_of("f")), Encoding::Gzip, true),
            (gzip(b"text"), Encoding::Gzip, false),
            (zstd(&tar_of("f")), Encoding::Zstd, true),
            (skippable, Encoding::Zstd, true),
            (vec![0x1f, 0x8b, 0xff], Encoding::Gzip, false),
            (vec![], Encoding::Identity, false),
        ];
        for (content, encoding, is_tar) in cases {
            let (sight, mut reader) =
                peek(content.as_slice(), crate::tar::header_fields::looks_like_tar).expect("readable");
            assert_eq!((sight.encoding, sight.is_tar, sight.is_empty), (encoding, is_tar, content.is_empty()));
            let mut read = Vec::new();
            reader.read_to_end(&mut read).expect("readable");
            assert!(read == content);
        }
    }
}
