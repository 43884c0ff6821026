//! The file of `--config`: flags, without the dashes in front, as TOML.

use std::{ffi::OsString, path::PathBuf};

use clap::{Command, CommandFactory};
use toml::de::{DeTable, DeValue};

use super::{Arguments, UsageError};
use crate::scenario::ScenarioError;

/// The arguments with those of the file of `--config` in front, so that the command line wins.
///
/// # Errors
/// When the file cannot be read, or says what no flag is for; with line and column.
pub fn arguments_with_file(given: Vec<OsString>) -> Result<Vec<OsString>, UsageError> {
    let Some(path) = file_of(&given) else {
        return Ok(given);
    };
    let text = std::fs::read_to_string(&path).map_err(|error| UsageError::File {
        path: path.clone(),
        error,
    })?;
    let flags =
        flags_of(&text, &Arguments::command()).map_err(|error| UsageError::Text { path, error })?;
    let mut given = given.into_iter();
    let program = given.next();
    Ok(program
        .into_iter()
        .chain(flags.into_iter().map(OsString::from))
        .chain(given)
        .collect())
}

fn file_of(given: &[OsString]) -> Option<PathBuf> {
    let mut given = given.iter();
    while let Some(argument) = given.next() {
        if argument == "--config" {
            return given.next().map(PathBuf::from);
        }
        let text = argument.to_string_lossy();
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    None
}

fn flags_of(text: &str, command: &Command) -> Result<Vec<String>, ScenarioError> {
    let table = DeTable::parse(text)
        .map_err(|error| ScenarioError::at(text, error.span(), error.message()))?;
    let mut flags = Vec::new();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().as_ref();
        let known = command
            .get_arguments()
            .any(|argument| argument.get_long() == Some(name) && name != "config");
        if !known {
            let message = format!("there is no flag --{name}");
            return Err(ScenarioError::at(text, Some(key.span()), message));
        }
        add(name, value.get_ref(), &mut flags)
            .map_err(|message| ScenarioError::at(text, Some(value.span()), message))?;
    }
    Ok(flags)
}

fn add(name: &str, value: &DeValue<'_>, flags: &mut Vec<String>) -> Result<(), String> {
    let text = match value {
        DeValue::Boolean(true) => {
            flags.push(format!("--{name}"));
            return Ok(());
        }
        DeValue::Boolean(false) => return Ok(()),
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Array(list) => {
            for value in list {
                add(name, value.get_ref(), flags)?;
            }
            return Ok(());
        }
        _ => return Err(format!("`{name}` takes a text, a number, true or a list")),
    };
    flags.push(format!("--{name}={text}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stands_for_flags() {
        let text = "url = \"ws://a\"\nconnection-number = 5\ninsecure = true\n\
                    certificate-hash = [\"x\", \"y\"]\narrivals-per-second = 2.5\n";
        let flags = flags_of(text, &Arguments::command()).unwrap();
        for flag in [
            "--url=ws://a",
            "--connection-number=5",
            "--insecure",
            "--certificate-hash=x",
            "--certificate-hash=y",
            "--arrivals-per-second=2.5",
        ] {
            assert!(
                flags.iter().any(|given| given == flag),
                "{flag} in {flags:?}"
            );
        }
    }

    #[test]
    fn a_typo_is_named_with_its_place() {
        let error = flags_of(
            "url = \"ws://a\"\n conection-number = 5\n",
            &Arguments::command(),
        );
        let error = error.unwrap_err();
        assert_eq!((error.line, error.column), (2, 2));
        assert!(error.message.contains("--conection-number"));
        let error = flags_of("url = ws", &Arguments::command()).unwrap_err();
        assert_eq!(error.line, 1);
    }
}
