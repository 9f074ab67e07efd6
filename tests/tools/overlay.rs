//! The merged tree of layers is the one that the kernel's overlayfs shows (images, rule E5).

use regshape::compress::Bounds;
use regshape::layout::Layout;
use regshape::rootfs::Stack;

use super::lab::{Lab, is_root, say};

/// The number of random stacks of layers.
const STACKS: usize = 300;

/// Of so many stacks one is unpacked and squashed, which takes longer.
const WRITTEN: usize = 4;

/// Lists the files below a directory: path, type, mode, owner and target.
const LISTED: &str = r#"
import json, os, stat, sys
def listed(root):
    found = []
    for directory, names, files in os.walk(root):
        for name in names + files:
            full = os.path.join(directory, name)
            try:
                info = os.lstat(full)
            except FileNotFoundError:
                # overlayfs lists a whiteout of nothing, and then says that it is not there.
                continue
            kind = stat.S_IFMT(info.st_mode)
            target = os.readlink(full) if kind == stat.S_IFLNK else ""
            flag = {stat.S_IFDIR: "5", stat.S_IFREG: "0", stat.S_IFLNK: "2"}[kind]
            found.append(f"{os.path.relpath(full, root)} {flag} {stat.S_IMODE(info.st_mode):o} {info.st_uid} {target}")
    return sorted(found)
"#;

/// Prints the lists of directories as JSON.
const LIST: &str = "print(json.dumps([listed(root) for root in sys.argv[1:]]))\n";

/// Makes stacks of layers with explicit directories: a tar for each layer, and the list of the files that overlayfs shows
/// where each layer is unpacked alone, with whiteouts as overlayfs has them. Prints `no overlayfs` where it cannot be mounted.
const SCRIPT: &str = r#"
import io, random, subprocess, tarfile
random.seed(20)
NAMES = ["a", "b", "c"]
def path():
    return "/".join(random.choice(NAMES) for _ in range(random.randint(1, 3)))
def layer():
    entries, whiteouts, opaque = {}, set(), set()
    def parents(name):
        parts = name.split("/")[:-1]
        for at in range(len(parts)):
            above = "/".join(parts[:at + 1])
            if entries.get(above, ("dir",))[0] != "dir":
                return False
            entries.setdefault(above, ("dir", random.choice([0o755, 0o700, 0o711]), random.randint(0, 3)))
        return True
    for _ in range(random.randint(1, 6)):
        name, kind = path(), random.choice(["dir", "file", "file", "link", "hard", "whiteout", "whiteout", "opaque"])
        if name in entries or not parents(name):
            continue
        if kind == "whiteout":
            if not any(other.startswith(name + "/") for other in entries):
                whiteouts.add(name)
        elif kind == "opaque":
            entries[name] = ("dir", 0o755, 0)
            opaque.add(name)
        elif kind == "hard":
            files = [other for other, entry in entries.items() if entry[0] == "file"]
            if files:
                entries[name] = ("hard", random.choice(files))
        elif kind == "link":
            entries[name] = ("link", path())
        elif not any(other.startswith(name + "/") for other in entries):
            entries[name] = (kind, random.choice([0o755, 0o644, 0o600]), random.randint(0, 3))
    return entries, whiteouts, opaque
