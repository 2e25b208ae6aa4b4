//! The beam through the tissue: which scatterers one picture row meets, and their lateral spread.

use crate::{
    motion::View,
    section::{ABOVE, COLUMNS, LINES, PITCH, ROWS, SIDE, Section},
};

/// Lateral reach of the point spread in lines.
pub const WIDE: usize = 7;
/// Lines that feed one frame.
pub const FED_LINES: usize = LINES + 2 * WIDE;
/// Looks averaged after detection, each on its own scatterers: spatial compounding (Trahey, Smith,
/// von Ramm, IEEE Trans UFFC 1986), as every linear probe does today.
pub const LOOKS: usize = 2;
/// Where in the tissue the second look finds its scatterers: too far away to be correlated.
const APART: usize = 29 * COLUMNS + 53;

/// One row under way.
#[derive(Debug)]
pub struct Row {
    /// Where each line lies in the section's grid.
    column: [f32; FED_LINES],
    depth: [f32; FED_LINES],
    /// Real and imaginary echo of each look.
    pub echo: [[f32; FED_LINES]; 2 * LOOKS],
}

impl Default for Row {
    fn default() -> Self {
        let line = [0.0; FED_LINES];
        Self { column: line, depth: line, echo: [line; 2 * LOOKS] }
    }
}

impl Row {
    /// Finds where each line of picture row `y` lies in the section's grid.
    pub fn trace(&mut self, section: &Section, view: &View, y: f32) {
        let [x0, dx, y0, dy] = view.pose.row(y);
        for i in 0..FED_LINES {
            let x = (i as f32 - WIDE as f32) * PITCH as f32;
            self.column[i] = x0 + dx * x;
            self.depth[i] = y0 + dy * x;
        }
        let (artery, vein) = (section.artery, section.vein);
        for (p, grow, flat) in [(artery, view.systole, 1.0), (vein, -view.collapse, 0.0)] {
            let reach = 3.0 * p.radius;
            if (y - p.y).abs() > reach + 40.0 {
                continue;
            }
            let scale = 1.0 / (reach * reach);
            for (x, y) in self.column.iter_mut().zip(&mut self.depth) {
                let (u, v) = (*x - p.x, *y - p.y);
                let near = (1.0 - (u * u + v * v) * scale).max(0.0);
                let pull = grow * near * near;
                *x -= flat * pull * u;
                *y -= pull * v;
            }
        }
        for (x, y) in self.column.iter_mut().zip(&mut self.depth) {
            *x = (*x / PITCH as f32 + SIDE as f32).clamp(0.0, (COLUMNS - 2) as f32);
            *y = (*y + ABOVE as f32).clamp(0.0, (ROWS - 2) as f32);
        }
    }

    /// Gathers the echo of each line's cell: scatterers times amplitude, plus surfaces.
    pub fn insonify(&mut self, section: &Section, view: &View, contact: &[f32; FED_LINES]) {
        let (near, far) = (libm::cosf(view.turn), libm::sinf(view.turn));
        let (here, away) = (1.0 - view.away, view.away);
        for (i, contact) in contact.iter().enumerate() {
            let (cell, fx, fy) = split(self.column[i], self.depth[i]);
            let c = blend(&section.cells, cell, fx, fy);
            let diffuse = contact * (here * c[0] * c[0] + away * c[2] * c[2]).sqrt();
            let surface = contact * (here * c[1] + away * c[3]);
            self.echo[0][i] = diffuse * (near * c[4] + far * c[6]) + surface;
            self.echo[1][i] = diffuse * (near * c[5] + far * c[7]);
            let other = if cell < COLUMNS * ROWS / 2 { cell + APART } else { cell - APART };
            let c = blend(&section.cells, other, fx, fy);
            self.echo[2][i] = diffuse * (near * c[4] + far * c[6]) + surface;
            self.echo[3][i] = diffuse * (near * c[5] + far * c[7]);
        }
    }

    /// Writes the nerve's mask along the traced row, 0 or 255.
    pub fn outline(&self, section: &Section, out: &mut [u8]) {
        let mut cover = [0f32; LINES];
        let mut any = false;
        for (i, cover) in cover.iter_mut().enumerate() {
            let (cell, fx, fy) = split(self.column[i + WIDE], self.depth[i + WIDE]);
            [*cover] = blend(&section.mask, cell, fx, fy);
            any |= *cover > 0.25;
        }
        if any {
            for (i, pair) in out.chunks_exact_mut(PITCH).enumerate() {
                let next = cover[(i + 1).min(LINES - 1)];
                pair[0] = if cover[i] > 0.5 { 255 } else { 0 };
                pair[1] = if cover[i] + next > 1.0 { 255 } else { 0 };
            }
        }
    }
}

/// A cell's index and the fractions to its right and lower neighbours.
fn split(x: f32, y: f32) -> (usize, f32, f32) {
    let (column, row) = (x as i32, y as i32);
    ((row as usize) * COLUMNS + column as usize, x - column as f32, y - row as f32)
}

/// Bilinear mean of a cell and its right and lower neighbours.
fn blend<const N: usize>(cells: &[[f32; N]], cell: usize, fx: f32, fy: f32) -> [f32; N] {
    let top = &cells[cell..cell + 2];
    let bottom = &cells[cell + COLUMNS..cell + COLUMNS + 2];
    std::array::from_fn(|k| {
        let a = top[0][k] + fx * (top[1][k] - top[0][k]);
        let b = bottom[0][k] + fx * (bottom[1][k] - bottom[0][k]);
        a + fy * (b - a)
    })
}

/// Convolves one row with a symmetric kernel.
pub fn blur(row: &[f32; FED_LINES], kernel: &[f32; WIDE + 1], out: &mut [f32]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = kernel[0] * row[i + WIDE];
    }
    for k in 1..=WIDE {
        let (left, right) = (&row[WIDE - k..][..LINES], &row[WIDE + k..][..LINES]);
        for ((out, a), b) in out.iter_mut().zip(left).zip(right) {
            *out += kernel[k] * (a + b);
        }
    }
}
