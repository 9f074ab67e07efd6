//! The parts of the program, each alone: `cargo bench --bench parts`, with a word to choose among them (`cargo bench
//! --bench parts -- inflate`). The whole program, and its comparison to other programs, is in `peers`.

mod support;

use std::fs;
use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use regshape::build::{LayerInput, LayerOptions};
use regshape::compress::{CompressFormat, Encoding};
use regshape::internals;
use regshape::layout::{Layout, WriteOptions};
use regshape::oci::Digest;

use support::{Result, generate_image, layout_with_entries, write_gzip, write_noise_tar, write_real_tar, write_zstd};

/// The size of the content: large enough to exceed the caches, small enough for many samples.
const SIZE: u64 = 32 * support::MIB;

/// The number of bytes that the compressor of a layer gets at a time.
const BLOCK: usize = 1024 * 1024;

/// The input files of the benchmarks.
struct Inputs {
    directory: tempfile::TempDir,
    raw: PathBuf,
    gz: PathBuf,
    zst: PathBuf,
    noise: PathBuf,
}

impl Inputs {
    fn make() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = |name| directory.path().join(name);
        let inputs = Self {
            raw: path("raw.tar"),
            gz: path("raw.tar.gz"),
            zst: path("raw.tar.zst"),
            noise: path("noise.tar"),
            directory,
        };
        write_real_tar(&inputs.raw, SIZE)?;
        write_gzip(&inputs.raw, &inputs.gz)?;
        write_zstd(&inputs.raw, &inputs.zst)?;
        write_noise_tar(&inputs.noise, 1, SIZE)?;
        Ok(inputs)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn jobs() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

fn parts(criterion: &mut Criterion) {
    let inputs = Inputs::make().expect("the inputs can be made");
    let raw = fs::read(&inputs.raw).expect("readable");
    hash(criterion, &raw);
    compress(criterion, &raw, &fs::read(&inputs.noise).expect("readable"));
    join(criterion, &raw);
    inflate(criterion, &inputs, raw.len());
    pipeline(criterion, &inputs);
    #[cfg(target_os = "linux")]
    copy::copy(criterion, &inputs);
    documents(criterion, &inputs);
}

fn hash(criterion: &mut Criterion, raw: &[u8]) {
    let mut group = criterion.benchmark_group("hash");
    group.sample_size(10).throughput(Throughput::Bytes(raw.len() as u64));
    group.bench_function("sha256", |bencher| bencher.iter(|| Digest::sha256_of(black_box(raw))));
}

fn compress(criterion: &mut Criterion, raw: &[u8], noise: &[u8]) {
    let mut group = criterion.benchmark_group("compress");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        for (name, content) in [("real", raw), ("noise", noise)] {
            for jobs in [1, jobs()] {
                let id = BenchmarkId::new(format!("{}-{name}", format.encoding().name()), format!("{jobs}-jobs"));
                group.throughput(Throughput::Bytes(content.len() as u64)).bench_function(id, |bencher| {
                    bencher.iter(|| {
                        internals::compress(format.into(), jobs, content, |bytes| {
                            black_box(bytes);
                        })
                        .expect("compressed");
                    });
                });
            }
        }
    }
}

/// Finds the ends of the deflate streams of all blocks, and opens them for joining.
fn join(criterion: &mut Criterion, raw: &[u8]) {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(5).expect("a level"));
    let streams: Vec<Vec<u8>> = raw
        .chunks(BLOCK)
        .map(|block| {
            let mut stream = vec![0; compressor.deflate_compress_bound(block.len())];
            let length = compressor.deflate_compress(block, &mut stream).expect("there is room");
            stream.truncate(length);
            stream
        })
        .collect();
    let mut group = criterion.benchmark_group("join");
    // The throughput is that of the content, for a comparison with its compression.
    group.sample_size(10).throughput(Throughput::Bytes(raw.len() as u64));
    group.bench_function("open_end", |bencher| {
        bencher.iter_batched_ref(
            || streams.clone(),
            |streams| streams.iter_mut().for_each(|stream| assert!(internals::open_end(stream))),
            BatchSize::LargeInput,
        );
    });
}

fn inflate(criterion: &mut Criterion, inputs: &Inputs, size: usize) {
    let mut group = criterion.benchmark_group("inflate");
    group.sample_size(10).throughput(Throughput::Bytes(size as u64));
    for (encoding, path) in [(Encoding::Gzip, &inputs.gz), (Encoding::Zstd, &inputs.zst)] {
        let stream = fs::read(path).expect("readable");
        group.bench_function(encoding.name(), |bencher| {
            bencher.iter(|| {
                let mut content = internals::decoder(encoding, stream.as_slice()).expect("a decoder");
                io::copy(&mut content, &mut io::sink()).expect("sound")
            });
        });
    }
    let stream = fs::read(&inputs.gz).expect("readable");
    group.bench_function("gzip by zlib-rs", |bencher| {
        bencher.iter(|| {
            io::copy(&mut flate2::bufread::MultiGzDecoder::new(stream.as_slice()), &mut io::sink()).expect("sound")
        });
    });
}

/// Two ways to copy a blob and verify it at the same time, each with two threads. In the first, the system copies the
/// blob (`copy_file_range`), and the copy is read and hashed behind it; in the second, the blob is read once, hashed
/// and written.
#[cfg(target_os = "linux")]
mod copy {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use regshape::oci::{Algorithm, Hasher};

    use super::*;

    /// The size of the blob.
    const BLOB: u64 = 2048 * support::MIB;

    /// The number of bytes that one system call copies.
    const RANGE: u64 = 16 * support::MIB;

