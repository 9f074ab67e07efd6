//! Compares the README and `docs/` with the program.
//!
//! `REGSHAPE_UPDATE_DOCS=1 cargo test --test docs` rewrites `docs/commands.md`, and the outputs shown in the other
//! files.

#![cfg(feature = "cli")]
#![cfg_attr(not(unix), allow(dead_code, reason = "the prose speaks to a Unix shell"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[path = "../examples/library.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example has a main function of its own")]
mod library_example;

/// The pages, except the generated reference and the changelog.
const PROSE: [&str; 11] = [
    "README.md",
    "docs/guide.md",
    "docs/cookbook.md",
    "docs/coming-from.md",
    "docs/differences.md",
    "docs/staging-file.md",
    "docs/decisions.md",
    "docs/design.md",
    "docs/errors.md",
    "docs/performance.md",
    "docs/reliability.md",
];

/// The README's first command for a checkout.
const FIRST_COMMAND: &str = "cargo run --profile quick --no-default-features --features cli --example quickstart";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file with `\n` line ends; Git on Windows may check it out with `\r\n`.
fn read(name: &str) -> String {
    let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.replace("\r\n", "\n")
}

fn is_update() -> bool {
    std::env::var_os("REGSHAPE_UPDATE_DOCS").is_some_and(|value| value == "1")
}

/// Compares a file with its expected content, or updates it.
fn expect_content(name: &str, expected: &str) {
    if is_update() {
        fs::write(root().join(name), expected).expect("the file can be written");
    } else if read(name) != expected {
        let actual = read(name);
        let at = actual.lines().zip(expected.lines()).position(|(actual, expected)| actual != expected);
        let at = at.unwrap_or_else(|| actual.lines().count().min(expected.lines().count()));
        panic!(
            "{name}, line {}: the file says {:?}, the program {:?}; \
             'REGSHAPE_UPDATE_DOCS=1 cargo test --test docs' rewrites it",
            at + 1,
            actual.lines().nth(at),
            expected.lines().nth(at),
        );
    }
}

/// Returns a command for the program that is independent of terminal and environment.
fn regshape() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regshape"));
    quiet(&mut command);
    command
}

