//! `layout blob get`

use std::fs;

use predicates::str::contains;
use serde_json::json;
use sha2::Digest as _;

use crate::support::*;

const CONTENT: &str = "0123456789";

/// Creates a layout with a blob of ten digits; returns its digest, too.
fn digits() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let digest = sandbox.store(CONTENT);
    (sandbox, digest)
}

fn wrote(digest: &str, size: usize, output: &str) -> String {
    format!("Wrote blob:\n  digest: {digest}\n    size: {size}\n  output: {output}\n")
}

#[test]
fn a_blob_goes_to_standard_output_as_it_is() {
    let sandbox = Sandbox::built();
    for output in ["", " --output -"] {
        let words = format!("layout blob get --path image --digest {PATCHES}{output}");
        let ran = sandbox.command().args(words.split(' ')).output().expect("it runs");
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        assert_eq!(ran.stdout, sandbox.blob(PATCHES));
    }
    let empty = sandbox.store("");
    sandbox.run(&format!("layout blob get --path image --digest {empty}")).succeeds("", "");
}

#[test]
fn a_range_is_as_in_http_with_both_ends() {
    let (sandbox, digest) = digits();
    for (range, part) in [
        ("0-0", "0"),
        ("0-9", CONTENT),
        ("3-5", "345"),
        ("9-9", "9"),
        ("9-", "9"),
        ("0-", CONTENT),
        ("8-100", "89"),
        ("0-18446744073709551615", CONTENT),
        ("-1", "9"),
        ("-3", "789"),
        ("-10", CONTENT),
        ("-11", CONTENT),
        ("-18446744073709551615", CONTENT),
    ] {
        let words = format!("layout blob get --path image --digest {digest} --range {range}");
        sandbox.run(&words).succeeds(part, "");
        sandbox.run(&format!("{words} --output part")).succeeds(wrote(&digest, part.len(), "part"), "");
        assert_eq!(sandbox.text("part"), part, "{range}");
    }
}

#[test]
fn a_range_beyond_the_blob_is_rejected() {
    let (sandbox, digest) = digits();
    let empty = sandbox.store("");
    let refuses = |digest: &str, range: &str, start: u64, size: u64| {
        let words = format!("layout blob get --path image --digest {digest} --range {range}");
        let message = format!("the range from byte {start} is not within the {size} bytes of {digest} (RANGE_INVALID)");
        sandbox.refuses(&words, &message);
        sandbox.refuses(&format!("{words} --output part"), &message);
    };
    refuses(&digest, "10-", 10, 10);
    refuses(&digest, "10-20", 10, 10);
    refuses(&digest, "11-", 11, 10);
    refuses(&digest, "18446744073709551615-", u64::MAX, 10);
    refuses(&digest, "-0", 10, 10);
    refuses(&empty, "0-", 0, 0);
    refuses(&empty, "0-0", 0, 0);
    // The last bytes of an empty blob are empty.
    sandbox.run(&format!("layout blob get --path image --digest {empty} --range -5")).succeeds("", "");
}

#[test]
fn a_malformed_range_is_a_usage_error() {
    let (sandbox, digest) = digits();
    for (range, reason) in [
        ("", "expected A-B, A- or -N"),
        ("-", "expected A-B, A- or -N"),
        ("5", "expected A-B, A- or -N"),
        ("a-b", "expected A-B, A- or -N"),
        ("1-2-3", "expected A-B, A- or -N"),
        ("0-1,3-4", "expected A-B, A- or -N"),
        ("bytes=0-1", "expected A-B, A- or -N"),
        ("5-4", "5 is after 4"),
        ("0-18446744073709551616", "number too large to fit in target type"),
    ] {
        let outcome =
            sandbox.run_words(["layout", "blob", "get", "--path", "image", "--digest", &digest, "--range", range]);
        outcome.fails_with(2, contains(format!("invalid value '{range}' for '--range <A-B>': {reason}")));
    }
}

