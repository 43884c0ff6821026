//! Debian's packages of another machine, for this one to link with and to run against: fetched by
//! apt with a state of its own in the cache, so that neither root nor a change of the system is
//! needed. What apt believes, it has verified.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Arch, output, run};
use crate::toolchain;

/// How long apt's lists are believed.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// apt of a machine on which nothing is installed yet.
pub(crate) struct Apt {
    folder: PathBuf,
    pub(super) arch: &'static Arch,
}

impl Apt {
    /// With lists of the machine's own sources, not older than a day if they can be had.
    pub(crate) fn new(arch: &'static Arch) -> Result<Self> {
        let folder = toolchain::cache()?.join("apt").join(arch.debian);
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        let apt = Self { folder, arch };
        let stamp = apt.folder.join("updated");
        let age = fs::metadata(&stamp)
            .and_then(|file| file.modified())
            .map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        if !age.is_ok_and(|age| age < FRESH) {
            // A source that does not answer, or has nothing for the other machine, is no reason to
            // stop: what is asked for next tells whether the lists suffice.
            let updated = apt.command("apt-get").args(["-qq", "update"]).output()?;
            if updated.status.success() {
                fs::write(stamp, "")?;
            }
        }
        Ok(apt)
    }

    /// A program of apt's.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = |name: &str| self.folder.join(name).display().to_string();
        for option in [
            format!("APT::Architecture={}", self.arch.debian),
            format!("APT::Architectures::={}", self.arch.debian),
            format!("Dir::State={}", path("state")),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", path("cache")),
            // Not the user _apt, who may not write into the cache of another.
            "APT::Sandbox::User=".to_owned(),
            "APT::Install-Recommends=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // Some systems delete packages after downloading them.
            "APT::Keep-Downloaded-Packages=true".to_owned(),
            "Debug::NoLocking=true".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.current_dir(&self.folder).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Packages by name, without what they depend on, unpacked into a folder of the cache. Another
    /// version of one of them makes another folder.
    pub(crate) fn unpacked(&self, packages: &[&str]) -> Result<PathBuf> {
        // 'address' name size hash
        let listed = output(
            self.command("apt-get")
                .args(["-qq", "--print-uris", "download"])
                .args(packages),
        )?;
        let mut names: Vec<&str> = listed
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        names.sort_unstable();
        let key = Sha256::digest(names.join(" "));
        let key: String = key[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let root = self.folder.join(format!("root-{key}"));
        if root.exists() {
            return Ok(root);
        }
        let archives = self.folder.join(format!("archives-{key}"));
        fs::create_dir_all(&archives)?;
        run(self
            .command("apt-get")
            .args(["-qq", "download"])
            .args(packages)
            .current_dir(&archives))?;
        // In one step: what an interrupted run leaves must not be taken for all.
        let half = self.folder.join(format!("half-{key}"));
        let _ = fs::remove_dir_all(&half);
        for name in names {
            unpack(&archives.join(name), &half)?;
        }
        fs::rename(&half, &root)?;
        fs::remove_dir_all(archives)?;
        Ok(root)
    }
}

/// Unpacks the files of a package.
pub(crate) fn unpack(package: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(into))
    .with_context(|| package.display().to_string())
}
