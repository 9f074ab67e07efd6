//! A limit on threads: a command works with fewer threads, or reports an error.

use crate::lab::{Lab, is_root, say};

#[test]
fn with_few_threads_a_command_succeeds_or_says_so_and_leaves_nothing() {
    let Some(lab) = Lab::with(&["setpriv", "prlimit", "bash"]) else { return };
    if !is_root() {
        say("skipped: only root can become a user who has no other threads");
        return;
    }
    let program = env!("CARGO_BIN_EXE_regshape");
    lab.run("bash", &["-c", "head -c 3000000 /dev/urandom > noise && tar -cf layer.tar noise && gzip -k layer.tar"]);
    lab.regshape(&["layout", "init", "-p", "image"]);
    lab.regshape(&["-q", "layout", "add", "layer", "-p", "image", "-f", "layer.tar"]);
    lab.regshape(&["-q", "layout", "add", "layer", "-p", "image", "-f", "layer.tar.gz"]);
    lab.regshape(&["-q", "layout", "generate", "config", "-p", "image"]);
    lab.regshape(&["-q", "layout", "generate", "manifest", "-p", "image", "--ref-name", "v1"]);
    lab.regshape(&["layout", "export", "-p", "image", "-o", "image.tar.gz"]);
    lab.run("chmod", &["a+rx", "."]);
    // zstd needs a thread besides the main and the signal thread: without one its output would differ.
    let may_fail = |threads: u32, words: &str| words.contains("zst") && threads < 3;
    for threads in 1..=6 {
        for words in [
            "layout export -p image -o open/new",
            "layout export -p image -o open/new.tar",
            "layout export -p image -o open/new.tar.gz -q",
            "layout export -p image -o open/new.tar.zst",
            "layout validate -p image --deep",
            "layout add layer -p open/layout -f layer.tar -q",
            "layout add layer -p open/layout -f layer.tar -q --compress-format zstd",
            "layout add layer -p open/layout -f layer.tar.gz -q",
            "layout import -p open/new -f image",
            "layout import -p open/layout -f image.tar.gz",
            "layout blob upload -p open/layout -f layer.tar",
            "layout gc -p open/layout",
        ] {
            lab.run("bash", &["-c", "umask 0; rm -rf open; mkdir open; \"$0\" layout init -p open/layout", program]);
            lab.run("chown", &["-R", "54321:54321", "open"]);
            let before = lab.tree("open");
            let limit = format!("--nproc={threads}");
            let user = ["--reuid=54321", "--regid=54321", "--clear-groups", "prlimit", &limit, "--", program];
            let output = lab.output("setpriv", &[&user[..], &words.split(' ').collect::<Vec<_>>()].concat());
            let stderr = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => {}
                Some(1) if may_fail(threads, words) && stderr.contains("thread") => {
                    assert_eq!(lab.tree("open"), before, "{threads} threads: {words}");
                }
                _ => panic!("{threads} threads: {words}: {}: {stderr}", output.status),
            }
            let left = lab.run("find", &["open", "-name", ".regshape-tmp-*"]);
            assert_eq!(left, "", "{threads} threads: {words}: {stderr}");
        }
    }
}
