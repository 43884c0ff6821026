//! Compiles the shim over libvpx and finds the library.
//!
//! `VIDEOCALL_VPX_LIB_DIR` and `VIDEOCALL_VPX_INCLUDE_DIR` name folders of a build of one's own;
//! otherwise the distribution's folders for the target are searched, so that Debian's
//! `libvpx-dev:arm64` serves a cross build. `VIDEOCALL_VPX_LINK` is `static` (the default where
//! `libvpx.a` is found) or `dynamic`.

use std::{env, path::PathBuf};

fn main() {
    for name in [
        "VIDEOCALL_VPX_LIB_DIR",
        "VIDEOCALL_VPX_INCLUDE_DIR",
        "VIDEOCALL_VPX_LINK",
    ] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=shim");

    let folders = library_folders();
    let archive = folders.iter().find(|dir| dir.join("libvpx.a").is_file());
    let shared = folders.iter().find(|dir| dir.join("libvpx.so").exists());

    let mut shim = cc::Build::new();
    if let Some(include) = env::var_os("VIDEOCALL_VPX_INCLUDE_DIR") {
        shim.include(include);
    }
    // The codec itself is optimised whatever the profile; the shim only hands pointers on.
    if let Err(error) = shim
        .file("shim/encoder.c")
        .file("shim/decoder.c")
        .warnings_into_errors(env::var_os("CI").is_some())
        .opt_level(2)
        .try_compile("videocall_vpx_shim")
    {
        fail(&format!(
            "the shim over libvpx does not compile: {error}\n\
             Are its headers installed? On Debian: apt-get install libvpx-dev, or run scripts/setup"
        ));
    }

    // Asked for by the shim, so linked after it.
    let kind = match (env::var("VIDEOCALL_VPX_LINK").as_deref(), archive, shared) {
        (Ok("static"), None, _) => fail(&format!("no libvpx.a in any of {folders:?}")),
        (Ok("dynamic"), _, found) => {
            search(found);
            "dylib"
        }
        (Ok("static") | Err(_), Some(_), _) => {
            search(archive);
            "static"
        }
        (Err(_), None, found) => {
            search(found);
            "dylib"
        }
        (Ok(other), _, _) => fail(&format!(
            "VIDEOCALL_VPX_LINK is {other:?}, and must be \"static\" or \"dynamic\""
        )),
    };
    println!("cargo:rustc-link-lib={kind}=vpx");
    if kind == "static" {
        for library in ["m", "pthread"] {
            println!("cargo:rustc-link-lib={library}");
        }
    }
}

fn search(folder: Option<&PathBuf>) {
    if let Some(folder) = folder {
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
}

/// Where the library may be, best first.
fn library_folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os("VIDEOCALL_VPX_LIB_DIR") {
        return vec![folder.into()];
    }
    let target = env::var("TARGET").unwrap_or_default();
    let multiarch = multiarch(&target);
    let mut folders = vec![
        PathBuf::from(format!("/usr/lib/{multiarch}")),
        PathBuf::from(format!("/usr/{multiarch}/lib")),
    ];
    // These hold libraries of the building machine only.
    if env::var("HOST").as_deref() == Ok(target.as_str()) {
        folders.extend(
            [
                "/usr/local/lib",
                "/usr/lib64",
                "/usr/lib",
                "/opt/homebrew/lib",
            ]
            .map(PathBuf::from),
        );
    }
    folders
}

/// Debian's name of a target: `aarch64-unknown-linux-gnu` is `aarch64-linux-gnu` there.
fn multiarch(target: &str) -> String {
    let mut parts: Vec<&str> = target.split('-').collect();
    if parts.len() == 4 {
        parts.remove(1);
    }
    match parts.first().copied() {
        Some("armv7" | "thumbv7neon") => parts[0] = "arm",
        Some("i586" | "i686") => parts[0] = "i386",
        Some("riscv64gc") => parts[0] = "riscv64",
        _ => {}
    }
    parts.join("-")
}

fn fail(why: &str) -> ! {
    for line in why.lines() {
        println!("cargo:warning={line}");
    }
    std::process::exit(1)
}
