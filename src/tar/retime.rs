//! Changes the times of an entry where they stand in its headers. All other bytes stay.

use super::header_fields::{BLOCK, change_header, number, pax_record, record};
use super::raw_headers::{has_record, push, put_record, size_of};

/// The field for the modification time.
const MODIFIED: usize = 136;

/// The records of pax headers that are times.
const RECORDS: [&[u8]; 4] = [b"mtime", b"atime", b"ctime", b"LIBARCHIVE.creationtime"];

/// The fields of GNU headers for the times of the last access and the last change.
const OF_GNU: [usize; 2] = [345, 357];

/// These fields in the headers of star.
const OF_STAR: [usize; 2] = [476, 488];

/// The first time that eleven octal digits cannot hold.
const LIMIT: i64 = 1 << 33;

/// A change of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeChange {
    /// Every time becomes this one, in seconds since 1970.
    Set(i64),
    /// Later times become this one, in seconds since 1970.
    Clamp(i64),
}

impl TimeChange {
    /// Returns the seconds of the change.
    pub fn seconds(self) -> i64 {
        let (Self::Set(seconds) | Self::Clamp(seconds)) = self;
        seconds
    }

    /// Returns the time after the change. A time with a fraction is later than its second.
    fn of(self, seconds: i64, has_fraction: bool) -> Option<i64> {
        match self {
            Self::Set(to) => Some(to),
            Self::Clamp(to) => (seconds > to || seconds == to && has_fraction).then_some(to),
        }
    }
}

/// Returns the headers of an entry with other times: those of its header, of the extended headers before it, and of their
/// records.
pub(crate) fn with_times(headers: &[u8], change: TimeChange) -> Vec<u8> {
    let mut out = Vec::with_capacity(headers.len());
    let mut rest = headers;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        let mut block = *block;
        if !matches!(block[156], b'x' | b'L' | b'K') {
            let others = if block[257..265] == *b"ustar  \0" { Some(OF_GNU) } else { None };
            let others = others.or((block[508..512] == *b"tar\0").then_some(OF_STAR));
            let too_long = change_header(&mut block, |block| {
                for at in others.into_iter().flatten() {
                    if block[at] != 0 {
                        set_field(block, at, change);
                    }
                }
                set_field(block, MODIFIED, change)
            });
            let header = out.len();
            out.extend(block);
            // The map of a sparse file follows.
            out.extend(after);
            // Where an extended header has the record already, it was changed with the others.
            if let Some(time) = too_long.filter(|_| !has_record(&out[..header], b"mtime")) {
                put_record(&mut out, b"mtime", Some(time.to_string().as_bytes()));
            }
            return out;
        }
        let size = size_of(&block);
        let (content, after) = after.split_at(size.next_multiple_of(BLOCK).min(after.len()));
        rest = after;
        change_header(&mut block, |block| set_field(block, MODIFIED, change));
        let records = &content[..size.min(content.len())];
        let changed = if block[156] == b'x' { change_records(records, change) } else { Vec::new() };
        // Records that stay have their padding too.
        if block[156] != b'x' || changed == records {
            out.extend(block);
            out.extend(content);
        } else {
            push(&mut out, block, &changed);
        }
    }
    out
}

/// Changes a time field. Returns the time if the field cannot hold it: the field is 0 then. A time that stays has its bytes.
fn set_field(block: &mut [u8; BLOCK], at: usize, change: TimeChange) -> Option<i64> {
    let before = number(&block[at..at + 12]);
    let to = change.of(before.unwrap_or(0), false).filter(|to| before != Some(*to))?;
    let fits = (0..LIMIT).contains(&to);
    let digits = format!("{:011o}\0", if fits { to } else { 0 });
    block[at..at + 12].copy_from_slice(digits.as_bytes());
    (!fits).then_some(to)
}

/// Returns the records of a pax header with other times.
fn change_records(mut rest: &[u8], change: TimeChange) -> Vec<u8> {
    let mut records = Vec::with_capacity(rest.len());
    while let Some((key, value, after)) = record(rest) {
        let changed = if RECORDS.contains(&key) { changed_time(value, change) } else { None };
        match changed {
            Some(to) => records.extend(pax_record(key, to.to_string().as_bytes())),
            None => records.extend(&rest[..rest.len() - after.len()]),
        }
        rest = after;
    }
    records
}

