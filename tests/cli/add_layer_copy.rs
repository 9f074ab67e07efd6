//! `layout add layer --copy`: layers of files and directories. The names of tests begin with the rule that they hold.

#![cfg(unix)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::*;

impl Sandbox {
    /// Makes files with modes; a name with a slash at its end is a directory.
    fn files(&self, files: &[(&str, u32)]) {
        for (name, mode) in files {
            let path = self.path(name);
            if name.ends_with('/') {
                fs::create_dir_all(&path).expect("made");
            } else {
                fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                fs::write(&path, format!("{name}\n")).expect("written");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("set");
        }
    }

    /// Adds a layer without compression and returns its entries.
    #[track_caller]
    fn copies(&self, words: &str) -> Vec<String> {
        let layer = self.ok_json(&format!("add layer -p image --compress-format none {words}"));
        entries(&self.blob(layer["digest"].as_str().expect("a digest")))
    }
}

/// Returns a line for each entry of a tar: type, mode, owner, time, path, target of a link.
fn entries(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let mut lines = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let header = entry.header();
        let kind = match header.entry_type().as_byte() {
            b'0' => "file",
            b'1' => "hard",
            b'2' => "link",
            b'3' => "char",
            b'5' => "dir",
            b'6' => "pipe",
            other => panic!("type {other}"),
        };
        let mut line = format!(
            "{kind} {:o} {}:{} @{} {}",
            header.mode().expect("a mode"),
            header.uid().expect("a user"),
            header.gid().expect("a group"),
            header.mtime().expect("a time"),
            String::from_utf8_lossy(&entry.path_bytes()),
        );
        if let Some(target) = entry.link_name_bytes() {
            line += &format!(" -> {}", String::from_utf8_lossy(&target));
        }
        for record in entry.pax_extensions().expect("records").into_iter().flatten().flatten() {
            let key = record.key().expect("UTF-8");
            if key.starts_with("SCHILY") {
                line += &format!(" {key}={}", hex::encode(record.value_bytes()));
            }
        }
        lines.push(line);
    }
    lines
}

fn paths(entries: &[String]) -> Vec<&str> {
    entries.iter().map(|line| line.splitn(5, ' ').nth(4).expect("a path")).collect()
}

#[test]
fn a1_a2_a4_names_are_relative_sorted_by_bytes_and_without_a_root() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("tree/b", 0o644), ("tree/a/x", 0o755), ("tree/a.d/y", 0o600), ("tree/Z", 0o644)]);
    sandbox.files(&[("tree/a/", 0o755), ("tree/a.d/", 0o700)]);
    assert_eq!(
        sandbox.copies("--copy tree"),
        [
            "file 644 0:0 @0 Z",
            "dir 755 0:0 @0 a/",
            "file 755 0:0 @0 a/x",
            "dir 700 0:0 @0 a.d/",
            "file 600 0:0 @0 a.d/y",
            "file 644 0:0 @0 b",
        ]
    );
    fs::set_permissions(sandbox.path("tree"), fs::Permissions::from_mode(0o750)).expect("set");
    assert_eq!(sandbox.copies("--copy tree --root-entry")[0], "dir 750 0:0 @0 ./");
    sandbox.is_valid();
}

#[test]
fn a_layer_of_files_is_compressed_and_its_digest_is_a_promise() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("app", 0o755)]);
    let digest = "sha256:6f1c8d5377a78f671fa1b2e6fb8936ce5ff594cb3b95d11ccea978f9ede3ac1f";
    let layer = sandbox.ok_json("add layer -p image --copy app:/usr/bin/app");
    assert_eq!(layer["media_type"], GZIP_TYPE);
    assert_eq!(layer["digest"], digest);
    let stored = sandbox.stage()["layers"][0].clone();
    assert_eq!(stored["created_by"], "regshape add layer --copy /usr/bin/app");
    assert_eq!(stored["diff_id"], sha256(&gunzip(&sandbox.blob(digest))));
    let zstd = sandbox.ok_json("add layer -p image --copy app:/usr/bin/app --compress-format zstd --created-by make");
    assert_eq!((zstd["media_type"].as_str(), zstd["diff_id"].clone()), (Some(ZSTD_TYPE), stored["diff_id"].clone()));
    assert_eq!(sandbox.stage()["layers"][1]["created_by"], "make");
    sandbox.is_valid();
}

