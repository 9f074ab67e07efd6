//! The fields of tar headers: numbers, checksums, names and pax records.

/// The block size of a tar.
pub(crate) const BLOCK: usize = 512;

/// The largest extended header that is read. Go's reader, and so every engine, has the same limit.
pub(crate) const EXTENDED_LIMIT: u64 = 1024 * 1024;

/// The field for the checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Returns whether a tar begins with these bytes: a header with a correct checksum, or the two blocks of zeros that
/// make up an empty tar.
pub(crate) fn looks_like_tar(start: &[u8]) -> bool {
    let Some((header, rest)) = start.split_at_checked(BLOCK) else { return false };
    if header.iter().all(|byte| *byte == 0) {
        return rest.len() >= BLOCK && rest[..BLOCK].iter().all(|byte| *byte == 0);
    }
    has_right_checksum(header)
}

/// Returns whether the checksum of a header is correct: the sum of all bytes, with spaces in place of the checksum
/// (POSIX, pax, "ustar Interchange Format"). Some old programs summed signed bytes.
pub(crate) fn has_right_checksum(header: &[u8]) -> bool {
    let Some(expected) = number(&header[CHECKSUM]) else { return false };
    let bytes = || header.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    expected == unsigned || expected == signed
}

/// Sets the checksum of a header: the sum of all bytes, with spaces in place of the checksum.
pub(crate) fn set_checksum(header: &mut [u8; BLOCK]) {
    header[CHECKSUM].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

/// Changes a header that another program wrote. One that changes keeps the form of its checksum, one that does not its bytes.
pub(crate) fn change_header<T>(header: &mut [u8; BLOCK], change: impl FnOnce(&mut [u8; BLOCK]) -> T) -> T {
    let before = *header;
    let result = change(header);
    if *header != before {
        set_checksum(header);
        let digits = header[CHECKSUM].iter().position(|byte| *byte != b'0').unwrap_or(0);
        let sum = text(&header[CHECKSUM][digits..]).to_vec();
        if let Some(field) = in_form_of(&before[CHECKSUM], &sum) {
            header[CHECKSUM].copy_from_slice(&field);
        }
    }
    result
}

/// Returns digits in the form of another field of a header: with its zeros or spaces before them, and its end.
fn in_form_of(field: &[u8], digits: &[u8]) -> Option<Vec<u8>> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'7');
    let first = field.iter().position(is_digit)?;
    let end = field[first..].iter().position(|byte| !is_digit(byte)).map_or(field.len(), |length| first + length);
    let is_padding = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b' ' | 0));
    if !is_padding(&field[..first]) || !is_padding(&field[end..]) {
        return None;
    }
    // Spaces before the digits may become digits.
    let start = end.checked_sub(digits.len())?;
    if field[start..].iter().take(first.saturating_sub(start)).any(|byte| *byte != b' ') {
        return None;
    }
    let mut formed = field.to_vec();
    let pad = if first == 0 || field[first] == b'0' { b'0' } else { b' ' };
    formed[first.min(start)..start].fill(pad);
    formed[start..end].copy_from_slice(digits);
    Some(formed)
}

/// Parses a number: octal digits surrounded by spaces and NULs, or base 256 if the first bit is set.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
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

/// Returns a field up to its first NUL.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Parses the first record of a pax header. Returns its key, its value and the remaining bytes.
pub(crate) fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = std::str::from_utf8(&bytes[..space]).ok().filter(|text| !text.starts_with('+'))?;
    let length: usize = digits.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

/// Returns a record of a pax header: its length, which includes itself, its name and its value.
pub(crate) fn pax_record(name: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", name, b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(name: &str) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_gnu();
        header.set_size(3);
        builder.append_data(&mut header, name, b"abc".as_slice()).expect("appended");
        builder.into_inner().expect("a tar")
    }

    #[test]
    fn a_tar_is_told_by_its_header_or_its_end() {
        assert!(looks_like_tar(&tar_of("file")));
        assert!(looks_like_tar(&[0; 1024]));
        assert!(!looks_like_tar(&[0; 512]));
        assert!(!looks_like_tar(&[0; 1023]));
        assert!(!looks_like_tar(&[b' '; 1024]));
        assert!(!looks_like_tar(b""));
        let mut broken = tar_of("file");
        broken[0] ^= 1;
        assert!(!looks_like_tar(&broken));
        let mut sign = tar_of("file");
        sign[148..156].copy_from_slice(b"-1234567");
        assert!(!looks_like_tar(&sign));
    }

    #[test]
    fn h4_a_checksum_keeps_its_form() {
        for (field, expected) in [
            (b"006104\0 ", b"006105\0 "),
            (b"0006104\0", b"0006105\0"),
            (b"  6104\0 ", b"  6105\0 "),
            (b"6104\0   ", b"6105\0   "),
            (b"   104\0 ", b"  6105\0 "),
            (b" 16104\0 ", b"  6105\0 "),
            (b" 006104\0", b" 006105\0"),
            (b"00006104", b"00006105"),
            // In a form that cannot hold the sum it gets the usual one.
            (b"104\0 \0  ", b"0006105\0"),
            (b"        ", b"0006105\0"),
        ] {
            let mut header = [0; BLOCK];
            header[CHECKSUM].copy_from_slice(field);
            change_header(&mut header, |header| header[0] = 0);
            assert_eq!(&header[CHECKSUM], field);
            // With the eight spaces of the field, the bytes sum up to 6105 in octal digits.
            change_header(&mut header, |header| {
                header[..11].fill(0xff);
                header[11] = 80;
            });
            assert_eq!(header[CHECKSUM].escape_ascii().to_string(), expected.escape_ascii().to_string());
            assert!(has_right_checksum(&header));
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

    #[test]
    fn the_length_of_a_pax_record_counts_itself() {
        assert_eq!(pax_record(b"path", b"x"), b"9 path=x\n");
        for length in [80, 88, 89, 90, 91, 92, 990, 991, 992] {
            let record = pax_record(b"path", "x".repeat(length).as_bytes());
            assert!(record.starts_with(format!("{} path=", record.len()).as_bytes()));
        }
    }
}
