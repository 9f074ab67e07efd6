//! The structure of `src`: which rooms may use which, the length of files, and the location of methods.
//!
//! The rules are in docs/design.md, "Rooms". Its map is compared with the files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// The floors of the library, the lowest first. A room may only use rooms of lower floors.
const FLOORS: &[&[&str]] = &[
    &["fingerprint", "interrupt", "json", "metrics", "options", "tally", "text", "workers"],
    &["compress", "oci", "tar"],
    &["error"],
    &["fs", "graph"],
    &["layout"],
    &["view"],
    &["remote", "rootfs"],
    &["check"],
    &["build", "registry", "transfer", "unpack"],
];

/// The maximum length of a file in `src`, in lines.
const LONGEST_FILE: usize = 600;

/// The largest share of the library's lines in a single room, in per cent.
const LARGEST_ROOM: usize = 30;

/// The maximum number of files with an `impl Layout`.
const MOST_LAYOUT_FILES: usize = 10;

type Module = Vec<String>;

/// A file of `src`.
struct Source {
    /// The path below `src`.
    name: String,
    module: Module,
    lines: usize,
    text: String,
    /// Parsed on first use: parsing takes most of the time of these tests.
    items: OnceCell<syn::File>,
}

impl Source {
    fn items(&self) -> &syn::File {
        self.items.get_or_init(|| syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.name)))
    }

    /// Returns the room: the first folder, or the file itself.
    fn room(&self) -> &str {
        self.name.split('/').next().unwrap().trim_end_matches(".rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let source = |path: PathBuf| {
        let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap();
        let mut module: Module = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        Source { lines: text.lines().count(), name, module, text, items: OnceCell::new() }
    };
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files_below(&root().join("src")).into_iter().filter(is_rust).map(source).collect()
}

/// The files of the library, or those of the binary.
fn crate_sources(is_library: bool) -> Vec<Source> {
    let is_binary = |source: &Source| source.name == "main.rs" || source.room() == "cli";
    let is_test_alone = |source: &Source| is_test(&source.items().attrs);
    sources().into_iter().filter(|source| is_binary(source) != is_library && !is_test_alone(source)).collect()
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

/// The paths that a file uses outside of its tests, and the names that it re-exports.
#[derive(Default)]
struct Paths {
    used: Vec<Module>,
    reexported: Vec<(String, Module)>,
    /// The nesting depth of inline modules.
    depth: usize,
}

impl Paths {
    fn add_tree(&mut self, tree: &syn::UseTree, before: &mut Module, is_reexport: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_tree(&path.tree, before, is_reexport);
                before.pop();
            }
            syn::UseTree::Name(name) => self.add(before, &name.ident, &name.ident, is_reexport),
            syn::UseTree::Rename(rename) => self.add(before, &rename.ident, &rename.rename, is_reexport),
            syn::UseTree::Glob(_) => self.used.push(before.clone()),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(tree, before, is_reexport));
            }
        }
    }

    fn add(&mut self, before: &Module, name: &syn::Ident, shown_as: &syn::Ident, is_reexport: bool) {
        let mut path = before.clone();
        if name != "self" {
            path.push(name.to_string());
        }
        if self.depth > 0 {
            // The parent of an inline module is the file.
            let own = path.iter().take(self.depth).take_while(|part| *part == "super").count();
            path.drain(..own);
            if own > 0 && path.first().is_none_or(|part| part != "super") {
                return;
            }
        }
        if is_reexport && self.depth == 0 {
            self.reexported.push((shown_as.to_string(), path));
        } else {
            self.used.push(path);
        }
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if !is_test(&module.attrs) {
            self.depth += 1;
            syn::visit::visit_item_mod(self, module);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.add_tree(&item.tree, &mut Vec::new(), is_reexport);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts: Module = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if parts.len() > 1 && self.depth == 0 {
            self.used.push(parts);
        }
        syn::visit::visit_path(self, path);
    }
}

/// The dependencies between files.
struct House {
    sources: Vec<Source>,
    modules: HashMap<Module, usize>,
    reexports: HashMap<(usize, String), Module>,
    used: Vec<Vec<Module>>,
}

impl House {
    fn new(sources: Vec<Source>) -> Self {
        let modules = sources.iter().enumerate().map(|(at, source)| (source.module.clone(), at)).collect();
        let mut house = Self { sources, modules, reexports: HashMap::new(), used: Vec::new() };
        for at in 0..house.sources.len() {
            let mut paths = Paths::default();
            paths.visit_file(house.sources[at].items());
            for (name, path) in paths.reexported {
                if let Some(path) = house.absolute(at, &path) {
                    house.reexports.insert((at, name), path);
                }
            }
            let used = paths.used.iter().filter_map(|path| house.absolute(at, path)).collect();
            house.used.push(used);
        }
        house
    }

