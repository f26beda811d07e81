//! The modules of a crate and which of them name which, read from the text of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module by its names from the crate's root: `["stage", "bake", "recipe"]`.
pub type ModulePath = Vec<String>;

/// One module: a file without its tests and comments.
pub struct Module {
    pub path: ModulePath,
    pub code: String,
}

/// All modules below a `src` folder, tests left out.
pub fn modules(src: &Path) -> Vec<Module> {
    let mut modules: Vec<Module> = rust_files(src)
        .into_iter()
        .filter_map(|file| {
            let path = module_path(file.strip_prefix(src).ok()?);
            let is_test = path.iter().any(|name| matches!(name.as_str(), "tests" | "testing" | "golden"));
            (!is_test).then(|| Module { path, code: code(&file) })
        })
        .collect();
    let test_only = test_only(&modules);
    modules.retain(|module| !test_only.iter().any(|test| module.path.starts_with(test)));
    modules
}

/// Every Rust file at or below a path, in order.
pub fn rust_files(under: &Path) -> Vec<PathBuf> {
    if under.is_file() {
        return vec![under.to_owned()];
    }
    let Ok(entries) = fs::read_dir(under) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flat_map(|entry| rust_files(&entry.unwrap().path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

/// The module that a file below `src` is.
fn module_path(inside: &Path) -> ModulePath {
    let mut names: ModulePath =
        inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

/// Code without comments and without its test module.
pub fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let without_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    without_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Modules that their parents compile for tests only.
fn test_only(modules: &[Module]) -> Vec<ModulePath> {
    let mut found = Vec::new();
    for module in modules {
        let lines: Vec<&str> = module.code.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            let declared = pair[1].trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            if pair[0] == "#[cfg(test)]"
                && let Some(name) = declared.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'))
            {
                found.push([module.path.as_slice(), &[name.to_owned()]].concat());
            }
        }
    }
    found
}

/// Every path that the code names, with groups written out: `a::{b, c::d}` is `a::b` and `a::c::d`.
pub fn named_paths(code: &str) -> BTreeSet<Vec<String>> {
    let mut named = BTreeSet::new();
    let mut rest = code;
    while let Some(at) =
        ["crate::", "super::", "self::"].iter().filter_map(|root| find_word(rest, root)).min()
    {
        rest = &rest[at..];
        let length = expand(rest, &[], &mut named);
        rest = &rest[length.max(1)..];
    }
    named
}

/// Where a word begins that is not the end of a longer one.
fn find_word(text: &str, word: &str) -> Option<usize> {
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        !text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// Reads one path or group at the beginning of `text`; how long it is.
fn expand(text: &str, before: &[String], named: &mut BTreeSet<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    loop {
        let name: String =
            text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        at += name.len();
        if name.is_empty() {
            if !text[at..].starts_with('{') || path.is_empty() {
                break;
            }
            at += 1;
            while at < text.len() && !text[at..].starts_with('}') {
                let skipped = text[at..].len() - text[at..].trim_start_matches([',', ' ', '\n', '\t']).len();
                if skipped > 0 {
                    at += skipped;
                    continue;
                }
                let length = expand(&text[at..], &path, named);
                if length == 0 {
                    return at;
                }
                at += length;
                // `a as b` names `a`.
                let alias: usize = text[at..].find([',', '}']).unwrap_or(0);
                at += alias;
            }
            return at + 1;
        }
        path.push(name);
        if !text[at..].starts_with("::") {
            break;
        }
        at += 2;
    }
    if path.len() > before.len() {
        named.insert(path);
    }
    at
}

/// Which module each module names, resolved to the deepest module there is; names that a module re-exports from a child
/// count as the child's.
pub fn uses(modules: &[Module]) -> Vec<(ModulePath, ModulePath)> {
    let known: BTreeSet<&ModulePath> = modules.iter().map(|module| &module.path).collect();
    let exported = exported(modules, &known);
    let mut edges = Vec::new();
    for module in modules {
        for named in named_paths(&module.code) {
            if let Some(target) = absolute(&module.path, &named) {
                let resolved = resolve(&target, &known, &exported);
                if resolved != module.path {
                    edges.push((module.path.clone(), resolved));
                }
            }
        }
    }
    edges
}

/// A named path from the crate's root.
fn absolute(from: &ModulePath, named: &[String]) -> Option<ModulePath> {
    let mut base = from.clone();
    let mut rest = named;
    match named.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => return None,
    }
    Some([base.as_slice(), rest].concat())
}

/// Names that a module takes from a child and hands on: by module and name, the child.
type Exported = BTreeMap<(ModulePath, String), ModulePath>;

fn exported(modules: &[Module], known: &BTreeSet<&ModulePath>) -> Exported {
    let mut exported = Exported::new();
    for module in modules {
        for statement in module.code.split(';').filter_map(|text| text.split("pub use ").nth(1)) {
            let text = statement.trim();
            let text = if text.starts_with("self::") { text.to_owned() } else { format!("self::{text}") };
            for named in named_paths(&text) {
                let Some(target) = absolute(&module.path, &named) else { continue };
                let child = resolve(&target, known, &Exported::new());
                if let Some(name) = target.last().filter(|_| child.len() > module.path.len()) {
                    exported.insert((module.path.clone(), name.clone()), child);
                }
            }
        }
    }
    exported
}

fn resolve(target: &ModulePath, known: &BTreeSet<&ModulePath>, exported: &Exported) -> ModulePath {
    let depth =
        (0..=target.len()).rev().find(|&depth| known.contains(&target[..depth].to_vec())).unwrap_or(0);
    let module = target[..depth].to_vec();
    match target.get(depth).and_then(|name| exported.get(&(module.clone(), name.clone()))) {
        Some(child) => child.clone(),
        None => module,
    }
}

/// Circles between the children of any one folder: each as the children's names.
pub fn circles(edges: &[(ModulePath, ModulePath)]) -> Vec<String> {
    let mut folders: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, to) in edges {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
            let children = folders.entry(from[..shared].to_vec()).or_default();
            children.entry(a.clone()).or_default().insert(b.clone());
        }
    }
    let mut circles = Vec::new();
    for (folder, children) in folders {
        for start in children.keys() {
            if let Some(way) = way_back(start, &children)
                && way.iter().min() == Some(start)
            {
                circles.push(format!("{}: {} -> {start}", folder.join("/"), way.join(" -> ")));
            }
        }
    }
    circles
}

/// The shortest way from a child to itself.
fn way_back(start: &String, children: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in children.get(way.last()?).into_iter().flatten() {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push([way.as_slice(), std::slice::from_ref(next)].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

#[test]
fn a_path_is_read_with_its_groups() {
    let read = |code: &str| -> Vec<String> { named_paths(code).iter().map(|path| path.join("::")).collect() };
    for (code, expected) in [
        ("use crate::a::b;", vec!["crate::a::b"]),
        ("use super::{a, b::{c, d as e}};", vec!["super::a", "super::b::c", "super::b::d"]),
        ("fn x() { crate::a::f(super::g::<u8>()) }", vec!["crate::a::f", "super::g"]),
        ("use some_crate::a;", vec![]),
        ("use crate::{\n    a::B,\n    c,\n};", vec!["crate::a::B", "crate::c"]),
    ] {
        assert_eq!(read(code), expected, "{code}");
    }
}

#[test]
fn a_circle_is_found_and_a_ladder_is_none() {
    let path = |text: &str| text.split('/').map(str::to_owned).collect::<ModulePath>();
    let edges = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (path(a), path(b))).collect::<Vec<_>>();
    assert!(circles(&edges(&[("a/x", "a/y"), ("a/y", "a/z"), ("a/x", "a/z"), ("b", "a/x")])).is_empty());
    assert_eq!(circles(&edges(&[("a/x", "a/y/q"), ("a/y/p", "a/x")])), ["a: x -> y -> x"]);
    assert_eq!(circles(&edges(&[("a/x", "b"), ("b", "a/y")])), [": a -> b -> a"]);
}