fn quiet(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("COLUMNS", "100").env("LC_ALL", "C.UTF-8").env_remove("SOURCE_DATE_EPOCH");
    for colour in ["CLICOLOR_FORCE", "FORCE_COLOR"] {
        command.env_remove(colour);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the output is UTF-8")
}

// --- the command reference ---

/// A command of the program: its words and its help.
struct Described {
    words: Vec<String>,
    help: String,
    is_leaf: bool,
}

impl Described {
    fn name(&self) -> String {
        self.words.join(" ")
    }
}

/// Collects the help of every command, from the root down.
fn commands() -> Vec<Described> {
    fn visit(words: Vec<String>, found: &mut Vec<Described>) {
        let output = regshape().args(&words).arg("--help").output().expect("the program starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?} --help: {output:?}");
        let help = stdout(&output).replace("regshape.exe", "regshape");
        let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n";
        let subcommands: Vec<String> = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect();
        found.push(Described { words: words.clone(), help, is_leaf: subcommands.is_empty() });
        for name in subcommands {
            visit([words.clone(), vec![name]].concat(), found);
        }
    }
    let mut found = Vec::new();
    visit(Vec::new(), &mut found);
    assert!(found.iter().filter(|command| command.is_leaf).count() > 10, "the help lists the commands");
    found
}

/// Splits a help text before the headings of option groups and examples.
fn sections(help: &str) -> Vec<&str> {
    let is_title = |line: &str| line.ends_with(':') && line.starts_with(|first: char| first.is_ascii_uppercase());
    let mut starts = vec![0];
    let mut at = 0;
    for line in help.split_inclusive('\n') {
        if at > 0 && is_title(line.trim_end()) && help[..at].ends_with("\n\n") {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([help.len()]);
    starts.iter().zip(ends).map(|(start, end)| &help[*start..end]).collect()
}

/// Returns whether a section of a help text describes options shared by all commands.
fn is_shared(section: &str) -> bool {
    ["Storage:", "Telemetry:", "Global options:"].iter().any(|title| section.starts_with(title))
}

#[test]
fn the_command_reference_is_the_programs_help() {
    let mut reference = String::from(
        "# Command reference\n\n\
         <!-- Made from the program's --help: `REGSHAPE_UPDATE_DOCS=1 cargo test --test docs` rewrites this file. -->\n\n\
         Every command, as `--help` shows it, without the options that all commands share. The [guide](guide.md) says what the\n\
         commands are for. The word `layout` may be left out.\n",
    );
    let commands = commands();
    let with_all = commands.iter().find(|command| command.name() == "layout init").expect("it is there");
    let shared: Vec<&str> = sections(&with_all.help).into_iter().filter(|section| is_shared(section)).collect();
    reference.push_str(
        "\n## Options of all commands\n\n`--no-sync` and `--lock-timeout` are options of commands that write.\n",
    );
    reference.push_str(&format!("\n```text\n{}```\n", shared.join("\n")));
    for command in &commands {
        let name = ["regshape".to_owned()].into_iter().chain(command.words.iter().cloned()).collect::<Vec<_>>();
        let own: Vec<&str> = sections(&command.help).into_iter().filter(|section| !is_shared(section)).collect();
        let described: Vec<&str> = sections(&command.help).into_iter().filter(|section| is_shared(section)).collect();
        let is_described = |line: &&str| shared.iter().any(|section| section.contains(*line));
        assert!(described.iter().all(|section| section.lines().all(|line| is_described(&line))), "{}", name.join(" "));
        reference.push_str(&format!("\n## {}\n\n```text\n{}```\n", name.join(" "), own.join("\n")));
    }
    expect_content("docs/commands.md", &reference);
}

// --- the commands and outputs in the prose ---

/// A fenced block: its position, and the words after the fence.
struct Fence {
    info: String,
    /// The line of the opening fence, counted from 0.
    open: usize,
    /// The line of the closing fence.
    close: usize,
}

impl Fence {
    fn language(&self) -> &str {
        self.info.split(' ').next().unwrap_or_default()
    }

    fn body<'a>(&self, lines: &[&'a str]) -> Vec<&'a str> {
        lines[self.open + 1..self.close].to_vec()
    }
}

fn fences(lines: &[&str]) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in lines.iter().enumerate() {
        let Some(info) = line.strip_prefix("```") else { continue };
        open = match open {
            None => Some((at, info.to_owned())),
            Some((start, opened)) => {
                assert_eq!(info, "", "line {}: a fence is not closed", at + 1);
                found.push(Fence { info: opened, open: start, close: at });
                None
            }
        };
    }
    assert!(open.is_none(), "the last fence is not closed");
    found
}

/// Returns a tar with a root file system.
fn rootfs() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(9);
    header.set_mode(0o644);
    builder.append_data(&mut header, "etc/motd", &b"Welcome.\n"[..]).unwrap();
    builder.into_inner().unwrap()
}

/// The shells that every block must run in.
#[cfg(target_os = "linux")]
const SHELLS: [&str; 2] = ["bash", "dash"];

/// Runs a shell block in a directory and returns its output: both streams as a terminal shows them for text, stdout alone for JSON.
#[cfg(target_os = "linux")]
fn run_block(place: &str, shell: &str, directory: &Path, fence: &Fence, body: &[&str], is_json: bool) -> String {
    let status = fence.info.split(' ').find_map(|word| word.strip_prefix("exit=")).map_or(0, |n| n.parse().unwrap());
    let program = Path::new(env!("CARGO_BIN_EXE_regshape")).parent().expect("the program is in a directory");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths([program.to_owned()].into_iter().chain(std::env::split_paths(&paths))).expect("a PATH");
    let script = body.join("\n");
    let script = if is_json { script } else { format!("exec 2>&1\n{script}") };
    let mut command = Command::new(shell);
    quiet(&mut command);
    let output = command.args(["-e", "-c", &script]).current_dir(directory).env("PATH", &path).output();
    let output = output.unwrap_or_else(|error| panic!("{shell}: {error}"));
    assert_eq!(output.status.code(), Some(status), "{place} in {shell}: {output:?}");
    assert!(output.stderr.is_empty(), "{place} in {shell}: {output:?}");
    stdout(&output)
}

