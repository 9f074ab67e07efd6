//! Whether a tar is well formed: told while its bytes go by, with little memory.
//!
//! Reads what layers are made of: the old format, ustar, pax, and GNU's long names, sparse files and base-256 numbers.
//! The rules are those of Go's `archive/tar`, through which nearly every consumer of an image reads its layers.

use super::json::shortened;

/// The size of a tar's blocks.
const BLOCK: usize = 512;

/// The largest extended header that is read. Go's reader, and so every engine, has the same bound.
pub(in crate::layout) const EXTENDED_LIMIT: u64 = 1024 * 1024;

/// Checks a tar.
pub(super) struct TarCheck {
    state: State,
    /// The beginning of a block of which the rest is to come.
    block: Vec<u8>,
    /// The first fault. What follows it cannot be told from garbage.
    fault: Option<String>,
    /// The name of the entry that was met last.
    name: String,
    /// The size that an extended header gives to the next entry.
    next_size: Option<u64>,
    /// Whether an extended header waits for its entry.
    expects_entry: bool,
}

enum State {
    Header,
    /// A block of zeros was met: the first of the two that end a tar.
    FirstZeros,
    /// More of a GNU sparse file's map; then its content.
    SparseMap {
        content: u64,
    },
    /// Content, and the rest of its last block; an extended header's content is kept.
    Content {
        left: u64,
        padding: u64,
        extended: Option<Extended>,
    },
    End {
        /// How many bytes that are not zero follow.
        garbage: u64,
    },
}

struct Extended {
    is_global: bool,
    content: Vec<u8>,
}

/// What was found in a whole tar.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Sound,
    /// Readers take it, but it is not as the format has it.
    Odd(String),
    Malformed(String),
}

