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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_marks_of_direction_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}\n\u{9b}é\u{202e}"), "a\\u{1b}[31mb\\u{7}\\n\\u{9b}é\\u{202e}");
    }
}
