//! Layers of files: other programs unpack them, and find the files as they were on disk.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::lab::{Lab, is_root, say};

/// Prints a line for each file below a directory: path, type, mode, owner, time, device, number of names, extended
/// attributes, and the target or the hash of the content.
const LIST: &str = r#"
import hashlib, os, stat, sys
root = os.fsencode(sys.argv[1])
first = {}
def line(path):
    info = os.lstat(path)
    name = path[len(root):] or b"/"
    kind, text = stat.S_IFMT(info.st_mode), ""
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            text = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()
    elif kind == stat.S_IFLNK:
        text = os.fsdecode(os.readlink(path))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        text = f"{os.major(info.st_rdev)},{os.minor(info.st_rdev)}"
    same = first.setdefault((info.st_dev, info.st_ino), name) if kind != stat.S_IFDIR else b""
    xattrs = [(key, os.getxattr(path, key, follow_symlinks=False).hex()) for key in sorted(os.listxattr(path, follow_symlinks=False))]
    print(ascii(name), oct(info.st_mode), info.st_uid, info.st_gid, int(info.st_mtime // 1), text, ascii(same), xattrs)
def walk(path):
    line(path)
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for name in sorted(os.listdir(path)):
            walk(path + b"/" + name)
for name in sorted(os.listdir(root)):
    walk(root + b"/" + name)
"#;

fn list(lab: &Lab, directory: &str) -> String {
    lab.run("python3", &["-c", LIST, directory])
}

/// Compares two lists, and shows the first lines that differ.
#[track_caller]
fn assert_same(one: &str, other: &str) {
    let differing = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differing, None);
    assert_eq!(one.lines().count(), other.lines().count());
}

/// Makes an image of a layer of files, and unpacks it with umoci.
fn unpacked(lab: &Lab, words: &[&str]) -> &'static str {
    lab.regshape(&["layout", "init", "-p", "image"]);
    lab.regshape(&[&["add", "layer", "-p", "image"], words].concat());
    lab.regshape(&["generate", "config", "-p", "image"]);
    lab.regshape(&["generate", "manifest", "-p", "image", "--ref-name", "latest"]);
    lab.validate("image");
    assert_eq!(lab.regshape(&["validate", "-p", "image", "--deep"]), "Layout at image is valid.\n");
    lab.run("umoci", &["unpack", "--image", "image:latest", "bundle"]);
    "bundle/rootfs"
}

const AS_IT_IS: [&str; 4] = ["--preserve-owner", "--preserve-times", "--xattr", "*"];

