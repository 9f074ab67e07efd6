//! The comparisons, a row each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::baselines;
use crate::lab::{ImageKind, Lab, blobs_of, readers, silent};
use crate::measure::Side;
use crate::registries::{self, Load};
use crate::support::Result;

/// How often a row is run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Once per round.
    Long,
    /// Many times per round, because a run takes only milliseconds.
    Short,
    /// Once, only for the sizes.
    Sizes,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) work: &'static str,
    /// The program to compare with, or [`ITSELF`] or [`BASELINE`].
    pub(crate) peer: &'static str,
    pub(crate) kind: Kind,
    /// Creates both sides; the path is that of the peer.
    pub(crate) sides: for<'l> fn(&'l Lab, &'l Path) -> Result<(Side<'l>, Side<'l>)>,
}

/// The peer of rows that compare the program with itself.
pub(crate) const ITSELF: &str = "itself";

/// The peer of rows that compare the program with a part of its own work, done by the benchmark.
pub(crate) const BASELINE: &str = "baseline";

/// The staging file of a layout.
const STAGE_FILE: &str = ".regshape-stage.json";

/// The number of layers before the last one is added.
const LAYERS: usize = 1_999;

/// The images that are pushed to a registry that discards them: 4 GiB at the usual size.
const ONE_BLOB: Load = Load { layers: 1, sizes: 4, jobs: None };
const MANY_BLOBS: Load = Load { layers: 16, sizes: 4, jobs: Some(16) };