/// Runs the shell blocks of a page, whole and in order, in one directory that is empty at first. A `text` or `json` block that
/// follows one directly is its output. Returns the page with the outputs of these runs.
#[cfg(target_os = "linux")]
fn run_page(name: &str, shell: &str) -> String {
    let text = read(name);
    let lines: Vec<&str> = text.lines().collect();
    let directory = tempfile::tempdir().expect("a directory");
    let fences = fences(&lines);
    let (mut new, mut done, mut runs) = (String::new(), 0, 0);
    for (at, fence) in fences.iter().enumerate().filter(|(_, fence)| fence.language() == "sh") {
        let place = format!("{name}:{}", fence.open + 1);
        let shown = fences.get(at + 1).filter(|next| {
            matches!(next.language(), "text" | "json")
                && lines[fence.close + 1..next.open].iter().all(|line| line.is_empty())
        });
        let is_json = shown.is_some_and(|shown| shown.language() == "json");
        let written = run_block(&place, shell, directory.path(), fence, &fence.body(&lines), is_json);
        runs += 1;
        if let Some(shown) = shown {
            lines[done..=shown.open].iter().for_each(|line| new.push_str(&format!("{line}\n")));
            new.push_str(&written);
            done = shown.close;
        }
    }
    lines[done..].iter().for_each(|line| new.push_str(&format!("{line}\n")));
    assert!(runs > 0, "{name} has commands");
    new
}

/// Returns whether a program runs and its output contains a word.
#[cfg(target_os = "linux")]
fn is_there(program: &str, flag: &str, word: &str) -> bool {
    let output = Command::new(program).args([flag, "exit 0"]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success() && String::from_utf8_lossy(&output.stdout).contains(word))
}

/// Runs a page in the shells that this machine has, and compares it with the outputs. The options of tar in the pages are GNU's.
#[cfg(target_os = "linux")]
fn check_page(name: &str) {
    let shells: Vec<&str> = SHELLS.into_iter().filter(|shell| is_there(shell, "-c", "")).collect();
    let has_all = shells.len() == SHELLS.len() && is_there("tar", "--version", "GNU tar");
    assert!(has_all || std::env::var_os("CI").is_none(), "bash, dash or GNU tar is missing");
    if shells.is_empty() || !is_there("tar", "--version", "GNU tar") {
        return;
    }
    let pages: Vec<String> = shells.iter().map(|shell| run_page(name, shell)).collect();
    assert!(pages.iter().all(|page| *page == pages[0]), "{name}: {shells:?}");
    expect_content(name, &pages[0]);
}

#[test]
#[cfg(target_os = "linux")]
fn the_readmes_commands_run_and_write_its_outputs() {
    check_page("README.md");
}

#[test]
#[cfg(target_os = "linux")]
fn the_guides_commands_run_and_write_its_outputs() {
    check_page("docs/guide.md");
}

#[test]
#[cfg(target_os = "linux")]
fn the_cookbooks_commands_run() {
    check_page("docs/cookbook.md");
}

#[test]
#[cfg(target_os = "linux")]
fn the_staging_file_is_the_one_on_its_page() {
    check_page("docs/staging-file.md");
}

#[test]
fn the_guides_library_example_is_the_one_that_runs() {
    let text = read("docs/guide.md");
    let lines: Vec<&str> = text.lines().collect();
    let blocks: Vec<_> = fences(&lines).into_iter().filter(|fence| fence.language() == "rust").collect();
    let [block] = blocks.as_slice() else { panic!("the guide has one block of Rust") };
    assert_eq!(block.body(&lines).join("\n") + "\n", read("examples/library.rs"));

    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("rootfs.tar"), rootfs()).unwrap();
    let layout = directory.path().join("my-image");
    library_example::build(&layout, &directory.path().join("rootfs.tar")).expect("the example works");
    let output = regshape().args(["layout", "validate", "--path"]).arg(&layout).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

// --- tables ---

