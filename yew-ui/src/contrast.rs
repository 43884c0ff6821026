//! Colours of the real style sheet, held to WCAG 2.2: 4.5 for text, 3 for what else must be seen.

use std::collections::HashMap;

const STYLES: &str = include_str!("../static/styles.css");

const TEXT: f64 = 4.5;
const SIGN: f64 = 3.0;

/// Colours in front of others, and how much they must differ.
const PAIRS: [(&str, &[&str], f64); 14] = [
    ("text", &["ground", "surface", "raised"], TEXT),
    ("quiet", &["ground", "surface", "raised"], TEXT),
    ("error", &["ground", "surface"], TEXT),
    ("on-accent", &["accent", "accent-strong"], TEXT),
    ("on-danger", &["danger"], TEXT),
    ("on-warning", &["warning"], TEXT),
    ("on-tile", &["tile"], TEXT),
    ("speaking", &["surface"], TEXT),
    ("speaking", &["tile"], SIGN),
    ("good", &["ground", "surface"], SIGN),
    ("fair", &["ground", "surface"], SIGN),
    ("poor", &["ground", "surface"], SIGN),
    // The ring of what has the focus, and the edge of fields and buttons.
    ("accent", &["ground", "surface", "raised"], SIGN),
    ("edge", &["ground", "surface", "raised"], SIGN),
];

/// The custom properties of the rule that follows a selector.
fn tokens(selector: &str) -> HashMap<&'static str, &'static str> {
    let (_, rest) = STYLES.split_once(selector).expect("the rule is there");
    let (_, rest) = rest.split_once('{').expect("a rule");
    let (body, _) = rest.split_once('}').expect("its end");
    body.split(';')
        .filter_map(|declaration| declaration.trim().strip_prefix("--")?.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

fn luminance(colour: &str) -> f64 {
    let channel = |at| {
        let byte = u8::from_str_radix(&colour[at..at + 2], 16).expect("six digits");
        let value = f64::from(byte) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn black_and_white_are_21_apart() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
    assert!((contrast("#777777", "#ffffff") - 4.48).abs() < 0.01);
}

#[test]
fn everything_can_be_read_in_both_themes() {
    let light = tokens(":root {");
    let dark = tokens(":root[data-theme=\"dark\"]");
    let mut problems = Vec::new();
    for (theme, tokens) in [("light", &light), ("dark", &dark)] {
        for (front, backs, least) in PAIRS {
            for back in backs {
                let found = contrast(tokens[front], tokens[back]);
                if found < least {
                    problems.push(format!("{theme}: {front} on {back} {found:.2} < {least}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn dark_is_dark_whoever_chose_it() {
    let chosen = tokens(":root[data-theme=\"dark\"]");
    let by_system = tokens(":root[data-theme=\"system\"]");
    assert_eq!(chosen, by_system);
}