pub(crate) const ROWS: [Row; 35] = [
    Row {
        name: "gzip-pigz",
        work: "raw tar to gzip",
        peer: "pigz",
        kind: Kind::Long,
        sides: |lab, peer| {
            let raw = lab.raw(lab.size)?;
            let threads = format!("-p{}", lab.cores);
            Ok((lab.add_layer(raw.clone(), &[]), lab.compressor(peer, &[&threads, "-6", "-c"], raw)))
        },
    },
    Row {
        name: "gzip-umoci",
        work: "raw tar to gzip",
        peer: "umoci",
        kind: Kind::Long,
        sides: |lab, peer| {
            let raw = lab.raw(lab.size)?;
            Ok((lab.add_layer(raw.clone(), &[]), lab.umoci_add_layer(peer, raw)))
        },
    },
    Row {
        name: "gzip-size",
        work: "raw tar to gzip: the size",
        peer: "gzip",
        kind: Kind::Sizes,
        sides: |lab, peer| {
            let raw = lab.raw(lab.size)?;
            Ok((lab.add_layer(raw.clone(), &[]), lab.compressor(peer, &["-6", "-c"], raw)))
        },
    },
    Row {
        name: "gzip-original",
        work: "raw tar to gzip",
        peer: "original",
        kind: Kind::Long,
        sides: |lab, peer| {
            let raw = lab.raw(lab.size)?;
            Ok((lab.add_layer(raw.clone(), &[]), lab.original_add_layer(peer, raw)))
        },
    },
    Row {
        name: "noise-umoci",
        work: "tar of noise to gzip",
        peer: "umoci",
        kind: Kind::Long,
        sides: |lab, peer| {
            let noise = lab.noise()?;
            Ok((lab.add_layer(noise.clone(), &[]), lab.umoci_add_layer(peer, noise)))
        },
    },
    Row {
        name: "zstd",
        work: "raw tar to zstd",
        peer: "zstd",
        kind: Kind::Long,
        sides: |lab, peer| {
            let raw = lab.raw(lab.size)?;
            let threads = format!("-T{}", lab.cores);
            let peer = lab.compressor(peer, &["-q", &threads, "-3", "-c"], raw.clone());
            Ok((lab.add_layer(raw, &["--compress-format", "zstd"]), peer))
        },
    },
    Row {
        name: "copy-small",
        work: "a directory of small files to gzip",
        peer: "pigz",
        kind: Kind::Long,
        sides: |lab, peer| {
            let files = lab.small_files()?;
            Ok((lab.copy(files.clone()), lab.tar_and_compress(peer, files)))
        },
    },
    Row {
        name: "copy-large",
        work: "a directory of large files to gzip; as a tar",
        peer: ITSELF,
        kind: Kind::Long,
        sides: |lab, _| {
            let (files, tar) = lab.large_files()?;
            Ok((lab.copy(files), lab.add_layer(tar, &[])))
        },
    },
    Row {
        name: "unpack-real-umoci",
        work: "unpack a root file system",
        peer: "umoci",
        kind: Kind::Long,
        sides: |lab, peer| {
            let image = lab.image(ImageKind::Real)?;
            Ok((lab.unpack(image.clone()), lab.umoci_unpack(peer, image)))
        },
    },
    Row {
        name: "unpack-real-tar",
        work: "unpack a root file system",
        peer: "tar",
        kind: Kind::Long,
        sides: |lab, peer| {
            let image = lab.image(ImageKind::Real)?;
            Ok((lab.unpack(image.clone()), lab.tar_extract(peer, image)?))
        },
    },
    Row {
        name: "unpack-many-umoci",
        work: "unpack 50,000 files",
        peer: "umoci",
        kind: Kind::Long,
        sides: |lab, peer| {
            let image = lab.image(ImageKind::Many)?;
            Ok((lab.unpack(image.clone()), lab.umoci_unpack(peer, image)))
        },
    },
    Row {
        name: "unpack-many-tar",
        work: "unpack 50,000 files",
        peer: "tar",
        kind: Kind::Long,
        sides: |lab, peer| {
            let image = lab.image(ImageKind::Many)?;
            Ok((lab.unpack(image.clone()), lab.tar_extract(peer, image)?))
        },
    },
    Row {
        name: "push-curl",
        work: "push of one blob, discarded",
        peer: "curl",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_and_curl(lab, peer, ONE_BLOB, false),
    },
    Row {
        name: "push-16-curl",
        work: "push of 16 blobs, discarded",
        peer: "curl",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_and_curl(lab, peer, MANY_BLOBS, false),
    },
    Row {
        name: "push-tls-curl",
        work: "push of one blob over TLS, discarded",
        peer: "curl",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_and_curl(lab, peer, ONE_BLOB, true),
    },
    Row {
        name: "push-16-tls-curl",
        work: "push of 16 blobs over TLS, discarded",
        peer: "curl",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_and_curl(lab, peer, MANY_BLOBS, true),
    },
    Row {
        name: "push-openssl",
        work: "push of one blob, discarded",
        peer: "openssl",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_and_openssl(lab, peer, ONE_BLOB),
    },
    Row {
        name: "push-16-openssl",
        work: "push of 16 blobs, discarded",
        peer: "openssl",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_and_openssl(lab, peer, MANY_BLOBS),
    },
    Row {
        name: "push-skopeo",
        work: "push to docker-registry",
        peer: "skopeo",
        kind: Kind::Long,
        sides: registries::push_and_skopeo,
    },
    Row {
        name: "push-puts",
        work: "push to docker-registry",
        peer: "curl",
        kind: Kind::Long,
        sides: registries::push_and_puts,
    },
    Row {
        name: "push-late-skopeo",
        work: "push of 100 small layers, late answers",
        peer: "skopeo",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_late(lab, peer, false),
    },
    Row {
        name: "push-warm-skopeo",
        work: "push of 100 small layers that are there, late answers",
        peer: "skopeo",
        kind: Kind::Long,
        sides: |lab, peer| registries::push_late(lab, peer, true),
    },
    Row {
        name: "pull-skopeo",
        work: "pull from docker-registry",
        peer: "skopeo",
        kind: Kind::Long,
        sides: |lab, peer| registries::pull_and_skopeo(lab, peer, false),
    },
    Row {
        name: "pull-synced-skopeo",
        work: "pull from docker-registry, synced",
        peer: "skopeo",
        kind: Kind::Long,
        sides: |lab, peer| registries::pull_and_skopeo(lab, peer, true),
    },
    Row {
        name: "gz-as-it-is",
        work: "`.tar.gz` as it is, with diff_id",
        peer: BASELINE,
        kind: Kind::Long,
        sides: |lab, peer| {
            let gz = lab.gz(lab.size)?;
            Ok((lab.add_layer(gz.clone(), &[]), readers(peer, &[baselines::FLAG, "inflate"], vec![vec![gz]])))
        },
    },
    Row {
        name: "zst-as-it-is",
        work: "`.tar.zst` as it is, with diff_id",
        peer: "zstd",
        kind: Kind::Long,
        sides: |lab, peer| {
            let zst = lab.zst(lab.size)?;
            Ok((lab.add_layer(zst.clone(), &[]), readers(peer, &["-q", "-t"], vec![vec![zst]])))
        },
    },
    Row {
        name: "validate",
        work: "`validate`, 16 blobs",
        peer: "openssl",
        kind: Kind::Long,
        sides: |lab, peer| {
            let layout = lab.blobs()?;
            let blobs = groups_of_equal_size(blobs_of(&layout)?, lab.cores)?;
            Ok((command_on(lab, &["validate"], layout), readers(peer, &["dgst", "-sha256"], blobs)))
        },
    },
    Row {
        name: "tiny",
        work: "one layer of 10 KiB",
        peer: "umoci",
        kind: Kind::Short,
        sides: |lab, peer| {
            let tiny = lab.tiny(0)?;
            Ok((lab.add_layer(tiny.clone(), &[]), lab.umoci_add_layer(peer, tiny)))
        },
    },
    Row {
        name: "tiny-2000",
        work: "the 2,000th layer of 10 KiB",
        peer: "umoci",
        kind: Kind::Short,
        sides: |lab, peer| {
            let (layout, tiny) = (lab.many_layers(LAYERS)?, lab.tiny(LAYERS)?);
            Ok((add_last_layer(lab, layout.clone(), tiny.clone())?, umoci_add_last_layer(peer, layout, tiny)?))
        },
    },
    Row {
        name: "show-10000",
        work: "`show`, 10,000 entries",
        peer: BASELINE,
        kind: Kind::Short,
        sides: |lab, peer| show(lab, peer, 10_000),
    },
    Row {
        name: "show-100000",
        work: "`show`, 100,000 entries",
        peer: BASELINE,
        kind: Kind::Short,
        sides: |lab, peer| show(lab, peer, 100_000),
    },
    Row {
        name: "tag-10000",
        work: "one tag more, 10,000 entries",
        peer: BASELINE,
        kind: Kind::Short,
        sides: |lab, peer| one_tag_more(lab, peer, 10_000),
    },
    Row {
        name: "tag-100000",
        work: "one tag more, 100,000 entries",
        peer: BASELINE,
        kind: Kind::Short,
        sides: |lab, peer| one_tag_more(lab, peer, 100_000),
    },
    Row {
        name: "sync-tiny",
        work: "sync: one layer of 10 KiB",
        peer: ITSELF,
        kind: Kind::Short,
        sides: |lab, _| with_and_without_sync(lab, lab.tiny(0)?),
    },
    Row {
        name: "sync-gz",
        work: "sync: `.tar.gz` as it is",
        peer: ITSELF,
        kind: Kind::Long,
        sides: |lab, _| with_and_without_sync(lab, lab.gz(lab.size)?),
    },
];

