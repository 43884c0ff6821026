//! In which order people are shown: who speaks is seen, and nobody jumps about.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

/// Who spoke keeps the place so long after the last word.
const HOLD: Duration = Duration::from_secs(10);

/// Somebody to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Session.
    pub session: u64,
    /// Whether there is a picture.
    pub camera: bool,
}

/// How much somebody belongs into the front; later is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Quiet,
    Camera,
    Spoke,
    Speaks,
}

/// The order of a large meeting. Its front is what one sees without turning pages. Who begins to
/// speak outside of it changes places with the one in it who is missed least; nobody else moves.
#[derive(Clone, Debug, Default)]
pub struct Order {
    places: Vec<u64>,
    spoke: HashMap<u64, Duration>,
}

impl Order {
    /// The order now. `people` are those who are here, by the time at which they came; `speakers`
    /// those who speak, loudest first; the first `front` places are the front.
    pub fn update(
        &mut self,
        now: Duration,
        people: &[Person],
        speakers: &[u64],
        front: usize,
    ) -> &[u64] {
        let cameras: HashMap<u64, bool> = people.iter().map(|p| (p.session, p.camera)).collect();
        self.spoke
            .retain(|session, _| cameras.contains_key(session));
        for speaker in speakers.iter().filter(|it| cameras.contains_key(it)) {
            self.spoke.insert(*speaker, now);
        }
        self.leave(&cameras, front);
        let known: HashSet<u64> = self.places.iter().copied().collect();
        let came = people.iter().map(|person| person.session);
        self.places.extend(came.filter(|it| !known.contains(it)));
        if self.places.len() > front {
            self.bring_forward(now, &cameras, speakers, front);
        }
        &self.places
    }

    /// Takes out who is gone. A hole in the front is filled by the first behind it.
    fn leave(&mut self, here: &HashMap<u64, bool>, front: usize) {
        let behind = self.places.split_off(front.min(self.places.len()));
        let is_here = |session: &u64| here.contains_key(session);
        let mut behind: VecDeque<u64> = behind.into_iter().filter(is_here).collect();
        let stay_or_next = |session| match is_here(&session) {
            true => Some(session),
            false => behind.pop_front(),
        };
        self.places = std::mem::take(&mut self.places)
            .into_iter()
            .filter_map(stay_or_next)
            .collect();
        self.places.extend(behind);
    }

    fn bring_forward(
        &mut self,
        now: Duration,
        cameras: &HashMap<u64, bool>,
        speakers: &[u64],
        front: usize,
    ) {
        let spoke = &self.spoke;
        let rank = |session: &u64| match spoke.get(session) {
            Some(_) if speakers.contains(session) => Rank::Speaks,
            Some(at) if now.saturating_sub(*at) < HOLD => Rank::Spoke,
            _ if cameras.get(session).is_some_and(|camera| *camera) => Rank::Camera,
            _ => Rank::Quiet,
        };
        let (seen, unseen) = self.places.split_at_mut(front);
        let mut wants: Vec<(Rank, usize)> = unseen
            .iter()
            .enumerate()
            .map(|(at, session)| (rank(session), at))
            .filter(|(rank, _)| matches!(rank, Rank::Speaks | Rank::Camera))
            .collect();
        wants.sort_by_key(|(rank, at)| (std::cmp::Reverse(*rank), *at));
        for (wanting, at) in wants {
            let missed_least = seen
                .iter_mut()
                .map(|session| (rank(session), spoke.get(session).copied(), session))
                // Of equals the last: what one reads first stays.
                .min_by(|a, b| {
                    (a.0, a.1)
                        .cmp(&(b.0, b.1))
                        .then(std::cmp::Ordering::Greater)
                });
            match missed_least {
                // Who spoke just now is still answered.
                Some((held, _, place)) if held < wanting && held < Rank::Spoke => {
                    std::mem::swap(place, &mut unseen[at]);
                }
                _ => break,
            }
        }
    }
}

/// Who is shown large: whoever speaks, and as long as that one does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spotlight {
    on: Option<u64>,
}

