//! Leftovers in terms of system calls: which commands delete files, and whose files.

use crate::lab::{Lab, is_root, say};
use crate::samples::single;

/// The calls that change files. Two more calls open files for writing.
const CHANGES: &str = "unlink,unlinkat,rmdir,rename,renameat,renameat2,mkdir,mkdirat,link,linkat,symlink,symlinkat,truncate,\
                       ftruncate,fallocate,chmod,fchmod,fchmodat,utimensat,mknod,mknodat";

/// Creates a layout with one image.
pub(crate) fn build(lab: &Lab, layout: &str) {
    lab.write("layer.tar", [single(layout, layout), vec![0; 1024]].concat());
    for words in [
        format!("init -p {layout}"),
        format!("add layer -p {layout} -f layer.tar -q"),
        format!("generate config -p {layout} -q"),
        format!("generate manifest -p {layout} --ref-name v1 -q"),
    ] {
        lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
    }
}

/// Kills an import at a system call.
fn kill_import(lab: &Lab, inject: &str) {
    let program = env!("CARGO_BIN_EXE_regshape");
    let options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", inject];
    let words = ["layout", "import", "-p", "image", "-f", "other", "--replace-tag"];
    assert!(!lab.output("strace", &[&options[..], &[program], &words].concat()).status.success(), "it is killed");
}

fn leftovers(lab: &Lab) -> Vec<String> {
    let found = lab.run("find", &["image", "-name", ".regshape-tmp-*"]);
    found.lines().map(str::to_owned).collect()
}

#[test]
fn a_reader_and_a_dry_run_ask_for_no_change() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    build(&lab, "image");
    build(&lab, "other");
    // At this call the import holds the lock of its temporary directory.
    kill_import(&lab, "inject=flock:signal=KILL:when=3");
    let left = leftovers(&lab);
    assert_eq!(left.len(), 1, "{left:?}");
    let digest = lab.json("image/index.json")["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    for words in [
        "status -p image",
        "show -p image",
        "show -p image --tree",
        "validate -p image",
        "validate -p image --deep",
        "inspect -f image",
        "catalog list -p image",
        "tag list -p image",
        "manifest get -p image --ref v1",
        "manifest descriptor -p image --ref v1",
        "manifest info -p image --ref v1",
        "blob head -p image --digest DIGEST",
        "blob get -p image --digest DIGEST",
        "referrer list -p image --ref v1",
        "export -p image -o -",
        "export -p image -o new --dry-run",
        "export -p image -o new.tar --dry-run",
        "export -p other -o image --dry-run --replace",
        "gc -p image --dry-run",
        "export -p image -o other --dry-run --replace --except image",
    ] {
        let words = format!("layout {}", words.replace("DIGEST", &digest));
        let traced = format!("trace={CHANGES},open,openat,creat");
        let options = ["-f", "-qq", "-y", "-o", "trace", "-e", &traced, env!("CARGO_BIN_EXE_regshape")];
        let output = lab.output("strace", &[&options[..], &words.split(' ').collect::<Vec<_>>()].concat());
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        let trace = String::from_utf8(lab.read("trace")).expect("text");
        // If a thread exits while strace detaches from it, the call is unknown.
        let is_known = |line: &&str| line.contains('(') && !line.contains("???(");
        for line in trace.lines().filter(is_known) {
            let opens = line.contains("open(") || line.contains("openat(");
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag));
            assert!(opens && !writes, "{words}: {line}");
        }
        assert_eq!(leftovers(&lab), left, "{words}");
    }
    lab.regshape(&["layout", "annotate", "manifest", "-p", "image", "--annotation", "a=1"]);
    assert!(leftovers(&lab).is_empty());
}

#[test]
fn a_user_who_may_only_read_runs_every_reader() {
    let Some(lab) = Lab::with(&["setpriv"]) else { return };
    if !is_root() {
        return say("skipped a_user_who_may_only_read_runs_every_reader: needs root");
    }
    build(&lab, "image");
    lab.run("chmod", &["755", "."]);
    lab.run("chmod", &["-R", "go=rX", "image"]);
    let before = lab.tree("image");
    for words in ["gc -p image --dry-run", "show -p image --tree", "validate -p image", "export -p image -o -"] {
        let user = ["--reuid=54321", "--regid=54321", "--clear-groups", env!("CARGO_BIN_EXE_regshape"), "layout"];
        let output = lab.output("setpriv", &[&user[..], &words.split(' ').collect::<Vec<_>>()].concat());
        assert!(output.status.success() && output.stderr.is_empty(), "{words}: {output:?}");
    }
    assert_eq!(lab.tree("image"), before);
}

#[test]
fn leftovers_of_another_user_do_no_harm() {
    let Some(lab) = Lab::with(&["strace", "setpriv"]) else { return };
    build(&lab, "image");
    build(&lab, "other");
    kill_import(&lab, "inject=flock:signal=KILL:when=3");
    let left = leftovers(&lab);
    assert_eq!(left.len(), 1, "{left:?}");
    // All files except the leftovers get another owner.
    let all = ["image", "-not", "-path", "image/.regshape-tmp-*", "-exec", "chown", "54321:54321", "{}", "+"];
    lab.run("find", &all);
    lab.run("chmod", &["755", "."]);
    for words in [
        "-q annotate manifest -p image --annotation a=1",
        "gc -p image",
        "import -p image -f other --replace",
        "blob upload -p image -f other/index.json",
        "export -p other -o image/new",
    ] {
        let run = |flags: &[&str]| {
            let user = ["--reuid=54321", "--regid=54321", "--clear-groups", env!("CARGO_BIN_EXE_regshape"), "layout"];
            let words: Vec<&str> = words.split(' ').collect();
            lab.output("setpriv", &[&user[..], &words, flags].concat())
        };
        let output = run(&[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{words}: {output:?}");
        // The new layout exists by now, and files next to it are ignored.
        if !words.contains("-q") && !words.contains("new") {
            let told = String::from_utf8(run(&["-v"]).stderr).expect("text");
            assert_eq!(
                told,
                format!("Could not delete leftover {}: Permission denied (os error 13)\n", left[0]),
                "{words}"
            );
        }
        assert_eq!(leftovers(&lab), left, "{words}");
    }
    lab.regshape(&["layout", "gc", "-p", "image"]);
    assert!(leftovers(&lab).is_empty());
}
