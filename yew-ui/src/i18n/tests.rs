use std::collections::BTreeSet;

use super::*;

/// Texts that are the same in every language.
const SAME: [&str; 2] = ["app_name", "code_placeholder"];

#[test]
fn tags_are_understood_with_and_without_region() {
    assert_eq!(Language::from_tag("ru-RU"), Some(Language::Russian));
    assert_eq!(Language::from_tag("th"), Some(Language::Thai));
    assert_eq!(Language::from_tag("en_GB"), Some(Language::English));
    assert_eq!(Language::from_tag("fr"), None);
}

#[test]
fn numbers_take_the_right_form() {
    let russian = |n| Language::Russian.people_count(n);
    assert_eq!(russian(1), "1 участник");
    assert_eq!(russian(3), "3 участника");
    assert_eq!(russian(11), "11 участников");
    assert_eq!(russian(21), "21 участник");
    assert_eq!(Language::English.people_count(1), "1 person");
}

/// The words in braces that the page replaces.
fn places(text: &str) -> BTreeSet<&str> {
    let after = text.split('{').skip(1);
    after
        .filter_map(|rest| Some(rest.split_once('}')?.0))
        .collect()
}

#[test]
fn every_language_has_every_text() {
    let mut problems = Vec::new();
    for language in Language::ALL {
        for ((name, text), (_, english)) in language.texts().all().zip(english::TEXTS.all()) {
            let missing = text.trim().is_empty()
                || (language != Language::English && text == english && !SAME.contains(&name));
            if missing {
                problems.push(format!("{language:?} lacks {name}"));
            }
            if places(text) != places(english) {
                problems.push(format!("{language:?} has other places in {name}: {text}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn each_language_is_written_in_its_own_letters() {
    let letters = [
        (Language::Russian, 'а'..='я'),
        (Language::Thai, '\u{e01}'..='\u{e5b}'),
    ];
    for (language, letters) in letters {
        let foreign = language.texts().all().filter(|(name, text)| {
            !SAME.contains(name) && !text.to_lowercase().chars().any(|c| letters.contains(&c))
        });
        assert_eq!(foreign.collect::<Vec<_>>(), [], "{language:?}");
    }
}
