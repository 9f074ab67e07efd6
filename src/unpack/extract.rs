//! Extracting: some files and directories of an image.

use std::path::Path;

use super::attributes::Maker;
use super::content::Pool;
use super::destination::Destination;
use super::options::UnpackOptions;
use super::report::Unpacked;
use super::tree::{Top, TreeMaker};
use super::whole::store_rest;
use crate::error::{Error, Result, UnpackError};
use crate::rootfs::{ImageFiles, Path as Place, shown_path, split};

impl ImageFiles {
    /// Writes entries of the image into a directory, which is made if it is not there: each under its last name, directories
    /// with all below; of the root its entries. Nothing that is there is replaced. Links to the directories of the paths
    /// are followed inside the image.
    ///
    /// # Errors
    ///
    /// [`UnpackError`]; those of [`ImageFiles::find`]; [`Error::Io`](crate::Error::Io). After an error nothing is there.
    pub fn extract(&mut self, paths: &[Vec<u8>], directory: &Path, options: &UnpackOptions) -> Result<Unpacked> {
        let mut places: Vec<Place> = Vec::new();
        for path in paths {
            let found = self.find(path, path.ends_with(b"/"))?;
            let place = split(&found.entry.path);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let mut maker = Maker::new(options)?;
        let names = places.iter().filter_map(|place| place.last()).map(|name| &**name);
        let mut destination = Destination::of_entries(directory, names)?;
        let scratch = destination.scratch(&options.interrupt)?;
        let place = destination.path().to_owned();
        let failed = || Error::io("write to", &place);
        let mut pool = Pool::new(scratch.content().map_err(failed())?, &place, &options.interrupt);
        // Of directories all layers may have entries.
        let is_directory = |place: &Place| self.node_at(place).is_none_or(|node| node.children().is_some());
        let tree = match places.iter().any(is_directory) {
            true => Some(self.tree_with(None, |file, content| {
                let is_wanted = places.iter().any(|place| file.place.starts_with(place));
                if is_wanted { pool.store(&file, content, &mut maker) } else { Ok(()) }
            })?),
            false => None,
        };
        let mut top: Top<'_> = Vec::new();
        for place in &places {
            let node = match &tree {
                Some(tree) => tree.find(place),
                None => self.node_at(place),
            };
            let Some(node) = node else { continue };
            match place.last() {
                Some(name) => top.push((name.clone(), node)),
                None => top.extend(node.children().into_iter().flatten().map(|(name, node)| (name.clone(), &**node))),
            }
        }
        expect_names(&top, &places)?;
        store_rest(self, &top, &mut pool, &mut maker)?;
        let root = scratch.root().map_err(failed())?;
        let mut made = TreeMaker::new(root, &place, &pool, &mut maker, &options.interrupt);
        made.make(&top, None)?;
        let (entries, bytes) = (made.entries, made.bytes);
        destination.take(&scratch, options, || Ok(None))?;
        Ok(Unpacked { entries, bytes, skipped: maker.into_skipped() })
    }
}

/// Checks that no two entries would have one name.
fn expect_names(top: &Top<'_>, places: &[Place]) -> Result<()> {
    let mut names: Vec<&[u8]> = top.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]) else { return Ok(()) };
    let mut paths = places.iter().filter(|place| place.last().is_none_or(|name| **name == *twice));
    let mut next = || shown_path(&paths.next().map_or_else(Vec::new, |place| place.join(&b'/')));
    let (one, other) = (next(), next());
    Err(UnpackError::SameName { one, other, name: crate::text::shown(twice) }.into())
}
