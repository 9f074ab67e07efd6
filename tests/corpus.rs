//! Documents, layouts, compressed streams and tars from the tests of other projects: those that the project considers
//! valid have no error, and those that it considers invalid have an error.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

use regshape::check::{Report, ValidateOptions};
use regshape::layout::Layout;
use regshape::oci::Digest;
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// Files on which this program disagrees with the corpus, and the reasons.
const EXCEPTIONS: [(&str, &str); 4] = [
    ("manifest_fixtures--ociv1.artifact.json", "the image-spec has no manifest with layers null and an empty digest"),
    (
        "manifest_fixtures--ociv1.invalid.mediatype.manifest.json",
        "the image-spec allows media types that it does not know",
    ),
    ("internal_manifest_testdata--oci1.index.everything.json", "data must be the content, and the digests are made up"),
    (
        "zstd-good/2274d31e0d569fe9e31bedc4f9fddd9c9f114c2f.zst",
        "zstd from 1.5.5 on refuses a compressed block that has no content",
    ),
];

struct Case {
    path: PathBuf,
    name: String,
    kind: String,
    is_valid: bool,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let table = fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let case = |line: &str| {
        let cells: Vec<_> = line.split('\t').collect();
        let [name, kind, verdict, _] = cells.as_slice() else { panic!("{line}") };
        assert!(["valid", "invalid"].contains(verdict), "{line}");
        Case { path: folder.join(name), name: (*name).into(), kind: (*kind).into(), is_valid: *verdict == "valid" }
    };
    let cases: Vec<_> = table.lines().skip(1).map(case).collect();
    assert!(cases.len() > 1);
    cases
}

/// A layout that is written by hand.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(bench.0.path().join("blobs/sha256")).unwrap();
        bench.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        bench.list(&[]);
        bench
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    fn list(&self, entries: &[Value]) {
        self.write("index.json", json!({"schemaVersion": 2, "manifests": entries}).to_string().as_bytes());
    }

    /// Stores a blob and returns its descriptor.
    fn store(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::sha256_of(content);
        self.write(&format!("blobs/sha256/{}", digest.encoded()), content);
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    /// Creates an image of a config and one layer for each of its diff_ids.
    fn image(&self, config: &[u8], layer: &Value) {
        let value: Value = serde_json::from_slice(config).unwrap_or_default();
        let layers = value["rootfs"]["diff_ids"].as_array().map_or(1, Vec::len);
        let config = self.store(CONFIG, config);
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": vec![layer; layers]});
        self.list(&[self.store(MANIFEST, manifest.to_string().as_bytes())]);
    }

    /// Creates an image of one layer.
    fn image_of(&self, layer: &Value, diff_id: &Digest) {
        let rootfs = json!({"type": "layers", "diff_ids": [diff_id]});
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": rootfs});
        self.image(config.to_string().as_bytes(), layer);
    }

    /// Validates the layout. Errors for blobs that the other project does not ship are ignored.
    fn errors(&self) -> Vec<String> {
        errors(self.0.path()).into_iter().filter(|error| !error.ends_with(" does not exist")).collect()
    }
}

fn errors(path: &Path) -> Vec<String> {
    let deep = ValidateOptions::default().deep(true);
    match Layout::open(path) {
        Ok(layout) => {
            let report: Report = layout.validate(&deep).unwrap();
            report.errors.iter().map(ToString::to_string).collect()
        }
        Err(error) => vec![error.to_string()],
    }
}

/// Compares a result with the corpus, or with the opposite for an exception.
#[track_caller]
fn judge(case: &Case, errors: &[String]) {
    let exception = EXCEPTIONS.iter().find(|(name, _)| *name == case.name);
    assert_eq!(
        errors.is_empty(),
        case.is_valid ^ exception.is_some(),
        "{}: {errors:?} ({})",
        case.name,
        exception.map_or("as in the corpus", |(_, why)| why)
    );
}

