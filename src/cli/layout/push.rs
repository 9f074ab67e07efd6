//! `layout push`

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use regshape::oci::{Descriptor, Digest, MediaType, RepositoryName};
use regshape::remote::{Client, RemoteReference};
use regshape::transfer::{PushOptions, PushPlan, PushStatus, Pushed, PushedImage, UploadAction};
use regshape::view::View;
use regshape::{Error, PushError};
use serde::Serialize;

use crate::cli::args::{Base, PlatformsArg, layout_path};
use crate::cli::connection_args::{ConnectionArgs, parse_reference};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::Advised;
use crate::cli::layout::source::LowerVariant;
use crate::cli::output::{Screen, printable};
use crate::cli::style::Style;
use crate::cli::transfer_progress::{TransferProgress, short_digest};
use crate::cli::usage::Usage;

/// Push images to a registry
///
/// Sends only the blobs that the registry lacks. After a cut, the same command goes on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape push ./my-image ghcr.io/example/app:v1\n  regshape push -p ./my-image.tar -d localhost:5000/app:v1,latest --platform linux/arm64"
)]
pub(crate) struct Args {
    /// Layout or archive; DIR:TAG for one image
    #[arg(short, long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Destination: HOST/REPOSITORY[:TAG[,TAG...]][@DIGEST]
    #[arg(short, long, value_name = "DEST")]
    dest: Option<String>,
    /// Layout and destination, instead of --path and --dest
    #[arg(value_name = "DIR DEST", num_args = 0..=2)]
    words: Vec<String>,
    /// Take the image with this tag, image name, digest or TAG@DIGEST; repeatable [default: all]
    #[arg(long = "ref", value_name = "REF")]
    references: Vec<String>,
    #[command(flatten)]
    platforms: PlatformsArg,
    /// Leave out BuildKit attestations
    #[arg(long)]
    no_attestations: bool,
    /// Also push referrers (signatures, SBOMs) of the selected manifests
    #[arg(long)]
    referrers: bool,
    /// Take blobs from this repository of the registry, if it has them; repeatable
    #[arg(long, value_name = "REPO", hide_short_help = true)]
    mount_from: Vec<String>,
    /// Send everything without asking the registry first
    #[arg(long)]
    force: bool,
    /// Send blobs in chunks
    #[arg(long, hide_short_help = true)]
    chunked: bool,
    /// Size of chunks in bytes [default: 33554432]
    #[arg(long, value_name = "BYTES", hide_short_help = true)]
    chunk_size: Option<u64>,
    /// Send this many blobs at once [default: 4, and 16 small ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), hide_short_help = true)]
    jobs: Option<u16>,
    /// Leave out missing blobs that have a URL or belong to images of other platforms
    #[arg(long, hide_short_help = true)]
    allow_missing: bool,
    /// Fail if a tag of the destination is another manifest
    #[arg(long)]
    no_clobber: bool,
    /// List the blobs and manifests to send, without connecting
    #[arg(long)]
    dry_run: bool,
    /// Write the digest of the image to this file
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    _base: Base,
}

impl Args {
    /// Returns the source and the destination, from flags and words.
    fn ends(&self) -> Result<(PathBuf, String), Usage> {
        let mut words = self.words.iter();
        let path = self.path.clone().or_else(|| match (self.dest.is_some(), self.words.len()) {
            (true, 1) | (false, 2) => words.next().map(PathBuf::from),
            _ => None,
        });
        let dest = self.dest.clone().or_else(|| words.next().cloned());
        if let Some(word) = words.next() {
            return Err(Usage(format!("'{}' is one word too many", printable(word))));
        }
        let dest = dest.ok_or_else(|| Usage("which destination? name it with -d HOST/REPOSITORY[:TAG]".to_owned()))?;
        Ok((layout_path(path.as_ref())?, dest))
    }

    fn options(&self, dest: &RemoteReference) -> anyhow::Result<PushOptions> {
        const LARGEST_CHUNK: u64 = 1 << 30;
        if self.chunk_size.is_some_and(|size| size == 0 || size > LARGEST_CHUNK) {
            return Err(Usage("--chunk-size must be from 1 to 1073741824 bytes".to_owned()).into());
        }
        let mount_from = self.mount_from.iter().map(|name| name.parse()).collect::<Result<Vec<RepositoryName>, _>>()?;
        let mut options = PushOptions::default()
            .tags(dest.tags.clone())
            .mount_from(mount_from)
            .force(self.force)
            .chunked(self.chunked)
            .allow_missing(self.allow_missing)
            .no_clobber(self.no_clobber);
        options.digest.clone_from(&dest.digest);
        options.chunk_size = self.chunk_size;
        options.jobs = self.jobs.map(usize::from);
        options.journal = journal();
        Ok(options)
    }
}

