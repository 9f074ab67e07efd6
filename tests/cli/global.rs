//! The features of every command: help, global flags, telemetry; and the commands that are made from the command tree.

use std::collections::BTreeSet;

use predicates::str::starts_with;
use serde_json::Value;

use crate::support::*;

/// The words of each command and group.
const TREE: [&str; 17] = [
    "",
    "layout",
    "layout init",
    "layout add",
    "layout add layer",
    "layout annotate",
    "layout annotate layer",
    "layout annotate manifest",
    "layout generate",
    "layout generate config",
    "layout generate manifest",
    "layout update",
    "layout update config",
    "layout status",
    "layout show",
    "layout validate",
    "completions",
];

#[test]
fn the_version_is_the_packages() {
    for words in ["--version", "-V"] {
        Sandbox::empty().run(words).succeeds(concat!("regshape ", env!("CARGO_PKG_VERSION"), "\n"), "");
    }
}

#[test]
fn help_on_every_level_has_an_example() {
    let sandbox = Sandbox::empty();
    for words in TREE {
        let outcome = sandbox.run(&format!("{words} --help"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{words}");
        let usage = format!("Usage: regshape {words}");
        assert!(outcome.stdout.contains(usage.trim_end()), "{words}: {}", outcome.stdout);
        assert!(outcome.stdout.contains("Example"), "{words}: {}", outcome.stdout);
        assert!(outcome.stdout.contains("--log-file"), "{words}");
    }
}

#[test]
fn the_short_help_of_add_layer_fits_a_terminal() {
    let sandbox = Sandbox::empty();
    let output =
        sandbox.command().args(["layout", "add", "layer", "-h"]).env("COLUMNS", "80").output().expect("it runs");
    let help = Outcome::from(output).stdout;
    assert!(help.lines().count() <= 24, "{help}");
    assert!(!help.contains("--time-scenarios") && !help.contains("--no-sync"), "{help}");
}

#[test]
fn leaf_commands_have_the_references_options_and_short_options() {
    let sandbox = Sandbox::empty();
    let common = [
        "-p, --path <",
        "--json",
        "--time-scenarios",
        "--time-methods",
        "--metrics",
        "--debug-calls",
        "--telemetry-format <",
        "-t, --telemetry-verbosity <",
        "-v, --verbose",
        "-q, --quiet",
        "--log-file <",
    ];
    for (words, options) in [
        ("init", [].as_slice()),
        ("add layer", &["-f, --file <", "--compress-format <", "--media-type <", "--annotation <", "-y, --yes"]),
        ("annotate layer", &["-i, --index <", "--annotation <", "--replace"]),
        ("annotate manifest", &["--annotation <", "--replace"]),
        ("generate config", &["--architecture <", "--os <", "--media-type <", "--annotation <", "-y, --yes"]),
        ("generate manifest", &["--ref-name <", "--media-type <", "--annotation <", "-y, --yes"]),
        ("update config", &["--architecture <", "--os <", "--annotation <", "--replace-annotations"]),
        ("status", &[]),
        ("show", &[]),
        ("validate", &[]),
    ] {
        let help = sandbox.ok(&format!("layout {words} --help"));
        for option in common.iter().chain(options) {
            assert!(help.contains(option), "{words}: no {option} in\n{help}");
        }
    }
}

#[test]
fn global_flags_may_stand_anywhere() {
    let sandbox = Sandbox::staged();
    let expected = sandbox.ok("layout generate config -p image -q");
    for words in ["-q layout generate config -p image", "layout --quiet generate config -p image"] {
        sandbox.run(words).succeeds(&expected, "");
    }
}

#[test]
fn verbose_shows_the_causes_of_an_error() {
    let sandbox = Sandbox::new();
    sandbox.write("image/index.json", "{}");
    let message = "Error: index.json at image is not a valid OCI Image Index\n";
    sandbox.run("layout show -p image").fails(message);
    sandbox
        .run("-v layout show -p image")
        .fails(format!("{message}  caused by: missing field `schemaVersion` at line 1, column 2\n"));
}

/// Splits a block of telemetry into its rows, after checking its frame.
#[track_caller]
fn rows(block: &str) -> Vec<&str> {
    let lines: Vec<_> = block.lines().collect();
    let (first, rest) = lines.split_first().expect("a first line");
    let (last, rows) = rest.split_last().expect("a last line");
    assert_eq!(*first, format!("── telemetry {}", "─".repeat(53)));
    assert_eq!(*last, "─".repeat(66));
    rows.to_vec()
}

/// Parses a row with a time: a label of 12 columns, a name of 47, a time of 7.
#[track_caller]
fn timed(row: &str) -> (&str, &str) {
    assert_eq!(row.chars().count(), 66, "{row}");
    let (label, rest) = row.split_at(12);
    let (name, time) = rest.split_at(47);
    let seconds = time.trim_start().strip_suffix('s').expect("seconds");
    assert!(seconds.parse::<f64>().is_ok() && seconds.split_once('.').is_some_and(|(_, digits)| digits.len() == 3));
    (label, name.trim_end())
}

#[test]
fn the_text_block_is_66_columns_wide() {
    let sandbox = Sandbox::empty();
    let outcome = sandbox.run("layout init -p image --time-scenarios");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "Initialised OCI Image Layout at image\n"));
    let rows = rows(&outcome.stderr);
    assert_eq!(rows.iter().map(|row| timed(row)).collect::<Vec<_>>(), [("  scenario  ", "layout init")]);
}

