//! Output paths: open descriptors, devices, links and files; and rejected paths.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Output, Stdio};

use crate::support::*;

/// The commands that write a file, without its path.
const WRITERS: [&str; 3] =
    ["layout export -p image", "layout blob get -p image --digest DIGEST", "layout manifest get -p image --ref latest"];

fn writers() -> [String; 3] {
    WRITERS.map(|words| words.replace("DIGEST", BASE))
}

/// Runs a script, with the program as `$0`.
fn bash(sandbox: &Sandbox, script: &str) -> Output {
    let program = sandbox.command();
    Command::new("bash")
        .args(["-c", script])
        .arg(program.get_program())
        .current_dir(program.get_current_dir().expect("a sandbox"))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the output of a command with `-o -`.
fn content(sandbox: &Sandbox, words: &str) -> Vec<u8> {
    let output = bash(sandbox, &format!("exec \"$0\" {words} -o -"));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{words}");
    assert!(!output.stdout.is_empty(), "{words}");
    output.stdout
}

#[test]
fn every_path_of_standard_output_is_standard_output() {
    let sandbox = Sandbox::built();
    symlink("/dev/stdout", sandbox.path("link")).expect("linked");
    symlink("link", sandbox.path("second")).expect("linked");
    for words in writers() {
        let expected = content(&sandbox, &words);
        for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "link", "second"] {
            for redirect in ["", " | cat", " > out && cat out && [ ! -L out ]"] {
                let output = bash(&sandbox, &format!("\"$0\" {words} -o {path}{redirect}"));
                assert!(output.stdout == expected, "{words} -o {path}{redirect}: {}", text(&output.stdout));
                assert_eq!(text(&output.stderr), "", "{words} -o {path}{redirect}");
            }
        }
        // With another descriptor of the same file, the result would be in the middle of the content.
        let output = bash(&sandbox, &format!("\"$0\" {words} -o /dev/fd/3 3>&1"));
        assert!(output.stdout == expected, "{words}");
    }
    assert!(fs::symlink_metadata(sandbox.path("link")).expect("there").is_symlink());
    sandbox.misuses(
        "layout export -p image -o link --json",
        "--json prints to standard output; write the archive to a file with --output",
    );
}

#[test]
fn a_file_that_standard_output_is_open_on_is_written_on_at_its_place() {
    let sandbox = Sandbox::built();
    for words in writers() {
        let expected = [b"one\n".as_slice(), &content(&sandbox, &words), b"two\n"].concat();
        for (script, read) in [
            ("{ echo one; \"$0\" WORDS -o /dev/stdout; echo two; } > out; cat out", "> out"),
            ("echo one > out; \"$0\" WORDS -o /dev/stdout >> out; echo two >> out; cat out", ">> out"),
            (
                "exec 3<> out; rm out; { echo one; \"$0\" WORDS -o /dev/stdout; echo two; } >&3; cat /dev/fd/3",
                "deleted",
            ),
            ("{ echo one; \"$0\" WORDS -o /dev/fd/3 >&2; echo two; } 2> result 3> out >&3; cat out", "3> out"),
            ("{ echo one; \"$0\" WORDS -o /dev/stderr >&3; echo two >&2; } 3> result 2> out >&2; cat out", "2> out"),
        ] {
            let output = bash(&sandbox, &script.replace("WORDS", &words));
            assert!(output.stdout == expected, "{words} {read}: {} {}", text(&output.stdout), text(&output.stderr));
        }
    }
    assert!(sandbox.text("result").contains("output: /dev/stderr\n"), "{}", sandbox.text("result"));
}

#[test]
fn a_log_goes_to_a_descriptor_at_its_place() {
    let sandbox = Sandbox::built();
    let script =
        "{ echo one; \"$0\" --log-file /dev/stdout layout tag list -p image --metrics 2> /dev/null; echo two; }";
    let output = bash(&sandbox, &format!("{script} > out; cat out"));
    let lines = text(&output.stdout);
    assert!(lines.starts_with("one\nlatest\n── telemetry ──") && lines.ends_with("──\ntwo\n"), "{lines}");
}

