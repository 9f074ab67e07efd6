//! Compressed streams of several parts: gzip members, bzip2 streams, zstd frames.
//!
//! The decoders of the crates read all parts too, but report bytes after the last part as a corrupt part. Readers of
//! image layers handle such bytes differently, so their number is reported. Where zeros are allowed, as padding of
//! tapes and block devices, they are skipped as in gzip(1) and tar(1).

use std::io::{self, BufRead, Read};
use std::marker::PhantomData;

use bzip2::bufread::BzDecoder;
use zstd::stream::raw::{self, InBuffer, Operation, OutBuffer};

use crate::compress::encoding::Encoding;
use crate::compress::gunzip::GzipMember;

/// The most bytes needed to detect the next part: the length of zstd's magic number.
const MAGIC: usize = 4;

/// A compressed stream is followed by other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
#[error("{}", trailing(*.count, *.encoding))]
pub struct TrailingBytes {
    /// The encoding of the stream.
    pub encoding: Encoding,
    /// The number of bytes.
    pub count: u64,
}

fn trailing(count: u64, encoding: Encoding) -> String {
    let (noun, verb) = if count == 1 { ("byte", "follows") } else { ("bytes", "follow") };
    format!("{count} {noun} {verb} the {} stream; readers refuse that", encoding.name())
}

/// Returns the trailing bytes, if they caused the error of a decoder.
pub(crate) fn trailing_of(error: &io::Error) -> Option<TrailingBytes> {
    error.get_ref()?.downcast_ref().copied()
}

/// The bytes allowed after the last part of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    Zeros,
}

/// A reader with lookahead, even if the underlying reader yields one byte at a time.
struct Lookahead<R> {
    reader: R,
    /// Bytes taken from the reader and not consumed yet.
    head: Vec<u8>,
    rest: Rest,
}

impl<R: BufRead> Lookahead<R> {
    fn new(reader: R, rest: Rest) -> Self {
        Self { reader, head: Vec::new(), rest }
    }

    /// Returns at least the given number of bytes, or fewer at the end.
    fn look(&mut self, length: usize) -> io::Result<&[u8]> {
        if self.head.is_empty() && filled(&mut self.reader)? >= length {
            return self.reader.fill_buf();
        }
        while self.head.len() < length {
            let next = self.reader.fill_buf()?;
            let Some(byte) = next.first() else { break };
            self.head.push(*byte);
            self.reader.consume(1);
        }
        Ok(&self.head)
    }

    /// Returns whether another part begins here. Other bytes are an error. With [`Rest::Zeros`] the decoder reports
    /// that error.
    fn begins(&mut self, encoding: Encoding) -> io::Result<bool> {
        let may_be_padded = self.rest == Rest::Zeros;
        let next = self.look(MAGIC)?;
        match next.first() {
            None => return Ok(false),
            Some(0) if may_be_padded => return self.skip_zeros().map(|()| false),
            Some(_) if may_be_padded || Encoding::of(next) == encoding => return Ok(true),
            Some(_) => {}
        }
        let count = io::copy(self, &mut io::sink())?;
        Err(io::Error::new(io::ErrorKind::InvalidData, TrailingBytes { encoding, count }))
    }
}

impl<R: BufRead> Lookahead<R> {
    /// Reads zeros to the end. Other bytes are an error.
    fn skip_zeros(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.fill_buf()?;
            let length = bytes.len();
            if length == 0 {
                return Ok(());
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "zeros and then other bytes follow its end"));
            }
            self.consume(length);
        }
    }
}

