//! Text of servers, made fit for messages.

/// The most characters of a message that are shown.
const MESSAGE_LIMIT: usize = 300;

/// Makes text of a server fit for one line.
pub(crate) fn on_one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().take(MESSAGE_LIMIT).collect();
    if line.len() < words.len() {
        line.push('…');
    }
    line.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
