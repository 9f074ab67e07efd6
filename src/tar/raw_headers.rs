//! Changes the headers of an entry where they stand in a tar: its name, or the target of a link. All other fields stay.

use super::header_fields::{BLOCK, change_header, number, pax_record, record, text};
use super::write::extended_header;

/// The fields for the name, for the target of a link, and for the prefix of a name.
const NAME: std::ops::Range<usize> = 0..100;
const TARGET: std::ops::Range<usize> = 157..257;
const PREFIX: std::ops::Range<usize> = 345..500;

/// Returns the headers of an entry with another path.
pub(crate) fn renamed(headers: &[u8], path: &[u8]) -> Vec<u8> {
    let mut headers = without_long(headers, b'L');
    // The name of a sparse file, where pax has it.
    if has_record(&headers, b"GNU.sparse.name") {
        put_record(&mut headers, b"GNU.sparse.name", Some(path));
    }
    put_text(&mut headers, NAME, b"path", path);
    headers
}

/// Returns the headers of a link with another target.
pub(crate) fn relinked(headers: &[u8], target: &[u8]) -> Vec<u8> {
    let mut headers = without_long(headers, b'K');
    put_text(&mut headers, TARGET, b"linkpath", target);
    headers
}

/// A block of headers with its content, such as records.
#[derive(Clone, Copy)]
struct Part {
    at: usize,
    flag: u8,
    size: usize,
}

impl Part {
    fn end(self) -> usize {
        self.at + BLOCK + self.size.next_multiple_of(BLOCK)
    }
}

/// Returns the extended headers of an entry, and the offset of its own header.
fn parts(headers: &[u8]) -> (Vec<Part>, usize) {
    let (mut parts, mut at) = (Vec::new(), 0);
    while at + BLOCK <= headers.len() && matches!(headers[at + 156], b'x' | b'L' | b'K') {
        let part = Part { at, flag: headers[at + 156], size: size_of(&headers[at..at + BLOCK]) };
        parts.push(part);
        at = part.end();
    }
    (parts, at)
}

/// Returns the size in a header.
pub(super) fn size_of(block: &[u8]) -> usize {
    number(&block[124..136]).and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
}