/// Returns the number of bytes that a reader has buffered.
fn filled(reader: &mut impl BufRead) -> io::Result<usize> {
    loop {
        match reader.fill_buf() {
            Ok(bytes) => return Ok(bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl<R: BufRead> BufRead for Lookahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.head.is_empty() { self.reader.fill_buf() } else { Ok(&self.head) }
    }

    fn consume(&mut self, amount: usize) {
        if self.head.is_empty() {
            self.reader.consume(amount);
        } else {
            self.head.drain(..amount);
        }
    }
}

impl<R: BufRead> Read for Lookahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.fill_buf()?;
        let read = rest.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// A decoder that stops at the end of a member.
trait Member<R>: Read {
    const ENCODING: Encoding;

    fn begin(reader: R) -> Self;

    /// The reader, after the member.
    fn reader(&mut self) -> &mut R;

    /// Begins the next member, after the end of this one.
    fn next(self) -> Self;
}

impl<R: BufRead> Member<R> for GzipMember<R> {
    const ENCODING: Encoding = Encoding::Gzip;

    fn begin(reader: R) -> Self {
        Self::new(reader)
    }

    fn reader(&mut self) -> &mut R {
        self.reader()
    }

    fn next(self) -> Self {
        self.restart()
    }
}

impl<R: BufRead> Member<R> for BzDecoder<R> {
    const ENCODING: Encoding = Encoding::Bzip2;

    fn begin(reader: R) -> Self {
        Self::new(reader)
    }

    fn reader(&mut self) -> &mut R {
        self.get_mut()
    }

    fn next(self) -> Self {
        Self::new(self.into_inner())
    }
}

/// Reads all members of a stream.
struct Members<R, M> {
    /// The current member; `None` after an error.
    member: Option<M>,
    reader: PhantomData<R>,
}

/// Reads all members of a gzip stream.
pub(super) fn gzip_members<'a>(reader: impl BufRead + 'a, rest: Rest) -> Box<dyn Read + 'a> {
    Box::new(Members::<_, GzipMember<_>>::new(reader, rest))
}

/// Reads all members of a bzip2 stream. Zeros may follow.
pub(super) fn padded_bzip2_members<'a>(reader: impl BufRead + 'a) -> Box<dyn Read + 'a> {
    Box::new(Members::<_, BzDecoder<_>>::new(reader, Rest::Zeros))
}

impl<R: BufRead, M: Member<Lookahead<R>>> Members<R, M> {
    fn new(reader: R, rest: Rest) -> Self {
        Self { member: Some(M::begin(Lookahead::new(reader, rest))), reader: PhantomData }
    }
}

impl<R: BufRead, M: Member<Lookahead<R>>> Read for Members<R, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            match member.read(buffer) {
                Ok(0) if !buffer.is_empty() => {}
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    self.member = None;
                    return Err(error);
                }
                read => return read,
            }
            if !member.reader().begins(M::ENCODING)? {
                return Ok(0);
            }
            self.member = self.member.take().map(M::next);
        }
        Ok(0)
    }
}

