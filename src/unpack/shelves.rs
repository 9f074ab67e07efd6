//! Shelves: directories of the pool whose files have the names that they get in the tree. A shelf becomes the directory of the
//! tree in one step, which saves a step for each file.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::fs::beneath::Beneath;
use crate::fs::made::make_directory;
use crate::interrupt::Interrupt;
use crate::rootfs::Path;

/// The place of a file on a shelf.
#[derive(Clone)]
pub(super) struct OnShelf {
    pub(super) shelf: u32,
    pub(super) name: Box<[u8]>,
}

/// The shelves of a pool.
#[derive(Default)]
pub(super) struct Shelves {
    /// Their numbers, by the paths of the directories that they become.
    numbers: HashMap<Vec<u8>, u32>,
    /// The directory of the file before, for which a shelf was looked for.
    last: Option<(Path, u32)>,
}

/// The shelf that a thread opened last.
#[derive(Default)]
pub(super) struct OpenShelf(Option<(u32, File)>);

/// Returns the name of a shelf in the pool.
pub(super) fn shelf_name(shelf: u32) -> String {
    format!("s{shelf}")
}

impl Shelves {
    /// Returns the place of a file, by its path in the tree; `None` for files of the root directory, which has no shelf. Makes
    /// the shelf if it is the first file there.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub(super) fn place(
        &mut self,
        pool: BorrowedFd<'_>,
        path: &[Box<[u8]>],
        interrupt: &Interrupt,
    ) -> io::Result<Option<OnShelf>> {
        let Some((name, parents @ [_, ..])) = path.split_last() else { return Ok(None) };
        let on = |shelf| Some(OnShelf { shelf, name: name.clone() });
        if let Some((_, shelf)) = self.last.as_ref().filter(|(last, _)| last == parents) {
            return Ok(on(*shelf));
        }
        let path = parents.join(&b'/');
        let shelf = match self.numbers.get(&path) {
            Some(shelf) => *shelf,
            None => {
                let shelf = u32::try_from(self.numbers.len()).map_err(|_| io::ErrorKind::StorageFull)?;
                let _section = interrupt.begin_section();
                make_directory(pool, shelf_name(shelf).as_bytes())?;
                self.numbers.insert(path, shelf);
                shelf
            }
        };
        self.last = Some((parents.to_vec(), shelf));
        Ok(on(shelf))
    }

    /// Returns the shelf that becomes a directory of the tree.
    pub(super) fn of_directory(&self, path: &[u8]) -> Option<u32> {
        self.numbers.get(path).copied()
    }
}

impl OpenShelf {
    /// Opens a shelf, unless it is open.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub(super) fn open(&mut self, pool: &Beneath, shelf: u32) -> io::Result<BorrowedFd<'_>> {
        if self.0.as_ref().is_none_or(|(open, _)| *open != shelf) {
            self.0 = Some((shelf, pool.open_directory(shelf_name(shelf).as_bytes())?));
        }
        let (_, opened) = self.0.as_ref().expect("it was opened");
        Ok(opened.as_fd())
    }
}
