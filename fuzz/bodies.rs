//! What holds for any bytes: one function a target, which panics where it does not hold.
//!
//! `cargo fuzz` calls them with what it makes up (`fuzz_targets/`), `cargo test` with variations of the seeds
//! (`tests/properties.rs`).

use std::fmt::Debug;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use regshape::check::ValidateOptions;
use regshape::compress::{CompressFormat, Compression, Encoding};
use regshape::internals;
use regshape::layout::{Layout, Stage};
use regshape::oci::{
    Descriptor, Digest, ImageConfig, Index, Json, Manifest, MediaType, RefName, UnknownFields, from_json, to_blob,
    to_json_pretty,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What is called with bytes, and panics if something does not hold for them.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: [(&str, Target); 9] = [
    ("json", json),
    ("index", index),
    ("manifest", manifest),
    ("config", config),
    ("stage", stage),
    ("digest", digest),
    ("reference", reference),
    ("tar_sniffing", tar_sniffing),
    ("gzip_join", gzip_join),
];

/// The most bytes that arbitrary streams are decompressed to here.
const ENOUGH: u64 = 1 << 20;

/// `index.json`: what can be read is written again without a loss; a validation comes to an end, and what it finds sound
/// can be read.
pub fn index(data: &[u8]) {
    let index = read_back::<Index>(data);
    let bench = Bench::new();
    bench.write("index.json", data);
    let found = bench.layout().read_index();
    assert_eq!(found.as_ref().ok(), index.as_ref(), "{found:?}");
    assert!(index.is_some() || bench.finds_faults());
}

/// A manifest, as a blob that `index.json` leads to.
pub fn manifest(data: &[u8]) {
    let manifest = read_back::<Manifest>(data);
    let bench = Bench::new();
    bench.list(&bench.store(MediaType::manifest(), data));
    assert!(manifest.is_some() || bench.finds_faults());
}

/// The config of an image without layers.
pub fn config(data: &[u8]) {
    let config = read_back::<ImageConfig>(data);
    if let Some(config) = &config
        && let Some(platform) = config.platform()
    {
        assert_eq!(
            (platform.architecture.as_ref(), platform.os.as_ref()),
            (Some(&config.architecture), Some(&config.os))
        );
    }
    let bench = Bench::new();
    // A layer of a type that is known makes it an image; that it is not there is not the config's fault.
    let layer =
        Descriptor::new("application/vnd.oci.image.layer.v1.tar".parse().expect("one"), Digest::sha256_of(b"x"), 1);
    let config_blob = bench.store(MediaType::config(), data);
    let manifest = json!({"schemaVersion": 2, "config": config_blob, "layers": [layer]});
    bench.list(&bench.store(MediaType::manifest(), &to_blob(&manifest)));
    assert!(config.is_some() || bench.finds_faults());
}

/// Any JSON: what is read is what another reader reads, and what is no JSON is refused in its words. Numbers that fit no machine
/// type are the exception: the other reader cannot read some of them.
pub fn json(data: &[u8]) {
    let ours = from_json::<Json>(data);
    let theirs = serde_json::from_slice::<Value>(data);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(&serde_json::from_str::<Value>(ours.as_str()).expect("JSON"), theirs);
            // The last digit of some fractions, and of integers that are read as such, is another one there.
            let is_digit = |byte: &u8| byte.is_ascii_digit();
            let has_long_integer =
                ours.as_str().as_bytes().split(|byte| !is_digit(byte)).any(|digits| digits.len() > 19);
            if !has_long_integer && ![".", "e+", "e-"].iter().any(|part| ours.as_str().contains(part)) {
                assert_eq!(&ours.read::<Value>().expect("a value"), theirs);
                assert_eq!(serde_json::to_value(ours).expect("a value"), *theirs);
                let through_them = serde_json::from_slice::<Json>(data).expect("JSON");
                assert_eq!(through_them.read::<Value>().expect("a value"), *theirs);
            }
        }
        // Of several faults in what is not UTF-8 either may be told.
        (Err(_), Err(_)) if std::str::from_utf8(data).is_err() => {}
        // `serde_json` does not name it.
        (Err(ours), Err(_)) if data.starts_with(b"\xef\xbb\xbf") => assert!(ours.is_byte_order_mark(), "{ours}"),
        (Err(ours), Err(theirs)) if !theirs.to_string().starts_with("number out of range") => {
            let words = |error: String| error.split(" at line ").next().unwrap_or_default().to_owned();
            // Both of its names for a missing value are one here.
            let theirs = words(theirs.to_string()).replace("expected ident", "expected value");
            assert_eq!(words(ours.to_string()), theirs.replace("expected value", "expected a value"));
        }
        (_, Err(theirs)) => assert!(theirs.to_string().starts_with("number out of range"), "{theirs} {ours:?}"),
        (Err(ours), Ok(_)) => panic!("{ours}"),
    }
    let Ok(ours) = ours else { return };
    assert_eq!(from_json::<Json>(ours.as_str().as_bytes()).as_ref(), Ok(&ours), "sorted stays as it is");
    let pretty = to_json_pretty(&ours).expect("written");
    assert_eq!(from_json::<Json>(pretty.as_bytes()).as_ref(), Ok(&ours));
    assert_eq!(to_blob(&ours), ours.as_str().as_bytes());
    if let Ok(fields) = ours.read::<UnknownFields>() {
        assert_eq!(fields.to_string(), ours.as_str());
        let mut again = UnknownFields::new();
        for (name, value) in fields.iter() {
            assert_eq!(fields.get::<Json>(&name).as_ref(), Ok(&Some(value.clone())));
            again.insert(&name, &value).expect("written");
        }
        assert_eq!(again, fields);
        for (name, value) in fields.iter() {
            assert_eq!(again.remove(&name), Some(value));
        }
        assert!(again.is_empty());
    }
}