impl TarCheck {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header,
            block: Vec::with_capacity(BLOCK),
            fault: None,
            name: String::new(),
            next_size: None,
            expects_entry: false,
        }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.fault.is_none() {
            match &mut self.state {
                State::Content { left, padding, extended } => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let (content, rest) = bytes.split_at(taken);
                    *left -= taken as u64;
                    if let Some(extended) = extended {
                        extended.content.extend(content);
                    }
                    let skipped = rest.len().min(usize::try_from(*padding).unwrap_or(usize::MAX));
                    let skipped = if *left == 0 { skipped } else { 0 };
                    *padding -= skipped as u64;
                    bytes = &rest[skipped..];
                    let done = if *left == 0 { extended.take() } else { None };
                    if *left == 0 && *padding == 0 {
                        self.state = State::Header;
                    }
                    if let Some(extended) = done {
                        self.check(|check| check.read_extended(&extended));
                    }
                }
                State::End { garbage } => {
                    *garbage += bytes.iter().filter(|byte| **byte != 0).count() as u64;
                    return;
                }
                _ => {
                    let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
                    self.block.extend(taken);
                    bytes = rest;
                    if self.block.len() == BLOCK {
                        let block = std::mem::take(&mut self.block);
                        self.check(|check| check.read_block(&block));
                        self.block = block;
                        self.block.clear();
                    }
                }
            }
        }
    }

    /// Ends the tar.
    pub(super) fn finish(self) -> Verdict {
        if let Some(fault) = self.fault {
            return Verdict::Malformed(fault);
        }
        let no_end = |text: &str| Verdict::Odd(format!("it {text}, without the two blocks of zeros that end a tar"));
        match self.state {
            _ if !self.block.is_empty() => Verdict::Malformed("it is truncated: it ends within a header".to_owned()),
            State::Content { extended: Some(_), .. } => {
                Verdict::Malformed("it is truncated: it ends within an extended header".to_owned())
            }
            State::Content { left: 1.., .. } | State::SparseMap { .. } => {
                Verdict::Malformed(format!("it is truncated: it ends within '{}'", self.name))
            }
            _ if self.expects_entry => Verdict::Odd("an extended header at its end belongs to no entry".to_owned()),
            State::Header | State::Content { .. } => no_end("ends after an entry"),
            State::FirstZeros => no_end("ends after one block of zeros"),
            State::End { garbage: 0 } => Verdict::Sound,
            State::End { .. } => Verdict::Odd("data follows the end of it".to_owned()),
        }
    }

    fn check(&mut self, step: impl FnOnce(&mut Self) -> Result<(), String>) {
        if let Err(fault) = step(self) {
            self.fault = Some(fault);
        }
    }

    fn read_block(&mut self, block: &[u8]) -> Result<(), String> {
        let is_zero = block.iter().all(|byte| *byte == 0);
        match self.state {
            State::SparseMap { content } => {
                sparse_map(&block[..504]).ok_or_else(|| format!("the sparse map of '{}' is malformed", self.name))?;
                if block[504] == 0 {
                    self.start_content(content, None);
                }
                Ok(())
            }
            State::FirstZeros if !is_zero => {
                Err(format!("a block of zeros stands between its entries, after '{}'", self.name))
            }
            State::FirstZeros => {
                self.state = State::End { garbage: 0 };
                Ok(())
            }
            _ if is_zero => {
                self.state = State::FirstZeros;
                Ok(())
            }
            _ => self.read_header(block),
        }
    }

    fn read_header(&mut self, block: &[u8]) -> Result<(), String> {
        if !has_right_checksum(block) {
            return Err(if self.name.is_empty() {
                "the checksum of its first header is wrong".to_owned()
            } else {
                format!("the checksum of the header after '{}' is wrong", self.name)
            });
        }
        let kind = block[156];
        let name = text(&block[..100]);
        if !matches!(kind, b'x' | b'g' | b'L' | b'K') {
            self.name = shortened(&String::from_utf8_lossy(name));
        }
        let shown = shortened(&String::from_utf8_lossy(name));
        let wrong = |field: &str| format!("the {field} of '{shown}' is not a number");
        for (range, field) in [(100..108, "mode"), (108..116, "owner"), (116..124, "group"), (136..148, "time")] {
            number(&block[range]).ok_or_else(|| wrong(field))?;
        }
        let is_gnu = block[257..265] == *b"ustar  \0";
        if is_gnu || block[257..263] == *b"ustar\0" {
            for range in [329..337, 337..345] {
                number(&block[range]).ok_or_else(|| wrong("device"))?;
            }
        }
        let size = number(&block[124..136]).ok_or_else(|| wrong("size"))?;
        let size = u64::try_from(size).map_err(|_| format!("the size of '{shown}' is {size}"))?;
        match kind {
            b'x' | b'g' | b'L' | b'K' => {
                if size > EXTENDED_LIMIT {
                    return Err(format!("an extended header has {size} bytes, more than {EXTENDED_LIMIT}"));
                }
                self.expects_entry |= kind != b'g';
                let records = matches!(kind, b'x' | b'g');
                let extended = records.then(|| Extended { is_global: kind == b'g', content: Vec::new() });
                self.start_content(size, extended);
            }
            // Links, devices, directories and pipes have no content, whatever their size says.
            b'1'..=b'6' => {
                self.next_size = None;
                self.expects_entry = false;
                self.state = State::Header;
            }
            _ => {
                let size = self.next_size.take().unwrap_or(size);
                self.expects_entry = false;
                if kind == b'S' && is_gnu {
                    let map = sparse_map(&block[386..482]).and(number(&block[483..495]));
                    map.ok_or_else(|| format!("the sparse map of '{}' is malformed", self.name))?;
                    if block[482] != 0 {
                        self.state = State::SparseMap { content: size };
                        return Ok(());
                    }
                }
                self.start_content(size, None);
            }
        }
        Ok(())
    }

    fn start_content(&mut self, left: u64, extended: Option<Extended>) {
        let padding = (BLOCK as u64 - left % BLOCK as u64) % BLOCK as u64;
        self.state = if left == 0 { State::Header } else { State::Content { left, padding, extended } };
    }

    /// Reads the records of a pax header: `length key=value\n`.
    fn read_extended(&mut self, extended: &Extended) -> Result<(), String> {
        let mut rest = extended.content.as_slice();
        while !rest.is_empty() {
            let (key, value, after) = record(rest).ok_or("a record of an extended header is malformed")?;
            rest = after;
            let key = std::str::from_utf8(key).map_err(|_| "a key of an extended header is not UTF-8")?;
            let is_name = matches!(key, "path" | "linkpath" | "uname" | "gname");
            let has_nul = |bytes: &[u8]| bytes.contains(&0);
            if key.is_empty() || if is_name { has_nul(value) } else { has_nul(key.as_bytes()) } {
                return Err(format!("the record '{}' of an extended header is malformed", shortened(key)));
            }
            let value = std::str::from_utf8(value).unwrap_or("?");
            let is_right = match key {
                // An empty value takes back what a global header says.
                _ if value.is_empty() => true,
                "size" => value.parse::<i64>().is_ok_and(|size| size >= 0),
                "uid" | "gid" => value.parse::<i64>().is_ok(),
                "mtime" | "atime" | "ctime" => is_time(value),
                _ => true,
            };
            if !is_right {
                return Err(format!("the record '{key}' of an extended header is '{}'", shortened(value)));
            }
            if key == "size" && !extended.is_global {
                self.next_size = value.parse().ok();
            }
        }
        Ok(())
    }
}

/// Takes a record from the front: its key, its value, what follows.
pub(in crate::layout) fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = std::str::from_utf8(&bytes[..space]).ok().filter(|text| !text.starts_with('+'))?;
    let length: usize = digits.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

