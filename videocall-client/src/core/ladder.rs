//! Which simulcast layers a picture is encoded into.

use videocall_types::wire::LayerInfo;

/// Temporal layers of each simulcast layer: every second frame can be left out.
pub const TEMPORAL_LAYERS: u32 = 2;

/// Height under which another layer would show nothing.
const SMALLEST_HEIGHT: u32 = 144;

/// Layers for a camera, smallest first: each of half the size of the next, at most three. Sizes
/// are even, as 4:2:0 asks.
pub fn camera(width: u32, height: u32) -> Vec<LayerInfo> {
    let mut layers = Vec::new();
    for shift in (0..3u32).rev() {
        let (width, height) = ((width >> shift) & !1, (height >> shift) & !1);
        if shift > 0 && height < SMALLEST_HEIGHT {
            continue;
        }
        layers.push(LayerInfo {
            spatial: layers.len() as u32,
            width: width.max(2),
            height: height.max(2),
            bitrate_bps: camera_bitrate(width, height),
            temporal_layers: TEMPORAL_LAYERS,
        });
    }
    layers
}

/// One layer in full size: a screen is read.
pub fn screen(width: u32, height: u32) -> Vec<LayerInfo> {
    vec![LayerInfo {
        spatial: 0,
        width: (width & !1).max(2),
        height: (height & !1).max(2),
        bitrate_bps: (width * height * 2).clamp(400_000, 3_000_000),
        temporal_layers: 1,
    }]
}

/// What a talking head at 30 frames a second needs with VP9: 150 kbit/s at 320×180, 500 kbit/s at
/// 640×360, 1.5 Mbit/s at 1280×720.
fn camera_bitrate(width: u32, height: u32) -> u32 {
    let pixels = f64::from(width) * f64::from(height);
    (150_000.0 * (pixels / (320.0 * 180.0)).powf(0.83)).clamp(60_000.0, 2_500_000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(width: u32, height: u32) -> Vec<(u32, u32)> {
        camera(width, height)
            .iter()
            .map(|layer| (layer.width, layer.height))
            .collect()
    }

    #[test]
    fn layers_halve_down_to_a_size_that_still_shows_something() {
        assert_eq!(sizes(1280, 720), [(320, 180), (640, 360), (1280, 720)]);
        assert_eq!(sizes(640, 360), [(320, 180), (640, 360)]);
        assert_eq!(sizes(160, 120), [(160, 120)]);
        assert_eq!(sizes(853, 481), [(426, 240), (852, 480)]);
    }

    #[test]
    fn bitrates_grow_with_the_layer() {
        for (layer, expected) in camera(1280, 720).iter().zip([150_000, 475_000, 1_500_000]) {
            assert!(
                layer.bitrate_bps.abs_diff(expected) < expected / 10,
                "{layer:?}"
            );
        }
    }
}
