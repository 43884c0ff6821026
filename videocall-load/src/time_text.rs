//! Durations as people write them: `250ms`, `1.5s`, `2m`, `1h`; a bare number is of seconds.

use std::time::Duration;

/// Reads a duration.
///
/// # Errors
/// A text that says what is wrong.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit.trim() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        other => {
            return Err(format!(
                "`{other}` is no unit of time: us, ms, s, m, h or d"
            ));
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no duration, such as 250ms, 1.5s or 2m"))?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|duration| *duration <= Duration::from_secs(366 * 86_400))
        .ok_or_else(|| format!("`{text}` is longer than a year"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("20"), Ok(Duration::from_secs(20)));
        assert_eq!(parse("2 m"), Ok(Duration::from_secs(120)));
        assert!(parse("-1s").is_err());
        assert!(parse("1 fortnight").unwrap_err().contains("fortnight"));
        assert!(parse("99999999999h").is_err());
    }
}
