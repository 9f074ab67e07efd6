//! From the arguments of commands on registries to the repository and the reference.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{bail, ensure};
use regshape::Error;
use regshape::layout::{Layout, WriteOptions, clean};
use regshape::oci::{Digest, Platform, Reference, RepositoryName};
use regshape::registry::{ManifestName, Page, Registry, Repository};

use crate::cli::args::{Common, WriteArgs};
use crate::cli::args::{PlatformArg, parse_platform};
use crate::cli::context::Context;
use crate::cli::output::printable;
use crate::cli::path_reference::PathReference;
use crate::cli::usage::Usage;

/// How the names in a layout are read.
#[derive(Debug, clap::Args)]
pub(crate) struct RegistryArgs {
    /// Work on this repository only; its tags are given without REPO:
    #[arg(long, value_name = "REPO", help_heading = "Repositories")]
    repo: Option<String>,
    #[command(flatten)]
    kind: KindArgs,
}

/// The kind of a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct KindArgs {
    /// Repository of bare tags and unnamed entries
    #[arg(
        long,
        help_heading = "Repositories",
        hide_short_help = true,
        value_name = "REPO",
        conflicts_with = "per_repo"
    )]
    default_repo: Option<String>,
    /// DIR holds one layout per repository: example/app in DIR/example/app
    #[arg(long, help_heading = "Repositories", hide_short_help = true)]
    pub(crate) per_repo: bool,
}

/// Which manifest is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct RefArgs {
    /// Tag, image name, digest or TAG@DIGEST; or give DIR:TAG as the path
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
}

/// The arguments of commands that read one manifest.
#[derive(Debug, clap::Args)]
pub(crate) struct ManifestArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    reference: RefArgs,
    #[command(flatten)]
    platform: PlatformArg,
}

impl ManifestArgs {
    /// Opens the repository to read, and returns the wanted platform.
    pub(crate) fn place(&self, context: &Context) -> anyhow::Result<(Target, Option<Platform>)> {
        let platform = self.platform.platform()?;
        Ok((context.to_read(&self.common.path()?, &self.registry, self.reference.given())?, platform))
    }
}

/// The arguments of commands that change the entries of one manifest.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    reference: RefArgs,
    /// Platform, if manifests of several have the tag, e.g. linux/arm64/v8
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    #[command(flatten)]
    write: WriteArgs,
}

impl ChangeArgs {
    /// Opens the layout that the command changes. A dry run only reads it.
    pub(crate) fn place(&self, context: &Context, path: &Path, dry_run: bool) -> anyhow::Result<Target> {
        let platform = self.platform.as_deref().map(parse_platform).transpose()?;
        let reference = self.reference.given();
        let place = match dry_run {
            true => context.to_read(path, &self.registry, reference)?,
            false => context.to_change(path, &self.registry, reference, Need::There, &self.write)?,
        };
        Ok(Target { platform, ..place })
    }
}

impl RefArgs {
    pub(crate) fn given(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

/// The repository and the reference of a command.
pub(crate) struct Target {
    pub(crate) registry: Registry,
    pub(crate) repository: Repository,
    /// The repository, if one was named.
    pub(crate) name: Option<RepositoryName>,
    reference: Option<String>,
    platform: Option<Platform>,
}

impl Target {
    /// Returns the manifest that the command cannot do without, with its platform if one was named.
    pub(crate) fn manifest(&self) -> anyhow::Result<ManifestName<'_>> {
        let name = ManifestName::from(self.reference()?);
        Ok(match &self.platform {
            Some(platform) => name.for_platform(platform),
            None => name,
        })
    }

    /// Returns whether the path or `--ref` names a manifest.
    pub(crate) fn has_reference(&self) -> bool {
        self.reference.is_some()
    }

    /// Returns the manifest of a tag, with the platform if one was named.
    pub(crate) fn tagged<'a>(&'a self, tag: &'a str) -> ManifestName<'a> {
        ManifestName::from((tag, self.platform.as_ref()))
    }

    /// Returns the reference, which the command cannot do without.
    pub(crate) fn reference(&self) -> anyhow::Result<&str> {
        match self.reference.as_deref() {
            Some("") => Err(Usage("the value of --ref is empty".to_owned()).into()),
            Some(reference) => Ok(reference),
            None => Err(self.which_image().into()),
        }
    }

    /// Returns the reference of an image that is read; if none is given, the digest of the only image of the layout.
    pub(crate) fn image(&self) -> anyhow::Result<Cow<'_, str>> {
        if self.reference.is_none()
            && let Some(only) = self.repository.only_image()?
        {
            return Ok(only.to_string().into());
        }
        self.reference().map(Cow::from)
    }

