//! How commands find and change an image that is in a layout: `-p DIR:TAG`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use regshape::Error;
use regshape::build::edit::{EditOptions, Edited, ImageChange, edit_image};
use regshape::layout::Layout;
use regshape::oci::{Descriptor, RefName};

use super::image_output::ImageScreen;
use super::source::LowerVariant;
use crate::cli::args::WriteArgs;
use crate::cli::config_args::WrittenPlatform;
use crate::cli::context::Context;
use crate::cli::error::Advised;
use crate::cli::output::printable;
use crate::cli::path_reference::PathReference;
use crate::cli::time::{date, source_seconds};
use crate::cli::usage::Usage;

/// How many tags an error lists.
const LISTED_TAGS: usize = 20;

/// The flags for the tag of a changed image.
#[derive(Debug, clap::Args)]
pub(crate) struct TagArgs {
    /// Tag of the result [default: the entry is rewritten]
    #[arg(long, value_name = "TAG", help_heading = "Images")]
    tag: Option<String>,
    /// Take --tag from another manifest
    #[arg(long, help_heading = "Images", hide_short_help = true, requires = "tag")]
    replace_tag: bool,
}

/// The flags of commands that change an image.
#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    tag: TagArgs,
    /// Change only the images of an index for this platform; repeatable [default: all]
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT]", help_heading = "Images")]
    platforms: Vec<WrittenPlatform>,
}

/// An image that a command is given, and its path as the user wrote it.
pub(crate) struct ImageToEdit {
    pub(crate) layout: Layout,
    pub(crate) reference: String,
    name: String,
}

/// The staging area that a command changes.
pub(crate) struct StageToEdit {
    pub(crate) layout: Layout,
}

impl TagArgs {
    /// Returns the options.
    pub(crate) fn options(&self) -> anyhow::Result<EditOptions> {
        let mut options = EditOptions::default().replace_tag(self.replace_tag);
        options.tag = self.tag.as_deref().map(str::parse::<RefName>).transpose()?;
        Ok(options)
    }
}

impl EditArgs {
    /// Returns the options.
    pub(crate) fn options(&self) -> anyhow::Result<EditOptions> {
        let platforms = self.platforms.iter().map(|WrittenPlatform(platform)| platform.clone()).collect();
        let mut options = self.tag.options()?.platforms(platforms);
        options.created = source_seconds()?.map(date);
        Ok(options)
    }

    /// Checks that no flag is given that needs an image.
    fn expect_none(&self) -> Result<(), Usage> {
        if self.tag.tag.is_some() || !self.platforms.is_empty() {
            return Err(Usage("--tag and --platform need an image: name it as DIR:TAG".to_owned()));
        }
        Ok(())
    }
}

impl Context {
    /// Opens the layout whose staging area a command changes.
    ///
    /// # Errors
    ///
    /// [`Usage`] for flags that need an image; those of opening the layout.
    pub(crate) fn stage_to_edit(&self, path: &Path, write: &WriteArgs, args: &EditArgs) -> anyhow::Result<StageToEdit> {
        args.expect_none()?;
        Ok(StageToEdit { layout: self.open_to_write(path, write)?.clone() })
    }

    /// Opens the layout of an image, if the path names one: DIR:TAG or DIR@DIGEST.
    pub(crate) fn image_to_edit(&self, path: &Path, args: &WriteArgs) -> anyhow::Result<Option<ImageToEdit>> {
        let located = PathReference::find(path, false);
        let Some(reference) = located.full_reference().filter(|_| Layout::is_at(&located.directory)) else {
            return Ok(None);
        };
        let layout = self.open_to_write(&located.directory, args)?.clone();
        Ok(Some(ImageToEdit { layout, reference, name: printable(&path.to_string_lossy()) }))
    }

    /// Opens the layout of an image, which the path must name. `noun` is the word for it in an error.
    ///
    /// # Errors
    ///
    /// [`Usage`], with the tags that there are, if the path names a layout alone; those of opening the layout.
    pub(crate) fn image_of(&self, path: &Path, noun: &str, args: &WriteArgs) -> anyhow::Result<ImageToEdit> {
        if let Some(image) = self.image_to_edit(path, args)? {
            return Ok(image);
        }
        let layout = Layout::open(PathReference::find(path, false).directory)?;
        Err(Usage(format!("which {noun}? name it as DIR:TAG{}", tags_in_brackets(&layout))).into())
    }
}