#[test]
fn every_command_names_its_scenario() {
    let sandbox = Sandbox::built();
    for words in [
        "layout add layer -f base.tar",
        "layout annotate layer -i 0 --annotation a=1",
        "layout annotate manifest --annotation a=1",
        "layout generate config",
        "layout generate manifest",
        "layout update config",
        "layout status",
        "layout show",
        "layout validate",
    ] {
        let outcome = sandbox.run(&format!("{words} -p image --json --time-scenarios"));
        let row = rows(&outcome.stderr)[0];
        let name = words.split(" -").next().expect("a name");
        assert_eq!(timed(row), ("  scenario  ", name));
        assert!(outcome.json().is_object());
    }
    // A failed command is timed, too.
    let outcome = sandbox.run("layout annotate layer -p image -i 9 --annotation a=1 --time-scenarios");
    assert!(outcome.stderr.ends_with("Error: layer index 9 out of range (staged layers: 3)\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("── telemetry ─"));
}

#[test]
fn methods_are_the_phases_and_metrics_count_bytes_and_blobs() {
    let sandbox = Sandbox::new();
    let words = "layout add layer -p image -f base.tar --quiet --time-scenarios --time-methods --metrics -t 2";
    let stderr = sandbox.run(words).stderr;
    let rows = rows(&stderr);
    let (times, metrics) = rows.split_at(7);
    let times: Vec<_> = times.iter().map(|row| timed(row)).collect();
    let metrics: Vec<_> = metrics.iter().map(|row| row.trim_start()).collect();
    let phases = ["read", "compress", "hash", "write", "sync", "lock wait"];
    let expected: Vec<_> =
        [("  scenario  ", "layout add layer")].into_iter().chain(phases.map(|phase| ("    method  ", phase))).collect();
    assert_eq!(times, expected);
    assert_eq!(metrics[0], "metrics  blobs read: 0  written: 1");
    assert!(metrics[1].starts_with("metrics  bytes read: "), "{}", metrics[1]);
}

#[test]
fn each_json_event_is_on_one_line() {
    let sandbox = Sandbox::staged();
    let words = "layout generate config -p image --quiet --telemetry-format json";
    let events = |flags: &str| -> Vec<Value> {
        let outcome = sandbox.run(&format!("{words} {flags}"));
        outcome.stderr.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let keys = |event: &Value| event.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ");

    let scenario = &events("--time-scenarios")[..];
    assert_eq!(scenario.len(), 1);
    assert_eq!(keys(&scenario[0]), "elapsed_s methods name timestamp type");
    assert_eq!((&scenario[0]["type"], &scenario[0]["name"]), (&"scenario".into(), &"layout generate config".into()));
    assert!(scenario[0]["elapsed_s"].is_f64());
    assert_eq!(scenario[0]["methods"], Value::Array(vec![]));
    let timestamp = scenario[0]["timestamp"].as_str().expect("a text");
    assert!(timestamp.len() == "2026-03-08T00:00:00.000000Z".len() && timestamp.ends_with('Z'), "{timestamp}");

    let all = events("--time-scenarios --time-methods --metrics -t 2");
    assert_eq!(all.len(), 2);
    let methods = all[0]["methods"].as_array().expect("a list");
    let names: Vec<_> = methods.iter().map(|method| method["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["read", "compress", "hash", "write", "sync", "lock wait"]);
    assert!(methods.iter().all(|method| keys(method) == "elapsed_s name"));
    assert_eq!(all[1]["type"], "metrics");
    assert_eq!(keys(&all[1]), "blobs_read blobs_written bytes_read bytes_written timestamp type");

    let methods = events("--time-methods -t 2");
    assert_eq!(methods.len(), 6);
    assert!(methods.iter().all(|method| method["type"] == "method" && keys(method) == "elapsed_s name timestamp type"));
}

#[test]
fn telemetry_is_off_by_default() {
    let sandbox = Sandbox::new();
    for flags in ["", "--debug-calls", "-t 2", "--time-scenarios --metrics -t 0", "--telemetry-format json"] {
        let outcome = sandbox.run(&format!("layout status -p image {flags}"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{flags}");
    }
}

#[test]
fn events_are_appended_to_the_log_file() {
    let sandbox = Sandbox::new();
    sandbox.write("log", "before\n");
    let mut expected = "before\n".to_owned();
    for words in
        ["--log-file log layout show -p image --time-scenarios", "layout status -p image --metrics --log-file log"]
    {
        let outcome = sandbox.run(words);
        assert_eq!(outcome.status, 0);
        expected.push_str(&outcome.stderr);
        assert_eq!(sandbox.text("log"), expected);
    }
    assert!(expected.lines().count() > 5);
}

#[test]
fn a_log_file_that_cannot_be_written_stops_the_command_before_it_does_anything() {
    let sandbox = Sandbox::empty();
    let before = sandbox.tree();
    let outcome = sandbox.run("layout init -p image --log-file missing/log");
    outcome.fails_with(1, starts_with("Error: failed to open log file missing/log: "));
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn completions_are_scripts_that_ask_the_program() {
    let sandbox = Sandbox::empty();
    for (shell, mark) in [
        ("bash", "complete -F _regshape regshape"),
        ("zsh", "#compdef regshape"),
        ("fish", "complete --command regshape"),
        ("powershell", "Register-ArgumentCompleter -Native -CommandName regshape"),
        ("elvish", "edit:completion:arg-completer[regshape]"),
    ] {
        let outcome = sandbox.run(&format!("completions {shell}"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{shell}");
        for words in [mark, "REGSHAPE_COMPLETE"] {
            assert!(outcome.stdout.contains(words), "{shell}: no {words} in {}", outcome.stdout);
        }
    }
}

/// Returns the candidates for the last word of a command line, as a shell asks for them.
fn candidates(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let mut command = sandbox.command();
    command.env("REGSHAPE_COMPLETE", "bash").arg("--").arg("regshape").args(line.split(' '));
    let output = command.output().expect("the program runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_gets_candidates_for_every_kind_of_value() {
    let sandbox = Sandbox::built();
    sandbox.ok("tag add -p image:latest v1 v2");
    for (line, expected) in [
        ("layout tag dele", &["delete"][..]),
        ("tag delete -p image v", &["v1", "v2"]),
        ("tag delete -p image:v", &["image:v1", "image:v2"]),
        ("manifest get --path=image:l", &["--path=image:latest"]),
        ("manifest info image --ref l", &["latest"]),
        ("export image --platform ", &["linux/amd64"]),
        ("export . --platform linux/arm/", &["linux/arm/v7", "linux/arm/v6"]),
        ("generate config image --architecture arm", &["arm64", "arm"]),
        ("generate config image --os w", &["windows", "wasip1"]),
        ("export image --format d", &["dir", "docker-archive"]),
        ("show ima", &["image"]),
        ("add layer image --fil", &["--file"]),
        // A digest that is expected is not one that is there.
        ("blob upload image --digest sha256:", &[]),
        ("show nowhere:", &[]),
    ] {
        assert_eq!(candidates(&sandbox, line), expected, "{line}");
    }
    assert!(candidates(&sandbox, "blob get image -d sha256:4d").contains(&BASE.to_owned()));
    assert_eq!(candidates(&sandbox, &format!("show image@{}", &MANIFEST[..12])), [format!("image@{MANIFEST}")]);
    // A tag that a terminal would obey is not offered.
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = "evil\u{1b}[2J\nx".into();
    });
    assert_eq!(candidates(&sandbox, "show image:"), ["image:v1", "image:v2"]);
    // The layout of the environment.
    let mut command = sandbox.command();
    command.env("REGSHAPE_LAYOUT", "image").env("REGSHAPE_COMPLETE", "bash");
    let output = command.args(["--", "regshape", "tag", "delete", "l"]).output().expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let output = sandbox
        .command()
        .env("REGSHAPE_LAYOUT", "image")
        .env("REGSHAPE_COMPLETE", "bash")
        .args(["--", "regshape", "tag", "delete", "v"])
        .output();
    assert_eq!(String::from_utf8_lossy(&output.expect("the program runs").stdout), "v1\nv2\n");
}

#[test]
fn man_prints_one_page_or_writes_them_all() {
    let sandbox = Sandbox::empty();
    let outcome = sandbox.run("man");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.stdout.contains(".TH \"regshape\" 1"), "{}", outcome.stdout);

    sandbox.run("man pages/man1").succeeds("", "");
    let tree = sandbox.tree();
    let pages: BTreeSet<_> = tree.keys().filter_map(|name| name.strip_prefix("./pages/man1/")).collect();
    for words in TREE {
        let page = format!("{}.1", format!("regshape {words}").trim_end().replace(' ', "-"));
        assert!(pages.contains(page.as_str()), "no {page} in {pages:?}");
    }
    assert_eq!(pages.iter().filter(|page| page.contains("help")).count(), 0, "{pages:?}");
    let page = sandbox.text("pages/man1/regshape-layout-add-layer.1");
    let synopsis = "\\fBregshape layout add layer\\fR {\\fB\\-f\\fR \\fIFILE\\fR | \\fB\\-c\\fR \\fISRC[:DST]\\fR... | \\fB\\-\\-mtree\\fR \\fIFILE\\fR... | \\fB\\-\\-diff\\-from\\fR \\fISOURCE[:REF]\\fR} [\\fB\\-p\\fR \\fIDIR\\fR]";
    assert!(page.contains(synopsis), "{page}");
    assert!(page.contains("Skip fsync"), "{page}");
    let mut sections = page.lines().filter_map(|line| line.strip_prefix(".SH "));
    for section in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "EXAMPLES",
        "\"EXIT STATUS\"",
        "\"ENVIRONMENT\"",
        "\"FILES\"",
        "\"SEE ALSO\"",
    ] {
        assert!(sections.any(|found| found == section), "no {section} in its place: {page}");
    }
    sandbox.write("file", "");
    let outcome = sandbox.run("man file");
    outcome.fails_with(1, starts_with("Error: failed to write manual pages to file: "));
}