/// Returns the directory in which is noted where uploads go on.
fn journal() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("regshape/uploads"))
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (path, dest) = self.ends()?;
        let dest = parse_reference(&dest)?;
        let options = self.options(&dest)?;
        if self.connection.reads_stdin() && path == Path::new("-") {
            return Err(Usage("standard input cannot be the archive and the password".to_owned()).into());
        }
        let source = context.source(&path, &self.references)?;
        let selection = source
            .selection()
            .platforms(self.platforms.platforms()?)
            .no_attestations(self.no_attestations)
            .referrers(self.referrers);
        let connection = self.connection.options(&dest.host, context)?;
        // A file that cannot be written is known before anything is sent.
        let digest_file = self.digest_file.as_ref().map(|file| {
            let opened = File::options().write(true).create(true).truncate(false).open(file);
            opened.with_context(|| format!("failed to write {}", file.display())).map(|opened| (file, opened))
        });
        let digest_file = digest_file.transpose()?;
        let place = format!("{}/{}", dest.host, dest.repository);
        context.ui.detail(&format!("Pushing layout {} -> {}\n", printable(&path.to_string_lossy()), self.shown(&dest)));
        let mut sent = None;
        let reading = View::reading(vec![source.view], |views, _| -> anyhow::Result<_> {
            let (view, lower_variants) = context.select(&views[0], &selection)?;
            let plan = view.plan_push(&options).map_err(advised)?;
            for blob in plan.left_out() {
                context.ui.warn_at_the_end(format!("{} is left out: it is not in the layout", blob.digest));
            }
            if self.dry_run {
                return Ok((plan, lower_variants));
            }
            let client = Arc::new(Client::new(dest.host.clone(), Some(&dest.repository), &connection));
            let progress = TransferProgress::of_push(&context.ui, &place, plan.totals().bytes);
            sent = Some(plan.push(&client, &dest.repository, &options, &|event| progress.show(event))?);
            Ok((plan, lower_variants))
        });
        let (plan, lower_variants) = reading?;
        let digests: Vec<Digest> = plan.images().iter().map(|image| image.descriptor.digest.clone()).collect();
        if let Some((path, mut file)) = digest_file {
            let text: String = digests.iter().map(|digest| format!("{digest}\n")).collect();
            let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
            written.with_context(|| format!("failed to write {}", path.display()))?;
        }
        let layout_path = path.display().to_string();
        match sent {
            None => context.ui.result(&Planned::new(layout_path, place, &plan, lower_variants))?,
            Some(pushed) => context.ui.result(&PushScreen::new(layout_path, place, &pushed, lower_variants))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Args {
    fn shown(&self, dest: &RemoteReference) -> String {
        printable(&dest.to_string())
    }
}

/// Adds the way out to an error of planning.
fn advised(error: Error) -> anyhow::Error {
    let hint = match &error {
        Error::Push(PushError::SeveralImages { .. }) => "omit the tag, or choose one image with --ref",
        Error::Push(PushError::NoTag { .. } | PushError::SameTag { .. }) => {
            "choose one image with --ref, and give its tag with -d HOST/REPOSITORY:TAG"
        }
        _ => return error.into(),
    };
    Advised { error, hint: hint.to_owned() }.into()
}

/// The result of a dry run.
#[derive(Serialize)]
struct Planned {
    dry_run: bool,
    layout_path: String,
    destination: String,
    manifests: Vec<PlannedManifest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
}

#[derive(Serialize)]
struct PlannedManifest {
    digest: Digest,
    reference: String,
    tags: Vec<String>,
    blobs: Vec<PlannedBlob>,
}

#[derive(Serialize)]
struct PlannedBlob {
    digest: Digest,
    size: u64,
    media_type: MediaType,
}

impl Planned {
    fn new(layout_path: String, destination: String, plan: &PushPlan, lower_variants: Vec<LowerVariant>) -> Self {
        let blob = |blob: &Descriptor| PlannedBlob {
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: blob.media_type.clone(),
        };
        let is_left_out = |digest: &Digest| plan.left_out().iter().any(|blob| blob.digest == *digest);
        let manifests = plan.images().iter().map(|image| PlannedManifest {
            digest: image.descriptor.digest.clone(),
            reference: reference(&image.descriptor, &image.tags),
            tags: image.tags.iter().map(ToString::to_string).collect(),
            blobs: image.blobs.iter().filter(|blob| !is_left_out(&blob.digest)).map(blob).collect(),
        });
        Self { dry_run: true, layout_path, destination, manifests: manifests.collect(), lower_variants }
    }
}

impl Screen for Planned {
    fn text(&self, _: &Style) -> String {
        let mut lines = vec![
            format!("[dry-run] Layout {} -> {}", printable(&self.layout_path), printable(&self.destination)),
            String::new(),
        ];
        let mut seen = std::collections::HashSet::new();
        for manifest in &self.manifests {
            for blob in manifest.blobs.iter().filter(|blob| seen.insert(&blob.digest)) {
                lines.push(format!(
                    "[dry-run] Would upload blob {} ({})",
                    blob.digest,
                    indicatif::HumanBytes(blob.size)
                ));
            }
            for tag in names(&manifest.tags, &manifest.reference) {
                lines.push(format!("[dry-run] Would push manifest {} as '{tag}'", manifest.digest));
            }
        }
        lines.join("\n")
    }

    fn quiet(&self) -> Option<String> {
        Some(lines_of(self.manifests.iter().map(|manifest| &manifest.digest)))
    }

    fn keys(&self) -> Option<&'static str> {
        Some("push --dry-run")
    }
}

