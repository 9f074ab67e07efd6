//! Compact JSON text with sorted keys, the form of blobs.
//!
//! Members are appended in any order. At the end all objects are sorted in a single pass, which copies each byte once
//! at any depth of nesting.

use std::cmp::Ordering;

use super::error::JsonError;
use super::read::{Next, Number, Reader};

/// The size in bytes from which arrays and objects are indexed, so that sorting skips them without a scan.
const LONG: usize = 64;

const SOUND: &str = "the text is sound";

/// A value that is being appended to a text. The members of an object can come in any order. The last member counts if
/// a key is repeated.
#[derive(Default)]
pub(super) struct SortedText {
    text: String,
    /// Whether the members of an object came out of order.
    is_unsorted: bool,
}

impl SortedText {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity), is_unsorted: false }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.text.truncate(length);
    }

    /// Appends a bracket, a comma, a literal or a sorted value.
    pub(super) fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn push_number(&mut self, number: Number<'_>) {
        push_number(&mut self.text, number);
    }

    pub(super) fn push_string(&mut self, text: &str) {
        push_string(&mut self.text, text);
    }

    /// Returns the sorted text.
    pub(super) fn finish(self) -> Box<str> {
        if !self.is_unsorted {
            return self.text.into();
        }
        let mut sorted = String::with_capacity(self.text.len());
        Sorter::new(&self.text).copy(&mut sorted);
        sorted.into()
    }
}

/// An object that is being appended.
pub(super) struct SortedObject {
    /// The offset of the last key; 0 if there is none.
    last: usize,
}

impl SortedObject {
    pub(super) fn begin(out: &mut SortedText) -> Self {
        out.push_str("{");
        Self { last: 0 }
    }

    /// Appends a key. The caller must append its value next.
    pub(super) fn key(&mut self, out: &mut SortedText, key: &str) {
        if self.last > 0 {
            out.push_str(",");
        }
        let at = out.len();
        out.push_string(key);
        if self.last > 0 && !out.is_unsorted {
            let bytes = out.text.as_bytes();
            out.is_unsorted = compare_keys(&bytes[self.last..], &bytes[at..]).is_ge();
        }
        self.last = at;
        out.push_str(":");
    }

    pub(super) fn end(self, out: &mut SortedText) {
        out.push_str("}");
    }
}

/// Copies compact text and sorts its objects.
struct Sorter<'a> {
    reader: Reader<'a>,
    /// The ranges of long objects and arrays, ordered by start.
    long: Vec<(u32, u32)>,
    /// The number of bytes scanned.
    #[cfg(test)]
    scanned: usize,
}

impl<'a> Sorter<'a> {
    fn new(text: &'a str) -> Self {
        let reader = Reader::from_text(text).unbounded();
        #[cfg(not(test))]
        return Self { reader, long: long_values(text) };
        #[cfg(test)]
        return Self { reader, long: long_values(text), scanned: text.len() };
    }

    /// Copies the next value.
    fn copy(&mut self, out: &mut String) {
        match self.peek() {
            b'{' => self.copy_object(out),
            b'[' => {
                loop {
                    // Copy the bracket or the comma.
                    self.copy_byte(out);
                    if self.peek() == b']' {
                        break;
                    }
                    self.copy(out);
                    if self.peek() == b']' {
                        break;
                    }
                }
                self.copy_byte(out);
            }
            _ => {
                let start = self.reader.at();
                self.skip();
                out.push_str(self.text(start));
            }
        }
    }

    fn copy_object(&mut self, out: &mut String) {
        let mut starts: Vec<u32> = Vec::new();
        while self.peek() != b'}' {
            self.go_to(self.reader.at() + 1);
            if self.peek() == b'}' {
                break;
            }
            starts.push(offset(self.reader.at()));
            self.skip();
            self.reader.colon().expect(SOUND);
            self.skip();
        }
        let end = self.reader.at();
        let bytes = self.reader.text().as_bytes();
        let key = |start: u32| &bytes[start as usize..];
        starts.sort_by(|one, other| compare_keys(key(*one), key(*other)));
        out.push('{');
        let mut is_first = true;
        for (at, start) in starts.iter().enumerate() {
            if starts.get(at + 1).is_some_and(|next| compare_keys(key(*start), key(*next)).is_eq()) {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                out.push(',');
            }
            self.go_to(*start as usize);
            self.skip();
            self.reader.colon().expect(SOUND);
            out.push_str(self.text(*start as usize));
            self.copy(out);
        }
        out.push('}');
        self.go_to(end + 1);
    }

    fn peek(&mut self) -> u8 {
        self.reader.peek_token().expect(SOUND)
    }

    fn go_to(&mut self, at: usize) {
        self.reader.go_to(at);
    }

    /// Returns the text from `start` to here.
    fn text(&self, start: usize) -> &'a str {
        &self.reader.text()[start..self.reader.at()]
    }

    fn copy_byte(&mut self, out: &mut String) {
        let start = self.reader.at();
        self.go_to(start + 1);
        out.push_str(self.text(start));
    }

    /// Skips the next value.
    fn skip(&mut self) {
        let start = self.reader.at();
        if matches!(self.peek(), b'{' | b'[')
            && let Ok(found) = self.long.binary_search_by_key(&offset(start), |(start, _)| *start)
        {
            return self.go_to(self.long[found].1 as usize);
        }
        self.reader.skip().expect(SOUND);
        #[cfg(test)]
        {
            self.scanned += self.reader.at() - start;
        }
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("documents are smaller")
}

