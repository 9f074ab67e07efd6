//! A temporary directory for all runs, with the inputs, which are created on demand.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regshape::build::{LayerInput, LayerOptions};
use regshape::layout::{Layout, WriteOptions};

use crate::measure::Side;
use crate::support::{
    MIB, Result, generate_image, layout_with_entries, write_gzip, write_noise_tar, write_real_tar, write_tiny_tar,
    write_zstd,
};

pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The output of a peer.
const PEER_OUTPUT: &str = "peer.out";

pub(crate) struct Lab {
    directory: tempfile::TempDir,
    /// The measured program.
    pub(crate) program: PathBuf,
    /// The size of the tar of real files, in MiB; the other inputs are proportional to it.
    pub(crate) size: u64,
    pub(crate) cores: usize,
}

impl Lab {
    pub(crate) fn new(parent: &Path, program: PathBuf, size: u64, cores: usize) -> Result<Self> {
        Ok(Self { directory: tempfile::tempdir_in(parent)?, program, size, cores })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lists the large files that were created, with their sizes.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.directory.path())? {
            let path = entry?.path();
            let metadata = fs::metadata(&path)?;
            if metadata.is_file() && !path.ends_with(PEER_OUTPUT) {
                files.push(format!("`{}` {}", name(&path), metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Returns the path of a file or directory, and creates it the first time.
    fn made(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.path(name);
        if !path.exists() {
            make(&path)?;
        }
        Ok(path)
    }

    /// Returns a tar of real files, of the common size or another one.
    pub(crate) fn raw(&self, mib: u64) -> Result<PathBuf> {
        self.made(&format!("real-{mib}.tar"), |path| write_real_tar(path, mib * MIB))
    }

    pub(crate) fn gz(&self, mib: u64) -> Result<PathBuf> {
        let raw = self.raw(mib)?;
        self.made(&format!("real-{mib}.tar.gz"), |path| write_gzip(&raw, path))
    }

    pub(crate) fn zst(&self, mib: u64) -> Result<PathBuf> {
        let raw = self.raw(mib)?;
        self.made(&format!("real-{mib}.tar.zst"), |path| write_zstd(&raw, path))
    }

    /// Returns a tar of noise, half as large as the tar of real files.
    pub(crate) fn noise(&self) -> Result<PathBuf> {
        self.made("noise.tar", |path| write_noise_tar(path, 1, self.size * MIB / 2))
    }

    /// Returns a directory of many small text files: 100,000 at the usual size.
    pub(crate) fn small_files(&self) -> Result<PathBuf> {
        self.made("small", |path| {
            let files = self.size * 100;
            let mut text = Text::new(1);
            for directory in 0..files.div_ceil(100) {
                let directory = path.join(format!("d{directory:04}"));
                fs::create_dir_all(&directory)?;
                for file in 0..100 {
                    let length = 100 + text.number() % 3_900;
                    fs::write(directory.join(format!("f{file:03}.txt")), text.take(length))?;
                }
            }
            Ok(())
        })
    }

    /// Returns a directory of eight files of text and noise, as large together as the tar of real files, and a tar of it.
    pub(crate) fn large_files(&self) -> Result<(PathBuf, PathBuf)> {
        let directory = self.made("large", |path| {
            fs::create_dir(path)?;
            let mut text = Text::new(2);
            for number in 0..8 {
                let mut file = File::create(path.join(format!("f{number}")))?;
                for part in 0..self.size / 8 {
                    let bytes = if part % 2 == 0 { text.take(MIB as usize) } else { text.noise(MIB as usize) };
                    file.write_all(&bytes)?;
                }
            }
            Ok(())
        })?;
        let tar = self.made("large.tar", |path| {
            let mut builder = tar::Builder::new(File::create(path)?);
            builder.append_dir_all("", &directory)?;
            Ok(builder.finish()?)
        })?;
        Ok((directory, tar))
    }

    /// Measures the program as it stores a directory in a new layout.
    pub(crate) fn copy(&self, directory: PathBuf) -> Side<'_> {
        let layout = self.path("ours");
        let written = layout.clone();
        Side {
            shown: shown("regshape", ["layout", "add", "layer", "--copy", &name(&directory)]),
            prepare: Box::new(move || {
                remove(&layout)?;
                Layout::init_with(&layout, &WriteOptions::default().no_sync(true))?;
                let mut command = self.regshape(&["add", "layer"], &layout);
                command.arg("--copy").arg(&directory);
                Ok(vec![command])
            }),
            output: Some(Box::new(move || largest_blob(&written))),
        }
    }

    /// Measures `tar | pigz` on a directory, into a file.
    pub(crate) fn tar_and_compress<'l>(&self, compressor: &'l Path, directory: PathBuf) -> Side<'l> {
        let target = self.path(PEER_OUTPUT);
        let written = target.clone();
        let threads = self.cores.to_string();
        Side {
            shown: format!("tar -C {} -c . | {} -p{threads} > out", name(&directory), name(compressor)),
            prepare: Box::new(move || {
                let mut command = Command::new("sh");
                command.args(["-c", "tar -C \"$1\" -c . | \"$2\" -p\"$3\" > \"$4\"", "sh"]);
                command.arg(&directory).arg(compressor).arg(&threads).arg(&target);
                Ok(vec![command])
            }),
            output: Some(Box::new(move || Ok(fs::metadata(&written)?.len()))),
        }
    }

    /// Returns a layout of an image of the tar of real files, or of 50,000 files of a gigabyte at the usual size.
    pub(crate) fn image(&self, kind: ImageKind) -> Result<PathBuf> {
        let (name, tar) = match kind {
            ImageKind::Real => ("image-real", self.raw(self.size)?),
            ImageKind::Many => ("image-many", self.many_files()?),
        };
        self.made(name, |path| {
            let layout = Layout::init_with(path, &WriteOptions::default().no_sync(true))?;
            layout.stage_layer(LayerInput::open(&tar)?, &LayerOptions::default())?;
            generate_image(&layout, "base")
        })
    }

    fn many_files(&self) -> Result<PathBuf> {
        self.made("many.tar", |path| {
            let mut text = Text::new(3);
            let mut builder = tar::Builder::new(File::create(path)?);
            for number in 0..self.size * 50 {
                let length = 2_000 + text.number() % 36_000;
                let content = [text.take(length / 2), text.noise(length / 2)].concat();
                let mut header = tar::Header::new_ustar();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                builder.append_data(&mut header, format!("d{}/f{number}", number / 200), content.as_slice())?;
            }
            Ok(builder.finish()?)
        })
    }

    /// Measures the program as it unpacks an image.
    pub(crate) fn unpack(&self, layout: PathBuf) -> Side<'_> {
        let target = self.path("unpacked");
        Side {
            shown: "regshape layout unpack --output DIR".to_owned(),
            prepare: Box::new(move || {
                remove(&target)?;
                let mut command = self.regshape(&["unpack"], &layout);
                command.arg("--output").arg(&target);
                Ok(vec![command])
            }),
            output: None,
        }
    }

