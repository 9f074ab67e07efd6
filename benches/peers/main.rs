//! Compares the program with others that do the same work or a part of it: `cargo bench --bench peers`.
//!
//! The inputs are made of files of this machine. Each row runs the program and a peer in turn, and gives the ratio of the
//! median times. A peer that is not installed is left out. The result, with the machine, the versions and the commands, is
//! Markdown on stdout; progress goes to stderr.

mod baselines;
mod chart;
mod counts;
#[path = "../../tests/fake_registry/mod.rs"]
mod fake_registry;
mod lab;
mod measure;
mod registries;
mod rows;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;

use chart::Bar;
use counts::{COUNTS, Count, Counted};
use lab::Lab;
use measure::{Outcome, compare};
use rows::{BASELINE, ITSELF, Kind, MEMORY_ROWS, ROWS, Row};
use support::{MIB, Result};

/// Compares regshape with other programs, and prints a table.
///
/// A program is looked for on the PATH; REGSHAPE_UMOCI=/path/to/umoci and the like name another one. The original program
/// is REGSHAPE_ORIGINAL, or a Python program called regshape on the PATH.
#[derive(Parser)]
struct Args {
    /// Size of the tar of real files; the other inputs are in proportion to it
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..))]
    size: u64,
    /// How often each pair is run
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Rows to run [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = row_names())]
    rows: Option<Vec<String>>,
    /// Look at the memory for a layer of 10 MiB and for one of this size too
    #[arg(long, value_name = "MIB", num_args = 0..=1, default_missing_value = "4096")]
    memory: Option<u64>,
    /// Where the inputs and the layouts are made: a file system whose speed counts
    #[arg(long, value_name = "DIR", default_value_os_t = env::temp_dir())]
    directory: PathBuf,
    /// Also draw the ratios of time as a chart
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Does the work of a baseline on a file
    #[arg(long, num_args = 2, hide = true)]
    baseline: Option<Vec<PathBuf>>,
    /// Added by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn row_names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).chain(COUNTS.iter().map(|count| count.name)).collect()
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some([name, file]) = args.baseline.as_deref() {
        return baselines::run(&name.to_string_lossy(), file);
    }
    let cores = available_parallelism()?.get();
    let lab = Lab::new(&args.directory, env!("CARGO_BIN_EXE_regshape").into(), args.size, cores)?;
    let mut report = Report::default();
    let is_wanted = |row: &str| args.rows.as_ref().is_none_or(|names| names.iter().any(|name| name == row));
    for row in ROWS.iter().filter(|row| is_wanted(row.name)) {
        run_row(&lab, row, args.rounds, &mut report)?;
    }
    for count in COUNTS.iter().filter(|count| is_wanted(count.name)) {
        run_count(&lab, count, &mut report)?;
    }
    if let Some(large) = args.memory {
        for row in &MEMORY_ROWS {
            tell(&format!("memory, {}", row.work))?;
            let peak = |mib| Ok::<_, Box<dyn std::error::Error>>((row.side)(&lab, mib)?.warm_up()?.memory);
            let (small, large_peak) = (mib(peak(10)?), mib(peak(large)?));
            writeln!(report.memory, "| {} | {small} | {large_peak} |", row.work)?;
        }
    }
    report.print(&lab, &args)?;
    args.svg.as_deref().map_or(Ok(()), |path| chart::draw(&report.bars, path))
}

/// The results, in the order in which they are printed.
#[derive(Default)]
struct Report {
    versions: Vec<String>,
    commands: String,
    rows: String,
    counts: String,
    memory: String,
    bars: Vec<Bar>,
}

fn run_row(lab: &Lab, row: &Row, rounds: usize, report: &mut Report) -> Result<()> {
    let head = format!("| `{}` | {} | {}", row.name, row.work, row.peer);
    let Some(peer) = find(row.peer)? else {
        writeln!(report.rows, "{head} | not installed | | | | | | |")?;
        return Ok(());
    };
    tell(row.name)?;
    let rounds = match row.kind {
        Kind::Long => rounds,
        Kind::Short => rounds * 10,
        Kind::Sizes => 0,
    };
    let version = if is_built_in(row.peer) { None } else { Some(format!("{}: {}", row.peer, version(&peer))) };
    report.versions.extend(version.filter(|version| !report.versions.contains(version)));
    // A failing row does not affect the others.
    let outcomes = (row.sides)(lab, &peer).and_then(|(mut ours, mut theirs)| {
        writeln!(report.commands, "{:13} {}\n{:13} {}", row.name, ours.shown, "", theirs.shown)?;
        compare(&mut ours, &mut theirs, rounds)
    });
    let cells = match outcomes {
        Ok([ours, theirs]) => {
            if !ours.times.is_empty() && !is_built_in(row.peer) {
                let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64();
                report.bars.push(Bar { label: format!("{}, {}", row.work.replace('`', ""), row.peer), ratio });
            }
            cells(&ours, &theirs, lab.cores)
        }
        Err(error) => format!("failed: {error} | | | | | | |"),
    };
    writeln!(report.rows, "{head} | {cells}")?;
    Ok(())
}

