//! An output file is on disk under its final name before success is reported.

use crate::lab::Lab;

#[test]
fn an_output_is_synced_before_and_its_directory_after_it_gets_its_name() {
    let Some(lab) = Lab::with(&["strace", "tar"]) else { return };
    lab.write("a.txt", "a");
    lab.run("tar", &["-cf", "a.tar", "a.txt"]);
    lab.regshape(&["layout", "init", "-p", "image"]);
    lab.regshape(&["-q", "layout", "add", "layer", "-p", "image", "-f", "a.tar"]);
    lab.regshape(&["-q", "layout", "generate", "config", "-p", "image"]);
    lab.regshape(&["-q", "layout", "generate", "manifest", "-p", "image", "--ref-name", "v1"]);
    let blob = lab.run("ls", &["image/blobs/sha256"]);
    let digest = format!("sha256:{}", blob.lines().next().expect("a blob"));
    let program = env!("CARGO_BIN_EXE_regshape");
    for words in [
        "export -p image -o out/x.tar",
        "export -p image -o out/x.tar.gz",
        "blob get -p image --digest DIGEST -o out/x",
        "manifest get -p image --ref v1 -o out/x",
        "export -p image -o out/x.tar --no-sync",
    ] {
        // A path that does not exist, and an existing file.
        lab.run("rm", &["-rf", "out"]);
        lab.run("mkdir", &["out"]);
        for _ in 0..2 {
            let words = words.replace("DIGEST", &digest);
            let trace = "trace=fsync,fdatasync,rename,renameat,renameat2,linkat,write";
            let strace = ["-f", "-y", "-qq", "-o", "trace", "-e", trace, program, "layout"];
            let output = lab.output("strace", &[&strace[..], &words.split(' ').collect::<Vec<_>>()].concat());
            assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
            let trace = String::from_utf8_lossy(&lab.read("trace")).into_owned();
            let lines: Vec<&str> = trace.lines().collect();
            let named = lines.iter().rposition(|line| line.contains("rename")).expect("a name");
            let reported = lines.iter().rposition(|line| line.contains("write(1<")).expect("a result");
            let is_synced = |line: &&str| line.contains("sync(") && line.contains("/out");
            let (before, after) = (&lines[..named], &lines[named..reported]);
            let is_expected = !words.contains("--no-sync");
            assert_eq!(before.iter().any(is_synced), is_expected, "{words}: the file\n{trace}");
            assert_eq!(after.iter().any(is_synced), is_expected, "{words}: its name\n{trace}");
        }
    }
}