/// Returns the ranges of the long objects and arrays in compact text.
fn long_values(text: &str) -> Vec<(u32, u32)> {
    let (mut long, mut open) = (Vec::new(), Vec::new());
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => open.push(at),
            b'}' | b']' => {
                let start = open.pop().expect(SOUND);
                if at - start >= LONG {
                    long.push((offset(start), offset(at + 1)));
                }
            }
            _ => {}
        }
    }
    long.sort_unstable();
    long
}

/// Appends a number: digits unchanged, the exponent with a lowercase `e` and a sign.
fn push_number(out: &mut String, Number(text): Number<'_>) {
    match text.split_once(['e', 'E']) {
        None => out.push_str(text),
        Some((digits, exponent)) => {
            out.push_str(digits);
            out.push('e');
            if !exponent.starts_with(['+', '-']) {
                out.push('+');
            }
            out.push_str(exponent);
        }
    }
}

/// Appends a string.
fn push_string(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    out.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x8 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            0xc => "\\f",
            b'\r' => "\\r",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[start..at]);
        out.push_str(escape);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        }
        start = at + 1;
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// Compares two keys by their unescaped bytes. The slices begin with the opening quotes.
fn compare_keys(one: &[u8], other: &[u8]) -> Ordering {
    Unescaped(&one[1..]).cmp(Unescaped(&other[1..]))
}

/// Iterates over the unescaped bytes of a string written by [`push_string`], up to its closing quote.
struct Unescaped<'a>(&'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match self.0 {
            [b'"', ..] | [] => return None,
            [b'\\', b'u', _, _, high, low, rest @ ..] => {
                let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
                (digit(*high) << 4 | digit(*low), rest)
            }
            [b'\\', escaped, rest @ ..] => {
                let byte = match escaped {
                    b'b' => 0x8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'f' => 0xc,
                    b'r' => b'\r',
                    other => *other,
                };
                (byte, rest)
            }
            [byte, rest @ ..] => (*byte, rest),
        };
        self.0 = rest;
        Some(byte)
    }
}

impl Reader<'_> {
    /// Reads a value and appends it as compact text with sorted keys. The last member counts if a key is repeated.
    pub(super) fn copy_sorted(&mut self, out: &mut SortedText) -> Result<(), JsonError> {
        match self.next()? {
            Next::Null => self.word("null").map(|()| out.push_str("null")),
            Next::True => self.word("true").map(|()| out.push_str("true")),
            Next::False => self.word("false").map(|()| out.push_str("false")),
            Next::Number => self.number().map(|number| out.push_number(number)),
            Next::String => self.string().map(|text| out.push_string(&text)),
            Next::Array => {
                self.enter()?;
                out.push_str("[");
                let mut is_first = true;
                while self.next_element(is_first)? {
                    if !is_first {
                        out.push_str(",");
                    }
                    is_first = false;
                    self.copy_sorted(out)?;
                }
                out.push_str("]");
                self.leave(b']')
            }
            Next::Object => {
                self.enter()?;
                let mut object = SortedObject::begin(out);
                let mut is_first = true;
                while self.next_key(is_first)? {
                    is_first = false;
                    let key = self.string()?;
                    self.colon()?;
                    object.key(out, &key);
                    self.copy_sorted(out)?;
                }
                object.end(out);
                self.leave(b'}')
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sorts a text. Returns the result and the number of bytes scanned.
    fn sorted(text: &str) -> (String, usize) {
        let mut appended = SortedText::default();
        Reader::from_text(text).unbounded().copy_sorted(&mut appended).expect("JSON");
        assert!(appended.is_unsorted);
        let (mut sorter, mut sorted) = (Sorter::new(&appended.text), String::new());
        sorter.copy(&mut sorted);
        let scanned = sorter.scanned;
        assert_eq!(&*appended.finish(), sorted);
        (sorted, scanned)
    }

    #[test]
    fn objects_are_sorted_wherever_they_are() {
        for (text, expected) in [
            (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
            (r#"{"a":1,"a":{"c":[],"b":{}},"a":{"c":0,"b":[{}]}}"#, r#"{"a":{"b":[{}],"c":0}}"#),
            (
                r#"[[],{},{"b":"}]","\u0001":"\\\"{","":[[1,{"z":[],"y":{}}],[]]}]"#,
                r#"[[],{},{"":[[1,{"y":{},"z":[]}],[]],"\u0001":"\\\"{","b":"}]"}]"#,
            ),
        ] {
            assert_eq!(sorted(text).0, expected, "{text}");
        }
        let long = "x".repeat(LONG);
        let text = format!(r#"{{"b":{{"d":"{long}","c":["{long}",{{}}]}},"a":["{long}"]}}"#);
        let expected = format!(r#"{{"a":["{long}"],"b":{{"c":["{long}",{{}}],"d":"{long}"}}}}"#);
        assert_eq!(sorted(&text).0, expected);
    }

    #[test]
    fn sorting_takes_as_long_as_the_text_is_however_deep_it_is_nested() {
        let elements = "0,".repeat(100_000);
        let innermost = format!(r#"{{"b":[{elements}0],"a":1}}"#);
        let nested = |depth| format!("{}{innermost}{}", r#"{"b":"#.repeat(depth), r#","a":0}"#.repeat(depth));
        for depth in [1, 120] {
            let text = nested(depth);
            let (sorted, scanned) = sorted(&text);
            assert_eq!(sorted.len(), text.len());
            assert!(sorted.starts_with(r#"{"a":0,"b":{"a":"#), "{}", &sorted[..20]);
            assert!(scanned < 4 * text.len(), "{depth}: {scanned} of {}", text.len());
        }
    }
}
