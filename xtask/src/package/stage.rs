//! The tree of files that a package installs.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};

use super::{Arch, NAME, Release, UNIT, elf::Needs, output, run};

/// What the program prints about itself.
pub(crate) struct Pages {
    /// Below `/usr/share`, with what is in them.
    files: Vec<(String, String)>,
}

impl Pages {
    pub(crate) fn printed_by(program: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for (shell, path) in [
            ("bash", "bash-completion/completions/videocall-cli"),
            ("zsh", "zsh/vendor-completions/_videocall-cli"),
            ("fish", "fish/vendor_completions.d/videocall-cli.fish"),
        ] {
            let script = output(Command::new(program).args(["completions", shell]))?;
            files.push((path.to_owned(), script));
        }
        let page = output(Command::new(program).arg("man"))?;
        files.push((format!("man/man1/{NAME}.1.gz"), page));
        Ok(Self { files })
    }
}

/// Makes the tree anew in `out`, around a program, with notices of the libraries in it; returns
/// what it depends on.
pub(crate) fn stage(
    root: &Path,
    arch: &Arch,
    program: &Path,
    notices: &str,
    pages: &Pages,
    release: &Release,
    out: &Path,
) -> Result<String> {
    let needs = Needs::of(program)?;
    ensure!(
        needs.machine == arch.machine,
        "{} is for {}, not {}",
        program.display(),
        needs.machine,
        arch.machine
    );
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    let tree = Tree(out.to_owned());
    let packaging = root.join("packaging");
    tree.add(&format!("usr/bin/{NAME}"), &fs::read(program)?, 0o755)?;
    let unit = fs::read(packaging.join(UNIT))?;
    tree.add(&format!("lib/systemd/system/{UNIT}"), &unit, 0o644)?;
    // It may be given a token.
    let settings = fs::read(packaging.join("streamer.env"))?;
    tree.add("etc/videocall/streamer.env", &settings, 0o600)?;
    for (path, text) in &pages.files {
        tree.add(&format!("usr/share/{path}"), text.as_bytes(), 0o644)?;
    }
    let doc = |name: &str| format!("usr/share/doc/{NAME}/{name}");
    tree.add(&doc("copyright"), copyright(root)?.as_bytes(), 0o644)?;
    tree.add(&doc("third-party.txt.gz"), notices.as_bytes(), 0o644)?;
    let changes = changelog(release)?;
    tree.add(&doc("changelog.gz"), changes.as_bytes(), 0o644)?;
    let guide = fs::read(root.join("docs/streaming.md"))?;
    tree.add(&doc("streaming.md.gz"), &guide, 0o644)?;
    let overrides = fs::read(packaging.join("debian/lintian-overrides"))?;
    let path = format!("usr/share/lintian/overrides/{NAME}");
    tree.add(&path, &overrides, 0o644)?;
    tree.date(release)?;
    needs.depends()
}

/// A folder whose files are the same whoever makes them: modes and times are given.
pub(crate) struct Tree(pub(crate) PathBuf);

impl Tree {
    /// Adds a file; compresses it if its name ends in `.gz`.
    pub(crate) fn add(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let mut folder = self.0.clone();
        make_folder(&folder)?;
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        for parent in parents.split('/') {
            folder.push(parent);
            make_folder(&folder)?;
        }
        let path = folder.join(name);
        let mut file = File::create(&path).with_context(|| path.display().to_string())?;
        if name.ends_with(".gz") {
            // No name and no time within.
            let mut gzip = GzBuilder::new().write(file, Compression::best());
            gzip.write_all(content)?;
            file = gzip.finish()?;
        } else {
            file.write_all(content)?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Gives everything the time of the release.
    pub(crate) fn date(&self, release: &Release) -> Result<()> {
        date(
            &self.0,
            SystemTime::UNIX_EPOCH + Duration::from_secs(release.epoch),
        )
    }
}

/// Not by the mask of whoever builds.
fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    Ok(())
}

fn date(path: &Path, time: SystemTime) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            date(&entry?.path(), time)?;
        }
    }
    File::open(path)?.set_modified(time)?;
    Ok(())
}

/// Debian's form of the licence.
fn copyright(root: &Path) -> Result<String> {
    let licence = fs::read_to_string(root.join("LICENSE"))?;
    let (head, terms) = licence
        .split_once("\n\nPermission")
        .context("LICENSE is not the MIT licence as it was")?;
    let holder = head
        .lines()
        .find_map(|line| line.strip_prefix("Copyright (c) "))
        .context("LICENSE names no holder")?;
    let mut text = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: videocall\n\
         Comment: The program contains libraries of others: they, their authors and their\n \
         licences are in /usr/share/doc/{NAME}/third-party.txt.gz.\n\n\
         Files: *\nCopyright: {holder}\nLicense: Expat\n"
    );
    for line in format!("Permission{terms}").lines() {
        text += &format!(" {}\n", if line.is_empty() { "." } else { line });
    }
    Ok(text)
}

/// Debian's own, which says where the real one is.
fn changelog(release: &Release) -> Result<String> {
    let date = output(
        Command::new("date")
            .args(["--utc", "--rfc-email", "--date"])
            .arg(format!("@{}", release.epoch)),
    )?;
    Ok(format!(
        "{NAME} ({}) stable; urgency=medium\n\n  * See CHANGELOG.md of the sources.\n\n -- {}  {date}",
        release.version,
        super::deb::maintainer()
    ))
}

/// Packs a tree with everything owned by root.
pub(crate) fn tar(tree: &Path, release: &Release) -> Result<Vec<u8>> {
    let archive = tree.with_extension("tar");
    run(Command::new("tar")
        .args(["--create", "--sort=name", "--format=gnu", "--numeric-owner"])
        .args(["--owner=0", "--group=0"])
        .arg(format!("--mtime=@{}", release.epoch))
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(tree)
        .arg("."))?;
    let content = fs::read(&archive)?;
    fs::remove_file(archive)?;
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(&content)?;
    Ok(gzip.finish()?)
}
