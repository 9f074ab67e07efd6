//! Platforms (image-spec, image-index.md): parsing, and choosing the best of several images.
//!
//! The order is that of containerd's `platforms.Only`, without its way from one architecture to another.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::UnknownFields;
use super::fields::document_fields;
use super::platform_words::{architecture_of, is_architecture, is_os, lower, os_of, usual_variant};

/// The platform that an image runs on.
///
/// The image-spec requires the first two fields; documents of other programs are read without them too. An empty field
/// says nothing.
///
/// ```
/// use regshape::oci::Platform;
///
/// let platform: Platform = "linux/arm64/v8".parse()?;
/// assert_eq!(platform.architecture.as_deref(), Some("arm64"));
/// assert_eq!(platform.to_string(), "linux/arm64/v8");
/// # Ok::<(), regshape::oci::PlatformError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// It does not have the form of one.
    #[error("'{0}' is not a platform of the form OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT")]
    Malformed(String),
    /// It names an operating system alone.
    #[error("'{0}' is an operating system without an architecture")]
    OsAlone(String),
}

/// How well the platform of an image fits a wanted one. The least fits best.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fit {
    /// How many features were not asked for: a host may not have them.
    other_features: usize,
    /// How far the variant is below the one that was asked for.
    steps: u32,
    version: VersionFit,
    /// Whether one of the two says the usual variant and the other leaves it out: the same, but one answer must be first.
    is_said_otherwise: bool,
}

impl Fit {
    /// Returns whether the variant is a lower one than was asked for.
    pub fn is_lower_variant(&self) -> bool {
        self.steps > 0
    }

    /// Returns whether another one fits as well, however it is written.
    pub fn is_as_good_as(&self, other: &Self) -> bool {
        Self { is_said_otherwise: other.is_said_otherwise, ..self.clone() } == *other
    }
}

/// How well a version of an operating system fits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum VersionFit {
    Exact,
    /// The higher, the better.
    Other(Reverse<Vec<VersionPart>>),
}

/// A part of a version, between two dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum VersionPart {
    Text(String),
    Number(u64),
}

/// How many parts of a version must be the same: of Windows the major and minor version and the build.
const COMPARED_VERSION_PARTS: usize = 3;

/// The operating system of an architecture alone.
const USUAL_OS: &str = "linux";

/// The word of indexes for manifests without a platform.
const UNKNOWN: &str = "unknown";

/// A platform in the words by which platforms are compared: Go's, with the usual variant.
struct Normal {
    os: String,
    architecture: String,
    variant: Option<String>,
    says_variant: bool,
    os_version: Option<String>,
    os_features: BTreeSet<String>,
}

impl Platform {
    /// Returns whether both the operating system and the architecture are stated. `unknown` is a word for them, too.
    pub fn is_said(&self) -> bool {
        stated(&self.os).is_some() && stated(&self.architecture).is_some()
    }

    /// Returns whether this is something to run on: it is stated, and is not the `unknown` that indexes say of attestations.
    pub fn is_known(&self) -> bool {
        self.is_said() && stated(&self.os) != Some(UNKNOWN) && stated(&self.architecture) != Some(UNKNOWN)
    }

    /// Returns how well an image for this platform fits a wanted one; `None` if it does not.
    ///
    /// The operating system and the architecture must be the same, in any spelling (`x86_64` is `amd64`). The variant
    /// must be the wanted one or a lower one: without any, `amd64` is `amd64/v1`, `arm` is `arm/v7`, and `arm64` is
    /// `arm64/v8`. The first three numbers of a wanted version must be the same, and all wanted features must be there.
    ///
    /// ```
    /// use regshape::oci::Platform;
    ///
    /// let asked: Platform = "linux/arm/v7".parse()?;
    /// let fit = |text: &str| text.parse::<Platform>().map(|platform| platform.fit(&asked));
    /// assert!(fit("linux/arm")? < fit("linux/arm/v6")?);
    /// assert_eq!(fit("linux/arm/v8")?, None);
    /// # Ok::<(), regshape::oci::PlatformError>(())
    /// ```
    pub fn fit(&self, asked: &Self) -> Option<Fit> {
        let (mine, asked) = (self.normal()?, asked.normal()?);
        if mine.os != asked.os || mine.architecture != asked.architecture {
            return None;
        }
        if !asked.os_features.is_subset(&mine.os_features) {
            return None;
        }
        Some(Fit {
            other_features: mine.os_features.difference(&asked.os_features).count(),
            steps: steps(&mine.architecture, mine.variant.as_deref(), asked.variant.as_deref())?,
            version: version_fit(mine.os_version.as_deref(), asked.os_version.as_deref())?,
            is_said_otherwise: mine.says_variant != asked.says_variant,
        })
    }

