//! `layout manifest get`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use regshape::layout::{StoredManifest, save};
use regshape::oci::Digest;
use serde::Serialize;
use serde_json::{Map, Value};

use super::registry::{RefArgs, RegistryArgs};
use super::{Common, Context, Leaf};
use crate::cli::args::PlatformArg;
use crate::cli::ui::{Block, Screen, is_stdout, json, write_stdout};

/// Write a manifest or index as it is stored, or a part of it
///
/// The digest of the bytes is verified first. With --json it is written indented.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape layout manifest get --path ./my-image --ref latest\n  regshape layout manifest get --path ./my-image:latest --platform linux/arm64 --part layers"
)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    reference: RefArgs,
    #[command(flatten)]
    platform: PlatformArg,
    /// Write to FILE; - is standard output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one field of it, as JSON
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

#[derive(Serialize)]
struct Written {
    digest: Digest,
    size: usize,
    output: String,
}

impl Screen for Written {
    fn text(&self) -> String {
        Block::new("Wrote manifest:", 6)
            .line("digest", &self.digest)
            .line("size", self.size)
            .line("output", &self.output)
            .finish()
    }
}

/// A document; its text is its JSON.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Value);

impl Screen for Shown {
    fn text(&self) -> String {
        json(&self.0).expect("a JSON value can be written")
    }
}

impl Leaf for Args {
    const NAME: &'static str = "layout manifest get";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let platform = self.platform.platform()?;
        let place = context.to_read(&self.common, &self.registry, self.reference.given())?;
        let reference = place.reference()?;
        let StoredManifest { descriptor, content } = place.repository.get(reference, platform.as_ref())?;
        let part = self.part.map(|part| field(&content, part, reference)).transpose()?;
        match self.output.filter(|output| !is_stdout(output)) {
            Some(output) => {
                let bytes = part.map_or(Ok(content), |part| json(&part).map(|text| (text + "\n").into_bytes()))?;
                save(&bytes, &output)?;
                let output = output.display().to_string();
                context.ui.result(&Written { digest: descriptor.digest, size: bytes.len(), output })?;
            }
            None => match part {
                Some(part) => context.ui.result(&Shown(part))?,
                None if self.common.json => context.ui.result(&Shown(parse(&content)?))?,
                None => drop(write_stdout(&content)?),
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns a field of a manifest.
fn field(content: &[u8], part: Part, reference: &str) -> anyhow::Result<Value> {
    let mut fields: Map<String, Value> = parse(content)?;
    let name = part.name();
    let value = fields.remove(name).filter(|value| !value.is_null());
    value.ok_or_else(|| anyhow::anyhow!("manifest '{}' has no {name}", reference.escape_debug()))
}

fn parse<T: serde::de::DeserializeOwned>(content: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(content).map_err(|error| anyhow::anyhow!("the manifest is not JSON: {error}"))
}
