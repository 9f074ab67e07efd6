//! The config of an image as people ask for it: how it runs, and how it was made.

use std::collections::BTreeMap;

use regshape::oci::{ImageConfig, Json, UnknownFields};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::output::{Block, printable};

/// The fields of a config that say how an image runs, and its history. A field of another type than the image-spec's counts as
/// absent.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigInfo {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Vec<String>,
    user: Option<String>,
    workdir: Option<String>,
    ports: Vec<String>,
    volumes: Vec<String>,
    stop_signal: Option<String>,
    /// As Docker writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    labels: BTreeMap<String, String>,
    created: Option<String>,
    history: Vec<Step>,
}

/// A step of the history.
#[derive(Debug, Default, serde::Deserialize, Serialize)]
struct Step {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

impl ConfigInfo {
    pub(crate) fn new(config: &ImageConfig) -> Self {
        let section = config.config.clone().unwrap_or_default();
        let text = |name: &str| field::<String>(&section, name).filter(|text| !text.is_empty());
        let keys = |name: &str| {
            let set: BTreeMap<String, serde::de::IgnoredAny> = field(&section, name).unwrap_or_default();
            set.into_keys().collect()
        };
        Self {
            entrypoint: field(&section, "Entrypoint"),
            cmd: field(&section, "Cmd"),
            env: field(&section, "Env").unwrap_or_default(),
            user: text("User"),
            workdir: text("WorkingDir"),
            ports: keys("ExposedPorts"),
            volumes: keys("Volumes"),
            stop_signal: text("StopSignal"),
            healthcheck: field(&section, "Healthcheck").filter(|check: &Json| check.as_str() != "null"),
            author: field::<String>(&config.extra, "author").filter(|author| !author.is_empty()),
            labels: field(&section, "Labels").unwrap_or_default(),
            created: config.created.clone(),
            history: field(&config.extra, "history").unwrap_or_default(),
        }
    }

    /// Returns the block under the manifest's; `None` if the config says none of it.
    pub(crate) fn text(&self) -> Option<String> {
        let list = |words: &Option<Vec<String>>| words.as_ref().map(|words| format!("{words:?}"));
        let mut block = Block::new("Config:", 13);
        for (label, value) in [
            ("created", self.created.clone()),
            ("entrypoint", list(&self.entrypoint)),
            ("cmd", list(&self.cmd)),
            ("user", self.user.clone()),
            ("workdir", self.workdir.clone()),
            ("ports", Some(self.ports.join(", ")).filter(|ports| !ports.is_empty())),
            ("volumes", Some(self.volumes.join(", ")).filter(|volumes| !volumes.is_empty())),
            ("stop-signal", self.stop_signal.clone()),
            ("healthcheck", self.healthcheck.as_ref().map(ToString::to_string)),
            ("author", self.author.clone()),
        ] {
            if let Some(value) = value {
                block = block.line(label, value);
            }
        }
        let mut text = block.finish();
        let mut add = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                text.push_str(&format!("\n  {title}:"));
                lines.iter().for_each(|line| text.push_str(&format!("\n    {}", printable(line))));
            }
        };
        add("env", self.env.clone());
        add("labels", self.labels.iter().map(|(key, value)| format!("{key} = {value}")).collect());
        add("history", self.history.iter().map(Step::line).collect());
        text.contains('\n').then_some(text)
    }
}

impl Step {
    fn line(&self) -> String {
        let what = self.created_by.as_deref().or(self.comment.as_deref()).unwrap_or("-");
        if self.empty_layer { format!("{what} (no layer)") } else { what.to_owned() }
    }
}

/// Reads a field, if it is there and of the type.
fn field<T: DeserializeOwned>(fields: &UnknownFields, name: &str) -> Option<T> {
    fields.get::<T>(name).ok().flatten()
}