/// The memory use for a layer, for a small and a large one.
pub(crate) struct MemoryRow {
    pub(crate) work: &'static str,
    pub(crate) side: fn(&Lab, u64) -> Result<Side<'_>>,
}

pub(crate) const MEMORY_ROWS: [MemoryRow; 4] = [
    MemoryRow { work: "raw tar to gzip", side: |lab, mib| Ok(lab.add_layer(lab.raw(mib)?, &[])) },
    MemoryRow { work: "`.tar.gz` as it is", side: |lab, mib| Ok(lab.add_layer(lab.gz(mib)?, &[])) },
    MemoryRow { work: "`.tar.zst` as it is", side: |lab, mib| Ok(lab.add_layer(lab.zst(mib)?, &[])) },
    MemoryRow {
        work: "raw tar to zstd",
        side: |lab, mib| Ok(lab.add_layer(lab.raw(mib)?, &["--compress-format", "zstd"])),
    },
];

/// Measures a command of the program on a layout that it does not change.
fn command_on<'l>(lab: &'l Lab, words: &'static [&'static str], layout: PathBuf) -> Side<'l> {
    Side {
        shown: format!("regshape layout {}", words.join(" ")),
        prepare: Box::new(move || Ok(vec![lab.regshape(words, &layout)])),
        output: None,
    }
}

