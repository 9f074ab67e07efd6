//! `layout build`

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;
use regshape::build::copy::{CopiedLayer, CopyNote, CopyPlan};
use regshape::build::edit::EditWarning;
use regshape::build::{BaseImage, ConfigChanges, ConfigOptions, LayerInput, LayerOptions, ManifestOptions, Scratch};
use regshape::layout::StagedLayer;
use regshape::metrics::Progress;
use regshape::oci::{Annotations, Platform, RefName};
use regshape::rootfs::Stack;
use regshape::transfer::{ExportOptions, Exported, Format};
use regshape::view::{Selection, View};
use regshape::{CopyError, Error, LayerError};

use super::build_platform::{BuildPlatform, filled_path, filled_source};
use super::image_output::ImageScreen;
use crate::cli::args::{Base, BoundsArgs, WriteArgs, parse_annotation};
use crate::cli::build_args::{BuildInputs, LayerWord};
use crate::cli::compression_args::CompressionArgs;
use crate::cli::config_args::{ConfigArgs, SetPlatformArg, warn_of_words};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::{Advised, ForPlatform};
use crate::cli::layer_args::{LayerArgs, SourceWord, history_of};
use crate::cli::layout::archive_format::format_of_name;
use crate::cli::output::printable;
use crate::cli::path_reference::PathReference;
use crate::cli::time::{date, source_seconds};
use crate::cli::usage::Usage;

/// The tag of an image without another one.
const DEFAULT_TAG: &str = "latest";

/// Build an image from files, tars and a base in one step
///
/// Writes the image into the layout DIR, which is made if it is not there. --copy and --mtree that follow each other make one layer;
/// --layer adds a tar as a layer; --next-layer begins another one. Without a base the image is for linux/amd64 on any machine.
///
/// With several --platform the result is an index; {os}, {arch} and {variant} in paths are the words of the platform.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  regshape build -o ./my-image --copy ./app:/usr/bin/app --entrypoint /usr/bin/app",
    after_long_help = "Examples:\n  regshape build -o ./my-image --copy ./app:/usr/bin/app --entrypoint /usr/bin/app\n  regshape build -o ./my-image:v2 --base ./debian:stable --copy ./site:/srv/www --user 33\n  regshape build -o ./my-image --platform linux/amd64 --platform linux/arm64 --copy './app-{arch}:/app'"
)]
pub(crate) struct Args {
    /// Layout to write to; DIR:TAG for the tag
    #[arg(short, long, value_name = "DIR[:TAG]")]
    output: PathBuf,
    /// Tag of the image [default: latest]; repeatable
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Image to build on: a layout or an archive
    #[arg(long, value_name = "SOURCE[:REF]")]
    base: Option<PathBuf>,
    /// Name of the base in a registry, for the annotation
    #[arg(long, value_name = "NAME", requires = "base", hide_short_help = true)]
    base_name: Option<String>,
    /// Platform, or all of the base's; repeatable
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Vec<BuildPlatform>,
    #[command(flatten)]
    inputs: BuildInputs,
    #[command(flatten)]
    layer: LayerArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// Label of the image to set; repeatable
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Config", value_parser = parse_annotation)]
    label: Vec<(String, String)>,
    /// Keep the default arguments of the base with a new entrypoint
    #[arg(long, help_heading = "Process", hide_short_help = true)]
    keep_cmd: bool,
    /// Annotation of the manifests; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_annotation)]
    annotation: Vec<(String, String)>,
    /// Annotation of the index of several platforms; repeatable
    #[arg(long, value_name = "KEY=VALUE", hide_short_help = true, value_parser = parse_annotation)]
    index_annotation: Vec<(String, String)>,
    #[command(flatten)]
    compression: CompressionArgs,
    /// Threads that compress [default: one a core]
    #[arg(long, value_name = "N", hide_short_help = true)]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    bounds: BoundsArgs,
    /// Take the tag from an image that no build made
    #[arg(long, hide_short_help = true)]
    replace_tag: bool,
    /// Show the layers, files and config without writing to DIR
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    _base: Base,
}

