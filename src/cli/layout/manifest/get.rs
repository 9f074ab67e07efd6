//! `layout manifest get`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use regshape::internals::write_file;
use regshape::oci::{Json, UnknownFields, from_json};
use regshape::registry::StoredManifest;
use serde::Serialize;

use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layout::place::ManifestArgs;
use crate::cli::layout::written_output::{WRITTEN_KEYS, WrittenScreen};
use crate::cli::output::{Screen, is_stdout, json, write_stdout};
use crate::cli::style::Style;
use crate::cli::usage::Usage;

/// Write a manifest or index, or one field of it
///
/// Verifies the digest, then writes the stored bytes; --json indents them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape manifest get ./my-image:latest\n  regshape manifest get ./my-image:latest --platform linux/arm64 \\\n      --part layers"
)]
pub(crate) struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Output file; - for standard output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one field, as JSON
    #[arg(long, value_name = "PART", value_enum)]
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Config,
    Layers,
    Subject,
    Annotations,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Layers => "layers",
            Self::Subject => "subject",
            Self::Annotations => "annotations",
        }
    }
}

/// A document; its text is its JSON.
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
        match &self.output {
            Some(output) if is_stdout(output) => {
                if let Some(flag) = context.ui.value_flag().filter(|flag| *flag == "--template") {
                    let message =
                        format!("{flag} prints to standard output; write the manifest to a file with --output");
                    return Err(Usage(message).into());
                }
            }
            Some(_) => context.ui.check_template(WRITTEN_KEYS)?,
            None => {}
        }
        let (place, platform) = self.manifest.place(context)?;
        let reference = place.image()?;
        let StoredManifest { descriptor, content, choice, .. } =
            place.repository.get((&*reference, platform.as_ref()))?;
        choice.iter().for_each(|choice| drop(context.lower_variant(choice)));
        let part = self.part.map(|part| field(&content, part, &reference)).transpose()?;
        match self.output.filter(|output| !is_stdout(output)) {
            Some(output) => {
                let bytes = part.map_or(Ok(content), |part| json(&part).map(|text| (text + "\n").into_bytes()))?;
                write_file(&bytes, &output, &context.interrupt)?;
                let size = bytes.len() as u64;
                context.ui.result(&WrittenScreen::new("Wrote manifest:", descriptor.digest, size, &output))?;
            }
            None => match part {
                Some(part) => context.ui.result(&Shown(part))?,
                None if context.ui.value_flag().is_some() => context.ui.result(&Shown(parse(&content)?))?,
                None => drop(write_stdout(&content)?),
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns a field of a manifest.
fn field(content: &[u8], part: Part, reference: &str) -> anyhow::Result<Json> {
    let mut fields: UnknownFields = parse(content)?;
    let name = part.name();
    let value = fields.remove(name).filter(|value| value.as_str() != "null");
    value.ok_or_else(|| anyhow::anyhow!("manifest '{}' has no {name}", reference.escape_debug()))
}

fn parse<T: serde::de::DeserializeOwned>(content: &[u8]) -> anyhow::Result<T> {
    from_json(content).map_err(|error| anyhow::anyhow!("the manifest is not JSON: {error}"))
}
