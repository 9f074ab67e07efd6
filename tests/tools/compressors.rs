//! The streams that regshape makes, in the hands of other programs.

use super::lab::Lab;
use super::samples::{base, large};
use super::tree::sha256;

#[test]
fn gzip_pigz_python_and_zstd_read_the_layers() {
    let Some(lab) = Lab::with(&["gzip", "pigz", "python3", "zstd"]) else { return };
    let python = "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    let readers: [(&str, &[&[&str]]); 2] =
        [("gzip", &[&["gzip", "-dc"], &["pigz", "-dc"], &["python3", "-c", python]]), ("zstd", &[&["zstd", "-dc"]])];
    for (format, readers) in readers {
        for (name, tar) in [("base", base()), ("large", large()), ("nothing", vec![0; 1024])] {
            let layout = format!("{name}-{format}");
            lab.write(name, &tar);
            lab.regshape(&["layout", "init", "--path", &layout]);
            lab.regshape(&["layout", "add", "layer", "-p", &layout, "-f", name, "--compress-format", format]);
            let [blob] = lab.blobs(&layout).try_into().expect("one blob");
            let blob = format!("{layout}/blobs/sha256/{blob}");
            lab.write("stream", lab.read(&blob));
            if format == "gzip" {
                for program in ["gzip", "pigz"] {
                    lab.run("sh", &["-c", &format!("{program} -t < stream")]);
                }
            } else {
                lab.run("zstd", &["-q", "-t", "stream"]);
            }
            for reader in readers {
                // gzip wants a name with its suffix, or standard input.
                let content = match reader {
                    ["python3", rest @ ..] => lab.run_bytes("python3", &[rest, &["stream"]].concat()),
                    words => lab.run_bytes("sh", &["-c", &format!("{} < stream", words.join(" "))]),
                };
                assert_eq!(sha256(&content), sha256(&tar), "{reader:?} on {layout}");
            }
        }
    }
}