#[test]
fn devices_and_pipes_are_written_to_and_stay() {
    let sandbox = Sandbox::built();
    bash(&sandbox, "mkfifo pipe");
    for words in writers() {
        let expected = content(&sandbox, &words);
        let output = bash(&sandbox, &format!("\"$0\" {words} -o pipe > result & cat pipe; wait $!"));
        assert!(output.stdout == expected && output.status.success(), "{words}: {}", text(&output.stderr));
        assert!(sandbox.text("result").contains("output: pipe\n"), "{words}");
        let output = bash(&sandbox, &format!("exec \"$0\" {words} -o /dev/null"));
        assert!(output.status.success() && text(&output.stdout).contains("output: /dev/null\n"), "{words}");
        let output = bash(&sandbox, &format!("exec \"$0\" {words} -o /dev/full"));
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{words}");
        assert!(text(&output.stderr).contains("No space left on device"), "{words}");
    }
    assert!(!fs::metadata(sandbox.path("pipe")).expect("there").is_file());
    assert!(!fs::metadata("/dev/null").expect("there").is_file());
}

#[test]
fn a_link_stays_and_its_file_is_replaced_or_made() {
    let sandbox = Sandbox::built();
    symlink("file", sandbox.path("link")).expect("linked");
    for words in writers() {
        let words = if words.contains("export") { words + " --format oci-archive" } else { words };
        let expected = content(&sandbox, &words);
        for before in [Some("before"), None] {
            let _ = fs::remove_file(sandbox.path("file"));
            before.into_iter().for_each(|before| sandbox.write("file", before));
            let inode = || fs::metadata(sandbox.path("file")).map(|file| file.ino()).ok();
            let old = inode();
            sandbox.ok(&format!("{words} -o link"));
            assert!(sandbox.read("file") == expected, "{words}");
            assert_eq!(fs::read_link(sandbox.path("link")).expect("a link").to_str(), Some("file"), "{words}");
            assert_ne!(inode(), old, "{words}: somebody may have the old file open");
        }
    }
}

#[test]
fn a_path_that_cannot_be_written_is_one_clear_error_and_nothing_is_made() {
    let sandbox = Sandbox::built();
    sandbox.write("file", "before");
    symlink("b", sandbox.path("a")).expect("linked");
    symlink("a", sandbox.path("b")).expect("linked");
    symlink("missing/new", sandbox.path("dangling")).expect("linked");
    let before = sandbox.tree();
    for words in writers() {
        let words = if words.contains("export") { words + " --format oci-archive" } else { words };
        for (path, error) in [
            ("image", "Is a directory (os error 21)"),
            ("new/", "a path that ends in a slash names a directory"),
            ("missing/new", "No such file or directory (os error 2)"),
            ("dangling", "No such file or directory (os error 2)"),
            ("a", "too many levels of symbolic links"),
            ("/dev/fd/99", "descriptor 99 is not open"),
        ] {
            let outcome = sandbox.run(&format!("{words} -o {path}"));
            let code =
                if words.contains("export") { "" } else { outcome.stderr.rsplit(error).next().unwrap_or_default() };
            outcome.fails(format!(
                "Error: failed to write to {path}: {error}{}",
                if code.is_empty() { "\n" } else { code }
            ));
        }
        assert_eq!(sandbox.run(&format!("{words} -o file/new")).status, 1);
        assert_eq!(sandbox.tree(), before, "{words}");
    }
}

#[test]
fn a_descriptor_that_the_program_opened_itself_is_no_output() {
    let sandbox = Sandbox::built();
    // Inherited descriptors are closed, so that these numbers are descriptors of the program itself.
    let close: String = (3..10).map(|number| format!(" {number}>&-")).collect();
    for number in 3..10 {
        let script = format!("\"$0\" layout blob get -p image --digest {BASE} -o /dev/fd/{number}{close}");
        let output = bash(&sandbox, &script);
        let error = format!("Error: failed to write to /dev/fd/{number}: descriptor {number} is not open");
        assert_eq!(output.status.code(), Some(1), "{number}");
        assert!(text(&output.stderr).starts_with(&error), "{}", text(&output.stderr));
    }
}

