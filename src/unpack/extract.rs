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
use crate::metrics::Progress;
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
        let mut wanted: Vec<Wanted> = Vec::new();
        for path in paths {
            let place = split(&self.find(path, false)?.entry.path);
            // A link at the end gives its name to the directory to which it leads.
            let typed = split(path).pop().filter(|name| !matches!(&**name, b"." | b".."));
            let name = place.last().map(|last| typed.unwrap_or_else(|| last.clone()));
            if !wanted.iter().any(|known| known.place == place && known.name == name) {
                wanted.push(Wanted { place, name });
            }
        }
        let mut maker = Maker::new(options)?;
        let names = wanted.iter().filter_map(|wanted| wanted.name.as_deref());
        let mut destination = Destination::of_entries(directory, names)?;
        let scratch = destination.scratch(&options.interrupt)?;
        let place = destination.path().to_owned();
        let failed = || Error::io("write to", &place);
        let mut pool = Pool::new(scratch.content().map_err(failed())?, &place, &options.interrupt)?;
        // Of directories all layers may have entries.
        let is_directory = |place: &Place| self.node_at(place).is_none_or(|node| node.children().is_some());
        let tree = match wanted.iter().any(|wanted| is_directory(&wanted.place)) {
            true => Some(pool.fill(&maker.rules, |filling| {
                self.tree_with(Progress::none(), |file, content| {
                    let is_wanted = wanted.iter().any(|wanted| file.place.starts_with(&wanted.place));
                    if is_wanted { filling.store(&file, content) } else { Ok(()) }
                })
            })?),
            false => None,
        };
        let mut top: Top<'_> = Vec::new();
        for Wanted { place, name } in &wanted {
            let node = match &tree {
                Some(tree) => tree.find(place),
                None => self.node_at(place),
            };
            let Some(node) = node else { continue };
            match name {
                Some(name) => top.push((name.clone(), node)),
                None => top.extend(node.children().into_iter().flatten().map(|(name, node)| (name.clone(), &**node))),
            }
        }
        expect_names(&top, &wanted)?;
        store_rest(self, &top, &mut pool, &maker.rules)?;
        let root = scratch.root().map_err(failed())?;
        let mut made = TreeMaker::new(root, &place, &pool, &mut maker, &options.interrupt);
        made.make(&top, None)?;
        let (entries, bytes) = (made.entries, made.bytes);
        // A new directory is the user's own, and not one of the image.
        scratch.make_root_usual().map_err(failed())?;
        destination.take(&scratch, options, || Ok(None))?;
        maker.refused.add(pool.refused());
        Ok(Unpacked { entries, bytes, skipped: maker.into_skipped() })
    }
}

/// An entry that is extracted.
struct Wanted {
    place: Place,
    /// Its name in the directory; `None` for the root, of which the entries are extracted.
    name: Option<Box<[u8]>>,
}

/// Checks that no two entries would have one name.
fn expect_names(top: &Top<'_>, wanted: &[Wanted]) -> Result<()> {
    let mut names: Vec<&[u8]> = top.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]) else { return Ok(()) };
    let mut paths = wanted.iter().filter(|wanted| wanted.name.as_deref().is_none_or(|name| name == twice));
    let mut next = || shown_path(&paths.next().map_or_else(Vec::new, |wanted| wanted.place.join(&b'/')));
    let (one, other) = (next(), next());
    Err(UnpackError::SameName { one, other, name: crate::text::shown(twice) }.into())
}
