//! Tests of the packages that `cargo xtask package` has written: what is in them, that Debian has
//! what they depend on, that they install and go without a trace, and that the programs in them
//! work – that of the other machine under an emulator.
#![allow(clippy::unwrap_used)]

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    Arch, NAME, Release, UNIT,
    apt::{self, Apt},
    arch::{self, ALL},
    deb,
    elf::Needs,
    folder, output,
};
use crate::{toolchain, web};

/// An emulated program on a busy machine is given this long.
const PATIENCE: Duration = Duration::from_secs(120);

fn root() -> PathBuf {
    web::root().canonicalize().unwrap()
}

fn deb_of(arch: &Arch) -> PathBuf {
    let version = env!("CARGO_PKG_VERSION");
    folder(&root()).join(format!("{NAME}_{version}_{}.deb", arch.debian))
}

/// The machines that there are packages for: what cannot be built here, the builder has told.
fn built() -> impl Iterator<Item = &'static Arch> {
    ALL.iter().filter(|arch| deb_of(arch).exists())
}

/// A package's files in a folder of the test's own.
fn unpacked(arch: &Arch) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    apt::unpack(&deb_of(arch), folder.path()).unwrap();
    folder
}

/// A field of a package's control file; empty if it is not there.
fn field(package: &Path, name: &str) -> Result<String> {
    let text = output(
        Command::new("dpkg-deb")
            .arg("--field")
            .arg(package)
            .arg(name),
    )?;
    Ok(text.trim().to_owned())
}

/// Says what cannot be tested here. Not by a macro: what those print is not shown of tests that
/// pass.
fn skipped(reason: &str) {
    let told = format!("\nSKIPPED: {reason}\n");
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).unwrap().trim() == "0"
}

#[test]
fn packages_have_their_files_with_root_as_their_owner() {
    for arch in built() {
        let listed = output(
            Command::new("dpkg-deb")
                .arg("--contents")
                .arg(deb_of(arch))
                .env("LC_ALL", "C.UTF-8"),
        )
        .unwrap();
        let has = |mode: &str, path: &str| {
            let found = listed.lines().any(|line| {
                line.starts_with(mode) && line.contains(" root/root ") && line.ends_with(path)
            });
            assert!(found, "{mode} {path} in\n{listed}");
        };
        has("-rwxr-xr-x", " ./usr/bin/videocall-cli");
        has(
            "-rw-r--r--",
            " ./lib/systemd/system/videocall-streamer.service",
        );
        has("-rw-------", " ./etc/videocall/streamer.env");
        has("-rw-r--r--", " ./usr/share/man/man1/videocall-cli.1.gz");
        has(
            "-rw-r--r--",
            " ./usr/share/bash-completion/completions/videocall-cli",
        );
        has(
            "-rw-r--r--",
            " ./usr/share/zsh/vendor-completions/_videocall-cli",
        );
        has(
            "-rw-r--r--",
            " ./usr/share/fish/vendor_completions.d/videocall-cli.fish",
        );
        has("-rw-r--r--", " ./usr/share/doc/videocall-cli/copyright");
        has(
            "-rw-r--r--",
            " ./usr/share/doc/videocall-cli/third-party.txt.gz",
        );
        assert!(
            listed.lines().all(|line| line.contains(" root/root ")),
            "{listed}"
        );
    }
}

