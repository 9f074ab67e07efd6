//! The format of an export by the name of its output.

use std::path::Path;

use regshape::internals::is_stream;
use regshape::transfer::{ArchiveKind, Format};

use crate::cli::output::printable;
use crate::cli::usage::Usage;

/// Returns the format that the name of an output says.
///
/// # Errors
///
/// [`Usage`] for the ending of another archive format.
pub(crate) fn format_of_name(output: &Path) -> Result<Format, Usage> {
    // A directory of any name.
    if output.is_dir() {
        return Ok(Format::Directory);
    }
    if Format::is_unknown_archive(output) {
        let (name, endings) = (printable(&output.to_string_lossy()), Format::ENDINGS.join(", "));
        return Err(Usage(format!("cannot tell the format of '{name}' from its ending: archives are {endings}")));
    }
    let format = Format::from_name(output);
    let is_archive = format == Format::Directory && is_stream(output);
    Ok(if is_archive { Format::Archive { kind: ArchiveKind::Oci, compression: None } } else { format })
}
