//! The use of stdout, stderr and stdin, and failures of these streams.

use std::fs::File;
use std::io::{Seek, pipe};

use serde_json::Value;

use crate::support::*;

/// All ten commands, in an order in which each of them succeeds, starting in a directory with the two layers.
const COMMANDS: [&str; 10] = [
    "layout init -p image",
    "layout add layer -p image -f base.tar",
    "layout annotate layer -p image -i 0 --annotation a=1",
    "layout generate config -p image",
    "layout update config -p image --architecture arm64",
    "layout generate manifest -p image",
    "layout annotate manifest -p image --annotation a=1",
    "layout status -p image",
    "layout show -p image",
    "layout validate -p image",
];

fn with_layer() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("base.tar", base_tar());
    sandbox
}

#[test]
fn json_is_one_value_on_stdout_and_nothing_on_stderr() {
    let sandbox = with_layer();
    for words in COMMANDS {
        let outcome = sandbox.run(&format!("{words} --json"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{words}");
        let value: Value = outcome.json();
        assert!(value.is_object(), "{words}");
        assert!(
            outcome.stdout.starts_with("{\n  \"") && outcome.stdout.ends_with("\n}\n"),
            "{words}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn quiet_prints_the_digest_of_each_thing_that_was_made_or_changed() {
    let sandbox = with_layer();
    // The output of a command under --quiet: all of the text, a key of the JSON, or nothing.
    enum Printed {
        All,
        Key(&'static str),
        Nothing,
    }
    use Printed::{All, Key, Nothing};
    for (words, printed) in [
        ("init -p image", Key("layout_path")),
        ("add layer -p image -f base.tar", Key("digest")),
        ("annotate layer -p image -i 0 --annotation a=1", Key("digest")),
        ("generate config -p image", Key("digest")),
        ("update config -p image --architecture arm64", Key("digest")),
        ("generate manifest -p image --ref-name v1", Key("digest")),
        ("annotate manifest -p image --annotation a=1", Key("digest")),
        ("status -p image", All),
        ("show -p image", All),
        ("validate -p image", Nothing),
        ("tag add -p image:v1 v2", Key("digest")),
        ("tag rename -p image:v2 v3", Key("digest")),
        ("tag list -p image", All),
        ("blob upload -p image -f base.tar", Key("digest")),
        ("catalog list -p image", All),
        ("export -p image -o image.tar", Key("output")),
        ("import -p other -f image.tar", Key("output")),
        ("join -p image:v1 -o joined", Key("output")),
        ("tag delete -p image v3", Nothing),
        ("gc -p image", Nothing),
        ("manifest delete -p image:v1", Nothing),
    ] {
        // Each step runs on two copies first, to get its result as JSON and as text.
        let copy = |name: &str| {
            let copied = Sandbox::empty();
            let status = std::process::Command::new("cp")
                .args(["-a", "."])
                .arg(copied.path(name))
                .current_dir(sandbox.path("."))
                .status()
                .expect("cp runs");
            assert!(status.success());
            copied
        };
        let json = copy(".").ok_json(&format!("layout {words}"));
        let text = copy(".").ok(&format!("layout {words}"));
        let expected = match printed {
            All => text,
            Key(key) => format!("{}\n", json[key].as_str().expect("text")),
            Nothing => String::new(),
        };
        sandbox.run(&format!("layout {words} --quiet")).succeeds(expected, "");
    }
}

#[test]
fn a_warning_is_not_a_note() {
    let outcome = Sandbox::built().run("layout update config -p image --os freebsd --quiet");
    assert_eq!(outcome.stderr, outdated("config"));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let sandbox = with_layer();
    let more = ["--help", "--version", "completions bash", "man", "layout --help"];
    for words in COMMANDS.into_iter().chain(more) {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output =
            sandbox.command().args(words.split_whitespace()).stdout(writer).output().expect("the program runs");
        let outcome = Outcome::from(output);
        assert_eq!(outcome.status, 0, "{words}: {outcome:?}");
        assert!(!outcome.stderr.contains("rror") && !outcome.stderr.contains("panic"), "{words}: {outcome:?}");
    }
    // The output was lost, but all changes were made.
    sandbox.is_valid();
    assert_eq!(sandbox.index()["manifests"].as_array().map(Vec::len), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_an_error_reported_once() {
    let sandbox = with_layer();
    let more = ["--help", "--version", "completions bash", "man", "layout --help", "layout status -p image --json"];
    for words in COMMANDS.into_iter().chain(more) {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let output = sandbox.command().args(words.split_whitespace()).stdout(full).output().expect("the program runs");
        let outcome = Outcome::from(output);
        let text = "Error: failed to write to standard output: No space left on device (os error 28)\n";
        let json = r#"{"error":{"code":"IO","message":"failed to write to standard output","causes":["No space left on device (os error 28)"]}}"#;
        let expected = if words.ends_with("--json") { format!("{json}\n") } else { text.to_owned() };
        // The note on compression precedes the result.
        let stderr = outcome.stderr.trim_start_matches("Input file is not compressed. Compressing with gzip...\n");
        assert_eq!((outcome.status, outcome.stdout.as_str(), stderr), (1, "", expected.as_str()), "{words}");
    }
}

#[test]
fn nothing_is_read_from_a_stdin_that_is_no_terminal() {
    // A shell that reads its script from stdin would lose the lines.
    let sandbox = with_layer();
    sandbox.write("script", "n\narm64\nplan9\necho next line of the script\n".repeat(100));
    for words in COMMANDS {
        let mut script = File::open(sandbox.path("script")).expect("opened");
        let stdin = script.try_clone().expect("a second handle");
        let output = sandbox.command().args(words.split_whitespace()).stdin(stdin).output().expect("the program runs");
        assert!(output.status.success(), "{words}");
        assert_eq!(script.stream_position().expect("a position"), 0, "{words}");
    }
    assert_eq!(sandbox.stage()["layers"][0]["media_type"], GZIP_TYPE);
}

#[test]
fn a_closed_stdin_is_not_an_error() {
    let sandbox = with_layer();
    for words in COMMANDS {
        let expected = sandbox.run_with_input(words, b"");
        assert_eq!(expected.status, 0, "{words}: {expected:?}");
    }
}
