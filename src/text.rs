//! Untrusted text in messages.

/// Returns untrusted text for a message: escaped, on one line and of limited length.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).collect::<String>().escape_debug().to_string();
    if text.chars().nth(LONGEST).is_some() { shown + "…" } else { shown }
}

/// Returns the name of a file for a message.
pub(crate) fn shown(name: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(name))
}
