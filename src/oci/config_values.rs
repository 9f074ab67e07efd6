//! Values of an image config: the names of its fields, exposed ports, health checks and signals.

use std::fmt;
use std::str::FromStr;

use super::{Json, UnknownFields, from_json};

/// A text is not a value of an image config.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{text}")]
pub struct ConfigValueError {
    text: String,
}

impl ConfigValueError {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// The name of a field of an image config, as the image-spec spells it: `created`, `os.version`, `Entrypoint`.
///
/// Fields of the process have names of their own: `Env` is `config.Env` of the document. Other names than those of the
/// image-spec and of Docker are looked for in both places.
///
/// ```
/// use regshape::oci::{ConfigField, UnknownFields};
///
/// let config: UnknownFields = r#"{"os":"linux","config":{"User":"app"}}"#.parse()?;
/// let user: ConfigField = "User".parse()?;
/// assert_eq!(user.value_in(&config)?.map(|value| value.to_string()), Some(r#""app""#.to_owned()));
/// assert!("user".parse::<ConfigField>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigField(String);

/// The fields of the document.
const FIELDS: [&str; 10] =
    ["architecture", "author", "config", "created", "history", "os", "os.features", "os.version", "rootfs", "variant"];

/// The fields of `config`, those that only Docker and podman read among them.
const PROCESS_FIELDS: [&str; 13] = [
    "ArgsEscaped",
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];

/// The fields that an image cannot be without, and the history, which has a flag of its own.
const KEPT_FIELDS: [&str; 4] = ["architecture", "history", "os", "rootfs"];

impl ConfigField {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that the field can be removed from a config.
    ///
    /// # Errors
    ///
    /// [`ConfigValueError`] for `rootfs`, `history`, `architecture` and `os`.
    pub fn check_removable(&self) -> Result<(), ConfigValueError> {
        match self.as_str() {
            "history" => Err(ConfigValueError::new("'history' is removed by another flag; use --no-history")),
            name if KEPT_FIELDS.contains(&name) => {
                Err(ConfigValueError::new(format!("'{name}' cannot be cleared: an image needs it")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the value of the field in a config; `None` if it is not set, or `null`.
    ///
    /// # Errors
    ///
    /// [`ConfigValueError`] if the `config` of the document is not an object.
    pub fn value_in(&self, document: &UnknownFields) -> Result<Option<Json>, ConfigValueError> {
        let in_document = || document.get::<Json>(&self.0).ok().flatten();
        let found = if FIELDS.contains(&self.as_str()) {
            in_document()
        } else {
            let section = document.get::<Option<UnknownFields>>("config");
            let section = section.map_err(|_| ConfigValueError::new("config is not an object"))?.flatten();
            let in_process = || section.and_then(|section| section.get::<Json>(&self.0).ok().flatten());
            if PROCESS_FIELDS.contains(&self.as_str()) { in_process() } else { in_document().or_else(in_process) }
        };
        Ok(found.filter(|value| value.as_str() != "null"))
    }

    /// Returns whether the field is one of the document, not of the process; `None` if the name is not known.
    pub(crate) fn is_of_document(&self) -> Option<bool> {
        match self.as_str() {
            name if FIELDS.contains(&name) => Some(true),
            name if PROCESS_FIELDS.contains(&name) => Some(false),
            _ => None,
        }
    }
}

impl FromStr for ConfigField {
    type Err = ConfigValueError;

    fn from_str(name: &str) -> Result<Self, ConfigValueError> {
        if name.is_empty() {
            return Err(ConfigValueError::new("the name of the field is empty"));
        }
        let like = FIELDS.iter().chain(&PROCESS_FIELDS).find(|known| known.eq_ignore_ascii_case(name));
        match like {
            Some(known) if *known != name => Err(ConfigValueError::new(format!(
                "'{}' is not a field of image configs; use {known}",
                name.escape_debug()
            ))),
            _ => Ok(Self(name.to_owned())),
        }
    }
}

impl fmt::Display for ConfigField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A port that the process listens on, with its protocol: `8080/tcp`.
///
/// ```
/// use regshape::oci::ExposedPort;
///
/// assert_eq!("8080".parse::<ExposedPort>()?.to_string(), "8080/tcp");
/// assert!("8000-8010".parse::<ExposedPort>().is_err());
/// # Ok::<(), regshape::oci::ConfigValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExposedPort {
    number: u16,
    protocol: &'static str,
}

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

impl FromStr for ExposedPort {
    type Err = ConfigValueError;

    fn from_str(text: &str) -> Result<Self, ConfigValueError> {
        let shown = text.escape_debug();
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if number.split_once('-').is_some_and(|(first, last)| is_number(first) && is_number(last)) {
            return Err(ConfigValueError::new(format!("'{shown}' is a range of ports; give each port on its own")));
        }
        if !is_number(number) {
            return Err(ConfigValueError::new(format!("'{shown}' is not a port of the form PORT or PORT/PROTOCOL")));
        }
        let number = number.parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| ConfigValueError::new(format!("'{shown}' is not a port from 1 to 65535")))?;
        let protocol = PROTOCOLS.into_iter().find(|known| known.eq_ignore_ascii_case(protocol));
        let protocol = protocol
            .ok_or_else(|| ConfigValueError::new(format!("'{shown}' has none of the protocols tcp, udp, sctp")))?;
        Ok(Self { number, protocol })
    }
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// The health check of an image, which Docker and podman run in its containers: a command for the image's shell, or an
/// object as Docker writes it.
///
/// ```
/// use regshape::oci::Healthcheck;
///
/// let check: Healthcheck = "curl -f http://localhost/".parse()?;
/// assert_eq!(check.to_string(), r#"{"Test":["CMD-SHELL","curl -f http://localhost/"]}"#);
/// # Ok::<(), regshape::oci::ConfigValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Healthcheck(Json);

/// The fields of a health check that are a number: of nanoseconds, and of retries.
const HEALTHCHECK_NUMBERS: [&str; 5] = ["Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];

impl Healthcheck {
    /// Returns the object.
    pub fn json(&self) -> &Json {
        &self.0
    }
}

impl FromStr for Healthcheck {
    type Err = ConfigValueError;

    fn from_str(text: &str) -> Result<Self, ConfigValueError> {
        if text.trim().is_empty() {
            return Err(ConfigValueError::new("the health check is empty; use --no-healthcheck to remove it"));
        }
        let malformed = |reason: &str| ConfigValueError::new(format!("the health check is not valid: {reason}"));
        if from_json::<Vec<Json>>(text.as_bytes()).is_ok() {
            return Err(malformed("it is an array; use {\"Test\": [...]}"));
        }
        let fields = match from_json::<UnknownFields>(text.as_bytes()) {
            Ok(fields) => fields,
            // No command of a shell begins like an object with a field.
            Err(error)
                if text.trim_start().strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"')) =>
            {
                return Err(malformed(&error.to_string()));
            }
            Err(_) => {
                let command = Json::new(&serde_json::json!({"Test": ["CMD-SHELL", text]}));
                return Ok(Self(command.expect("texts can be written")));
            }
        };
        let test: Option<Vec<String>> = fields.get("Test").map_err(|_| malformed("Test is not an array of strings"))?;
        match test.as_deref() {
            None => return Err(malformed("it has no Test")),
            Some([kind, ..]) if ["NONE", "CMD", "CMD-SHELL"].contains(&kind.as_str()) => {}
            Some([]) => {}
            Some(_) => return Err(malformed("Test does not begin with NONE, CMD or CMD-SHELL")),
        }
        for name in HEALTHCHECK_NUMBERS {
            if fields.get::<u64>(name).is_err() {
                return Err(malformed(&format!("{name} is not a whole number")));
            }
        }
        Ok(Self(Json::new(&fields).expect("fields can be written")))
    }
}

impl fmt::Display for Healthcheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The user that the process runs as, with a group after a colon: `app`, `1000`, `app:staff`, `1000:1000`. An empty one
/// leaves the choice to the engine, which takes root.
///
/// ```
/// use regshape::oci::ProcessUser;
///
/// assert_eq!("app:staff".parse::<ProcessUser>()?.as_str(), "app:staff");
/// assert!("app:staff:more".parse::<ProcessUser>().is_err());
/// # Ok::<(), regshape::oci::ConfigValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessUser(String);

impl ProcessUser {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessUser {
    type Err = ConfigValueError;

    fn from_str(text: &str) -> Result<Self, ConfigValueError> {
        let shown = text.escape_debug();
        let parts: Vec<_> = text.split(':').collect();
        if parts.len() > 2 || !text.is_empty() && parts.contains(&"") {
            return Err(ConfigValueError::new(format!("'{shown}' is not a user of the form USER or USER:GROUP")));
        }
        if text.chars().any(char::is_control) {
            return Err(ConfigValueError::new(format!("'{shown}' contains a character that no user's name has")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ProcessUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The signal that ends the process: `SIGTERM`, `SIGRTMIN+3`, or a number. An empty one leaves the choice to the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StopSignal(String);

impl StopSignal {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StopSignal {
    type Err = ConfigValueError;

    fn from_str(text: &str) -> Result<Self, ConfigValueError> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_named = |text: &str| {
            let Some(name) = text.strip_prefix("SIG") else { return false };
            let (word, offset) = name.split_at(name.find(['+', '-']).unwrap_or(name.len()));
            let is_word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            !word.is_empty() && word.bytes().all(is_word) && (offset.is_empty() || is_digits(&offset[1..]))
        };
        let is_number = is_digits(text) && text.parse::<u8>().is_ok_and(|number| number > 0);
        if text.is_empty() || is_number || is_named(text) {
            return Ok(Self(text.to_owned()));
        }
        let upper = text.to_ascii_uppercase();
        let right = [upper.clone(), format!("SIG{upper}")].into_iter().find(|word| !is_digits(text) && is_named(word));
        let right = right.map(|right| format!("; use {right}")).unwrap_or_default();
        let shown = text.escape_debug();
        Err(ConfigValueError::new(format!("'{shown}' is not a signal such as SIGTERM, SIGRTMIN+3 or 9{right}")))
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_and_a_protocol() {
        for (text, port) in
            [("80", "80/tcp"), ("0080/TCP", "80/tcp"), ("53/udp", "53/udp"), ("65535/sctp", "65535/sctp")]
        {
            assert_eq!(text.parse::<ExposedPort>().map(|port| port.to_string()), Ok(port.to_owned()), "{text}");
        }
        for (text, fault) in [
            ("8000-8010", "'8000-8010' is a range of ports; give each port on its own"),
            ("1-2/udp", "'1-2/udp' is a range of ports; give each port on its own"),
            ("0", "'0' is not a port from 1 to 65535"),
            ("65536/udp", "'65536/udp' is not a port from 1 to 65535"),
            ("99999999999999999999", "'99999999999999999999' is not a port from 1 to 65535"),
            ("", "'' is not a port of the form PORT or PORT/PROTOCOL"),
            ("-1", "'-1' is not a port of the form PORT or PORT/PROTOCOL"),
            ("+80", "'+80' is not a port of the form PORT or PORT/PROTOCOL"),
            ("80:80", "'80:80' is not a port of the form PORT or PORT/PROTOCOL"),
            ("80/http", "'80/http' has none of the protocols tcp, udp, sctp"),
            ("80/", "'80/' has none of the protocols tcp, udp, sctp"),
        ] {
            let error = text.parse::<ExposedPort>().expect_err(text);
            assert_eq!(error.to_string(), fault);
        }
    }

    #[test]
    fn a_health_check_is_an_object_or_a_command_of_the_shell() {
        for (text, json) in [
            ("true", r#"{"Test":["CMD-SHELL","true"]}"#),
            ("{ true; }", r#"{"Test":["CMD-SHELL","{ true; }"]}"#),
            ("[ -f /ready ]", r#"{"Test":["CMD-SHELL","[ -f /ready ]"]}"#),
            (r#"{"Test": ["NONE"]}"#, r#"{"Test":["NONE"]}"#),
            (
                r#"{"Test": ["CMD", "a"], "Retries": 3, "Interval": 1000000000, "x": 1.50}"#,
                r#"{"Interval":1000000000,"Retries":3,"Test":["CMD","a"],"x":1.50}"#,
            ),
        ] {
            assert_eq!(text.parse::<Healthcheck>().map(|check| check.to_string()), Ok(json.to_owned()), "{text}");
        }
        for (text, fault) in [
            (" ", "the health check is empty; use --no-healthcheck to remove it"),
            (r#"["CMD", "a"]"#, "the health check is not valid: it is an array; use {\"Test\": [...]}"),
            (r#"{"Retries": 3}"#, "the health check is not valid: it has no Test"),
            (r#"{"Test": "a"}"#, "the health check is not valid: Test is not an array of strings"),
            (r#"{"Test": ["a"]}"#, "the health check is not valid: Test does not begin with NONE, CMD or CMD-SHELL"),
            (r#"{"Test": ["NONE"], "Retries": -1}"#, "the health check is not valid: Retries is not a whole number"),
        ] {
            assert_eq!(text.parse::<Healthcheck>().expect_err(text).to_string(), fault);
        }
        assert!("{\"Test\": [\"CMD\"".parse::<Healthcheck>().is_err());
    }

    #[test]
    fn a_user_may_have_a_group() {
        for text in ["", "app", "1000", "app:staff", "1000:0", "DOMAIN\\user"] {
            assert_eq!(text.parse::<ProcessUser>().map(|user| user.0), Ok(text.to_owned()));
        }
        for text in ["a:b:c", ":", "a:", ":b", "1000:1000:"] {
            let error = text.parse::<ProcessUser>().expect_err(text).to_string();
            assert_eq!(error, format!("'{text}' is not a user of the form USER or USER:GROUP"));
        }
        let error = "a\nb".parse::<ProcessUser>().expect_err("it has two lines").to_string();
        assert_eq!(error, "'a\\nb' contains a character that no user's name has");
    }

    #[test]
    fn a_signal_has_the_name_that_engines_read() {
        for text in ["", "9", "SIGTERM", "SIGRTMIN+3", "SIGUSR1"] {
            assert_eq!(text.parse::<StopSignal>().map(|signal| signal.0), Ok(text.to_owned()));
        }
        for (text, right) in [("term", "; use SIGTERM"), ("sigkill", "; use SIGKILL"), ("0", ""), ("a b", "")] {
            let error = text.parse::<StopSignal>().expect_err(text).to_string();
            assert_eq!(error, format!("'{text}' is not a signal such as SIGTERM, SIGRTMIN+3 or 9{right}"));
        }
    }

    #[test]
    fn fields_have_the_image_specs_spelling() {
        for (text, right) in [("env", "Env"), ("OS.Version", "os.version"), ("workingdir", "WorkingDir")] {
            let error = text.parse::<ConfigField>().expect_err(text).to_string();
            assert_eq!(error, format!("'{text}' is not a field of image configs; use {right}"));
        }
        for name in ["rootfs", "history", "architecture", "os"] {
            assert!(name.parse::<ConfigField>().expect(name).check_removable().is_err(), "{name}");
        }
        for name in ["Entrypoint", "os.version", "docker_version"] {
            assert_eq!(name.parse::<ConfigField>().expect(name).check_removable(), Ok(()));
        }
    }
}