#[test]
fn the_extension_of_an_unsupported_archive_is_a_usage_error() {
    let sandbox = Sandbox::built();
    let archives = "archives are .tar, .tar.gz, .tgz, .tar.zst, .tzst";
    for name in ["x.tar.xz", "x.tar.bz2", "x.zip", "x.7z", "X.ZIP"] {
        let message = format!("cannot tell the format of '{name}' from its ending: {archives}");
        let hint = "; --format dir makes a directory of any name";
        sandbox.misuses(&format!("layout export -p image -o {name}"), &format!("{message}{hint}"));
        sandbox.misuses(&format!("layout join -p image -o {name}"), &message);
        assert!(!sandbox.path(name).exists(), "{name}");
        sandbox.ok(&format!("layout export -p image -o {name} --format dir"));
        sandbox.ok(&format!("layout validate -p {name}"));
        // An existing directory is accepted.
        sandbox.ok(&format!("layout export -p image -o {name}"));
    }
}

#[test]
fn a_path_that_is_not_utf_8_is_not_taken_for_another() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let sandbox = Sandbox::built();
    sandbox.ok("layout init -p x\u{fffd}");
    let before = sandbox.tree();
    let path = |bytes| OsStr::from_bytes(bytes);
    let run = |words: &[&OsStr]| {
        let output = sandbox.command().args(words).stdin(Stdio::null()).output().expect("the program runs");
        (output.status.code(), text(&output.stdout))
    };
    let [layout, import, p, f, image] = ["layout", "import", "-p", "-f", "image"].map(OsStr::new);
    assert_eq!(run(&[layout, import, p, path(b"x\xff:v1"), f, image]).0, Some(0));
    let after: Vec<_> = sandbox.tree().into_keys().filter(|name| name.starts_with("./x\u{fffd}")).collect();
    let listed = run(&[layout, OsStr::new("tag"), OsStr::new("list"), p, path(b"x\xff")]);
    assert_eq!(listed, (Some(0), "v1\n".to_owned()));
    assert_eq!(sandbox.ok("layout tag list -p x\u{fffd}"), "", "{before:?} {after:?}");
}

#[test]
fn a_reference_that_is_not_utf_8_matches_no_manifest() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let sandbox = Sandbox::built();
    let index = fs::read_to_string(sandbox.path("image/index.json")).expect("text");
    assert!(index.contains("\"latest\""));
    sandbox.write("image/index.json", index.replace("\"latest\"", "\"latest\u{fffd}\""));
    let before = sandbox.tree();
    for bytes in [b"image:latest\xff".as_slice(), b"image:\xfflatest", b"image@sha256:\xff"] {
        for words in [["layout", "manifest", "delete", "-p"], ["layout", "manifest", "get", "-p"]] {
            let mut command = sandbox.command();
            let output =
                command.args(words).arg(OsStr::from_bytes(bytes)).stdin(Stdio::null()).output().expect("it runs");
            assert_eq!(output.status.code(), Some(1), "{words:?} {}", text(&output.stderr));
            assert_eq!(sandbox.tree(), before, "{words:?}");
        }
    }
}

#[test]
fn a_repository_is_not_created_inside_another_layout() {
    let sandbox = Sandbox::new();
    let upload = "layout blob upload -f base.tar -p repositories --per-repo --repo";
    sandbox.ok(&format!("{upload} a"));
    let before = sandbox.tree();
    for (name, part) in [
        ("blobs", "blobs"),
        ("a/blobs", "blobs"),
        ("a/blobs/sha256", "blobs"),
        ("a/index.json", "index.json"),
        ("a/oci-layout/b", "oci-layout"),
    ] {
        let error =
            format!("cannot make repository '{name}': '{part}' is the name of a layout's own files (NAME_INVALID)");
        sandbox.refuses(&format!("{upload} {name}"), &error);
        assert_eq!(sandbox.tree(), before, "{name}");
    }
    // An existing repository there can be read and written.
    sandbox.ok("layout init -p repositories/old/blobs");
    sandbox.ok(&format!("{upload} old/blobs"));
    sandbox.ok("layout blob upload -f base.tar -p image --repo blobs");
}
