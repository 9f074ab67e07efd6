//! Inputs shared by the benchmarks: tars of real files, noise, and a layout with a long index.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
use regshape::layout::{Layout, WriteOptions};
use regshape::oci::{Digest, REF_NAME};

pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

pub(crate) const MIB: u64 = 1024 * 1024;

/// Returns incompressible bytes, the same in every run, from a generator (splitmix64).
pub(crate) fn noise(seed: u64) -> impl Read {
    struct Noise(u64);
    impl Read for Noise {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for piece in buffer.chunks_mut(8) {
                self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut word = self.0;
                word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                piece.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..piece.len()]);
            }
            Ok(buffer.len())
        }
    }
    Noise(seed.wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// Writes a tar with a single file of noise.
pub(crate) fn write_noise_tar(path: &Path, seed: u64, size: u64) -> Result<()> {
    let mut builder = tar::Builder::new(BufWriter::new(File::create(path)?));
    append(&mut builder, "noise", size, noise(seed))?;
    builder.into_inner()?.into_inner()?;
    Ok(())
}

/// Writes a tar of 10 KiB, different for every number.
pub(crate) fn write_tiny_tar(path: &Path, number: usize) -> Result<()> {
    let mut builder = tar::Builder::new(File::create(path)?);
    let line = format!("This is file number {number} of many.\n");
    let content = line.bytes().cycle().take(8 * 1024).collect::<Vec<_>>();
    append(&mut builder, &format!("file-{number}"), content.len() as u64, content.as_slice())?;
    builder.into_inner()?;
    Ok(())
}

/// Writes a tar of files from this machine: half of it from `/usr`, half of it from the Rust toolchain. If there are
/// not enough files, they are repeated under other names.
pub(crate) fn write_real_tar(path: &Path, size: u64) -> Result<()> {
    let sysroot = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--print", "sysroot"])
        .output()
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let roots = [PathBuf::from("/usr")].into_iter().chain(sysroot).filter(|root| root.is_dir()).collect::<Vec<_>>();
    let trees = roots.iter().map(|root| files_under(root)).collect::<Result<Vec<_>>>()?;
    let share = size / trees.len().max(1) as u64;
    let mut builder = tar::Builder::new(BufWriter::new(File::create(path)?));
    for (at, files) in trees.iter().enumerate() {
        let mut left = share;
        for pass in 0.. {
            let before = left;
            for file in files {
                if left == 0 {
                    break;
                }
                // Unreadable files are left out.
                let Ok(content) = File::open(file) else { continue };
                let length = content.metadata()?.len().min(left);
                left -= length;
                let name = format!("{at}-{pass}/{}", file.strip_prefix("/").unwrap_or(file).display());
                append(&mut builder, &name, length, BufReader::new(content))?;
            }
            if left == 0 {
                break;
            }
            if left == before {
                return Err(format!("there are no files in {}", roots[at].display()).into());
            }
        }
    }
    builder.into_inner()?.into_inner()?;
    Ok(())
}

fn append(builder: &mut tar::Builder<impl Write>, name: &str, size: u64, content: impl Read) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    // A file that was truncated in the meantime must not break the tar.
    Ok(builder.append_data(&mut header, name, content.chain(io::repeat(0)).take(size))?)
}

/// Lists the regular files below a directory, sorted by name.
fn files_under(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Compresses a file with zlib-rs as a single stream, like most programs.
pub(crate) fn write_gzip(source: &Path, target: &Path) -> Result<()> {
    let file = BufWriter::new(File::create(target)?);
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    io::copy(&mut BufReader::with_capacity(1 << 18, File::open(source)?), &mut encoder)?;
    encoder.finish()?.into_inner()?;
    Ok(())
}

/// Compresses a file with zstd at its default level.
pub(crate) fn write_zstd(source: &Path, target: &Path) -> Result<()> {
    Ok(zstd::stream::copy_encode(File::open(source)?, BufWriter::new(File::create(target)?), 3)?)
}

/// Creates a layout of an image, with a number of entries in its index: the same image under different ref names.
pub(crate) fn layout_with_entries(path: &Path, tar: &Path, entries: usize) -> Result<Layout> {
    let layout = Layout::init_with(path, &WriteOptions::default().no_sync(true))?;
    layout.stage_layer(LayerInput::open(tar)?, &LayerOptions::default())?;
    generate_image(&layout, "first")?;
    let mut index = layout.read_index()?;
    let entry = index.manifests[0].clone();
    index.manifests.extend((1..entries).map(|number| {
        let mut entry = entry.clone();
        entry.digest = Digest::sha256_of(&number.to_le_bytes());
        entry.annotations = Some(BTreeMap::from([(REF_NAME.to_owned(), format!("tag-{number}"))]));
        entry
    }));
    fs::write(path.join("index.json"), serde_json::to_vec_pretty(&index)?)?;
    Ok(layout)
}

/// Generates the config and the manifest of the staged layers.
pub(crate) fn generate_image(layout: &Layout, ref_name: &str) -> Result<()> {
    let config = ConfigOptions::default().architecture("amd64").os("linux");
    layout.generate_config(&config)?;
    let manifest = ManifestOptions::default().ref_name(ref_name.parse()?);
    layout.generate_manifest(&manifest)?;
    Ok(())
}
