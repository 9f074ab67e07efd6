//! Scans JSON strictly by RFC 8259. Error messages match those of `serde_json`.

use std::borrow::Cow;

use crate::json::error::JsonError;

type Result<T> = std::result::Result<T, JsonError>;

/// The limit on nesting, plus one.
const DEPTH: u32 = 128;

/// The limit on the memory for the values of a document, as a multiple of its size.
const EXPANSION: u64 = 6;

/// The memory that any document may use in addition, in bytes.
const ALLOWANCE: u64 = 16 << 20;

/// The bytes of a document and the read position.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// The valid UTF-8 at the start of the bytes.
    text: &'a str,
    at: usize,
    depth: u32,
    /// The number of bytes that the values may still take in memory.
    budget: u64,
    /// Whether an element or a key has been requested since an array or object was entered.
    is_asked: bool,
}

/// The text of a number.
#[derive(Clone, Copy)]
pub(super) struct Number<'a>(pub(super) &'a str);

impl Number<'_> {
    pub(super) fn is_integer(self) -> bool {
        !self.0.contains(['.', 'e', 'E'])
    }
}

/// The type of the next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).expect("so much of it is UTF-8"),
        };
        let budget = (bytes.len() as u64).saturating_mul(EXPANSION).saturating_add(ALLOWANCE);
        Self { bytes, text, at: 0, depth: DEPTH, budget, is_asked: false }
    }

    /// Reads text that is known to be valid UTF-8.
    pub(super) fn from_text(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), text, at: 0, depth: DEPTH, budget: u64::MAX, is_asked: false }
    }

    /// Removes the limits on depth and memory, for text that this program wrote.
    pub(super) fn unbounded(self) -> Self {
        Self { depth: u32::MAX, budget: u64::MAX, ..self }
    }

    /// Returns the document up to its first invalid byte.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Moves to an offset where a value begins.
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Charges bytes to the memory limit.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<()> {
        match self.budget.checked_sub(bytes as u64) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => {
                let times = EXPANSION + 1;
                let error = self.error(format!("its values would take more than {times} times its size in memory"));
                Err(error.too_expansive())
            }
        }
    }

    /// Returns the line and the column of an offset, counted as in `serde_json`.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.bytes[..at.min(self.bytes.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        (line, before.len() - start)
    }

    /// Records whether an element or a key has been requested, and returns the previous state. Distinguishes a visitor
    /// that refuses an array or object as a whole from one that fails inside.
    pub(super) fn set_asked(&mut self, is_asked: bool) -> bool {
        std::mem::replace(&mut self.is_asked, is_asked)
    }

    /// Returns the line and the column of the last byte read.
    pub(super) fn last_place(&self) -> (usize, usize) {
        self.place(self.at)
    }

    /// Returns an error at the last byte read.
    #[cold]
    pub(super) fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError::syntax(message, self.place(self.at))
    }

    /// Returns an error at the next byte.
    #[cold]
    fn error_ahead(&self, message: &str) -> JsonError {
        JsonError::syntax(message, self.place(self.at + 1))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips whitespace and returns the next byte without reading it.
    pub(super) fn peek_token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Checks that only whitespace follows.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek_token() {
            None => Ok(()),
            Some(_) => Err(self.error_ahead("trailing characters")),
        }
    }

    /// Skips whitespace and returns the type of the next value.
    pub(super) fn next(&mut self) -> Result<Next> {
        Ok(match self.peek_token() {
            None => return Err(self.error_ahead("EOF while parsing a value")),
            Some(b'n') => Next::Null,
            Some(b't') => Next::True,
            Some(b'f') => Next::False,
            Some(b'-' | b'0'..=b'9') => Next::Number,
            Some(b'"') => Next::String,
            Some(b'[') => Next::Array,
            Some(b'{') => Next::Object,
            Some(_) => return Err(self.error_ahead("expected a value")),
        })
    }

    /// Reads `null`, `true` or `false`. The first letter is known to match.
    pub(super) fn word(&mut self, word: &str) -> Result<()> {
        for expected in word.bytes() {
            match self.peek() {
                None => return Err(self.error("EOF while parsing a value")),
                Some(byte) => {
                    self.at += 1;
                    if byte != expected {
                        return Err(self.error("expected a value"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a number.
    pub(super) fn number(&mut self) -> Result<Number<'a>> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            None => return Err(self.error("EOF while parsing a value")),
            Some(b'0') => {
                self.at += 1;
                if matches!(self.peek(), Some(b'0'..=b'9')) {
                    return Err(self.error_ahead("invalid number"));
                }
            }
            Some(b'1'..=b'9') => self.digits(),
            Some(_) => {
                self.at += 1;
                return Err(self.error("invalid number"));
            }
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            match self.peek() {
                None => return Err(self.error_ahead("EOF while parsing a value")),
                Some(b'0'..=b'9') => self.digits(),
                Some(_) => return Err(self.error_ahead("invalid number")),
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            match self.peek() {
                None => return Err(self.error("EOF while parsing a value")),
                Some(b'0'..=b'9') => self.digits(),
                Some(_) => {
                    self.at += 1;
                    return Err(self.error("invalid number"));
                }
            }
        }
        Ok(Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads a string, starting at its quote. The text is copied only if it has escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let mut copied = String::new();
        let mut start = self.at;
        loop {
            self.skip_plain();
            match self.peek() {
                None => return Err(self.error("EOF while parsing a string")),
                Some(b'"') => {
                    let part = self.part(start)?;
                    self.at += 1;
                    if copied.is_empty() {
                        return Ok(Cow::Borrowed(part));
                    }
                    copied.push_str(part);
                    return Ok(Cow::Owned(copied));
                }
                Some(b'\\') => {
                    copied.push_str(self.part(start)?);
                    self.at += 1;
                    copied.push(self.escape()?);
                    start = self.at;
                }
                Some(_) => {
                    return Err(self.error("control character (\\u0000-\\u001F) found while parsing a string"));
                }
            }
        }
    }

    /// Returns the part of a string from `start` to here.
    fn part(&self, start: usize) -> Result<&'a str> {
        self.text
            .get(start..self.at)
            .ok_or_else(|| JsonError::syntax("invalid unicode code point", self.place(self.text.len().max(start) + 1)))
    }

    /// Skips to the next quote, backslash or control character of a string.
    fn skip_plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = ONES << 7;
        // Checks eight bytes at a time. A borrow in the subtraction affects only bytes after the first match.
        while let Some(chunk) = self.bytes[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
            let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
            let found = (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGH;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.peek() {
            if byte < 0x20 || byte == b'"' || byte == b'\\' {
                return;
            }
            self.at += 1;
        }
    }

    /// Reads an escape, starting after its backslash.
    fn escape(&mut self) -> Result<char> {
        let byte = self.peek().ok_or_else(|| self.error("EOF while parsing a string"))?;
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.error("invalid escape")),
        })
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.four_digits()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        if first >= 0xdc00 {
            return Err(self.error("lone leading surrogate in hex escape"));
        }
        for expected in [b'\\', b'u'] {
            let byte = self.peek().ok_or_else(|| self.error("EOF while parsing a string"))?;
            self.at += 1;
            if byte != expected {
                return Err(self.error("unexpected end of hex escape"));
            }
        }
        let second = self.four_digits()?;
        let pair = (0xdc00..0xe000).contains(&second).then(|| 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        pair.and_then(char::from_u32).ok_or_else(|| self.error("lone leading surrogate in hex escape"))
    }

    fn four_digits(&mut self) -> Result<u32> {
        let Some(digits) = self.bytes[self.at..].first_chunk::<4>() else {
            self.at = self.bytes.len();
            return Err(self.error("EOF while parsing a string"));
        };
        self.at += 4;
        digits.iter().try_fold(0, |value, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or_else(|| self.error("invalid escape"))?;
            Ok(value << 4 | digit)
        })
    }

    /// Enters an array or an object, starting at its bracket.
    pub(super) fn enter(&mut self) -> Result<()> {
        self.depth -= 1;
        if self.depth == 0 {
            return Err(self.error_ahead("recursion limit exceeded"));
        }
        self.at += 1;
        Ok(())
    }

    /// Moves to the next element of an array. Returns `false` at the end; [`Reader::leave`] reads the bracket.
    pub(super) fn next_element(&mut self, is_first: bool) -> Result<bool> {
        self.is_asked = true;
        match self.peek_token() {
            None => Err(self.error_ahead("EOF while parsing a list")),
            Some(b']') => Ok(false),
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.at += 1;
                match self.peek_token() {
                    Some(b']') => Err(self.error_ahead("trailing comma")),
                    Some(_) => Ok(true),
                    None => Err(self.error_ahead("EOF while parsing a value")),
                }
            }
            Some(_) => Err(self.error_ahead("expected `,` or `]`")),
        }
    }

    /// Moves to the next key of an object. Returns `false` at the end; [`Reader::leave`] reads the bracket.
    pub(super) fn next_key(&mut self, is_first: bool) -> Result<bool> {
        self.is_asked = true;
        match self.peek_token() {
            None => Err(self.error_ahead("EOF while parsing an object")),
            Some(b'}') => Ok(false),
            Some(b'"') if is_first => Ok(true),
            Some(_) if is_first => Err(self.error_ahead("key must be a string")),
            Some(b',') => {
                self.at += 1;
                match self.peek_token() {
                    Some(b'"') => Ok(true),
                    Some(b'}') => Err(self.error_ahead("trailing comma")),
                    Some(_) => Err(self.error_ahead("key must be a string")),
                    None => Err(self.error_ahead("EOF while parsing a value")),
                }
            }
            Some(_) => Err(self.error_ahead("expected `,` or `}`")),
        }
    }

    /// Reads the colon after a key.
    pub(super) fn colon(&mut self) -> Result<()> {
        match self.peek_token() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.error_ahead("expected `:`")),
            None => Err(self.error_ahead("EOF while parsing an object")),
        }
    }

    /// Reads the closing bracket of an array or an object.
    pub(super) fn leave(&mut self, bracket: u8) -> Result<()> {
        self.depth += 1;
        match self.peek_token() {
            Some(byte) if byte == bracket => {
                self.at += 1;
                Ok(())
            }
            Some(b',') if bracket == b'}' => Err(self.error_ahead("trailing comma")),
            Some(_) => Err(self.error_ahead("trailing characters")),
            None if bracket == b'}' => Err(self.error_ahead("EOF while parsing an object")),
            None => Err(self.error_ahead("EOF while parsing a list")),
        }
    }

    /// Checks and skips a value.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.next()? {
            Next::Null => self.word("null"),
            Next::True => self.word("true"),
            Next::False => self.word("false"),
            Next::Number => self.number().map(drop),
            Next::String => self.string().map(drop),
            Next::Array => {
                self.enter()?;
                let mut is_first = true;
                while self.next_element(is_first)? {
                    is_first = false;
                    self.skip()?;
                }
                self.leave(b']')
            }
            Next::Object => {
                self.enter()?;
                let mut is_first = true;
                while self.next_key(is_first)? {
                    is_first = false;
                    self.string()?;
                    self.colon()?;
                    self.skip()?;
                }
                self.leave(b'}')
            }
        }
    }
}