/// Adds a pax header with its records.
pub(super) fn push(out: &mut Vec<u8>, mut block: [u8; BLOCK], records: &[u8]) {
    if size_of(&block) != records.len() {
        change_header(&mut block, |block| {
            block[124..136].copy_from_slice(format!("{:011o}\0", records.len()).as_bytes());
        });
    }
    out.extend(block);
    out.extend(records);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// Returns headers without those of GNU for a long name or target.
fn without_long(headers: &[u8], flag: u8) -> Vec<u8> {
    let mut kept = headers.to_vec();
    for part in parts(headers).0.into_iter().rev().filter(|part| part.flag == flag) {
        kept.drain(part.at..part.end());
    }
    kept
}

/// Sets a text: in its field if it fits, and otherwise in a record.
fn put_text(headers: &mut Vec<u8>, field: std::ops::Range<usize>, key: &[u8], value: &[u8]) {
    let fits = value.len() <= field.len();
    put_record(headers, key, (!fits).then_some(value));
    let at = parts(headers).1;
    let Some(block) = headers.get_mut(at..at + BLOCK) else { return };
    let block: &mut [u8; BLOCK] = block.try_into().expect("a block");
    change_header(block, |block| {
        let length = value.len().min(field.len());
        block[field.clone()].fill(0);
        block[field.start..field.start + length].copy_from_slice(&value[..length]);
        let is_ustar = block[257..263] == *b"ustar\0";
        if field == NAME && is_ustar {
            let end = if block[508..512] == *b"tar\0" { PREFIX.start + 131 } else { PREFIX.end };
            block[PREFIX.start..end].fill(0);
        }
    });
}

/// Returns whether the pax header of an entry has a record.
pub(super) fn has_record(headers: &[u8], key: &[u8]) -> bool {
    let (parts, _) = parts(headers);
    parts.iter().filter(|part| part.flag == b'x').any(|part| {
        let mut rest = &headers[part.at + BLOCK..part.at + BLOCK + part.size];
        std::iter::from_fn(|| {
            let (found, _, after) = record(rest)?;
            rest = after;
            Some(found == key)
        })
        .any(|is_it| is_it)
    })
}

/// Sets a record of the pax header of an entry, or removes it. Makes or removes the header if need be.
pub(super) fn put_record(headers: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    let (parts, header) = parts(headers);
    let added = value.map_or_else(Vec::new, |value| pax_record(key, value));
    // Of several pax headers the last counts.
    let Some(part) = parts.into_iter().rfind(|part| part.flag == b'x') else {
        if !added.is_empty() {
            let path = text(&headers[header..header + NAME.end]).to_vec();
            let mut made = Vec::new();
            push(&mut made, extended_header(&path, added.len()), &added);
            headers.splice(header..header, made);
        }
        return;
    };
    let mut kept = Vec::new();
    let mut rest = &headers[part.at + BLOCK..part.at + BLOCK + part.size];
    while let Some((found, _, after)) = record(rest) {
        if found != key {
            kept.extend(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    kept.extend(added);
    let mut replaced = Vec::new();
    if !kept.is_empty() {
        let block = headers[part.at..part.at + BLOCK].try_into().expect("a block");
        push(&mut replaced, block, &kept);
    }
    headers.splice(part.at..part.end(), replaced);
}

#[cfg(test)]
mod tests {
    use super::super::reader::TarReader;
    use super::super::write::TarWriter;
    use super::super::written_entry::{EntryKind, TarEntry, Xattr};
    use super::*;

    #[test]
    fn h4_a_name_changes_and_all_other_fields_stay() {
        let long = ["d".repeat(90), "f".repeat(120)].join("/");
        let xattrs: [Xattr; 1] = [(b"user.x"[..].into(), b"1"[..].into())];
        for (before, after) in [("a", "b"), ("a", &long), (&long, "b"), (&long, &"x".repeat(300))] {
            let kind = EntryKind::HardLink { target: before.as_bytes() };
            let entry = TarEntry {
                path: before.as_bytes(),
                kind,
                mode: 0o4711,
                uid: 3_000_000,
                gid: 7,
                modified: -3,
                xattrs: &xattrs,
            };
            let mut tar = TarWriter::new(Vec::new());
            tar.file(&entry, b"").expect("written");
            let tar = tar.finish().expect("written");
            let mut reader = TarReader::keeping_headers(tar.as_slice());
            reader.next().expect("read").expect("an entry");
            let changed = relinked(&renamed(reader.raw_headers(), after.as_bytes()), after.as_bytes());
            let header = TarReader::new(changed.as_slice()).next().expect("read").expect("an entry");
            assert_eq!((header.path.as_slice(), header.target()), (after.as_bytes(), after.as_bytes()));
            assert_eq!((header.mode(), header.uid(), header.gid(), header.modified()), (0o4711, 3_000_000, 7, -3));
            assert_eq!(header.xattrs(), xattrs);
        }
        let gnu = |path: &str| {
            let mut tar = ::tar::Builder::new(Vec::new());
            let mut header = ::tar::Header::new_gnu();
            header.set_size(0);
            header.set_mtime(5);
            tar.append_data(&mut header, path, &b""[..]).expect("written");
            tar.into_inner().expect("written")
        };
        for after in ["b", &long] {
            let tar = gnu(&long);
            let mut reader = TarReader::keeping_headers(tar.as_slice());
            reader.next().expect("read").expect("an entry");
            let changed = renamed(reader.raw_headers(), after.as_bytes());
            let header = TarReader::new(changed.as_slice()).next().expect("read").expect("an entry");
            assert_eq!((header.path.as_slice(), header.modified()), (after.as_bytes(), 5));
        }
    }
}
