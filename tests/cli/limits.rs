//! System limits on the size of files and on open files. A command fails with an error, and leaves no files.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::*;

/// Commands that write. Each creates `new` or changes `image`.
const WRITERS: [&str; 19] = [
    "layout init -p new",
    "layout generate manifest -p image --ref-name v2",
    "layout add layer -q -p image -f large.tar --media-type application/vnd.oci.image.layer.v1.tar",
    "layout add layer -q -p image -f large.tar.gz",
    "layout add layer -q -p image -f large.tar",
    "layout add layer -q -p image -f large.tar --compress-format zstd",
    "layout blob upload -p image -f large.tar",
    "layout blob get -p large --digest LAYER -o new",
    "layout manifest get -p large --ref latest -o new",
    "layout export -p large -o new",
    "layout export -p large -o new.tar",
    "layout export -p large -o new.tar.gz",
    "layout export -p large -o new.tar.zst",
    "layout export -p large --format docker-archive -o new",
    "layout export large --format rootfs -o new.tar",
    "layout export large --format rootfs -o new.tar.zst",
    "layout import -p new -f large",
    "layout import -p image -f large.tar.gz.image --ref-name v3",
    "layout update config -p image --os plan9",
];

/// Creates a layout `image`, another layout `large` with a layer of 1.5 MiB, and the layer as files.
fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::built();
    let mut tar = tar::Builder::new(Vec::new());
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(3 << 19).collect();
    let mut header = tar::Header::new_ustar();
    header.set_size(noise.len() as u64);
    header.set_cksum();
    tar.append_data(&mut header, "noise", noise.as_slice()).expect("written");
    let tar = tar.into_inner().expect("written");
    sandbox.write("large.tar.gz", gzip(&tar));
    sandbox.write("large.tar", &tar);
    sandbox.ok("layout init -p large");
    sandbox.ok("layout add layer -q -p large -f large.tar --media-type application/vnd.oci.image.layer.v1.tar");
    sandbox.ok("layout generate config -q -p large");
    sandbox.ok("layout generate manifest -q -p large --ref-name latest");
    sandbox.ok("layout export -p large -o large.tar.gz.image --format tar.gz");
    let layer = sha256(&tar);
    (sandbox, layer)
}

/// Runs the program under a `ulimit`.
fn under(sandbox: &Sandbox, limit: &str, words: &str) -> (Option<i32>, String) {
    let script = format!("ulimit -c 0; ulimit {limit}; exec \"$0\" {words}");
    let program = sandbox.command();
    let output = Command::new("bash")
        .args(["-c", &script])
        .arg(program.get_program())
        .current_dir(program.get_current_dir().expect("a sandbox"))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_leaves_nothing() {
    let (sandbox, layer) = sandbox();
    let before = sandbox.contents();
    for words in WRITERS {
        let words = words.replace("LAYER", &layer);
        // Not even the smallest document fits; a part of a layer or an archive does.
        let is_small = ["init", "manifest", "update"].iter().any(|word| words.contains(word));
        for blocks in if is_small { &[0][..] } else { &[0, 300] } {
            let (status, stderr) = under(&sandbox, &format!("-f {blocks}"), &words);
            assert_eq!(status, Some(1), "ulimit -f {blocks}: {words}: {stderr}");
            assert!(stderr.contains("File too large (os error 27)"), "ulimit -f {blocks}: {words}: {stderr}");
            assert!(sandbox.contents() == before, "ulimit -f {blocks}: {words}");
        }
    }
}

#[test]
fn a_limit_on_the_size_of_standard_output_is_an_error() {
    let (sandbox, layer) = sandbox();
    for words in [
        "completions bash",
        "layout show -p large",
        "layout export -p large -o -",
        "layout blob get -p large --digest LAYER",
    ] {
        let words = words.replace("LAYER", &layer);
        let (status, stderr) = under(&sandbox, "-f 0", &format!("{words} > output"));
        assert_eq!(status, Some(1), "{words}: {stderr}");
        assert!(stderr.contains("File too large (os error 27)"), "{words}: {stderr}");
    }
}

#[test]
fn where_few_files_can_be_open_a_command_succeeds_or_leaves_nothing() {
    let (sandbox, layer) = sandbox();
    for words in WRITERS {
        for name in ["new", "new.tar", "new.tar.gz", "new.tar.zst"] {
            let _ = fs::remove_file(sandbox.path(name)).or_else(|_| fs::remove_dir_all(sandbox.path(name)));
        }
        let before = sandbox.contents();
        let words = words.replace("LAYER", &layer);
        // With fewer files the system cannot even load the program.
        let is_done = (4..32).any(|limit| {
            let (status, stderr) = under(&sandbox, &format!("-n {limit}"), &words);
            let after = sandbox.contents();
            let leftovers: Vec<_> = after.keys().filter(|name| name.contains(".regshape-tmp-")).collect();
            assert_eq!(leftovers, [""; 0], "ulimit -n {limit}: {words}: {stderr}");
            if status == Some(0) {
                return true;
            }
            assert_eq!(status, Some(1), "ulimit -n {limit}: {words}: {stderr}");
            assert!(stderr.contains("Too many open files (os error 24)"), "ulimit -n {limit}: {words}: {stderr}");
            assert!(after == before, "ulimit -n {limit}: {words}");
            false
        });
        assert!(is_done, "{words}");
    }
}
