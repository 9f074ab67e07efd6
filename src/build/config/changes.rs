//! Changes to an image config. Fields without a change keep their values, unknown fields included.

use super::fault::{Fault, is_not_object};
use super::history::{HistoryChanges, Steps};
use super::process::ProcessChanges;
use crate::check::documents::config_error;
use crate::error::{ConfigError, CopyError, Result};
use crate::oci::{self, Annotations, ConfigField, UnknownFields, check_architecture, check_os, check_variant};
use crate::options::setters;

/// Changes to an image config. Fields that are not set keep their values.
///
/// A field that is set to an empty value is written as such; [`ConfigChanges::cleared`] removes it. The changes are made
/// in this order: the given config, fields that are cleared, entries of fields that are removed, values that are set,
/// the history.
///
/// ```
/// use regshape::build::{ConfigChanges, ProcessChanges};
///
/// let process = ProcessChanges::default()
///     .entrypoint(vec!["/app".to_owned()])
///     .env(vec![("PORT".to_owned(), "8080".to_owned())])
///     .exposed(vec!["8080".parse()?]);
/// let changes = ConfigChanges::default().process(process).cleared(vec!["Cmd".parse()?]);
/// # let _ = changes;
/// # Ok::<(), regshape::oci::ConfigValueError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConfigChanges {
    /// The config whose fields replace all fields but `rootfs`, `history` and `created`.
    pub given: Option<UnknownFields>,
    /// Fields to remove.
    pub cleared: Vec<ConfigField>,
    /// The new CPU architecture.
    pub architecture: Option<String>,
    /// The new operating system.
    pub os: Option<String>,
    /// The new variant of the CPU.
    pub variant: Option<String>,
    /// The new version of the operating system.
    pub os_version: Option<String>,
    /// The features that the operating system must have.
    pub os_features: Option<Vec<String>>,
    /// The new author.
    pub author: Option<String>,
    /// The new creation time (RFC 3339).
    pub created: Option<String>,
    /// Changes to the process that the image starts.
    pub process: ProcessChanges,
    /// Labels to add.
    pub labels: Annotations,
    /// Labels to remove.
    pub unset_labels: Vec<String>,
    /// Whether to remove the existing labels first.
    pub replace_labels: bool,
    /// Texts of history entries to add, each without a layer.
    pub history: Vec<String>,
    /// Whether to remove the history.
    pub drop_history: bool,
}

impl ConfigChanges {
    setters! {
        given: [some UnknownFields],
        cleared: [Vec<ConfigField>],
        architecture: [some String],
        os: [some String],
        variant: [some String],
        os_version: [some String],
        os_features: [some Vec<String>],
        author: [some String],
        created: [some String],
        process: [ProcessChanges],
        labels: [Annotations],
        unset_labels: [Vec<String>],
        replace_labels: [bool],
        history: [Vec<String>],
        drop_history: [bool],
    }

    /// Checks the values that do not depend on the config.
    pub(crate) fn check(&self) -> Result<()> {
        let given = |name: &str| self.given.as_ref().and_then(|given| given.get::<String>(name).ok().flatten());
        let architecture = self.architecture.clone().or_else(|| given("architecture"));
        architecture.as_deref().map_or(Ok(()), check_architecture)?;
        self.os.clone().or_else(|| given("os")).as_deref().map_or(Ok(()), check_os)?;
        self.variant.clone().or_else(|| given("variant")).as_deref().map_or(Ok(()), check_variant)?;
        self.cleared.iter().try_for_each(ConfigField::check_removable).map_err(ConfigError::from)?;
        Ok(())
    }