/// The staging file.
pub fn stage(data: &[u8]) {
    let stage = read_back::<Stage>(data);
    let bench = Bench::new();
    bench.write(".regshape-stage.json", data);
    let found = bench.layout().read_stage();
    let expected = stage.filter(|stage| stage.schema_version == 1);
    assert_eq!(found.as_ref().ok(), expected.as_ref(), "{found:?}");
    bench.finds_faults();
}

/// Digests: those that follow the grammar are taken, print as they came, and lead to below `blobs/`.
pub fn digest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parsed = text.parse::<Digest>();
    assert_eq!(parsed.is_ok(), is_digest(&text), "{text:?}");
    assert_eq!(serde_json::from_value(json!(text)).ok(), parsed.clone().ok(), "a document has the same digests");
    match parsed {
        Ok(digest) => {
            assert_eq!(digest.to_string(), text);
            assert_eq!(format!("{}:{}", digest.algorithm_name(), digest.encoded()), text);
            let path = Path::new(digest.algorithm_name()).join(digest.encoded());
            let names: Vec<_> = path.components().collect();
            assert!(matches!(names[..], [Component::Normal(_), Component::Normal(_)]), "{path:?}");
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

/// Reference names and media types: those that follow the grammar are taken, and print as they came.
pub fn reference(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let name = text.parse::<RefName>();
    assert_eq!(name.is_ok(), is_ref_name(&text), "{text:?}");
    match name {
        Ok(name) => assert_eq!((name.to_string(), name.as_str()), (text.to_string(), &*text)),
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
    match text.parse::<MediaType>() {
        Ok(media_type) => assert_eq!((media_type.to_string(), text.matches('/').count()), (text.to_string(), 1)),
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

/// Looking at the first bytes of a file: no byte is lost; a tar is one by its checksum, compressed or not; a broken stream
/// comes to an end.
pub fn tar_sniffing(data: &[u8]) {
    let (encoding, _) = sniff(data);
    if let Ok(stream) = internals::decoder(encoding, data) {
        let _ = io::copy(&mut stream.take(ENOUGH), &mut io::sink());
    }
    let Some((&at, data)) = data.split_first() else { return };
    let mut header = [0; 512];
    let length = data.len().min(header.len());
    header[..length].copy_from_slice(&data[..length]);
    let sum = |header: &[u8; 512]| header.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    header[148..156].fill(b' ');
    let checksum = format!("{:06o}\0 ", sum(&header));
    header[148..156].copy_from_slice(checksum.as_bytes());
    // A name may look like a compressed file.
    if sniff(&header).0 != Encoding::Identity {
        return;
    }
    let zeros = header.iter().enumerate().all(|(at, byte)| *byte == 0 || (148..156).contains(&at));
    assert!(sniff(&header).1, "a right checksum");
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        let stream = compressed(format.into(), 1, &header);
        assert_eq!(sniff(&stream), (format.encoding(), true));
        // Of a truncated one nothing can be said but that nothing is lost.
        sniff(&stream[..stream.len() * usize::from(at) / 256]);
    }
    // One other bit changes the sum, whether bytes are taken as signed or not.
    let flipped = usize::from(at) * 2;
    if !(148..156).contains(&flipped) && !zeros {
        header[flipped] ^= 1 << (at % 8);
        let (encoding, is_tar) = sniff(&header);
        assert!(encoding != Encoding::Identity || !is_tar, "a wrong checksum");
    }
}

/// The gzip joiner and what uses it: whatever is compressed, at every level and on any number of threads, is one member or
/// frame that other programs read back; opening the end of a stream loses nothing, and breaks nothing that is no stream.
pub fn gzip_join(data: &[u8]) {
    open_end(data);
    if let Ok(stream) = internals::decoder(Encoding::Gzip, data) {
        let _ = io::copy(&mut stream.take(ENOUGH), &mut io::sink());
    }
    let [shape, repeats, jobs, content @ ..] = data else { return };
    let level = shape % 28;
    let (format, level) = if level < 9 { (CompressFormat::Gzip, level + 1) } else { (CompressFormat::Zstd, level - 8) };
    // Blocks are 1 MiB: only a repetition gets there.
    let count = if *repeats < 250 { usize::from(repeats % 4) + 1 } else { (5 << 18) / (content.len() + 1) };
    let content = content.repeat(count);
    let stream =
        compressed(Compression::new(format, Some(level)).expect("a level"), usize::from(jobs % 4) + 1, &content);
    let mut read = Vec::new();
    let rest = match format {
        CompressFormat::Gzip => {
            let mut reader = flate2::bufread::GzDecoder::new(&*stream);
            reader.read_to_end(&mut read).expect("a sound member");
            reader.into_inner()
        }
        CompressFormat::Zstd => {
            let mut reader = zstd::Decoder::with_buffer(&*stream).expect("a decoder").single_frame();
            reader.read_to_end(&mut read).expect("a sound frame");
            reader.finish()
        }
    };
    assert!(rest.is_empty(), "one member or frame");
    assert!(read == content);

    let finished = deflated(u32::from(shape % 10), &content);
    let mut joined = open_end(&finished).expect("a finished stream");
    joined.extend(&finished);
    assert!(inflated(&joined) == Some(content.repeat(2)));
}

/// Opens a stream at its end; checks that it then goes on, and that what is no stream stays as it is.
fn open_end(stream: &[u8]) -> Option<Vec<u8>> {
    /// An empty last block.
    const END: [u8; 2] = [3, 0];
    let mut opened = stream.to_vec();
    if !internals::open_end(&mut opened) {
        assert!(opened == stream, "left as it was");
        return None;
    }
    // What has the form of a stream may still refer to bytes before its beginning.
    if let Some(content) = inflated(stream) {
        assert!(inflated(&[opened.as_slice(), &END].concat()) == Some(content));
        assert_eq!(inflated(&opened), None, "it has no end");
    }
    Some(opened)
}

fn compressed(compression: Compression, jobs: usize, content: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    internals::compress(compression, jobs, content, |bytes| stream.extend(bytes)).expect("compressed");
    stream
}

fn deflated(level: u32, content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content).expect("compressed");
    encoder.finish().expect("compressed")
}

/// Reads a deflate stream that ends where the bytes end.
fn inflated(stream: &[u8]) -> Option<Vec<u8>> {
    let mut decompressor = flate2::Decompress::new(false);
    let mut content = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (taken, given) = (decompressor.total_in() as usize, content.len());
        let status = decompressor.decompress(&stream[taken..], &mut buffer, flate2::FlushDecompress::None).ok()?;
        content.extend(&buffer[..decompressor.total_out() as usize - given]);
        if status == flate2::Status::StreamEnd {
            return (decompressor.total_in() == stream.len() as u64).then_some(content);
        }
        if (decompressor.total_in() as usize, content.len()) == (taken, given) {
            return None;
        }
    }
}

/// Looks at a file that comes in pieces of uneven sizes; all of it must still be there.
fn sniff(content: &[u8]) -> (Encoding, bool) {
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 * 5 % 509 + 1;
            let length = buffer.len().min(self.1);
            self.0.read(&mut buffer[..length])
        }
    }
    let (encoding, is_tar, mut reader) = internals::peek(Pieces(content, 0)).expect("memory can be read");
    let mut read = Vec::new();
    reader.read_to_end(&mut read).expect("memory can be read");
    assert!(read == content, "no byte is lost");
    assert!(!is_tar || encoding != Encoding::Identity || content.len() >= 512);
    (encoding, is_tar)
}

