//! Changes to the process that an image starts: the `config` of an image config.

use super::fault::{Fault, is_not_object};
use crate::error::{ConfigError, Reason};
use crate::oci::{ExposedPort, Healthcheck, Json, ProcessUser, StopSignal, UnknownFields};
use crate::options::setters;

/// Changes to the process that an image starts. Fields that are not set keep their values; a field is removed with
/// [`ConfigChanges::cleared`](super::ConfigChanges::cleared).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProcessChanges {
    /// The new entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// The new default arguments of the entrypoint, or the command if there is none.
    pub cmd: Option<Vec<String>>,
    /// Variables of the environment to set. One that is set already keeps its place.
    pub env: Vec<(String, String)>,
    /// Variables of the environment to remove.
    pub unset_env: Vec<String>,
    /// Whether `${NAME}` in the values of `env` is replaced by the value that the variable had before the changes.
    pub expand_env: bool,
    /// The new working directory.
    pub workdir: Option<String>,
    /// The new user: a name or number, with a group after a colon.
    pub user: Option<ProcessUser>,
    /// Ports to expose.
    pub exposed: Vec<ExposedPort>,
    /// Ports to expose no longer.
    pub unexposed: Vec<ExposedPort>,
    /// Directories to make volumes.
    pub volumes: Vec<String>,
    /// Directories to make volumes no longer.
    pub removed_volumes: Vec<String>,
    /// The new signal that ends the process.
    pub stop_signal: Option<StopSignal>,
    /// The new health check.
    pub healthcheck: Option<Healthcheck>,
}

impl ProcessChanges {
    setters! {
        entrypoint: [some Vec<String>],
        cmd: [some Vec<String>],
        env: [Vec<(String, String)>],
        unset_env: [Vec<String>],
        expand_env: [bool],
        workdir: [some String],
        user: [option ProcessUser],
        exposed: [Vec<ExposedPort>],
        unexposed: [Vec<ExposedPort>],
        volumes: [Vec<String>],
        removed_volumes: [Vec<String>],
        stop_signal: [option StopSignal],
        healthcheck: [option Healthcheck],
    }

    /// Changes the `config` of a config. `environment` is its `Env` before all changes.
    pub(super) fn apply(
        &self,
        section: &mut UnknownFields,
        environment: Vec<String>,
        is_windows: bool,
    ) -> Result<(), Fault> {
        for (name, value) in [("Entrypoint", &self.entrypoint), ("Cmd", &self.cmd)] {
            if let Some(value) = value {
                section.insert(name, value)?;
            }
        }
        self.change_env(section, &Environment { entries: environment, is_windows })?;
        if let Some(workdir) = &self.workdir {
            check_absolute("WorkingDir", workdir, is_windows)?;
            section.insert("WorkingDir", workdir)?;
        }
        if let Some(user) = &self.user {
            section.insert("User", user.as_str())?;
        }
        if let Some(signal) = &self.stop_signal {
            section.insert("StopSignal", signal.as_str())?;
        }
        if let Some(check) = &self.healthcheck {
            section.insert("Healthcheck", check.json())?;
        }
        self.change_ports(section)?;
        for volume in &self.volumes {
            check_absolute("Volume", volume, is_windows)?;
        }
        self.change_volumes(section, is_windows)
    }

    /// Writes `Volumes`. Paths that differ in slashes and `.` are one volume; one that is there keeps its spelling.
    fn change_volumes(&self, section: &mut UnknownFields, is_windows: bool) -> Result<(), Fault> {
        let cleaned = |path: &String| if is_windows { path.clone() } else { cleaned(path) };
        let removed: Vec<String> = self.removed_volumes.iter().map(cleaned).collect();
        change_names(section, "Volumes", |names| {
            names.retain(|name| !removed.contains(&cleaned(name)));
            for volume in self.volumes.iter().map(cleaned) {
                if names.iter().all(|name| cleaned(name) != volume) {
                    names.push(volume);
                }
            }
        })
    }

