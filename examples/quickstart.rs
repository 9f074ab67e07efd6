//! Builds the program, creates an image of real files with it, shows the image and validates it.
//!
//! The README's first command leaves the image in `target/quickstart` and says how to look at it. It can be run again and again. It
//! leaves out the feature `remote`, which nothing here needs and which takes as long to build as half of the rest.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regshape::check::ValidateOptions;
use regshape::layout::Layout;
use regshape::oci::{AnnotationChange, Annotations};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = output_directory()?;
    let (image, layout_argument) = (directory.join("my-image"), path_argument(&directory.join("my-image")));

    say("1. Building the program")?;
    let program = build_program(project)?;
    say(&format!("   {}", path_argument(&program)))?;

    say("\n2. Packing this project's own files into tars")?;
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let tars = [("src", "usr/src/regshape", "src.tar"), ("docs", "usr/share/doc/regshape", "docs.tar")];
    for (source, target, name) in tars {
        pack(&project.join(source), target, &directory.join(name))?;
        say(&format!("   {source}/ becomes {name} ({} bytes)", fs::metadata(directory.join(name))?.len()))?;
    }

    say("\n3. Making an image of them with the program")?;
    let run = |words: &[&str]| run(&program, words, &layout_argument);
    let tar = |name: &str| path_argument(&directory.join(name));
    run(&["layout", "init"])?;
    run(&["layout", "add", "layer", "--file", &tar("src.tar"), "--annotation", "com.example.layer.role=source"])?;
    run(&["layout", "add", "layer", "--file", &tar("docs.tar")])?;
    run(&["layout", "generate", "config", "--architecture", architecture(), "--os", "linux"])?;
    run(&["layout", "generate", "manifest", "--ref-name", "latest"])?;

    say("\n4. Annotating it with the library, which does what the program does")?;
    let layout = Layout::open(&image)?;
    let version = ("org.opencontainers.image.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let manifest = layout.update_manifest_annotations(&AnnotationChange::Merge(Annotations::from([version])))?;
    say(&format!("   the manifest is now {}", manifest.digest))?;
    let report = layout.validate(&ValidateOptions::default())?;
    if let Some(finding) = report.errors.first() {
        return Err(format!("{}: {}", finding.location(), finding.message()).into());
    }
    say(&format!("   {} blobs and {} bytes verified", report.checked.count, report.checked.bytes))?;

    say("\n5. Showing and validating it with the program")?;
    run(&["layout", "status"])?;
    run(&["layout", "show"])?;
    run(&["layout", "validate"])?;

    say(&format!("\nThe image is in {}. To look at it:", image.display()))?;
    for line in [
        format!("{} layout show --path {layout_argument}", path_argument(&program)),
        format!("skopeo inspect oci:{layout_argument}:latest"),
        format!("podman pull oci:{layout_argument}:latest"),
        format!("umoci unpack --rootless --image {layout_argument}:latest {}", tar("bundle")),
    ] {
        say(&format!("  {line}"))?;
    }
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Returns `quickstart` in the target directory of this build, or else in the directory for temporary files.
fn output_directory() -> Result<PathBuf> {
    let example = env::current_exe()?;
    // <target>/<profile>/examples/quickstart
    let examples = example.parent().filter(|directory| directory.ends_with("examples"));
    let target = examples.and_then(Path::parent).and_then(Path::parent);
    Ok(target.map_or_else(env::temp_dir, Path::to_owned).join("quickstart"))
}

/// Returns a path for use in commands: relative to the working directory if it is inside.
fn path_argument(path: &Path) -> String {
    let relative = env::current_dir().ok().and_then(|current| Some(path.strip_prefix(current).ok()?.to_owned()));
    relative.unwrap_or_else(|| path.to_owned()).display().to_string()
}

/// Builds the program with the cargo and in the profile of this example, and returns its path.
///
/// `cargo run --example` builds the library only. Cargo reports the path of the program, which depends on its flags and
/// settings. Nothing is downloaded: the example has the dependencies of the program.
fn build_program(project: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With the example, whose dependencies decide on features, no dependency is built twice.
    cargo.args(["build", "--bin", "regshape", "--example", "quickstart"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.args(["--profile", &profile()]);
    // Nor with the features of this example.
    if !cfg!(feature = "remote") {
        cargo.args(["--no-default-features", "--features", "cli"]);
    }
    let output = cargo.current_dir(project).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err("cargo could not build the program".into());
    }
    let program = String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "regshape")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.ok_or_else(|| "cargo does not say where the program is".into())
}

/// Returns the profile of this example, by the directory that it is in: `target/PROFILE/examples`.
fn profile() -> String {
    let example = env::current_exe().unwrap_or_default();
    let directory = example.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str());
    directory.filter(|name| *name != "debug").unwrap_or("dev").to_owned()
}

/// Packs a directory into a tar under another name. Times and owners are left out, so that equal files give equal images.
fn pack(source: &Path, target: &str, tar: &Path) -> Result<()> {
    let mut builder = tar::Builder::new(File::create(tar)?);
    builder.mode(tar::HeaderMode::Deterministic);
    let mut directories = vec![(source.to_owned(), PathBuf::from(target))];
    while let Some((directory, name)) = directories.pop() {
        builder.append_dir(&name, &directory)?;
        let mut entries = fs::read_dir(&directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = name.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                directories.push((entry.path(), name));
            } else {
                builder.append_path_with_name(entry.path(), name)?;
            }
        }
    }
    builder.into_inner()?.sync_all()?;
    Ok(())
}

/// Runs the program as a user would who types the shown line.
fn run(program: &Path, words: &[&str], layout: &str) -> Result<()> {
    say(&format!("\n$ regshape {} --path {layout}", words.join(" ")))?;
    // Without a terminal no questions are asked, and notes show the defaults.
    let status = Command::new(program).args(words).args(["--path", layout]).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("regshape {}: {status}", words.join(" ")).into()) }
}

/// Returns the architecture of this machine in the form used by images.
fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