    /// Measures `umoci raw unpack` on an image.
    pub(crate) fn umoci_unpack<'l>(&self, umoci: &'l Path, layout: PathBuf) -> Side<'l> {
        let target = self.path("umoci-unpacked");
        Side {
            shown: "umoci raw unpack --image layout:base DIR".to_owned(),
            prepare: Box::new(move || {
                remove(&target)?;
                let mut command = silent(umoci);
                command.args(["raw", "unpack", "--image", &format!("{}:base", layout.display())]).arg(&target);
                Ok(vec![command])
            }),
            output: None,
        }
    }

    /// Measures `tar -xzp` on the layer of an image.
    pub(crate) fn tar_extract<'l>(&self, tar: &'l Path, layout: PathBuf) -> Result<Side<'l>> {
        let target = self.path("tar-unpacked");
        let sized = blobs_of(&layout)?.into_iter().map(|blob| Ok((fs::metadata(&blob)?.len(), blob)));
        let (_, layer) = sized.collect::<Result<Vec<_>>>()?.into_iter().max().ok_or("a layout has blobs")?;
        Ok(Side {
            shown: "tar -xzp -f LAYER -C DIR".to_owned(),
            prepare: Box::new(move || {
                remove(&target)?;
                fs::create_dir(&target)?;
                let mut command = silent(tar);
                command.args(["-xzpf"]).arg(&layer).arg("-C").arg(&target);
                Ok(vec![command])
            }),
            output: None,
        })
    }

    pub(crate) fn tiny(&self, number: usize) -> Result<PathBuf> {
        let directory = self.made("tiny", |path| Ok(fs::create_dir(path)?))?;
        self.made(&format!("tiny/{number}.tar"), |_| write_tiny_tar(&directory.join(format!("{number}.tar")), number))
    }

    /// Returns a valid layout of 16 uncompressed layers, three times as large as the tar of real files.
    pub(crate) fn blobs(&self) -> Result<PathBuf> {
        self.made("blobs", |path| {
            let layout = Layout::init_with(path, &WriteOptions::default().no_sync(true))?;
            let tar = self.path("blob.tar");
            for number in 0..16 {
                write_noise_tar(&tar, 100 + number, self.size * MIB * 3 / 16)?;
                let media_type = TAR.parse()?;
                layout.stage_layer(LayerInput::open(&tar)?, &LayerOptions::default().media_type(media_type))?;
            }
            fs::remove_file(tar)?;
            generate_image(&layout, "base")
        })
    }

    /// Returns a layout of an image with many tiny layers.
    pub(crate) fn many_layers(&self, layers: usize) -> Result<PathBuf> {
        self.made(&format!("layers-{layers}"), |path| {
            let layout = Layout::init_with(path, &WriteOptions::default().no_sync(true))?;
            for number in 0..layers {
                layout.stage_layer(LayerInput::open(self.tiny(number)?)?, &LayerOptions::default())?;
            }
            generate_image(&layout, "base")
        })
    }

    /// Returns a layout with many entries in its index.
    pub(crate) fn many_entries(&self, entries: usize) -> Result<PathBuf> {
        let tar = self.tiny(0)?;
        self.made(&format!("entries-{entries}"), |path| layout_with_entries(path, &tar, entries).map(drop))
    }

    /// Returns a command of the program on a layout, without notes and results.
    pub(crate) fn regshape(&self, words: &[&str], layout: &Path) -> Command {
        let mut command = silent(&self.program);
        command.args(["--quiet", "layout"]).args(words).arg("--path").arg(layout);
        command
    }

    /// Measures the program as it stores a file in a new layout.
    pub(crate) fn add_layer<'l>(&'l self, file: PathBuf, flags: &'l [&'l str]) -> Side<'l> {
        let layout = self.path("ours");
        let written = layout.clone();
        Side {
            shown: shown("regshape", [&["layout", "add", "layer"], flags, &["--file", &name(&file)]].concat()),
            prepare: Box::new(move || {
                remove(&layout)?;
                Layout::init_with(&layout, &WriteOptions::default().no_sync(true))?;
                let mut command = self.regshape(&["add", "layer"], &layout);
                command.args(flags).arg("--file").arg(&file);
                Ok(vec![command])
            }),
            output: Some(Box::new(move || largest_blob(&written))),
        }
    }

    /// Measures another program as it compresses a file to its standard output, which is redirected to a file.
    pub(crate) fn compressor<'l>(&self, program: &'l Path, arguments: &[&str], file: PathBuf) -> Side<'l> {
        let target = self.path(PEER_OUTPUT);
        let written = target.clone();
        let arguments = owned(arguments);
        Side {
            shown: format!("{} > out", shown(&name(program), arguments.iter().chain([&name(&file)]))),
            prepare: Box::new(move || {
                let mut command = Command::new(program);
                command.args(&arguments).arg(&file).stdout(File::create(&target)?);
                Ok(vec![command])
            }),
            output: Some(Box::new(move || Ok(fs::metadata(&written)?.len()))),
        }
    }

    /// Measures umoci as it stores a file in a new layout.
    pub(crate) fn umoci_add_layer<'l>(&self, umoci: &'l Path, file: PathBuf) -> Side<'l> {
        let layout = self.path("umoci");
        let written = layout.clone();
        Side {
            shown: format!("umoci raw add-layer --image layout:base {}", name(&file)),
            prepare: Box::new(move || {
                remove(&layout)?;
                run(silent(umoci).arg("init").arg("--layout").arg(&layout))?;
                let image = format!("{}:base", layout.display());
                run(silent(umoci).args(["new", "--image", &image]))?;
                let mut command = silent(umoci);
                command.args(["raw", "add-layer", "--image", &image]).arg(&file);
                Ok(vec![command])
            }),
            output: Some(Box::new(move || largest_blob(&written))),
        }
    }

    /// Measures the original program as it stores a file in a new layout.
    pub(crate) fn original_add_layer<'l>(&self, original: &'l Path, file: PathBuf) -> Side<'l> {
        let layout = self.path("original");
        let written = layout.clone();
        Side {
            shown: format!("original layout add layer --media-type {TAR_GZIP} --file {}", name(&file)),
            prepare: Box::new(move || {
                remove(&layout)?;
                run(silent(original).args(["layout", "init", "--path"]).arg(&layout))?;
                let mut command = silent(original);
                command.args(["layout", "add", "layer", "--media-type", TAR_GZIP, "--path"]).arg(&layout);
                command.arg("--file").arg(&file);
                Ok(vec![command])
            }),
            output: Some(Box::new(move || largest_blob(&written))),
        }
    }
}

