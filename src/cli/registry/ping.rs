//! `ping`

use std::process::ExitCode;

use regshape::remote::{Client, ConnectionOptions, Ping, RegistryHost};
use regshape::{ConnectionFault, RemoteError};
use serde::Serialize;

use crate::cli::args::Base;
use crate::cli::connection_args::LinkArgs;
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::BesideRegistry;
use crate::cli::output::{Screen, printable};
use crate::cli::style::Style;

/// Ask whether a registry is there
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape ping -r ghcr.io")]
pub(crate) struct Args {
    /// Registry: HOST[:PORT]
    #[arg(short, long, value_name = "HOST")]
    registry: String,
    #[command(flatten)]
    link: LinkArgs,
    /// Ask again up to N times after a failure that may pass [default: 0]
    #[arg(long, value_name = "N", help_heading = "Connection", hide_short_help = true)]
    retries: Option<u32>,
    #[command(flatten)]
    _base: Base,
}

#[derive(Serialize)]
struct Reachable {
    registry: String,
    reachable: bool,
    status_code: u16,
    api_version: Option<String>,
    latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

const WANTS_CREDENTIALS: &str = "Registry requires authentication. Run 'regshape auth login' to configure credentials.";

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let host: RegistryHost = self.registry.parse()?;
        let mut options: ConnectionOptions = self.link.options(&host, context)?;
        // Scripts that wait for a registry ask again by themselves.
        options.retries = self.retries.unwrap_or(0);
        let ping = Client::new(host.clone(), None, &options).ping();
        let Ping { status, api_version, latency, .. } = match ping {
            Ok(ping) => ping,
            Err(error) => {
                let error = unreachable_registry(&host, error);
                return Err(BesideRegistry { error, registry: host.to_string() }.into());
            }
        };
        context.ui.result(&Reachable {
            registry: host.to_string(),
            reachable: true,
            status_code: status,
            api_version,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            note: (status == 401).then_some(WANTS_CREDENTIALS),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the error of the original program.
fn unreachable_registry(host: &RegistryHost, error: RemoteError) -> anyhow::Error {
    match error {
        RemoteError::Status { status, .. } => anyhow::anyhow!("Registry {host} is not reachable (HTTP {status})"),
        RemoteError::NotARegistry { .. } => {
            anyhow::anyhow!("Registry {host} is not reachable (HTTP 404): it has no /v2/")
        }
        RemoteError::Unreachable { reason, fault, .. } => {
            let hint = match fault {
                ConnectionFault::PlainHttp => "; use --insecure if it speaks plain HTTP",
                ConnectionFault::SpeaksTls => "; leave out --insecure",
                ConnectionFault::Untrusted => "; name its authority with --ca-file",
                _ => "",
            };
            anyhow::anyhow!("Registry {host} is not reachable: {reason}{hint}")
        }
        error => error.into(),
    }
}

impl Screen for Reachable {
    fn text(&self, _: &Style) -> String {
        let mut lines = vec![format!("Registry {} is reachable", self.registry)];
        match self.note {
            Some(note) => lines.push(format!("  Note: {note}")),
            None => {
                lines.extend(self.api_version.iter().map(|version| format!("  API Version: {}", printable(version))));
                lines.push(format!("  Latency:     {}ms", self.latency_ms));
            }
        }
        lines.join("\n")
    }
}