#[test]
fn b1_b2_b3_destinations_of_files_and_directories() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("app", 0o755), ("site/index.html", 0o644), ("site/", 0o711)]);
    for (words, expected) in [
        ("--copy app", &["app"][..]),
        ("--copy app:/usr/bin/tool", &["usr/", "usr/bin/", "usr/bin/tool"]),
        ("--copy app:/usr/bin/", &["usr/", "usr/bin/", "usr/bin/app"]),
        ("--copy site", &["index.html"]),
        ("--copy site:/srv", &["srv/", "srv/index.html"]),
        ("--copy app:/srv/app --copy site:/srv", &["srv/", "srv/app", "srv/index.html"]),
        ("--copy src=app,dst=/x", &["x"]),
    ] {
        assert_eq!(paths(&sandbox.copies(words)), expected, "{words}");
    }
    let made = sandbox.copies("--copy site:/opt/www");
    assert_eq!(made[..2], ["dir 755 0:0 @0 opt/", "dir 711 0:0 @0 opt/www/"]);
    symlink("site", sandbox.path("current")).expect("made");
    assert_eq!(paths(&sandbox.copies("--copy current:/w")), ["w/", "w/index.html"]);
}

#[test]
fn b5_b6_owners_modes_and_times() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("tree/bin/su", 0o4755), ("tree/etc/conf", 0o664), ("tree/bin/", 0o775), ("tree/etc/", 0o755)]);
    symlink("conf", sandbox.path("tree/etc/alias")).expect("made");
    let touch = Command::new("touch").args(["-h", "-d", "@1000000000.9"]).arg(sandbox.path("tree/etc/conf")).status();
    assert!(touch.expect("touch runs").success());
    let tree = |words: &str| sandbox.copies(&format!("--copy tree {words}"));
    assert_eq!(
        tree("--owner 33 --chmod go=u-w --mtime @5"),
        [
            "dir 755 33:33 @5 bin/",
            "file 4755 33:33 @5 bin/su",
            "dir 755 33:33 @5 etc/",
            "link 777 33:33 @5 etc/alias -> conf",
            "file 644 33:33 @5 etc/conf",
        ]
    );
    assert_eq!(tree("--owner 1:2 --owner-of etc/**=7:8")[3], "link 777 7:8 @0 etc/alias -> conf");
    assert_eq!(tree("--preserve-times")[4], "file 664 0:0 @1000000000 etc/conf");
    assert_eq!(tree("--clamp-mtime @7")[4], "file 664 0:0 @7 etc/conf");
    assert_eq!(tree("--clamp-mtime 2033-05-18T03:33:20Z")[4], "file 664 0:0 @1000000000 etc/conf");
    assert_eq!(
        sandbox.copies("--copy src=tree,owner=9,mtime=@3,\"chmod=u=rwX,go=\" --owner 5")[4],
        "file 600 9:9 @3 etc/conf"
    );
    let dated = sandbox
        .command()
        .args(["add", "layer", "-p", "image", "--copy", "tree:/x/y", "--compress-format", "none", "-q"])
        .env("SOURCE_DATE_EPOCH", "11")
        .output()
        .expect("it runs");
    let dated = Outcome::from(dated).stdout;
    assert_eq!(entries(&sandbox.blob(dated.trim()))[0], "dir 755 0:0 @11 x/");
}