/// Returns the rows of the first table under a heading, as cells.
fn table(name: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(name);
    let rows: Vec<_> = text
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "{name} has a table under {heading}");
    rows
}

/// Returns the first cells of a table, which are code.
fn first_cells(name: &str, heading: &str) -> BTreeSet<String> {
    let rows = table(name, heading);
    let cells: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            let cell = row[0].strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
            cell.unwrap_or_else(|| panic!("{name}: {} is not code", row[0])).to_owned()
        })
        .collect();
    assert_eq!(cells.len(), rows.len(), "{name}: {heading} lists something twice");
    cells
}

#[test]
fn the_readme_lists_every_command() {
    let expected: BTreeSet<_> =
        commands().iter().filter(|command| command.is_leaf).map(|command| command.name()).collect();
    assert_eq!(first_cells("README.md", "## Commands"), expected);
}

#[test]
fn the_readme_has_two_commands_for_a_checkout() {
    let text = read("README.md");
    let lines: Vec<&str> = text.lines().collect();
    let all = fences(&lines);
    let commands: Vec<_> =
        all.iter().filter(|fence| fence.language() == "console").map(|fence| fence.body(&lines)).collect();
    assert_eq!(commands[1..3], [vec![FIRST_COMMAND], vec!["cargo test"]]);
    // The published package is without the checks.
    if root().join(".ci/run").exists() {
        assert!(read(".ci/run").contains(FIRST_COMMAND));
    }
}

#[test]
fn the_exit_statuses_are_those_of_the_table() {
    let rows = table("README.md", "## Use in scripts");
    let listed: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    // The last row is about signals, which have their own tests.
    assert_eq!(listed, ["0", "1", "2", "3", "75", "129, 130, 143"]);
    let directory = tempfile::tempdir().expect("a directory");
    for (words, expected) in [
        (&["layout", "init", "--path", "x"][..], 0),
        (&["layout", "validate", "--path", "x"], 0),
        (&["layout", "init", "--path", "x"], 1),
        (&["layout", "validate", "--path", "missing"], 1),
        (&["layout", "add", "layer", "--path", "x", "--file", "missing"], 1),
        (&["layout", "manifest", "get", "--path", "x:none"], 3),
        (&["layout", "init"], 2),
        (&["layout", "init", "--path", "x", "--unknown"], 2),
        (&["layout", "annotate", "manifest", "--path", "x", "--annotation", "key"], 2),
    ] {
        let output = regshape().args(words).current_dir(directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{words:?}");
    }
}

#[test]
fn every_code_of_an_error_is_listed_and_used() {
    let listed: BTreeSet<String> = first_cells("docs/errors.md", "# Errors for programs")
        .iter()
        .map(|code| code.trim_matches('`').to_owned())
        .collect();
    let is_code = |text: &&str| text.len() > 1 && text.chars().all(|part| part.is_ascii_uppercase() || part == '_');
    let mut used = BTreeSet::new();
    for file in ["src/cli/error_code.rs", "src/error/code.rs"] {
        let source = read(file);
        used.extend(source.split('"').skip(1).step_by(2).filter(is_code).map(str::to_owned));
    }
    assert_eq!(listed, used);
}

#[test]
fn podman_and_buildah_are_not_given_a_path_that_they_refuse() {
    // Both derive an image name from the path, and "localhost/./my-image" is not valid.
    for name in PROSE.into_iter().chain(["examples/quickstart.rs"]) {
        for line in read(name).lines().filter(|line| ["podman ", "buildah "].iter().any(|word| line.contains(word))) {
            assert!(!line.contains("oci:./"), "{name}: {line}");
        }
    }
}

#[test]
fn every_flag_that_the_prose_names_is_one_of_the_program() {
    /// Programs whose command lines stand in the pages too.
    const OTHERS: [&str; 9] = ["cargo", "umoci", "skopeo", "crane", "regctl", "buildah", "oras", "podman", "docker"];
    /// Flags of cargo and of the benchmarks.
    const BENCH_FLAGS: [&str; 5] = ["--test", "--memory", "--rounds", "--svg", "--format"];
    let help: String = commands().iter().map(|command| command.help.as_str()).collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let known: BTreeSet<&str> = help.split(|c| !is_word(c)).filter(|word| word.starts_with("--")).collect();
    for name in PROSE.into_iter().chain(["CHANGELOG.md"]) {
        let text = read(name);
        let mut is_fenced = false;
        for (at, line) in text.lines().enumerate() {
            is_fenced ^= line.starts_with("```");
            if is_fenced || line.starts_with("```") {
                continue;
            }
            assert_eq!(line.matches('`').count() % 2, 0, "{name}:{}: code goes over the end of a line", at + 1);
            let is_ours = |code: &&str| !OTHERS.contains(&code.split(' ').next().unwrap_or_default());
            for code in line.split('`').skip(1).step_by(2).filter(is_ours) {
                for flag in code.split(|c| !is_word(c)).filter(|word| word.starts_with("--") && word.len() > 2) {
                    assert!(known.contains(flag) || BENCH_FLAGS.contains(&flag), "{name}:{}: {flag}", at + 1);
                }
            }
        }
    }
}

#[test]
fn the_design_gives_a_reason_for_every_dependency() {
    let manifest = read("Cargo.toml");
    let mut is_dependencies = false;
    let mut expected = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_dependencies = section.ends_with("dependencies");
        } else if let (true, Some((name, _))) = (is_dependencies, line.split_once(" = ")) {
            expected.insert(name.to_owned());
        }
    }
    assert!(expected.contains("clap") && expected.contains("tar") && expected.contains("rustix"));
    assert_eq!(first_cells("docs/design.md", "## Dependencies"), expected);
    for row in table("docs/design.md", "## Dependencies") {
        assert!(row[1].split(' ').count() > 3, "a reason is a sentence: {row:?}");
    }
}