/// The images that are unpacked.
#[derive(Clone, Copy)]
pub(crate) enum ImageKind {
    Real,
    Many,
}

/// Text of random words and noise, the same at every run.
struct Text {
    state: u64,
    words: Vec<Vec<u8>>,
}

impl Text {
    fn new(seed: u64) -> Self {
        let mut text = Self { state: seed, words: Vec::new() };
        text.words = (0..3_000)
            .map(|_| {
                let length = 3 + text.number() % 7;
                (0..length).map(|_| b'a' + (text.number() % 26) as u8).collect()
            })
            .collect();
        text
    }

    /// Returns the next number of a linear congruential generator, its high bits.
    fn number(&mut self) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length + 16);
        while text.len() < length {
            let word = self.number() % self.words.len();
            text.extend(&self.words[word]);
            text.push(b' ');
        }
        text.truncate(length);
        text
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.number() >> 8) as u8).collect()
    }
}

/// Measures a program that only reads a file, or several processes of it that read several files.
pub(crate) fn readers<'l>(program: &'l Path, arguments: &[&str], groups: Vec<Vec<PathBuf>>) -> Side<'l> {
    let arguments = owned(arguments);
    let files = match groups.as_slice() {
        [files] => files.iter().map(|file| name(file)).collect::<Vec<_>>().join(" "),
        groups => format!("FILE..., {} processes at once", groups.len()),
    };
    Side {
        shown: shown(&program_name(program), arguments.iter().chain([&files])),
        prepare: Box::new(move || {
            let command = |files: &Vec<PathBuf>| {
                let mut command = silent(program);
                command.args(&arguments).args(files);
                command
            };
            Ok(groups.iter().map(command).collect())
        }),
        output: None,
    }
}

/// Returns a command that discards its standard output.
pub(crate) fn silent(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Returns a command as a user would type it.
fn shown(program: &str, words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    words.into_iter().fold(program.to_owned(), |line, word| line + " " + word.as_ref())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Returns the name of a program; that of this benchmark without cargo's suffix.
fn program_name(program: &Path) -> String {
    let name = name(program);
    if name.starts_with("peers-") { "peers".to_owned() } else { name }
}

pub(crate) fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}

/// Returns the files of a layout's blobs.
pub(crate) fn blobs_of(layout: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(layout.join("blobs/sha256"))?.map(|entry| Ok(entry?.path())).collect()
}

/// Returns the size of the largest blob, which is the layer.
fn largest_blob(layout: &Path) -> Result<u64> {
    let sizes = blobs_of(layout)?.iter().map(|blob| Ok(fs::metadata(blob)?.len())).collect::<Result<Vec<_>>>()?;
    Ok(sizes.into_iter().max().unwrap_or_default())
}
