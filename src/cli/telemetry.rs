//! The time and the work of a command, on stderr and in the log file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
#[cfg(feature = "remote")]
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, ValueEnum};
use regshape::internals::open_log;
use regshape::metrics::{Metrics, Phase};
use serde::Serialize;

use super::output::write_stderr;
use super::style::Label;

/// The width of the block. The original program's, as the columns are.
const WIDTH: usize = 66;
const LABEL: usize = 12;
const TIME: usize = 7;

/// The telemetry to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct TelemetryArgs {
    /// Print how long the command took
    #[arg(long, help_heading = "Telemetry", hide_short_help = true)]
    time_scenarios: bool,
    /// Print the time of each phase: read, compress, hash, write, sync, lock wait
    #[arg(long, help_heading = "Telemetry", hide_short_help = true)]
    time_methods: bool,
    /// Print the number of bytes and blobs read and written
    #[arg(long, help_heading = "Telemetry", hide_short_help = true)]
    metrics: bool,
    /// Print HTTP calls; only commands on registries make some
    #[arg(long, help_heading = "Telemetry", hide_short_help = true)]
    debug_calls: bool,
    /// Format of telemetry
    #[arg(
        long,
        help_heading = "Telemetry",
        hide_short_help = true,
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        ignore_case = true
    )]
    telemetry_format: Format,
    /// Detail of telemetry: 0 none, 1 times, 2 all
    #[arg(short = 't', long, help_heading = "Telemetry", hide_short_help = true, value_name = "LEVEL", default_value = "1", value_parser = clap::value_parser!(u8).range(0..=2))]
    telemetry_verbosity: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The watch that runs while a command does.
pub(crate) struct Telemetry {
    args: TelemetryArgs,
    scenario: String,
    start: Instant,
    log: Option<File>,
}

impl Telemetry {
    /// Starts the watch. The log file is opened now: that it cannot be is known before anything is done.
    pub(crate) fn start(scenario: &str, args: TelemetryArgs, log: Option<&Path>) -> anyhow::Result<Self> {
        let start = Instant::now();
        let log = log.map(open_log).transpose()?;
        Ok(Self { args, scenario: scenario.to_owned(), start, log })
    }

    /// Returns whether HTTP calls are printed, and where else.
    #[cfg(feature = "remote")]
    pub(crate) fn call_printer(&self) -> Option<CallPrinter> {
        if !self.args.debug_calls {
            return None;
        }
        let log = self.log.as_ref().and_then(|log| log.try_clone().ok()).map(Arc::new);
        Some(CallPrinter { is_json: matches!(self.args.telemetry_format, Format::Json), log })
    }

    /// Stops the watch and prints the telemetry.
    pub(crate) fn finish(mut self, metrics: Option<&Metrics>) {
        let elapsed = self.start.elapsed();
        let is_wanted = self.args.time_scenarios || self.args.time_methods || self.args.metrics;
        if !is_wanted || self.args.telemetry_verbosity == 0 {
            return;
        }
        let phases: Vec<_> = Phase::ALL
            .into_iter()
            .filter(|_| self.args.time_methods)
            .map(|phase| (phase.name(), metrics.map(|metrics| metrics.time_in(phase)).unwrap_or_default()))
            .filter(|(_, time)| !time.is_zero() || self.args.telemetry_verbosity == 2)
            .collect();
        let scenario = self.args.time_scenarios.then_some(elapsed);
        let metrics = metrics.filter(|_| self.args.metrics);
        let lines = match self.args.telemetry_format {
            Format::Text => text(&self.scenario, scenario, &phases, metrics),
            Format::Json => json_lines(&self.scenario, scenario, &phases, metrics),
        };
        write_stderr(&lines);
        if let Some(log) = &mut self.log
            && let Err(error) = log.write_all(format!("{lines}\n").as_bytes())
        {
            write_stderr(&Label::Warning.message(&format!("failed to write to the log file: {error}")));
        }
    }
}

/// Prints HTTP calls, as `curl -v` does.
#[cfg(feature = "remote")]
#[derive(Clone, Debug)]
pub(crate) struct CallPrinter {
    is_json: bool,
    log: Option<Arc<File>>,
}

#[cfg(feature = "remote")]
impl CallPrinter {
    /// Prints a call.
    pub(crate) fn print(&self, call: &regshape::remote::Call) {
        let lines = if self.is_json { json_of_call(call) } else { text_of_call(call) };
        super::progress::without_bar(|| write_stderr(&lines));
        if let Some(log) = &self.log {
            // The end of the telemetry says if the log cannot be written.
            let _ = (&**log).write_all(format!("{lines}\n").as_bytes());
        }
    }
}

