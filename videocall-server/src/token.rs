//! Makes join tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;
use videocall_config::Settings;
use videocall_types::token::JoinClaims;

/// Whom a token lets in, and until when.
#[derive(Args)]
pub(crate) struct TokenArgs {
    /// Meeting that it opens
    #[arg(long, value_name = "NAME")]
    meeting: String,

    /// Id of the user
    #[arg(long, value_name = "NAME")]
    user: String,

    /// Name that the others see [default: the id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// For how long it opens: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
    valid: Duration,
}

/// Prints a token, signed with the key of the settings.
#[allow(clippy::print_stdout)]
pub(crate) fn print(settings: Settings, args: &TokenArgs) -> Result<()> {
    let key = settings.resolve()?.token_key;
    let key = key.context("--token-key-file is needed: tokens are signed with its secret")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let exp = now.saturating_add(args.valid).as_secs();
    let claims = JoinClaims::new(&args.meeting, &args.user, args.name.as_deref(), exp)?;
    println!("{}", key.sign(&claims)?.as_str());
    Ok(())
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "a number and s, m, h or d, such as 24h or 30d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number = text[..text.len() - 1].parse::<u32>().ok();
    match number.filter(|number| *number > 0) {
        Some(number) => Ok(Duration::from_secs(u64::from(number) * unit)),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("24h"), time("1d"));
        assert_eq!(time("60m"), time("1h"));
        for wrong in ["", "h", "24", "0d", "-1h", "1.5h", "1w", "h1", "1\u{e9}"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
