//! Escapes of JSON, HTML and URLs, in which a server may repeat a text.

use std::ops::Range;

/// Reads the escape with which a text begins: its character, and its length.
pub(super) type Unescape = fn(&str) -> Option<(char, usize)>;

/// The ways to escape characters.
pub(super) const ESCAPES: [Unescape; 4] = [of_json, of_html, of_url, of_form];

/// A text without its escapes.
pub(super) struct Unescaped {
    text: String,
    /// The offset in the text with escapes, for each byte and for the end.
    offsets: Vec<usize>,
}

impl Unescaped {
    /// Replaces the escapes of a text by their characters; `None` if there are none.
    pub(super) fn of(text: &str, unescape: Unescape) -> Option<Self> {
        if !text.contains(['\\', '&', '%', '+']) {
            return None;
        }
        let (mut unescaped, mut offsets, mut at) = (String::new(), Vec::new(), 0);
        while let Some(first) = text[at..].chars().next() {
            let (c, length) = unescape(&text[at..]).unwrap_or((first, first.len_utf8()));
            unescaped.push(c);
            offsets.resize(unescaped.len(), at);
            at += length;
        }
        offsets.push(at);
        (unescaped != text).then_some(Self { text: unescaped, offsets })
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns where a part of the text stands in the one with escapes.
    pub(super) fn place(&self, part: Range<usize>) -> Range<usize> {
        self.offsets[part.start]..self.offsets[part.end]
    }
}

fn of_json(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix('\\')?;
    let c = match rest.chars().next()? {
        c @ ('"' | '\\' | '/' | '\'') => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return of_unicode(text),
        _ => return None,
    };
    Some((c, 2))
}

/// Reads `\uXXXX`, or two of them that are one character.
fn of_unicode(text: &str) -> Option<(char, usize)> {
    let unit = |text: &str| u16::from_str_radix(hex(text.strip_prefix("\\u")?, 4)?, 16).ok();
    let first = unit(text)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((c, 6));
    }
    let pair = [first, unit(&text[6..])?];
    char::decode_utf16(pair).next()?.ok().map(|c| (c, 12))
}

fn of_html(text: &str) -> Option<(char, usize)> {
    /// The longest escape has seven digits.
    const LONGEST: usize = 11;
    let rest = text.strip_prefix('&')?;
    let name = &rest[..rest.bytes().take(LONGEST).position(|byte| byte == b';')?];
    let c = match name.to_ascii_lowercase().as_str() {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let digits = name.strip_prefix('#')?;
            let number = match digits.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => digits.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    };
    Some((c, name.len() + 2))
}

/// Reads a percent-encoded character, which has up to four bytes.
fn of_url(text: &str) -> Option<(char, usize)> {
    let byte = |at: usize| u8::from_str_radix(hex(text.get(3 * at..)?.strip_prefix('%')?, 2)?, 16).ok();
    let count = match byte(0)? {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        _ => return None,
    };
    let bytes = (0..count).map(byte).collect::<Option<Vec<u8>>>()?;
    str::from_utf8(&bytes).ok()?.chars().next().map(|c| (c, 3 * count))
}

/// Reads a character of a form, in which a plus is a blank.
fn of_form(text: &str) -> Option<(char, usize)> {
    if text.starts_with('+') { Some((' ', 1)) } else { of_url(text) }
}

/// Returns the hexadecimal digits with which a text begins.
fn hex(text: &str, count: usize) -> Option<&str> {
    text.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
