//! `layout unpack`

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::layer_tars::{entry, file, image_of_tars, link};
use crate::layers::image_of;
use crate::support::*;

/// Lists a tree: path, type and mode, target or content.
fn listed(sandbox: &Sandbox, name: &str) -> Vec<String> {
    fn walk(directory: &Path, prefix: &str, lines: &mut Vec<String>) {
        let mut entries: Vec<_> = fs::read_dir(directory).expect("read").map(|entry| entry.expect("read")).collect();
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let metadata = fs::symlink_metadata(entry.path()).expect("read");
            let mode = metadata.permissions().mode() & 0o7777;
            let kind = metadata.file_type();
            if kind.is_dir() {
                lines.push(format!("{path}/ {mode:o}"));
                walk(&entry.path(), &format!("{path}/"), lines);
            } else if kind.is_symlink() {
                lines.push(format!("{path} -> {}", fs::read_link(entry.path()).expect("a link").display()));
            } else if kind.is_file() {
                let content = fs::read_to_string(entry.path()).expect("text");
                lines.push(format!("{path} {mode:o} {content}"));
            } else if kind.is_fifo() {
                lines.push(format!("{path} {mode:o} pipe"));
            } else {
                let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
                lines.push(format!("{path} {mode:o} device {major},{minor}"));
            }
        }
    }
    let mut lines = Vec::new();
    walk(&sandbox.path(name), "", &mut lines);
    lines
}

/// The names in the sandbox that no other test step made.
fn leftovers(sandbox: &Sandbox) -> Vec<String> {
    let names = fs::read_dir(sandbox.path("")).expect("read").map(|entry| entry.expect("read").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with(".regshape-tmp")).collect()
}

const SPEC: &str = "#mtree
./etc type=dir mode=0755 uid=0 gid=0 time=7
./etc/app type=file mode=0640 uid=5 gid=6 time=1000000000 contents=content
./etc/same type=link mode=0777 uid=0 gid=0 link=app
./bin type=dir mode=0700 uid=0 gid=0
./bin/su type=file mode=04755 uid=0 gid=0 contents=content
./dev type=dir mode=0755 uid=0 gid=0
./dev/null type=char mode=0666 uid=0 gid=0 device=native,1,3
./dev/disk type=block mode=0660 uid=0 gid=6 device=native,8,1
./dev/pipe type=fifo mode=0600 uid=0 gid=0
./closed type=dir mode=0500 uid=0 gid=0
./closed/in type=dir mode=0000 uid=0 gid=0
./closed/in/f type=file mode=0000 uid=0 gid=0 contents=content
";

fn image_of_spec() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("content", "x");
    sandbox.write("spec.mtree", SPEC);
    sandbox.ok("build -q -o image:v1 --mtree spec.mtree --cap /bin/su=cap_net_raw+ep");
    sandbox
}

#[test]
fn j4_root_gets_all_attributes() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let sandbox = image_of_spec();
    let digest = sandbox.ok("tag list -p image --json");
    let digest = serde_json::from_str::<Value>(&digest).expect("JSON");
    assert!(digest.to_string().contains("v1"));
    let digest = sandbox.ok_json("manifest descriptor -p image:v1")["digest"].as_str().expect("a digest").to_owned();
    sandbox
        .run("unpack -p image:v1 -o out")
        .succeeds(format!("Unpacked image:\n   digest: {digest}\n   output: out\n  entries: 12\n    bytes: 3\n"), "");
    let expected = [
        "bin/ 700",
        "bin/su 4755 x",
        "closed/ 500",
        "closed/in/ 0",
        "closed/in/f 0 x",
        "dev/ 755",
        "dev/disk 660 device 8,1",
        "dev/null 666 device 1,3",
        "dev/pipe 600 pipe",
        "etc/ 755",
        "etc/app 640 x",
        "etc/same -> app",
    ];
    assert_eq!(listed(&sandbox, "out"), expected);
    let app = fs::metadata(sandbox.path("out/etc/app")).expect("read");
    assert_eq!((app.uid(), app.gid(), app.mtime()), (5, 6, 1_000_000_000));
    // J10: an entry without a time has that of the epoch.
    assert_eq!(fs::metadata(sandbox.path("out/etc")).expect("read").mtime(), 7);
    assert_eq!(fs::metadata(sandbox.path("out/bin")).expect("read").mtime(), 0);
    // J2: the root directory has the mode of the image.
    assert_eq!(fs::metadata(sandbox.path("out")).expect("read").permissions().mode() & 0o7777, 0o755);
    let mut capability = [0; 64];
    let length = rustix::fs::getxattr(sandbox.path("out/bin/su"), "security.capability", &mut capability[..]);
    assert_eq!(length.expect("capabilities"), 20);
    assert_eq!(leftovers(&sandbox), Vec::<String>::new());
}

