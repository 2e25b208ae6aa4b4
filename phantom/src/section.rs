//! One cross-section of the neck as the beam meets it: a grid of scatterers and surfaces.

use crate::{HEIGHT, WIDTH, anatomy::Anatomy, motion::Placement, paint::Canvas, rng::Rng};

/// Pixels between scan lines; rows are one pixel apart.
pub const PITCH: usize = 2;
/// Scan lines across a frame.
pub const LINES: usize = WIDTH / PITCH;
/// Cells beyond each side of the frame, and above and below it: room for the hand to wander.
pub const SIDE: usize = 36;
pub const ABOVE: usize = 16;
pub const BELOW: usize = 36;
/// The grid's shape.
pub const COLUMNS: usize = LINES + 2 * SIDE;
pub const ROWS: usize = ABOVE + HEIGHT + BELOW;

/// A place that swells and shrinks with the blood in it, in picture coordinates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pulse {
    pub x: f32,
    pub y: f32,
    pub radius: f32,
}

/// The tissue under a probe that was put down, in the probe's coordinates.
#[derive(Debug, Default)]
pub struct Section {
    /// Per cell: diffuse and specular amplitude with the nerve, the same two without it, then
    /// four white values: two complex scatterer fields, one a quarter turn out of plane from
    /// the other. One cell is two vector registers.
    pub cells: Vec<[f32; 8]>,
    /// Per cell: over 0.5 inside the nerve's outline, linear across it.
    pub mask: Vec<f32>,
    pub artery: Pulse,
    pub vein: Pulse,
    canvas: Canvas,
}

impl Section {
    /// Draws the section at `placement`; `index` tells one putting-down from another.
    /// With `both`, the level without the nerve too, for a hand that slides there.
    pub fn draw(&mut self, seed: u64, index: u64, anatomy: &Anatomy, placement: &Placement, both: bool) {
        self.cells.resize(COLUMNS * ROWS, [0.0; 8]);
        self.mask.resize(COLUMNS * ROWS, 0.0);
        self.mask.fill(0.0);
        for nerve in [true, false] {
            if both || nerve == placement.nerve {
                self.canvas.draw(seed, index, anatomy, &placement.pose, nerve);
                let plane = if nerve { 0 } else { 2 };
                self.canvas.finish(seed, index, &mut self.cells, plane);
            }
        }
        if placement.nerve {
            self.canvas.outline(anatomy, &placement.pose, &mut self.mask);
        }
        let mut rng = Rng::new(seed, 20, index);
        for cell in &mut self.cells {
            cell[4..].copy_from_slice(&rng.white());
        }
        let vessel = |x, y, radius| {
            let (x, y) = placement.pose.to_picture(x, y);
            Pulse { x, y, radius }
        };
        let (artery, vein) = (anatomy.carotid, anatomy.jugular);
        self.artery = vessel(artery.x, artery.y, artery.rx);
        self.vein = vessel(vein.x, vein.y, vein.rx);
    }
}

/// The picture coordinates of a cell.
pub fn cell_position(column: usize, row: usize) -> (f32, f32) {
    ((column as f32 - SIDE as f32) * PITCH as f32, row as f32 - ABOVE as f32)
}

/// The cells around picture point `(x, y)` within `(rx, ry)`: columns, then rows.
pub fn cells_around(x: f32, y: f32, rx: f32, ry: f32) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let column = |x: f32| (x / PITCH as f32 + SIDE as f32).clamp(0.0, COLUMNS as f32) as usize;
    let row = |y: f32| (y + ABOVE as f32).clamp(0.0, ROWS as f32) as usize;
    (column(x - rx)..column(x + rx + 2.0), row(y - ry)..row(y + ry + 1.0))
}