/// Tells whether text is a time as pax has it: seconds, with a fraction or without.
fn is_time(text: &str) -> bool {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    seconds.parse::<i64>().is_ok() && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads the places and lengths of a sparse file's parts.
fn sparse_map(bytes: &[u8]) -> Option<()> {
    bytes.chunks(12).all(|field| number(field).is_some_and(|number| number >= 0)).then_some(())
}

/// Reads a number: octal digits with spaces and NULs around them, or base 256, marked by the first bit.
pub(in crate::layout) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
        let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
        let end = field.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
        let digits = std::str::from_utf8(text(&field[start..end])).ok()?;
        return match digits {
            "" => Some(0),
            _ if digits.starts_with(['+', '-']) => None,
            _ => i64::from_str_radix(digits, 8).ok(),
        };
    }
    let is_negative = first & 0x40 != 0;
    let start = if is_negative { -1 } else { 0 };
    let top = if is_negative { first } else { first & 0x7f };
    let mut bytes = std::iter::once(&top).chain(&field[1..]);
    bytes.try_fold(start, |sum: i64, byte| sum.checked_mul(256)?.checked_add(i64::from(*byte)))
}

/// POSIX, pax, "ustar Interchange Format": the sum of all bytes, those of the field itself taken as spaces. Some old
/// programs added them up as signed.
pub(in crate::layout) fn has_right_checksum(header: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(expected) = number(&header[CHECKSUM]) else { return false };
    let bytes = || header.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    expected == unsigned || expected == signed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(content: &[u8], piece: usize) -> Verdict {
        let mut check = TarCheck::new();
        content.chunks(piece).for_each(|piece| check.update(piece));
        check.finish()
    }

    /// A header with a name, a type and a size, as ustar has it.
    fn header(name: &str, kind: u8, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).expect("a short name");
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut entry = header(name, kind, content.len() as u64);
        entry.extend(content);
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        entry
    }

    #[test]
    fn a_tar_is_sound_odd_or_malformed() {
        let end = vec![0; 2 * BLOCK];
        let file = entry("file", b'0', b"content");
        let odd = |text: &str| Verdict::Odd(text.to_owned());
        let malformed = |text: &str| Verdict::Malformed(text.to_owned());
        let no_end = "without the two blocks of zeros that end a tar";
        let mut minus = tar::Header::from_byte_slice(&header("minus", b'0', 0)).clone();
        minus.as_mut_bytes()[124..136].fill(0xff);
        minus.set_cksum();
        let mut text = tar::Header::from_byte_slice(&header("text", b'0', 0)).clone();
        text.as_mut_bytes()[124..136].copy_from_slice(b"8 bytes.....");
        text.set_cksum();
        let mut flipped = file.clone();
        flipped[0] ^= 1;
        let cases: Vec<(Vec<Vec<u8>>, Verdict)> = vec![
            (vec![end.clone()], Verdict::Sound),
            (vec![file.clone(), end.clone()], Verdict::Sound),
            (vec![header("directory", b'5', 4096), file.clone(), end.clone()], Verdict::Sound),
            (vec![file.clone(), end.clone(), vec![0; 10_000]], Verdict::Sound),
            (
                vec![entry("x", b'x', b"10 size=7\n"), header("f", b'0', 0), file[512..].to_vec(), end.clone()],
                Verdict::Sound,
            ),
            (vec![entry("g", b'g', b"9 a=b\n"), end.clone()], malformed("a record of an extended header is malformed")),
            (vec![file.clone()], odd(&format!("it ends after an entry, {no_end}"))),
            (vec![vec![]], odd(&format!("it ends after an entry, {no_end}"))),
            (vec![file[..519].to_vec()], odd(&format!("it ends after an entry, {no_end}"))),
            (vec![file.clone(), vec![0; BLOCK]], odd(&format!("it ends after one block of zeros, {no_end}"))),
            (vec![file.clone(), end.clone(), b"garbage".to_vec()], odd("data follows the end of it")),
            (vec![file[..518].to_vec()], malformed("it is truncated: it ends within 'file'")),
            (vec![file[..100].to_vec()], malformed("it is truncated: it ends within a header")),
            (vec![flipped, end.clone()], malformed("the checksum of its first header is wrong")),
            (
                vec![file.clone(), b"x".repeat(BLOCK), end.clone()],
                malformed("the checksum of the header after 'file' is wrong"),
            ),
            (
                vec![file.clone(), vec![0; BLOCK], file.clone()],
                malformed("a block of zeros stands between its entries, after 'file'"),
            ),
            (vec![minus.as_bytes().to_vec(), end.clone()], malformed("the size of 'minus' is -1")),
            (vec![text.as_bytes().to_vec(), end.clone()], malformed("the size of 'text' is not a number")),
            (vec![header("long", b'L', 1 << 21)], malformed("an extended header has 2097152 bytes, more than 1048576")),
            (
                vec![entry("x", b'x', b"12 size=-70\n"), file.clone()],
                malformed("the record 'size' of an extended header is '-70'"),
            ),
            (
                vec![entry("x", b'x', b"10 size=7\n"), end.clone()],
                odd("an extended header at its end belongs to no entry"),
            ),
        ];
        for (at, (parts, expected)) in cases.into_iter().enumerate() {
            let content = parts.concat();
            for piece in [1, 7, 512, 1 << 20] {
                assert_eq!(verdict(&content, piece), expected, "case {at}");
            }
        }
    }

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\x01\x02", Some(258)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"0000648\0", None),
            (b"-000064\0", None),
        ] {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }
}
