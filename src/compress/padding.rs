//! Compressed streams that are padded with zeros, as tapes and block devices pad them. gzip(1), tar(1) and others skip those.

use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use zstd::stream::raw::{self, Operation};

use super::{Encoding, decoder};

/// Reads a compressed stream as [`decoder`] does; after the last member or frame, zeros may follow up to the end.
pub(super) fn padded_decoder<'a>(encoding: Encoding, reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        Encoding::Gzip => Box::new(Members { member: Some(GzDecoder::new(reader)) }),
        Encoding::Bzip2 => Box::new(Members { member: Some(BzDecoder::new(reader)) }),
        Encoding::Zstd => Box::new(Frames { reader, decoder: raw::Decoder::new()?, place: Place::InFrame }),
        Encoding::Identity | Encoding::Xz => decoder(encoding, reader)?,
    })
}

/// Skips zeros at the end, and returns whether the input is at its end.
///
/// # Errors
///
/// Something else follows the zeros.
fn is_at_end(reader: &mut impl BufRead) -> io::Result<bool> {
    let mut has_padding = false;
    loop {
        let bytes = reader.fill_buf()?;
        let length = bytes.len();
        match bytes.iter().position(|byte| *byte != 0) {
            _ if length == 0 => return Ok(true),
            Some(0) if !has_padding => return Ok(false),
            Some(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "zeros and then other bytes follow its end"));
            }
            None => has_padding = true,
        }
        reader.consume(length);
    }
}

/// A decoder that stops at the end of a member, and knows there what it left.
trait Member: Read {
    type Reader: BufRead;

    fn begin(reader: Self::Reader) -> Self;

    fn end(self) -> Self::Reader;
}

impl<R: BufRead> Member for GzDecoder<R> {
    type Reader = R;

    fn begin(reader: R) -> Self {
        Self::new(reader)
    }

    fn end(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Member for BzDecoder<R> {
    type Reader = R;

    fn begin(reader: R) -> Self {
        Self::new(reader)
    }

    fn end(self) -> R {
        self.into_inner()
    }
}

/// Members in a row.
struct Members<M> {
    /// The member that is read; `None` after the last.
    member: Option<M>,
}

impl<M: Member> Read for Members<M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.member.as_mut().filter(|_| !buffer.is_empty()) {
            let read = member.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let mut reader = self.member.take().expect("it was read").end();
            if !is_at_end(&mut reader)? {
                self.member = Some(M::begin(reader));
            }
        }
        Ok(0)
    }
}

/// Frames of zstd in a row, which one decoder reads: there may be millions of empty ones.
struct Frames<R> {
    reader: R,
    decoder: raw::Decoder<'static>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    InFrame,
    AfterFrame,
    AtEnd,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.place != Place::AtEnd && !buffer.is_empty() {
            if self.place == Place::AfterFrame {
                if is_at_end(&mut self.reader)? {
                    self.place = Place::AtEnd;
                    break;
                }
                self.decoder.reinit()?;
                self.place = Place::InFrame;
            }
            let input = self.reader.fill_buf()?;
            let is_empty = input.is_empty();
            let status = self.decoder.run_on_buffers(input, buffer)?;
            self.reader.consume(status.bytes_read);
            if status.remaining == 0 {
                self.place = Place::AfterFrame;
            }
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if is_empty && self.place == Place::InFrame {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn compressed(encoding: Encoding, content: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(content).expect("compressed");
                encoder.finish().expect("compressed")
            }
            Encoding::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
                encoder.write_all(content).expect("compressed");
                encoder.finish().expect("compressed")
            }
            _ => zstd::encode_all(content, 3).expect("compressed"),
        }
    }

    fn read(encoding: Encoding, stream: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let reader = io::BufReader::with_capacity(capacity, stream);
        padded_decoder(encoding, reader)?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn zeros_after_a_stream_are_padding_and_all_else_is_an_error() {
        let content: Vec<u8> = (0u32..50_000).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for encoding in [Encoding::Gzip, Encoding::Bzip2, Encoding::Zstd] {
            let stream = compressed(encoding, &content);
            let empty = compressed(encoding, b"");
            let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
            for capacity in [1, 3, 8192] {
                for padding in [0, 1, 511, 512, 100_000] {
                    let zeros = vec![0; padding];
                    let padded = [stream.as_slice(), &zeros].concat();
                    assert!(read(encoding, &padded, capacity).expect("sound") == content, "{encoding:?} {padding}");
                    let twice = [stream.as_slice(), &empty, &stream, &zeros].concat();
                    assert!(read(encoding, &twice, capacity).expect("sound") == content.repeat(2), "{encoding:?}");
                    if encoding == Encoding::Zstd {
                        let framed = [&skippable[..], &stream, &skippable, &zeros].concat();
                        assert!(read(encoding, &framed, capacity).expect("sound") == content, "{padding}");
                    }
                    for garbage in [&b"x"[..], b"garbage", &stream] {
                        if padding == 0 && garbage == stream.as_slice() {
                            continue;
                        }
                        let broken = [stream.as_slice(), &zeros, garbage].concat();
                        assert!(read(encoding, &broken, capacity).is_err(), "{encoding:?} {padding}");
                    }
                }
                for cut in [1, 4, stream.len() / 2] {
                    let broken = &stream[..stream.len() - cut];
                    assert!(read(encoding, broken, capacity).is_err(), "{encoding:?} without {cut}");
                }
            }
        }
    }
}