    pub(super) fn copy(criterion: &mut Criterion, inputs: &Inputs) {
        let (source, target) = (inputs.path("blob"), inputs.path("copy"));
        write_noise_tar(&source, 2, BLOB).expect("the blob can be made");
        let size = fs::metadata(&source).expect("it is there").len();
        let mut group = criterion.benchmark_group("copy");
        group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(size));
        for (name, copy) in
            [("copy_file_range", by_the_system as fn(&Path, &Path) -> Digest), ("read-hash-write", once)]
        {
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    // Deleting the target and syncing are not a part of the copying.
                    || drop((fs::remove_file(&target), rustix::fs::sync())),
                    |()| black_box(copy(&source, &target)),
                    BatchSize::PerIteration,
                );
            });
        }
        let _ = (fs::remove_file(&source), fs::remove_file(&target));
    }

    fn by_the_system(source: &Path, target: &Path) -> Digest {
        let source = File::open(source).expect("opened");
        let target = File::options().read(true).write(true).create_new(true).open(target).expect("made");
        let size = source.metadata().expect("readable").len();
        let (sender, copied) = sync_channel(1024);
        thread::scope(|scope| {
            let (source, target) = (&source, &target);
            scope.spawn(move || {
                let (mut from, mut to, mut at) = (0, 0, 0);
                while at < size {
                    let length = usize::try_from(RANGE.min(size - at)).expect("small");
                    at += rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length)
                        .expect("copied") as u64;
                    sender.send(at).expect("somebody hashes");
                }
            });
            let (mut hasher, mut buffer, mut at) = (Hasher::new(Algorithm::Sha256), vec![0; BLOCK], 0);
            for end in copied {
                while at < end {
                    let length = (end - at).min(BLOCK as u64) as usize;
                    target.read_exact_at(&mut buffer[..length], at).expect("read");
                    hasher.update(&buffer[..length]);
                    at += length as u64;
                }
            }
            hasher.finish()
        })
    }

    fn once(source: &Path, target: &Path) -> Digest {
        let source = File::open(source).expect("opened");
        let mut target = File::create_new(target).expect("made");
        let size = source.metadata().expect("readable").len();
        let (sender, read) = sync_channel::<Vec<u8>>(4);
        let (back, free) = sync_channel::<Vec<u8>>(8);
        thread::scope(|scope| {
            scope.spawn(move || {
                for bytes in read {
                    target.write_all(&bytes).expect("written");
                    let _ = back.send(bytes);
                }
            });
            let (mut hasher, mut at) = (Hasher::new(Algorithm::Sha256), 0);
            while at < size {
                let mut buffer = free.try_recv().unwrap_or_default();
                buffer.resize((size - at).min(BLOCK as u64) as usize, 0);
                source.read_exact_at(&mut buffer, at).expect("read");
                hasher.update(&buffer);
                at += buffer.len() as u64;
                sender.send(buffer).expect("somebody writes");
            }
            drop(sender);
            hasher.finish()
        })
    }
}

/// The complete processing of a layer, from its file into a new layout.
fn pipeline(criterion: &mut Criterion, inputs: &Inputs) {
    let mut group = criterion.benchmark_group("stage_layer");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let cases = [
        ("raw-to-gzip", &inputs.raw, CompressFormat::Gzip),
        ("raw-to-zstd", &inputs.raw, CompressFormat::Zstd),
        ("gz", &inputs.gz, CompressFormat::Gzip),
        ("zst", &inputs.zst, CompressFormat::Gzip),
        ("noise-to-gzip", &inputs.noise, CompressFormat::Gzip),
    ];
    for (name, file, format) in cases {
        for is_synced in [true, false] {
            let id = BenchmarkId::new(name, if is_synced { "sync" } else { "no-sync" });
            group.throughput(Throughput::Bytes(fs::metadata(file).expect("readable").len()));
            group.bench_function(id, |bencher| {
                bencher.iter_batched(
                    || new_layout(inputs.directory.path(), is_synced),
                    |(directory, layout)| {
                        let options = LayerOptions::default().compression(format.into());
                        layout.stage_layer(LayerInput::open(file).expect("readable"), &options).expect("stored");
                        directory
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
}

fn new_layout(parent: &Path, is_synced: bool) -> (tempfile::TempDir, Layout) {
    let directory = tempfile::tempdir_in(parent).expect("a directory");
    let layout = Layout::init_with(directory.path(), &WriteOptions::default().no_sync(true)).expect("a layout");
    let layout = if is_synced { Layout::open(directory.path()).expect("a layout") } else { layout };
    (directory, layout)
}

/// Reading `index.json`, and replacing it by a version with another ref name.
fn documents(criterion: &mut Criterion, inputs: &Inputs) {
    let tar = inputs.path("tiny.tar");
    support::write_tiny_tar(&tar, 0).expect("written");
    let mut group = criterion.benchmark_group("index");
    group.sample_size(10);
    for entries in [10_000, 100_000] {
        let path = inputs.path(&format!("index-{entries}"));
        let layout = layout_with_entries(&path, &tar, entries).expect("a layout");
        group.throughput(Throughput::Elements(entries as u64));
        group.bench_function(BenchmarkId::new("read", entries), |bencher| {
            bencher.iter(|| layout.read_index().expect("sound"))
        });
        // From the second iteration on, the entry is replaced, and the index keeps its size.
        group.bench_function(BenchmarkId::new("write", entries), |bencher| {
            bencher.iter(|| generate_image(&layout, "another").expect("written"));
        });
    }
}

criterion_group!(benches, parts);
criterion_main!(benches);
