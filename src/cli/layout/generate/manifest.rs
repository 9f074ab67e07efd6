//! `layout generate manifest`

use std::process::ExitCode;

use regshape::Error;
use regshape::build::{ManifestOptions, Subject};
use regshape::layout::Layout;
use regshape::oci::{Descriptor, Digest, MediaType, RefName};

use crate::cli::args::{AnnotationArgs, YesArg};
use crate::cli::args::{Common, WriteArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::error::Advised;
use crate::cli::layout::edit::tags_hint;
use crate::cli::layout::manifest_output::ManifestScreen;
use crate::cli::prompt::Prompt;
use crate::cli::usage::Usage;

/// Generate the image manifest and add it to index.json
///
/// Uses the staged config and layers. Replaces the entry of index.json that has the same tag, if that manifest was generated here.
/// With --artifact-type the manifest is that of an artifact, for which neither a config nor layers need be staged.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  regshape generate manifest ./my-image --ref-name latest\n  regshape generate manifest ./my-image --subject latest \\\n      --artifact-type application/spdx+json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Tag of the image, e.g. latest or v1.2.3; empty for none
    #[arg(long, value_name = "NAME")]
    ref_name: Option<String>,
    /// Media type of the manifest [default: application/vnd.oci.image.manifest.v1+json]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    #[command(flatten)]
    annotations: AnnotationArgs,
    /// Take the tag from an image that was not generated here
    ///
    /// That image stays, as an entry without a name.
    #[arg(long)]
    replace_tag: bool,
    #[command(flatten)]
    artifact: ArtifactArgs,
    #[command(flatten)]
    yes: YesArg,
    #[command(flatten)]
    write: WriteArgs,
}

/// The flags of artifacts, and of manifests that refer to others.
#[derive(Debug, clap::Args)]
struct ArtifactArgs {
    /// Type of an artifact that is not an image, e.g. application/spdx+json
    #[arg(long, value_name = "TYPE", help_heading = "Artifacts")]
    artifact_type: Option<String>,
    /// Image, index or artifact that the manifest refers to: a tag or a digest
    #[arg(long, value_name = "REF", help_heading = "Artifacts")]
    subject: Option<String>,
    /// Take a --subject that is not in the layout: a digest
    #[arg(long, help_heading = "Artifacts", hide_short_help = true, requires_all = ["subject", "subject_size"])]
    allow_missing_subject: bool,
    /// Size of the missing subject
    #[arg(long, value_name = "BYTES", help_heading = "Artifacts", hide_short_help = true)]
    #[arg(requires = "allow_missing_subject", allow_negative_numbers = true)]
    subject_size: Option<u64>,
    /// Media type of the missing subject [default: application/vnd.oci.image.manifest.v1+json]
    #[arg(long, value_name = "TYPE", help_heading = "Artifacts", hide_short_help = true)]
    #[arg(requires = "allow_missing_subject")]
    subject_media_type: Option<String>,
}

impl ArtifactArgs {
    /// Returns the options without those that may be asked for.
    fn options(&self) -> anyhow::Result<ManifestOptions> {
        let mut options = ManifestOptions::default();
        options.artifact_type = self.artifact_type.as_deref().map(str::parse).transpose()?;
        options.subject = match (&self.subject, self.subject_size) {
            (Some(reference), Some(size)) => {
                let digest = reference.parse::<Digest>().map_err(|error| {
                    Usage(format!("--allow-missing-subject needs a digest as --subject, and {error}"))
                })?;
                let media_type = self.subject_media_type.as_deref().map(str::parse).transpose()?;
                let described = Descriptor::new(media_type.unwrap_or_else(MediaType::manifest), digest, size);
                Some(Subject::Described(Box::new(described)))
            }
            (Some(reference), None) => Some(Subject::Stored(reference.clone())),
            (None, _) => None,
        };
        Ok(options)
    }

    /// Adds the way out to an error: the tags of the layout, if the subject is not there.
    fn advise(&self, error: Error, layout: &Layout) -> anyhow::Error {
        match (&error, &self.subject) {
            (Error::UnknownManifest { reference, .. }, Some(subject)) if reference == subject => {
                let tags = tags_hint(layout).map_or_else(String::new, |tags| format!("{tags}; "));
                let hint = format!("{tags}--allow-missing-subject takes a digest that is elsewhere");
                Advised { error, hint }.into()
            }
            _ => error.into(),
        }
    }
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let layout = context.open_to_write(&self.common.path()?, &self.write)?;
        let media_type = self.media_type.map(|media_type| media_type.parse()).transpose()?;
        let ref_name = match self.ref_name.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(name) => Some(Some(name.parse::<RefName>()?)),
        };
        let options = self.artifact.options()?;
        let prepared = layout.prepare_manifest_with(&options).map_err(|error| self.artifact.advise(error, layout))?;
        let prompt = Prompt::new(&context.ui, self.yes.yes);
        let ref_name = match ref_name {
            Some(ref_name) => ref_name,
            None => prompt.optional("Reference name (e.g. latest) [skip]", "reference name", "--ref-name")?,
        };
        let media_type = match media_type {
            Some(media_type) => media_type,
            None => {
                prompt.value("Manifest media type", MediaType::manifest(), "manifest media type", "--media-type")?
            }
        };
        let mut annotations = self.annotations.annotations();
        if annotations.is_empty() {
            let note = "Using no manifest annotations; --annotation adds one";
            annotations = prompt.annotations("Add manifest annotations?", note)?;
        }
        drop(prompt);
        let mut options = options.media_type(media_type).annotations(annotations);
        (options.ref_name, options.replace_tag) = (ref_name, self.replace_tag);
        let manifest = prepared.generate(&options).map_err(|error| self.artifact.advise(error, layout))?;
        context.ui.result(&ManifestScreen::generated(manifest))?;
        Ok(ExitCode::SUCCESS)
    }
}