#[cfg(feature = "remote")]
fn text_of_call(call: &regshape::remote::Call) -> String {
    use super::output::printable;
    let mut lines = format!("> {} {}", call.method, call.url);
    for (name, value) in &call.request_headers {
        let _ = write!(lines, "\n> {name}: {}", printable(value));
    }
    if let Some(status) = call.status {
        let _ = write!(lines, "\n< {status}");
    }
    for (name, value) in &call.response_headers {
        let _ = write!(lines, "\n< {name}: {}", printable(value));
    }
    if let Some(error) = &call.error {
        let _ = write!(lines, "\n* {}", printable(error));
    }
    let seconds = call.duration.as_secs_f64();
    let _ = write!(lines, "\n* {seconds:.3}s, {} bytes sent, {} bytes received", call.bytes_sent, call.bytes_received);
    lines
}

#[cfg(feature = "remote")]
fn json_of_call(call: &regshape::remote::Call) -> String {
    #[derive(Serialize)]
    struct Event<'a> {
        r#type: &'static str,
        method: &'a str,
        url: &'a str,
        request_headers: &'a [(String, String)],
        status: Option<u16>,
        response_headers: &'a [(String, String)],
        bytes_sent: u64,
        bytes_received: u64,
        elapsed_s: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
        timestamp: String,
    }
    let event = Event {
        r#type: "call",
        method: call.method,
        url: &call.url,
        request_headers: &call.request_headers,
        status: call.status,
        response_headers: &call.response_headers,
        bytes_sent: call.bytes_sent,
        bytes_received: call.bytes_received,
        elapsed_s: (call.duration.as_secs_f64() * 1e6).round() / 1e6,
        error: call.error.as_deref(),
        timestamp: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
    };
    serde_json::to_string(&event).expect("events are plain values")
}

fn text(name: &str, scenario: Option<Duration>, phases: &[(&str, Duration)], metrics: Option<&Metrics>) -> String {
    let mut lines = format!("{:─<WIDTH$}", "── telemetry ");
    let mut row = |label: &str, name: &str, time: Duration| {
        let time = format!("{:.3}s", time.as_secs_f64());
        let _ = write!(lines, "\n{label:<LABEL$}{name:<names$}{time:>TIME$}", names = WIDTH - LABEL - TIME);
    };
    scenario.into_iter().for_each(|time| row("  scenario", name, time));
    phases.iter().for_each(|(name, time)| row("    method", name, *time));
    if let Some(metrics) = metrics {
        let _ = write!(
            lines,
            "\n{:<LABEL$}blobs read: {}  written: {}\n{:<LABEL$}bytes read: {}  written: {}",
            "   metrics",
            metrics.blobs_read(),
            metrics.blobs_written(),
            "   metrics",
            metrics.bytes_read(),
            metrics.bytes_written(),
        );
    }
    let _ = write!(lines, "\n{}", "─".repeat(WIDTH));
    lines
}

/// A line of telemetry as JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event<'a> {
    Scenario { name: &'a str, elapsed_s: f64, methods: Vec<Method<'a>>, timestamp: &'a str },
    Method { name: &'a str, elapsed_s: f64, timestamp: &'a str },
    Metrics { blobs_read: u64, blobs_written: u64, bytes_read: u64, bytes_written: u64, timestamp: &'a str },
}

#[derive(Serialize)]
struct Method<'a> {
    name: &'a str,
    elapsed_s: f64,
}

fn json_lines(
    name: &str,
    scenario: Option<Duration>,
    phases: &[(&str, Duration)],
    metrics: Option<&Metrics>,
) -> String {
    let timestamp = &humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let seconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e6;
    let mut events = Vec::new();
    match scenario {
        Some(time) => {
            let methods = phases.iter().map(|(name, time)| Method { name, elapsed_s: seconds(*time) }).collect();
            events.push(Event::Scenario { name, elapsed_s: seconds(time), methods, timestamp });
        }
        None => events.extend(phases.iter().map(|(name, time)| Event::Method {
            name,
            elapsed_s: seconds(*time),
            timestamp,
        })),
    }
    events.extend(metrics.map(|metrics| Event::Metrics {
        blobs_read: metrics.blobs_read(),
        blobs_written: metrics.blobs_written(),
        bytes_read: metrics.bytes_read(),
        bytes_written: metrics.bytes_written(),
        timestamp,
    }));
    let lines: Vec<_> =
        events.iter().map(|event| serde_json::to_string(event).expect("events are plain values")).collect();
    lines.join("\n")
}
