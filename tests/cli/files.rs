//! `layout files`

use std::fs;
use std::io::pipe;

use serde_json::{Value, json};

use crate::layers::*;
use crate::registry::{blob, document, list, manifest, named};
use crate::support::*;

/// Two layers: owners, modes, devices, links; a directory that is removed, one that is made opaque, one that a link replaces.
fn image() -> Sandbox {
    image_of(&[
        &[
            "0:0 755 ./",
            "etc/",
            "@1767366245 etc/passwd=root",
            "640 0:42 etc/shadow=secret!",
            "dev/",
            "666 c1,3 dev/null",
            "660 0:6 b8,0 dev/sda",
            "600 p dev/pipe",
            "1777 tmp/",
            "tmp/cache/",
            "tmp/cache/x=1",
            "4755 usr/bin/su=su",
            "usr/bin/sudo&usr/bin/su",
            "bin>usr/bin",
            "opt/old/a=aa",
            "srv/x=1",
            "srv/y=2",
        ],
        &[
            "etc/.wh.shadow",
            "tmp/cache/.wh..wh..opq",
            "tmp/cache/z=22",
            "opt/.wh.old",
            "srv>/opt",
            "33:33 www/index=hi",
        ],
    ])
}

/// Returns the lines of the list of an image.
#[track_caller]
fn lines(layers: &[&[&str]], words: &str) -> Vec<String> {
    let listed = image_of(layers).ok(&format!("files -p image:v1 {words}"));
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn i1_the_merged_tree_is_listed_sorted_one_path_a_line() {
    let sandbox = image();
    let all = "/\n/bin\n/dev\n/dev/null\n/dev/pipe\n/dev/sda\n/etc\n/etc/passwd\n/opt\n/srv\n/tmp\n/tmp/cache\n/tmp/cache/z\n\
        /usr\n/usr/bin\n/usr/bin/su\n/usr/bin/sudo\n/www\n/www/index\n";
    for words in
        ["-p image:v1", "-p image", "-p image:v1 -q", "-p image:v1 -l -q", "-p image:v1 /", "-p image:v1 / /etc"]
    {
        sandbox.run(&format!("files {words}")).succeeds(all, "");
    }
    sandbox
        .run("files -p image:v1 /etc /bin/su dev/null etc/../etc")
        .succeeds("/dev/null\n/etc\n/etc/passwd\n/usr/bin/su\n", "");
    // A link at the end is listed itself, but for a slash after it.
    sandbox.run("files -p image:v1 /bin").succeeds("/bin\n", "");
    sandbox.run("files -p image:v1 /bin/").succeeds("/usr/bin\n/usr/bin/su\n/usr/bin/sudo\n", "");
    sandbox.ok("export image:v1 -q -o image.tar");
    sandbox.run("files -p image.tar").succeeds(all, "");
}

#[test]
fn i1_links_have_the_mode_that_ls_shows_and_json_that_of_the_layer() {
    let sandbox = image_of(&[&["644 l>t", "4755 m&l"]]);
    let line = "lrwxrwxrwx 2 0 0 0 1970-01-01 00:00 0";
    sandbox.run("files -p image:v1 -l").succeeds(format!("{line} /l -> t\n{line} /m -> t\n"), "");
    assert_eq!(sandbox.ok_json("files -p image:v1")["entries"][0]["mode"], "0644");
}

#[test]
fn i1_the_long_form_is_that_of_ls_with_the_layer() {
    let sandbox = image();
    sandbox.run("files -p image:v1 -l").succeeds(
        "drwxr-xr-x 1  0  0    0 1970-01-01 00:00 0 /
lrwxrwxrwx 1  0  0    0 1970-01-01 00:00 0 /bin -> usr/bin
drwxr-xr-x 1  0  0    0 1970-01-01 00:00 0 /dev
crw-rw-rw- 1  0  0 1, 3 1970-01-01 00:00 0 /dev/null
prw------- 1  0  0    0 1970-01-01 00:00 0 /dev/pipe
brw-rw---- 1  0  6 8, 0 1970-01-01 00:00 0 /dev/sda
drwxr-xr-x 1  0  0    0 1970-01-01 00:00 0 /etc
-rw-r--r-- 1  0  0    4 2026-01-02 15:04 0 /etc/passwd
drwxr-xr-x 1  0  0    0 1970-01-01 00:00 0 /opt
lrwxrwxrwx 1  0  0    0 1970-01-01 00:00 1 /srv -> /opt
drwxrwxrwt 1  0  0    0 1970-01-01 00:00 0 /tmp
drwxr-xr-x 1  0  0    0 1970-01-01 00:00 0 /tmp/cache
-rw-r--r-- 1  0  0    2 1970-01-01 00:00 1 /tmp/cache/z
drwxr-xr-x 1  0  0    0 1970-01-01 00:00 0 /usr
drwxr-xr-x 1  0  0    0 1970-01-01 00:00 0 /usr/bin
-rwsr-xr-x 2  0  0    2 1970-01-01 00:00 0 /usr/bin/su
-rwsr-xr-x 2  0  0    2 1970-01-01 00:00 0 /usr/bin/sudo
drwxr-xr-x 1  0  0    0 1970-01-01 00:00 1 /www
-rw-r--r-- 1 33 33    2 1970-01-01 00:00 1 /www/index
",
        "",
    );
    let special = lines(&[&["4644 a=1", "2644 b=1", "1754 c=1", "6777 d=1", "h&gone"]], "-l");
    assert_eq!(
        special,
        [
            "-rwSr--r-- 1 0 0 1 1970-01-01 00:00 0 /a",
            "-rw-r-Sr-- 1 0 0 1 1970-01-01 00:00 0 /b",
            "-rwxr-xr-T 1 0 0 1 1970-01-01 00:00 0 /c",
            "-rwsrwsrwx 1 0 0 1 1970-01-01 00:00 0 /d",
            "hrw-r--r-- 1 0 0 0 1970-01-01 00:00 0 /h link to /gone",
        ]
    );
}

#[test]
fn i1_one_layer_is_listed_with_its_whiteouts_and_no_other_is_read() {
    let sandbox = image();
    let lowest = &layer_digests(&sandbox)[0];
    flip_bit(&sandbox, lowest);
    sandbox
        .run("files -p image:v1 --layer 1")
        .succeeds("/etc/.wh.shadow\n/opt/.wh.old\n/srv\n/tmp/cache/.wh..wh..opq\n/tmp/cache/z\n/www/index\n", "");
    sandbox.run("files -p image:v1 --layer 1 -l /etc /tmp/cache/.wh..wh..opq /www").succeeds(
        "w--------- 1  0  0 0 1970-01-01 00:00 1 /etc/.wh.shadow\n\
         w--------- 1  0  0 0 1970-01-01 00:00 1 /tmp/cache/.wh..wh..opq\n\
         -rw-r--r-- 1 33 33 2 1970-01-01 00:00 1 /www/index\n",
        "",
    );
    sandbox.run("files -p image:v1 --layer 1 /etc/passwd").is(3, "", "Error: '/etc/passwd' is not in the image\n");
    sandbox.run("files -p image:v1 --layer 2").is(3, "", "Error: no layer 2: the image has 2 layers\n");
    let damaged = sandbox.run("files -p image:v1");
    assert_eq!((damaged.status, damaged.stdout.as_str()), (1, ""));
    assert!(damaged.stderr.contains(lowest.as_str()), "{damaged:?}");
}

#[test]
fn i1_deleted_files_are_listed_with_the_layers_that_had_and_deleted_them() {
    let sandbox = image();
    sandbox.run("files -p image:v1 --deleted /etc /opt /srv /tmp").succeeds(
        "/etc\n/etc/passwd\n/etc/shadow (deleted by layer 1)\n/opt\n/opt/old (deleted by layer 1)\n\
         /opt/old/a (deleted by layer 1)\n/srv\n/srv/x (deleted by layer 1)\n/srv/y (deleted by layer 1)\n/tmp\n/tmp/cache\n\
         /tmp/cache/x (deleted by layer 1)\n/tmp/cache/z\n",
        "",
    );
    sandbox
        .run("files -p image:v1 --deleted -l /etc/shadow")
        .succeeds("-rw-r----- 1 0 42 7 1970-01-01 00:00 0 /etc/shadow (deleted by layer 1)\n", "");
    sandbox.run("files -p image:v1 --deleted -q /opt/old").succeeds("/opt/old\n/opt/old/a\n", "");
    sandbox.run("files -p image:v1 --deleted /opt/new").is(3, "", "Error: '/opt/new' is not in the image\n");
    sandbox.run("files -p image:v1 /etc/shadow").is(3, "", "Error: '/etc/shadow' is not in the image\n");
    let entries = sandbox.ok_json("files -p image:v1 --deleted /etc/shadow")["entries"].clone();
    assert_eq!((&entries[0]["layer"], &entries[0]["deleted_by"]), (&json!(0), &json!(1)));
}

#[test]
fn i1_files_that_are_made_again_are_not_deleted() {
    let layers: [&[&str]; 4] =
        [&["d/a=1", "d/b=1", "e/x=1"], &[".wh.d", "e=file"], &["d/a=2", ".wh.e"], &["e/", ".wh.none"]];
    assert_eq!(
        lines(&layers, "--deleted"),
        ["/d", "/d/a", "/d/b (deleted by layer 1)", "/e", "/e/x (deleted by layer 1)"]
    );
    // The last version counts.
    let layers: [&[&str]; 4] = [&["a=1"], &[".wh.a"], &["a=2"], &[".wh.a"]];
    assert_eq!(lines(&layers, "--deleted -l"), ["-rw-r--r-- 1 0 0 1 1970-01-01 00:00 2 /a (deleted by layer 3)"]);
    // Links to the directory of a path are followed.
    let layers: [&[&str]; 2] = [&["usr/lib/x=1", "lib>usr/lib"], &["usr/lib/.wh.x"]];
    assert_eq!(lines(&layers, "--deleted /lib/x"), ["/usr/lib/x (deleted by layer 1)"]);
}

/// google/go-containerregistry#2002: a layer replaces one name of a file. #2029: a directory that is deleted and made again
/// shows the files that it had.
#[test]
fn e5_faults_of_others_are_not_ours() {
    assert_eq!(
        lines(&[&["600 a=old", "b&a"], &["a=newer"]], "-l"),
        ["-rw-r--r-- 1 0 0 5 1970-01-01 00:00 1 /a", "-rw------- 1 0 0 3 1970-01-01 00:00 0 /b"]
    );
    assert_eq!(lines(&[&["d/", "d/old=1"], &[".wh.d"], &["d/", "d/new=1"]], ""), ["/d", "/d/new"]);
    assert_eq!(lines(&[&["d/", "d/old=1"], &[".wh.d", "d/", "d/new=1"]], ""), ["/d", "/d/new"]);
}

#[test]
fn links_stay_inside_the_image() {
    let layers: [&[&str]; 1] = [&["etc/passwd=x", "up>../../../etc", "abs>/etc", "loop>loop", "gone>/none"]];
    let sandbox = image_of(&layers);
    for path in ["/up/passwd", "/abs/passwd", "/../../etc/passwd", "/abs/../etc/./passwd"] {
        sandbox.run(&format!("files -p image:v1 {path}")).succeeds("/etc/passwd\n", "");
    }
    sandbox.run("files -p image:v1 /gone").succeeds("/gone\n", "");
    sandbox.run("files -p image:v1 /gone/").is(
        3,
        "",
        "Error: '/gone/' is not in the image: '/none' is missing; the link '/gone' leads to '/none'\n",
    );
    sandbox.run("files -p image:v1 /etc/passwd/").is(3, "", "Error: '/etc/passwd/' is not a directory\n");
    sandbox.run("files -p image:v1 /loop/x").is(
        3,
        "",
        "Error: '/loop/x' is not in the image: it leads through more than 40 links\n",
    );
}

#[test]
fn the_json_has_every_attribute() {
    let sandbox = image();
    let digests = layer_digests(&sandbox);
    let listed = sandbox.ok_json("files -p image:v1 /bin /dev/null /usr/bin /etc/passwd");
    assert_eq!(listed["layers"], json!(digests));
    let base = json!({"uid": 0, "gid": 0, "size": 0, "mtime": 0, "links": 1, "layer": 0});
    let entry = |fields: Value| {
        let mut entry = base.clone();
        entry.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        entry
    };
    assert_eq!(
        listed["entries"],
        json!([
            entry(json!({"path": "/bin", "type": "link", "mode": "0777", "target": "usr/bin"})),
            entry(json!({"path": "/dev/null", "type": "character-device", "mode": "0666", "device": [1, 3]})),
            entry(json!({"path": "/etc/passwd", "type": "file", "mode": "0644", "size": 4, "mtime": 1_767_366_245})),
            entry(json!({"path": "/usr/bin", "type": "directory", "mode": "0755"})),
            entry(json!({"path": "/usr/bin/su", "type": "file", "mode": "4755", "size": 2, "links": 2})),
            entry(json!({
                "path": "/usr/bin/sudo", "type": "file", "mode": "4755", "size": 2, "links": 2, "same_file_as": "/usr/bin/su",
            })),
        ])
    );
    let whiteout = sandbox.ok_json("files -p image:v1 --layer 1 /etc")["entries"][0].clone();
    assert_eq!((&whiteout["type"], &whiteout["path"]), (&json!("whiteout"), &json!("/etc/.wh.shadow")));
    sandbox
        .run_words(["files", "-p", "image:v1", "/bin", "--template", "{layers}"])
        .succeeds(format!("[\"{}\",\"{}\"]\n", digests[0], digests[1]), "");
}

#[cfg(unix)]
#[test]
fn names_are_bytes_and_no_terminal_obeys_them() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::empty();
    let mut tar = layer(&["aXbYc=1"]);
    (tar[1], tar[3]) = (0xff, 0x1b);
    let sum: u32 = tar[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    sandbox.write("l.tar", tar);
    sandbox.ok("build -q -o image:v1 --layer l.tar");
    sandbox.run("files -p image:v1").succeeds("/a\\xffb\\u{1b}c\n", "");
    let entry = sandbox.ok_json("files -p image:v1")["entries"][0].clone();
    assert_eq!((&entry["path"], &entry["path_bytes"]), (&json!("/a\u{fffd}b\u{1b}c"), &json!("L2H/Yhtj")));
    let mut command = sandbox.command();
    command.args(["cat", "-p", "image:v1"]).arg(std::ffi::OsStr::from_bytes(b"/a\xffb\x1bc"));
    assert_eq!(command.output().expect("runs").stdout, b"1");
    assert_eq!(
        sandbox.ok("files -p image:v1 --mtree"),
        "#mtree\n./a\\377b\\033c type=file mode=0644 uid=0 gid=0 time=0.0 size=1\n"
    );
}

/// Lists an image as an mtree file, extracts the content with tar, and builds the image again from them.
#[cfg(unix)]
#[test]
fn b8_the_mtree_file_gives_the_same_tree_again() {
    let sandbox = image_of(&[
        &[
            "700 ./",
            "@5 etc/",
            "@7 3:4 etc/a=content",
            "4711 0:5 usr/su=x",
            "usr/with\\strange*[names]?#",
            "usr/hard&usr/su",
            "dev/tty&dev/none",
            "666 c5,0 dev/ptmx",
            "660 b8,17 dev/sdb1",
            "600 7:7 p run/pipe",
            "@9 lib>usr/a=b",
        ],
        &["other/hard&usr/su", "second=2"],
    ]);
    let mtree = sandbox.ok("files -p image:v1 --mtree");
    fs::create_dir(sandbox.path("root")).expect("made");
    sandbox.write("root/list", &mtree);
    for line in sandbox.ok("files -p image:v1 -l").lines().filter(|line| line.starts_with('-')) {
        let path = line.split_once('/').expect("a path").1;
        let content = sandbox.command().args(["cat", "-p", "image:v1", path]).output().expect("runs");
        assert!(content.status.success(), "{path}: {content:?}");
        let place = sandbox.path("root").join(path);
        fs::create_dir_all(place.parent().expect("a directory")).expect("made");
        fs::write(place, content.stdout).expect("written");
    }
    let mut again: std::process::Command = sandbox.command();
    again.current_dir(sandbox.path("root"));
    let built: Outcome = again
        .args(["build", "-q", "-o", "../again:v1", "--mtree", "list", "--root-entry"])
        .output()
        .expect("runs")
        .into();
    assert_eq!((built.status, built.stderr.as_str()), (0, ""), "{mtree}");
    let list = |name: &str| {
        let mut listed = sandbox.ok_json(&format!("files -p {name}:v1"))["entries"].clone();
        listed.as_array_mut().expect("entries").retain(|entry| entry["type"] != "hard-link");
        for entry in listed.as_array_mut().expect("entries") {
            entry["layer"] = json!(0);
        }
        listed
    };
    assert_eq!(list("again"), list("image"), "{mtree}");
    assert!(mtree.contains("# ./dev/tty is a hard link to a file that no layer has: ./dev/none\n"), "{mtree}");
}

#[test]
fn extended_attributes_are_listed_and_come_back() {
    let sandbox = Sandbox::empty();
    sandbox.write("ping", "x");
    sandbox.ok("build -q -o image:v1 --copy ping:/bin/ping --cap /bin/ping=cap_net_raw+ep");
    let value = "AQAAAgAgAAAAAAAAAAAAAAAAAAA=";
    let entries = sandbox.ok_json("files -p image:v1 /bin/ping")["entries"].clone();
    assert_eq!(entries[0]["xattrs"], json!({"security.capability": value}));
    let mtree = sandbox.ok("files -p image:v1 --mtree");
    assert!(mtree.contains(&format!(" xattr.security.capability={value}\n")), "{mtree}");
    sandbox.write("list", mtree);
    fs::create_dir(sandbox.path("bin")).expect("made");
    sandbox.write("bin/ping", "x");
    sandbox.ok("build -q -o again:v1 --mtree list");
    assert_eq!(
        sandbox.ok_json("files -p again:v1 /bin/ping")["entries"][0]["xattrs"],
        json!({"security.capability": value})
    );
}

#[test]
fn damaged_and_missing_layers_are_refused_before_anything_is_printed() {
    let sandbox = image();
    let digest = &layer_digests(&sandbox)[0];
    flip_bit(&sandbox, digest);
    for words in ["", " -l", " --json", " --mtree", " --layer 0", " --deleted"] {
        let outcome = sandbox.run(&format!("files -p image:v1{words}"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{words}");
        assert!(outcome.stderr.contains(digest.as_str()), "{words}: {}", outcome.stderr);
    }
    // The layer above is whole.
    sandbox.ok("files -p image:v1 --layer 1");
    fs::remove_file(sandbox.path(blob_name(digest))).expect("deleted");
    for words in ["files -p image:v1", "files -p image:v1 --json -l", "cat -p image:v1 /etc/passwd"] {
        let outcome = sandbox.run(words);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{words}");
        assert!(outcome.stderr.contains("does not exist"), "{words}: {}", outcome.stderr);
    }
}

#[test]
fn flags_that_contradict_each_other_are_wrong_usage() {
    let sandbox = image();
    for words in
        ["--layer 0 --deleted", "--mtree -l", "--mtree --json", "--mtree --layer 0", "--mtree --deleted", "--layer x"]
    {
        let outcome = sandbox.run(&format!("files -p image:v1 {words}"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""), "{words}");
    }
}

#[test]
fn a_closed_pipe_ends_the_list_without_an_error() {
    let sandbox = image();
    for words in
        [&["files", "-p", "image:v1"][..], &["files", "-p", "image:v1", "-l"], &["files", "-p", "image:v1", "--json"]]
    {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let outcome: Outcome = sandbox.command().args(words).stdout(writer).output().expect("runs").into();
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{words:?}");
    }
}

#[test]
fn an_image_without_layers_has_no_files() {
    let sandbox = image_of(&[&[]]);
    sandbox.run("files -p image:v1").succeeds("", "");
    sandbox.run("files -p image:v1 -l").succeeds("", "");
    assert_eq!(sandbox.ok_json("files -p image:v1")["entries"], json!([]));
}

#[test]
fn a_layer_without_a_byte_is_an_empty_tar_and_other_content_is_none() {
    let sandbox = image_of(&[&["a=1"]]);
    let lowest = layer_digests(&sandbox).remove(0);
    let lowest = json!({"mediaType": GZIP_TYPE, "digest": lowest, "size": sandbox.blob(&lowest).len()});
    let diff_id = sandbox.ok_json("config get -p image:v1 rootfs")["diff_ids"][0].clone();
    let upper = |media_type: &str, stored: &[u8], content: &[u8]| {
        let stored = json!({"mediaType": media_type, "digest": sandbox.store(stored), "size": stored.len()});
        let rootfs = json!({"type": "layers", "diff_ids": [diff_id, sha256(content)]});
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).to_string();
        let config = blob(&sandbox, CONFIG_TYPE, &config);
        list(&sandbox, &[&named(&document(&sandbox, &manifest(&config, &[&lowest, &stored])), "v2")]);
        stored["digest"].as_str().expect("a digest").to_owned()
    };
    for (media_type, stored) in [(TAR_TYPE, Vec::new()), (GZIP_TYPE, Vec::new()), (GZIP_TYPE, gzip(b""))] {
        upper(media_type, &stored, b"");
        sandbox.run("files -p image:v2").succeeds("/a\n", "");
        sandbox.run("cat -p image:v2 a").succeeds("1", "");
    }
    for (media_type, stored) in [(TAR_TYPE, b"text".to_vec()), (GZIP_TYPE, gzip(b"text"))] {
        let digest = upper(media_type, &stored, b"text");
        sandbox
            .run("files -p image:v2")
            .fails(format!("Error: layer {digest} is not a tar; create that layer again\n"));
    }
}
