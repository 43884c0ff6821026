//! Writes a tree of files as a package.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    Arch, NAME, Release, output, run,
    stage::{Tree, tar},
};

/// What apt and people are told.
const DESCRIPTION: &str = "\
takes part in videocall meetings without a browser
 Streams a camera with a microphone, a file or a test pattern into meetings of a
 videocall server, watches and measures them, and records them. Comes back by
 itself after a lost connection.
 .
 With it comes a systemd unit that streams for weeks, for a Raspberry Pi or
 another machine that nobody sits at.
";

/// Writes `videocall-cli_VERSION_ARCH.deb` of the tree `staged` into `out`.
pub(crate) fn write(
    root: &Path,
    arch: &Arch,
    staged: &Path,
    depends: &str,
    release: &Release,
    out: &Path,
) -> Result<PathBuf> {
    // dpkg-deb wants what describes the package within the tree.
    let control = Tree(staged.join("DEBIAN"));
    let files = files(staged)?;
    // As Debian counts: each file in whole KiB, and one for each folder.
    let mut kib = 0;
    for file in &files {
        let metadata = staged.join(file).metadata()?;
        kib += if metadata.is_dir() {
            1
        } else {
            metadata.len().div_ceil(1024)
        };
    }
    let fields = format!(
        "Package: {NAME}\nVersion: {}\nArchitecture: {}\nMaintainer: {}\nInstalled-Size: {kib}\n\
         Depends: {depends}\nRecommends: ca-certificates\nSection: video\nPriority: optional\n\
         Description: {DESCRIPTION}",
        release.version,
        arch.debian,
        maintainer(),
    );
    control.add("control", fields.as_bytes(), 0o644)?;
    let plain: Vec<&String> = files
        .iter()
        .filter(|file| staged.join(file).is_file())
        .collect();
    let settings: String = plain
        .iter()
        .filter(|file| file.starts_with("etc/"))
        .map(|file| format!("/{file}\n"))
        .collect();
    control.add("conffiles", settings.as_bytes(), 0o644)?;
    let sums = output(
        Command::new("md5sum")
            .args(plain.iter().filter(|file| !file.starts_with("etc/")))
            .current_dir(staged),
    )?;
    control.add("md5sums", sums.as_bytes(), 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        let text = fs::read(root.join("packaging/debian").join(script))?;
        control.add(script, &text, 0o755)?;
    }
    Tree(staged.to_owned()).date(release)?;

    let package = out.join(format!("{NAME}_{}_{}.deb", release.version, arch.debian));
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zxz", "--build"])
        .arg(staged)
        .arg(&package)
        // More threads cut the compressed stream into other pieces.
        .env("DPKG_DEB_THREADS_MAX", "1")
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .stdout(std::process::Stdio::null()))
    .context("packages are written by dpkg-deb")?;
    fs::remove_dir_all(control.0)?;
    Ok(package)
}

/// Writes the tree for systems without apt.
pub(crate) fn write_tar(
    arch: &Arch,
    staged: &Path,
    release: &Release,
    out: &Path,
) -> Result<PathBuf> {
    let archive = out.join(format!("{NAME}-{}-{}.tar.gz", release.version, arch.debian));
    fs::write(&archive, tar(staged, release)?)?;
    Ok(archive)
}

/// Who answers for the package, named as Debian's tools are told.
pub(crate) fn maintainer() -> String {
    let get = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let name = get("DEBFULLNAME", "The videocall contributors");
    format!("{name} <{}>", get("DEBEMAIL", "videocall@localhost"))
}

/// Files and folders below one, by their paths from there, in order.
fn files(folder: &Path) -> Result<Vec<String>> {
    let listed = output(
        Command::new("find")
            .args([".", "-mindepth", "1", "-printf", "%P\\n"])
            .current_dir(folder),
    )?;
    let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
    files.sort_unstable();
    Ok(files)
}
