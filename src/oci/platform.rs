//! Platforms (image-spec, image-index.md): what an image runs on.

use std::fmt;
use std::str::FromStr;

use super::UnknownFields;
use super::fields::document_fields;

/// The platform that an image runs on.
///
/// The image-spec requires the first two fields; documents of other programs are read without them too.
///
/// ```
/// use regshape::oci::Platform;
///
/// let platform: Platform = "linux/arm64/v8".parse()?;
/// assert_eq!(platform.architecture.as_deref(), Some("arm64"));
/// assert_eq!(platform.to_string(), "linux/arm64/v8");
/// # Ok::<(), regshape::oci::PlatformError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// The CPU architecture, in Go's words: `amd64`, `arm64`.
    pub architecture: Option<String>,
    /// The operating system, in Go's words: `linux`.
    pub os: Option<String>,
    /// The version of the operating system.
    pub os_version: Option<String>,
    /// The features that the operating system must have.
    pub os_features: Option<Vec<String>>,
    /// The variant of the CPU.
    pub variant: Option<String>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

document_fields!(Platform {
    architecture: optional "architecture",
    os: optional "os",
    os_version: optional "os.version",
    os_features: optional "os.features",
    variant: optional "variant",
});

/// A string is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a platform of the form OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT")]
pub struct PlatformError(String);

impl Platform {
    /// Tells whether something that runs here is what was asked for: the same system and architecture, and the same
    /// variant if one is asked for. `arm64` is `arm64/v8`, and `amd64` is `amd64/v1`.
    pub fn satisfies(&self, asked: &Self) -> bool {
        let same = |mine: &Option<String>, theirs: &Option<String>| theirs.is_none() || mine == theirs;
        self.os == asked.os
            && self.architecture == asked.architecture
            && (asked.variant.is_none() || self.variant() == asked.variant())
            && same(&self.os_version, &asked.os_version)
    }

    /// Returns the variant, the usual one of the architecture where none is said.
    fn variant(&self) -> Option<&str> {
        self.variant.as_deref().filter(|variant| !variant.is_empty()).or(match self.architecture.as_deref() {
            Some("arm64") => Some("v8"),
            Some("amd64") => Some("v1"),
            Some("arm") => Some("v7"),
            _ => None,
        })
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (2 | 3) = parts.len() else { return Err(PlatformError(text.escape_debug().to_string())) };
        if parts.iter().any(|part| part.is_empty() || part.contains(char::is_whitespace)) {
            return Err(PlatformError(text.escape_debug().to_string()));
        }
        Ok(Self {
            os: Some(parts[0].to_owned()),
            architecture: Some(parts[1].to_owned()),
            variant: parts.get(2).map(|variant| (*variant).to_owned()),
            os_version: None,
            os_features: None,
            extra: UnknownFields::new(),
        })
    }
}

/// `linux/amd64`, `linux/arm64/v8`; `unknown` for what is not said.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |part: &Option<String>| part.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(f, "{}/{}", known(&self.os), known(&self.architecture))?;
        self.variant.iter().filter(|variant| !variant.is_empty()).try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_satisfies_one_that_asks_for_less() {
        let platform = |text: &str| text.parse::<Platform>().expect("a platform");
        for (has, asked, satisfies) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v6", "linux/arm", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(platform(has).satisfies(&platform(asked)), satisfies, "{has} for {asked}");
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