    /// Returns a path from the root of the crate; `None` for a path into another crate, or of a local item.
    fn absolute(&self, at: usize, path: &[String]) -> Option<Module> {
        let mut module = self.sources[at].module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                module.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    module.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
                self.modules.get(&child)?;
            }
        }
        module.extend_from_slice(rest);
        Some(module)
    }

    /// Returns the file that defines the item of a path. Re-exports are followed.
    fn file_of(&self, path: &[String]) -> usize {
        let mut path = path.to_vec();
        for _ in 0..20 {
            let length = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length])).unwrap();
            let file = self.modules[&path[..length]];
            let Some(name) = path.get(length) else { return file };
            let Some(target) = self.reexports.get(&(file, name.clone())) else { return file };
            path = target.iter().cloned().chain(path[length + 1..].iter().cloned()).collect();
        }
        panic!("{path:?} is re-exported in a circle");
    }

    /// Returns the files that a file uses.
    fn uses(&self, at: usize) -> BTreeSet<usize> {
        self.used[at].iter().map(|path| self.file_of(path)).filter(|other| *other != at).collect()
    }
}

#[test]
fn rooms_use_lower_floors_only() {
    let house = House::new(crate_sources(true));
    let floor = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
    let mut wrong = Vec::new();
    for (at, source) in house.sources.iter().enumerate().filter(|(_, source)| source.name != "lib.rs") {
        let own = floor(source.room()).unwrap_or_else(|| panic!("src/{} is on no floor", source.name));
        for other in house.uses(at) {
            let other = &house.sources[other];
            if other.room() != source.room() && floor(other.room()).is_none_or(|floor| floor >= own) {
                wrong.push(format!("{} uses {}", source.name, other.name));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    for is_library in [true, false] {
        let house = House::new(crate_sources(is_library));
        assert_eq!(circles(&house), [""; 0]);
    }
}

/// Returns the dependency cycles, each as the names of its files.
fn circles(house: &House) -> Vec<String> {
    let uses: Vec<BTreeSet<usize>> = (0..house.sources.len()).map(|at| house.uses(at)).collect();
    let reached = |from: usize| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            next.extend(uses[at].iter().copied().filter(|other| reached.insert(*other)));
        }
        reached
    };
    let reached: Vec<BTreeSet<usize>> = (0..uses.len()).map(reached).collect();
    let circle = |at: usize| {
        let others = reached[at].iter().filter(|other| reached[**other].contains(&at));
        others.map(|other| house.sources[*other].name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let found: BTreeSet<String> = (0..uses.len()).filter(|at| reached[*at].contains(at)).map(circle).collect();
    found.into_iter().collect()
}

#[test]
fn only_public_verbs_stand_outside_a_types_room() {
    let sources = crate_sources(true);
    let mut rooms: HashMap<String, BTreeSet<&str>> = HashMap::new();
    for source in &sources {
        for item in &source.items().items {
            let name = match item {
                syn::Item::Struct(item) => &item.ident,
                syn::Item::Enum(item) => &item.ident,
                _ => continue,
            };
            rooms.entry(name.to_string()).or_default().insert(source.room());
        }
    }
    let mut wrong = Vec::new();
    for source in &sources {
        for item in &source.items().items {
            let syn::Item::Impl(item) = item else { continue };
            let syn::Type::Path(path) = &*item.self_ty else { continue };
            let name = path.path.segments.last().unwrap().ident.to_string();
            let is_foreign = rooms.get(&name).is_some_and(|rooms| !rooms.contains(source.room()));
            if item.trait_.is_some() || !is_foreign || is_test(&item.attrs) {
                continue;
            }
            for item in &item.items {
                if let syn::ImplItem::Fn(method) = item
                    && !matches!(method.vis, syn::Visibility::Public(_))
                {
                    wrong.push(format!("{}: {name}::{}", source.name, method.sig.ident));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn files_and_rooms_are_small_enough_to_read() {
    let long: Vec<_> = sources().into_iter().filter(|source| source.lines > LONGEST_FILE).collect();
    assert_eq!(long.iter().map(|source| (source.name.as_str(), source.lines)).collect::<Vec<_>>(), []);
    let library = crate_sources(true);
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    library.iter().for_each(|source| *rooms.entry(source.room()).or_default() += source.lines);
    let all: usize = rooms.values().sum();
    rooms.retain(|_, lines| *lines * 100 > all * LARGEST_ROOM);
    assert_eq!(rooms, BTreeMap::new(), "of {all} lines");
    let is_layout = |item: &syn::Item| {
        matches!(item, syn::Item::Impl(item) if item.trait_.is_none()
            && matches!(&*item.self_ty, syn::Type::Path(path) if path.path.is_ident("Layout")))
    };
    let files = library.iter().filter(|source| source.items().items.iter().any(is_layout));
    let files: Vec<&str> = files.map(|source| source.name.as_str()).collect();
    assert!(files.len() <= MOST_LAYOUT_FILES, "impl Layout stands in {files:?}");
}

/// Returns whether an item implements or derives `Serialize`.
fn is_serialized(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Impl(item) => {
            let name = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
            return name.is_some_and(|name| name.ident == "Serialize");
        }
        _ => return false,
    };
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let mut is_derived = false;
        let _ = attribute.parse_nested_meta(|derived| {
            is_derived |= derived.path.segments.last().is_some_and(|name| name.ident == "Serialize");
            Ok(())
        });
        is_derived
    })
}

#[test]
fn the_library_serializes_only_documents_that_it_writes() {
    let sources = crate_sources(true);
    let serialized = sources.iter().filter(|source| source.items().items.iter().any(is_serialized));
    let others = serialized.filter(|source| !matches!(source.room(), "json" | "oci"));
    let others: Vec<&str> = others.map(|source| source.name.as_str()).collect();
    assert_eq!(
        others,
        ["layout/filling.rs", "rootfs/unpack_state.rs", "transfer/docker.rs", "transfer/push/journal.rs"]
    );
}

#[test]
fn nothing_is_visible_in_a_part_of_the_crate_only() {
    let wrong: Vec<String> =
        sources().into_iter().filter(|source| source.text.contains("pub(in ")).map(|source| source.name).collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_map_in_the_design_lists_every_file_once() {
    let design = fs::read_to_string(root().join("docs/design.md")).unwrap();
    let map = design.split("```text\nsrc/\n").nth(1).expect("a map").split("```").next().unwrap();
    let mut listed = Vec::new();
    // Two spaces per level; a name with a trailing slash is a folder.
    let mut folders: Vec<&str> = Vec::new();
    for line in map.lines() {
        let level = (line.len() - line.trim_start().len()) / 2;
        let Some(name) = line.split_whitespace().next() else { continue };
        if level == 0 || !(name.ends_with('/') || name.ends_with(".rs")) {
            continue;
        }
        folders.truncate(level - 1);
        if name.ends_with('/') {
            folders.push(name);
        } else {
            listed.push(format!("{}{name}", folders.concat()));
        }
    }
    listed.sort();
    let mut files: Vec<String> = sources().into_iter().map(|source| source.name).collect();
    files.sort();
    let missing: Vec<_> = files.iter().filter(|file| !listed.contains(file)).collect();
    let gone: Vec<_> = listed.iter().filter(|file| !files.contains(file)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the map: {missing:?}; no longer there: {gone:?}");
    assert_eq!(listed, files, "each is listed once");
}

/// Returns the names that a file exports with `pub use`, and the types that it defines if it is a public module of its own.
fn exported_names(source: &Source) -> Vec<String> {
    fn add(tree: &syn::UseTree, names: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => add(&path.tree, names),
            syn::UseTree::Name(name) => names.push(name.ident.to_string()),
            syn::UseTree::Rename(rename) => names.push(rename.rename.to_string()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| add(tree, names)),
            syn::UseTree::Glob(_) => {}
        }
    }
    let is_public = |visibility: &syn::Visibility| matches!(visibility, syn::Visibility::Public(_));
    let is_own = source.name == "metrics.rs";
    let mut names = Vec::new();
    for item in &source.items().items {
        match item {
            syn::Item::Use(item) if is_public(&item.vis) => add(&item.tree, &mut names),
            syn::Item::Struct(item) if is_own && is_public(&item.vis) => names.push(item.ident.to_string()),
            syn::Item::Enum(item) if is_own && is_public(&item.vis) => names.push(item.ident.to_string()),
            _ => {}
        }
    }
    names
}

#[test]
fn the_traits_of_every_public_type_are_checked() {
    let api = fs::read_to_string(root().join("tests/api.rs")).unwrap();
    let listed: BTreeSet<&str> =
        api.split(|character: char| !(character.is_alphanumeric() || character == '_')).collect();
    let sources = crate_sources(true);
    let private = ["fs/mod.rs", "tar/mod.rs", "workers/mod.rs", "json/mod.rs"];
    let is_module = |source: &&Source| {
        matches!(source.name.rsplit('/').next(), Some("mod.rs" | "lib.rs" | "metrics.rs"))
            && !private.contains(&&*source.name)
    };
    let exported = sources.iter().filter(is_module).flat_map(exported_names);
    let is_type = |name: &String| {
        name.starts_with(char::is_uppercase)
            && name.contains(char::is_lowercase)
            && !["Result", "Annotations"].contains(&&**name)
    };
    let exported: BTreeSet<String> = exported.filter(is_type).collect();
    assert!(exported.len() > 150, "{} types", exported.len());
    let missing: Vec<&String> = exported.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in tests/api.rs: {missing:?}");
}