/// Runs the program as another user than root, where these tests run as root.
fn run_as_user(sandbox: &Sandbox, words: &str) -> Outcome {
    let mut command = sandbox.command();
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o777)).expect("changed");
        command.uid(12345).gid(12345);
    }
    command.args(words.split_whitespace()).output().expect("the program runs").into()
}

#[test]
fn j5_a_plain_user_gets_files_and_one_note_for_each_kind_of_loss() {
    let sandbox = image_of_spec();
    let outcome = run_as_user(&sandbox, "unpack -p image:v1 -o out --state state.json");
    let notes = "10 files without the owner in the image: only root can set owners\n1 file without setuid and setgid bits; --keep-setuid keeps them\n2 devices not made: only root can make \
                 devices\n1 extended attribute not set: only root can set capabilities and their like\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, notes), "{outcome:?}");
    let lines = listed(&sandbox, "out");
    for line in ["bin/su 755 x", "dev/pipe 600 pipe", "etc/app 640 x"] {
        assert!(lines.iter().any(|found| found == line), "{lines:?}");
    }
    assert!(!lines.iter().any(|line| line.contains("device")), "{lines:?}");
    let state: Value = sandbox.json("state.json");
    assert_eq!((&state["schema_version"], &state["has_setuid"]), (&json!(1), &json!(false)));
    assert_eq!(state["devices"], json!(["/dev/disk", "/dev/null"]));
    let outcome = run_as_user(&sandbox, "unpack -p image:v1 -o other --keep-setuid --json");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{outcome:?}");
    assert_eq!(outcome.json()["skipped"]["setuid"], 0);
    assert!(listed(&sandbox, "other").contains(&"bin/su 4755 x".to_owned()));
    // Directories that their owner cannot write are no obstacle to deleting a tree that fails.
    let outcome = run_as_user(&sandbox, "unpack -p image:v1 -o third --state no/where");
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(!sandbox.path("third").exists());
    assert_eq!(leftovers(&sandbox), Vec::<String>::new());
}

#[test]
fn a_state_file_in_the_tree_or_in_no_directory_is_refused() {
    let sandbox = image_of_spec();
    fs::create_dir(sandbox.path("empty")).expect("made");
    std::os::unix::fs::symlink("empty", sandbox.path("link")).expect("made");
    for (state, output) in [
        ("out/s.json", "out"),
        ("./out/deeper/s.json", "out/"),
        ("empty/s.json", "empty"),
        ("link/s.json", "empty"),
        ("empty/s.json", "link"),
        ("link/out/s.json", "empty/out"),
        ("out", "out"),
    ] {
        let says = format!("the state file {state} would be in the tree; name a file outside of the output directory");
        sandbox.refuses(&format!("unpack -p image:v1 -o {output} --state {state}"), &says);
    }
    let says = "the directory of no/where does not exist; create it first";
    sandbox.refuses("unpack -p image:v1 -o out --state no/where", says);
    sandbox.ok("unpack -q -p image:v1 -o empty --state out.json");
}

#[test]
fn j5_a_plain_user_gets_no_setuid_and_setgid_bits_of_files_and_directories() {
    let sandbox = image_of(&[&["2775 0:8 d/", "6755 0:8 d/f=1", "3777 tmp/"]]);
    let outcome = run_as_user(&sandbox, "unpack -p image:v1 -o out --state state.json");
    let note = "3 files without setuid and setgid bits; --keep-setuid keeps them\n";
    assert!(outcome.status == 0 && outcome.stderr.ends_with(note), "{outcome:?}");
    assert_eq!(listed(&sandbox, "out"), ["d/ 775", "d/f 755 1", "tmp/ 1777"]);
    assert_eq!(sandbox.json("state.json")["has_setuid"], false);
    // C9: the bits that the tree does not have are no changes.
    let words = "add layer -p image:v1 --diff-from image:v1 --to out --state state.json";
    sandbox.run(words).is(1, "", "Error: out has no changes for a layer; --allow-empty makes a layer without files\n");
    let outcome = run_as_user(&sandbox, "unpack -q -p image:v1 -o kept --state kept.json --keep-setuid");
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert_eq!(listed(&sandbox, "kept"), ["d/ 2775", "d/f 6755 1", "tmp/ 3777"]);
    assert_eq!(sandbox.json("kept.json")["has_setuid"], true);
}

