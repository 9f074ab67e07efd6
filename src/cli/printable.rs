//! Text that a terminal shows and does not obey.

use std::fmt::Write as _;

/// Returns whether a terminal obeys a character instead of showing it: controls, and marks that reverse the direction of text.
pub(crate) fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns text with the characters escaped that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Returns bytes as text, escaped as [`printable`] does; those that are not UTF-8 as `\xNN`.
pub(crate) fn printable_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_marks_of_direction_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}\n\u{9b}é\u{202e}"), "a\\u{1b}[31mb\\u{7}\\n\\u{9b}é\\u{202e}");
    }

    #[test]
    fn bytes_that_are_not_text_are_escaped() {
        assert_eq!(printable_bytes(b"a\xff\x1bb\xc3\xa9"), "a\\xff\\u{1b}bé");
    }
}