    /// Writes `Env`: a variable that is set keeps its place, others go to the end.
    fn change_env(&self, section: &mut UnknownFields, environment: &Environment) -> Result<(), Fault> {
        if self.env.is_empty() && self.unset_env.is_empty() {
            return Ok(());
        }
        let before = section.get::<Option<Vec<String>>>("Env");
        let before = before.map_err(|_| Reason::new("config.Env is not an array of strings"))?.flatten();
        let mut entries = before.clone().unwrap_or_default();
        for name in &self.unset_env {
            entries.retain(|entry| !environment.is_called(entry, name));
        }
        for (name, value) in &self.env {
            let value = if self.expand_env { environment.expanded(name, value)? } else { value.clone() };
            let entry = format!("{name}={value}");
            let mut places = 0..;
            let first = entries.iter().position(|entry| environment.is_called(entry, name));
            entries.retain(|entry| places.next() == first || !environment.is_called(entry, name));
            match first {
                Some(at) => entries[at] = entry,
                None => entries.push(entry),
            }
        }
        match before {
            Some(before) if before == entries => {}
            None if entries.is_empty() => {}
            _ if entries.is_empty() => drop(section.remove("Env")),
            _ => section.insert("Env", &entries)?,
        }
        Ok(())
    }

    /// Writes `ExposedPorts`. A port without a protocol, which other programs write, is one of TCP.
    fn change_ports(&self, section: &mut UnknownFields) -> Result<(), Fault> {
        change_names(section, "ExposedPorts", |names| {
            let is_one = |name: &String, ports: &[ExposedPort]| {
                name.parse::<ExposedPort>().is_ok_and(|port| ports.contains(&port))
            };
            names.retain(|name| !is_one(name, &self.unexposed));
            names.retain(|name| !is_one(name, &self.exposed));
            names.extend(self.exposed.iter().map(ToString::to_string));
        })
    }
}

/// The variables that a config sets.
struct Environment {
    entries: Vec<String>,
    /// Names of variables have no case there.
    is_windows: bool,
}

impl Environment {
    /// Returns whether an entry sets a variable.
    fn is_called(&self, entry: &str, name: &str) -> bool {
        let own = entry.split_once('=').map_or(entry, |(name, _)| name);
        if self.is_windows { own.eq_ignore_ascii_case(name) } else { own == name }
    }

    /// Returns the value of a variable. Of several entries the last counts, as in a process.
    fn value(&self, name: &str) -> Option<&str> {
        let entry = self.entries.iter().rev().find(|entry| self.is_called(entry, name))?;
        Some(entry.split_once('=').map_or("", |(_, value)| value))
    }

    /// Replaces each `${NAME}` in a value by the value of that variable.
    fn expanded(&self, entry: &str, value: &str) -> Result<String, Fault> {
        let mut expanded = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once("${") {
            let entry = || entry.to_owned();
            let unclosed = || ConfigError::UnclosedVariable { entry: entry(), value: value.to_owned() };
            let (name, after) = after.split_once('}').ok_or_else(unclosed)?;
            let unknown = || ConfigError::UnknownVariable { entry: entry(), variable: name.to_owned() };
            let known = self.value(name).ok_or_else(unknown)?;
            expanded.push_str(before);
            expanded.push_str(known);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

/// Changes the names of an object that is used as a set. The values of names that stay are kept; one that has become
/// empty is removed.
fn change_names(section: &mut UnknownFields, field: &str, change: impl FnOnce(&mut Vec<String>)) -> Result<(), Fault> {
    let before = section.get::<Option<UnknownFields>>(field);
    let before = before.map_err(|_| is_not_object(&format!("config.{field}")))?.flatten();
    let mut names: Vec<String> = before.iter().flat_map(|names| names.iter()).map(|(name, _)| name.into()).collect();
    let was = names.clone();
    change(&mut names);
    names.sort();
    names.dedup();
    if names == was {
        return Ok(());
    }
    let mut after = UnknownFields::new();
    for name in &names {
        let value = before.as_ref().map(|before| before.get::<Json>(name)).transpose()?.flatten();
        match value {
            Some(value) => after.insert(name, &value)?,
            None => after.insert(name, &UnknownFields::new())?,
        }
    }
    if after.is_empty() {
        section.remove(field);
    } else {
        section.insert(field, &after)?;
    }
    Ok(())
}

/// Returns a path with single slashes, without one at its end, and without the components `.`. A `..` stays: its meaning
/// depends on the links of the image.
fn cleaned(path: &str) -> String {
    let components = path.split('/').filter(|component| !matches!(*component, "" | "."));
    let components: Vec<_> = components.collect();
    let slash = if path.starts_with('/') { "/" } else { "" };
    format!("{slash}{}", components.join("/"))
}

/// Checks a path of the process. Those of Windows have a drive, or are relative to one.
fn check_absolute(field: &'static str, path: &str, is_windows: bool) -> Result<(), Fault> {
    if is_windows || path.starts_with('/') || path.is_empty() && field == "WorkingDir" {
        return Ok(());
    }
    Err(ConfigError::RelativePath { field, path: path.to_owned() }.into())
}
