//! `layout export --format rootfs`: the files of an image as one tar.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::layer_tars::{END, entry, file, link};
use crate::support::*;

/// Makes an image of tars, `image:v1`.
fn image_of(layers: &[Vec<u8>]) -> Sandbox {
    let sandbox = Sandbox::new();
    for layer in layers {
        sandbox.write("layer.tar", [layer.as_slice(), &END].concat());
        sandbox.ok("add layer -q -p image -f layer.tar");
    }
    sandbox.ok("generate config -p image --os linux --architecture amd64");
    sandbox.ok("generate manifest -p image --ref-name v1");
    sandbox
}

/// Lists a tar: type, path, mode, target or content.
fn listed(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let mut lines = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("text");
        let header = entry.header();
        let kind = char::from(header.entry_type().as_byte());
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mode = header.mode().expect("a mode");
        let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let target = target.unwrap_or_default();
        lines.push(format!("{kind} {path} {mode:o} {target}{content}").trim_end().to_owned());
    }
    lines
}

const SPEC: &str = "#mtree
./etc type=dir mode=0755 uid=0 gid=0 time=7
./etc/app type=file mode=0640 uid=5 gid=3000000 time=1000000000 contents=content
./etc/same type=link mode=0777 uid=0 gid=0 link=/../../etc/app
./bin type=dir mode=0700 uid=0 gid=0
./bin/su type=file mode=04755 uid=0 gid=0 contents=content
./dev type=dir mode=0755 uid=0 gid=0
./dev/null type=char mode=0666 uid=0 gid=0 device=native,1,3
./dev/disk type=block mode=0660 uid=0 gid=6 device=native,8,1
./dev/pipe type=fifo mode=0600 uid=0 gid=0
";

fn image_of_spec() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("content", "x");
    sandbox.write("spec.mtree", SPEC);
    sandbox.ok("build -q -o image:v1 --mtree spec.mtree --cap /bin/su=cap_net_raw+ep");
    sandbox
}

fn digest_of(sandbox: &Sandbox) -> String {
    sandbox.ok_json("manifest descriptor -p image:v1")["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn i4_one_layer_that_this_program_made_comes_out_as_it_is() {
    let sandbox = image_of_spec();
    let digest = digest_of(&sandbox);
    sandbox.run("export -p image:v1 --format rootfs -o root.tar").succeeds(
        format!("Exported files:\n   digest: {digest}\n   output: root.tar\n  entries: 9\n    bytes: 2\n"),
        "",
    );
    // All attributes are those of layout format 1: the diff_id of the layer is the digest of the tar.
    let config = sandbox.ok_json("config get -p image:v1 rootfs");
    assert_eq!(config["diff_ids"], json!([sha256(&sandbox.read("root.tar"))]));
    assert_eq!(fs::metadata(sandbox.path("root.tar")).expect("read").permissions().mode() & 0o777, 0o644);
}

#[test]
fn i4_layers_are_flattened_without_whiteouts_and_hard_links_follow_their_targets() {
    let sandbox = image_of(&[
        [file(b"z", b"one"), file(b"gone", b"x"), file(b"dir/below", b"x"), link(b"early", b'1', b"z")].concat(),
        // The new name keeps the file that the layer deletes; the link leads out of the root.
        [link(b"b", b'1', b"gone"), file(b".wh.gone", b""), file(b"dir/.wh..wh..opq", b""), file(b"dir/c", b"2")]
            .concat(),
        [link(b"out", b'2', b"../../up"), link(b"abs", b'2', b"/etc"), link(b"same", b'1', b"out")].concat(),
        [entry(b"dir-", b'5', b""), file(b"dir.", b""), file(b"early2/f", b"3")].concat(),
    ]);
    sandbox.ok("export -p image:v1 --format rootfs -o root.tar");
    assert_eq!(
        listed(&sandbox.read("root.tar")),
        [
            "2 abs 777 /etc",
            "0 b 644 x",
            "5 dir/ 755",
            "0 dir/c 644 2",
            "5 dir-/ 644",
            "0 dir. 644",
            "0 early 644 one",
            "5 early2/ 755",
            "0 early2/f 644 3",
            "2 out 777 ../../up",
            // A6: a hard link to a symbolic link.
            "1 same 644 out",
            "1 z 644 early",
        ]
    );
}

#[test]
fn a2_the_root_has_an_entry_if_it_has_attributes_of_its_own() {
    let with_mode = |mode: &[u8]| {
        let mut root = entry(b"./", b'5', b"");
        root[100..107].copy_from_slice(mode);
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&root[..512]);
        header.set_cksum();
        [header.as_bytes().as_slice(), &file(b"f", b"1")].concat()
    };
    for (mode, expected) in [(b"0000755", vec!["0 f 644 1"]), (b"0001777", vec!["5 ./ 1777", "0 f 644 1"])] {
        let sandbox = image_of(&[with_mode(mode)]);
        sandbox.ok("export -p image:v1 --format rootfs -o root.tar");
        assert_eq!(listed(&sandbox.read("root.tar")), expected);
    }
}