#[test]
fn documents_are_judged_as_by_the_projects_they_are_from() {
    for folder in ["containers-image-json", "image-spec-md", "image-spec-schema", "oci-spec-rs-json"] {
        for case in cases(folder) {
            let content = fs::read(&case.path).unwrap();
            let bench = Bench::new();
            let value: Value = serde_json::from_slice(&content).unwrap_or_default();
            let own_type = value["mediaType"].as_str();
            match case.kind.as_str() {
                "manifest" | "artifact" | "other" => {
                    bench.list(&[bench.store(own_type.unwrap_or(MANIFEST), &content)]);
                }
                "index" => bench.list(&[bench.store(own_type.unwrap_or(INDEX), &content)]),
                "docker-schema1" => {
                    bench.list(&[bench.store("application/vnd.docker.distribution.manifest.v1+prettyjws", &content)]);
                }
                "descriptor" => {
                    let index = [br#"{"schemaVersion":2,"manifests":["#, content.as_slice(), b"]}"].concat();
                    bench.write("index.json", &index);
                }
                "config" => {
                    // The layer is missing in the layout: this test is about the config.
                    let layer = json!({"mediaType": TAR, "digest": Digest::sha256_of(b"no tar"), "size": 6});
                    bench.image(&content, &layer);
                }
                "layout-header" => bench.write("oci-layout", &content),
                other => panic!("{other}"),
            }
            judge(&case, &bench.errors());
        }
    }
}

#[test]
fn layouts_are_judged_as_computed() {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    for case in cases("layouts") {
        let directory = tempfile::tempdir().unwrap();
        copy(&case.path, directory.path());
        judge(&case, &errors(directory.path()));
    }
}

#[test]
fn compressed_streams_are_judged_as_by_their_own_programs() {
    for case in cases("compression") {
        let content = fs::read(&case.path).unwrap();
        let bench = Bench::new();
        let mut plain = Vec::new();
        let layer = if case.kind == "gzip" {
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(content.as_slice()), &mut plain).unwrap();
            bench.store(&format!("{TAR}+gzip"), &content)
        } else {
            // The output of a broken stream does not matter.
            let _ = zstd::stream::copy_decode(content.as_slice(), &mut plain);
            bench.store(&format!("{TAR}+zstd"), &content)
        };
        bench.image_of(&layer, &Digest::sha256_of(&plain));
        // The zstd vectors contain no tars.
        let errors =
            bench.errors().into_iter().filter(|error| !error.contains("not a well-formed tar")).collect::<Vec<_>>();
        judge(&case, &errors);
    }
}

#[test]
fn tars_are_judged_as_by_their_own_programs() {
    for case in cases("tars") {
        let content = fs::read(&case.path).unwrap();
        let bench = Bench::new();
        let mut plain = content.clone();
        let mut media_type = TAR.to_owned();
        if case.kind == "tar.gz" {
            plain.clear();
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(content.as_slice()), &mut plain).unwrap();
            media_type += "+gzip";
        }
        bench.image_of(&bench.store(&media_type, &content), &Digest::sha256_of(&plain));
        let errors = bench.errors();
        judge(&case, &errors);
        // The merged tree takes the layers that a validation finds well-formed, and no others.
        let merged = regshape::internals::merge_layers([plain.as_slice()]).map_err(|error| error.to_string());
        let is_malformed = errors.iter().any(|error| error.contains("not a well-formed tar"));
        assert_eq!(merged.is_err(), is_malformed, "{}: {merged:?} {errors:?}", case.name);
    }
}

#[test]
fn digests_are_judged_as_by_go_digest() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/strings/digests.tsv");
    let table = fs::read_to_string(table).unwrap();
    for line in table.lines().skip(1) {
        let cells: Vec<_> = line.splitn(3, '\t').collect();
        let [text, verdict, why] = cells.as_slice() else { panic!("{line}") };
        // Unlike in go-digest, a layout may use an algorithm that this program cannot compute.
        let is_legal = *verdict == "valid" || why.starts_with("ErrDigestUnsupported");
        assert_eq!(text.parse::<Digest>().is_ok(), is_legal, "{line}");
    }
}