/// The result of a push.
#[derive(Serialize)]
struct PushScreen {
    layout_path: String,
    destination: String,
    manifests: Vec<PushedManifest>,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
}

#[derive(Serialize)]
struct PushedManifest {
    digest: Digest,
    reference: String,
    tags: Vec<String>,
    media_type: MediaType,
    blobs: Vec<PushedBlob>,
    status: &'static str,
}

#[derive(Serialize)]
struct PushedBlob {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    action: &'static str,
}

#[derive(Serialize)]
struct Summary {
    manifests_pushed: usize,
    blobs_uploaded: usize,
    blobs_skipped: usize,
    bytes_uploaded: u64,
    bytes_total: u64,
    requests: u64,
    retries: u64,
    seconds: f64,
}

impl PushScreen {
    fn new(layout_path: String, destination: String, pushed: &Pushed, lower_variants: Vec<LowerVariant>) -> Self {
        let summary = &pushed.summary;
        Self {
            layout_path,
            destination,
            manifests: pushed.images.iter().map(PushedManifest::new).collect(),
            summary: Summary {
                manifests_pushed: summary.manifests_pushed,
                blobs_uploaded: summary.blobs_uploaded,
                blobs_skipped: summary.blobs_skipped,
                bytes_uploaded: summary.bytes_uploaded,
                bytes_total: summary.bytes_total,
                requests: summary.requests,
                retries: summary.retries,
                seconds: (summary.duration.as_secs_f64() * 1e3).round() / 1e3,
            },
            lower_variants,
        }
    }
}

impl PushedManifest {
    fn new(image: &PushedImage) -> Self {
        let blobs = image.blobs.iter().map(|blob| PushedBlob {
            digest: blob.descriptor.digest.clone(),
            size: blob.descriptor.size,
            media_type: blob.descriptor.media_type.clone(),
            action: match blob.action {
                UploadAction::Uploaded => "uploaded",
                UploadAction::Resumed => "resumed",
                UploadAction::Mounted => "mounted",
                UploadAction::LeftOut => "left_out",
                _ => "skipped",
            },
        });
        Self {
            digest: image.descriptor.digest.clone(),
            reference: reference(&image.descriptor, &image.tags),
            tags: image.tags.iter().map(ToString::to_string).collect(),
            media_type: image.descriptor.media_type.clone(),
            blobs: blobs.collect(),
            status: if image.status == PushStatus::Exists { "exists" } else { "pushed" },
        }
    }
}

impl Screen for PushScreen {
    fn text(&self, _: &Style) -> String {
        let mut lines = Vec::new();
        for manifest in &self.manifests {
            for tag in names(&manifest.tags, &manifest.reference) {
                lines.push(format!("  Manifest {} -> {tag}  {}", short_digest(&manifest.digest), manifest.status));
            }
        }
        let Summary { manifests_pushed, blobs_uploaded, blobs_skipped, .. } = &self.summary;
        lines.push(String::new());
        lines.push(format!(
            "Push complete: {manifests_pushed} manifest(s), {blobs_uploaded} blob(s) uploaded, {blobs_skipped} blob(s) skipped."
        ));
        lines.join("\n")
    }

    fn quiet(&self) -> Option<String> {
        Some(lines_of(self.manifests.iter().map(|manifest| &manifest.digest)))
    }
}

/// Returns what a manifest is pushed as: its first tag, or its digest.
fn reference(descriptor: &Descriptor, tags: &[regshape::oci::Tag]) -> String {
    tags.first().map_or_else(|| descriptor.digest.to_string(), ToString::to_string)
}

fn names<'a>(tags: &'a [String], reference: &'a String) -> &'a [String] {
    if tags.is_empty() { std::slice::from_ref(reference) } else { tags }
}

fn lines_of<'a>(digests: impl Iterator<Item = &'a Digest>) -> String {
    digests.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
