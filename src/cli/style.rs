//! The form of text for people: short digests, lines that fit, colour and line drawing, as the terminal and the environment allow.

use std::io::{self, IsTerminal};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Effects};
use regshape::oci::Digest;

/// The digits of a short digest.
const SHORT_DIGITS: usize = 12;

/// How the text of a result is formed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// The number of columns of the terminal, if lines are to fit.
    width: Option<usize>,
    shortens_digests: bool,
    /// `--no-trunc` was given.
    is_whole: bool,
    has_colour: bool,
    is_ascii: bool,
}

/// The first word of a message on stderr.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    Error,
    Warning,
}

/// The parts of the lines of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branches {
    pub(crate) inner: &'static str,
    pub(crate) last: &'static str,
    pub(crate) below_inner: &'static str,
    pub(crate) below_last: &'static str,
}

impl Style {
    /// Returns the style of stdout. Nothing is shortened unless it is a terminal, and under `--no-trunc`.
    pub(crate) fn of_stdout(no_trunc: bool) -> Self {
        let stdout = io::stdout();
        let shortens = stdout.is_terminal() && !no_trunc;
        Self {
            width: shortens.then(|| terminal_width(&stdout)),
            shortens_digests: shortens,
            is_whole: no_trunc,
            has_colour: has_colour(&stdout),
            is_ascii: is_ascii(),
        }
    }

    /// Returns the style of messages on stderr, which are never cut.
    pub(crate) fn of_messages(&self) -> Self {
        let stderr = io::stderr();
        let shortens_digests = stderr.is_terminal() && !self.is_whole;
        Self { width: None, shortens_digests, has_colour: has_colour(&stderr), ..*self }
    }

    /// Returns the number of columns, if lines are to fit.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Returns a digest as it is shown: the algorithm and 12 digits, or all of it.
    pub(crate) fn digest<'a>(&self, digest: &'a Digest) -> &'a str {
        if self.shortens_digests { short(digest) } else { digest.as_str() }
    }

    /// Returns a media type as it is shown in lists: without the words that all types of images share, or all of it.
    pub(crate) fn media_type<'a>(&self, media_type: &'a str) -> &'a str {
        let shared =
            ["application/vnd.oci.image.", "application/vnd.docker."].into_iter().filter(|_| self.shortens_digests);
        shared.into_iter().find_map(|shared| media_type.strip_prefix(shared)).unwrap_or(media_type)
    }

    /// Cuts lines that do not fit.
    pub(crate) fn fitted(&self, text: String) -> String {
        match self.width {
            None => text,
            Some(_) => text.lines().map(|line| self.cut(line)).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Returns a line that fits; an ellipsis stands for the rest.
    pub(crate) fn cut(&self, line: &str) -> String {
        self.width.map_or_else(|| line.to_owned(), |width| self.cut_to(line, width))
    }

    /// Returns a text of at most a number of characters; an ellipsis stands for the rest.
    pub(crate) fn cut_to(&self, text: &str, width: usize) -> String {
        if text.chars().nth(width).is_none() {
            return text.to_owned();
        }
        let ellipsis = if self.is_ascii { "..." } else { "…" };
        let kept = width.saturating_sub(ellipsis.chars().count());
        text.chars().take(kept).chain(ellipsis.chars().take(width)).collect()
    }

    /// Returns a line in the colour of faults.
    pub(crate) fn fault(&self, line: &str) -> String {
        if self.has_colour { coloured(line, AnsiColor::Red, Effects::new()) } else { line.to_owned() }
    }

    /// Returns the lines of a tree: box drawing, or ASCII.
    pub(crate) fn branches(&self) -> Branches {
        match self.is_ascii {
            false => Branches { inner: "├── ", last: "└── ", below_inner: "│   ", below_last: "    " },
            true => Branches { inner: "|-- ", last: "`-- ", below_inner: "|   ", below_last: "    " },
        }
    }
}

impl Label {
    /// Returns a message for stderr after its label, which is coloured on a terminal.
    pub(crate) fn message(self, message: &str) -> String {
        let (label, colour) = match self {
            Self::Error => ("Error:", AnsiColor::Red),
            Self::Warning => ("Warning:", AnsiColor::Yellow),
        };
        match has_colour(&io::stderr()) {
            true => format!("{} {message}", coloured(label, colour, Effects::BOLD)),
            false => format!("{label} {message}"),
        }
    }
}

/// Returns the beginning of a digest: the algorithm and 12 digits.
pub(crate) fn short(digest: &Digest) -> &str {
    let text = digest.as_str();
    text.get(..digest.algorithm_name().len() + 1 + SHORT_DIGITS).unwrap_or(text)
}

fn coloured(text: &str, colour: AnsiColor, effects: Effects) -> String {
    let style = anstyle::Style::new().fg_color(Some(colour.into())).effects(effects);
    format!("{style}{text}{style:#}")
}

/// Returns whether a stream is coloured: a terminal without `NO_COLOR` and `TERM=dumb`, or `CLICOLOR_FORCE`.
fn has_colour(stream: &impl anstream::stream::RawStream) -> bool {
    !matches!(AutoStream::choice(stream), ColorChoice::Never)
}

/// Returns whether the locale has ASCII only: the first of the variables that is set does not name UTF-8.
fn is_ascii() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        !locale.contains("utf-8") && !locale.contains("utf8")
    })
}

/// Returns the number of columns of stdout.
fn terminal_width(stdout: &io::Stdout) -> usize {
    usual_width(terminal_size::terminal_size_of(stdout))
}

/// Returns the number of columns of stderr.
pub(crate) fn stderr_width() -> usize {
    usual_width(terminal_size::terminal_size_of(io::stderr()))
}

/// Returns the number of columns as a terminal has it, or 80 if it does not tell.
fn usual_width(size: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    const USUAL: usize = 80;
    let columns = size.map(|(columns, _)| usize::from(columns.0));
    columns.filter(|columns| *columns > 0).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        let (unicode, ascii) = (Style::default(), Style { is_ascii: true, ..Style::default() });
        assert_eq!(unicode.cut_to("abcdef", 6), "abcdef");
        assert_eq!(unicode.cut_to("abcdef", 5), "abcd…");
        assert_eq!(ascii.cut_to("abcdef", 5), "ab...");
        assert_eq!(ascii.cut_to("abcdef", 2), "..");
        assert_eq!(Style { width: Some(3), ..unicode }.fitted("abcd\nab".to_owned()), "ab…\nab");
        assert_eq!(unicode.fitted("abcd".to_owned()), "abcd");
    }

    #[test]
    fn digests_and_media_types_are_shortened_on_a_terminal() {
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("a digest");
        let terminal = Style { shortens_digests: true, ..Style::default() };
        assert_eq!(terminal.digest(&digest), "sha256:abababababab");
        assert_eq!(Style::default().digest(&digest), digest.as_str());
        assert_eq!(terminal.media_type("application/vnd.oci.image.layer.v1.tar+gzip"), "layer.v1.tar+gzip");
        assert_eq!(terminal.media_type("text/plain"), "text/plain");
    }
}