/// Reads a document, writes it in both ways that there are, and reads it again: all of it is still there.
fn read_back<T>(data: &[u8]) -> Option<T>
where
    T: DeserializeOwned + Serialize + PartialEq + Debug,
{
    let document = from_json::<T>(data).ok()?;
    let written = to_json_pretty(&document).expect("what was read can be written").into_bytes();
    assert_eq!(from_json::<T>(&written).expect("what was written can be read"), document);
    let blob = to_blob(&document);
    let again = from_json::<T>(&blob).expect("what was written can be read");
    assert_eq!(again, document);
    assert!(to_blob(&again) == blob, "equal documents have equal bytes");
    let (before, after) = (from_json(data).expect("JSON"), from_json(&written).expect("JSON"));
    assert_kept(&before, &after);
    Some(document)
}

/// Checks that a document lost nothing, and won nothing but empty objects. A field that is null may be left out.
fn assert_kept(before: &Json, after: &Json) {
    if let (Ok(before), Ok(after)) = (before.read::<UnknownFields>(), after.read::<UnknownFields>()) {
        for (key, value) in before.iter() {
            match after.get(&key).expect("JSON") {
                Some(kept) => assert_kept(&value, &kept),
                None => assert_eq!(value.as_str(), "null", "{key} is lost"),
            }
        }
        for (key, value) in after.iter() {
            assert!(before.contains_key(&key) || value.as_str() == "{}", "{key} is new");
        }
    } else if let (Ok(before), Ok(after)) = (before.read::<Vec<Json>>(), after.read::<Vec<Json>>()) {
        assert_eq!(before.len(), after.len());
        before.iter().zip(&after).for_each(|(before, after)| assert_kept(before, after));
    } else if before.as_str() == "null" {
        assert!(["null", "[]"].contains(&after.as_str()));
    } else {
        assert_eq!(before, after);
    }
}

