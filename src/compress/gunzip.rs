//! Reads a gzip member (RFC 1952).

use std::io::{self, BufRead, Read};

use super::deflate::Inflater;
use super::gzip::trailer;

/// The flags of a header (section 2.3.1). The three highest are reserved.
const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// The part of a member that comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Content,
    Nothing,
}

/// Reads a member, up to its last byte. The checksum and the size at its end are verified.
pub(super) struct GzipMember<R> {
    inflater: Inflater<R>,
    part: Part,
    checksum: crc32fast::Hasher,
    /// The size of the content so far.
    size: u64,
}

impl<R: BufRead> GzipMember<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { inflater: Inflater::new(reader), part: Part::Header, checksum: crc32fast::Hasher::new(), size: 0 }
    }

    /// The reader, after the member.
    pub(super) fn reader(&mut self) -> &mut R {
        self.inflater.reader()
    }

    /// Begins the next member, after the end of this one.
    pub(super) fn restart(mut self) -> Self {
        self.inflater.restart();
        Self { part: Part::Header, checksum: crc32fast::Hasher::new(), size: 0, ..self }
    }

    fn verify_trailer(&mut self) -> io::Result<()> {
        if self.inflater.read_after()? == trailer(self.checksum.clone().finalize(), self.size) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its content does not have the checksum and the size at its end",
        ))
    }
}

impl<R: BufRead> Read for GzipMember<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part == Part::Header {
            Header { reader: self.inflater.reader(), checksum: crc32fast::Hasher::new() }.skip()?;
            self.part = Part::Content;
        }
        if self.part == Part::Nothing || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.inflater.read(buffer)?;
        self.checksum.update(&buffer[..read]);
        self.size = self.size.wrapping_add(read as u64);
        if read == 0 {
            self.verify_trailer()?;
            self.part = Part::Nothing;
        }
        Ok(read)
    }
}

/// The header of a member that is read.
struct Header<'a, R> {
    reader: &'a mut R,
    checksum: crc32fast::Hasher,
}

impl<R: BufRead> Header<'_, R> {
    /// Reads the header. Its fields are not used.
    fn skip(mut self) -> io::Result<()> {
        let [0x1f, 0x8b, 8, flags, ..] = self.read::<10>()? else { return Err(invalid()) };
        if flags & RESERVED != 0 {
            return Err(invalid());
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.read()?);
            for _ in 0..length {
                self.read::<1>()?;
            }
        }
        for flag in [NAME, COMMENT] {
            while flags & flag != 0 && self.read()? != [0] {}
        }
        if flags & HEADER_CHECKSUM != 0 {
            let computed = self.checksum.clone().finalize() as u16;
            if u16::from_le_bytes(self.read()?) != computed {
                return Err(invalid());
            }
        }
        Ok(())
    }

    fn read<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        self.reader.read_exact(&mut bytes)?;
        self.checksum.update(&bytes);
        Ok(bytes)
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "invalid gzip header")
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use super::*;

    const TEXT: &[u8] = b"some text, some text, some text";

    /// A member without flags.
    fn member() -> Vec<u8> {
        finished(flate2::GzBuilder::new())
    }

    fn finished(builder: flate2::GzBuilder) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), flate2::Compression::default());
        encoder.write_all(TEXT).expect("written");
        encoder.finish().expect("finished")
    }

    fn read(member: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        GzipMember::new(BufReader::with_capacity(capacity, member)).read_to_end(&mut content)?;
        Ok(content)
    }

    /// A member with flags, and with these fields after the fixed part of its header.
    fn with_flags(flags: u8, fields: &[u8]) -> Vec<u8> {
        let mut member = member();
        member[3] = flags;
        [&member[..10], fields, &member[10..]].concat()
    }

    #[test]
    fn all_fields_of_a_header_are_skipped() {
        let all = flate2::GzBuilder::new().extra(*b"extra").filename("name").comment("comment").mtime(7);
        let mut checked = with_flags(HEADER_CHECKSUM | NAME, b"name\0");
        let checksum = crc32fast::hash(&checked[..15]) as u16;
        checked.splice(15..15, checksum.to_le_bytes());
        let long_name = [vec![b'x'; 100_000], vec![0]].concat();
        let cases = [member(), finished(all), checked.clone(), with_flags(NAME, &long_name), with_flags(1, b"")];
        for (case, member) in cases.iter().enumerate() {
            for capacity in [1, 9, 1 << 16] {
                assert_eq!(read(member, capacity).expect("sound"), TEXT, "{case} {capacity}");
            }
            for cut in (0..member.len()).filter(|cut| *cut < 60 || cut + 60 > member.len()) {
                let error = read(&member[..cut], 1 << 16).expect_err("cut");
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{case} {cut}");
            }
        }
        checked[14] = 1;
        assert_eq!(read(&checked, 1).expect_err("the checksum is another").to_string(), "invalid gzip header");
    }

    #[test]
    fn a_header_or_trailer_that_does_not_fit_is_an_error() {
        let sound = member();
        for (at, byte) in [(0, 0x1e), (1, 0), (2, 7), (3, 0x20), (3, 0x80)] {
            let mut member = sound.clone();
            member[at] = byte;
            assert_eq!(read(&member, 1).expect_err("wrong").to_string(), "invalid gzip header", "{at}");
        }
        for at in sound.len() - 8..sound.len() {
            let mut member = sound.clone();
            member[at] ^= 1;
            let error = read(&member, 1).expect_err("wrong");
            assert_eq!(error.to_string(), "its content does not have the checksum and the size at its end", "{at}");
        }
    }
}
