//! Rules that choose the paths of a source, and globs of paths.

use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use crate::fs::walk::as_path;

/// A glob cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{}' is not a glob: {}", .text.escape_debug(), .reason)]
pub struct GlobError {
    text: String,
    reason: String,
}

/// A pattern of paths: `*` and `?` match within a component, `**` matches any number of components, `[…]` a set of
/// characters, `{a,b}` alternatives. A pattern without meta characters matches one path.
#[derive(Clone, Debug)]
pub struct ImageGlob {
    text: String,
    matcher: GlobMatcher,
}

impl PartialEq for ImageGlob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ImageGlob {}

impl Hash for ImageGlob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl AsRef<str> for ImageGlob {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ImageGlob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

impl FromStr for ImageGlob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        // Slashes at either end make no difference: paths have none there.
        let pattern = text.trim_start_matches('/');
        let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
        let error = |reason: String| GlobError { text: text.to_owned(), reason };
        if pattern.is_empty() {
            return Err(error("it is empty".to_owned()));
        }
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|source| error(source.kind().to_string()))?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }
}

impl ImageGlob {
    /// Returns the pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether a path without a slash at its beginning matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        self.matcher.is_match(as_path(path))
    }

    /// Returns whether a path below a directory could match, as far as the beginnings of both tell.
    fn could_match_below(&self, directory: &[u8]) -> bool {
        let pattern = self.text.trim_start_matches('/').as_bytes();
        let literal = pattern.iter().position(|byte| b"*?[{\\".contains(byte)).unwrap_or(pattern.len());
        let literal = &pattern[..literal];
        let length = literal.len().min(directory.len());
        literal[..length] == directory[..length]
    }
}

/// A rule that leaves paths below a source out of the layer, or takes them in. The last rule that matches a path or a
/// directory above it decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PathRule {
    /// The paths, relative to the source.
    pub glob: ImageGlob,
    /// Whether the paths are taken in.
    pub is_include: bool,
}

impl PathRule {
    /// Makes a rule that takes paths in.
    pub fn include(glob: ImageGlob) -> Self {
        Self { glob, is_include: true }
    }

    /// Makes a rule that leaves paths out.
    pub fn exclude(glob: ImageGlob) -> Self {
        Self { glob, is_include: false }
    }
}

/// A rule, and whether it has matched.
type Tried<'a> = (&'a PathRule, Cell<bool>);

/// The rules of a source: those of all sources, and then its own.
pub(super) struct Rules<'a> {
    shared: &'a [Tried<'a>],
    own: Vec<Tried<'a>>,
}

fn untried(rules: &[PathRule]) -> Vec<Tried<'_>> {
    rules.iter().map(|rule| (rule, Cell::new(false))).collect()
}

/// Returns the first include that matched nothing.
pub(super) fn unmatched<'a>(rules: &[Tried<'a>]) -> Option<&'a ImageGlob> {
    let rule = rules.iter().find(|(rule, has_matched)| rule.is_include && !has_matched.get());
    rule.map(|(rule, _)| &rule.glob)
}

/// The decision about a path: the position of the last rule that matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision(Option<usize>);

impl<'a> Rules<'a> {
    /// Returns rules of all sources, which remember in which of them they have matched.
    pub(super) fn shared(rules: &'a [PathRule]) -> Vec<Tried<'a>> {
        untried(rules)
    }

    pub(super) fn new(shared: &'a [Tried<'a>], own: &'a [PathRule]) -> Self {
        Self { shared, own: untried(own) }
    }