#[test]
fn umoci_unpacks_files_as_they_were_on_disk() {
    let Some(lab) = Lab::with(&["umoci", "python3", "tar", "sh"]) else { return };
    if !is_root() {
        return say("skipped a test of owners and devices: needs root");
    }
    let script = r#"
        set -e
        mkdir -p tree/dev tree/home/app tree/usr/bin
        mknod tree/dev/null c 1 3; mknod tree/dev/sda b 8 300; mkfifo -m 640 tree/dev/pipe
        echo su > tree/usr/bin/su; chmod 4755 tree/usr/bin/su
        echo ping > tree/usr/bin/ping
        echo data > tree/home/app/data; chown -R 3000000:2500000 tree/home/app; chmod 2750 tree/home/app
        ln tree/home/app/data tree/usr/data; ln -s ../nowhere tree/usr/link; ln tree/usr/link tree/usr/link2
        chown -h 33:33 tree/usr/link
        truncate -s 5M tree/sparse; printf end >> tree/sparse
        touch -d @-5 tree/home; touch -d @1000000000.7 tree/usr/bin/su; touch -h -d @7 tree/usr/link
        long=$(printf 'n%.0s' $(seq 200)); mkdir -p tree/$long/$long; echo long > tree/$long/$long/file
        ln -s $long/$long/$long tree/longlink
        printf odd > "$(printf 'tree/\377\376 \012')"
        chmod 1777 tree/dev
        python3 - <<'PYTHON'
import os, struct
os.setxattr("tree/usr/bin/ping", "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
for name in ["tree/home", "tree/usr/data"]:
    try:
        os.setxattr(name, "user.note", b"a\nb=c\0")
    except OSError:
        pass
PYTHON
    "#;
    lab.run("sh", &["-c", script]);
    let root = unpacked(&lab, &[&["--copy", "tree"], &AS_IT_IS[..]].concat());
    assert_same(&list(&lab, "tree"), &list(&lab, root));
    // GNU tar reads the same entries.
    let stage = lab.json("image/.regshape-stage.json");
    lab.write("layer.tgz", lab.blob("image", stage["layers"][0]["digest"].as_str().expect("a digest")));
    lab.run("sh", &["-c", "mkdir gnu && tar -xpzf layer.tgz -C gnu --same-owner --xattrs --xattrs-include='*' --delay-directory-restore"]);
    assert_same(&list(&lab, "tree"), &list(&lab, "gnu"));
}

#[test]
fn a_debian_root_file_system_comes_out_of_umoci_as_it_went_in() {
    let Some(lab) = Lab::with(&["umoci", "python3", "debootstrap"]) else { return };
    if !is_root() {
        return say("skipped a test of a Debian root file system: needs root");
    }
    lab.run("debootstrap", &["--variant=minbase", "stable", "rootfs"]);
    let root = unpacked(&lab, &[&["--copy", "rootfs"], &AS_IT_IS[..]].concat());
    assert_same(&list(&lab, "rootfs"), &list(&lab, root));
}

#[test]
fn another_user_file_system_time_and_order_give_one_digest() {
    let Some(lab) = Lab::with(&["setpriv", "sh", "touch"]) else { return };
    if !is_root() {
        return say("skipped a test of several users: needs root");
    }
    lab.run("chmod", &["755", "."]);
    lab.run(
        "sh",
        &["-c", "umask 022; mkdir -p tree/b/c; for n in z a m b/x b/c/y; do echo $n > tree/$n; done; ln -s a tree/l"],
    );
    let other = Lab::below("/dev/shm", &["sh"]).expect("the programs are there");
    let script = "umask 002; mkdir -p tree/b/c; for n in b/c/y b/x m a z; do echo $n > tree/$n; done; ln -s a tree/l; chown -R 54321:54321 .; chmod 755 .; touch -d '1 hour' tree/a";
    other.run("sh", &["-c", script]);
    let program = env!("CARGO_BIN_EXE_regshape");
    let words = ["--copy", "tree:/srv", "--chmod", "go=u-w", "--json"];
    lab.regshape(&["init", "image", "-q"]);
    let one: serde_json::Value =
        serde_json::from_str(&lab.regshape(&[&["add", "layer", "-p", "image"][..], &words].concat())).expect("JSON");
    let user = ["--reuid=54321", "--regid=54321", "--clear-groups", "env", "TZ=Asia/Tokyo", "LC_ALL=C", program];
    other.run("setpriv", &[&user[..], &["init", "image", "-q"]].concat());
    let layer = [&["add", "layer", "-p", "image", "--jobs", "3"][..], &words].concat();
    let two: serde_json::Value =
        serde_json::from_str(&other.run("setpriv", &[&user[..], &layer].concat())).expect("JSON");
    assert_eq!(one["digest"], two["digest"]);

    // A15: files that this user cannot read are listed at once.
    other.run("sh", &["-c", "chown root tree/a tree/b/x; chmod 600 tree/a tree/b/x"]);
    let refused = other.output("setpriv", &[&user[..], &["add", "layer", "-p", "image", "--copy", "tree"]].concat());
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "Error: cannot read 2 files (permission denied): tree/a, tree/b/x; leave them out with --skip-unreadable, or run as another user\n"
    );
    let skipped = [&user[..], &["add", "layer", "-p", "image", "--copy", "tree", "--skip-unreadable"]].concat();
    let skipped = other.output("setpriv", &skipped);
    assert_eq!(String::from_utf8_lossy(&skipped.stderr), "Note: left out unreadable files: tree/a and 1 more\n");
}