#[test]
fn e4_markers_of_other_formats_are_left_out() {
    let sandbox = image_of(&[[
        file(b".no.prefetch.landmark", b"\x0f"),
        file(b".prefetch.landmark", b"\x0f"),
        file(b"stargz.index.json", b"{}"),
        link(b"kept", b'1', b"stargz.index.json"),
        file(b"d/stargz.index.json", b"1"),
    ]
    .concat()]);
    sandbox.ok("export -p image:v1 --format rootfs -o root.tar");
    assert_eq!(listed(&sandbox.read("root.tar")), ["5 d/ 755", "0 d/stargz.index.json 644 1", "0 kept 644 {}"]);
}

#[test]
fn the_ending_of_the_name_tells_the_compression() {
    let sandbox = image_of_spec();
    sandbox.ok("export -p image:v1 --format rootfs -o root.tar");
    let plain = sandbox.read("root.tar");
    for (name, expand) in [
        ("root.tar.gz", gunzip as fn(&[u8]) -> Vec<u8>),
        ("root.tgz", gunzip),
        ("root.tar.zst", |bytes| zstd::decode_all(bytes).expect("zstd")),
        ("root", <[u8]>::to_vec),
        ("root.img", <[u8]>::to_vec),
    ] {
        sandbox.ok(&format!("export -p image:v1 --format rootfs -o {name}"));
        assert!(expand(&sandbox.read(name)) == plain, "{name}");
        let first = sandbox.read(name);
        sandbox.ok(&format!("export image:v1 --format rootfs -o {name}"));
        assert!(sandbox.read(name) == first, "{name}: equal input gives equal bytes");
    }
    sandbox.misuses(
        "export -p image:v1 --format rootfs -o root.tar.xz",
        "cannot tell the format of 'root.tar.xz' from its ending: archives are .tar, .tar.gz, .tgz, .tar.zst, .tzst",
    );
    // Without the flag, the ending is that of an OCI archive.
    sandbox.ok("export -p image:v1 -o image.tar");
    assert!(sandbox.read("image.tar").starts_with(b"oci-layout\0"));
    sandbox.ok("export -p image.tar --format rootfs -o again.tar");
    assert!(sandbox.read("again.tar") == plain);
}