#[test]
fn a5_a6_hard_links_are_kept_within_one_source() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("tree/b", 0o644), ("other/x", 0o644)]);
    for name in ["tree/a", "tree/c/d", "tree/z", "other/y"] {
        fs::create_dir_all(sandbox.path(name).parent().expect("a parent")).expect("made");
        fs::hard_link(sandbox.path("tree/b"), sandbox.path(name)).expect("linked");
    }
    symlink("nowhere", sandbox.path("tree/s1")).expect("made");
    fs::hard_link(sandbox.path("tree/s1"), sandbox.path("tree/s2")).expect("linked");
    let kinds = |entries: Vec<String>| -> Vec<String> {
        let kind = |line: &String| (line.split(' ').next().expect("a type").to_owned(), line.clone());
        entries.iter().map(kind).map(|(kind, line)| format!("{kind} {}", paths(&[line])[0])).collect()
    };
    assert_eq!(
        kinds(sandbox.copies("--copy tree")),
        ["file a", "hard b -> a", "dir c/", "hard c/d -> a", "link s1 -> nowhere", "hard s2 -> s1", "hard z -> a"]
    );
    // An excluded name is no target, and other attributes make another file.
    let some = kinds(sandbox.copies("--copy tree --exclude a --exclude s* --owner-of z=5:5"));
    assert_eq!(some, ["file b", "dir c/", "hard c/d -> b", "file z"]);
    let both = kinds(sandbox.copies("--copy tree:/1 --copy other:/2"));
    assert_eq!(both[8..], ["dir 2/", "file 2/x", "file 2/y"]);
}

#[test]
fn b7_excludes_and_includes_in_the_order_of_the_command_line() {
    let sandbox = Sandbox::new();
    for name in ["tree/a.c", "tree/a.o", "tree/target/x", "tree/target/keep/y", "tree/doc/z.o"] {
        sandbox.files(&[(name, 0o644)]);
    }
    sandbox.write("rules", "# objects\n**/*.o\n\ntarget\n");
    for (words, expected) in [
        ("--exclude *.o --exclude target", &["a.c", "doc/", "doc/z.o"][..]),
        ("--exclude-from rules", &["a.c", "doc/"]),
        ("--exclude-from rules --include doc/z.o", &["a.c", "doc/", "doc/z.o"]),
        ("--include doc/z.o --exclude-from rules", &[]),
        (
            "--exclude target --include target/keep",
            &["a.c", "a.o", "doc/", "doc/z.o", "target/", "target/keep/", "target/keep/y"],
        ),
        ("--include target/keep", &["target/", "target/keep/", "target/keep/y"]),
        ("--include **/*.o", &["a.o", "doc/", "doc/z.o"]),
    ] {
        let words = format!("--copy tree {words}");
        if expected.is_empty() {
            sandbox.refuses(
                &format!("add layer -p image {words}"),
                "tree has no files for a layer; use --allow-empty if that is intended",
            );
        } else {
            assert_eq!(paths(&sandbox.copies(&words)), expected, "{words}");
        }
    }
    sandbox.refuses(
        "add layer -p image --copy tree --include doc/*.c --include a.c",
        "--include doc/*.c matches nothing in tree; globs match paths below the source; ** matches any directories",
    );
}

#[test]
fn b7_an_include_matches_in_one_source_at_least() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("one/a.c", 0o644), ("one/a.o", 0o644), ("two/b.o", 0o644), ("two/b.md", 0o644)]);
    assert_eq!(paths(&sandbox.copies("--copy one --copy two --include *.c --include *.md")), ["a.c", "b.md"]);
    // A source in which nothing is included makes no files.
    assert_eq!(paths(&sandbox.copies("--copy one --copy two --include *.c")), ["a.c"]);
    sandbox.refuses(
        "add layer -p image --copy one --copy two --include *.o --include *.txt",
        "--include *.txt matches nothing in one or two; globs match paths below the source; ** matches any directories",
    );
    // The include of one source must match in that source.
    sandbox.refuses(
        "add layer -p image --copy one --copy src=two,include=*.c",
        "--include *.c matches nothing in two; globs match paths below the source; ** matches any directories",
    );
    sandbox.refuses(
        "add layer -p image --copy one --include *.c --exclude *",
        "one has no files for a layer; use --allow-empty if that is intended",
    );
}