/// Returns the time of a record after a change; `None` if it stays. An empty value stays empty.
fn changed_time(value: &[u8], change: TimeChange) -> Option<i64> {
    let value = std::str::from_utf8(value).ok().filter(|value| !value.is_empty())?;
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
    let whole: i64 = seconds.parse().ok()?;
    let has_fraction = fraction.bytes().any(|digit| digit != b'0');
    // -1.5 is before -1.
    let is_later = has_fraction && !seconds.starts_with('-');
    change.of(whole, is_later).filter(|to| has_fraction || *to != whole)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::header_fields::set_checksum;
    use super::super::reader::TarReader;
    use super::super::write::extended_header;
    use super::*;

    /// Returns the headers of the first entry of a tar after a change, and its modification time as it is read then.
    fn changed(tar: &[u8], change: TimeChange) -> (Vec<u8>, i64) {
        let mut reader = TarReader::keeping_headers(tar);
        let size = reader.next().expect("read").expect("an entry").size;
        let headers = with_times(reader.raw_headers(), change);
        let tar = [&headers[..], &vec![b'x'; size.next_multiple_of(512) as usize]].concat();
        let mut reader = TarReader::new(tar.as_slice());
        let header = reader.next().expect("read").expect("an entry");
        let mut content = Vec::new();
        reader.read_to_end(&mut content).expect("read");
        assert_eq!(content.len() as u64, size);
        (headers, header.modified())
    }

    /// Returns a tar of one file with some records, whose own header has a time.
    fn tar_of(records: &[(&str, &str)], modified: u64, is_gnu: bool) -> Vec<u8> {
        let mut tar = Vec::new();
        if !records.is_empty() {
            let records: Vec<u8> =
                records.iter().flat_map(|(key, value)| pax_record(key.as_bytes(), value.as_bytes())).collect();
            push(&mut tar, extended_header(b"f", records.len()), &records);
        }
        let mut header = if is_gnu { ::tar::Header::new_gnu() } else { ::tar::Header::new_ustar() };
        header.set_path("f").expect("a short name");
        header.set_size(3);
        header.set_mtime(modified);
        if let Some(header) = header.as_gnu_mut() {
            header.set_atime(modified);
        }
        header.set_cksum();
        tar.extend(header.as_bytes());
        tar.extend([0; BLOCK]);
        tar
    }

    #[test]
    fn h3_times_of_headers_and_records_change_and_nothing_else() {
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        let times =
            [("path", "f"), ("mtime", "99.5"), ("atime", "7"), ("ctime", "200"), ("LIBARCHIVE.creationtime", "300.25")];
        let (headers, modified) = changed(&tar_of(&times, 99, false), TimeChange::Clamp(100));
        assert_eq!(modified, 99);
        for text in
            ["9 path=f\n", "14 mtime=99.5\n", "11 atime=7\n", "13 ctime=100\n", "31 LIBARCHIVE.creationtime=100\n"]
        {
            assert!(has(&headers, text), "{text}");
        }
        let (headers, modified) = changed(&tar_of(&times, 99, false), TimeChange::Set(50));
        assert_eq!(modified, 50);
        for text in ["12 mtime=50\n", "12 atime=50\n", "12 ctime=50\n", "30 LIBARCHIVE.creationtime=50\n"] {
            assert!(has(&headers, text), "{text}");
        }
        // A fraction is later than its second, and a time that stays has its bytes.
        assert!(has(&changed(&tar_of(&times, 99, false), TimeChange::Clamp(99)).0, "12 mtime=99\n"));
        let tar = tar_of(&times, 99, false);
        assert_eq!(changed(&tar, TimeChange::Clamp(300)).0.len(), tar.len() - BLOCK);
        let before_1970 = [("mtime", "-1.5")];
        assert!(has(&changed(&tar_of(&before_1970, 0, false), TimeChange::Clamp(-1)).0, "14 mtime=-1.5\n"));
        // GNU's header has the times of the last access and the last change too.
        let (headers, modified) = changed(&tar_of(&[], 1000, true), TimeChange::Set(8));
        assert_eq!((modified, &headers[345..357]), (8, &b"00000000010\0"[..]));
        assert_eq!(headers[357], 0);
    }

    #[test]
    fn h4_headers_without_a_time_that_changes_keep_their_bytes() {
        let records = [("path", "f"), ("mtime", "99.50"), ("atime", "7")];
        let mut tar = tar_of(&records, 99, true);
        // Checksums as GNU tar writes them, a time with spaces, and padding that is not zero.
        tar[3 * BLOCK - BLOCK - 1] = b'x';
        for block in tar.chunks_mut(BLOCK).take(3).step_by(2) {
            let block: &mut [u8; BLOCK] = block.try_into().expect("a block");
            block[136..148].copy_from_slice(b"        143 ");
            set_checksum(block);
            block.copy_within(149..155, 148);
            block[154..156].copy_from_slice(b"\0 ");
        }
        let headers = &tar[..tar.len() - BLOCK];
        for change in [TimeChange::Clamp(100), TimeChange::Clamp(i64::MAX)] {
            let after = changed(&tar, change).0;
            let differs = after.iter().zip(headers).position(|(after, before)| after != before);
            assert_eq!((differs, after.len()), (None, headers.len()));
        }
        let no_records = tar_of(&[], 99, true);
        assert_eq!(changed(&no_records, TimeChange::Set(99)).0, no_records[..BLOCK]);
        // A header that changes keeps the form of its checksum, and the records that stay theirs.
        let after = changed(&tar, TimeChange::Clamp(98)).0;
        for at in [0, 2 * BLOCK] {
            assert_eq!(after[at + 154..at + 156], *b"\0 ");
        }
    }

    #[test]
    fn a_time_that_its_field_cannot_hold_gets_a_record() {
        for records in [vec![], vec![("path", "g")], vec![("mtime", "5")]] {
            for time in [-7, 1 << 33] {
                let (headers, modified) = changed(&tar_of(&records, 9, false), TimeChange::Set(time));
                assert_eq!(modified, time, "{records:?}");
                assert_eq!(headers.len(), 3 * BLOCK);
            }
        }
    }
}