/// Distributes files, the largest first, each to the group with the smallest total.
pub(crate) fn groups_of_equal_size(files: Vec<PathBuf>, count: usize) -> Result<Vec<Vec<PathBuf>>> {
    let mut sized = files.into_iter().map(|file| Ok((fs::metadata(&file)?.len(), file))).collect::<Result<Vec<_>>>()?;
    sized.sort();
    let mut groups = vec![(0, Vec::new()); count];
    for (size, file) in sized.into_iter().rev() {
        let smallest = groups.iter_mut().min_by_key(|(sum, _)| *sum).ok_or("there are no cores")?;
        smallest.0 += size;
        smallest.1.push(file);
    }
    Ok(groups.into_iter().map(|(_, files)| files).filter(|files| !files.is_empty()).collect())
}

/// Measures the same layer with and without syncing.
fn with_and_without_sync(lab: &Lab, file: PathBuf) -> Result<(Side<'_>, Side<'_>)> {
    Ok((lab.add_layer(file.clone(), &[]), lab.add_layer(file, &["--no-sync"])))
}

fn show<'l>(lab: &'l Lab, peer: &'l Path, entries: usize) -> Result<(Side<'l>, Side<'l>)> {
    let layout = lab.many_entries(entries)?;
    Ok((command_on(lab, &["show"], layout.clone()), parse_index(peer, &layout)))
}

/// Lists the manifest under another ref name. Before each run the documents are restored.
fn one_tag_more<'l>(lab: &'l Lab, peer: &'l Path, entries: usize) -> Result<(Side<'l>, Side<'l>)> {
    const WORDS: [&str; 4] = ["generate", "manifest", "--ref-name", "another"];
    let layout = lab.many_entries(entries)?;
    let peer = parse_index(peer, &layout);
    let documents = ["index.json", STAGE_FILE].map(|name| layout.join(name));
    let contents = documents.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let ours = Side {
        shown: format!("regshape layout {}", WORDS.join(" ")),
        prepare: Box::new(move || {
            for (document, content) in documents.iter().zip(&contents) {
                fs::write(document, content)?;
            }
            Ok(vec![lab.regshape(&WORDS, &layout)])
        }),
        output: None,
    };
    Ok((ours, peer))
}

fn parse_index<'l>(peer: &'l Path, layout: &Path) -> Side<'l> {
    readers(peer, &[baselines::FLAG, "parse-index"], vec![vec![layout.join("index.json")]])
}

/// Adds a layer to many. Before each run the staging file is restored, and the layer is deleted.
fn add_last_layer<'l>(lab: &'l Lab, layout: PathBuf, file: PathBuf) -> Result<Side<'l>> {
    let before = fs::read(layout.join(STAGE_FILE))?;
    let blobs: BTreeSet<PathBuf> = blobs_of(&layout)?.into_iter().collect();
    Ok(Side {
        shown: "regshape layout add layer --file 1999.tar".to_owned(),
        prepare: Box::new(move || {
            fs::write(layout.join(STAGE_FILE), &before)?;
            remove_other_blobs(&layout, &blobs)?;
            let mut command = lab.regshape(&["add", "layer"], &layout);
            command.arg("--file").arg(&file);
            Ok(vec![command])
        }),
        output: None,
    })
}

/// Measures umoci as it adds a layer to an image of many, under another tag. Before each run the layer is deleted.
fn umoci_add_last_layer(umoci: &Path, layout: PathBuf, file: PathBuf) -> Result<Side<'_>> {
    let before = fs::read(layout.join("index.json"))?;
    let blobs: BTreeSet<PathBuf> = blobs_of(&layout)?.into_iter().collect();
    Ok(Side {
        shown: "umoci raw add-layer --image layout:base --tag next 1999.tar".to_owned(),
        prepare: Box::new(move || {
            fs::write(layout.join("index.json"), &before)?;
            remove_other_blobs(&layout, &blobs)?;
            let mut command = silent(umoci);
            command.args(["raw", "add-layer", "--tag", "next", "--image"]);
            command.arg(format!("{}:base", layout.display())).arg(&file);
            Ok(vec![command])
        }),
        output: None,
    })
}

fn remove_other_blobs(layout: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    blobs_of(layout)?.iter().filter(|blob| !kept.contains(*blob)).try_for_each(|blob| Ok(fs::remove_file(blob)?))
}