def header(name, entry):
    info = tarfile.TarInfo(name)
    kind = entry[0]
    info.type = {"dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}[kind]
    if kind in ("dir", "file"):
        info.mode, info.uid = entry[1], entry[2]
    else:
        info.linkname = entry[1]
        info.mode = 0o777
    return info
def write(target, entries, whiteouts, opaque, order):
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        hidden = [(os.path.dirname(name) + "/" if "/" in name else "") + ".wh." + os.path.basename(name) for name in whiteouts]
        hidden += [name + "/.wh..wh..opq" for name in opaque]
        hidden.sort()
        infos = [header(name, entry) for name, entry in sorted(entries.items(), key=lambda item: (item[1][0] == "hard", item[0]))]
        marks = [tarfile.TarInfo(name) for name in hidden]
        for info in marks + infos if order else infos + marks:
            tar.addfile(info, io.BytesIO())
def unpack(tar, target, whiteouts, opaque):
    os.mkdir(target)
    subprocess.run(["tar", "-xpf", tar, "-C", target, "--same-owner", "--exclude=.wh.*"], check=True)
    os.chmod(target, 0o755)
    for name in whiteouts:
        full = os.path.join(target, name)
        if os.path.isdir(full) and not os.path.islink(full):
            os.setxattr(full, "trusted.overlay.opaque", b"y")
        elif not os.path.lexists(full):
            os.makedirs(os.path.dirname(full), exist_ok=True)
            os.mknod(full, stat.S_IFCHR | 0o600, 0)
    for name in opaque:
        os.setxattr(os.path.join(target, name), "trusted.overlay.opaque", b"y")
for number in range(int(sys.argv[1])):
    stack = f"stack-{number}"
    os.mkdir(stack)
    lower = []
    for at in range(random.randint(2, 4)):
        entries, whiteouts, opaque = layer()
        tar = f"{stack}/{at}.tar"
        write(tar, entries, whiteouts, opaque, random.random() < 0.5)
        unpack(tar, f"{stack}/{at}", whiteouts, opaque)
        lower.insert(0, f"{stack}/{at}")
    os.mkdir(f"{stack}/merged")
    mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=" + ":".join(lower), f"{stack}/merged"], stderr=subprocess.DEVNULL)
    if mounted.returncode:
        print("no overlayfs")
        break
    try:
        with open(f"{stack}/list.json", "w") as file:
            json.dump(listed(f"{stack}/merged"), file)
    finally:
        subprocess.run(["umount", f"{stack}/merged"], check=True)
"#;

#[test]
fn e5_the_merged_tree_equals_overlayfs() {
    let Some(lab) = Lab::below("/dev/shm", &["python3", "tar", "mount", "umount"]) else { return };
    if !is_root() {
        return say("skipped a test of overlayfs: needs root");
    }
    let count = STACKS.to_string();
    if lab.run("python3", &["-c", &format!("{LISTED}{SCRIPT}"), &count]).contains("no overlayfs") {
        return say("skipped a test of overlayfs: this machine cannot mount it");
    }
    for number in 0..STACKS {
        let layout = format!("stack-{number}/layout");
        let tars: Vec<String> =
            (0..).map(|at| format!("stack-{number}/{at}.tar")).take_while(|tar| lab.path(tar).exists()).collect();
        lab.regshape(&["init", "-q", &layout]);
        for tar in &tars {
            lab.regshape(&["add", "layer", "-q", "-p", &layout, "--file", tar, "--no-sync"]);
        }
        let opened = Layout::open(lab.path(&layout)).expect("a layout");
        let stack = Stack::of_staged(&opened, Bounds::default()).expect("merged");
        let mut found: Vec<String> = Vec::new();
        for entry in stack.entries() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (path, target) = (text(&entry.path), text(&entry.target));
            found.push(format!("{path} {} {:o} {} {target}", char::from(entry.flag), entry.mode, entry.uid));
        }
        found.sort();
        let expected: Vec<String> =
            serde_json::from_value(lab.json(&format!("stack-{number}/list.json"))).expect("a list");
        assert_eq!(found, expected, "stack {number} below {}", lab.path("").display());
        if number % WRITTEN != 0 {
            continue;
        }
        // The files are the same on disk, and those of fewer layers are too.
        lab.regshape(&[
            "generate",
            "config",
            "-q",
            "-p",
            &layout,
            "--os",
            "linux",
            "--architecture",
            "amd64",
            "--no-sync",
        ]);
        lab.regshape(&["generate", "manifest", "-q", "-p", &layout, "--ref-name", "v1", "--no-sync"]);
        let image = format!("{layout}:v1");
        lab.regshape(&["squash", "-q", "-p", &image, "--tag", "one", "--no-sync"]);
        lab.regshape(&["squash", "-q", "-p", &image, "--keep", "1", "--tag", "two", "--no-sync"]);
        let unpacked = ["v1", "one", "two"].map(|tag| {
            let output = format!("stack-{number}/{tag}");
            lab.regshape(&["unpack", "-q", "-p", &format!("{layout}:{tag}"), "-o", &output]);
            output
        });
        let lists = lab.run("python3", &["-c", &format!("{LISTED}{LIST}"), &unpacked[0], &unpacked[1], &unpacked[2]]);
        let lists: Vec<Vec<String>> = serde_json::from_str(&lists).expect("lists");
        for (list, output) in lists.iter().zip(&unpacked) {
            assert_eq!(*list, expected, "{output} below {}", lab.path("").display());
        }
    }
}