/// The parts of the images that are the same for all platforms.
struct Recipe {
    layers: Vec<LayerWord>,
    flags: LayerArgs,
    layer_options: LayerOptions,
    changes: ConfigChanges,
    keep_cmd: bool,
    annotations: Annotations,
    /// The time of files and, if it is given, of the images.
    source_date: Option<u64>,
    output: PathBuf,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (output, tags) = target(&self.output, &self.tag)?;
        let compression = self.compression.compression()?;
        let options = context.write_options(&output, &self.write);
        let mut layer_options = LayerOptions::default().bounds(self.bounds.bounds());
        (layer_options.compression, layer_options.scope) = (compression.compression, compression.scope);
        layer_options.jobs = self.jobs;
        let labels: Annotations = self.label.into_iter().collect();
        let recipe = Recipe {
            layers: self.inputs.layers()?,
            flags: self.layer,
            layer_options,
            changes: self.config.changes(SetPlatformArg::default())?.labels(labels),
            keep_cmd: self.keep_cmd,
            annotations: self.annotation.into_iter().collect(),
            source_date: source_seconds()?,
            output: output.clone(),
        };
        let bases = bases(context, self.base.as_deref(), self.base_name.as_deref(), &self.platform)?;
        if recipe.layers.is_empty() && self.base.is_none() {
            return Err(Usage("an image has layers: use --copy, --layer or --base".to_owned()).into());
        }
        let beside = if self.dry_run { std::env::temp_dir() } else { output.clone() };
        let scratch = Scratch::beside(&beside, &options)?;
        let mut made = Made { is_one: bases.len() == 1, ..Made::default() };
        for (platform, base) in &bases {
            if base.is_none() {
                warn_of_words(&context.ui, platform.architecture.as_deref(), platform.os.as_deref());
            }
            let built = recipe.build(context, &scratch, platform, base.as_ref(), &mut made);
            built.map_err(|error| of_platform(error, platform, bases.len()))?;
        }
        let view = merged(&scratch, &made, &tags, &self.index_annotation.into_iter().collect())?;
        let mut export = ExportOptions::default()
            .link(true)
            .allow_missing(true)
            .is_build(true)
            .replace(self.replace_tag)
            .write(options.clone())
            .shares_blobs(context.shares_blobs)
            .metrics(context.metrics());
        export.modified = recipe.source_date.unwrap_or_default();
        let plan = view.plan_export(Format::Directory, &export).map_err(advise)?;
        view.check_documents()?;
        let mut warnings = made.warnings.clone();
        warnings.iter().cloned().for_each(|warning| context.ui.warn_at_the_end(warning));
        let mut warn_of = |exported: Exported| {
            let left = Some(exported.left_behind).filter(|left| !left.is_empty()).map(EditWarning::LeftBehind);
            let left = left.map(|left| printable(&left.to_string()));
            left.iter().cloned().for_each(|warning| context.ui.warn_at_the_end(warning));
            warnings.extend(left);
        };
        let name = format!("{}:{}", printable(&output.to_string_lossy()), tags[0]);
        if self.dry_run {
            warn_of(plan.totals_at(&output).map_err(advise)?);
            let screen = screen(format!("Would build {name}:"), &view, warnings, true);
            context.ui.result(&screen.with_contents(&view, made.files)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        context.clean_target(&output, &options);
        warn_of(plan.write(&output).map_err(advise)?);
        context.ui.result(&screen(format!("Updated {name}:"), &view, warnings, false))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds the way out to an error for a tag that another image has.
fn advise(error: regshape::Error) -> anyhow::Error {
    match error {
        error @ regshape::Error::NameTaken { .. } => {
            Advised { error, hint: "use another tag, or --replace-tag".to_owned() }.into()
        }
        error => error.into(),
    }
}

/// Describes the image of a view.
fn screen(title: String, view: &View, warnings: Vec<String>, dry_run: bool) -> ImageScreen {
    ImageScreen::new(title, &view.index().manifests[0], view.summaries(), warnings, dry_run)
}

/// Returns the layout and the tags of a build.
fn target(output: &Path, tags: &[String]) -> anyhow::Result<(PathBuf, Vec<RefName>)> {
    let located = PathReference::find(output, false);
    let (directory, reference) = (located.directory.clone(), located.full_reference());
    let is_other = directory.exists() && !directory.is_dir();
    if !is_other && format_of_name(&directory).ok() != Some(Format::Directory) {
        let name = printable(&directory.to_string_lossy());
        return Err(
            Usage(format!("'{name}' is the name of an archive: build into a layout, then 'layout export' it")).into()
        );
    }
    if located.repository.is_some() && reference.is_none() {
        let (name, layout) = (printable(&output.to_string_lossy()), printable(&directory.to_string_lossy()));
        return Err(Usage(format!("'{name}' lies in the layout '{layout}'; use another directory")).into());
    }
    let text = output.to_string_lossy();
    if !output.exists() && text.ends_with([':', '@']) {
        return Err(Usage(format!("'{}' has no tag after its last mark; use DIR or DIR:TAG", printable(&text))).into());
    }
    let named = directory.file_name().unwrap_or_default().to_string_lossy();
    let is_digest = reference.is_some() && (named.ends_with("@sha256") || named.ends_with("@sha512"));
    let is_digest = is_digest
        || reference.as_ref().is_some_and(|reference| reference.contains('@') || reference.contains("sha256:"));
    if is_digest {
        return Err(Usage("--output takes DIR or DIR:TAG: the digest is known at the end".to_owned()).into());
    }
    ensure!(!is_other, "{} is not a directory", printable(&directory.to_string_lossy()));
    let mut names: Vec<String> = reference.into_iter().chain(tags.iter().cloned()).collect();
    if names.is_empty() {
        names.push(DEFAULT_TAG.to_owned());
    }
    let names = names.iter().map(|name| name.parse::<RefName>()).collect::<Result<Vec<_>, _>>()?;
    Ok((directory, names))
}

/// Returns the platforms of a build, each with the image that it is built on.
fn bases(
    context: &Context,
    base: Option<&Path>,
    name: Option<&str>,
    platforms: &[BuildPlatform],
) -> anyhow::Result<Vec<(Platform, Option<BaseImage>)>> {
    let linux = || -> Platform { "linux/amd64".parse().expect("it is one") };
    let Some(base) = base else {
        if platforms.iter().any(|platform| matches!(platform, BuildPlatform::All)) {
            return Err(Usage("--platform all means the platforms of a base; use --base".to_owned()).into());
        }
        let given = platforms.iter().filter_map(|platform| match platform {
            BuildPlatform::One(platform) => Some((platform.clone(), None)),
            BuildPlatform::All => None,
        });
        let mut given: Vec<_> = given.collect();
        if given.is_empty() {
            given.push((linux(), None));
        }
        return each_once(given);
    };
    let named = context.source(base, &[])?.named()?;
    let image = |platform: Option<Platform>| -> anyhow::Result<(Platform, Option<BaseImage>)> {
        let selection = Selection::default().platforms(platform.into_iter().collect()).no_attestations(true);
        let (chosen, _) = context.select(&named, &selection)?;
        let mut image = BaseImage::new(&named, &chosen)?;
        if let Some(name) = name {
            image = image.with_name(name);
        }
        Ok((image.platform().cloned().unwrap_or_else(linux), Some(image)))
    };
    let mut chosen = Vec::new();
    for platform in platforms {
        match platform {
            BuildPlatform::One(platform) => chosen.push(image(Some(platform.clone()))?),
            BuildPlatform::All => {
                for of_base in named.images()?.into_iter().filter_map(|image| image.platform) {
                    chosen.push(image(Some(of_base))?);
                }
            }
        }
    }
    if platforms.is_empty() {
        chosen.push(image(None)?);
    }
    each_once(chosen)
}

/// Checks that no two images are for one platform.
fn each_once(images: Vec<(Platform, Option<BaseImage>)>) -> anyhow::Result<Vec<(Platform, Option<BaseImage>)>> {
    let mut seen: Vec<String> = Vec::new();
    for (platform, _) in &images {
        let name = platform.normalized().unwrap_or_else(|| platform.clone()).to_string();
        if seen.contains(&name) {
            return Err(Usage(format!("two images would be for {}", printable(&platform.to_string()))).into());
        }
        seen.push(name);
    }
    Ok(images)
}

/// The images that were made so far.
#[derive(Default)]
struct Made {
    /// The number of images, whose tags in the scratch layout are their numbers.
    images: usize,
    /// The layers of tars, by their paths.
    tars: HashMap<PathBuf, StagedLayer>,
    /// The layers of files, if there are several images.
    copies: Vec<CopiedEarlier>,
    /// The notes that were shown.
    notes: HashSet<String>,
    /// The paths of the files of layers, for each image.
    files: Vec<Vec<Vec<String>>>,
    warnings: Vec<String>,
    /// Whether there is one image only.
    is_one: bool,
}

impl Made {
    /// Adds the file of a layer that no other can be put on: the user knows no digest of it.
    fn advise(&self, error: Error) -> anyhow::Error {
        let Error::Layer(LayerError::MalformedTar { layer, .. }) = &error else { return error.into() };
        let Some((file, _)) = self.tars.iter().find(|(_, staged)| staged.digest == *layer) else { return error.into() };
        let hint = format!("create {} again", file.display());
        Advised { error, hint: printable(&hint) }.into()
    }
}

/// A layer of files that an earlier image has.
struct CopiedEarlier {
    /// Its place in the recipe.
    at: usize,
    plan: CopyPlan,
    layer: StagedLayer,
}

impl Recipe {
    /// Builds the image for a platform in the scratch layout.
    fn build(
        &self,
        context: &Context,
        scratch: &Scratch,
        platform: &Platform,
        base: Option<&BaseImage>,
        made: &mut Made,
    ) -> anyhow::Result<()> {
        let layout = scratch.layout();
        scratch.begin_image()?;
        if let Some(base) = base {
            let added = base.stage(layout)?;
            made.warnings.extend(added.warnings.iter().map(|warning| printable(warning.message())));
        }
        let mut files = Vec::new();
        let mut stack = Stack::default();
        for (at, layer) in self.layers.iter().enumerate() {
            files.push(match layer {
                LayerWord::Files(_) if platform.os.as_deref() == Some("windows") => {
                    return Err(regshape::Error::from(CopyError::Windows).into());
                }
                LayerWord::Files(words) => {
                    let filled = words.iter().map(|word| filled_source(word, platform));
                    self.copy(context, scratch, (at, &filled.collect::<Result<Vec<_>, _>>()?), &mut stack, made)?
                }
                LayerWord::Tar(path) => {
                    let filled = filled_path(path, platform)?;
                    match made.tars.get(&filled) {
                        Some(layer) => scratch.stage_again(layer)?,
                        None => {
                            let layer = self.add_tar(context, layout, &filled, made)?;
                            made.tars.insert(filled.clone(), layer);
                        }
                    }
                    vec![printable(&filled.to_string_lossy())]
                }
            });
        }
        made.files.push(files);
        let prepared = layout.prepare_config()?;
        let mut options = ConfigOptions::default().changes(self.changes.clone()).keep_cmd(self.keep_cmd);
        options.created = self.source_date.map(date);
        if base.is_none() {
            (options.architecture, options.os) = (platform.architecture.clone(), platform.os.clone());
            options.changes.variant = options.changes.variant.or_else(|| platform.variant.clone());
            options.changes.os_version = options.changes.os_version.or_else(|| platform.os_version.clone());
            options.changes.os_features = options.changes.os_features.or_else(|| platform.os_features.clone());
        }
        if made.images == 0 {
            super::generate::notes_of_base(context, &prepared, &options);
        }
        prepared.generate(&options)?;
        let faults = match stack.update(layout, self.layer_options.bounds) {
            Ok(()) => stack.faults_of_staged_config(layout)?,
            // The tar of the user is malformed, and a warning said so: its files are not known.
            Err(Error::Layer(LayerError::MalformedTar { .. })) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        for fault in faults {
            let of = if made.is_one { String::new() } else { format!(" (for {platform})") };
            context.ui.note(&printable(&format!("Note: {fault}{of}")));
        }
        let name: RefName = made.images.to_string().parse()?;
        layout.generate_manifest(&ManifestOptions::default().ref_name(name).annotations(self.annotations.clone()))?;
        made.images += 1;
        Ok(())
    }

    /// Adds files and directories as a layer. Returns the paths in the image.
    ///
    /// The layers below decide on parents, links and names of owners. So a layer of an earlier image is taken only where
    /// the same entries come out (images, rules B3 to B5).
    fn copy(
        &self,
        context: &Context,
        scratch: &Scratch,
        (at, words): (usize, &[SourceWord]),
        below: &mut Stack,
        made: &mut Made,
    ) -> anyhow::Result<Vec<String>> {
        let layout = scratch.layout();
        let sources = words.iter().map(SourceWord::source).collect::<Result<Vec<_>, _>>()?;
        let history = history_of(&sources);
        let first = sources.first().map(|source| source.path.clone()).unwrap_or_default();
        let source_date = self.source_date.unwrap_or(0).cast_signed();
        let copies = self.flags.options(sources, source_date)?.outputs(vec![self.output.clone()]);
        below.update(layout, self.layer_options.bounds).map_err(|error| made.advise(error))?;
        let plan = CopyPlan::on(&copies, below)?;
        let paths = plan.paths().map(|path| printable(&format!("/{path}"))).collect();
        let earlier = made.copies.iter().find(|earlier| earlier.at == at && earlier.plan.has_entries_of(&plan));
        if let Some(earlier) = earlier {
            scratch.stage_again(&earlier.layer)?;
            return Ok(paths);
        }
        let mut options = self.layer_options.clone();
        options.created_by = Some(self.flags.created_by.clone().unwrap_or(history));
        let progress = context.ui.progress("Adding", &first, Some(plan.size()));
        let advance = |bytes| progress.advance(bytes);
        let copied = plan.stage(layout, &options, Progress::new(&advance));
        drop(progress);
        let CopiedLayer { added, notes, .. } = copied?;
        for note in notes.into_iter().filter(|note| made.notes.insert(note.to_string())) {
            let text = printable(&note.to_string());
            match note {
                CopyNote::Keyword { .. } => made.warnings.push(text),
                _ => context.ui.note(&format!("Note: {text}")),
            }
        }
        if !made.is_one {
            made.copies.push(CopiedEarlier { at, plan, layer: added.layer });
        }
        Ok(paths)
    }

    /// Adds a tar as a layer.
    fn add_tar(
        &self,
        context: &Context,
        layout: &regshape::layout::Layout,
        path: &Path,
        made: &mut Made,
    ) -> anyhow::Result<StagedLayer> {
        let mut options = self.layer_options.clone();
        options.created_by = self.flags.created_by.clone();
        let prepared = layout.prepare_layer(LayerInput::open(path)?, &options)?;
        let progress = context.ui.progress("Adding", path, prepared.input().size());
        let advance = |bytes| progress.advance(bytes);
        let added = prepared.with_progress(&advance).stage();
        drop(progress);
        let added = added?;
        made.warnings.extend(added.warnings.iter().map(|finding| printable(finding.message())));
        Ok(added.layer)
    }
}

/// Returns a view of the images with their tags: one image, or an index of several.
fn merged(scratch: &Scratch, made: &Made, tags: &[RefName], index: &Annotations) -> anyhow::Result<View> {
    let all = View::of(scratch.layout().clone())?;
    let number = |number: usize| {
        let name = number.to_string();
        all.filter(|entry| entry.ref_name() == Some(&name))
    };
    let images: Vec<View> = (0..made.images).map(number).collect();
    if made.images == 1 && !index.is_empty() {
        return Err(Usage("--index-annotation needs several platforms: one image has no index".to_owned()).into());
    }
    let first = tags[0].as_str();
    let image = match images.as_slice() {
        [image] => image.named(first),
        images => View::multi_platform_with(images.iter().cloned(), first, index)?,
    };
    Ok(View::join(tags.iter().map(|tag| image.named(tag.as_str()))))
}

/// Names the platform whose image cannot be built, where there are several.
fn of_platform(error: anyhow::Error, platform: &Platform, count: usize) -> anyhow::Error {
    if count > 1 && (error.is::<regshape::Error>() || error.is::<Advised>()) {
        return ForPlatform { error, platform: platform.to_string() }.into();
    }
    error
}