impl Spotlight {
    /// Who is shown large now; `None` if nobody has spoken yet. `here` tells who can be.
    pub fn update(&mut self, speakers: &[u64], here: impl Fn(u64) -> bool) -> Option<u64> {
        self.on = self.on.filter(|session| here(*session));
        if self.on.is_none_or(|session| !speakers.contains(&session))
            && let Some(speaker) = speakers.iter().find(|session| here(**session))
        {
            self.on = Some(*speaker);
        }
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn people(sessions: impl IntoIterator<Item = u64>, cameras: &[u64]) -> Vec<Person> {
        let person = |session| Person {
            session,
            camera: cameras.contains(&session),
        };
        sessions.into_iter().map(person).collect()
    }

    #[test]
    fn a_small_meeting_never_changes_its_order() {
        let mut order = Order::default();
        let people = people(1..=4, &[4]);
        assert_eq!(order.update(seconds(0), &people, &[], 9), [1, 2, 3, 4]);
        assert_eq!(order.update(seconds(1), &people, &[3], 9), [1, 2, 3, 4]);
    }

    #[test]
    fn who_speaks_comes_to_the_front_and_one_alone_makes_place() {
        let mut order = Order::default();
        let all = people(1..=8, &[]);
        assert_eq!(order.update(seconds(0), &all, &[], 4)[..4], [1, 2, 3, 4]);
        let after = order.update(seconds(1), &all, &[7], 4);
        assert_eq!(after, [1, 2, 3, 7, 5, 6, 4, 8]);
        // Who is in the front stays at that place, speaking or not.
        let after = order.update(seconds(2), &all, &[1, 7], 4);
        assert_eq!(after, [1, 2, 3, 7, 5, 6, 4, 8]);
        let after = order.update(seconds(3), &all, &[6], 4);
        assert_eq!(after, [1, 2, 6, 7, 5, 3, 4, 8]);
    }

    #[test]
    fn who_spoke_just_now_keeps_the_place() {
        let mut order = Order::default();
        let all = people(1..=6, &[]);
        order.update(seconds(0), &all, &[1, 2], 2);
        let after = order.update(seconds(5), &all, &[6], 2);
        assert_eq!(after[..2], [1, 2], "they are still in the conversation");
        let after = order.update(seconds(11), &all, &[6], 2);
        assert_eq!(after[..2], [1, 6], "they have been quiet for long");
    }

    #[test]
    fn cameras_are_shown_before_those_who_have_none() {
        let mut order = Order::default();
        let all = people(1..=6, &[5, 6]);
        assert_eq!(order.update(seconds(0), &all, &[], 3)[..3], [1, 6, 5]);
        // And a camera that goes off stays until somebody needs the place.
        let all = people(1..=6, &[5]);
        assert_eq!(order.update(seconds(1), &all, &[], 3)[..3], [1, 6, 5]);
    }

    #[test]
    fn a_hole_in_the_front_moves_one_only() {
        let mut order = Order::default();
        order.update(seconds(0), &people(1..=6, &[]), &[], 3);
        let without = people([1, 3, 4, 5, 6], &[]);
        let after = order.update(seconds(1), &without, &[], 3);
        assert_eq!(after, [1, 4, 3, 5, 6]);
    }

    #[test]
    fn who_is_large_stays_so_while_speaking() {
        let mut spotlight = Spotlight::default();
        let here = |session| session < 10;
        assert_eq!(spotlight.update(&[], here), None);
        assert_eq!(spotlight.update(&[42, 3], here), Some(3));
        assert_eq!(spotlight.update(&[4, 3], here), Some(3));
        assert_eq!(spotlight.update(&[], here), Some(3), "a pause");
        assert_eq!(spotlight.update(&[4], here), Some(4));
        assert_eq!(spotlight.update(&[], |_| false), None);
    }

    #[test]
    fn everybody_has_one_place_whatever_happens() {
        let mut order = Order::default();
        let mut random = 88_172_645_463_325_252u64;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut now = Duration::ZERO;
        for _ in 0..2000 {
            now += seconds(next(40));
            let here: Vec<u64> = (0..30).filter(|_| next(3) > 0).collect();
            let speakers: Vec<u64> = (0..next(4)).map(|_| next(30)).collect();
            let all = people(here.iter().copied(), &[1, 5, 9, 13]);
            let front = next(12) as usize;
            let mut places = order.update(now, &all, &speakers, front).to_vec();
            places.sort_unstable();
            assert_eq!(places, here);
        }
    }
}
