//! `layout pull`

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use regshape::layout::Layout;
use regshape::oci::{Descriptor, Digest, MediaType, RefName};
use regshape::remote::{Client, RemoteReference};
use regshape::transfer::{self, DownloadAction, PullOptions, PullStatus, Pulled, RemoteImages, RemoteReferences};
use regshape::view::{Selection, View};
use regshape::{Error, RemoteError};
use serde::Serialize;

use crate::cli::args::{Base, PlatformsArg, WriteArgs};
use crate::cli::connection_args::{ConnectionArgs, parse_one_reference};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::Advised;
use crate::cli::layout::source::{LowerVariant, named};
use crate::cli::output::{Screen, counted, printable};
use crate::cli::style::Style;
use crate::cli::transfer_progress::{TransferProgress, short_digest};
use crate::cli::usage::Usage;

/// Pull images from a registry into a layout
///
/// Creates the layout if necessary; its other entries stay. After a cut, the same command goes on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape pull ghcr.io/example/app:v1 ./my-image\n  regshape pull -s docker.io/library/debian:12 -p ./debian --platform linux/amd64"
)]
pub(crate) struct Args {
    /// Image: HOST/REPOSITORY[:TAG][@DIGEST]; repeatable
    #[arg(short, long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Layout
    #[arg(short, long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Images and layout, instead of --source and --path
    #[arg(value_name = "SOURCE DIR", num_args = 0..)]
    words: Vec<String>,
    /// Take all tags of the repository
    #[arg(long)]
    all_tags: bool,
    #[command(flatten)]
    platforms: PlatformsArg,
    /// Leave out BuildKit attestations
    #[arg(long)]
    no_attestations: bool,
    /// Also pull referrers (signatures, SBOMs) of the selected manifests
    #[arg(long)]
    referrers: bool,
    /// Tag of the image in the layout
    #[arg(long, value_name = "NAME")]
    ref_name: Option<String>,
    /// Take tags from other manifests, which stay
    #[arg(long, alias = "replace")]
    replace_tag: bool,
    /// Rewrite manifests of Docker in this format
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<FormatArg>,
    /// Fetch blobs that only their URLs have from there
    #[arg(long, hide_short_help = true)]
    allow_foreign: bool,
    /// Fetch this many blobs at once [default: 6, and 16 small ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), hide_short_help = true)]
    jobs: Option<u16>,
    /// List the blobs and manifests to fetch
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    _base: Base,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Oci,
}

impl Args {
    /// Returns the sources and the layout, from flags and words.
    fn ends(&self) -> Result<(Vec<String>, PathBuf), Usage> {
        let mut words = self.words.clone();
        let path = self.path.clone().or_else(|| words.pop().map(PathBuf::from));
        let mut sources = self.source.clone();
        sources.extend(words);
        if sources.is_empty() {
            return Err(Usage("which image? name it with -s HOST/REPOSITORY[:TAG]".to_owned()));
        }
        let path = path.ok_or_else(|| Usage("which layout? name it with -p DIR".to_owned()))?;
        Ok((sources, path))
    }

    /// Warns of images that some programs do not read from a layout.
    fn warn(&self, context: &Context, source: &RemoteReference, view: &View) {
        let is_docker = |entry: &Descriptor| entry.media_type.as_str().starts_with("application/vnd.docker.");
        if view.index().manifests.iter().any(is_docker) {
            context.ui.warn_at_the_end(format!(
                "{} has Docker's media types, which some programs do not read from a layout; --format oci rewrites them",
                printable(&source.to_string())
            ));
        }
    }

    /// Names both images to an error of a name that another one has.
    fn taken(&self, error: Error, path: &Path, view: &View) -> anyhow::Error {
        let Error::NameTaken { ref_name, .. } = &error else { return advised(error) };
        let bears = |entry: &&Descriptor| entry.names().any(|name| name == ref_name);
        let there = View::open(path).ok();
        let there = there.as_ref().and_then(|view| view.index().manifests.iter().find(bears));
        let (Some(there), Some(new)) = (there, view.index().manifests.iter().find(bears)) else { return error.into() };
        let shown = |entry: &Descriptor| match entry.image_name() {
            Some(name) => format!("{} ({})", printable(name), short_digest(&entry.digest)),
            None => entry.digest.to_string(),
        };
        // The image name stays where the tag is another one.
        let other = new.image_name().filter(|name| there.image_name() != Some(*name));
        let other = other.and_then(|name| name.split_once('/')).map(|(_, name)| printable(name));
        let is_one_of_several = self.all_tags || self.ends().is_ok_and(|(sources, _)| sources.len() > 1);
        let advice = match other {
            Some(name) if is_one_of_several => {
                format!("use --replace-tag, or pull it alone with --ref-name {name}")
            }
            Some(name) => format!("use --ref-name {name} or --replace-tag"),
            None => "use --replace-tag".to_owned(),
        };
        let hint = format!("it is {}, and {} is another; {advice}", shown(there), shown(new));
        Advised { error, hint }.into()
    }

