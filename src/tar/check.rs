//! Checks the format of a tar as a stream, with little memory.

use super::decode::{Decoder, Step, Stop};
use super::fault::{Flaw, ORPHAN, TarReport, Verdict};
use super::header_fields::BLOCK;
use super::layer::{LayerCheck, Look};
use crate::text::shown;

/// The largest `manifest.json` that is read to detect an image archive.
const ARCHIVE_MANIFEST_LIMIT: u64 = 1024 * 1024;

/// Checks a tar.
pub(crate) struct TarCheck {
    decoder: Decoder,
    next: Next,
    /// The start of an incomplete block.
    block: Vec<u8>,
    /// The first fault. Checking stops here, because the rest may be garbage.
    fault: Option<String>,
    layer: LayerCheck,
}

/// The part of the tar to which the next bytes belong.
enum Next {
    Block,
    /// Content and its padding. `kept` collects content that is parsed.
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
    /// An extended header.
    Extended,
    /// A `manifest.json`: the tar may be an image archive.
    ArchiveManifest,
}

impl TarCheck {
    /// Starts checking a tar. Entries are checked only for layers of images, as `look` selects.
    pub(crate) fn new(look: Look) -> Self {
        Self {
            decoder: Decoder::default(),
            next: Next::Block,
            block: Vec::with_capacity(BLOCK),
            fault: None,
            layer: LayerCheck::new(look),
        }
    }

    /// Checks the next bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.fault.is_none() {
            match &mut self.next {
                Next::Content { left, padding, kept } => {
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
                        self.next = Next::Block;
                    }
                    if let Some(kept) = done {
                        self.check(|check| check.read_kept(kept));
                    }
                }
                Next::End { garbage } => {
                    *garbage += bytes.iter().filter(|byte| **byte != 0).count() as u64;
                    return;
                }
                Next::Block => {
                    let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
                    self.block.extend(taken);
                    bytes = rest;
                    if let Ok(block) = <&[u8; BLOCK]>::try_from(self.block.as_slice()) {
                        let step = self.decoder.block(block);
                        self.block.clear();
                        self.check(|check| {
                            check.follow(step?);
                            Ok(())
                        });
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
        let outline = self.layer.take_outline();
        TarReport { verdict, looks_like_images: self.layer.looks_like_images(), findings, outline }
    }

    fn verdict(&mut self) -> Verdict {
        if let Some(fault) = self.fault.take() {
            return Verdict::Malformed(fault);
        }
        let no_end = |text: &str| Verdict::Odd(format!("it {text}, without the two blocks of zeros that end a tar"));
        let truncated = |text: &str| Verdict::Truncated(text.to_owned());
        let within_entry = || truncated(&format!("it ends within '{}'", shown(self.decoder.name())));
        let expects_entry = self.decoder.expects_entry();
        match (self.decoder.stop(), &self.next) {
            _ if !self.block.is_empty() => truncated("it ends within a header"),
            (Stop::Extended, _) => truncated("it ends within an extended header"),
            // Only the padding is missing of an extended header that was read.
            (_, Next::Content { left: 1.., .. }) | (Stop::SparseMap, _) => within_entry(),
            (Stop::Header, _) if expects_entry => Verdict::HeaderWithoutEntry,
            _ if expects_entry => Verdict::Odd(ORPHAN.to_owned()),
            (Stop::Header, _) => no_end("ends after an entry"),
            (Stop::FirstZeros, _) => no_end("ends after one block of zeros"),
            (Stop::End, Next::End { garbage: 1.. }) => Verdict::Odd("data follows the end of it".to_owned()),
            (Stop::End, _) => Verdict::Sound,
        }
    }

    fn check(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Flaw>) {
        if let Err(flaw) = step(self) {
            self.fault = Some(flaw.to_string());
        }
    }

    fn follow(&mut self, step: Step) {
        match step {
            Step::Block => {}
            Step::Extended(size) => self.start_content(size, Some(KeptKind::Extended)),
            Step::Entry(header) => {
                // The name of a volume header is not the name of a file.
                let is_archive_manifest = header.flag() != b'V' && self.layer.entry(&header);
                let is_kept = is_archive_manifest && header.size <= ARCHIVE_MANIFEST_LIMIT;
                self.start_content(header.size, is_kept.then_some(KeptKind::ArchiveManifest));
            }
            Step::End => self.next = Next::End { garbage: 0 },
        }
    }

    fn start_content(&mut self, left: u64, kept: Option<KeptKind>) {
        let padding = (BLOCK as u64 - left % BLOCK as u64) % BLOCK as u64;
        let kept = kept.map(|kind| Kept { kind, content: Vec::new() });
        self.next = if left == 0 { Next::Block } else { Next::Content { left, padding, kept } };
    }

    fn read_kept(&mut self, Kept { kind, content }: Kept) -> Result<(), Flaw> {
        match kind {
            KeptKind::Extended => {
                if self.decoder.extended(&content)? == b'g' {
                    self.layer.global_header();
                }
            }
            KeptKind::ArchiveManifest => self.layer.archive_manifest(&content),
        }
        Ok(())
    }
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
