//! Notices of the libraries that are in the program: their licences ask for it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Arch, NAME, cargo, output};

/// Folders of a crate in which the sources of a library in C have their own.
const DEPTH: usize = 2;

/// What `cargo metadata` tells, as far as it is of use here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// None for what lies in this repository.
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<CrateTarget>,
}

#[derive(Deserialize)]
struct CrateTarget {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// None for one that is linked; `build` and `dev` are not.
    kind: Option<String>,
}

/// One text: which libraries, by which licence, and each licence's text once. That of libvpx, which
/// no crate brings with it, is in the file `vpx`.
pub(crate) fn notices(root: &Path, arch: &Arch, vpx: &Path) -> Result<String> {
    let metadata = output(
        cargo(root)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", arch.target.triple])
            .stderr(std::process::Stdio::inherit()),
    )?;
    let metadata: Metadata = serde_json::from_str(&metadata)?;
    let mut list = String::new();
    let mut texts = BTreeMap::<String, BTreeSet<String>>::new();
    let vpx = fs::read_to_string(vpx).with_context(|| vpx.display().to_string())?;
    writeln!(list, "libvpx: BSD-3-Clause")?;
    texts.entry(vpx).or_default().insert("libvpx".to_owned());
    for package in linked(&metadata)? {
        let name = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().unwrap_or("see below");
        writeln!(list, "{name}: {licence}")?;
        let folder = package
            .manifest_path
            .parent()
            .context("a manifest's folder")?;
        for file in licence_files(folder, DEPTH)? {
            let text = String::from_utf8_lossy(&fs::read(file)?).replace('\r', "");
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    let mut all = format!("{NAME} contains these libraries:\n\n{list}");
    for (text, names) in texts {
        let names: Vec<String> = names.into_iter().collect();
        let line = "-".repeat(72);
        write!(
            all,
            "\n{line}\n{}:\n\n{}\n",
            names.join(", "),
            text.trim_end()
        )?;
    }
    Ok(all)
}

/// What is in the program, by name.
fn linked(metadata: &Metadata) -> Result<Vec<&Package>> {
    let packages: HashMap<&str, &Package> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package))
        .collect();
    let nodes: HashMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let is_macro = |package: &Package| {
        package
            .targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    };
    let start = metadata
        .packages
        .iter()
        .find(|package| package.name == NAME && package.source.is_none())
        .context("the program is in the workspace")?;
    let mut found = BTreeMap::new();
    let mut next = vec![start.id.as_str()];
    while let Some(id) = next.pop() {
        let package = *packages.get(id).context("a package that is not listed")?;
        if is_macro(package)
            || found
                .insert((&package.name, &package.version), package)
                .is_some()
        {
            continue;
        }
        let node = nodes.get(id).context("a package without dependencies")?;
        next.extend(
            node.deps
                .iter()
                .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()))
                .map(|dependency| dependency.pkg.as_str()),
        );
    }
    Ok(found
        .into_values()
        .filter(|package| package.source.is_some())
        .collect())
}

fn licence_files(folder: &Path, depth: usize) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if entry.file_type()?.is_dir() {
            if depth > 1 {
                files.extend(licence_files(&entry.path(), depth - 1)?);
            }
        } else if [
            "LICENSE",
            "LICENCE",
            "COPYING",
            "NOTICE",
            "UNLICENSE",
            "COPYRIGHT",
        ]
        .iter()
        .any(|start| name.starts_with(start))
        {
            files.insert(entry.path());
        }
    }
    Ok(files)
}