    /// Returns whether an image for this platform runs on the wanted one, by [`Platform::fit`].
    pub fn satisfies(&self, asked: &Self) -> bool {
        self.fit(asked).is_some()
    }

    /// Returns the platform in Go's words, with the implied variant where none is stated: equal platforms are equal
    /// then. `None` if it is not known.
    pub fn normalized(&self) -> Option<Self> {
        let Normal { os, architecture, variant, os_version, os_features, .. } = self.normal()?;
        Some(Self {
            architecture: Some(architecture),
            os: Some(os),
            os_version,
            os_features: (!os_features.is_empty()).then(|| os_features.into_iter().collect()),
            variant,
            extra: UnknownFields::new(),
        })
    }

    /// Returns the platform in Go's words; `None` if it is not known.
    fn normal(&self) -> Option<Normal> {
        if !self.is_known() {
            return None;
        }
        let os = lower(self.os.as_deref()?);
        let (architecture, meant) = architecture_of(&lower(self.architecture.as_deref()?));
        let variant = stated(&self.variant).map(lower).or(meant.map(str::to_owned));
        let says_variant = variant.is_some();
        let variant = variant.or_else(|| usual_variant(&architecture).map(str::to_owned));
        Some(Normal {
            os: os_of(&os).to_owned(),
            architecture,
            variant,
            says_variant,
            os_version: stated(&self.os_version).map(str::to_owned),
            os_features: self.os_features.iter().flatten().filter(|feature| !feature.is_empty()).cloned().collect(),
        })
    }

    /// Returns the operating system with its version and its features, as containerd writes them.
    fn system(&self) -> String {
        let os = stated(&self.os).unwrap_or(UNKNOWN);
        let version = stated(&self.os_version).unwrap_or_default();
        let features: String = self
            .os_features
            .iter()
            .flatten()
            .filter(|feature| !feature.is_empty())
            .map(|feature| format!("+{feature}"))
            .collect();
        if version.is_empty() && features.is_empty() { os.to_owned() } else { format!("{os}({version}{features})") }
    }
}

/// Returns the value of a field; an empty one counts as absent.
pub(crate) fn stated(field: &Option<String>) -> Option<&str> {
    field.as_deref().filter(|text| !text.is_empty())
}

/// Returns how many steps a variant is below the wanted one; `None` if its programs may not run.
fn steps(architecture: &str, has: Option<&str>, asked: Option<&str>) -> Option<u32> {
    let same = || (has == asked).then_some(0);
    let Some(((major, minor), (asked_major, asked_minor))) = has.and_then(version_of).zip(asked.and_then(version_of))
    else {
        return same();
    };
    if (major, minor) == (asked_major, asked_minor) {
        return Some(0);
    }
    // The lowest that is a step below others.
    let lowest = match architecture {
        "amd64" => 1,
        "arm" => 5,
        "arm64" => 8,
        _ => return same(),
    };
    if architecture != "arm64" {
        return (minor == 0 && asked_minor == 0 && (lowest..asked_major).contains(&major)).then(|| asked_major - major);
    }
    /// The last of the v8s; v9.0 has the features of v8.5, v9.1 those of v8.6.
    const LAST_V8: u32 = 9;
    const V8_OF_V9: u32 = 5;
    match (asked_major, major) {
        (8 | 9, _) if asked_major == major && minor < asked_minor => Some(asked_minor - minor),
        (9, 8) => {
            let highest = asked_minor.saturating_add(V8_OF_V9).min(LAST_V8);
            (minor <= highest).then(|| asked_minor.saturating_add(1 + highest - minor))
        }
        _ => None,
    }
}

