//! Memory use for documents, and limits on their size.

use std::fs::File;
use std::io::Write;

#[cfg(target_os = "linux")]
use super::layer_tars::{END, file};
use super::support::*;

const MIB: usize = 1 << 20;

/// Runs a command with a limit on its memory.
#[cfg(target_os = "linux")]
fn run_within(sandbox: &Sandbox, limit: usize, words: &str) -> std::process::Output {
    // Only writable memory is limited; reserved address space is not counted.
    let script = format!("ulimit -d {}; exec \"$0\" \"$@\"", limit / 1024);
    std::process::Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_regshape")])
        .args(words.split(' '))
        .current_dir(sandbox.path("."))
        .output()
        .expect("a shell")
}

/// Repeats the items of a list up to a size.
fn list(item: &str, size: usize) -> String {
    item.repeat(size / item.len()).trim_end_matches(',').to_owned()
}

/// Returns an index of a few hundred kilobytes that exceeds `size` when it is indented.
fn deep_index(size: usize) -> String {
    // Each element is on a line of its own, indented by two blanks for each of 100 levels.
    let elements = list("0,", size / 100);
    format!(r#"{{"schemaVersion":2,"manifests":[],"x":{}{elements}{}}}"#, "[".repeat(100), "]".repeat(100))
}

#[cfg(target_os = "linux")]
#[test]
fn commands_take_a_few_times_the_size_of_a_document() {
    // The memory that the program takes for a layout without images.
    const BASE: usize = 6 * MIB;
    let unknown = |item: &str| format!(r#"{{"schemaVersion":2,"manifests":[],"x":[{}]}}"#, list(item, MIB / 2));
    for (name, index) in [("objects", unknown(r#"{"":0},"#)), ("arrays", unknown("[[[[[[[[]]]]]]]],"))] {
        let sandbox = Sandbox::empty();
        sandbox.ok("layout init --path image");
        let limit = 8 * index.len() + BASE;
        sandbox.write("image/index.json", index);
        for words in ["tag list", "show", "show --tree", "validate", "gc --dry-run", "inspect"] {
            let outcome = run_within(&sandbox, limit, &format!("layout {words} --path image --quiet"));
            assert!(outcome.status.success(), "{name}, {words}: {}", String::from_utf8_lossy(&outcome.stderr));
        }
    }
}

/// Runs the commands that read all files of an image, each with a limit on its memory, on one of `layer.tar` and a small layer.
/// `changed` has the files of `layer.tar`.
#[cfg(target_os = "linux")]
fn stays_within(sandbox: &Sandbox, limit: usize) {
    sandbox.write("small.tar", [file(b"small", b"small"), END.to_vec()].concat());
    for words in
        ["bases:old --layer small.tar", "bases:new --copy small.tar", "image:v1 --base bases:old --layer layer.tar"]
    {
        sandbox.ok(&format!("build -q -o {words} --compress-format zstd"));
    }
    for words in [
        "squash -p image:v1 --tag squashed --jobs 2",
        "rebase -p image:v1 --new-base bases:new --tag rebased --jobs 2",
        "recompress -p image:v1 --compress-format zstd --level 1 --tag small --jobs 2",
        "strip -p image:v1 /small --tag stripped --jobs 2",
        "set-times -p image:v1 --set @7 --keep 0 --tag timed --jobs 2",
        "diff -p image:v1 --with image:timed --ignore times",
        "lint -p image:v1",
        "export -p image:v1 --format rootfs -o /dev/null",
        "add layer -p image:v1 --diff-from image:v1 --to changed --tag added --compress-format zstd --jobs 2",
    ] {
        let outcome = run_within(sandbox, limit, &format!("{words} -q"));
        // As with diff(1), a difference is no error.
        let is_done = outcome.status.success() || words.starts_with("diff ") && outcome.status.code() == Some(1);
        assert!(is_done, "{words}: {}: {}", outcome.status, String::from_utf8_lossy(&outcome.stderr));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_commands_for_files_of_images_take_no_memory_for_the_size_of_a_file() {
    // Half as much again as the limit.
    const SIZE: u64 = 192 << 20;
    let sandbox = Sandbox::empty();
    let mut header = tar::Header::new_ustar();
    header.set_path("sparse").expect("a path");
    header.set_mode(0o644);
    header.set_size(SIZE);
    header.set_cksum();
    sandbox.write("layer.tar", header.as_bytes());
    let layer = File::options().append(true).open(sandbox.path("layer.tar")).expect("opened");
    layer.set_len(SIZE + 3 * 512).expect("extended");
    std::fs::create_dir(sandbox.path("changed")).expect("made");
    let file = File::create(sandbox.path("changed/sparse")).expect("created");
    file.set_len(SIZE).expect("extended");
    // A squash keeps up to 64 MiB of contents in memory, and zstd has buffers of some MiB for each thread.
    stays_within(&sandbox, 128 * MIB);
}

#[cfg(target_os = "linux")]
#[test]
fn the_commands_for_files_of_images_take_a_kilobyte_of_memory_for_a_file() {
    const FILES: usize = 20_000;
    let sandbox = Sandbox::empty();
    let mut layer = Vec::new();
    for directory in 0..FILES / 200 {
        std::fs::create_dir_all(sandbox.path(format!("changed/{directory}"))).expect("made");
        for at in 0..200 {
            let (path, content) = (format!("{directory}/{at}"), format!("{at}"));
            layer.extend(file(path.as_bytes(), content.as_bytes()));
            sandbox.write(&format!("changed/{path}"), content);
        }
    }
    layer.extend(END);
    sandbox.write("layer.tar", layer);
    // Two trees are the most that a command has in memory. Of the rest, each thread has two MiB for its stack.
    stays_within(&sandbox, 36 * MIB + FILES * 1280);
}

#[test]
fn a_document_that_no_command_would_read_is_not_written() {
    let sandbox = Sandbox::built();
    sandbox.write("image/index.json", deep_index(128 * MIB));
    let before = sandbox.contents();
    let index = "Error: index.json at image would be larger than 134217728 bytes\n";
    sandbox.run("layout generate manifest --path image --ref-name v2 --quiet").fails(index);
    assert_eq!(sandbox.contents(), before);

    let sandbox = Sandbox::built();
    let stage = sandbox.text("image/.regshape-stage.json");
    let deep = deep_index(128 * MIB);
    let (_, unknown) = deep.split_once("\"x\"").expect("the field");
    sandbox.write("image/.regshape-stage.json", format!("{},\"x\"{unknown}", stage.trim_end().trim_end_matches('}')));
    sandbox.write("small.tar", [patches_tar(), vec![0; 1024]].concat());
    let before = sandbox.tree();
    sandbox.refuses(
        "layout add layer --path image --file small.tar --quiet",
        "staging file at image would be larger than 134217728 bytes",
    );
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn an_archive_has_documents_of_64_mib_at_most() {
    let sandbox = Sandbox::empty();
    sandbox.ok("layout init --path image");
    sandbox.write("image/index.json", deep_index(64 * MIB));
    let before = sandbox.tree();
    sandbox.refuses(
        "layout export --path image --output image.tar",
        "index.json of the archive would be larger than 67108864 bytes",
    );
    assert_eq!(sandbox.tree(), before);

    for name in ["index.json", "manifest.json"] {
        let mut archive = tar::Builder::new(File::create(sandbox.path("large.tar")).expect("created"));
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        for (name, size) in [("oci-layout", marker.len()), (name, 64 * MIB + 1)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size as u64);
            header.set_mode(0o644);
            let content: Vec<u8> = if size == marker.len() { marker.to_vec() } else { vec![b' '; size] };
            archive.append_data(&mut header, name, content.as_slice()).expect("written");
        }
        archive.into_inner().and_then(|mut file| file.flush()).expect("written");
        let message = format!("'{name}' in large.tar is larger than 67108864 bytes");
        sandbox.refuses("layout inspect --file large.tar", &message);
        sandbox.refuses("layout import --path new --file large.tar", &message);
        assert!(!sandbox.path("new").exists());
    }
}