#[test]
fn the_staging_files_page_names_every_key() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("rootfs.tar"), rootfs()).unwrap();
    for words in [
        &["init"][..],
        &["add", "layer", "--copy", "rootfs.tar"],
        &["generate", "config"],
        &["generate", "manifest"],
        &["generate", "manifest", "--ref-name", "latest", "--annotation", "a=1"],
    ] {
        let mut command = regshape();
        command.current_dir(directory.path()).arg("layout").args(words).args(["--path", "x"]);
        assert!(command.output().unwrap().status.success());
    }
    fn keys(prefix: &str, value: &serde_json::Value, found: &mut BTreeSet<String>) {
        if let Some(items) = value.as_array() {
            items.iter().for_each(|item| keys(&format!("{prefix}[]"), item, found));
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            if key != "annotations" {
                keys(&path, value, found);
            }
            found.insert(path);
        }
    }
    let stage = fs::read(directory.path().join("x/.regshape-stage.json")).unwrap();
    let mut expected = BTreeSet::new();
    keys("", &serde_json::from_slice(&stage).unwrap(), &mut expected);
    // The config of a base has the keys of the image-spec.
    expected.extend(["built", "layers[].urls"].map(str::to_owned));
    expected.extend(["", ".digest", ".name", ".layers", ".config"].map(|key| format!("base{key}")));
    assert_eq!(first_cells("docs/staging-file.md", "## Keys"), expected);
}

#[test]
fn every_error_of_the_library_is_explained() {
    let source = read("src/error/variants.rs") + &read("src/error/config.rs");
    let mut found = 0;
    let guide: Vec<String> = table("docs/guide.md", "## Troubleshooting").iter().map(|row| row[0].clone()).collect();
    for line in source.lines() {
        let Some(text) = line.trim().strip_prefix("#[error(\"") else { continue };
        let text = text.split("\",").next().unwrap().trim_end_matches("\")]");
        // The longest part without a value, which people search for.
        let part = text.split(['{', '}']).step_by(2).max_by_key(|part| part.len()).unwrap();
        if part.is_empty() {
            continue;
        }
        found += 1;
        assert!(guide.iter().any(|row| row.contains(part)), "docs/guide.md does not explain {text:?}");
    }
    assert!(found > 20, "the messages are found");
}

