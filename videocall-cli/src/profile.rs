//! Settings in a TOML file, by the names of the flags:
//!
//! ```toml
//! server = "https://meet.example.org"
//! meeting-id = "yard"
//! user-id = "north gate"
//! fps = 15
//! no-simulcast = true
//! ```
//!
//! They become the defaults of the flags, so that a flag and the environment win over them. One
//! file serves all commands: each takes what it knows, and a name that none knows is an error.

use std::{env, ffi::OsString, fs, path::Path};

use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::{args::Cli, exit::Failure, identity};

/// The name of the flag that names the file, which cannot stand in the file itself.
const PROFILE: &str = "profile";
/// The environment wins over it by a variable that is no flag's.
const TOKEN_FILE: &str = "token-file";

/// The command line, with what a profile says where it says nothing. Ends the program where clap
/// does: for `--help`, and for what makes no sense.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = Cli::command();
    // What is wrong is told when all is known.
    let early = command.clone().ignore_errors(true);
    if let Ok(matches) = early.try_get_matches_from(&args)
        && let Some((name, path)) = named(&matches)
    {
        let table = read(path)?;
        command = with_defaults(command, name, path, &table)?;
    }
    let matches = command.get_matches_from(args);
    Cli::from_arg_matches(&matches).map_err(|error| error.exit())
}

/// The command, and the profile that it is given.
fn named(matches: &ArgMatches) -> Option<(&str, &Path)> {
    let (name, matches) = matches.subcommand()?;
    let path = matches.try_get_one::<std::path::PathBuf>(PROFILE).ok()??;
    Some((name, path))
}

fn read(path: &Path) -> Result<Table, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("the profile {name}: {error}")))?;
    text.parse()
        .map_err(|error| Failure::usage(format!("the profile {name}: {error}")))
}

/// What the table says becomes the command's defaults.
fn with_defaults(
    command: Command,
    name: &str,
    path: &Path,
    table: &Table,
) -> Result<Command, Failure> {
    let path = path.display();
    let mut command = command;
    for (key, value) in table {
        let known = |command: &Command| {
            let mut flags = command.get_arguments().filter_map(|arg| arg.get_long());
            flags.any(|flag| flag == key && key != PROFILE)
        };
        if !command.get_subcommands().any(known) {
            let text = format!("the profile {path}: there is no setting `{key}`");
            return Err(Failure::usage(text));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
            _ => {
                let text = format!("the profile {path}: `{key}` must be a text, number or boolean");
                return Err(Failure::usage(text));
            }
        };
        if key == TOKEN_FILE && env::var_os(identity::TOKEN).is_some_and(|it| !it.is_empty()) {
            continue;
        }
        if command.find_subcommand(name).is_some_and(known) {
            command = command.mut_subcommand(name, |command| set_default(command, key, text));
        }
    }
    Ok(command)
}

fn set_default(command: Command, key: &str, text: String) -> Command {
    command.mut_args(|arg| {
        if arg.get_long() != Some(key) {
            return arg;
        }
        debug_assert!(matches!(
            arg.get_action(),
            ArgAction::Set | ArgAction::SetTrue
        ));
        // Defaults live as long as the program, and so does this one.
        let text: &'static str = text.clone().leak();
        arg.required(false).default_value(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command as Chosen;

    fn parsed(profile: &str, args: &[&str]) -> Result<Cli, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), profile).unwrap();
        let path = file.path().to_str().unwrap();
        let command = ["videocall-cli", args[0], "--profile", path];
        let all = command.iter().chain(&args[1..]);
        parse(all.map(OsString::from))
    }

    #[test]
    fn flags_win_over_the_profile() {
        let profile = "meeting-id = 'yard'\nuser-id = 'gate'\nfps = 15\nno-simulcast = true\n\
                       directory = 'elsewhere'";
        let cli = parsed(profile, &["stream", "--fps", "10"]).unwrap();
        let Chosen::Stream(args) = cli.command else {
            panic!("another command");
        };
        assert_eq!(
            (
                args.join.meeting_id.as_deref(),
                args.join.user_id.as_deref()
            ),
            (Some("yard"), Some("gate"))
        );
        assert_eq!(
            (args.fps, args.no_simulcast, args.repeat),
            (10, true, false)
        );
        assert_eq!(args.join.server, "http://localhost:8080");
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (profile, wrong) in [
            ("colour = 'red'", "`colour`"),
            ("profile = 'other.toml'", "`profile`"),
            ("fps = [1, 2]", "`fps`"),
            ("fps = ", "fps"),
        ] {
            let error = parsed(profile, &["stream"]).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
