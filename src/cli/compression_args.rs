//! The flags of compression, and the format, level and scope that they stand for.

use clap::{Args, ValueEnum};

use regshape::build::CompressionScope;
use regshape::compress::{CompressFormat, Compression};

use super::usage::Usage;

/// How layers are compressed.
#[derive(Debug, Args)]
pub(crate) struct CompressionArgs {
    /// Compression: gzip, zstd, none [default: gzip]
    ///
    /// Content of other media types is compressed only if this flag is given.
    #[arg(long, value_name = "FORMAT", value_enum, ignore_case = true, hide_possible_values = true)]
    compress_format: Option<LayerFormat>,
    /// Level [default: gzip 5 of 9, zstd 3 of 19]
    #[arg(long, value_name = "N", hide_short_help = true, value_parser = clap::value_parser!(u8).range(1..=19))]
    level: Option<u8>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayerFormat {
    Gzip,
    Zstd,
    /// Store plain tars as they are
    #[value(hide = true)]
    None,
}

/// A compression, and the content that is compressed with it.
pub(crate) struct ChosenCompression {
    pub(crate) compression: Compression,
    pub(crate) scope: CompressionScope,
}

impl CompressionArgs {
    /// Returns the compression.
    ///
    /// # Errors
    ///
    /// [`Usage`] for a level without a compression; the error of a level that the format does not have.
    pub(crate) fn compression(&self) -> anyhow::Result<ChosenCompression> {
        let (scope, format) = match self.compress_format {
            None => (CompressionScope::Layers, CompressFormat::Gzip),
            Some(LayerFormat::Gzip) => (CompressionScope::Everything, CompressFormat::Gzip),
            Some(LayerFormat::Zstd) => (CompressionScope::Everything, CompressFormat::Zstd),
            Some(LayerFormat::None) if self.level.is_some() => {
                return Err(Usage("--level has no meaning with --compress-format none".to_owned()).into());
            }
            Some(LayerFormat::None) => (CompressionScope::Nothing, CompressFormat::default()),
        };
        Ok(ChosenCompression { compression: Compression::new(format, self.level)?, scope })
    }
}

/// How layers are compressed again.
#[derive(Debug, Args)]
pub(crate) struct RecompressionArgs {
    /// Compression: gzip, zstd, none
    #[arg(long, value_name = "FORMAT", value_enum, ignore_case = true, hide_possible_values = true)]
    compress_format: LayerFormat,
    /// Level [default: gzip 5 of 9, zstd 3 of 19]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=19))]
    level: Option<u8>,
}

impl RecompressionArgs {
    /// Returns the compression, `None` for plain tars, and whether a level is given.
    ///
    /// # Errors
    ///
    /// Those of [`CompressionArgs::compression`].
    pub(crate) fn compression(&self) -> anyhow::Result<(Option<Compression>, bool)> {
        let given = CompressionArgs { compress_format: Some(self.compress_format), level: self.level };
        let ChosenCompression { compression, scope } = given.compression()?;
        Ok((Some(compression).filter(|_| scope != CompressionScope::Nothing), self.level.is_some()))
    }
}
