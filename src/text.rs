//! Text from outside as a message shows it.

/// Returns text as a message shows it: on one line, short, and without characters that a terminal would obey.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).collect::<String>().escape_debug().to_string();
    if text.chars().nth(LONGEST).is_some() { shown + "…" } else { shown }
}

/// Returns a name as a message shows it.
pub(crate) fn shown(name: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(name))
}
