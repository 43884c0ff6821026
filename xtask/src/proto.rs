//! Generates the Rust code of the wire protocol, committed so that users need no generator.

use std::fs;

use anyhow::{Context, Result, bail};

/// Writes the generated modules, or with `check` compares them with what is committed.
pub(crate) fn run(check: bool) -> Result<()> {
    let dir = crate::web::root().join("videocall-types");
    let proto_dir = dir.join("proto");
    let committed = dir.join("src/generated");
    let descriptors = protox::compile(["packet.proto", "bus.proto"], [&proto_dir])?;

    let out = if check {
        std::env::temp_dir().join(format!("videocall-proto-{}", std::process::id()))
    } else {
        committed.clone()
    };
    fs::create_dir_all(&out)?;
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(&out)
        .compile_fds(descriptors)
        .context("generate code from proto/")?;
    if !check {
        return Ok(());
    }
    let mut stale = Vec::new();
    for name in ["videocall.rs", "videocall.bus.rs"] {
        let new = fs::read(out.join(name))?;
        if fs::read(committed.join(name)).ok().as_deref() != Some(new.as_slice()) {
            stale.push(name);
        }
    }
    fs::remove_dir_all(&out)?;
    if !stale.is_empty() {
        bail!(
            "{} out of date: run `cargo xtask proto` and commit",
            stale.join(", ")
        );
    }
    Ok(())
}
