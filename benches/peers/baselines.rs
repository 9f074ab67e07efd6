//! The minimal work of some tasks, in a process of its own: the benchmark starts itself with [`FLAG`].

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use regshape::oci::Index;

use crate::support::Result;

/// The argument that turns this program into a baseline.
pub(crate) const FLAG: &str = "--baseline";

pub(crate) fn run(name: &str, file: &Path) -> Result<()> {
    match name {
        "inflate" => inflate(file),
        "parse-index" => parse_index(file),
        _ => Err(format!("there is no baseline '{name}'").into()),
    }
}

/// Inflates a gzip file with zlib-rs, without a hash and without output.
fn inflate(file: &Path) -> Result<()> {
    const BUFFER: usize = 256 * 1024;
    let mut content = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, File::open(file)?));
    let mut buffer = vec![0; BUFFER];
    while io::Read::read(&mut content, &mut buffer)? > 0 {}
    Ok(())
}

/// Reads an index and parses it once, into the types of the program.
fn parse_index(file: &Path) -> Result<()> {
    let index: Index = serde_json::from_slice(&fs::read(file)?)?;
    // An exiting program does not have to free it.
    std::mem::forget(std::hint::black_box(index));
    Ok(())
}