impl StageToEdit {
    /// Changes the staging area. Where nothing is staged, the error says how an image is named.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&Layout) -> regshape::Result<T>) -> anyhow::Result<T> {
        change(&self.layout).map_err(|error| {
            let is_unstaged = matches!(
                error,
                Error::NoStage { .. } | Error::NoConfig | Error::NoManifest | Error::LayerIndex { count: 0, .. }
            );
            let index = self.layout.read_index().ok().filter(|_| is_unstaged);
            let name = index.as_ref().and_then(|index| index.manifests.iter().find_map(Descriptor::ref_name));
            let Some(name) = name else { return error.into() };
            let image = printable(&format!("{}:{name}", self.layout.path().display()));
            Advised::and(error, format!("to edit an image, name it: {image}")).into()
        })
    }
}

impl ImageToEdit {
    /// Describes an image that is made with a tag.
    pub(crate) fn made(layout: Layout, tag: &RefName) -> Self {
        let name = printable(&format!("{}:{tag}", layout.path().display()));
        Self { layout, reference: tag.as_str().to_owned(), name }
    }

    /// Changes the image, and prints the result.
    pub(crate) fn edit(&self, context: &Context, change: &ImageChange, args: &EditArgs) -> anyhow::Result<ExitCode> {
        let options = args.options()?;
        let edited = edit_image(&self.layout, &self.reference, change, &options);
        let edited = edited.map_err(|error| self.advise(error))?;
        self.report(context, &options, &edited, Vec::new())
    }

    /// Adds the way out to an error of a change: the tags of the layout, if the reference is not there.
    pub(crate) fn advise(&self, error: Error) -> anyhow::Error {
        if matches!(error, Error::NameTaken { .. }) {
            return Advised { error, hint: "use another --tag, or --replace-tag".to_owned() }.into();
        }
        match &error {
            Error::UnknownManifest { path, .. } | Error::UnknownTag { path, .. } if path == self.layout.path() => {}
            _ => return error.into(),
        }
        let Some(hint) = tags_hint(&self.layout) else { return error.into() };
        Advised { error, hint }.into()
    }

    /// Adds the way out to an error of a change that may be another one than the library's.
    pub(crate) fn advise_any(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Error>() {
            Ok(error) => self.advise(error),
            Err(error) => error,
        }
    }

    /// Returns the first line of the result.
    pub(crate) fn title(&self) -> String {
        format!("Updated {}:", self.name)
    }

    /// Prints the result of a change, with the warnings of the command. A result with a tag of its own is named by that tag.
    pub(crate) fn report(
        &self,
        context: &Context,
        options: &EditOptions,
        edited: &Edited,
        mut warnings: Vec<String>,
    ) -> anyhow::Result<ExitCode> {
        let lower_variants: Vec<LowerVariant> =
            edited.choices.iter().filter_map(|choice| context.lower_variant(choice)).collect();
        warnings.extend(edited.warnings.iter().map(|warning| printable(&warning.to_string())));
        warnings.iter().cloned().for_each(|warning| context.ui.warn_at_the_end(warning));
        let title = match &options.tag {
            Some(tag) => Self::made(self.layout.clone(), tag).title(),
            None => self.title(),
        };
        context.ui.result(
            &ImageScreen::new(title, &edited.entry, edited.images.clone(), warnings, false)
                .with_lower_variants(lower_variants),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the way out where a tag is not there: the tags of the layout, if they can be read.
pub(crate) fn tags_hint(layout: &Layout) -> Option<String> {
    let tags = some_tags(layout)?;
    Some(if tags.is_empty() { "it has no tags".to_owned() } else { format!("its tags are {}", tags.join(", ")) })
}

/// Returns the tags of a layout in brackets, for an error; nothing if it has none.
pub(super) fn tags_in_brackets(layout: &Layout) -> String {
    let tags = some_tags(layout).filter(|tags| !tags.is_empty());
    tags.map_or_else(String::new, |tags| format!(" (tags: {})", tags.join(", ")))
}

/// Returns the tags of a layout; of many the first ones, and how many more there are.
fn some_tags(layout: &Layout) -> Option<Vec<String>> {
    let index = layout.read_index().ok()?;
    let tags: BTreeSet<&str> = index.manifests.iter().filter_map(Descriptor::ref_name).collect();
    let mut listed: Vec<String> = tags.iter().take(LISTED_TAGS).map(|tag| printable(tag)).collect();
    if tags.len() > LISTED_TAGS {
        listed.push(format!("and {} more", tags.len() - LISTED_TAGS));
    }
    Some(listed)
}