#[test]
fn programs_are_for_their_machine_and_have_their_codecs_within() {
    for arch in built() {
        let files = unpacked(arch);
        let needs = Needs::of(&files.path().join("usr/bin").join(NAME)).unwrap();
        assert_eq!(needs.machine, arch.machine);
        // Nothing but these: libvpx and Opus are of another version everywhere.
        for library in &needs.libraries {
            assert!(
                [
                    "libasound.so.",
                    "libc.so.",
                    "libm.so.",
                    "libgcc_s.so.",
                    "ld-linux-"
                ]
                .iter()
                .any(|known| library.starts_with(known)),
                "{library}"
            );
        }
        // Debian 12 has glibc 2.36.
        let here = output(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap();
        assert!(
            needs.glibc <= (2, 36) || !here.contains("2.36"),
            "{:?}",
            needs.glibc
        );
        assert_eq!(
            field(&deb_of(arch), "Depends").unwrap(),
            needs.depends().unwrap()
        );
    }
}

#[test]
fn notices_name_the_libraries_within() {
    for arch in built() {
        let files = unpacked(arch);
        let path = files
            .path()
            .join("usr/share/doc/videocall-cli/third-party.txt.gz");
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        for name in ["libvpx", "opus 0.4", "tokio 1.", "rustls 0.23", "ring 0.17"] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
        }
        for holder in [
            "The WebM Project",
            "Xiph.Org Foundation",
            "Tokio Contributors",
        ] {
            assert!(text.contains(holder), "{holder}");
        }
        // What only builds or tests with is not in the program.
        for name in ["cmake ", "proptest ", "tempfile "] {
            assert!(!text.lines().any(|line| line.starts_with(name)), "{name}");
        }
    }
}

#[test]
fn programs_do_not_tell_where_they_were_built() {
    let home = env::var("HOME").unwrap();
    let root = root().display().to_string();
    for arch in built() {
        let files = unpacked(arch);
        let program = fs::read(files.path().join("usr/bin").join(NAME)).unwrap();
        for path in [&root, &format!("{home}/.cargo"), &format!("{home}/.cache")] {
            let found = program
                .windows(path.len())
                .position(|at| at == path.as_bytes());
            if let Some(at) = found {
                let rest = String::from_utf8_lossy(&program[at..(at + 200).min(program.len())]);
                panic!("{} has {rest}", arch.debian);
            }
        }
    }
}

#[test]
fn the_same_files_make_the_same_package() {
    let root = root();
    for arch in built() {
        let package = deb_of(arch);
        let files = unpacked(arch);
        let again = tempfile::tempdir().unwrap();
        // Whatever the times of the files, which are now those of unpacking.
        let release = Release::of(&root).unwrap();
        let depends = field(&package, "Depends").unwrap();
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let second =
            deb::write(&root, arch, files.path(), &depends, &release, again.path()).unwrap();
        assert!(
            fs::read(package).unwrap() == fs::read(second).unwrap(),
            "{}",
            arch.debian
        );
    }
}

impl Apt {
    /// Whether it knows of any packages; not on a machine that never saw the network.
    fn has_lists(&self) -> bool {
        let shown = self.command("apt-cache").args(["show", "libc6"]).output();
        shown.is_ok_and(|shown| shown.status.success())
    }

    /// The names of all that a package, by name or path, brings with it on a machine without
    /// anything, itself included. An error if Debian has not all that it depends on.
    fn closure(&self, package: &str) -> Result<Vec<String>> {
        let simulated = self
            .command("apt-get")
            .args(["-qq", "--simulate", "install", package])
            .output()?;
        ensure!(
            simulated.status.success(),
            "apt-get cannot install {package} for {}: {}",
            self.arch.debian,
            String::from_utf8_lossy(&simulated.stderr)
        );
        // Inst libc6 (2.36-9 Debian:12 [arm64])
        Ok(String::from_utf8(simulated.stdout)?
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
            .map(str::to_owned)
            .collect())
    }
}

/// All that the package needs in Debian, unpacked into one folder.
fn closure(arch: &'static Arch) -> Result<PathBuf> {
    let apt = Apt::new(arch)?;
    let package = deb_of(arch);
    let names = apt.closure(package.to_str().context("a path in UTF-8")?)?;
    ensure!(names.iter().any(|name| name == NAME), "{names:?}");
    let others: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| *name != NAME)
        .collect();
    apt.unpacked(&others)
}

#[test]
fn debian_has_what_packages_depend_on() {
    for arch in built() {
        if !Apt::new(arch).unwrap().has_lists() {
            skipped(&format!(
                "dependencies on {}: apt has no lists of Debian",
                arch.debian
            ));
            continue;
        }
        let system = closure(arch).unwrap();
        let libc = system.join("lib").join(arch.multiarch).join("libc.so.6");
        assert!(libc.exists(), "{}", libc.display());
    }
}

