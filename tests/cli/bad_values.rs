//! Invalid values, one per row: the exit status and the first line of stderr. Nothing is changed.

use crate::support::*;

#[test]
fn a_bad_value_is_named_with_the_form_that_it_should_have() {
    let sandbox = Sandbox::built();
    sandbox.write("f", "{}");
    sandbox.write("layer.tar", base_tar());
    let before = sandbox.contents();
    let media_type = |text: &str| format!("Error: '{text}' is not a media type of the form type/subtype");
    let ref_name = |text: &str| {
        format!("Error: '{text}' is not a reference name: letters and digits, joined by one of - . _ : @ + / or by --")
    };
    let platform = |text: &str| {
        format!("Error: '{text}' is not a platform of the form OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT")
    };
    let value = |text: &str, flag: &str, why: &str| format!("error: invalid value '{text}' for '{flag}'{why}");
    let not_a_number = ": invalid digit found in string";
    let hash = |text: &str| format!("Error: '{text}' is not a digest: its hash has the wrong length (DIGEST_INVALID)");
    for (words, status, message) in [
        ("add layer -p image -f layer.tar --media-type text", 1, media_type("text")),
        ("add layer -p image -f layer.tar --level 20", 2, value("20", "--level <N>", ": 20 is not in 1..=19")),
        ("add layer -p image -f layer.tar --level x", 2, value("x", "--level <N>", not_a_number)),
        (
            "add layer -p image -f layer.tar --jobs 0",
            2,
            value("0", "--jobs <N>", ": number would be zero for non-zero type"),
        ),
        (
            "add layer -p image -f layer.tar --compress-format lzma",
            2,
            value("lzma", "--compress-format <FORMAT>", ""),
        ),
        (
            "add layer -p image -f layer.tar --compress-format none --level 3",
            2,
            "Error: --level has no meaning with --compress-format none".to_owned(),
        ),
        (
            "add layer -p image -f layer.tar --max-layer-size 1G",
            2,
            value("1G", "--max-layer-size <BYTES>", not_a_number),
        ),
        (
            "add layer -p image -f layer.tar --annotation a",
            2,
            value("a", "--annotation <KEY=VALUE>", ": expected KEY=VALUE"),
        ),
        (
            "add layer -p image -f layer.tar --annotation =b",
            2,
            value("=b", "--annotation <KEY=VALUE>", ": the key is empty; expected KEY=VALUE"),
        ),
        (
            "add layer -p image -f layer.tar --lock-timeout soon",
            2,
            value("soon", "--lock-timeout <DURATION>", ": expected number at 0"),
        ),
        (
            "generate config -p image --architecture x86_64",
            2,
            "Error: 'x86_64' is not the word that image configs have for this architecture; use amd64".to_owned(),
        ),
        (
            "generate config -p image --os Linux",
            2,
            "Error: 'Linux' is not the word that image configs have for this operating system; use linux".to_owned(),
        ),
        ("generate config -p image --media-type x", 1, media_type("x")),
        ("generate manifest -p image --ref-name a..b", 1, ref_name("a..b")),
        ("generate manifest -p image --media-type x/", 1, media_type("x/")),
        (
            "update config -p image --os macos",
            2,
            "Error: 'macos' is not the word that image configs have for this operating system; use darwin".to_owned(),
        ),
        ("annotate layer -p image --index x --annotation a=b", 2, value("x", "--index <N>", not_a_number)),
        (
            "annotate layer -p image --index -1 --annotation a=b",
            1,
            "Error: layer index -1 out of range (staged layers: 2)".to_owned(),
        ),
        ("tag list -p image --n x", 2, value("x", "--limit <N>", not_a_number)),
        (
            "tag list -p image --repo Upper",
            1,
            "Error: 'Upper' is not a repository name: lower-case letters and digits, joined by . _ __ or dashes, in \
             parts between slashes (NAME_INVALID)"
                .to_owned(),
        ),
        ("tag add -p image:latest a:b:c/", 1, ref_name("a:b:c/") + " (NAME_INVALID)"),
        (
            "manifest get -p image --ref latest --platform linux",
            2,
            "Error: 'linux' is an operating system without an architecture; use linux/ARCHITECTURE, such as linux/amd64"
                .to_owned(),
        ),
        ("manifest get -p image --ref latest --platform linux/", 1, platform("linux/")),
        ("manifest get -p image --ref latest --platform a/b/c/d/e", 1, platform("a/b/c/d/e")),
        ("manifest put -p image -f f --digest sha256:1", 1, hash("sha256:1")),
        ("manifest put -p image -f f --media-type x", 1, media_type("x")),
        ("blob head -p image -d sha256:xyz", 1, hash("sha256:xyz")),
        ("blob get -p image -d sha256:1 -o out", 1, hash("sha256:1")),
        (
            "blob upload -p image -f f -d md5:1",
            1,
            "Error: digest md5:1 cannot be verified: its algorithm is not supported (DIGEST_INVALID)".to_owned(),
        ),
        (
            "gc -p image --keep-younger-than 1",
            2,
            value("1", "--keep-younger-than <DURATION>", ": time unit needed, for example 1sec or 1ms"),
        ),
        ("export -p image -o out --format zip", 2, value("zip", "--format <FORMAT>", "")),
        (
            "export -p image -o out.zip",
            2,
            "Error: cannot tell the format of 'out.zip' from its ending: archives are .tar, .tar.gz, .tgz, .tar.zst, \
             .tzst; --format dir makes a directory of any name"
                .to_owned(),
        ),
        ("export -p image -o out --filter a", 2, value("a", "--filter <KEY=VALUE>", ": expected KEY=VALUE")),
        ("export -p image -o out --platform /", 1, platform("/")),
        ("export -p image -o out --ref-name -", 1, ref_name("-")),
        ("join -p image -o out --ref-name a..b", 1, ref_name("a..b")),
        ("import -p new -f f --ref-name a..b", 1, ref_name("a..b")),
        ("inspect -p image --platform a/b/c/d/e", 1, platform("a/b/c/d/e")),
    ] {
        let output = sandbox.command().args(["layout"]).args(words.split(' ')).output().expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), stderr.lines().next()), (Some(status), Some(message.as_str())), "{words}");
        assert!(output.stdout.is_empty(), "{words}");
        assert_eq!(sandbox.contents(), before, "{words}");
    }
}
