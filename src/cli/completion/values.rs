//! The candidates for the values of arguments.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use regshape::layout::Layout;
use regshape::oci::Platform;
use regshape::view::View;

use super::line::Line;

/// The most candidates of one kind.
const MOST: usize = 1000;

/// Platforms of which images are usually made.
const USUAL_PLATFORMS: [&str; 9] = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
    "windows/amd64",
];
const USUAL_ARCHITECTURES: [&str; 9] =
    ["amd64", "arm64", "arm", "386", "loong64", "ppc64le", "riscv64", "s390x", "wasm"];
const USUAL_SYSTEMS: [&str; 6] = ["linux", "windows", "freebsd", "darwin", "wasip1", "js"];

/// Adds completers to the arguments of all commands, for a command line.
pub(crate) fn with_completers(command: Command, line: &Line) -> Command {
    let name = command.get_name().to_owned();
    let takes_tags = matches!(name.as_str(), "delete" | "rename" | "add");
    let is_expected_digest = matches!(name.as_str(), "upload" | "put");
    let command = command.mut_args(|arg| match completer(&arg, line, takes_tags, is_expected_digest) {
        Some(completer) => arg.add(completer),
        None => arg,
    });
    let names: Vec<String> = command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect();
    names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |subcommand| with_completers(subcommand, line)))
}

/// Returns the completer of an argument, by its name.
fn completer(arg: &Arg, line: &Line, takes_tags: bool, is_expected_digest: bool) -> Option<ArgValueCompleter> {
    let line = line.clone();
    let fixed = |words: &'static [&'static str]| {
        ArgValueCompleter::new(move |current: &OsStr| matching(current, words.iter().map(|word| (*word).to_owned())))
    };
    Some(match arg.get_id().as_str() {
        "path" | "dir" | "directory" | "paths" | "sources" | "input" | "except" | "with" => {
            ArgValueCompleter::new(images)
        }
        "file" => ArgValueCompleter::new(PathCompleter::any().stdio()),
        "output" | "log_file" => ArgValueCompleter::new(PathCompleter::any()),
        "reference" | "references" => {
            ArgValueCompleter::new(move |current: &OsStr| of_layout(&line, current, references))
        }
        // A reference in the layout, or a path.
        "images" => ArgValueCompleter::new(move |current: &OsStr| {
            let found = of_layout(&line, current, references);
            found.into_iter().chain(images(current)).collect()
        }),
        "tags" if takes_tags => ArgValueCompleter::new(move |current: &OsStr| of_layout(&line, current, tags)),
        "digest" if !is_expected_digest => {
            ArgValueCompleter::new(move |current: &OsStr| of_layout(&line, current, blobs))
        }
        "platform" | "platforms" => ArgValueCompleter::new(move |current: &OsStr| {
            let found = of_layout(&line, current, platforms);
            if found.is_empty() { matching(current, USUAL_PLATFORMS.map(str::to_owned)) } else { found }
        }),
        "architecture" => fixed(&USUAL_ARCHITECTURES),
        "os" => fixed(&USUAL_SYSTEMS),
        _ => return None,
    })
}

/// Returns the values that begin with the current word.
fn matching(current: &OsStr, values: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let values = values.into_iter().filter(|value| value.starts_with(current));
    values.take(MOST).map(CompletionCandidate::new).collect()
}

/// Returns the matching values of the layout of a command line.
fn of_layout(line: &Line, current: &OsStr, values: fn(&Layout) -> Vec<String>) -> Vec<CompletionCandidate> {
    line.layout().map(|layout| matching(current, values(&layout))).unwrap_or_default()
}

/// Completes a path: directories, and behind the path of a layout `:TAG` and `@DIGEST`.
fn images(current: &OsStr) -> Vec<CompletionCandidate> {
    let marks = || current.to_str().unwrap_or_default().rmatch_indices([':', '@']);
    for (at, mark) in marks() {
        let directory = &current.to_str().unwrap_or_default()[..at];
        if let Ok(layout) = Layout::open(directory) {
            let values = if mark == ":" { tags(&layout) } else { manifests(&layout) };
            return matching(current, values.into_iter().map(|value| format!("{directory}{mark}{value}")));
        }
    }
    let directories = PathCompleter::any().filter(|path| path.is_dir()).complete(current);
    let files = PathCompleter::any().filter(|path| path.is_file()).complete(current);
    let is_directory = |candidate: &CompletionCandidate| candidate.get_value().as_encoded_bytes().ends_with(b"/");
    let archives = files.into_iter().filter(|candidate| !is_directory(candidate));
    // A layout ends a path: its tags follow behind a colon.
    let shown = directories.into_iter().map(|candidate| {
        let path = candidate.get_value().to_string_lossy().into_owned();
        match path.strip_suffix('/').filter(|path| Layout::is_at(path)) {
            Some(layout) => CompletionCandidate::new(layout.to_owned()).help(Some("layout".into())),
            None => candidate,
        }
    });
    shown.chain(archives).collect()
}

fn tags(layout: &Layout) -> Vec<String> {
    let Ok(index) = layout.read_index() else { return Vec::new() };
    let tags: BTreeSet<&str> = index.manifests.iter().filter_map(|entry| entry.ref_name()).collect();
    tags.into_iter().map(str::to_owned).collect()
}

fn manifests(layout: &Layout) -> Vec<String> {
    let Ok(index) = layout.read_index() else { return Vec::new() };
    let digests: BTreeSet<&str> = index.manifests.iter().map(|entry| entry.digest.as_str()).collect();
    digests.into_iter().map(str::to_owned).collect()
}

fn references(layout: &Layout) -> Vec<String> {
    tags(layout).into_iter().chain(manifests(layout)).collect()
}

/// Returns the digests of the files in the directories of blobs.
fn blobs(layout: &Layout) -> Vec<String> {
    let mut found = Vec::new();
    for algorithm in ["sha256", "sha512", "blake3"] {
        let names = fs::read_dir(layout.path().join("blobs").join(algorithm)).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        found.extend(names.filter(|name| !name.starts_with('.')).map(|name| format!("{algorithm}:{name}")));
    }
    found.sort();
    found
}

fn platforms(layout: &Layout) -> Vec<String> {
    let Ok(listings) = View::of(layout.clone()).and_then(|view| view.listings()) else { return Vec::new() };
    let platforms: BTreeSet<String> =
        listings.iter().flat_map(|listing| &listing.platforms).map(Platform::to_string).collect();
    platforms.into_iter().collect()
}