#[test]
fn a9_a16_mount_points_and_marks_of_overlayfs() {
    let Some(lab) = Lab::with(&["mount", "umount", "python3", "tar", "sh"]) else { return };
    if !is_root() {
        return say("skipped a test of mounts: needs root");
    }
    lab.run("sh", &["-c", "mkdir -p tree/proc tree/x && echo f > tree/x/f"]);
    if !lab.output("mount", &["-t", "tmpfs", "tmpfs", "tree/proc"]).status.success() {
        return say("skipped a test of mounts: this machine allows none");
    }
    lab.run("sh", &["-c", "echo inside > tree/proc/inside"]);
    lab.regshape(&["init", "image", "-q"]);
    let names = |words: &[&str]| {
        let base = ["add", "layer", "-p", "image", "--compress-format", "none", "--json", "--copy", "tree"];
        let layer: serde_json::Value = serde_json::from_str(&lab.regshape(&[&base[..], words].concat())).expect("JSON");
        lab.write("layer.tar", lab.blob("image", layer["digest"].as_str().expect("a digest")));
        lab.run("tar", &["-tf", "layer.tar"]).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (without, with) = (names(&[]), names(&["--cross-devices"]));
    lab.run("umount", &["tree/proc"]);
    assert_eq!(without, ["proc/", "x/", "x/f"]);
    assert_eq!(with, ["proc/", "proc/inside", "x/", "x/f"]);

    lab.run("sh", &["-c", "mknod tree/gone c 0 0; mkdir tree/new; echo n > tree/new/n"]);
    let refused = lab.output(env!("CARGO_BIN_EXE_regshape"), &["add", "layer", "-p", "image", "--copy", "tree"]);
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "Error: tree/gone is a mark of overlayfs for a deleted file; use --overlay to make it a whiteout\n"
    );
    let script = "import os; os.setxattr('tree/new', 'trusted.overlay.opaque', b'y')";
    if lab.output("python3", &["-c", script]).status.success() {
        assert_eq!(names(&["--overlay"]), [".wh.gone", "new/", "new/.wh..wh..opq", "new/n", "proc/", "x/", "x/f"]);
        let refused = lab.output(
            env!("CARGO_BIN_EXE_regshape"),
            &["add", "layer", "-p", "image", "--copy", "tree", "--exclude", "gone"],
        );
        assert_eq!(
            String::from_utf8_lossy(&refused.stderr),
            "Error: tree/new is a mark of overlayfs for a directory that hides the layers below; use --overlay to make it a whiteout\n"
        );
    }
}

#[test]
fn a14_a_file_that_changes_while_it_is_read_is_an_error() {
    let Some(lab) = Lab::with(&["sh"]) else { return };
    lab.write("app", "app");
    lab.regshape(&["build", "-o", "image:v1", "--copy", "app", "-q"]);
    let blobs = lab.blobs("image");
    lab.run("sh", &["-c", "mkdir tree; head -c 30000000 /dev/urandom > tree/log"]);
    let add = "add layer -p image --copy tree";
    let attach = "attach -p image:v1 --artifact-type text/plain --file tree/log";
    for (words, grows) in [(add, true), (add, false), (attach, true), (attach, false)] {
        let is_over = AtomicBool::new(false);
        let refused = std::thread::scope(|scope| {
            scope.spawn(|| {
                let file = fs::OpenOptions::new().write(true).open(lab.path("tree/log")).expect("opened");
                let mut size = 30_000_000;
                while !is_over.load(Ordering::Relaxed) {
                    size = if grows { size + 1 } else { size - 1 };
                    file.set_len(size).expect("resized");
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let refused = lab.output(env!("CARGO_BIN_EXE_regshape"), &words.split(' ').collect::<Vec<_>>());
            is_over.store(true, Ordering::Relaxed);
            refused
        });
        assert_eq!(
            String::from_utf8_lossy(&refused.stderr),
            "Error: tree/log changed while it was read; run the command again when no other program changes the file\n"
        );
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(lab.blobs("image"), blobs, "{words}");
    }
}

#[test]
fn a10_a_sparse_file_of_8_gib_is_dense_in_the_layer_and_needs_a_higher_ratio() {
    let Some(lab) = Lab::with(&["truncate", "gzip"]) else { return };
    lab.regshape(&["init", "image", "-q"]);
    lab.run("truncate", &["-s", "8589934593", "sparse"]);
    let add = ["add", "layer", "-p", "image", "--copy", "sparse", "--compress-format", "zstd"];
    let refused = lab.output(env!("CARGO_BIN_EXE_regshape"), &add);
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "Error: the layer decompresses to more than 200 times its size; raise --max-layer-size or --max-ratio if you trust the file\n"
    );
    assert_eq!(lab.blobs("image"), Vec::<String>::new());
    lab.regshape(&[&add[..], &["--max-ratio", "100000"]].concat());
    let layer = lab.blobs("image").remove(0);
    let script = format!("zstd -dc image/blobs/sha256/{layer} | tar -tv");
    let listed = Command::new("sh").args(["-c", &script]).current_dir(lab.path("")).output().expect("it runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(" 8589934593 1970-01-01 ") && listed.ends_with(" sparse\n"), "{listed}");
}