#[test]
fn standard_output_gets_the_tar_alone() {
    let sandbox = image_of_spec();
    sandbox.ok("export -p image:v1 --format rootfs -o root.tar");
    let output = sandbox
        .command()
        .args(["export", "-p", "image:v1", "--format", "rootfs", "-o", "-"])
        .output()
        .expect("the program runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout == sandbox.read("root.tar"));
    sandbox.misuses(
        "export -p image:v1 --format rootfs -o - --json",
        "--json prints to standard output; write the archive to a file with --output",
    );
    // A reader that ends early is no error; a full device is.
    for (device, status, says) in [("/dev/full", 1, "No space left on device"), ("/dev/null", 0, "")] {
        let outcome = sandbox.run(&format!("export -q -p image:v1 --format rootfs -o {device}"));
        assert!(outcome.status == status && outcome.stderr.contains(says), "{outcome:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let big = (0..200).flat_map(|at| file(format!("d/{at}").as_bytes(), &[7; 20_000])).collect::<Vec<_>>();
    let sandbox = image_of(&[big]);
    let mut child = sandbox
        .command()
        .args(["export", "-p", "image:v1", "--format", "rootfs", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 512]).expect("read");
    drop(stdout);
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn contents_of_more_than_64_mib_go_through_a_temporary_file_that_a_kill_does_not_leave() {
    // Each file has its own content, and upper layers come first in the temporary file.
    let many = |seed: u8| {
        let content =
            |at: u32| at.to_le_bytes().iter().cycle().map(|byte| byte ^ seed).take(700_001).collect::<Vec<u8>>();
        (0..60).flat_map(|at| file(format!("d{seed}/{at:02}").as_bytes(), &content(at))).collect::<Vec<_>>()
    };
    let sandbox = image_of(&[many(1), many(2), file(b"d1/.wh.07", b"")]);
    let before = sandbox.tree().len();
    sandbox.ok("export -p image:v1 --format rootfs -o root.tar");
    assert_eq!(sandbox.tree().len(), before + 1);
    let tar = sandbox.read("root.tar");
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut count = 0;
    for entry in archive.entries().expect("a tar").filter(|entry| entry.as_ref().is_ok_and(|entry| entry.size() > 0)) {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("text");
        let (seed, at): (u8, u32) = (path[1..2].parse().expect("a number"), path[3..].parse().expect("a number"));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("read");
        let first = at.to_le_bytes().map(|byte| byte ^ seed);
        assert!(content.len() == 700_001 && content.chunks(4).all(|chunk| *chunk == first[..chunk.len()]), "{path}");
        count += 1;
    }
    assert_eq!(count, 119);
    // A full disk is an error before anything is written to the pipe, and leaves nothing.
    let program = sandbox.command();
    let output = Command::new("bash")
        .args(["-c", "ulimit -f 1000; exec \"$0\" export image:v1 --format rootfs -o -"])
        .arg(program.get_program())
        .env("TMPDIR", sandbox.path(""))
        .current_dir(sandbox.path(""))
        .output()
        .expect("bash runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{stderr}");
    assert!(stderr.contains("File too large (os error 27)"), "{stderr}");
    assert_eq!(sandbox.tree().len(), before + 1);
    // The reader of the pipe waits: the temporary file is being read.
    let mut child = sandbox
        .command()
        .args(["export", "-p", "image:v1", "--format", "rootfs", "-o", "-"])
        .env("TMPDIR", sandbox.path(""))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 512]).expect("read");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(sandbox.tree().len(), before + 1);
}

#[test]
fn json_and_a_dry_run_tell_the_entries_and_bytes() {
    let sandbox = image_of_spec();
    let digest = digest_of(&sandbox);
    let before = sandbox.tree();
    let value = json!({"digest": digest, "output": "root.tar", "dry_run": true, "entries": 9, "bytes": 2});
    assert_eq!(sandbox.ok_json("export -p image:v1 --format rootfs -o root.tar --dry-run"), value);
    sandbox
        .run("export -p image:v1 --format rootfs -o - --dry-run")
        .succeeds(format!("Would export files:\n   digest: {digest}\n   output: -\n  entries: 9\n    bytes: 2\n"), "");
    assert_eq!(sandbox.tree(), before);
    let mut done: Value = sandbox.ok_json("export -p image:v1 --format rootfs -o root.tar");
    done["dry_run"] = json!(true);
    assert_eq!(done, value);
    sandbox.run("export -q -p image:v1 --format rootfs -o root.tar").succeeds("root.tar\n", "");
    sandbox.run("export -p image:v1 --format rootfs -o root.tar --template {entries}").succeeds("9\n", "");
}

#[test]
fn one_image_is_exported() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -q -o image:multi --platform linux/amd64 --platform linux/arm64 --copy app");
    sandbox.ok("build -q -o image:one --platform linux/amd64 --copy app:/other");
    sandbox.refuses(
        "export -p image:multi --format rootfs -o root.tar",
        "image:multi has images for linux/amd64, linux/arm64; choose one with --platform",
    );
    sandbox.refuses(
        "export -p image --ref multi --format rootfs -o root.tar",
        "image:multi has images for linux/amd64, linux/arm64; choose one with --platform",
    );
    sandbox
        .misuses("export -p image --format rootfs -o root.tar", "which image? name it as DIR:TAG (tags: multi, one)");
    sandbox.ok("export -p image:multi --platform linux/arm64 --format rootfs -o multi.tar");
    sandbox.ok("export -p image --ref one --format rootfs -o one.tar");
    let names = |name: &str| {
        let lines = listed(&sandbox.read(name));
        lines.into_iter().map(|line| line.split(' ').nth(1).expect("a path").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names("multi.tar"), names("one.tar")), (vec!["app".to_owned()], vec!["other".to_owned()]));
    let before = sandbox.tree();
    sandbox.misuses(
        "export -p image:one --ref multi --format rootfs -o root.tar",
        "one image is read: name it in the path or with --ref, not both",
    );
    sandbox.misuses(
        "export -p image --ref one --ref multi --format rootfs -o root.tar",
        "--format rootfs takes one image: name one --ref and one --platform",
    );
    for flag in ["--wrap", "--unwrap", "--referrers", "--link", "--replace-tag", "--allow-missing"] {
        sandbox.misuses(
            &format!("export -p image:one --format rootfs -o root.tar {flag}"),
            &format!("{flag} has no meaning with --format rootfs"),
        );
    }
    sandbox
        .misuses("export -p image:one -o other --max-ratio 2", "--max-ratio has a meaning with --format rootfs only");
    assert_eq!(sandbox.run("export -p image:none --format rootfs -o root.tar").status, 3);
    assert_eq!(sandbox.run("export -p image:multi --platform linux/s390x --format rootfs -o root.tar").status, 3);
    sandbox.ok("attach -q -p image:one --artifact-type text/x --file app");
    let referrers = sandbox.ok_json("referrer list -p image:one");
    let artifact = referrers["manifests"][0]["digest"].as_str().expect("a digest");
    sandbox.refuses(
        &format!("export -p image@{artifact} --format rootfs -o root.tar"),
        &format!("image@{artifact} has no image, so it has no files"),
    );
    assert!(!sandbox.path("root.tar").exists() && before.len() <= sandbox.tree().len());
}

#[test]
fn files_that_no_tar_can_have_are_named_before_anything_is_written() {
    let lost = image_of(&[link(b"d/b", b'1', b"a")]);
    lost.refuses("export -p image:v1 --format rootfs -o root.tar", "'/d/b' is a hard link to '/a', which is not there");
    let outcome = lost.run("export -p image:v1 --format rootfs -o -");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
    assert!(!lost.path("root.tar").exists());
}

#[test]
fn damaged_layers_leave_the_old_output() {
    let sandbox = image_of(&[file(b"a", &b"0123456789".repeat(1000)), file(b"b", b"1")]);
    sandbox.write("root.tar", "before");
    let layers = sandbox.ok_json("manifest get -p image:v1")["layers"].clone();
    let lowest = blob_name(layers[0]["digest"].as_str().expect("a digest"));
    let good = sandbox.read(&lowest);
    let refused = |image: &str, says: &str| {
        let before = sandbox.tree();
        for words in ["-o root.tar", "-o - -q", "-o root.tar --dry-run"] {
            let outcome = sandbox.run(&format!("export -p image:{image} --format rootfs {words}"));
            assert!(outcome.status == 1 && outcome.stderr.contains(says), "{says}: {outcome:?}");
            assert_eq!(outcome.stdout, "", "{says}");
        }
        assert_eq!(sandbox.tree(), before);
    };
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::set_permissions(sandbox.path(&lowest), fs::Permissions::from_mode(0o644)).expect("changed");
    sandbox.write(&lowest, &flipped);
    refused("v1", "digest mismatch for sha256:");
    sandbox.write(&lowest, &good[..good.len() / 2]);
    refused("v1", "size mismatch");
    fs::remove_file(sandbox.path(&lowest)).expect("removed");
    refused("v1", "does not exist");
    sandbox.write(&lowest, &good);
    let outcome = sandbox.run("export -p image:v1 --format rootfs -o root.tar --max-layer-size 4096");
    assert!(outcome.status == 1 && outcome.stderr.contains("--max-layer-size"), "{outcome:?}");
    // A diff_id that the content does not have.
    let config = sandbox.ok_json("manifest get -p image:v1")["config"]["digest"].as_str().expect("a digest").to_owned();
    let text = String::from_utf8(sandbox.blob(&config)).expect("text");
    let diff_id = sandbox.blob_json(&config)["rootfs"]["diff_ids"][0].as_str().expect("a digest").to_owned();
    let changed = sandbox.store(text.replace(&diff_id, &sha256(b"other")));
    let manifest = String::from_utf8(sandbox.blob(&digest_of(&sandbox))).expect("text");
    sandbox.write("manifest.json", manifest.replace(&config, &changed));
    sandbox.ok("manifest put -p image --tag wrong --file manifest.json");
    refused("wrong", "does not have the diff_id");
    assert_eq!(sandbox.text("root.tar"), "before");
}

#[test]
fn tar_reads_the_tree_as_it_is() {
    let has_tar =
        Command::new("tar").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !has_tar {
        return;
    }
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let sandbox = image_of(&[[file(b"a", b"1"), link(b"b", b'1', b"a"), link(b"l", b'2', b"/../x")].concat()]);
    sandbox.write("app", "long");
    sandbox.ok(&format!("add layer -q -p image:v1 --copy app:/{long}"));
    sandbox.ok("export -p image:v1 --format rootfs -o root.tar.zst");
    fs::create_dir(sandbox.path("out")).expect("made");
    sandbox.ok("export -p image:v1 --format rootfs -o root.tar");
    let status = Command::new("tar")
        .args(["-xpf", "root.tar", "-C", "out", "--no-same-owner"])
        .current_dir(sandbox.path(""))
        .status()
        .expect("tar runs");
    assert!(status.success());
    assert_eq!(sandbox.text(&format!("out/{long}")), "long");
    assert_eq!((sandbox.text("out/a"), sandbox.text("out/b")), ("1".to_owned(), "1".to_owned()));
    assert_eq!(fs::read_link(sandbox.path("out/l")).expect("a link").to_str(), Some("/../x"));
}