#[test]
fn b8_an_mtree_file_is_refused_with_the_line() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("file", 0o644)]);
    let line = |text: &str| format!("#mtree\n./usr type=dir\n{text}\n");
    let (long, deep) = ("x".repeat(256), "./".to_owned() + &"y/".repeat(2048));
    for (text, message) in [
        (
            "./a contents=file\n\n./a contents=file".to_owned(),
            "'/a' is in lines 3 and 5 of m; use --overwrite to let the last one win".to_owned(),
        ),
        (
            "usr type=dir\n a contents=file\n..\n./usr/a type=link link=x".to_owned(),
            "'/usr/a' is in lines 4 and 6 of m; use --overwrite to let the last one win".to_owned(),
        ),
        (
            format!("./{long} contents=file"),
            format!("line 3 of m: path './{}…' has a component of more than 255 bytes", &long[..78]),
        ),
        (format!("{deep} contents=file"), format!("line 3 of m: path '{}…' has more than 4095 bytes", &deep[..80])),
        ("./.wh.a contents=file".to_owned(), "line 3 of m: path './.wh.a' has the name of a whiteout".to_owned()),
    ] {
        sandbox.write("m", line(&text));
        sandbox.refuses("add layer -p image --mtree m", &message);
    }
    sandbox.write("m", line("./a contents=file mode=0600\n./a contents=file mode=0640"));
    assert_eq!(sandbox.copies("--mtree m --overwrite")[0], "file 640 0:0 @0 a");
    // The longest path is one of 4,095 bytes with its slash at the beginning.
    sandbox.write("m", line(&format!("{} contents=file", "./".to_owned() + &"y/".repeat(2046) + "zz")));
    assert_eq!(sandbox.copies("--mtree m").len(), 2048);
}

#[test]
fn a8_sockets_are_left_out_and_pipes_are_entries_that_are_never_opened() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("tree/file", 0o644)]);
    make_fifo(sandbox.path("tree/pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("tree/socket")).expect("bound");
    let outcome = sandbox.run("add layer -p image --copy tree -q");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let outcome = sandbox.run("add layer -p image --copy tree");
    assert_eq!(outcome.stderr, "Note: left out sockets: tree/socket\n");
    assert_eq!(sandbox.copies("--copy tree"), ["file 644 0:0 @0 file", "pipe 600 0:0 @0 pipe"]);
    sandbox.refuses("add layer -p image --copy tree/pipe:/x", "tree/pipe is a pipe, not a file or directory");
    sandbox.refuses("add layer -p image --copy /dev/null:/x", "/dev/null is a device, not a file or directory");
}

#[test]
fn a9_whiteout_names_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("tree/.wh.file", 0o644)]);
    let report = "cannot be stored: its name is that of a whiteout; leave it out with --exclude, or rename it";
    sandbox.refuses("add layer -p image --copy tree", &format!("tree/.wh.file {report}"));
    sandbox.refuses("add layer -p image --copy tree/.wh.file", &format!("tree/.wh.file {report}"));
    sandbox.files(&[("tree/x", 0o644)]);
    assert_eq!(paths(&sandbox.copies("--copy tree --exclude .wh.*")), ["x"]);
}

#[test]
fn a10_long_and_odd_names_come_out_as_they_are() {
    let sandbox = Sandbox::new();
    let long = ["d".repeat(200), "e".repeat(99)].join("/");
    let deep = vec!["x".repeat(249); 16].join("/");
    fs::create_dir_all(sandbox.path("tree").join(&long)).expect("made");
    fs::create_dir(sandbox.path("odd")).expect("made");
    fs::write(sandbox.path("odd").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "x").expect("written");
    assert_eq!(paths(&sandbox.copies("--copy tree"))[1], format!("{long}/"));
    assert_eq!(paths(&sandbox.copies("--copy odd")), ["\u{fffd}\u{fffd}"]);
    // A directory may be deeper than the system's limit of paths.
    let script = format!(
        "set -e; mkdir deep; cd deep; for name in $(echo {deep} | tr / ' '); do mkdir $name; cd $name; done; echo content >file"
    );
    let made = Command::new("sh").args(["-c", &script]).current_dir(sandbox.path("")).status();
    assert!(made.expect("sh runs").success());
    let found = sandbox.copies("--copy deep");
    assert_eq!(paths(&found).last().copied(), Some(format!("{deep}/file").as_str()));
    let below = sandbox.run(&format!("add layer -p image --copy deep:/{}", "y".repeat(100)));
    assert!(below.status == 1 && below.stderr.contains("has a path of more than 4095 bytes in the image"), "{below:?}");
}

