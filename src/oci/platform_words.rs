//! The words for architectures and operating systems: those of image configs, and those that other programs use.

use std::borrow::Cow;

/// A word is not the one that configs have for an architecture or an operating system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{}' is not the word that image configs have for this {kind}", .word.escape_debug())]
pub struct PlatformWordError {
    pub(crate) kind: &'static str,
    pub(crate) word: String,
    pub(crate) right: Cow<'static, str>,
}

impl PlatformWordError {
    /// Returns the word to use instead.
    pub fn right(&self) -> &str {
        &self.right
    }
}

/// Other programs' names of architectures, with Go's name and the implied variant.
pub(crate) const ARCHITECTURE_ALIASES: [(&str, &str, Option<&str>); 23] = [
    ("x86_64", "amd64", None),
    ("x86-64", "amd64", None),
    ("x64", "amd64", None),
    ("i386", "386", None),
    ("i486", "386", None),
    ("i586", "386", None),
    ("i686", "386", None),
    ("x86", "386", None),
    ("aarch64", "arm64", None),
    ("armv8l", "arm", Some("v8")),
    ("armhf", "arm", Some("v7")),
    ("armv7l", "arm", Some("v7")),
    ("armel", "arm", Some("v6")),
    ("armv6l", "arm", Some("v6")),
    ("arm64v8", "arm64", Some("v8")),
    ("arm32v7", "arm", Some("v7")),
    ("arm32v6", "arm", Some("v6")),
    ("arm32v5", "arm", Some("v5")),
    ("ppc64el", "ppc64le", None),
    ("powerpc64le", "ppc64le", None),
    ("mipsel", "mipsle", None),
    ("mips64el", "mips64le", None),
    ("loongarch64", "loong64", None),
];

/// Other programs' names of operating systems, with Go's name.
pub(crate) const OS_ALIASES: [(&str, &str); 1] = [("macos", "darwin")];

/// Go's names of architectures.
pub(crate) const ARCHITECTURES: [&str; 25] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
    "wasm32",
];

/// Go's names of operating systems.
pub(crate) const SYSTEMS: [&str; 18] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

/// Returns Go's name of an architecture, and the variant that the given name implies.
pub(crate) fn architecture_of(word: &str) -> (String, Option<&'static str>) {
    let alias = ARCHITECTURE_ALIASES.iter().find(|(alias, ..)| *alias == word);
    alias.map_or((word.to_owned(), None), |(_, right, variant)| ((*right).to_owned(), *variant))
}

/// Returns Go's name of an operating system.
pub(crate) fn os_of(word: &str) -> &str {
    OS_ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, right)| right)
}

/// Returns the variant of an architecture where none is said.
pub(crate) fn usual_variant(architecture: &str) -> Option<&'static str> {
    match architecture {
        "amd64" => Some("v1"),
        "arm" => Some("v7"),
        "arm64" => Some("v8"),
        _ => None,
    }
}

/// Checks that an architecture to be written is not spelled in a way that only other programs use. Unknown words pass:
/// there are new architectures.
///
/// # Errors
///
/// [`PlatformWordError`], with the right word.
pub fn check_architecture(word: &str) -> Result<(), PlatformWordError> {
    let (right, _) = architecture_of(&lower(word));
    let right = ARCHITECTURES.iter().find(|known| **known == right);
    check_word("architecture", word, right)
}

/// Checks that an operating system to be written is not spelled in a way that only other programs use.
///
/// # Errors
///
/// [`PlatformWordError`], with the right word.
pub fn check_os(word: &str) -> Result<(), PlatformWordError> {
    let lower = lower(word);
    let right = os_of(&lower);
    check_word("operating system", word, SYSTEMS.iter().find(|known| **known == right))
}

/// Checks that a variant to be written begins with a small `v` if it is a number: `v7`, not `7` or `V7`.
///
/// # Errors
///
/// [`PlatformWordError`], with the right word.
pub fn check_variant(word: &str) -> Result<(), PlatformWordError> {
    let lower = lower(word);
    let number = lower.strip_prefix('v').unwrap_or(&lower);
    let is_number = number.starts_with(|first: char| first.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let right = format!("v{number}");
    if is_number && right != word {
        return Err(PlatformWordError { kind: "variant", word: word.to_owned(), right: Cow::Owned(right) });
    }
    Ok(())
}

/// Returns whether a word is Go's for an architecture.
pub fn is_known_architecture(word: &str) -> bool {
    ARCHITECTURES.contains(&word)
}

/// Returns whether a word is Go's for an operating system.
pub fn is_known_os(word: &str) -> bool {
    SYSTEMS.contains(&word)
}

pub(crate) fn check_word(
    kind: &'static str,
    word: &str,
    right: Option<&&'static str>,
) -> Result<(), PlatformWordError> {
    match right {
        Some(right) if *right != word => {
            Err(PlatformWordError { kind, word: word.to_owned(), right: Cow::Borrowed(right) })
        }
        _ => Ok(()),
    }
}

pub(crate) fn is_architecture(word: &str) -> bool {
    ARCHITECTURES.contains(&architecture_of(&lower(word)).0.as_str())
}

pub(crate) fn is_os(word: &str) -> bool {
    SYSTEMS.contains(&os_of(&lower(word)))
}

pub(crate) fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_programs_are_not_written() {
        for (word, right) in
            [("x86_64", "amd64"), ("aarch64", "arm64"), ("armhf", "arm"), ("I386", "386"), ("AMD64", "amd64")]
        {
            assert_eq!(check_architecture(word).expect_err(word).right(), right);
        }
        for (word, right) in [("macos", "darwin"), ("macOS", "darwin"), ("Linux", "linux")] {
            assert_eq!(check_os(word).expect_err(word).right(), right);
        }
        for (word, right) in [("7", "v7"), ("V8", "v8"), ("8.2", "v8.2")] {
            assert_eq!(check_variant(word).expect_err(word).right(), right);
        }
        for word in ["v7", "v8.2", "", "softfloat", "power9"] {
            assert_eq!(check_variant(word), Ok(()), "{word}");
        }
        for word in ["amd64", "arm64", "unheard-of", "Unheard-Of"] {
            assert_eq!((check_architecture(word), check_os(word)), (Ok(()), Ok(())), "{word}");
        }
    }
}
