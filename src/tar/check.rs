//! Checks the format of a tar as a stream, with little memory.
//!
//! Supports the formats of layers: the old format, ustar, pax, and GNU's long names, sparse files and base-256 numbers.
//! The rules are those of Go's `archive/tar`, with which nearly every consumer of images reads layers.

use super::extended::Extended;
use super::fault::{ORPHAN, TarReport, Verdict};
use super::header::{BLOCK, EXTENDED_LIMIT, has_right_checksum, number, record, text};
use super::layer::{LayerCheck, Look};
use crate::text::{shortened, shown};

/// The largest `manifest.json` that is read to detect an image archive.
const ARCHIVE_MANIFEST_LIMIT: u64 = 1024 * 1024;

/// Checks a tar.
pub(crate) struct TarCheck {
    state: TarState,
    /// The start of an incomplete block.
    block: Vec<u8>,
    /// The first fault. Checking stops here, because the rest may be garbage.
    fault: Option<String>,
    /// The name of the current entry.
    name: Vec<u8>,
    /// The extended headers for the next entry.
    next: Extended,
    layer: LayerCheck,
}

enum TarState {
    Header,
    /// After the first of the two blocks of zeros that end a tar.
    FirstZeros,
    /// In the map of a GNU sparse file, which precedes its content.
    SparseMap {
        content: u64,
    },
    /// In the content of an entry and its padding. `kept` collects content that is parsed.
    Content {
        left: u64,
        padding: u64,
        kept: Option<Kept>,
    },
    End {
        /// The number of nonzero bytes after the end.
        garbage: u64,
    },
}

/// Content that is collected and parsed at its end.
struct Kept {
    kind: KeptKind,
    content: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeptKind {
    /// The records of a pax header for the next entry.
    Pax,
    /// The records of a global pax header.
    GlobalPax,
    LongPath,
    LongLink,
    /// A `manifest.json`: the tar may be an image archive.
    ArchiveManifest,
}

impl TarCheck {
    /// Starts checking a tar. Entries are checked only for layers of images, as `look` selects.
    pub(crate) fn new(look: Look) -> Self {
        Self {
            state: TarState::Header,
            block: Vec::with_capacity(BLOCK),
            fault: None,
            name: Vec::new(),
            next: Extended::default(),
            layer: LayerCheck::new(look),
        }
    }