#[test]
fn links_without_a_target_and_whiteouts_of_overlayfs_are_named() {
    let sandbox = image_of(&[&["a=1", "d/l>"]]);
    sandbox.refuses("unpack -p image:v1 -o out", "the link '/d/l' has no target");
    sandbox.refuses("extract -p image:v1 /d -o out", "the link '/d/l' has no target");
    for (entries, note) in [
        (&["c0,0 a"][..], "1 device 0/0 not made: overlayfs takes it for a deleted file\n"),
        (&["c0,0 a", "c0,0 b"], "2 devices 0/0 not made: overlayfs takes them for deleted files\n"),
    ] {
        let sandbox = image_of(&[entries]);
        let outcome = sandbox.run("unpack -p image:v1 -o out");
        assert!(outcome.status == 0 && outcome.stderr.ends_with(note), "{outcome:?}");
    }
}

#[test]
fn j5_root_can_map_users_and_groups() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let sandbox = image_of_spec();
    sandbox.ok("unpack -p image:v1 -o out --uid-map 0:1000:10 --gid-map 0:2000:3 --gid-map 6:7:1");
    let app = fs::metadata(sandbox.path("out/etc/app")).expect("read");
    assert_eq!((app.uid(), app.gid()), (1005, 7));
    sandbox.refuses(
        "unpack -p image:v1 -o other --uid-map 0:1000:1",
        "the user 5 of '/etc/app' is not in the map; add a range with --uid-map",
    );
    sandbox
        .misuses("unpack -p image:v1 -o other --uid-map 0:1", "'0:1' is not INSIDE:OUTSIDE:COUNT, e.g. 0:100000:65536");
}

#[test]
fn j8_hard_links_are_one_file_across_layers() {
    let sandbox = image_of_tars(&[
        [file(b"a", b"one"), file(b"b", b"two"), link(b"before", 1 + b'0', b"b")].concat(),
        // The file that it links to is deleted by the layer, and the link keeps it.
        [link(b"c", b'1', b"a"), file(b".wh.a", b"")].concat(),
        [link(b"d/e", b'1', b"c"), link(b"s", b'2', b"d/e"), link(b"t", b'1', b"s")].concat(),
    ]);
    sandbox.ok("unpack -p image:v1 -o out");
    assert_eq!(
        listed(&sandbox, "out"),
        ["b 644 two", "before 644 two", "c 644 one", "d/ 755", "d/e 644 one", "s -> d/e", "t -> d/e"]
    );
    let inode = |name: &str| fs::symlink_metadata(sandbox.path(name)).expect("read").ino();
    assert_eq!(inode("out/c"), inode("out/d/e"));
    // A6: a hard link to a symbolic link.
    assert_eq!(inode("out/s"), inode("out/t"));
    let lost = image_of_tars(&[link(b"d/b", b'1', b"a")]);
    lost.refuses("unpack -p image:v1 -o out", "'/d/b' is a hard link to '/a', which is not there");
}

#[test]
fn files_that_do_not_stay_where_they_were_written_are_where_the_image_has_them() {
    let lower = [
        file(b"d/lower", b"1"),
        file(b"d/both", b"lower"),
        file(b"d/hidden", b"x"),
        file(b"gone/x", b"x"),
        file(b"file/x", b"x"),
        file(b"d/e/deep", b"2"),
    ]
    .concat();
    let upper = [
        // A path twice: the last one counts.
        file(b"d/twice", b"first"),
        file(b"d/twice", b"last"),
        file(b"d/both", b"upper"),
        // Several names: in one directory, in another, and in the root.
        file(b"d/name", b"n"),
        link(b"d/other", b'1', b"d/name"),
        link(b"e/other", b'1', b"d/name"),
        link(b"root", b'1', b"d/name"),
        // A directory that becomes a file, and one that becomes a link, after their files.
        file(b"was/f", b"x"),
        file(b"was", b"file"),
        file(b"led/f", b"x"),
        link(b"led", b'2', b"d"),
        file(b"file", b"no directory"),
        file(b"d/.wh.hidden", b""),
        file(b".wh.gone", b""),
        file(b"top", b"t"),
    ]
    .concat();
    let sandbox = image_of_tars(&[lower, upper]);
    sandbox.ok("unpack -p image:v1 -o out");
    let expected = [
        "d/ 755",
        "d/both 644 upper",
        "d/e/ 755",
        "d/e/deep 644 2",
        "d/lower 644 1",
        "d/name 644 n",
        "d/other 644 n",
        "d/twice 644 last",
        "e/ 755",
        "e/other 644 n",
        "file 644 no directory",
        "led -> d",
        "root 644 n",
        "top 644 t",
        "was 644 file",
    ];
    assert_eq!(listed(&sandbox, "out"), expected);
    let inode = |name: &str| fs::metadata(sandbox.path(name)).expect("read").ino();
    assert_eq!(["out/d/other", "out/e/other", "out/root"].map(inode), [inode("out/d/name"); 3]);
}

