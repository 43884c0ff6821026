//! Builds `videocall-cli` for the machines that it is installed on, and puts it into packages:
//! `target/packages/videocall-cli_VERSION_ARCH.deb`, and the same program with its pages in
//! `videocall-cli-VERSION-ARCH.tar.gz` for other distributions.
//!
//! libvpx and Opus are linked statically; what stays dynamic is what every such system has, and
//! the sound library, which has its plugins on the system. What the packages depend on is read
//! from the programs. The same sources give the same bytes.

mod apt;
mod arch;
mod build;
#[cfg(all(test, feature = "package-tests"))]
mod check;
mod deb;
mod elf;
mod stage;
mod third_party;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::{arch::Arch, build::Builder};
use crate::{toolchain, web};

/// The package and the program in it.
const NAME: &str = "videocall-cli";
const UNIT: &str = "videocall-streamer.service";

#[derive(Args)]
pub(crate) struct Options {
    /// Only for this machine.
    #[arg(long, value_parser = Arch::parse)]
    arch: Option<&'static Arch>,
    /// Then test them, those of one machine against those of the other.
    #[arg(long, conflicts_with = "arch")]
    check: bool,
    /// Built as tests are, which takes less time: the programs are slower, and tell where that was.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run_chore(options: &Options) -> Result<()> {
    let root = web::root().canonicalize()?;
    let out = folder(&root);
    // Nothing of an earlier run may pass for what this one has made.
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    let release = Release::of(&root)?;
    // The pages that the program prints come from the one that runs here.
    let native = Builder::new(arch::native()?)?;
    let native_program = native.program(&root, options.quick)?;
    let pages = stage::Pages::printed_by(&native_program)?;
    for arch in &arch::ALL {
        if options.arch.is_some_and(|only| only.debian != arch.debian) {
            continue;
        }
        let builder = match Builder::new(arch) {
            Ok(builder) => builder,
            Err(error) if options.check => {
                println!("SKIPPED: packages for {}: {error:#}", arch.debian);
                continue;
            }
            Err(error) => return Err(error),
        };
        let program = if arch.is_native() {
            native_program.clone()
        } else {
            builder.program(&root, options.quick)?
        };
        let notices = third_party::notices(&root, arch, &builder.vpx_notice())?;
        let staged = out.join("staged").join(arch.debian);
        let depends = stage::stage(&root, arch, &program, &notices, &pages, &release, &staged)?;
        for package in [
            deb::write_tar(arch, &staged, &release, &out)?,
            deb::write(&root, arch, &staged, &depends, &release, &out)?,
        ] {
            println!(
                "{} ({} bytes)",
                package.display(),
                fs::metadata(&package)?.len()
            );
        }
    }
    if options.check {
        // The tests want something to talk to.
        build::program_of_tests(&root, "videocall-server")?;
        let mut tests = cargo(&root);
        tests
            .args(["test", "-p", "xtask", "--features", "package-tests"])
            .args(["--bin", "xtask", "package::check"]);
        if options.quick {
            tests.args(["--", "--skip", "do_not_tell_where_they_were_built"]);
        }
        run(&mut tests)?;
    }
    Ok(())
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root);
    cargo
}

/// Where packages are written.
fn folder(root: &Path) -> PathBuf {
    toolchain::target_dir(root).join("packages")
}

/// What is packed: its version, and when it was made.
struct Release {
    version: String,
    /// Seconds since 1970: SOURCE_DATE_EPOCH, or the time of the last commit.
    epoch: u64,
}

impl Release {
    fn of(root: &Path) -> Result<Self> {
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => output(
                Command::new("git")
                    .args(["log", "-1", "--format=%ct"])
                    .current_dir(root),
            )
            .context("give SOURCE_DATE_EPOCH outside of a git repository")?,
        };
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: epoch.trim().parse().context("SOURCE_DATE_EPOCH")?,
        })
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