    /// Checks the next bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.fault.is_none() {
            match &mut self.state {
                TarState::Content { left, padding, kept } => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let (content, rest) = bytes.split_at(taken);
                    *left -= taken as u64;
                    self.layer.content(content);
                    if let Some(kept) = kept {
                        kept.content.extend(content);
                    }
                    let skipped = rest.len().min(usize::try_from(*padding).unwrap_or(usize::MAX));
                    let skipped = if *left == 0 { skipped } else { 0 };
                    *padding -= skipped as u64;
                    bytes = &rest[skipped..];
                    let done = if *left == 0 { kept.take() } else { None };
                    if *left == 0 && *padding == 0 {
                        self.state = TarState::Header;
                    }
                    if let Some(kept) = done {
                        self.check(|check| check.read_kept(kept));
                    }
                }
                TarState::End { garbage } => {
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

    /// Ends the tar and returns the report.
    pub(crate) fn finish(mut self) -> TarReport {
        let verdict = self.verdict();
        // The entries of a truncated tar are incomplete, so they are not compared.
        let findings = if matches!(verdict, Verdict::Truncated(_)) { Vec::new() } else { self.layer.finish() };
        TarReport { verdict, looks_like_images: self.layer.looks_like_images(), findings }
    }

    fn verdict(&mut self) -> Verdict {
        if let Some(fault) = self.fault.take() {
            return Verdict::Malformed(fault);
        }
        let no_end = |text: &str| Verdict::Odd(format!("it {text}, without the two blocks of zeros that end a tar"));
        let truncated = |text: &str| Verdict::Truncated(text.to_owned());
        let is_extended =
            |kept: &Option<Kept>| kept.as_ref().is_some_and(|kept| kept.kind != KeptKind::ArchiveManifest);
        match &self.state {
            _ if !self.block.is_empty() => truncated("it ends within a header"),
            TarState::Content { kept, .. } if is_extended(kept) => truncated("it ends within an extended header"),
            TarState::Content { left: 1.., .. } | TarState::SparseMap { .. } => {
                truncated(&format!("it ends within '{}'", shown(&self.name)))
            }
            TarState::Header | TarState::Content { .. } if self.next.is_expected => Verdict::HeaderWithoutEntry,
            _ if self.next.is_expected => Verdict::Odd(ORPHAN.to_owned()),
            TarState::Header | TarState::Content { .. } => no_end("ends after an entry"),
            TarState::FirstZeros => no_end("ends after one block of zeros"),
            TarState::End { garbage: 0 } => Verdict::Sound,
            TarState::End { .. } => Verdict::Odd("data follows the end of it".to_owned()),
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
            TarState::SparseMap { content } => {
                sparse_map(&block[..504])
                    .ok_or_else(|| format!("the sparse map of '{}' is malformed", shown(&self.name)))?;
                if block[504] == 0 {
                    self.start_content(content, None);
                }
                Ok(())
            }
            TarState::FirstZeros if !is_zero => {
                Err(format!("a block of zeros stands between its entries, after '{}'", shown(&self.name)))
            }
            TarState::FirstZeros => {
                self.state = TarState::End { garbage: 0 };
                Ok(())
            }
            _ if is_zero => {
                self.state = TarState::FirstZeros;
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
                format!("the checksum of the header after '{}' is wrong", shown(&self.name))
            });
        }
        let kind = block[156];
        let is_extended = matches!(kind, b'x' | b'g' | b'L' | b'K');
        let name = if is_extended { text(&block[..100]).to_vec() } else { self.next.path_of(block) };
        let wrong = |field: &str| format!("the {field} of '{}' is not a number", shown(&name));
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
        let size = u64::try_from(size).map_err(|_| format!("the size of '{}' is {size}", shown(&name)))?;
        if is_extended {
            if size > EXTENDED_LIMIT {
                return Err(format!("an extended header has {size} bytes, more than {EXTENDED_LIMIT}"));
            }
            let kind = match kind {
                b'x' => KeptKind::Pax,
                b'g' => KeptKind::GlobalPax,
                b'L' => KeptKind::LongPath,
                _ => KeptKind::LongLink,
            };
            self.next.is_expected |= kind != KeptKind::GlobalPax;
            self.start_content(size, Some(kind));
            return Ok(());
        }
        self.name = name;
        let next = std::mem::take(&mut self.next);
        // Links, devices, directories and pipes have no content, even if their size is not zero.
        let has_content = !matches!(kind, b'1'..=b'6');
        let size = if has_content { next.size.unwrap_or(size) } else { 0 };
        // The name of a volume header is not the name of a file.
        let is_archive_manifest = if kind == b'V' { false } else { self.layer.entry(&self.name, block, size, &next) };
        let has_map = kind == b'S' && is_gnu;
        if has_map {
            let map = sparse_map(&block[386..482]).and(number(&block[483..495]));
            map.ok_or_else(|| format!("the sparse map of '{}' is malformed", shown(&self.name)))?;
            if block[482] != 0 {
                self.state = TarState::SparseMap { content: size };
                return Ok(());
            }
        }
        let is_kept = is_archive_manifest && size <= ARCHIVE_MANIFEST_LIMIT;
        self.start_content(size, is_kept.then_some(KeptKind::ArchiveManifest));
        Ok(())
    }

    fn start_content(&mut self, left: u64, kept: Option<KeptKind>) {
        let padding = (BLOCK as u64 - left % BLOCK as u64) % BLOCK as u64;
        let kept = kept.map(|kind| Kept { kind, content: Vec::new() });
        self.state = if left == 0 { TarState::Header } else { TarState::Content { left, padding, kept } };
    }

    fn read_kept(&mut self, kept: Kept) -> Result<(), String> {
        let Kept { kind, content } = kept;
        match kind {
            KeptKind::Pax => self.read_pax(&content, false)?,
            KeptKind::GlobalPax => {
                self.read_pax(&content, true)?;
                self.layer.global_header();
            }
            KeptKind::LongPath => self.next.long_path = Some(text(&content).to_vec()),
            KeptKind::LongLink => self.next.long_link = Some(text(&content).to_vec()),
            KeptKind::ArchiveManifest => self.layer.archive_manifest(&content),
        }
        Ok(())
    }