/// Reads the numbers of a variant: `v8`, `8`, `v8.2`.
fn version_of(variant: &str) -> Option<(u32, u32)> {
    let text = variant.strip_prefix('v').unwrap_or(variant);
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some((number(major)?, number(minor)?))
}

/// Tells how well a version fits; `None` if it does not. Where none was asked for, an image that needs none comes first, and
/// then the newest.
fn version_fit(has: Option<&str>, asked: Option<&str>) -> Option<VersionFit> {
    let parts = |version: &str| version.split('.').map(VersionPart::of).collect::<Vec<_>>();
    match (has.map(parts), asked.map(parts)) {
        (None, None) => Some(VersionFit::Exact),
        (None, Some(_)) => None,
        (Some(has), None) => Some(VersionFit::Other(Reverse(has))),
        (Some(has), Some(asked)) if has == asked => Some(VersionFit::Exact),
        (Some(has), Some(asked)) => {
            let compared = &asked[..asked.len().min(COMPARED_VERSION_PARTS)];
            has.starts_with(compared).then_some(VersionFit::Other(Reverse(has)))
        }
    }
}

impl VersionPart {
    fn of(text: &str) -> Self {
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        number.map_or_else(|| Self::Text(text.to_owned()), Self::Number)
    }
}

/// Reads a platform as containerd writes it: `linux/arm64/v8`, `windows(10.0.17763)/amd64`, `windows(10.0.17763+win32k)/amd64`.
/// An architecture alone, or with its variant, is one of Linux.
impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let shown = || text.escape_debug().to_string();
        let malformed = || PlatformError::Malformed(shown());
        if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
            return Err(malformed());
        }
        let (system, rest) = split_system(text).ok_or_else(malformed)?;
        let (os, version, features) = parse_system(system).ok_or_else(malformed)?;
        let rest: Vec<&str> = rest.map(|rest| rest.split('/').collect()).unwrap_or_default();
        if os.is_empty() || rest.iter().any(|part| part.is_empty() || part.contains(['(', ')'])) {
            return Err(malformed());
        }
        let is_alone = system == os;
        let (os, architecture, variant) = match rest.as_slice() {
            [] if is_alone && is_architecture(os) => (USUAL_OS, os, None),
            [] if is_os(os) => return Err(PlatformError::OsAlone(shown())),
            // No operating system is called as an architecture is.
            [variant] if is_alone && is_architecture(os) && !is_architecture(variant) => (USUAL_OS, os, Some(*variant)),
            [architecture] => (os, *architecture, None),
            [architecture, variant] => (os, *architecture, Some(*variant)),
            _ => return Err(malformed()),
        };
        Ok(Self {
            os: Some(os.to_owned()),
            architecture: Some(architecture.to_owned()),
            variant: variant.map(str::to_owned),
            os_version: (!version.is_empty()).then(|| version.to_owned()),
            os_features: (!features.is_empty()).then(|| features.into_iter().map(str::to_owned).collect()),
            extra: UnknownFields::new(),
        })
    }
}

/// Splits the operating system, with the text in parentheses behind it, from the rest behind the slash.
fn split_system(text: &str) -> Option<(&str, Option<&str>)> {
    let end = match (text.find('/'), text.find('(')) {
        (slash, Some(open)) if slash.is_none_or(|slash| open < slash) => open + text[open..].find(')')? + 1,
        (slash, _) => slash.unwrap_or(text.len()),
    };
    match &text[end..] {
        "" => Some((text, None)),
        rest => Some((&text[..end], Some(rest.strip_prefix('/')?))),
    }
}

/// Reads an operating system with its version and its features.
fn parse_system(system: &str) -> Option<(&str, &str, Vec<&str>)> {
    let Some((os, options)) = system.split_once('(') else { return Some((system, "", Vec::new())) };
    let mut options = options.strip_suffix(')')?.split('+');
    let version = options.next()?;
    let features: Vec<&str> = options.collect();
    let says_something = !version.is_empty() || !features.is_empty();
    let is_clear = !version.contains(['(', ')']) && features.iter().all(|feature| !feature.is_empty());
    (says_something && is_clear).then_some((os, version, features))
}

