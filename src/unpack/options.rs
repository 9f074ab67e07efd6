//! Options of unpacking.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::interrupt::Interrupt;
use crate::options::setters;

/// How the files of an image are written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UnpackOptions {
    /// Whether a plain user keeps the setuid and setgid bits of files and directories. Root keeps them in any case.
    pub keep_setuid: bool,
    /// The users of the image on this system, for root.
    pub uid_map: IdMap,
    /// The groups of the image on this system, for root.
    pub gid_map: IdMap,
    /// Whether all content is synced to disk before the tree appears.
    pub sync: bool,
    /// The state file that is written: the digest of the image, and the attributes and devices that the tree does not have.
    pub state: Option<PathBuf>,
    /// Ends the work with nothing left behind.
    pub interrupt: Interrupt,
}

impl UnpackOptions {
    setters! {
        keep_setuid: [bool],
        uid_map: [IdMap],
        gid_map: [IdMap],
        sync: [bool],
        interrupt: [Interrupt],
    }

    /// Writes a state file.
    #[must_use]
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }
}

/// The highest number of a user or a group: the system takes the one above it for "unchanged".
const HIGHEST: u32 = u32::MAX - 1;

/// A map of users or groups: those of the image to those of this system. The empty map keeps each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdMap(Vec<IdRange>);

/// A range of a map, as user_namespaces(7) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IdRange {
    /// The first number in the image.
    pub inside: u32,
    /// The first number on this system.
    pub outside: u32,
    /// How many there are.
    pub count: u32,
}

/// A text is not a range of users or groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParseIdRangeError(String);

impl fmt::Display for ParseIdRangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}' is not INSIDE:OUTSIDE:COUNT, e.g. 0:100000:65536", self.0.escape_debug())
    }
}

impl std::error::Error for ParseIdRangeError {}

impl FromStr for IdRange {
    type Err = ParseIdRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || ParseIdRangeError(text.to_owned());
        let mut parts = text.split(':').map(|part| part.parse::<u32>().ok());
        let mut next = || parts.next().flatten();
        let (inside, outside, count) = (next(), next(), next());
        match (inside, outside, count, parts.next()) {
            (Some(inside), Some(outside), Some(count @ 1..), None) => {
                let is_possible = |first: u32| first.checked_add(count - 1).is_some_and(|last| last <= HIGHEST);
                if is_possible(inside) && is_possible(outside) {
                    Ok(Self { inside, outside, count })
                } else {
                    Err(fault())
                }
            }
            _ => Err(fault()),
        }
    }
}

/// Two ranges of a map have one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OverlapError(IdRange, IdRange);

impl fmt::Display for OverlapError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the ranges {} and {} overlap", self.0, self.1)
    }
}

impl std::error::Error for OverlapError {}

impl fmt::Display for IdRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inside, outside, count } = self;
        write!(formatter, "{inside}:{outside}:{count}")
    }
}

impl IdMap {
    /// Makes a map of ranges.
    ///
    /// # Errors
    ///
    /// [`OverlapError`] if two ranges have one number, of the image or of this system.
    pub fn new(ranges: Vec<IdRange>) -> Result<Self, OverlapError> {
        let overlap = |one: u32, other: u32, (count, others): (u32, u32)| {
            if one <= other { other - one < count } else { one - other < others }
        };
        for (at, one) in ranges.iter().enumerate() {
            for other in &ranges[..at] {
                let counts = (one.count, other.count);
                if overlap(one.inside, other.inside, counts) || overlap(one.outside, other.outside, counts) {
                    return Err(OverlapError(*other, *one));
                }
            }
        }
        Ok(Self(ranges))
    }

    /// Returns whether each number is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number on this system; `None` if there is none.
    pub fn outside(&self, inside: u64) -> Option<u32> {
        let inside = u32::try_from(inside).ok().filter(|inside| *inside <= HIGHEST)?;
        if self.0.is_empty() {
            return Some(inside);
        }
        let in_range = |range: &&IdRange| inside.checked_sub(range.inside).is_some_and(|at| at < range.count);
        let range = self.0.iter().find(in_range)?;
        Some(range.outside + (inside - range.inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_map_numbers_of_the_image_to_those_of_the_system() {
        let map = |ranges: &[&str]| IdMap::new(ranges.iter().map(|text| text.parse().expect("a range")).collect());
        for ranges in [["0:1:5", "4:100:5"], ["0:1:5", "0:7:5"], ["9:5:1", "0:1:5"]] {
            let says = format!("the ranges {} and {} overlap", ranges[0], ranges[1]);
            assert_eq!(map(&ranges).map_err(|error| error.to_string()), Err(says));
        }
        let map = map(&["0:1000:1", "1:100000:65536"]).expect("a map");
        for (inside, outside) in
            [(0, Some(1000)), (1, Some(100_000)), (65_536, Some(165_535)), (65_537, None), (u64::MAX, None)]
        {
            assert_eq!(map.outside(inside), outside, "{inside}");
        }
        assert_eq!(IdMap::default().outside(4_294_967_294), Some(4_294_967_294));
        assert_eq!(IdMap::default().outside(4_294_967_295), None);
        for text in ["", "0", "0:1", "0:1:0", "0:1:2:3", "a:1:2", "-1:1:2", "0:1:4294967296", "0:4294967290:100"] {
            assert!(text.parse::<IdRange>().is_err(), "{text}");
        }
    }
}
