//! `layout config get`

use std::process::ExitCode;

use regshape::oci::{ConfigField, Json, UnknownFields, from_json};
use regshape::registry::StoredConfig;
use regshape::{ConfigError, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::args::{PathFlag, PlatformArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::{RefArgs, RegistryArgs};
use crate::cli::output::{Screen, json};
use crate::cli::style::Style;

/// Print the config of an image, or one field of it, as JSON
///
/// A field that is not set ends the command with status 3, and so does one that is null. An index with several images needs
/// --platform.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape config get -p ./my-image:latest\n  regshape config get -p ./my-image:latest Entrypoint"
)]
pub(crate) struct Args {
    #[command(flatten)]
    path: PathFlag,
    /// Field, e.g. Env, Labels or os.version [default: all]
    field: Option<ConfigField>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    reference: RefArgs,
    #[command(flatten)]
    platform: PlatformArg,
}

/// A config or a field; its text is its JSON.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Json);

impl Screen for Shown {
    fn is_json(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        json(&self.0).expect("a JSON value can be written")
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let platform = self.platform.platform()?;
        // In 'config get app:v1' the path is where FIELD belongs.
        let explain = |error: anyhow::Error| match &self.field {
            Some(field) => self.path.explain(error, field.as_ref(), "FIELD"),
            None => error,
        };
        let path = self.path.path().map_err(|error| explain(error.into()))?;
        let place = context.to_read(&path, &self.registry, self.reference.given())?;
        let reference = place.image().map_err(explain)?;
        let StoredConfig { content, choice, .. } = place.repository.config((&*reference, platform.as_ref()))?;
        choice.iter().for_each(|choice| drop(context.lower_variant(choice)));
        let shown = match &self.field {
            None => parse(&content, &reference)?,
            Some(field) => {
                let config: UnknownFields = parse(&content, &reference)?;
                let value = field.value_in(&config).map_err(ConfigError::from).map_err(Error::from)?;
                let unset = || ConfigError::UnsetField { reference: reference.to_string(), field: field.to_string() };
                value.ok_or_else(unset).map_err(Error::from)?
            }
        };
        context.ui.result(&Shown(shown))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn parse<T: DeserializeOwned>(content: &[u8], reference: &str) -> anyhow::Result<T> {
    from_json(content)
        .map_err(|error| anyhow::anyhow!("the config of '{}' is not JSON: {error}", reference.escape_debug()))
}
