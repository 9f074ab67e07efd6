//! Other programs read the streams that regshape compresses.

use super::lab::Lab;
use super::samples::{base, large, noise};
use super::tree::sha256;

#[test]
fn compressors_read_the_layers_and_find_one_member() {
    let Some(lab) = Lab::with(&["gzip", "pigz", "igzip", "libdeflate-gunzip", "python3", "zstd"]) else { return };
    // zlib stops at the end of the first member: nothing may follow after it.
    let python = "import sys, zlib; d = zlib.decompressobj(31); c = open(sys.argv[1], 'rb').read(); \
                  sys.stdout.buffer.write(d.decompress(c)); assert d.eof and not d.unused_data";
    let readers: [(&str, &[&[&str]]); 2] = [
        (
            "gzip",
            &[
                &["gzip", "-dc"],
                &["pigz", "-dc"],
                &["igzip", "-dc"],
                &["libdeflate-gunzip", "-c"],
                &["python3", "-c", python],
            ],
        ),
        ("zstd", &[&["zstd", "-dc"]]),
    ];
    for (format, readers) in readers {
        let mixed = [large(), noise(3 << 20), large()].concat();
        for (name, tar) in [("base", base()), ("large", large()), ("nothing", vec![0; 1024]), ("mixed", mixed)] {
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
                // gzip needs a file name with its suffix, or standard input.
                let content = match reader {
                    ["python3", rest @ ..] => lab.run_bytes("python3", &[rest, &["stream"]].concat()),
                    // libdeflate-gunzip does not read standard input.
                    ["libdeflate-gunzip", ..] => {
                        lab.write("stream.gz", lab.read("stream"));
                        lab.run_bytes("libdeflate-gunzip", &["-c", "stream.gz"])
                    }
                    words => lab.run_bytes("sh", &["-c", &format!("{} < stream", words.join(" "))]),
                };
                assert_eq!(sha256(&content), sha256(&tar), "{reader:?} on {layout}");
            }
        }
    }
}