/// The program from a package.
struct Packed {
    files: tempfile::TempDir,
    arch: &'static Arch,
    /// What it depends on, if this machine cannot run it as it is.
    system: Option<PathBuf>,
}

impl Packed {
    fn new(arch: &'static Arch) -> Self {
        let system = (!arch.is_native()).then(|| closure(arch).unwrap());
        Self {
            files: unpacked(arch),
            arch,
            system,
        }
    }

    fn command(&self) -> Command {
        let program = self.files.path().join("usr/bin").join(NAME);
        let Some(system) = &self.system else {
            return Command::new(program);
        };
        let mut command = Command::new(self.arch.qemu());
        command.arg("-L").arg(system).arg(program);
        command
    }
}

impl Arch {
    /// Debian's name of the emulator.
    fn qemu(&self) -> String {
        format!("qemu-{}", self.cpu)
    }
}

fn emulated() -> Option<&'static Arch> {
    let arch = built().find(|arch| !arch.is_native())?;
    if Command::new(arch.qemu()).arg("--version").output().is_err() {
        skipped(&format!(
            "programs of {}: {} is not installed",
            arch.debian,
            arch.qemu()
        ));
        return None;
    }
    Some(arch)
}

#[test]
fn programs_tell_their_version_and_completions() {
    for arch in [Some(arch::native().unwrap()), emulated()]
        .into_iter()
        .flatten()
    {
        let packed = Packed::new(arch);
        let version = output(packed.command().arg("--version")).unwrap();
        assert_eq!(
            version.trim(),
            format!("{NAME} {}", env!("CARGO_PKG_VERSION"))
        );
        // What the package has, it was told by the program of the building machine.
        let completions = output(packed.command().args(["completions", "bash"])).unwrap();
        let installed = packed
            .files
            .path()
            .join("usr/share/bash-completion/completions/videocall-cli");
        assert_eq!(completions, fs::read_to_string(installed).unwrap());
    }
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first line that has `text`. The rest is read on, so that nobody waits for room in a pipe.
fn wait_for(from: impl Read + Send + 'static, text: &'static str) {
    let (found, first) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if line.contains(text) {
                let _ = found.send(());
            }
        }
    });
    first
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("waited for {text}"));
}

/// A server, and its address.
fn server() -> (Running, String) {
    let free = || loop {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    };
    let (http, media) = (free(), free());
    let program = toolchain::target_dir(&root()).join("debug/videocall-server");
    let mut process = Command::new(program)
        .args(["--http-listen", &format!("127.0.0.1:{http}")])
        .args(["--webtransport-listen", &format!("127.0.0.1:{media}")])
        .args(["--log", "off"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = process.stdout.take().unwrap();
    let process = Running(process);
    wait_for(told, "Open http");
    (process, format!("http://127.0.0.1:{http}"))
}

/// Streams the pattern from one machine, and sees at the other that its pictures are whole: the
/// clock in them can be read.
fn streams(from: &Packed, to: &Packed, transport: &str) {
    let (_server, url) = server();
    let common = |command: &mut Command, user: &str| {
        command
            .args(["--server", &url, "--transport", transport])
            .args(["--meeting-id", "packages", "--user-id", user])
            .stderr(Stdio::piped());
    };
    let mut stream = from.command();
    stream.arg("stream");
    common(&mut stream, "pi");
    // An emulator is slow: little to encode.
    stream.args([
        "--resolution",
        "320x180",
        "--fps",
        "5",
        "--no-simulcast",
        "--speed",
        "9",
    ]);
    let mut stream = Running(stream.spawn().unwrap());
    wait_for(stream.0.stderr.take().unwrap(), "\"event\":\"joined\"");

    let mut watch = to.command();
    watch.args(["watch", "--clock"]);
    common(&mut watch, "eye");
    let mut watch = Running(watch.spawn().unwrap());
    wait_for(watch.0.stderr.take().unwrap(), "\"delay_ms\":");
    for mut process in [stream, watch] {
        let id = process.0.id().to_string();
        super::run(Command::new("kill").args(["-TERM", &id])).unwrap();
        assert!(
            process.0.wait().unwrap().success(),
            "SIGTERM ends it as asked"
        );
    }
}

#[test]
fn a_stream_from_the_emulated_machine_is_seen() {
    let Some(arch) = emulated() else { return };
    let native = Packed::new(arch::native().unwrap());
    streams(&Packed::new(arch), &native, "websocket");
}

#[test]
fn the_emulated_machine_sees_a_stream() {
    let Some(arch) = emulated() else { return };
    let native = Packed::new(arch::native().unwrap());
    streams(&native, &Packed::new(arch), "websocket");
}

#[test]
fn systemd_understands_the_unit() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        return skipped("the unit file: systemd-analyze is not installed");
    }
    // The unit of the package, with what it starts where it will be.
    let files = unpacked(arch::native().unwrap());
    let path = files.path().join("lib/systemd/system").join(UNIT);
    let unit = fs::read_to_string(&path).unwrap();
    let program = files.path().join("usr/bin").join(NAME);
    let here = unit.replace(
        "=/usr/bin/videocall-cli",
        &format!("={}", program.display()),
    );
    assert_ne!(unit, here);
    fs::write(&path, here).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["--man=no", "verify"])
        .arg(&path)
        .output()
        .unwrap();
    // Of other units of this machine it may complain too.
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    let about: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("videocall"))
        .collect();
    assert!(about.is_empty(), "{about:#?}");
}