/// `linux/amd64`, `linux/arm64/v8`, `windows(10.0.17763.1)/amd64`; `unknown` for unstated parts.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.system(), stated(&self.architecture).unwrap_or(UNKNOWN))?;
        stated(&self.variant).map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the platforms that fit, the best first, regardless of their order.
    #[track_caller]
    fn order(asked: &str, has: &[&str]) -> Vec<String> {
        let sorted = |has: &[&str]| {
            let fits = has.iter().filter_map(|has| Some((platform(has).fit(&platform(asked))?, (*has).to_owned())));
            let mut fits: Vec<_> = fits.collect();
            fits.sort();
            fits.into_iter().map(|(_, has)| has).collect::<Vec<_>>()
        };
        let found = sorted(has);
        let mut turned = has.to_vec();
        for _ in has {
            turned.rotate_left(1);
            assert_eq!(sorted(&turned), found, "{turned:?}");
        }
        turned.reverse();
        assert_eq!(sorted(&turned), found, "{turned:?}");
        found
    }

    #[test]
    fn the_nearest_lower_variant_comes_next_and_never_a_higher_one() {
        let arm = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8", "linux/arm64/v8", "linux/arm/v4"];
        let amd64 = ["linux/amd64/v1", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4", "linux/386"];
        let arm64: Vec<String> = ["v8", "v8.1", "v8.4", "v8.5", "v8.6", "v8.9", "v9", "v9.1", "v9.5"]
            .map(|variant| format!("linux/arm64/{variant}"))
            .into();
        let mut arm64: Vec<&str> = arm64.iter().map(String::as_str).collect();
        arm64.push("linux/arm/v8");
        let table: [(&str, &[&str], &str); 22] = [
            ("linux/arm", &arm, "v7 v6 v5"),
            ("linux/arm/v8", &arm, "v8 v7 v6 v5"),
            ("linux/arm/v7", &arm, "v7 v6 v5"),
            ("linux/arm/v6", &arm, "v6 v5"),
            ("linux/arm/v5", &arm, "v5"),
            ("linux/arm/v4", &arm, "v4"),
            ("armhf", &arm, "v7 v6 v5"),
            ("armel", &arm, "v6 v5"),
            ("linux/armhf/v6", &arm, "v6 v5"),
            ("linux/arm/7", &arm, "v7 v6 v5"),
            ("linux/amd64", &amd64, "v1"),
            ("linux/amd64/v2", &amd64, "v2 v1"),
            ("linux/amd64/v3", &amd64, "v3 v2 v1"),
            ("linux/amd64/v9", &amd64, "v4 v3 v2 v1"),
            ("linux/amd64/v0", &amd64, ""),
            ("linux/amd64/fast", &amd64, ""),
            ("linux/arm64", &arm64, "v8"),
            ("linux/arm64/v8.5", &arm64, "v8.5 v8.4 v8.1 v8"),
            ("linux/arm64/v9", &arm64, "v9 v8.5 v8.4 v8.1 v8"),
            ("linux/arm64/v9.1", &arm64, "v9.1 v9 v8.6 v8.5 v8.4 v8.1 v8"),
            ("linux/arm64/v9.5", &arm64, "v9.5 v9.1 v9 v8.9 v8.6 v8.5 v8.4 v8.1 v8"),
            ("linux/arm64/v10", &arm64, ""),
        ];
        for (asked, has, expected) in table {
            let found = order(asked, has);
            let variants: Vec<_> = found.iter().filter_map(|text| text.rsplit('/').next()).collect();
            assert_eq!(variants.join(" "), expected, "{asked}");
        }
    }

    #[test]
    fn a_variant_that_is_not_said_is_the_usual_one_of_its_architecture() {
        for (has, asked, steps) in [
            ("linux/amd64", "linux/amd64/v1", Some(0)),
            ("linux/amd64", "linux/amd64/v3", Some(2)),
            ("linux/amd64/v1", "linux/amd64", Some(0)),
            ("linux/arm", "linux/arm/v7", Some(0)),
            ("linux/arm", "linux/arm/v8", Some(1)),
            ("linux/arm", "linux/arm/v6", None),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64/v8.0", "linux/arm64", Some(0)),
            ("linux/arm64/8", "linux/arm64", Some(0)),
            ("linux/ppc64le", "linux/ppc64le", Some(0)),
            ("linux/ppc64le/power8", "linux/ppc64le", None),
            ("linux/ppc64le/power8", "linux/ppc64le/power8", Some(0)),
            ("linux/ppc64le/v1", "linux/ppc64le/v2", None),
            ("linux/AMD64", "Linux/amd64", Some(0)),
            ("linux/x86_64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/x86-64", Some(0)),
            ("linux/arm64", "linux/aarch64", Some(0)),
            ("linux/386", "linux/i386", Some(0)),
            ("darwin/arm64", "macos/arm64", Some(0)),
            ("linux/amd64", "linux/arm64", None),
            ("linux/386", "linux/amd64", None),
            ("linux/arm", "linux/arm64", None),
            ("windows/amd64", "linux/amd64", None),
            ("unknown/unknown", "unknown/unknown", None),
        ] {
            let fit = platform(has).fit(&platform(asked));
            assert_eq!(fit.as_ref().map(|fit| fit.steps), steps, "{has} for {asked}");
            assert_eq!(fit.is_some_and(|fit| fit.is_lower_variant()), steps.is_some_and(|steps| steps > 0));
            assert_eq!(platform(has).satisfies(&platform(asked)), steps.is_some(), "{has} for {asked}");
        }
    }

    #[test]
    fn of_several_versions_the_same_comes_first_and_then_the_highest_of_the_same_build() {
        let windows = [
            "windows(10.0.17763.1)/amd64",
            "windows(10.0.17763.999)/amd64",
            "windows(10.0.17763.5696)/amd64",
            "windows(10.0.20348.1)/amd64",
            "windows/amd64",
            "windows(10.0.17763.2+win32k)/amd64",
        ];
        let table: [(&str, &[usize]); 9] = [
            ("windows(10.0.17763)/amd64", &[2, 1, 0, 5]),
            ("windows(10.0.17763.1)/amd64", &[0, 2, 1, 5]),
            ("windows(10.0.17763.7)/amd64", &[2, 1, 0, 5]),
            ("windows(10.0.20348)/amd64", &[3]),
            ("windows(10.0.2034)/amd64", &[]),
            ("windows(10.0)/amd64", &[3, 2, 1, 0, 5]),
            ("windows/amd64", &[4, 3, 2, 1, 0, 5]),
            ("windows(+win32k)/amd64", &[5]),
            ("windows(10.0.17763+win32k+other)/amd64", &[]),
        ];
        for (asked, expected) in table {
            let expected: Vec<_> = expected.iter().map(|at| windows[*at].to_owned()).collect();
            assert_eq!(order(asked, &windows), expected, "{asked}");
        }
    }

    #[test]
    fn of_two_that_are_the_same_that_which_says_as_much_comes_first() {
        for (architecture, usual) in [("arm", "v7"), ("arm64", "v8"), ("amd64", "v1")] {
            let [short, long] = [format!("linux/{architecture}"), format!("linux/{architecture}/{usual}")];
            assert_eq!(order(&short, &[&long, &short]), [short.clone(), long.clone()]);
            assert_eq!(order(&long, &[&short, &long]), [long.clone(), short.clone()]);
            let fit = |text: &str| platform(text).fit(&platform(&short)).expect("it fits");
            assert!(fit(&short).is_as_good_as(&fit(&long)));
        }
        let fit = |text: &str| platform(text).fit(&platform("linux/arm/v7")).expect("it fits");
        assert!(!fit("linux/arm/v7").is_as_good_as(&fit("linux/arm/v6")));
    }

    #[test]
    fn features_that_were_not_asked_for_come_last() {
        let has = ["linux(+a)/amd64/v3", "linux/amd64", "linux(+a+b)/amd64/v3", "linux(+b)/amd64/v2"];
        assert_eq!(order("linux/amd64/v3", &has), ["linux/amd64", has[0], has[3], has[2]]);
        assert_eq!(order("linux(+a)/amd64/v3", &has), [has[0], has[2]]);
        assert_eq!(order("linux(+b+a)/amd64/v3", &has), [has[2]]);
    }

    #[test]
    fn platforms_are_read_and_written_as_containerd_does() {
        for text in [
            "linux/amd64",
            "linux/arm64/v8",
            "windows(10.0.17763)/amd64",
            "windows(10.0.17763.1+win32k)/amd64",
            "linux(+a+b)/arm/v7",
            "plan9/unheard-of/v1",
        ] {
            assert_eq!(platform(text).to_string(), text);
        }
        for (text, meant) in
            [("amd64", "linux/amd64"), ("armhf", "linux/armhf"), ("arm64/v9", "linux/arm64/v9"), ("386", "linux/386")]
        {
            assert_eq!(platform(text).to_string(), meant);
        }
        for bad in [
            "",
            "unheard-of",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/amd 64",
            "linux/\u{1b}",
            "(1)/amd64",
            "linux(/amd64",
            "linux()/amd64",
            "linux(1)amd64",
            "linux(1)(2)/amd64",
            "linux(1+)/amd64",
            "linux/amd64(1)",
            "linux(1(2)/amd64",
            "amd64(1)",
            "linux)/amd64(",
        ] {
            assert!(matches!(bad.parse::<Platform>(), Err(PlatformError::Malformed(_))), "{bad}");
        }
        for bad in ["linux", "windows", "macos", "Linux", "windows(10.0.17763)"] {
            assert!(matches!(bad.parse::<Platform>(), Err(PlatformError::OsAlone(_))), "{bad}");
        }
    }

    #[test]
    fn empty_fields_are_not_shown() {
        let of = |text: &str| serde_json::from_str::<Platform>(text).expect("a platform");
        for (text, is_said, is_known) in [
            (r#"{"os":"linux","architecture":"amd64"}"#, true, true),
            (r#"{"os":"","architecture":""}"#, false, false),
            (r#"{"os":"linux","architecture":""}"#, false, false),
            (r#"{"os":"","architecture":"amd64"}"#, false, false),
            (r#"{"os":"linux"}"#, false, false),
            (r#"{"os":"unknown","architecture":"unknown"}"#, true, false),
            (r#"{"os":"linux","architecture":"unknown"}"#, true, false),
        ] {
            assert_eq!((of(text).is_said(), of(text).is_known()), (is_said, is_known), "{text}");
            // Nothing is lost.
            assert_eq!(serde_json::to_string(&of(text)).expect("JSON").len(), text.len());
        }
        let empty = of(r#"{"os":"linux","architecture":"amd64","variant":"","os.version":"","os.features":["",""]}"#);
        assert_eq!(empty.to_string(), "linux/amd64");
        assert_eq!(empty.normalized(), Some(platform("linux/amd64/v1")));
        assert!(empty.satisfies(&platform("linux/amd64")));
        assert!(!empty.satisfies(&platform("linux(1)/amd64")));
        assert_eq!(of(r#"{"os":"","architecture":""}"#).to_string(), "unknown/unknown");
    }

    #[test]
    fn platforms_are_the_same_if_nothing_tells_them_apart() {
        for (one, other, is_same) in [
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/aarch64", "linux/arm64", true),
            ("linux/amd64", "linux/amd64/v2", false),
            ("windows(10.0.17763.1)/amd64", "windows(10.0.17763.1)/amd64", true),
            ("windows(10.0.17763.1)/amd64", "windows(10.0.20348.1)/amd64", false),
            ("windows(10.0.17763.1)/amd64", "windows/amd64", false),
            ("linux(+a+b)/amd64", "linux(+b+a)/amd64", true),
            ("linux(+a)/amd64", "linux/amd64", false),
            ("unknown/unknown", "unknown/unknown", false),
        ] {
            let [one, other] = [one, other].map(|text| platform(text).normalized());
            assert_eq!(one.is_some() && one == other, is_same, "{one:?} and {other:?}");
        }
    }
}