#[test]
fn a11_a12_a13_capabilities_are_written_without_root() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("tree/ping", 0o755), ("tree/other", 0o755)]);
    fs::hard_link(sandbox.path("tree/ping"), sandbox.path("tree/ping6")).expect("linked");
    assert_eq!(
        sandbox.copies("--copy tree:/bin --cap /bin/ping=cap_net_raw+ep --cap /bin/other=cap_chown=p"),
        [
            "dir 755 0:0 @0 bin/".to_owned(),
            format!(
                "file 755 0:0 @0 bin/other SCHILY.xattr.security.capability={}",
                "0000000201000000000000000000000000000000"
            ),
            format!(
                "file 755 0:0 @0 bin/ping SCHILY.xattr.security.capability={}",
                "0100000200200000000000000000000000000000"
            ),
            "file 755 0:0 @0 bin/ping6".to_owned(),
        ]
    );
    // A value with the byte of a newline is found by its length.
    let layer = sandbox
        .ok_json("add layer -p image --copy tree --cap /ping=cap_dac_override,cap_fowner=p --compress-format none");
    let record = b"57 SCHILY.xattr.security.capability=\0\0\0\x02\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\n";
    let tar = sandbox.blob(layer["digest"].as_str().expect("a digest"));
    assert!(tar.windows(record.len()).any(|bytes| bytes == record));
    for path in ["/bin/none", "/bin", "/bin/ping/"] {
        let found = sandbox.run(&format!("add layer -p image --copy tree:/bin --cap {path}=cap_chown=p"));
        found.fails(format!("Error: '{path}' is not a file of the layer, so it cannot have capabilities\n"));
    }
    sandbox.is_valid();
}

#[test]
fn a3_two_sources_for_one_path_are_an_error_or_the_last_one_wins() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("one/etc/conf", 0o644), ("two/etc/conf", 0o600), ("two/etc/more", 0o644), ("file", 0o644)]);
    sandbox.refuses(
        "add layer -p image --copy one --copy two",
        "'/etc/conf' is in one and in two; use --overwrite to let the last one win",
    );
    let both = sandbox.copies("--copy one --copy two --overwrite");
    assert_eq!(both[1..], ["file 600 0:0 @0 etc/conf", "file 644 0:0 @0 etc/more"]);
    sandbox.refuses(
        "add layer -p image --copy one --copy file:/etc",
        "file is a file, and '/etc' is a directory; end DST with / to copy into the directory, or give the file a name of its own",
    );
    sandbox.refuses(
        "add layer -p image --copy one --copy file:/etc/conf/x",
        "file cannot go to '/etc/conf/x': '/etc/conf' is not a directory; choose another destination, or leave the file out with --exclude",
    );
    for words in ["--copy file:/etc --copy one:/etc/conf/more", "--copy one:/ --copy one:/etc/conf/more"] {
        let outcome = sandbox.run(&format!("add layer -p image {words}"));
        let file = if words.contains("file:") { "/etc" } else { "/etc/conf" };
        let message = format!("Error: one cannot go to '/etc/conf/more': '{file}' is not a directory; ");
        assert!(outcome.status == 1 && outcome.stderr.starts_with(&message), "{words}: {outcome:?}");
    }
    sandbox.refuses(
        "add layer -p image --copy file:/x --copy file:/x",
        "'/x' is in file, which is given twice; use --overwrite to let the last one win",
    );
    assert_eq!(paths(&sandbox.copies("--copy one --copy file:/etc/")), ["etc/", "etc/conf", "etc/file"]);
}