#[test]
fn every_promise_of_reliability_names_tests_that_exist() {
    let mut found = 0;
    for row in table("docs/reliability.md", "## Failures and promises") {
        let tests: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "nothing shows this: {row:?}");
        for test in tests {
            let (module, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("{test} is not the name of a test"));
            // A test of the program, of another suite, or of the library itself.
            let path = module.replace("::", "/");
            let places = [format!("tests/{path}.rs"), format!("src/{path}.rs"), format!("src/{path}/mod.rs")];
            let file = places.into_iter().find(|file| root().join(file).exists());
            let file = file.unwrap_or_else(|| panic!("{test} is in no file"));
            let text = read(&file);
            let (before, _) = text
                .split_once(&format!("\nfn {name}() {{"))
                .or_else(|| text.split_once(&format!("\n    fn {name}() {{")))
                .unwrap_or_else(|| panic!("{file} has no test {name}"));
            let attributes = before.rsplit("\n\n").next().unwrap();
            assert!(attributes.contains("#[test]"), "{file}: {name} is not a test");
            found += 1;
        }
    }
    assert!(found > 20, "the tests are found");
}

#[test]
fn the_changelog_speaks_of_this_version() {
    let text = read("CHANGELOG.md");
    let version = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(text.lines().any(|line| line.starts_with("## [Unreleased]") || line.starts_with(&version)));
    assert!(read("README.md").contains(&format!("Rust ({} or newer", env!("CARGO_PKG_RUST_VERSION"))));
}

#[test]
fn a_broken_staging_file_is_refused_as_its_page_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |words: &[&str]| {
        let output = regshape().arg("layout").args(words).current_dir(directory.path()).output().unwrap();
        (output.status.code(), stdout(&output), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["init", "--path", "x"]).0, Some(0));
    let path = directory.path().join("x/.regshape-stage.json");
    let empty = fs::read_to_string(&path).unwrap();
    let rows: Vec<String> =
        table("docs/staging-file.md", "## Errors").iter().map(|row| row[1].trim_matches('`').to_owned()).collect();
    let layer = r#"{"digest":"sha256:0","size":1,"media_type":"a/b"}"#;
    for (content, row) in [
        (None, 0),
        (Some(empty.replace('1', "2")), 1),
        (Some("{".to_owned()), 2),
        (Some(empty.replace("layers", "layer")), 2),
        (Some(empty.replace("\"config\": null", "\"config\": 1")), 2),
        (Some(empty.replace("[]", &format!("[{layer}]"))), 3),
    ] {
        fs::remove_file(&path).unwrap();
        if let Some(content) = &content {
            assert_ne!(content, &empty, "the case breaks something");
            fs::write(&path, content).unwrap();
        }
        let (status, out, err) = run(&["status", "--path", "x"]);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{content:?}");
        // The page has an ellipsis in place of values.
        let mut rest =
            err.strip_prefix("Error: ").and_then(|err| err.strip_suffix('\n')).expect("an error on one line");
        for (at, part) in rows[row].split('…').enumerate() {
            let found = rest.find(part).unwrap_or_else(|| panic!("{content:?}: {err:?} is not {:?}", rows[row]));
            assert!(at > 0 || found == 0, "{content:?}: {err:?} is not {:?}", rows[row]);
            rest = &rest[found + part.len()..];
        }
        if content.is_none() {
            fs::write(&path, &empty).unwrap();
        }
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(run(&["status", "--path", "x"]).2, format!("Error: {}\n", rows[4].replace('…', "x")));
}

#[test]
fn every_relative_link_has_a_target() {
    let mut links = 0;
    for name in PROSE.into_iter().chain(["docs/commands.md", "CHANGELOG.md"]) {
        let text = read(name);
        let directory = Path::new(name).parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { PathBuf::from(name) } else { directory.join(file) };
            assert!(root().join(&target).exists(), "{name}: {link}");
            let has_heading = || {
                let headings = fs::read_to_string(root().join(&target)).unwrap();
                headings.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor)
            };
            assert!(anchor.is_empty() || has_heading(), "{name}: {link}: no such heading");
        }
    }
    assert!(links > 5, "there are links");
}

/// Returns the anchor of a heading.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