/// Reads all frames of a zstd stream.
pub(super) struct ZstdFrames<R> {
    reader: Lookahead<R>,
    decoder: raw::Decoder<'static>,
    is_in_frame: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    pub(super) fn new(reader: R, rest: Rest) -> io::Result<Self> {
        // The first frame is not checked here: the decoder reports an error if there is none.
        Ok(Self { reader: Lookahead::new(reader, rest), decoder: raw::Decoder::new()?, is_in_frame: true })
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.is_in_frame {
                if !self.reader.begins(Encoding::Zstd)? {
                    return Ok(0);
                }
                self.decoder.reinit()?;
                self.is_in_frame = true;
            }
            let input = self.reader.fill_buf()?;
            let is_at_end = input.is_empty();
            let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(&mut *buffer));
            let left = self.decoder.run(&mut from, &mut to)?;
            let (consumed, read) = (from.pos(), to.pos());
            self.reader.consume(consumed);
            self.is_in_frame = left > 0;
            if read > 0 {
                return Ok(read);
            }
            if is_at_end && self.is_in_frame {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use super::*;
    use crate::compress::decode::{decoder, padded_decoder};

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).expect("written");
        encoder.finish().expect("finished")
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        zstd::encode_all(content, 1).expect("compressed")
    }

    /// A frame that decoders skip (zstd's format document, "Skippable Frames").
    fn skippable(length: u8) -> Vec<u8> {
        [&[0x5e, 0x2a, 0x4d, 0x18, length, 0, 0, 0][..], &vec![7; length.into()]].concat()
    }

    /// Reads a stream in pieces of the given size.
    fn read(encoding: Encoding, stream: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decoder(encoding, BufReader::with_capacity(piece, stream))?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn parts_in_a_row_are_one_stream() {
        let text = b"some text, some text, some text".repeat(50);
        let (one, two) = text.split_at(700);
        let cases = [
            (Encoding::Gzip, vec![gzip(&text)]),
            (Encoding::Gzip, vec![gzip(one), gzip(two)]),
            (Encoding::Gzip, vec![gzip(b""), gzip(one), gzip(b""), gzip(b""), gzip(two), gzip(b"")]),
            (Encoding::Zstd, vec![zstd(&text)]),
            (Encoding::Zstd, vec![zstd(one), zstd(two)]),
            (Encoding::Zstd, vec![skippable(0), zstd(one), skippable(9), zstd(b""), zstd(two), skippable(3)]),
        ];
        for (encoding, parts) in cases {
            for piece in [1, 3, 4, 17, 1 << 16] {
                let content = read(encoding, &parts.concat(), piece);
                assert!(content.expect("sound") == text, "{encoding:?}, {} parts, {piece}", parts.len());
            }
        }
    }

    #[test]
    fn any_bytes_after_the_last_part_are_counted() {
        let zstd_magic = [0x28, 0xb5, 0x2f];
        for (encoding, stream) in [(Encoding::Gzip, gzip(b"text")), (Encoding::Zstd, zstd(b"text"))] {
            for rest in
                [&[0][..], &[0; 512], &[0; 100_000], b"garbage", b"\x1f", &zstd_magic, b"BZh9", &[0x8b, 0x1f, 0x8b]]
            {
                for piece in [1, 3, 1 << 16] {
                    let error = read(encoding, &[&stream, rest].concat(), piece).expect_err("bytes follow");
                    let expected = TrailingBytes { encoding, count: rest.len() as u64 };
                    assert_eq!(trailing_of(&error), Some(expected), "{encoding:?} {} {piece}", rest.len());
                }
            }
            assert_eq!(read(encoding, &stream, 1).expect("sound"), b"text");
        }
        let one = TrailingBytes { encoding: Encoding::Gzip, count: 1 };
        assert_eq!(one.to_string(), "1 byte follows the gzip stream; readers refuse that");
    }

    #[test]
    fn a_part_that_is_cut_or_broken_is_not_taken_for_bytes_after_the_stream() {
        for (encoding, whole) in [(Encoding::Gzip, gzip(b"text")), (Encoding::Zstd, zstd(b"text"))] {
            for cut in 5..whole.len() {
                for before in [&[][..], &whole] {
                    let stream = [before, &whole[..cut]].concat();
                    let error = read(encoding, &stream, 1 << 16).expect_err("cut");
                    assert_eq!(trailing_of(&error), None, "{encoding:?} {cut}: {error}");
                }
            }
        }
    }

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

    fn read_padded(encoding: Encoding, stream: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let reader = BufReader::with_capacity(capacity, stream);
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
                    assert!(
                        read_padded(encoding, &padded, capacity).expect("sound") == content,
                        "{encoding:?} {padding}"
                    );
                    let twice = [stream.as_slice(), &empty, &stream, &zeros].concat();
                    assert!(
                        read_padded(encoding, &twice, capacity).expect("sound") == content.repeat(2),
                        "{encoding:?}"
                    );
                    if encoding == Encoding::Zstd {
                        let framed = [&skippable[..], &stream, &skippable, &zeros].concat();
                        assert!(read_padded(encoding, &framed, capacity).expect("sound") == content, "{padding}");
                    }
                    for garbage in [&b"x"[..], b"garbage", &stream] {
                        if padding == 0 && garbage == stream.as_slice() {
                            continue;
                        }
                        let broken = [stream.as_slice(), &zeros, garbage].concat();
                        assert!(read_padded(encoding, &broken, capacity).is_err(), "{encoding:?} {padding}");
                    }
                }
                for cut in [1, 4, stream.len() / 2] {
                    let broken = &stream[..stream.len() - cut];
                    assert!(read_padded(encoding, broken, capacity).is_err(), "{encoding:?} without {cut}");
                }
            }
        }
    }
}
