//! Completions and manual pages, made of the command line itself.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{args::Cli, exit::Failure};

const NAME: &str = "videocall-cli";

/// Prints completions.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut text);
    print(&text)
}

/// Prints the main page, or writes one page for each command to a folder.
pub fn pages(folder: Option<&Path>) -> Result<(), Failure> {
    let mut main = Cli::command();
    main.build();
    let Some(folder) = folder else {
        let mut text = Vec::new();
        let rendered = Man::new(main).render(&mut text);
        rendered.map_err(Failure::other)?;
        return print(&text);
    };
    fs::create_dir_all(folder)
        .map_err(|error| Failure::output(&folder.display().to_string(), error))?;
    for command in main.get_subcommands() {
        if command.get_name() != "help" {
            let name = format!("{NAME}-{}", command.get_name());
            page(folder, &name, command.clone())?;
        }
    }
    page(folder, NAME, main)
}

fn page(folder: &Path, name: &str, command: Command) -> Result<(), Failure> {
    let path = folder.join(format!("{name}.1"));
    // The page's name is one of clap's own strings, which live as long as the program.
    let name: &'static str = name.to_owned().leak();
    let man = Man::new(command.name(name));
    let written = File::create(&path).and_then(|mut file| man.render(&mut file));
    written.map_err(|error| Failure::output(&path.display().to_string(), error))
}

/// To standard output, which may be closed early.
fn print(text: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::output("standard output", error))
        }
        _ => Ok(()),
    }
}
