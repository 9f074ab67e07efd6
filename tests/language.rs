//! The limits of the language: words that stand for a noun without naming it.

use std::fs;
use std::path::{Path, PathBuf};

/// Words for persons without a name.
const PERSONS: [&str; 3] = ["somebody", "nobody", "whoever"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files with an ending in a directory and those below it.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(files(&entry, ending));
        } else if entry.extension().is_some_and(|extension| extension == ending) {
            found.push(entry);
        }
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

fn has(line: &str, wanted: &[&str]) -> bool {
    words(line).any(|word| wanted.contains(&word.as_str()))
}

#[test]
fn comments_name_their_nouns() {
    let rooms = ["src", "tests", "benches", "fuzz/fuzz_targets", "examples", "consumer/src"];
    let paths = rooms.iter().flat_map(|room| files(&root().join(room), "rs"));
    let texts: Vec<String> = paths.map(|path| fs::read_to_string(path).expect("text")).collect();
    let comments: Vec<&str> =
        texts.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| line.starts_with("//")).collect();
    assert!(comments.len() > 3000, "{} lines of comments", comments.len());
    let what = comments.iter().filter(|line| has(line, &["what"])).count();
    assert!(what * 100 <= comments.len() * 2, "'what' in {what} of {} lines", comments.len());
    let persons: Vec<_> = comments.iter().filter(|line| has(line, &PERSONS)).collect();
    assert!(persons.len() * 1000 <= comments.len() * 2, "{persons:#?}");
}

#[test]
fn pages_name_their_nouns() {
    let pages = files(&root().join("docs"), "md").into_iter().chain([root().join("README.md")]);
    for page in pages.filter(|page| !page.ends_with("commands.md")) {
        // Without code: names of tests, messages.
        let text = fs::read_to_string(&page).expect("text");
        let text: String = text.split('`').step_by(2).collect();
        let (all, what) = (words(&text).count(), words(&text).filter(|word| word == "what").count());
        assert!(what * 1000 <= all * 4, "{}: 'what' {what} times in {all} words", page.display());
        let persons: Vec<_> = text.lines().filter(|line| has(line, &PERSONS)).collect();
        assert!(persons.is_empty(), "{}: {persons:#?}", page.display());
    }
}