#[test]
fn bad_sources_and_values_change_nothing() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("file", 0o644), ("empty/", 0o755)]);
    sandbox.refuses("add layer -p image --copy nothing", "File not found: nothing");
    sandbox.refuses(
        "add layer -p image --copy empty",
        "empty has no files for a layer; use --allow-empty if that is intended",
    );
    assert!(sandbox.copies("--copy empty --allow-empty").is_empty());
    assert_eq!(sandbox.copies("--copy empty:/data --allow-empty"), ["dir 755 0:0 @0 data/"]);
    sandbox.refuses(
        "add layer -p image --copy file --owner app",
        "user 'app' is unknown: no layer below has it in /etc/passwd; use the number",
    );
    sandbox.misuses("add layer -p image --copy file:/a/../b", "--copy: destination '/a/../b' contains '..'");
    for (words, part) in [
        ("--owner=-1", "'-1' is not an owner; expected UID[:GID]"),
        ("--owner 4294967295", "'4294967295' is not an owner"),
        ("--chmod u+q", "'u+q' is not a mode"),
        ("--mtime yesterday", "expected a time such as"),
        ("--exclude [a", "'[a' is not a glob"),
        ("--xattr [a", "'[a' is not a glob"),
        ("--copy src=file,src=empty", "the key 'src' is given twice"),
        ("--copy file:etc/x", "destination 'etc/x' is not absolute"),
        ("--cap /file=cap_fly+ep", "'cap_fly' is not a capability"),
        ("--owner-of x", "expected GLOB=UID:GID"),
        ("--owner 1 --preserve-owner", "cannot be used with"),
        ("--file base.tar", "cannot be used with"),
    ] {
        let before = sandbox.tree();
        let outcome = sandbox.run(&format!("add layer -p image --copy file {words}"));
        assert!(outcome.status == 2 && outcome.stderr.contains(part), "{words}: {outcome:?}");
        assert_eq!(sandbox.tree(), before);
    }
}

#[test]
fn the_layout_itself_is_left_out() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("add layer -p image --copy .:/ws");
    assert_eq!(outcome.stderr, "Note: left out the output layout: ./image\n");
    let first = sandbox.stage()["layers"][0]["digest"].clone();
    let again = sandbox.ok_json("add layer -p image --copy .:/ws");
    assert_eq!(again["digest"], first);
    assert_eq!(
        paths(&entries(&gunzip(&sandbox.blob(first.as_str().expect("a digest"))))),
        ["ws/", "ws/base.tar", "ws/patches.tar.gz"]
    );
}

#[test]
fn a15_unreadable_files_are_listed_at_once() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("tree/a", 0o644), ("tree/b", 0o000), ("tree/c/d", 0o000)]);
    if fs::File::open(sandbox.path("tree/b")).is_ok() {
        eprintln!("skipped: this user reads all files");
        return;
    }
    sandbox.refuses(
        "add layer -p image --copy tree",
        "cannot read 2 files (permission denied): tree/b, tree/c/d; leave them out with --skip-unreadable, or run as another user",
    );
    assert_eq!(paths(&sandbox.copies("--copy tree --skip-unreadable")), ["a", "c/"]);
    // So are sources that are files.
    sandbox.refuses(
        "add layer -p image --copy tree/c:/c --copy tree/b",
        "cannot read 2 files (permission denied): tree/c/d, tree/b; leave them out with --skip-unreadable, or run as another user",
    );
    sandbox.refuses(
        "add layer -p image --copy tree/b --skip-unreadable",
        "tree/b has no files for a layer; use --allow-empty if that is intended",
    );
    assert_eq!(paths(&sandbox.copies("--copy tree/a --copy tree/b --skip-unreadable")), ["a"]);
}