    /// Parses the records of a pax header: `length key=value\n`.
    fn read_pax(&mut self, content: &[u8], is_global: bool) -> Result<(), String> {
        let mut rest = content;
        while !rest.is_empty() {
            let (key, value, after) = record(rest).ok_or("a record of an extended header is malformed")?;
            rest = after;
            let key = std::str::from_utf8(key).map_err(|_| "a key of an extended header is not UTF-8")?;
            let is_name = matches!(key, "path" | "linkpath" | "uname" | "gname");
            let has_nul = |bytes: &[u8]| bytes.contains(&0);
            if key.is_empty() || if is_name { has_nul(value) } else { has_nul(key.as_bytes()) } {
                return Err(format!("the record '{}' of an extended header is malformed", shortened(key)));
            }
            let shown = std::str::from_utf8(value).unwrap_or("?");
            let is_right = match key {
                // An empty value resets the value of a global header.
                _ if value.is_empty() => true,
                "size" => shown.parse::<i64>().is_ok_and(|size| size >= 0),
                "uid" | "gid" => shown.parse::<i64>().is_ok(),
                "mtime" | "atime" | "ctime" => is_time(shown),
                _ => true,
            };
            if !is_right {
                return Err(format!("the record '{key}' of an extended header is '{}'", shortened(shown)));
            }
            if !is_global {
                self.next.take_record(key, value);
            }
        }
        Ok(())
    }
}

/// Checks the offsets and lengths in a map of a sparse file.
fn sparse_map(bytes: &[u8]) -> Option<()> {
    bytes.chunks(12).all(|field| number(field).is_some_and(|number| number >= 0)).then_some(())
}

/// Returns whether a text is a pax time: seconds with an optional fraction.
fn is_time(text: &str) -> bool {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    seconds.parse::<i64>().is_ok() && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(content: &[u8], piece: usize) -> Verdict {
        let mut check = TarCheck::new(Look::Format);
        content.chunks(piece).for_each(|piece| check.update(piece));
        check.finish().verdict
    }

    /// Returns a ustar header.
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
        let truncated = |text: &str| Verdict::Truncated(text.to_owned());
        let no_end = "without the two blocks of zeros that end a tar";
        let mut minus = tar::Header::from_byte_slice(&header("minus", b'0', 0)).clone();
        minus.as_mut_bytes()[124..136].fill(0xff);
        minus.set_cksum();
        let mut text = tar::Header::from_byte_slice(&header("text", b'0', 0)).clone();
        text.as_mut_bytes()[124..136].copy_from_slice(b"8 bytes.....");
        text.set_cksum();
        let mut flipped = file.clone();
        flipped[0] ^= 1;
        let mut sparse = tar::Header::new_gnu();
        sparse.set_path("sparse").expect("a short name");
        sparse.set_entry_type(tar::EntryType::GNUSparse);
        sparse.set_size(0);
        sparse.as_gnu_mut().expect("a GNU header").isextended = [1];
        sparse.set_cksum();
        let sparse = sparse.as_bytes().to_vec();
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
            (vec![file[..518].to_vec()], truncated("it ends within 'file'")),
            (vec![file[..100].to_vec()], truncated("it ends within a header")),
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
            // Truncated between an extended header and the end of its entry.
            (vec![entry("x", b'x', b"10 size=7\n")], Verdict::HeaderWithoutEntry),
            (vec![entry("x", b'L', b"a long name\0")], Verdict::HeaderWithoutEntry),
            (
                vec![file.clone(), header("x", b'x', 10), b"10 si".to_vec()],
                truncated("it ends within an extended header"),
            ),
            (vec![file.clone(), header("x", b'L', 300)], truncated("it ends within an extended header")),
            (vec![file.clone(), header("g", b'g', 10)], truncated("it ends within an extended header")),
            (vec![file.clone(), header("next", b'0', 1), vec![]], truncated("it ends within 'next'")),
            (
                vec![entry("x", b'x', b"15 path=a/long\n"), header("a", b'0', 5000), vec![7; 4999]],
                truncated("it ends within 'a/long'"),
            ),
            (
                vec![entry("x", b'L', b"the/real/name\0"), header("a", b'0', 5000)],
                truncated("it ends within 'the/real/name'"),
            ),
            (vec![sparse.clone()], truncated("it ends within 'sparse'")),
            (vec![sparse.clone(), vec![0; 100]], truncated("it ends within a header")),
            (vec![file.clone(), vec![0; 100]], truncated("it ends within a header")),
            (vec![file.clone(), vec![0; BLOCK + 100]], truncated("it ends within a header")),
        ];
        for (at, (parts, expected)) in cases.into_iter().enumerate() {
            let content = parts.concat();
            for piece in [1, 7, 512, 1 << 20] {
                assert_eq!(verdict(&content, piece), expected, "case {at}");
            }
        }
    }
}
