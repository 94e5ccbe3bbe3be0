//! No two files of a crate import each other, directly or through others, except for a Rust module and its child modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ixt_tests::workspace;
use syn::{Attribute, File, Item, UseTree, Visibility};

/// The segments of a module's path within its crate, or of a `use`.
type ModulePath = Vec<String>;

#[derive(Default)]
struct Module {
    /// The file, from the root of the workspace.
    file: String,
    imports: Vec<ModulePath>,
    /// For each name that the module re-exports, its path.
    exports: BTreeMap<String, ModulePath>,
}

/// All modules of a crate that have a file of their own, without tests.
fn modules(source: &Path) -> BTreeMap<ModulePath, Module> {
    let mut modules = BTreeMap::new();
    let mut dirs = vec![(source.to_owned(), ModulePath::new())];
    while let Some((dir, parent)) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name == "tests" {
                continue;
            }
            let of_child = || parent.iter().cloned().chain([name.clone()]).collect::<ModulePath>();
            if path.is_dir() {
                dirs.push((path, of_child()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let is_root = ["lib", "main", "mod"].contains(&&*name);
                let module = if is_root { parent.clone() } else { of_child() };
                modules.insert(module.clone(), read(&path, &module));
            }
        }
    }
    modules
}

fn read(path: &Path, module: &[String]) -> Module {
    let text = fs::read_to_string(path).unwrap();
    let File { items, .. } = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = path.strip_prefix(workspace()).unwrap().display().to_string();
    let mut read = Module { file, ..Module::default() };
    for item in items {
        let Item::Use(item) = item else { continue };
        if item.attrs.iter().any(is_for_tests) {
            continue;
        }
        let mut found = Vec::new();
        flatten(&item.tree, Vec::new(), &mut found);
        for (name, segments) in found {
            let Some(path) = absolute(module, &segments) else { continue };
            if !matches!(item.vis, Visibility::Inherited) {
                read.exports.insert(name, path.clone());
            }
            read.imports.push(path);
        }
    }
    read
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"))
}

/// Adds for each import of a tree the name that it has in the module, and its path.
fn flatten(tree: &UseTree, mut before: ModulePath, found: &mut Vec<(String, ModulePath)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
        }
        UseTree::Name(name) => {
            before.push(name.ident.to_string());
            found.push((name.ident.to_string(), before));
        }
        UseTree::Rename(rename) => {
            before.push(rename.ident.to_string());
            found.push((rename.rename.to_string(), before));
        }
        UseTree::Glob(_) => found.push(("*".to_owned(), before)),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before.clone(), found)),
    }
}

/// An import's path from the root of the crate. `None` for another crate, unless a child module has its name.
fn absolute(module: &[String], segments: &[String]) -> Option<ModulePath> {
    let mut start = module.to_vec();
    let mut rest = segments;
    match segments.first()?.as_str() {
        "crate" => {
            start.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                start.pop();
                rest = &rest[1..];
            }
        }
        // A child module, or another crate: which one, is seen when the path is resolved.
        _ => {}
    }
    start.extend(rest.iter().cloned());
    Some(start)
}

/// The module that defines what a path names. `None` if it is of another crate.
fn defining(modules: &BTreeMap<ModulePath, Module>, path: &[String], depth: usize) -> Option<ModulePath> {
    let mut at = ModulePath::new();
    for (index, segment) in path.iter().enumerate() {
        let child: ModulePath = at.iter().cloned().chain([segment.clone()]).collect();
        if modules.contains_key(&child) {
            at = child;
            continue;
        }
        let Some(export) = modules[&at].exports.get(segment).filter(|_| depth < 8) else { break };
        let export: ModulePath = export.iter().chain(&path[index + 1..]).cloned().collect();
        return defining(modules, &export, depth + 1).or(Some(at));
    }
    Some(at)
}

/// The imports that are part of a circle.
fn circles(source: &str) -> Vec<String> {
    let modules = modules(&workspace().join(source));
    assert!(modules.contains_key(&ModulePath::new()), "{source} has no root");
    let mut edges = BTreeSet::new();
    for (module, Module { imports, .. }) in &modules {
        for import in imports {
            let Some(used) = defining(&modules, import, 0) else { continue };
            let is_family = used.starts_with(module) || module.starts_with(&used);
            if !is_family {
                edges.insert((module.clone(), used));
            }
        }
    }
    assert!(edges.len() > 5, "{source} has {} imports", edges.len());
    // A module that imports none of those that are left, or that none of them imports, is in no circle.
    loop {
        let from: BTreeSet<_> = edges.iter().map(|(from, _)| from.clone()).collect();
        let to: BTreeSet<_> = edges.iter().map(|(_, to)| to.clone()).collect();
        let left: BTreeSet<_> = edges.iter().filter(|(a, b)| from.contains(b) && to.contains(a)).cloned().collect();
        if left.len() == edges.len() {
            break;
        }
        edges = left;
    }
    edges.iter().map(|(from, to)| format!("{} -> {}", modules[from].file, modules[to].file)).collect()
}

#[test]
fn no_files_import_each_other() {
    let crates =
        ["build-support/manifest", "build-support/codegen", "sdk/protocol", "sdk/module", "sdk/host", "sdk/cli"];
    let circles: Vec<_> = crates.iter().flat_map(|package| circles(&format!("{package}/src"))).collect();
    assert!(circles.is_empty(), "these imports are part of a circle:\n  {}", circles.join("\n  "));
}
