//! What is told of people who come and go to those who do not see it.

use std::collections::HashSet;

use crate::i18n::Language;

/// Changes that are told one by one; of more, only how many people there are now.
const NAMED: usize = 3;
/// In a meeting with more people somebody comes or goes all the time, and nothing is told.
const TOLD: usize = 50;

/// Words for what changed from `before` to `after`, sessions with names, without oneself; `None` if
/// nobody came or went.
pub fn changes<N: AsRef<str>>(
    language: Language,
    before: &[(u64, N)],
    after: &[(u64, N)],
) -> Option<String> {
    if before.len().max(after.len()) > TOLD {
        return None;
    }
    let texts = language.texts();
    let sessions = |of: &[(u64, N)]| -> HashSet<u64> { of.iter().map(|(id, _)| *id).collect() };
    let (here_before, here_after) = (sessions(before), sessions(after));
    let came = after.iter().filter(|(id, _)| !here_before.contains(id));
    let went = before.iter().filter(|(id, _)| !here_after.contains(id));
    let words: Vec<String> = came
        .map(|(_, name)| texts.they_joined.replace("{name}", name.as_ref()))
        .chain(went.map(|(_, name)| texts.they_left.replace("{name}", name.as_ref())))
        .collect();
    match words.len() {
        0 => None,
        1..=NAMED => Some(words.join(", ")),
        _ => Some(language.people_count(after.len() + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Person = (u64, &'static str);

    const ANN: Person = (1, "Ann");
    const BEN: Person = (2, "Ben");

    #[test]
    fn who_came_and_who_went_is_told_by_name() {
        let told = |before: &[Person], after: &[Person]| changes(Language::English, before, after);
        assert_eq!(told(&[], &[ANN]).as_deref(), Some("Ann joined"));
        assert_eq!(
            told(&[ANN], &[BEN]).as_deref(),
            Some("Ben joined, Ann left")
        );
        assert_eq!(told(&[ANN, BEN], &[BEN, ANN]), None);
    }

    #[test]
    fn a_crowd_is_counted() {
        let crowd: Vec<Person> = (10..20).map(|id| (id, "x")).collect();
        let told = changes(Language::English, &[ANN], &crowd);
        assert_eq!(told.as_deref(), Some("11 people"));
        let crowd: Vec<Person> = (10..100).map(|id| (id, "x")).collect();
        assert_eq!(changes(Language::English, &crowd, &crowd[1..]), None);
    }

    #[test]
    fn each_language_names_the_person() {
        for language in Language::ALL {
            for text in [language.texts().they_joined, language.texts().they_left] {
                assert_eq!(text.matches("{name}").count(), 1, "{text}");
            }
        }
    }
}
