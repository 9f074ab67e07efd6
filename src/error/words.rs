//! Words of messages: lists, platforms, times.

use std::fmt;
use std::time::Duration;

use super::referrer::Referrer;
use crate::oci::Digest;

/// Returns an image as a message names it.
pub(crate) fn image_called(name: Option<&str>) -> String {
    name.map_or_else(|| "an image".to_owned(), |name| format!("the image '{}'", name.escape_debug()))
}

/// Returns things as a list for people.
pub(crate) fn list<T: fmt::Display>(things: &[T]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the first of some things as a list for people, which says how many more there are.
pub(crate) fn some_of(things: &[String], count: usize) -> String {
    match count.saturating_sub(things.len()) {
        0 => list(things),
        more => format!("{}, and {more} more", list(things)),
    }
}

/// Returns the words for the stored platforms.
pub(crate) fn stored(platforms: &[String]) -> String {
    match platforms {
        [] => "no other platform is".to_owned(),
        platforms => format!("{} {}", list(platforms), if platforms.len() == 1 { "is" } else { "are" }),
    }
}

/// Returns the words of a selection without entries.
pub(crate) fn unselected(annotations: &[String]) -> String {
    match annotations {
        [] => "is selected".to_owned(),
        [one] => format!("has the annotation '{}'", one.escape_debug()),
        several => format!(
            "has the annotations '{}'",
            several.iter().map(|one| one.escape_debug().to_string()).collect::<Vec<_>>().join("', '")
        ),
    }
}

/// Returns a time in the largest unit that is no larger than a second.
pub(crate) fn seconds(time: &Duration) -> String {
    if time.is_zero() { "0s".to_owned() } else { format!("{time:?}") }
}

/// Returns a number with its noun: 1 layer, 2 layers, 2 entries.
pub(crate) fn counted<N: fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if number == N::from(1) => format!("1 {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

/// Returns the message about a missing blob.
pub(crate) fn missing_blob(digest: &Digest, referrer: &Referrer) -> String {
    match referrer {
        Referrer::Caller(path) => format!("{} has no blob {digest}", path.display()),
        referrer => format!("blob {digest} referenced by {referrer} does not exist"),
    }
}

/// Returns the message about content of a wrong size.
pub(crate) fn size_mismatch(digest: Option<&Digest>, expected: u64, actual: u64) -> String {
    match digest {
        Some(digest) => format!("size mismatch for {digest}: expected {expected}, got {actual}"),
        None => format!("expected {}, got {actual}", counted(expected, "byte")),
    }
}