    /// Returns the digest of the manifest whose referrers a command reads. It need not be stored.
    pub(crate) fn subject(&self, context: &Context, platform: Option<&Platform>) -> anyhow::Result<Digest> {
        let reference = self.image()?;
        match self.repository.choose((&*reference, platform)) {
            Ok(chosen) => {
                chosen.choice.iter().for_each(|choice| drop(context.lower_variant(choice)));
                Ok(chosen.descriptor.digest)
            }
            Err(error @ Error::UnknownManifest { .. }) => {
                match reference.rsplit('@').next().unwrap_or_default().parse::<Digest>() {
                    Ok(digest) if digest.algorithm().is_some() => Ok(digest),
                    _ => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the error for a command line that names no image, with the tags that there are.
    fn which_image(&self) -> Usage {
        /// More tags than this are not listed.
        const LISTED: usize = 5;
        let tags = self.repository.tags(&Page::default().limit(LISTED + 1)).unwrap_or_default();
        let mut shown: Vec<String> = tags.iter().take(LISTED).map(|tag| printable(tag)).collect();
        if tags.len() > LISTED {
            shown.push("...".to_owned());
        }
        let tags = if shown.is_empty() { String::new() } else { format!(" (tags: {})", shown.join(", ")) };
        Usage(format!("which image? name it as DIR:TAG{tags}"))
    }

    /// Returns the reference that the path says, which the command need not have.
    pub(crate) fn path_reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Returns an error if the path names an image: the command takes the whole layout, or a blob.
    pub(crate) fn without_reference(&self, context: &Context) -> anyhow::Result<()> {
        match &self.reference {
            Some(reference) => Err(context.takes_a_layout(reference).into()),
            None => Ok(()),
        }
    }

    /// Returns a tag, or a reference that means one, as people call it: with its repository, if one was named.
    pub(crate) fn called(&self, reference: &str) -> String {
        // It may say the repository too, or a digest.
        let is_digest = |digest: &str| digest.parse::<Digest>().is_ok();
        let tag = reference.rsplit_once('@').filter(|(_, digest)| is_digest(digest)).map_or(reference, |(tag, _)| tag);
        let Some(name) = &self.name else { return tag.to_owned() };
        let tag = tag.rsplit_once(':').map_or(tag, |(_, tag)| tag);
        format!("{name}:{tag}")
    }
}

/// Whether a command needs a layout that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It reads or changes one.
    There,
    /// It makes one if there is none.
    Made,
}

impl Context {
    /// Opens the layout that the command works on.
    pub(crate) fn open(&self, path: &Path) -> anyhow::Result<&Layout> {
        self.without_tag(path)?;
        Ok(self.opened(Layout::open(path)?))
    }

    /// Opens the layout that the command changes.
    pub(crate) fn open_to_write(&self, path: &Path, args: &WriteArgs) -> anyhow::Result<&Layout> {
        self.without_tag(path)?;
        let layout = self.keep(Layout::open(path)?.with_write_options(self.write_options(path, args)));
        clean(layout);
        Ok(layout)
    }

    /// Refuses the path of a layout with a reference after it.
    pub(crate) fn without_tag(&self, path: &Path) -> Result<(), Usage> {
        let located = PathReference::find(path, false);
        match located.full_reference().filter(|_| Layout::is_at(&located.directory)) {
            Some(reference) => Err(self.takes_a_layout(&reference)),
            None => Ok(()),
        }
    }

    /// Returns the error for a path with a reference, which the command does not take.
    pub(crate) fn takes_a_layout(&self, reference: &str) -> Usage {
        let mark = if reference.parse::<Digest>().is_ok() { '@' } else { ':' };
        let edit = match self.command.as_str() {
            "generate config" | "generate manifest" | "add base" | "reset" => {
                "; 'layout update config' changes an image, and 'layout build' makes one on another"
            }
            _ => "",
        };
        Usage(format!("'{}' takes a layout: remove '{mark}{}' from the path{edit}", self.command, printable(reference)))
    }

    /// Opens the repository that a command reads.
    pub(crate) fn to_read(&self, path: &Path, args: &RegistryArgs, reference: Option<&str>) -> anyhow::Result<Target> {
        let observer = |path: &Path| self.lock_observer(path, false);
        self.place(path, args, reference, Need::There, &|path| self.options().lock_observer(observer(path)))
    }

    /// Opens the repository that a command changes.
    pub(crate) fn to_change(
        &self,
        path: &Path,
        args: &RegistryArgs,
        reference: Option<&str>,
        need: Need,
        write: &WriteArgs,
    ) -> anyhow::Result<Target> {
        let target = self.place(path, args, reference, need, &|path| self.write_options(path, write))?;
        if let Ok(layout) = target.repository.layout() {
            clean(&layout);
        }
        Ok(target)
    }

    fn place(
        &self,
        path: &Path,
        args: &RegistryArgs,
        reference: Option<&str>,
        need: Need,
        options: &dyn Fn(&Path) -> WriteOptions,
    ) -> anyhow::Result<Target> {
        let located = PathReference::find(path, args.kind.per_repo);
        if let (Some(one), Some(other)) = (&located.reference, reference)
            && one != other
        {
            return Err(
                Usage(format!("the path names '{}' and --ref names '{}'", printable(one), printable(other))).into()
            );
        }
        let reference = located.reference.or(reference.map(str::to_owned));
        let given = args.repo.as_deref().map(str::parse::<RepositoryName>).transpose().map_err(name_error)?;
        let mut name = match (located.repository, given) {
            (Some(one), Some(other)) if one != other => {
                bail!("the path names repository '{one}' and --repo names '{other}'")
            }
            (one, other) => one.or(other),
        };
        if name.is_none() && args.kind.per_repo {
            // Where each repository has a layout, the reference may say which.
            let said = reference.as_deref().and_then(|reference| reference.parse::<Reference>().ok());
            name = said.filter(|said| said.tag.is_some() || said.digest.is_some()).map(|said| said.repository);
        }
        let registry = self.registry(&located.directory, &args.kind, options(&located.directory))?;
        let repository = match &name {
            Some(name) => registry.repository(name.clone()),
            None => registry.ref_names()?,
        };
        self.metrics.get_or_init(|| repository.shared_metrics());
        if need == Need::There && !args.kind.per_repo {
            Layout::open(&located.directory)?;
        }
        Ok(Target { registry, repository, name, reference, platform: None })
    }

    /// Opens a layout as a repository of all its entries.
    pub(crate) fn repository(&self, layout: &Layout) -> anyhow::Result<Repository> {
        let kind = KindArgs { default_repo: None, per_repo: false };
        Ok(self.registry(layout.path(), &kind, self.reader_options(layout.path()))?.ref_names()?)
    }

    /// Opens a directory as a registry.
    pub(crate) fn registry(
        &self,
        directory: &Path,
        args: &KindArgs,
        options: WriteOptions,
    ) -> anyhow::Result<Registry> {
        let mut registry = if args.per_repo {
            ensure!(!directory.exists() || directory.is_dir(), "{} is not a directory", directory.display());
            Registry::per_repository(directory)
        } else {
            Registry::shared(directory)?
        };
        if let Some(name) = &args.default_repo {
            registry = registry.with_default_repository(name.parse().map_err(name_error)?);
        }
        if self.shares_blobs {
            registry = registry.with_shared_blobs();
        }
        Ok(registry.with_write_options(options))
    }

    /// Returns the options of readers, which report waiting for the lock.
    pub(crate) fn reader_options(&self, path: &Path) -> WriteOptions {
        self.options().lock_observer(self.lock_observer(path, false))
    }
}

/// Reports a name that is none as the library does.
pub(crate) fn name_error(error: regshape::oci::NameError) -> regshape::Error {
    error.into()
}

/// Reads a whole digest, as one that is expected must be.
pub(crate) fn parse_digest(text: &str) -> Result<Digest, regshape::Error> {
    Ok(text.parse::<Digest>()?)
}