/// What is done in a copy of this machine's files that is gone afterwards.
const INSTALL: &str = r#"
set -eu
mount -t tmpfs tmpfs "$1"
mkdir "$1/changed" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changed,workdir=$1/work" "$1/root" || exit 77
cp "$2" "$1/root/package.deb"
mount -t proc proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
cat >"$1/root/steps" <<'STEPS'
set -eux
dpkg --install /package.deb
dpkg --verify videocall-cli
videocall-cli --version
test "$(stat -c '%a %U' /etc/videocall/streamer.env)" = '600 root'
echo '# a change' >>/etc/videocall/streamer.env
dpkg --install /package.deb
tail -n 1 /etc/videocall/streamer.env | grep -q '# a change'
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s /lib/systemd/system/videocall-streamer.service /etc/systemd/system/multi-user.target.wants/
dpkg --remove videocall-cli
! test -e /usr/bin/videocall-cli
test -e /etc/videocall/streamer.env
dpkg --purge videocall-cli
! test -e /etc/videocall
! test -h /etc/systemd/system/multi-user.target.wants/videocall-streamer.service
STEPS
chroot "$1/root" sh /steps
echo left:
find "$1/changed" -name '*videocall*' -not -type c -not -path '*/home/*' -not -path '*/tmp/*'
"#;

#[test]
fn it_installs_keeps_its_settings_and_goes_without_a_trace() {
    if !is_root() {
        return skipped("installing the package: this needs root");
    }
    let place = tempfile::tempdir().unwrap();
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-c", INSTALL, "sh"])
        .arg(place.path())
        .arg(deb_of(arch::native().unwrap()))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .unwrap();
    let (told, problems) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    if done.status.code() == Some(77) || problems.contains("unshare failed") {
        return skipped(&format!("installing the package: {}", problems.trim()));
    }
    assert!(done.status.success(), "{told}\n{problems}");
    let (_, left) = told.split_once("left:\n").unwrap();
    assert_eq!(left, "", "is left behind");
}

#[test]
fn lintian_has_nothing_to_say() {
    if Command::new("lintian").arg("--version").output().is_err() {
        return skipped("lintian's opinion of the packages: it is not installed");
    }
    for arch in built() {
        let told = Command::new("lintian")
            .args(["--allow-root", "--fail-on", "error,warning"])
            .arg(deb_of(arch))
            .output()
            .unwrap();
        assert!(
            told.status.success(),
            "{}",
            String::from_utf8_lossy(&told.stdout)
        );
    }
}