    /// Changes a config of an image. `layers` are the steps that made its layers, the lowest first.
    pub(crate) fn apply(&self, config: &mut UnknownFields, layers: &Steps) -> Result<(), Fault> {
        if let Some(given) = &self.given {
            *config = merged(config, given)?;
        }
        let environment = process_of(config)?.unwrap_or_default();
        let environment = environment.get("Env").ok().flatten().unwrap_or_default();
        self.cleared.iter().try_for_each(|field| clear(config, field))?;
        for (key, value) in [
            ("architecture", &self.architecture),
            ("os", &self.os),
            ("variant", &self.variant),
            ("os.version", &self.os_version),
            ("author", &self.author),
            ("created", &self.created),
        ] {
            if let Some(value) = value {
                config.insert(key, value)?;
            }
        }
        if let Some(features) = &self.os_features {
            config.insert("os.features", features)?;
        }
        let is_windows = config.get::<String>("os").ok().flatten().as_deref() == Some("windows");
        if is_windows && layers.has_copies() {
            return Err(CopyError::Windows.into());
        }
        let before = process_of(config)?;
        let mut section = before.clone().unwrap_or_default();
        self.process.apply(&mut section, environment, is_windows)?;
        self.change_labels(&mut section)?;
        if section != before.unwrap_or_default() {
            put_process(config, &section)?;
        }
        HistoryChanges { texts: &self.history, is_dropped: self.drop_history }.apply(config, layers)
    }

    fn change_labels(&self, section: &mut UnknownFields) -> Result<(), Fault> {
        if self.labels.is_empty() && self.unset_labels.is_empty() && !self.replace_labels {
            return Ok(());
        }
        let labels = section.get::<Option<UnknownFields>>("Labels");
        let before = labels.map_err(|_| is_not_object("config.Labels"))?.flatten();
        let mut labels = before.clone().filter(|_| !self.replace_labels).unwrap_or_default();
        for label in &self.unset_labels {
            labels.remove(label);
        }
        labels.extend(&fields(&self.labels));
        match before {
            Some(before) if before == labels && !self.replace_labels => {}
            None if labels.is_empty() && !self.replace_labels => {}
            _ if labels.is_empty() => drop(section.remove("Labels")),
            _ => section.insert("Labels", &labels)?,
        }
        Ok(())
    }
}

/// The fields that are never taken from a given config: those of the layers.
const FIELDS_OF_LAYERS: [&str; 3] = ["rootfs", "history", "created"];

/// Returns a config with all fields of another one, but those of the layers.
fn merged(config: &UnknownFields, given: &UnknownFields) -> Result<UnknownFields, Fault> {
    let mut merged = given.clone();
    for name in FIELDS_OF_LAYERS {
        merged.remove(name);
        if let Some(value) = config.get::<oci::Json>(name)? {
            merged.insert(name, &value)?;
        }
    }
    // No image is without these.
    for name in ["architecture", "os"] {
        if let (false, Some(value)) = (merged.contains_key(name), config.get::<oci::Json>(name)?) {
            merged.insert(name, &value)?;
        }
    }
    match config_error(&oci::to_blob(&merged)) {
        Some(reason) => Err(ConfigError::Invalid { reason }.into()),
        None => Ok(merged),
    }
}

/// Returns the part of a config that says how its process starts.
fn process_of(config: &UnknownFields) -> Result<Option<UnknownFields>, Fault> {
    let section = config.get::<Option<UnknownFields>>("config");
    Ok(section.map_err(|_| is_not_object("config"))?.flatten())
}

/// Writes that part. One that has become empty is removed.
fn put_process(config: &mut UnknownFields, section: &UnknownFields) -> Result<(), Fault> {
    if section.is_empty() {
        config.remove("config");
    } else {
        config.insert("config", section)?;
    }
    Ok(())
}

/// Removes a field. One that is not known must be set.
fn clear(config: &mut UnknownFields, field: &ConfigField) -> Result<(), Fault> {
    let name = field.as_str();
    let place = field.is_of_document();
    if place != Some(false) && config.remove(name).is_some() || place == Some(true) {
        return Ok(());
    }
    let removed = match process_of(config)? {
        Some(mut section) => {
            let removed = section.remove(name);
            if removed.is_some() {
                put_process(config, &section)?;
            }
            removed
        }
        None => None,
    };
    match (place, removed) {
        (None, None) => Err(ConfigError::UnknownField { field: name.to_owned() }.into()),
        _ => Ok(()),
    }
}

/// Converts labels to fields.
fn fields(labels: &Annotations) -> UnknownFields {
    let text = oci::to_blob(labels);
    oci::from_json(&text).expect("it was just written")
}
