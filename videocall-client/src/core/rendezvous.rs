//! Where the people of a meeting meet: each server has a weight for each meeting, the same for all
//! who ask, and the heaviest wins (rendezvous hashing, also called highest random weight). A server
//! that comes or goes moves only the meetings that it wins or won.

/// Basis and prime of the 64-bit FNV-1a hash.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Weight of a server, by the name that all know it by, for a meeting. Every client of every
/// version must come to the same: two weights that differ put people of one meeting on two servers.
pub(crate) fn weight(server: &str, meeting: &str) -> u64 {
    let name = address(server);
    let bytes = name.bytes().map(|byte| byte.to_ascii_lowercase());
    // 0xff occurs in no UTF-8: it parts the two names.
    let hash = bytes
        .chain([0xff])
        .chain(meeting.bytes())
        .fold(FNV_BASIS, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
        });
    mix(hash)
}

/// What is the same of `https://a:8443/`, `wss://a:8443` and `https://A:8443`.
fn address(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

/// The finalizer of SplitMix64: names that differ in one letter weigh nothing alike.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::hash_set, prelude::*};

    use super::*;

    fn winner<'a>(servers: &'a [String], meeting: &str) -> &'a str {
        let heaviest = servers.iter().max_by_key(|server| weight(server, meeting));
        heaviest.expect("there is a server")
    }

    fn servers(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("https://node-{n}")).collect()
    }

    #[test]
    fn every_version_weighs_alike() {
        // Change these only with a reason to part the people of each meeting for a while.
        assert_eq!(
            weight("https://a.example.org", "daily"),
            0x1fd3_35a1_ce3b_953a
        );
        assert_eq!(
            weight("https://b.example.org", "daily"),
            0xd0c2_aa03_1674_a669
        );
    }

    #[test]
    fn a_server_weighs_alike_by_whichever_protocol_it_is_reached() {
        let named = weight("https://a.example.org:8443", "daily");
        assert_eq!(weight("wss://A.example.org:8443/", "daily"), named);
        assert_ne!(weight("https://a.example.org", "daily"), named);
    }

    #[test]
    fn meetings_are_spread_evenly() {
        let servers = servers(7);
        let mut meetings = [0; 7];
        for n in 0..7000 {
            let chosen = winner(&servers, &format!("meeting {n}"));
            let place = servers.iter().position(|server| server == chosen);
            meetings[place.expect("one of them")] += 1;
        }
        // Seven thousand throws of a die with seven faces: 1,000 ± 29 each.
        assert!(meetings.iter().all(|count| (850..1150).contains(count)));
    }

    proptest! {
        #[test]
        fn a_server_that_goes_moves_its_own_meetings_only(
            count in 2usize..20, gone in 0usize..20, meetings in hash_set(".{0,20}", 1..50),
        ) {
            let before = servers(count);
            let mut after = before.clone();
            let gone = after.remove(gone % count);
            for meeting in meetings {
                let was = winner(&before, &meeting);
                if was != gone {
                    prop_assert_eq!(winner(&after, &meeting), was);
                }
            }
        }
    }
}
