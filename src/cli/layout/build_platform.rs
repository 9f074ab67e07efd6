//! The platforms of a build, and placeholders for them in paths.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use regshape::oci::{Platform, check_platform};

use crate::cli::args::parse_platform;
use crate::cli::layer_args::SourceWord;
use crate::cli::usage::Usage;

/// A platform that an image is built for, or those of all images of the base.
#[derive(Clone, Debug)]
pub(crate) enum BuildPlatform {
    All,
    One(Platform),
}

impl FromStr for BuildPlatform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let platform = parse_platform(text).map_err(|error| error.to_string())?;
        check_platform(&platform).map_err(|error| format!("{error}; use {}", error.right()))?;
        Ok(Self::One(platform))
    }
}

/// Replaces `{os}`, `{arch}` and `{variant}` in a path by the words of a platform. `{{` and `}}` are braces.
///
/// # Errors
///
/// [`Usage`] for another placeholder.
pub(crate) fn filled(path: &OsStr, platform: &Platform) -> Result<OsString, Usage> {
    // A name that is not UTF-8 has no placeholders.
    let Some(text) = path.to_str().filter(|text| text.contains(['{', '}'])) else { return Ok(path.to_owned()) };
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
            continue;
        }
        let end = rest.find('}').filter(|_| brace == "{");
        let word = match end.map(|end| &rest[..end]) {
            Some("os") => &platform.os,
            Some("arch") => &platform.architecture,
            Some("variant") => &platform.variant,
            _ => {
                return Err(Usage(format!(
                    "'{}' has a brace that begins no placeholder; the placeholders are {{os}}, {{arch}} and {{variant}}, and {{{{ is a brace",
                    path.display()
                )));
            }
        };
        filled.push_str(word.as_deref().unwrap_or(""));
        rest = &rest[end.map_or(0, |end| end + 1)..];
    }
    filled.push_str(rest);
    Ok(filled.into())
}

/// Replaces the placeholders in a path.
pub(crate) fn filled_path(path: &Path, platform: &Platform) -> Result<PathBuf, Usage> {
    filled(path.as_os_str(), platform).map(PathBuf::from)
}

/// Replaces the placeholders in a source.
pub(crate) fn filled_source(word: &SourceWord, platform: &Platform) -> Result<SourceWord, Usage> {
    Ok(match word {
        SourceWord::Copy(word) => SourceWord::Copy(filled(word, platform)?),
        SourceWord::Mtree(path) => SourceWord::Mtree(filled_path(path, platform)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_the_words_of_a_platform() {
        let platform: Platform = "linux/arm/v7".parse().expect("a platform");
        let fill = |text: &str| filled(OsStr::new(text), &platform).map(|filled| filled.to_string_lossy().into_owned());
        for (text, expected) in [
            ("app", "app"),
            ("app-{os}-{arch}{variant}:/app", "app-linux-armv7:/app"),
            ("{{os}}", "{os}"),
            ("a{{b", "a{b"),
        ] {
            assert_eq!(fill(text).expect(text), expected);
        }
        for text in ["{x}", "{", "a}", "{os"] {
            assert!(fill(text).is_err(), "{text}");
        }
        let plain: Platform = "linux/amd64".parse().expect("a platform");
        assert_eq!(filled(OsStr::new("a{variant}"), &plain).expect("filled"), "a");
    }
}