#[test]
fn a18_layers_of_files_are_not_made_for_windows() {
    let sandbox = Sandbox::new();
    sandbox.write("app", "x");
    let refusal = "layers of files cannot be made for Windows: those have the directories Files and Hives; add a tar that was made for Windows, with --file or --layer";
    sandbox.refuses("build -o new --copy app --platform windows/amd64", refusal);
    // A tar may be one for Windows, and nothing is said of its programs.
    let built = sandbox.run("build -o windows --layer base.tar --platform windows/amd64 --cmd cmd.exe --user me");
    assert_eq!((built.status, built.stderr.as_str()), (0, ""));
    // Linking to the layers of the base changes their times.
    sandbox.run("build -o new --copy app --base windows").fails(format!("Error: {refusal}\n"));
    assert!(!sandbox.path("new").exists());
    sandbox.refuses("add layer -p windows:latest --copy app", refusal);
    sandbox.ok("add layer -p image --copy app --compress-format none");
    sandbox.refuses("generate config -p image --os windows", refusal);
    sandbox.ok("generate config -p image");
    sandbox.refuses("update config -p image --os windows", refusal);
    sandbox.ok("reset image");
    sandbox.ok("add base -p image --from windows");
    sandbox.refuses("add layer -p image --copy app", refusal);
}

#[test]
fn one_tree_gives_one_digest_whatever_its_times_and_order() {
    let sandbox = Sandbox::new();
    let names = ["tree/a", "tree/d/x", "tree/d/y", "tree/z"];
    names.iter().for_each(|name| sandbox.files(&[(name, 0o644)]));
    names.iter().rev().for_each(|name| sandbox.files(&[(&name.replace("tree", "copy"), 0o664)]));
    names
        .iter()
        .for_each(|name| fs::write(sandbox.path(name.replace("tree", "copy")), format!("{name}\n")).expect("written"));
    fs::set_permissions(sandbox.path("copy/d"), fs::Permissions::from_mode(0o775)).expect("set");
    let digest = |source: &str, jobs: u32| {
        let layer = sandbox.ok_json(&format!("add layer -p image --copy {source}:/srv --chmod go=u-w --jobs {jobs}"));
        layer["digest"].as_str().expect("a digest").to_owned()
    };
    assert_eq!(digest("tree", 1), digest("copy", 3));
    assert!(Path::new(&sandbox.path("image")).exists());
}

#[test]
fn b8_an_mtree_file_gives_owners_devices_and_links_without_root() {
    let sandbox = Sandbox::new();
    sandbox.files(&[("app", 0o755), ("tree/etc/conf", 0o644)]);
    sandbox.write(
        "list",
        "#mtree\n/set type=file uid=33 gid=33\n./usr/bin/app contents=app mode=4711 time=5.0\n./dev type=dir uid=0 gid=0 mode=0755\n\
         ./dev/null type=char device=native,1,3 mode=0666 uid=0 gid=0\n./lib type=link link=usr/lib\n./app color=red\n./none optional\n",
    );
    let layer = sandbox.run("add layer -p image --copy tree --mtree list --compress-format none -q");
    assert_eq!((layer.status, layer.stderr.as_str()), (0, "Warning: unknown keyword 'color' in line 7 of list\n"));
    assert_eq!(
        entries(&sandbox.blob(layer.stdout.trim())),
        [
            "file 755 33:33 @0 app",
            "dir 755 0:0 @0 dev/",
            "char 666 0:0 @0 dev/null",
            "dir 755 0:0 @0 etc/",
            "file 644 0:0 @0 etc/conf",
            "link 777 33:33 @0 lib -> usr/lib",
            "dir 755 0:0 @0 usr/",
            "dir 755 0:0 @0 usr/bin/",
            "file 4711 33:33 @5 usr/bin/app",
        ]
    );
    assert_eq!(sandbox.stage()["layers"][0]["created_by"], "regshape add layer --copy / --mtree");
    let again = sandbox.ok_json("add layer -p image --mtree list");
    assert_eq!(again["warning"], "unknown keyword 'color' in line 7 of list");
    sandbox.write("bad", "./a mode=999\n");
    sandbox.refuses("add layer -p image --mtree bad", "line 1 of bad: mode=999 cannot be read");
    sandbox.write("bad", "./a\n");
    sandbox.refuses("add layer -p image --mtree bad", "File not found: a");
    sandbox.refuses("add layer -p image --mtree missing", "File not found: missing");
    sandbox.write("bad", "./etc/conf contents=app\n");
    sandbox.refuses(
        "add layer -p image --copy tree --mtree bad",
        "'/etc/conf' is in tree and in bad; use --overwrite to let the last one win",
    );
    sandbox.is_valid();
}