#[test]
fn e5_layers_are_applied_as_overlayfs_shows_them() {
    let base = [entry(b"usr/lib/", b'5', b""), file(b"usr/lib/a", b"1"), link(b"lib", b'2', b"usr/lib")].concat();
    let upper = file(b"lib/b", b"2");
    let sandbox = image_of_tars(&[base, upper]);
    sandbox.ok("unpack -p image:v1 -o out");
    assert_eq!(listed(&sandbox, "out"), ["lib/ 755", "lib/b 644 2", "usr/ 755", "usr/lib/ 644", "usr/lib/a 644 1"]);
    sandbox.ok("unpack -p image:v1 -o through --through-links");
    assert_eq!(
        listed(&sandbox, "through"),
        ["lib -> usr/lib", "usr/ 755", "usr/lib/ 644", "usr/lib/a 644 1", "usr/lib/b 644 2"]
    );
}

#[test]
fn j12_files_that_upper_layers_hide_are_not_written() {
    let many = |content: &[u8]| (0..20).flat_map(|at| file(format!("d/{at}").as_bytes(), content)).collect::<Vec<_>>();
    let sandbox = image_of_tars(&[many(b"below"), many(b"above"), file(b"d/.wh.3", b"")]);
    let unpacked = sandbox.ok_json("unpack -p image:v1 -o out");
    assert_eq!((&unpacked["entries"], &unpacked["bytes"]), (&json!(20), &json!(19 * 5)));
    assert!(listed(&sandbox, "out").iter().all(|line| line.starts_with("d/ ") || line.ends_with(" above")));
}

#[test]
fn j2_an_entry_for_the_root_that_is_no_directory_is_refused() {
    let sandbox = image_of_tars(&[link(b".", b'2', b"/etc"), file(b"passwd", b"x")]);
    let outcome = sandbox.run("unpack -p image:v1 -o out");
    assert!(outcome.status == 1 && outcome.stderr.contains("is for the root, and not a directory"), "{outcome:?}");
    assert!(!sandbox.path("out").exists());
    let sandbox = image_of_tars(&[file(b"a/../../b", b"x")]);
    let outcome = sandbox.run("unpack -p image:v1 -o out");
    assert!(outcome.status == 1 && outcome.stderr.contains("leads out of its directory"), "{outcome:?}");
}

#[test]
fn j1_links_out_of_the_root_are_only_data() {
    let sandbox = image_of_tars(&[
        [link(b"etc", b'2', b"/tmp"), link(b"up", b'2', b"../../..")].concat(),
        [file(b"etc/x", b"1"), file(b"up/y", b"2")].concat(),
    ]);
    sandbox.ok("unpack -p image:v1 -o out");
    assert_eq!(listed(&sandbox, "out"), ["etc/ 755", "etc/x 644 1", "up/ 755", "up/y 644 2"]);
    // Through the links they stay inside the root all the same.
    sandbox.ok("unpack -p image:v1 -o through --through-links");
    assert!(!sandbox.path("y").exists() && !Path::new("/tmp/x").exists());
}

#[test]
fn bad_destinations_change_nothing() {
    let sandbox = Sandbox::built();
    let index = sandbox.read("image/index.json");
    let outcome = sandbox.run("unpack -p image:latest -o out --state image/index.json");
    assert!(outcome.status == 1 && outcome.stderr.contains("is inside the layout"), "{outcome:?}");
    assert!(sandbox.read("image/index.json") == index && !sandbox.path("out").exists());
    fs::create_dir(sandbox.path("full")).expect("made");
    sandbox.write("full/f", "");
    for (output, message) in [
        ("full", "full is not empty"),
        ("base.tar", "base.tar is not a directory"),
        ("image", "image is inside the layout "),
        ("image/new", "image/new is inside the layout "),
    ] {
        let before = sandbox.tree();
        let outcome = sandbox.run(&format!("unpack -p image:latest -o {output}"));
        assert!(outcome.status == 1 && outcome.stderr.starts_with(&format!("Error: {message}")), "{outcome:?}");
        assert_eq!(sandbox.tree(), before, "{output}");
    }
    let outcome = sandbox.run("unpack -p image:latest -o no/such/place");
    assert_eq!((outcome.status, sandbox.path("no").exists()), (1, false), "{outcome:?}");
}

