//! How tiles fill a stage.

/// Shape of a tile.
const ASPECT: f64 = 16.0 / 9.0;
/// Smallest width of a tile in which one recognises somebody, in CSS pixels.
const SMALLEST: f64 = 150.0;
/// Most tiles on a page.
const MOST: usize = 16;

/// Rows, columns and the size of each tile, in CSS pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Grid {
    /// Tiles side by side.
    pub columns: usize,
    /// Tiles above each other.
    pub rows: usize,
    /// Width of a tile.
    pub width: f64,
    /// Height of a tile.
    pub height: f64,
}

/// The grid in which `count` tiles are largest.
pub fn fit(count: usize, stage_width: f64, stage_height: f64, gap: f64) -> Grid {
    (1..=count.max(1))
        .map(|columns| {
            let rows = count.max(1).div_ceil(columns);
            let room = |size: f64, n: usize| ((size - gap * (n as f64 - 1.0)) / n as f64).max(0.0);
            let (cell_width, cell_height) = (room(stage_width, columns), room(stage_height, rows));
            let width = cell_width.min(cell_height * ASPECT);
            Grid {
                columns,
                rows,
                width,
                height: width / ASPECT,
            }
        })
        .max_by(|a, b| a.width.total_cmp(&b.width))
        .unwrap_or_default()
}

/// How many tiles one page of a stage shows: so many that each is large enough, and no more than one
/// can watch.
pub fn page_size(stage_width: f64, stage_height: f64, gap: f64) -> usize {
    let fits = |count: &usize| fit(*count, stage_width, stage_height, gap).width >= SMALLEST;
    (1..=MOST).rev().find(fits).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_large_as_can_be() {
        assert_eq!(
            (
                fit(1, 1600.0, 900.0, 8.0).columns,
                fit(1, 1600.0, 900.0, 8.0).width
            ),
            (1, 1600.0)
        );
        assert_eq!(fit(4, 1600.0, 900.0, 8.0).columns, 2);
        assert_eq!(fit(2, 390.0, 700.0, 8.0).columns, 1);
        assert_eq!(fit(2, 1600.0, 500.0, 8.0).columns, 2);
    }

    #[test]
    fn nothing_ever_overflows() {
        for count in 1..60 {
            for (width, height) in [
                (1440.0, 800.0),
                (390.0, 700.0),
                (300.0, 200.0),
                (10.0, 10.0),
            ] {
                let grid = fit(count, width, height, 8.0);
                assert!(grid.columns * grid.rows >= count);
                let across = grid.width * grid.columns as f64 + 8.0 * (grid.columns as f64 - 1.0);
                assert!(
                    grid.width == 0.0 || across <= width + 1e-6,
                    "{count} {grid:?}"
                );
            }
        }
    }

    #[test]
    fn a_page_holds_what_can_be_recognised() {
        assert_eq!(page_size(1440.0, 800.0, 8.0), 16);
        assert!((8..=12).contains(&page_size(390.0, 600.0, 8.0)));
        assert_eq!(page_size(10.0, 10.0, 8.0), 1);
    }
}