/// A digest by the image-spec (descriptor.md): its grammar, and what it says of each registered algorithm.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, encoded)) = text.split_once(':') else { return false };
    // A separator stands between two others that are none.
    let mut may_end = false;
    for character in algorithm.chars() {
        may_end = match character {
            'a'..='z' | '0'..='9' => true,
            '+' | '.' | '_' | '-' if may_end => false,
            _ => return false,
        };
    }
    let length = match algorithm {
        "sha256" | "blake3" => Some(64),
        "sha512" => Some(128),
        _ => None,
    };
    may_end
        && match length {
            Some(length) => encoded.len() == length && encoded.chars().all(|it| matches!(it, '0'..='9' | 'a'..='f')),
            None => {
                let legal = |it| matches!(it, 'a'..='z' | 'A'..='Z' | '0'..='9' | '=' | '_' | '-');
                !encoded.is_empty() && encoded.chars().all(legal)
            }
        }
}

/// A ref name by the image-spec (annotations.md), one character after the other.
fn is_ref_name(text: &str) -> bool {
    enum After {
        Word,
        Hyphen,
        /// A separator, a slash or nothing: a word must follow.
        Other,
    }
    let mut after = After::Other;
    for character in text.chars() {
        after = match (character, after) {
            ('a'..='z' | 'A'..='Z' | '0'..='9', _) => After::Word,
            ('-', After::Word) => After::Hyphen,
            ('-', After::Hyphen) | ('.' | '_' | ':' | '@' | '+' | '/', After::Word) => After::Other,
            _ => return false,
        };
    }
    matches!(after, After::Word)
}

/// A layout that is written by hand.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir_all(bench.0.path().join("blobs/sha256")).expect("created");
        bench.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        bench.write("index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
        bench
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.path().join(name), content).expect("written");
    }

    fn store(&self, media_type: MediaType, content: &[u8]) -> Descriptor {
        let digest = Digest::sha256_of(content);
        self.write(&format!("blobs/sha256/{}", digest.encoded()), content);
        Descriptor::new(media_type, digest, content.len() as u64)
    }

    fn list(&self, entry: &Descriptor) {
        self.write("index.json", &to_blob(&json!({"schemaVersion": 2, "manifests": [entry]})));
    }

    fn layout(&self) -> Layout {
        Layout::open(self.0.path()).expect("a layout")
    }

    /// Validates the layout, and tells whether there is an error other than that a blob is not there.
    fn finds_faults(&self) -> bool {
        let report = self.layout().validate(&ValidateOptions::default().deep(true));
        let report = report.expect("the layout can be read");
        report.errors.iter().any(|error| !error.message().ends_with(" does not exist"))
    }
}