    fn references(&self, source: &RemoteReference) -> Result<RemoteReferences, Usage> {
        if !self.all_tags {
            return Ok(RemoteReferences::one(source.tag().cloned(), source.digest.clone()));
        }
        if source.tag().is_some() || source.digest.is_some() {
            return Err(Usage("--all-tags and a tag or digest exclude each other".to_owned()));
        }
        Ok(RemoteReferences::AllTags)
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (sources, path) = self.ends()?;
        let sources = sources
            .iter()
            .map(|source| parse_one_reference(source))
            .collect::<anyhow::Result<Vec<RemoteReference>>>()?;
        let ref_name = self.ref_name.as_deref().map(str::parse::<RefName>).transpose()?;
        if ref_name.is_some() && (sources.len() > 1 || self.all_tags) {
            return Err(Usage("--ref-name names one image".to_owned()).into());
        }
        context.without_tag(&path)?;
        let write = context.write_options(&path, &self.write);
        let selection =
            Selection::default().platforms(self.platforms.platforms()?).no_attestations(self.no_attestations);
        let mut options = PullOptions::default()
            .replace(self.replace_tag)
            .allow_foreign(self.allow_foreign)
            .shares_blobs(context.shares_blobs)
            .write(write.clone())
            .metrics(context.metrics());
        options.jobs = self.jobs.map(usize::from);
        let mut screen = PullScreen::new(&sources, path.display().to_string(), self.dry_run);
        if !self.dry_run {
            context.clean_target(&path, &write);
        }
        let references = sources.iter().map(|source| self.references(source)).collect::<Result<Vec<_>, _>>()?;
        let credentials = self.connection.credentials(context)?;
        // All that can be refused is refused before anything is written.
        let mut plans = Vec::new();
        let mut names: HashMap<String, Digest> = HashMap::new();
        for (source, references) in sources.iter().zip(&references) {
            if source.tag().is_none() && source.digest.is_none() && !self.all_tags {
                context.ui.detail(&format!("No tag is given for {}; using latest", printable(&source.to_string())));
            }
            let connection = self.connection.options_with(&source.host, credentials.clone(), context)?;
            let client = Arc::new(Client::new(source.host.clone(), Some(&source.repository), &connection));
            let beside = if Layout::is_at(&path) { Some(context.open_beside(&path)?) } else { None };
            let images = RemoteImages::find(client, &source.repository, references, beside)?;
            // Errors name the image as the user typed it.
            let selection = selection.clone().name(source.to_string());
            let (view, lower_variants) = context.select(images.view(), &selection)?;
            let view = if self.referrers { images.with_referrers(&view)? } else { view };
            let mut view = if self.format.is_some() { images.in_oci(&view)? } else { view };
            if let Some(name) = &ref_name {
                let count = view.index().manifests.len();
                ensure!(count > 0, "no image is selected, so --ref-name has nothing to name");
                view = named(&view, name)
                    .with_context(|| format!("--ref-name names one image, and {count} are selected"))?;
            }
            for entry in &view.index().manifests {
                let Some(name) = entry.ref_name() else { continue };
                let other = names.insert(name.to_owned(), entry.digest.clone());
                ensure!(
                    other.is_none_or(|other| other == entry.digest),
                    "two of the images would get the tag '{}'; pull one of them with --ref-name",
                    printable(name)
                );
            }
            self.warn(context, source, &view);
            let plan = images.plan_pull(&view)?;
            if !plan.missing().is_empty() {
                let count = counted(plan.missing().len() as u64, "image");
                context.ui.warn_at_the_end(format!(
                    "{count} that the index of {} lists: not in the registry",
                    printable(&source.to_string())
                ));
            }
            let preview = plan.preview(&path, &options).map_err(|error| self.taken(error, &path, &view))?;
            plans.push((source, plan, preview, view, lower_variants));
        }
        for (source, plan, preview, view, lower_variants) in plans {
            let pulled = if self.dry_run {
                preview
            } else {
                let progress = TransferProgress::of_pull(&context.ui, source.repository.as_ref(), plan.bytes());
                plan.pull(&path, &options, &|event| progress.show(event))
                    .map_err(|error| self.taken(error, &path, &view))?
            };
            for blob in pulled.images.iter().flat_map(|image| &image.blobs) {
                let digest = &blob.descriptor.digest;
                if blob.action == DownloadAction::LeftOut {
                    context.ui.warn_at_the_end(format!(
                        "blob {digest} is left out: the registry does not have it; --allow-foreign fetches it from its URL"
                    ));
                } else if digest.algorithm().is_none() {
                    context.ui.warn_at_the_end(format!(
                        "blob {digest} was copied but not verified: the algorithm of its digest is not supported"
                    ));
                }
            }
            screen.add(pulled, lower_variants);
        }
        context.ui.result(&screen)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds to an error how much is kept for another try.
fn advised(error: Error) -> anyhow::Error {
    match &error {
        Error::Remote(RemoteError::Download { kept, .. }) if *kept > 0 => {
            let hint = format!("{} are kept, and the same command goes on", indicatif::HumanBytes(*kept));
            Advised { error, hint }.into()
        }
        _ => error.into(),
    }
}

/// The result of a pull.
#[derive(Serialize)]
struct PullScreen {
    source: String,
    layout_path: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    manifests: Vec<PulledManifest>,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lower_variants: Vec<LowerVariant>,
}

#[derive(Serialize)]
struct PulledManifest {
    digest: Digest,
    reference: String,
    ref_name: Option<String>,
    media_type: MediaType,
    blobs: Vec<PulledBlob>,
    status: &'static str,
}

#[derive(Serialize)]
struct PulledBlob {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    action: &'static str,
}

#[derive(Default, Serialize)]
struct Summary {
    manifests_pulled: usize,
    blobs_downloaded: usize,
    blobs_skipped: usize,
    bytes_downloaded: u64,
    requests: u64,
    retries: u64,
    seconds: f64,
}

impl PulledBlob {
    fn new(Descriptor { digest, size, media_type, .. }: Descriptor, action: &'static str) -> Self {
        Self { digest, size, media_type, action }
    }
}

impl From<transfer::PulledBlob> for PulledBlob {
    fn from(blob: transfer::PulledBlob) -> Self {
        let action = match blob.action {
            DownloadAction::Downloaded => "downloaded",
            DownloadAction::Resumed => "resumed",
            DownloadAction::LeftOut => "left_out",
            _ => "skipped",
        };
        Self::new(blob.descriptor, action)
    }
}

impl PullScreen {
    fn new(sources: &[RemoteReference], layout_path: String, dry_run: bool) -> Self {
        let source = sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let (manifests, lower_variants) = (Vec::new(), Vec::new());
        Self { source, layout_path, dry_run, manifests, summary: Summary::default(), lower_variants }
    }

    fn add(&mut self, pulled: Pulled, lower_variants: Vec<LowerVariant>) {
        let summary = &pulled.summary;
        self.summary.manifests_pulled += summary.manifests_pulled;
        self.summary.blobs_downloaded += summary.blobs_downloaded;
        self.summary.blobs_skipped += summary.blobs_skipped;
        self.summary.bytes_downloaded += summary.bytes_downloaded;
        self.summary.requests += summary.requests;
        self.summary.retries += summary.retries;
        self.summary.seconds += (summary.duration.as_secs_f64() * 1e3).round() / 1e3;
        self.lower_variants.extend(lower_variants);
        let dry_run = self.dry_run;
        self.manifests.extend(pulled.images.into_iter().map(|image| {
            let descriptor = &image.descriptor;
            let ref_name = descriptor.names().next().map(str::to_owned);
            let left_out = image.left_out.into_iter().map(|manifest| PulledBlob::new(manifest, "left_out"));
            PulledManifest {
                digest: descriptor.digest.clone(),
                reference: ref_name.clone().unwrap_or_else(|| descriptor.digest.to_string()),
                ref_name,
                media_type: descriptor.media_type.clone(),
                status: match image.status {
                    PullStatus::Exists => "exists",
                    _ if dry_run => "would be pulled",
                    _ => "pulled",
                },
                blobs: image.blobs.into_iter().map(PulledBlob::from).chain(left_out).collect(),
            }
        }));
    }
}

impl Screen for PullScreen {
    fn text(&self, _: &Style) -> String {
        let mut lines: Vec<String> = self
            .manifests
            .iter()
            .map(|manifest| {
                let digest = short_digest(&manifest.digest);
                format!("  Manifest {digest} <- {}  {}", printable(&manifest.reference), manifest.status)
            })
            .collect();
        let Summary { manifests_pulled, blobs_downloaded, blobs_skipped, .. } = &self.summary;
        let (title, verb) = if self.dry_run { ("Would pull", "to download") } else { ("Pull complete", "downloaded") };
        lines.push(String::new());
        lines.push(format!(
            "{title}: {manifests_pulled} manifest(s), {blobs_downloaded} blob(s) {verb}, {blobs_skipped} blob(s) skipped."
        ));
        lines.join("\n")
    }

    fn quiet(&self) -> Option<String> {
        Some(self.manifests.iter().map(|manifest| manifest.digest.to_string()).collect::<Vec<_>>().join("\n"))
    }
}
