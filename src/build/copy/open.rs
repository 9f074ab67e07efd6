//! Opens the files of sources by the places at which they were found.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::collect::open_again;
use super::tree::{Place, SourcePlace};
use crate::fs::walk::{SourceDirectory, open_target};

/// Opens files one after another: the directory of the last one stays open.
#[derive(Default)]
pub(super) struct Opener {
    directory: Option<(u32, SourceDirectory)>,
}

impl Opener {
    /// Opens a file of a source.
    pub(super) fn open(
        &mut self,
        source: &Path,
        (places, paths): (&[SourcePlace], &[PathBuf]),
        place: Place,
        name: &[u8],
    ) -> io::Result<File> {
        let place = match place {
            Place::Path(path) => return open_target(&paths[path as usize]),
            Place::Source => return open_target(source),
            Place::In(place) => place,
        };
        let opened = self.directory.take().filter(|(open, _)| *open == place).map(|(_, directory)| directory);
        let directory = opened.map_or_else(|| open_again(source, places, place), Ok)?;
        let file = directory.open_file(name);
        self.directory = Some((place, directory));
        file
    }
}
