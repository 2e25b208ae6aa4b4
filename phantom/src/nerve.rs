//! The nerve: dark round fascicles in a bright sheath, and the outline an annotator draws.

use crate::{HEIGHT, WIDTH, rng::Rng, rng::lerp};

const MOST: usize = 5;

/// One fascicle, in pixels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fascicle {
    pub x: f32,
    pub y: f32,
    pub radius: f32,
}

/// A chain of 1 to 5 fascicles (the roots C5 to T1, as many as are cut by the plane).
#[derive(Debug, Clone)]
pub struct Nerve {
    chain: [Fascicle; MOST],
    count: usize,
    /// Thickness of the sheath around the fascicles.
    pub sheath: f32,
}

impl Nerve {
    /// Draws a nerve around `(x, y)` whose outline fills 1.8 to 5.5 % of a frame.
    pub fn draw(rng: &mut Rng, x: f32, y: f32) -> Self {
        let count = [1, 2, 2, 3, 3, 3, 4, 4, 5][rng.below(9) as usize];
        let share = rng.range(0.018, 0.021 + 0.007 * count as f32);
        // The roots lie one above the other in the groove, leaning to either side.
        let lean = rng.range(-0.3, 1.1) * if rng.chance(0.5) { 1.0 } else { -1.0 };
        let along = (libm::sinf(lean), libm::cosf(lean));
        let mut nerve = Self { chain: Default::default(), count, sheath: rng.range(6.0, 10.0) };
        let mut reach = 0.0;
        for i in 0..count {
            let radius = rng.range(10.0, 17.0);
            if i > 0 {
                reach += nerve.chain[i - 1].radius + radius + rng.range(2.0, 7.0);
            }
            let aside = if count > 1 { rng.spread(8.0) } else { 0.0 };
            nerve.chain[i] = Fascicle {
                x: along.0 * reach + along.1 * aside,
                y: along.1 * reach - along.0 * aside,
                radius,
            };
        }
        if count == 1 {
            nerve.sheath *= 1.6;
        }
        let scale = libm::sqrtf(share * (WIDTH * HEIGHT) as f32 / nerve.area());
        let middle = (along.0 * reach / 2.0, along.1 * reach / 2.0);
        nerve.sheath *= scale;
        for f in &mut nerve.chain[..count] {
            f.x = x + scale * (f.x - middle.0);
            f.y = y + scale * (f.y - middle.1);
            f.radius *= scale;
        }
        nerve
    }

    /// The same nerve a little further along the neck.
    pub fn vary(&self, rng: &mut Rng) -> Self {
        let mut nerve = self.clone();
        for f in &mut nerve.chain[..self.count] {
            f.x += rng.spread(3.0);
            f.y += rng.spread(3.0);
            f.radius *= rng.range(0.93, 1.07);
        }
        nerve
    }

    pub fn fascicles(&self) -> &[Fascicle] {
        &self.chain[..self.count]
    }

    /// Middle and half extents of a box around the outline.
    pub fn bounds(&self) -> (f32, f32, f32, f32) {
        let (mut left, mut right) = (f32::MAX, f32::MIN);
        let (mut top, mut bottom) = (f32::MAX, f32::MIN);
        for f in self.fascicles() {
            let r = f.radius + self.sheath;
            (left, right) = (left.min(f.x - r), right.max(f.x + r));
            (top, bottom) = (top.min(f.y - r), bottom.max(f.y + r));
        }
        ((left + right) / 2.0, (top + bottom) / 2.0, (right - left) / 2.0, (bottom - top) / 2.0)
    }

    /// Signed distance to the outline, negative inside: one smooth blob around the chain.
    pub fn outline(&self, x: f32, y: f32) -> f32 {
        let chain = self.fascicles();
        let mut distance = libm::hypotf(x - chain[0].x, y - chain[0].y) - chain[0].radius;
        for pair in chain.windows(2) {
            let (dx, dy) = (pair[1].x - pair[0].x, pair[1].y - pair[0].y);
            let t = ((x - pair[0].x) * dx + (y - pair[0].y) * dy) / (dx * dx + dy * dy);
            let t = t.clamp(0.0, 1.0);
            let radius = lerp(pair[0].radius, pair[1].radius, t);
            let link = libm::hypotf(x - pair[0].x - t * dx, y - pair[0].y - t * dy) - radius;
            distance = smooth_min(distance, link, 16.0);
        }
        distance - self.sheath
    }

    fn area(&self) -> f32 {
        const STEP: f32 = 2.0;
        let (x, y, rx, ry) = self.bounds();
        let (columns, rows) = ((2.0 * rx / STEP) as usize + 4, (2.0 * ry / STEP) as usize + 4);
        let inside = (0..rows * columns).filter(|i| {
            let px = x - rx - STEP + STEP * (i % columns) as f32;
            let py = y - ry - STEP + STEP * (i / columns) as f32;
            self.outline(px, py) < 0.0
        });
        inside.count() as f32 * STEP * STEP
    }
}

/// Minimum with its crease rounded over `width`.
fn smooth_min(a: f32, b: f32, width: f32) -> f32 {
    let h = (width - (a - b).abs()).max(0.0) / width;
    a.min(b) - h * h * width / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_fills_the_share_asked_for() {
        for seed in 0..50 {
            let nerve = Nerve::draw(&mut Rng::new(seed, 0, 0), 40.0, 160.0);
            let share = nerve.area() / (WIDTH * HEIGHT) as f32;
            assert!((0.015..0.06).contains(&share), "{share} at seed {seed}");
            for f in nerve.fascicles() {
                assert!(nerve.outline(f.x, f.y) < -f.radius * 0.9);
            }
        }
    }
}