#[test]
fn an_empty_directory_is_replaced_and_the_working_directory_is_filled() {
    let sandbox = Sandbox::built();
    for name in ["empty", "here"] {
        fs::create_dir(sandbox.path(name)).expect("made");
    }
    sandbox.ok("unpack -p image:latest -o empty");
    let inode = || fs::metadata(sandbox.path("here")).expect("read").ino();
    let before = inode();
    let mut command = sandbox.command();
    command.current_dir(sandbox.path("here")).args(["unpack", "-q", "-p", "../image:latest", "-o", "."]);
    assert!(command.output().expect("runs").status.success());
    assert_eq!(inode(), before);
    assert_eq!(listed(&sandbox, "here"), listed(&sandbox, "empty"));
    assert!(!listed(&sandbox, "here").is_empty());
}

#[test]
fn damaged_layers_leave_nothing_behind() {
    let sandbox = image_of_tars(&[file(b"a", &b"0123456789".repeat(1000)), file(b"b", b"1")]);
    let layers = sandbox.ok_json("manifest get -p image:v1")["layers"].clone();
    let lowest = blob_name(layers[0]["digest"].as_str().expect("a digest"));
    let good = sandbox.read(&lowest);
    let refused = |says: &str| {
        let before = sandbox.tree();
        let outcome = sandbox.run("unpack -p image:v1 -o out");
        assert!(outcome.status == 1 && outcome.stderr.contains(says), "{says}: {outcome:?}");
        assert_eq!(sandbox.tree(), before);
    };
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::set_permissions(sandbox.path(&lowest), fs::Permissions::from_mode(0o644)).expect("changed");
    sandbox.write(&lowest, &flipped);
    refused("digest mismatch for sha256:");
    sandbox.write(&lowest, &good[..good.len() / 2]);
    refused("size mismatch");
    fs::remove_file(sandbox.path(&lowest)).expect("removed");
    refused("does not exist");
    sandbox.write(&lowest, &good);
    let outcome = sandbox.run("unpack -p image:v1 -o out --max-layer-size 4096");
    assert!(outcome.status == 1 && outcome.stderr.contains("--max-layer-size"), "{outcome:?}");
    // A diff_id that the content does not have.
    let config = sandbox.ok_json("manifest get -p image:v1")["config"]["digest"].as_str().expect("a digest").to_owned();
    let text = String::from_utf8(sandbox.blob(&config)).expect("text");
    let diff_id = sandbox.blob_json(&config)["rootfs"]["diff_ids"][0].as_str().expect("a digest").to_owned();
    let changed = sandbox.store(text.replace(&diff_id, &sha256(b"other")));
    let manifest = String::from_utf8(
        sandbox.blob(sandbox.ok_json("manifest descriptor -p image:v1")["digest"].as_str().expect("a digest")),
    )
    .expect("text");
    sandbox.write("manifest.json", manifest.replace(&config, &changed));
    sandbox.ok("manifest put -p image --tag wrong --file manifest.json");
    let outcome = sandbox.run("unpack -p image:wrong -o out");
    assert!(outcome.status == 1 && outcome.stderr.contains("does not have the diff_id"), "{outcome:?}");
    assert!(!sandbox.path("out").exists());
}

#[test]
fn what_is_no_single_image_is_refused() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -q -o image:multi --platform linux/amd64 --platform linux/arm64 --copy app");
    sandbox.refuses(
        "unpack -p image:multi -o out",
        "image:multi has images for linux/amd64, linux/arm64; choose one with --platform",
    );
    sandbox.ok("unpack -p image:multi -o out --platform linux/arm64");
    assert_eq!(
        listed(&sandbox, "out"),
        [format!("app {:o} app", fs::metadata(sandbox.path("app")).expect("read").permissions().mode() & 0o777)]
    );
    sandbox.ok("attach -q -p image:multi --artifact-type text/x --file app");
    let referrers = sandbox.ok_json("referrer list -p image:multi");
    let artifact =
        referrers["referrers"].as_array().or(referrers["manifests"].as_array()).expect("a list")[0]["digest"]
            .as_str()
            .expect("a digest")
            .to_owned();
    sandbox.refuses(
        &format!("unpack -p image@{artifact} -o other"),
        &format!("image@{artifact} has no image, so it has no files"),
    );
    assert_eq!(sandbox.run("unpack -p image:none -o other").status, 3);
    assert_eq!(sandbox.run("unpack -p image:multi -o other --platform linux/s390x").status, 3);
}