fn run_count(lab: &Lab, count: &Count, report: &mut Report) -> Result<()> {
    let head = format!("| `{}` | {}", count.name, count.work);
    if count.name.ends_with("-registry") && find("docker-registry")?.is_none() {
        writeln!(report.counts, "{head} | not installed: docker-registry | | |")?;
        return Ok(());
    }
    tell(count.name)?;
    let cells = match (count.run)(lab) {
        Ok(Counted { found, limit, is_kept }) => {
            format!("{found} | {limit} | {}", if is_kept { "kept" } else { "not kept" })
        }
        Err(error) => format!("failed: {error} | |"),
    };
    writeln!(report.counts, "{head} | {cells} |")?;
    Ok(())
}

fn cells(ours: &Outcome, theirs: &Outcome, cores: usize) -> String {
    let ratio = |ours: Duration, theirs: Duration| ours.as_secs_f64() / theirs.as_secs_f64();
    let mut of_rounds: Vec<f64> =
        ours.times.iter().zip(&theirs.times).map(|(ours, theirs)| ratio(*ours, *theirs)).collect();
    of_rounds.sort_by(f64::total_cmp);
    let times = match of_rounds.as_slice() {
        [least, .., most] => {
            format!("{:.3} ({least:.3} to {most:.3})", ratio(ours.median(), theirs.median()))
        }
        [only] => format!("{only:.3}"),
        [] => String::new(),
    };
    let sizes = match (ours.output, theirs.output) {
        (Some(ours), Some(theirs)) => format!("{:.4}", ours as f64 / theirs as f64),
        _ => String::new(),
    };
    let output = ours.output.map_or_else(String::new, |output| output.to_string());
    let [own_time, their_time] = [ours, theirs].map(|side| {
        let milliseconds = side.median().as_secs_f64() * 1000.0;
        if side.times.is_empty() { String::new() } else { format!("{milliseconds:.1} ms") }
    });
    let busy = ours.busy(cores).map_or_else(String::new, |busy| format!("{busy:.2}"));
    format!("{times} | {own_time} | {their_time} | {busy} | {} | {sizes} | {output} |", mib(ours.memory))
}

fn mib(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "not known".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / MIB as f64))
}

impl Report {
    fn print(&self, lab: &Lab, args: &Args) -> Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "CPU: {}, {} threads\n", processor(), lab.cores)?;
        writeln!(out, "regshape: {}\n", version(&lab.program))?;
        for version in &self.versions {
            writeln!(out, "{version}\n")?;
        }
        writeln!(
            out,
            "Rounds: {}, and ten times as many for rows that take milliseconds. Files in bytes: {}.\n",
            args.rounds,
            lab.files()?.join(", ")
        )?;
        if !self.rows.is_empty() {
            writeln!(out, "```text\n{}```\n", self.commands)?;
            writeln!(
                out,
                "| Row | Work | Peer | Time / peer's (least to most) | Time | Peer's | Cores busy | Peak memory | Output / peer's | \
                 Output in bytes |"
            )?;
            writeln!(out, "|---|---|---|---|---|---|---|---|---|---|\n{}", self.rows)?;
        }
        if !self.counts.is_empty() {
            writeln!(out, "| Row | Work | Counted | Limit | |\n|---|---|---|---|---|\n{}", self.counts)?;
        }
        if let Some(large) = args.memory {
            writeln!(out, "| Peak memory | 10 MiB | {large} MiB |\n|---|---|---|\n{}", self.memory)?;
        }
        Ok(())
    }
}

/// Returns whether a row needs no other program.
fn is_built_in(peer: &str) -> bool {
    [ITSELF, BASELINE].contains(&peer)
}

/// Finds a program; an environment variable has priority over the PATH.
fn find(name: &str) -> Result<Option<PathBuf>> {
    if is_built_in(name) {
        return Ok(Some(env::current_exe()?));
    }
    if let Some(path) = env::var_os(format!("REGSHAPE_{}", name.to_uppercase())) {
        return Ok(Some(path.into()));
    }
    let paths = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&paths)
        .map(|directory| directory.join(if name == "original" { "regshape" } else { name }))
        .filter(|path| path.is_file());
    // Our own program may be installed under the same name.
    Ok(found.find(|path| name != "original" || is_python(path)))
}

fn is_python(program: &Path) -> bool {
    let content = fs::read(program).unwrap_or_default();
    let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"#!") && String::from_utf8_lossy(first).contains("python")
}

/// Returns the version that a program prints.
fn version(program: &Path) -> String {
    // openssl has no such flag.
    let word = if program.ends_with("openssl") { "version" } else { "--version" };
    let output = Command::new(program).arg(word).stdin(Stdio::null()).output();
    let written = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&written).into_owned();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("version not known").trim().to_owned()
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| env::consts::ARCH.to_owned(), |(_, model)| model.to_owned())
}

fn tell(what: &str) -> io::Result<()> {
    writeln!(io::stderr(), "peers: {what}")
}