#[test]
fn an_output_file_is_replaced_by_the_blob() {
    let (sandbox, digest) = digits();
    let words = format!("layout blob get --path image --digest {digest} --output out");
    sandbox.run(&words).succeeds(wrote(&digest, 10, "out"), "");
    assert_eq!(sandbox.text("out"), CONTENT);
    sandbox.write("out", "something longer than the blob");
    assert_eq!(sandbox.ok_json(&words), json!({"digest": digest, "size": 10, "output": "out"}));
    assert_eq!(sandbox.text("out"), CONTENT);
    let names: Vec<_> = sandbox.tree().into_keys().filter(|name| name.contains("tmp")).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn json_and_the_blob_do_not_share_standard_output() {
    let (sandbox, digest) = digits();
    for output in ["", " --output -"] {
        let words = format!("layout blob get --path image --digest {digest} --json{output}");
        sandbox.misuses(&words, "--json prints to standard output; write the blob to a file with --output");
    }
}

#[test]
#[cfg(unix)]
fn an_unwritable_file_is_reported() {
    let (sandbox, digest) = digits();
    fs::create_dir(sandbox.path("directory")).expect("made");
    for (output, reason) in [
        ("directory", "Is a directory (os error 21)"),
        ("missing/out", "No such file or directory (os error 2)"),
        ("base.tar/out", "Not a directory (os error 20)"),
    ] {
        let words = format!("layout blob get --path image --digest {digest} --output {output}");
        sandbox.refuses(&words, &format!("failed to write to {output}: {reason}"));
    }
}

#[test]
#[cfg(unix)]
fn devices_and_pipes_are_written_to() {
    use std::os::unix::fs::{FileTypeExt, symlink};

    let (sandbox, digest) = digits();
    let words = |output: &str| format!("layout blob get --path image --digest {digest} --output {output}");
    sandbox.run(&words("/dev/null")).succeeds(wrote(&digest, 10, "/dev/null"), "");
    assert!(fs::metadata("/dev/null").expect("there").file_type().is_char_device());

    make_fifo(sandbox.path("fifo"));
    let reader = std::thread::spawn({
        let path = sandbox.path("fifo");
        move || fs::read(path).expect("read")
    });
    sandbox.run(&words("fifo")).succeeds(wrote(&digest, 10, "fifo"), "");
    assert_eq!(reader.join().expect("it ends"), CONTENT.as_bytes());
    assert!(fs::symlink_metadata(sandbox.path("fifo")).expect("there").file_type().is_fifo());

    // A link stays, and its target is replaced.
    sandbox.write("target", "old");
    symlink("target", sandbox.path("link")).expect("linked");
    sandbox.run(&words("link")).succeeds(wrote(&digest, 10, "link"), "");
    assert_eq!(sandbox.text("target"), CONTENT);
    assert!(fs::symlink_metadata(sandbox.path("link")).expect("there").is_symlink());
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_reported_and_a_closed_pipe_is_not_an_error() {
    let (sandbox, digest) = digits();
    if std::path::Path::new("/dev/full").exists() {
        let words = format!("layout blob get --path image --digest {digest} --output /dev/full");
        sandbox.refuses(&words, "failed to write to /dev/full: No space left on device (os error 28)");
    }
    let large = sandbox.store(vec![b'x'; 1 << 20]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = sandbox.command();
    command.args(["layout", "blob", "get", "--path", "image", "--digest", &large]).stdout(writer);
    let output = command.output().expect("it runs");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_corrupt_blob_makes_no_file() {
    let (sandbox, digest) = digits();
    sandbox.write(&blob_name(&digest), "012345678X");
    let mismatch =
        format!("digest mismatch for {digest}: expected {digest}, got {} (DIGEST_INVALID)", sha256(b"012345678X"));
    let words = format!("layout blob get --path image --digest {digest}");
    sandbox.refuses(&format!("{words} --output out"), &mismatch);
    sandbox.write("out", "there before");
    sandbox.refuses(&format!("{words} --output out"), &mismatch);
    // The bytes written to standard output are there, and the status reports the fault.
    sandbox.run(&words).is(1, "012345678X", format!("Error: {mismatch}\n"));
    // A range cannot be verified.
    sandbox.run(&format!("{words} --range 0-4")).succeeds("01234", "");
}

#[test]
fn blobs_of_other_algorithms_are_verified_too() {
    let sandbox = Sandbox::new();
    let sha512 = format!("sha512:{}", hex::encode(sha2::Sha512::digest(CONTENT)));
    let blake3 = format!("blake3:{}", blake3::hash(CONTENT.as_bytes()).to_hex());
    for (digest, actual) in [
        (&sha512, format!("sha512:{}", hex::encode(sha2::Sha512::digest("x")))),
        (&blake3, format!("blake3:{}", blake3::hash(b"x").to_hex())),
    ] {
        let name = blob_name(digest);
        fs::create_dir(sandbox.path(&name).parent().expect("a directory")).expect("made");
        sandbox.write(&name, CONTENT);
        let words = format!("layout blob get --path image --digest {digest} --output out");
        sandbox.run(&words).succeeds(wrote(digest, 10, "out"), "");
        assert_eq!(sandbox.text("out"), CONTENT);
        fs::remove_file(sandbox.path("out")).expect("deleted");
        sandbox.write(&name, "x");
        let message = format!("digest mismatch for {digest}: expected {digest}, got {actual} (DIGEST_INVALID)");
        sandbox.refuses(&words, &message);
    }
    fs::create_dir(sandbox.path("image/blobs/md5")).expect("made");
    sandbox.write("image/blobs/md5/0", CONTENT);
    let words = "layout blob get --path image --digest md5:0";
    let message = "digest md5:0 cannot be verified: its algorithm is not supported (DIGEST_INVALID)";
    sandbox.refuses(words, message);
    sandbox.run(&format!("{words} --range 0-")).succeeds(CONTENT, "");
}

#[test]
#[cfg(unix)]
fn a_link_out_of_the_layout_is_not_read() {
    use std::os::unix::fs::symlink;

    let (sandbox, digest) = digits();
    sandbox.write("outside", CONTENT);
    let path = sandbox.path(blob_name(&digest));
    fs::remove_file(&path).expect("deleted");
    symlink(sandbox.path("outside"), &path).expect("linked");
    let words = format!("layout blob get --path image --digest {digest}");
    let hint = "replace the link with the file; --shared-blobs follows a link at 'blobs' only";
    let link = blob_name(&digest);
    sandbox.refuses(&words, &format!("blob {digest} is a link out of the layout: {link}; {hint}"));
    // One that stays inside is a blob.
    fs::remove_file(&path).expect("deleted");
    sandbox.write("image/inside", CONTENT);
    symlink("../../inside", &path).expect("linked");
    sandbox.run(&words).succeeds(CONTENT, "");
}

#[test]
fn a_missing_blob_is_reported() {
    let (sandbox, _) = digits();
    let missing = sha256(b"missing");
    for options in ["", " --output out", " --range 0-"] {
        let words = format!("layout blob get --path image --digest {missing}{options}");
        sandbox.refuses(&words, &format!("image has no blob {missing} (BLOB_UNKNOWN)"));
    }
}