#[test]
fn a_killed_tree_is_removed_by_the_next_command() {
    let many = (0..4000).flat_map(|at| file(format!("d/{at}").as_bytes(), &[7; 2000])).collect::<Vec<_>>();
    let sandbox = image_of_tars(&[many]);
    let before: BTreeMap<String, Option<String>> = sandbox.contents();
    let mut child = sandbox.command().args(["unpack", "-q", "-p", "image:v1", "-o", "out"]).spawn().expect("started");
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_begun = || leftovers(&sandbox).first().is_some_and(|name| sandbox.path(name).join("root").exists());
    while !is_begun() {
        assert!(Instant::now() < deadline, "no tree is made");
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!((leftovers(&sandbox).len(), sandbox.path("out").exists()), (1, false));
    sandbox.ok("unpack -q -p image:v1 -o out");
    assert_eq!(leftovers(&sandbox), Vec::<String>::new());
    fs::remove_dir_all(sandbox.path("out")).expect("removed");
    assert_eq!(sandbox.contents(), before);
}

/// Unpacks and extracts while another thread swaps directories for links to `victim`: 10,000 times, or as often as the machine can
/// in two seconds, or in a minute where the tests with other programs run. Nothing may change there.
fn attack(swap: impl Fn(&Path, &Path) -> u64 + Sync) {
    const SWAPS: u64 = 10_000;
    let seconds = if std::env::var_os("REGSHAPE_TOOLS").is_some() { 60 } else { 2 };
    let tar: Vec<u8> = (0..40)
        .flat_map(|at| {
            let directory = format!("d{}/e{at}/", at % 4);
            [entry(directory.as_bytes(), b'5', b""), file(format!("{directory}f").as_bytes(), b"inside")].concat()
        })
        .collect();
    let sandbox = image_of_tars(&[tar]);
    let victim = sandbox.path("victim");
    fs::create_dir(&victim).expect("made");
    for name in ["e0", "e1", "e2", "e3", "root", "content"] {
        fs::create_dir(victim.join(name)).expect("made");
        fs::set_permissions(victim.join(name), fs::Permissions::from_mode(0o555)).expect("changed");
    }
    let before = listed(&sandbox, "victim");
    let (is_over, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let scratch = leftovers(&sandbox).first().map(|name| sandbox.path(name));
                swaps.fetch_add(scratch.map_or(0, |scratch| swap(&scratch, &victim)), Ordering::Relaxed);
            }
        });
        let started = Instant::now();
        let mut run = 0;
        while swaps.load(Ordering::Relaxed) < SWAPS && started.elapsed().as_secs() < seconds {
            for words in ["unpack -q -p image:v1", "extract -q -p image:v1 /"] {
                let outcome = sandbox.run(&format!("{words} -o out{run}"));
                assert!(matches!(outcome.status, 0 | 1), "{outcome:?}");
                run += 1;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(swaps.load(Ordering::Relaxed) > 10, "{swaps:?}");
    assert_eq!(listed(&sandbox, "victim"), before);
}

/// Swaps a directory for a link, and back. Returns whether the directory was there.
fn swap_for_link(directory: &Path, target: &Path) -> bool {
    let away = directory.with_file_name("away");
    if fs::rename(directory, &away).is_err() {
        return false;
    }
    let _ = std::os::unix::fs::symlink(target, directory);
    std::thread::yield_now();
    let _ = fs::remove_file(directory);
    let _ = fs::rename(&away, directory);
    true
}

#[test]
fn j1_directories_that_are_swapped_for_links_lead_nothing_out() {
    attack(|scratch, victim| {
        (0..4).filter(|at| swap_for_link(&scratch.join(format!("root/d{at}")), victim)).count() as u64
    });
}

#[test]
fn j1_a_temporary_directory_that_is_swapped_for_a_link_leads_nothing_out() {
    attack(|scratch, victim| u64::from(swap_for_link(scratch, victim)));
}