    fn all(&self) -> impl Iterator<Item = &Tried<'a>> {
        self.shared.iter().chain(&self.own)
    }

    /// Decides about a path in a directory about which a decision was made.
    pub(super) fn decide(&self, path: &[u8], above: Decision) -> Decision {
        let mut last = None;
        for (position, (rule, has_matched)) in self.all().enumerate() {
            if rule.glob.matches(path) {
                has_matched.set(true);
                last = Some(position);
            }
        }
        Decision(last.max(above.0))
    }

    /// Returns whether a decision takes its path in.
    pub(super) fn takes(&self, decision: Decision) -> bool {
        match decision.0 {
            Some(last) => self.all().nth(last).is_some_and(|(rule, _)| rule.is_include),
            // Where the first rule is an include, only included paths are taken.
            None => self.all().next().is_none_or(|(rule, _)| !rule.is_include),
        }
    }

    /// Returns whether a path below a directory could be taken in, though the directory is not.
    pub(super) fn could_take_below(&self, directory: &[u8], decision: Decision) -> bool {
        let first = decision.0.map_or(0, |last| last + 1);
        self.all().skip(first).any(|(rule, _)| rule.is_include && rule.glob.could_match_below(directory))
    }

    /// Returns the first include of this source alone that matched nothing.
    pub(super) fn unmatched(&self) -> Option<&'a ImageGlob> {
        unmatched(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<PathRule> {
        let rule = |text: &&str| {
            let glob = text[1..].parse().expect("a glob");
            if text.starts_with('+') { PathRule::include(glob) } else { PathRule::exclude(glob) }
        };
        texts.iter().map(rule).collect()
    }

    /// Decides about a path as a walk does: from its first directory on.
    fn takes(rules: &Rules<'_>, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut decision = Decision::default();
        for end in ends {
            decision = rules.decide(&path.as_bytes()[..end], decision);
        }
        rules.takes(decision)
    }

    #[test]
    fn b7_the_last_rule_that_matches_decides() {
        for (texts, path, expected) in [
            (&["-target"][..], "target/x", false),
            (&["-target"], "src/target", true),
            (&["-**/target"], "src/target/x", false),
            (&["-*.o"], "a.o", false),
            (&["-*.o"], "src/a.o", true),
            (&["-**/*.o"], "src/a.o", false),
            (&["-**/*.o", "+src/a.o"], "src/a.o", true),
            (&["+src/a.o", "-**/*.o"], "src/a.o", false),
            (&["+src"], "src/a", true),
            (&["+src"], "doc/a", false),
            (&["-doc", "+src"], "lib/a", true),
            (&["-node_modules", "+node_modules/keep"], "node_modules/keep/x", true),
            (&["-node_modules", "+node_modules/keep"], "node_modules/other", false),
            (&["-/target/"], "target/x", false),
            (&["-[ab]?"], "ax", false),
            (&["-{one,two}"], "two", false),
            (&[], "any", true),
        ] {
            let list = rules(texts);
            assert_eq!(takes(&Rules::new(&[], &list), path), expected, "{texts:?} {path}");
        }
    }

    #[test]
    fn b7_an_excluded_directory_is_entered_only_for_a_later_include() {
        for (texts, directory, expected) in [
            (&["-big"][..], "big", false),
            (&["-big", "+big/one"], "big", true),
            (&["-big", "+small/one"], "big", false),
            (&["+big/one", "-big"], "big", false),
            (&["-big", "+**/one"], "big", true),
            (&["+a/b/*.c"], "a", true),
            (&["+a/b/*.c"], "a/b", true),
            (&["+a/b/*.c"], "x", false),
        ] {
            let list = rules(texts);
            let rules = Rules::new(&[], &list);
            let decision = rules.decide(directory.as_bytes(), Decision::default());
            assert!(!rules.takes(decision), "{texts:?}");
            assert_eq!(rules.could_take_below(directory.as_bytes(), decision), expected, "{texts:?} {directory}");
        }
    }

    #[test]
    fn b7_names_that_are_not_utf_8_match_as_bytes() {
        let list = rules(&["-*.o"]);
        let rules = Rules::new(&[], &list);
        assert!(!rules.takes(rules.decide(b"\xff\xfe.o", Decision::default())) || cfg!(not(unix)));
    }

    #[test]
    fn a_glob_that_cannot_be_read_is_an_error() {
        for (text, report) in [
            ("[a", "'[a' is not a glob: unclosed character class; missing ']'"),
            ("{a", "'{a' is not a glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)"),
            ("/", "'/' is not a glob: it is empty"),
        ] {
            assert_eq!(text.parse::<ImageGlob>().expect_err(text).to_string(), report);
        }
    }
}
