//! Checks a platform before it is written.

use std::borrow::Cow;

use super::platform::{Platform, stated};
use super::platform_words::{
    PlatformWordError, architecture_of, check_architecture, check_os, check_variant, lower, os_of,
};

/// Checks that a platform to be written has the words of image configs, as [`check_architecture`] and [`check_os`] do.
///
/// ```
/// use regshape::oci::{Platform, check_platform};
///
/// let platform: Platform = "linux/arm64v8".parse()?;
/// assert_eq!(check_platform(&platform).map_err(|error| error.right().to_owned()), Err("linux/arm64/v8".to_owned()));
/// # Ok::<(), regshape::oci::PlatformError>(())
/// ```
///
/// # Errors
///
/// [`PlatformWordError`], with the right platform.
pub fn check_platform(platform: &Platform) -> Result<(), PlatformWordError> {
    let check =
        |part: &Option<String>, check: fn(&str) -> Result<(), PlatformWordError>| stated(part).map_or(Ok(()), check);
    let checked = check(&platform.architecture, check_architecture)
        .and_then(|()| check(&platform.os, check_os))
        .and_then(|()| check(&platform.variant, check_variant));
    if checked.is_ok() {
        return Ok(());
    }
    let (architecture, implied) = architecture_of(&lower(stated(&platform.architecture).unwrap_or_default()));
    let variant = stated(&platform.variant).map(|variant| match check_variant(variant) {
        Err(error) => error.right().to_owned(),
        Ok(()) => variant.to_owned(),
    });
    let right = Platform {
        architecture: Some(architecture),
        os: platform.os.as_deref().map(|os| os_of(&lower(os)).to_owned()),
        variant: variant.or(implied.map(str::to_owned)),
        ..platform.clone()
    };
    let right = Cow::Owned(right.to_string());
    Err(PlatformWordError { kind: "platform", word: platform.to_string(), right })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_platform_is_named_whole() {
        for (text, right) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/amd64", "linux/amd64"),
            ("linux/armv7l", "linux/arm/v7"),
            ("linux/arm64/8", "linux/arm64/v8"),
            ("macos/aarch64", "darwin/arm64"),
            ("windows(10.0.17763)/x64", "windows(10.0.17763)/amd64"),
        ] {
            let platform: Platform = text.parse().expect(text);
            let error = check_platform(&platform).expect_err(text);
            assert_eq!(error.right(), right);
            let message = format!("'{platform}' is not the word that image configs have for this platform");
            assert_eq!(error.to_string(), message);
        }
        for text in ["linux/amd64", "linux/arm/v7", "plan10/vax", "linux/ppc64le/power9"] {
            assert_eq!(check_platform(&text.parse().expect(text)), Ok(()), "{text}");
        }
    }
}
