//! Leaves out or repeats one period of a sound, so that it becomes shorter or longer at the same
//! pitch: waveform similarity overlap-add (Verhelst and Roelands, ICASSP 1993).

/// Shortest and longest period looked for: 400 Hz and 80 Hz, the range of voices.
const SHORTEST: usize = 120;
const LONGEST: usize = 600;

/// Samples that [`shorten`] and [`lengthen`] look at.
pub(crate) const NEEDED: usize = 2 * LONGEST;

/// The shift under which the sound is most like itself.
fn period(sound: &[f32]) -> usize {
    let mut best = (SHORTEST, f32::MIN);
    let mut lag = SHORTEST;
    while lag <= LONGEST {
        let likeness = likeness(sound, lag);
        if likeness > best.1 {
            best = (lag, likeness);
        }
        // Coarsely first, then around the best: a tenth of the work.
        lag += 8;
    }
    let around = best.0.saturating_sub(7).max(SHORTEST)..=(best.0 + 7).min(LONGEST);
    around
        .fold(best, |best, lag| {
            let likeness = likeness(sound, lag);
            if likeness > best.1 {
                (lag, likeness)
            } else {
                best
            }
        })
        .0
}

/// Normalised cross-correlation of the sound with itself, later by `lag`.
fn likeness(sound: &[f32], lag: usize) -> f32 {
    let (mut product, mut energy, mut shifted) = (0.0, 1e-9, 1e-9);
    // Every second sample: voices have little above 12 kHz.
    for i in (0..LONGEST).step_by(2) {
        let (a, b) = (sound[i], sound[i + lag]);
        product += a * b;
        energy += a * a;
        shifted += b * b;
    }
    product / (energy * shifted).sqrt()
}

/// Fades from one sound to another of the same length.
fn fade(from: &[f32], to: &[f32], out: &mut Vec<f32>) {
    let length = from.len() as f32;
    out.extend(from.iter().zip(to).enumerate().map(|(i, (a, b))| {
        let weight = (i as f32 + 0.5) / length;
        a * (1.0 - weight) + b * weight
    }));
}

/// Replaces the first two periods by one. `sound` has [`NEEDED`] samples. Appends to `out` what
/// takes the place of the first of them; returns how many.
pub(crate) fn shorten(sound: &[f32], out: &mut Vec<f32>) -> usize {
    let lag = period(sound);
    fade(&sound[..lag], &sound[lag..2 * lag], out);
    2 * lag
}

/// Replaces the first period by two. Like [`shorten`].
pub(crate) fn lengthen(sound: &[f32], out: &mut Vec<f32>) -> usize {
    let lag = period(sound);
    out.extend_from_slice(&sound[..lag]);
    // From what follows the first period back to its beginning.
    fade(&sound[lag..2 * lag], &sound[..lag], out);
    lag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32) -> Vec<f32> {
        (0..NEEDED)
            .map(|i| (i as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin())
            .collect()
    }

    #[test]
    fn a_period_is_found() {
        assert_eq!(period(&tone(200.0)), 240);
        assert_eq!(period(&tone(100.0)), 480);
    }

    #[test]
    fn a_tone_stays_a_tone() {
        for change in [shorten, lengthen] {
            let sound = tone(200.0);
            let mut out = Vec::new();
            let taken = change(&sound, &mut out);
            out.extend_from_slice(&sound[taken..]);
            assert_ne!(out.len(), sound.len());
            // No step is larger than a sine of that pitch makes.
            let largest = std::f32::consts::TAU * 200.0 / 48_000.0 * 1.05;
            assert!(
                out.windows(2)
                    .all(|pair| (pair[1] - pair[0]).abs() < largest)
            );
        }
    }
}
