//! Paints a section: layers, fibres, fascia, bone, vessels, spots, nerve, in that order.

use crate::{
    anatomy::{Anatomy, Muscle, Tissue, Vessel},
    motion::Pose,
    rng::{Rng, Texture, lerp, smoothstep},
    section::{COLUMNS, PITCH, ROWS, cell_position, cells_around},
};

/// A grid of tissue, being painted.
#[derive(Debug, Default)]
pub struct Canvas {
    tissue: Vec<Tissue>,
    pose: Pose,
}

/// A smooth edge: 1 inside (negative distance), 0 outside.
fn inside(distance: f32) -> f32 {
    smoothstep(1.5, -1.5, distance)
}

/// A thin bright line along distance 0.
fn line(distance: f32, width: f32) -> f32 {
    let d = distance / width;
    if d.abs() > 3.0 { 0.0 } else { libm::expf(-d * d) }
}

impl Tissue {
    /// Puts `other` over this with `cover` 0..1; surfaces under it vanish.
    fn cover(&mut self, other: &Tissue, cover: f32) {
        self.echo = lerp(self.echo, other.echo, cover);
        self.density = lerp(self.density, other.density, cover);
        self.loss = lerp(self.loss, other.loss, cover);
        self.specular *= 1.0 - cover;
    }
}

const BLOOD: Tissue = Tissue { echo: -34.0, density: 1.0, loss: -0.09, specular: 0.0 };
const BONE: Tissue = Tissue { echo: -12.0, density: 1.0, loss: 0.9, specular: 0.0 };

impl Canvas {
    /// Paints the section of `index` with or without the nerve.
    pub fn draw(&mut self, seed: u64, index: u64, anatomy: &Anatomy, pose: &Pose, nerve: bool) {
        let level = 2 * index + u64::from(nerve);
        let rng = &mut Rng::new(seed, 21, level);
        self.pose = *pose;
        self.tissue.clear();
        self.layers(rng, anatomy, nerve);
        self.streaks(rng, anatomy);
        if rng.chance(0.6) {
            self.bone(rng, &anatomy.bone, anatomy.fascia);
        }
        self.spots(rng, anatomy);
        self.vessel(rng, &anatomy.jugular, 4.0);
        self.vessel(rng, &anatomy.carotid, 7.0);
        if nerve {
            self.nerve(rng, anatomy);
        } else {
            self.closed_groove(rng, anatomy);
        }
    }

    /// Calls `brush(x, y, tissue)` for every cell within `(rx, ry)` of tissue point `(x, y)`.
    fn around(
        &mut self,
        (x, y): (f32, f32),
        (rx, ry): (f32, f32),
        mut brush: impl FnMut(f32, f32, &mut Tissue),
    ) {
        let (x, y) = self.pose.to_picture(x, y);
        // Tilt turns the box; a tenth of the other side covers it.
        let (columns, rows) = cells_around(x, y, rx + 0.15 * ry + 4.0, ry + 0.15 * rx + 4.0);
        for row in rows {
            for column in columns.clone() {
                let (px, py) = cell_position(column, row);
                let (x, y) = self.pose.to_tissue(px, py);
                brush(x, y, &mut self.tissue[row * COLUMNS + column]);
            }
        }
    }

    fn layers(&mut self, rng: &mut Rng, a: &Anatomy, nerve: bool) {
        let [bend_x, bend_y, fibres, patches, septa] = [(); 5].map(|()| Texture::draw(rng));
        // Without roots between them the scalenes lie closer.
        let gap = if nerve { 0.0 } else { 0.5 };
        let scalenes = a.scalenes.map(|m| Muscle { x: m.x - gap * (m.x - m.rx * m.x.signum()), ..m });
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let (px, py) = cell_position(column, row);
                let (x, y) = self.pose.to_tissue(px, py);
                let give = y.max(0.0) / (y.max(0.0) + 40.0);
                let fine = bend_x.at(y / 21.0, x / 33.0);
                let u = x + give * (22.0 * bend_x.at(x / 95.0, y / 60.0) + 5.0 * fine);
                let v = y + give * (15.0 * bend_y.at(x / 110.0, y / 55.0) + 3.0 * fine);
                let patch = patches.at(u / 55.0, v / 40.0);
                // Fascia comes and goes along a surface.
                let fade = smoothstep(-0.7, 0.8, patches.at(u / 31.0, v / 90.0));
                let mut t;
                if v < a.fat {
                    let layer = septa.at(u / 130.0, v / 6.5);
                    let deep = smoothstep(a.skin - 1.0, a.skin + 1.0, v);
                    t = a.skin_tissue;
                    t.cover(&a.fat_tissue, deep);
                    t.echo += deep * 9.0 * layer;
                    t.specular = deep * a.fascia * 0.8 * (layer - 0.35).max(0.0);
                } else {
                    let (muscle, slope, surface) = muscles(a, &scalenes, u, v);
                    let grain = fibres.at(u / 48.0, (v - slope * u) / 3.6);
                    t = a.loose_tissue;
                    t.cover(&a.muscle_tissue, muscle);
                    t.echo += a.striation * grain + 5.0 * patch;
                    t.specular =
                        a.fascia * (fade * surface + (1.0 + 1.5 * patch).max(0.0) * (grain - 0.5).max(0.0));
                }
                for (depth, share) in [(1.5, 0.8), (a.skin, 0.6), (a.fat, 1.0)] {
                    t.specular += a.fascia * share * fade * line(v - depth, 1.4);
                }
                self.tissue.push(t);
            }
        }
    }

    /// Bold strands of fascia between and within the muscles.
    fn streaks(&mut self, rng: &mut Rng, a: &Anatomy) {
        for i in 0..150 {
            let long = i < 10;
            let half = if long { rng.range(40.0, 110.0) } else { rng.range(6.0, 28.0) };
            let (x, y) = (rng.spread(380.0), rng.range(a.fat, 440.0));
            let slope = muscles(a, &a.scalenes, x, y).1 + rng.spread(0.3);
            let bow = rng.spread(0.15) / half;
            let width = rng.range(0.9, 2.6);
            let power = rng.range(0.2, 1.0);
            let strength = a.fascia * power * if long { 0.9 } else { 1.6 * power * power };
            let seam = Texture::draw(rng);
            self.around((x, y), (half, half * 0.65), |px, py, t| {
                let u = px - x;
                let taper = 1.0 - (u / half) * (u / half);
                if taper > 0.0 {
                    let d = py - y - slope * u - bow * u * u - 1.5 * seam.at(u / 12.0, 0.0);
                    t.specular += strength * taper * line(d, width);
                }
            });
        }
    }

    fn bone(&mut self, rng: &mut Rng, bone: &Vessel, fascia: f32) {
        let rough = Texture::draw(rng);
        self.around((bone.x, bone.y + 60.0), (bone.rx + 4.0, bone.ry + 70.0), |x, y, t| {
            let u = (x - bone.x) / bone.rx;
            let grit = rough.at(x / 9.0, 0.0);
            let d = y - bone.y - bone.ry * u * u - 4.0 * rough.at(x / 30.0, 9.0) - 1.5 * grit;
            let edge = smoothstep(1.0, 0.6, u.abs() + 0.1 * grit);
            t.cover(&BONE, edge * smoothstep(-1.0, 1.0, d));
            t.specular += fascia * (1.6 + 0.8 * grit) * edge * line(d, 2.4);
        });
    }

    /// Distractors: dark muscle bundles without a rim, and small vessels.
    fn spots(&mut self, rng: &mut Rng, a: &Anatomy) {
        let bundle = Tissue { echo: a.muscle_tissue.echo - 6.0, ..a.muscle_tissue };
        for _ in 0..2 + rng.below(5) {
            let (x, y) = (rng.spread(320.0), rng.range(a.fat + 25.0, 340.0));
            let (rx, ry) = (rng.range(9.0, 34.0), rng.range(7.0, 18.0));
            self.around((x, y), (rx, ry), |px, py, t| {
                let q = libm::hypotf((px - x) / rx, (py - y) / ry);
                t.cover(&bundle, smoothstep(1.0, 0.7, q));
            });
        }
        for _ in 0..rng.below(4) {
            let r = rng.range(5.0, 11.0);
            let vessel = Vessel {
                x: rng.spread(300.0),
                y: rng.range(a.fat + 20.0, 330.0),
                rx: r * rng.range(1.0, 1.5),
                ry: r,
            };
            self.vessel(rng, &vessel, 4.0);
        }
    }

    fn vessel(&mut self, rng: &mut Rng, vessel: &Vessel, wall: f32) {
        let dent = Texture::draw(rng);
        let &Vessel { x, y, rx, ry } = vessel;
        self.around((x, y), (rx + 4.0, ry + 4.0), |px, py, t| {
            let (u, v) = ((px - x) / rx, (py - y) / ry);
            let q = libm::hypotf(u, v);
            let d = (q - 1.0 + 0.22 * dent.at(u / 0.9, v / 0.9)) * ry;
            t.cover(&BLOOD, inside(d));
            // A wall shines where the beam meets it squarely.
            let facing = (v / q.max(0.1)) * (v / q.max(0.1));
            t.specular += wall * (0.1 + facing) * (1.0 + dent.at(u * 3.0, v * 3.0)) * line(d - 1.5, 1.3);
        });
    }

    fn nerve(&mut self, rng: &mut Rng, a: &Anatomy) {
        let nerve = &a.nerve;
        let (x, y, rx, ry) = nerve.bounds();
        let mesh = Texture::draw(rng);
        self.around((x, y), (rx + 6.0, ry + 6.0), |px, py, t| {
            let d = nerve.outline(px, py);
            if d > 6.0 {
                return;
            }
            let weave = mesh.at(px / 11.0, py / 4.0);
            let sheath = Tissue { echo: a.sheath_tissue.echo + 4.0 * weave, ..a.sheath_tissue };
            t.cover(&sheath, smoothstep(2.0, -2.0, d + 1.0));
            let rise = nerve.outline(px, py + 1.0) - d;
            t.specular += a.fascia * 0.55 * (0.15 + rise * rise) * (0.8 + weave) * line(d + 3.0, 1.8);
            for f in nerve.fascicles() {
                let (u, v) = (px - f.x, py - f.y);
                let distance = libm::hypotf(u, v);
                let dent = mesh.at((px + f.x) / f.radius, py / f.radius);
                let d = distance - f.radius * (0.95 + 0.22 * dent) - weave;
                let facing = v / distance.max(1.0);
                let core = Tissue { echo: a.fascicle_tissue.echo + 3.0 * weave, ..a.fascicle_tissue };
                t.cover(&core, inside(d));
                t.specular += a.fascia * 0.5 * (0.1 + facing * facing) * (0.8 + weave) * line(d - 1.0, 1.6);
            }
        });
    }

    /// Where the roots have left the plane: fat and strands, or nothing much.
    fn closed_groove(&mut self, rng: &mut Rng, a: &Anatomy) {
        let (x, y) = (a.groove.0 + rng.spread(15.0), a.groove.1 + rng.spread(20.0));
        let (rx, ry) = (rng.range(12.0, 30.0), rng.range(20.0, 50.0));
        let pad = Tissue { echo: a.loose_tissue.echo + rng.range(0.0, 5.0), ..a.loose_tissue };
        let weave = Texture::draw(rng);
        self.around((x, y), (1.3 * rx, 1.3 * ry), |px, py, t| {
            let q = libm::hypotf((px - x) / rx, (py - y) / ry) + 0.3 * weave.at(px / 12.0, py / 12.0);
            let strand = (weave.at(px / 25.0, py / 4.0) - 0.2).max(0.0);
            let cover = smoothstep(1.1, 0.6, q);
            t.cover(&pad, 0.8 * cover);
            t.specular += a.fascia * 0.8 * strand * cover;
        });
    }

    /// Turns tissue into amplitudes as the beam meets them: `cells[plane]` diffuse, and
    /// `cells[plane + 1]` specular. Loss adds up down each line, which gives shadows and
    /// enhancement.
    pub fn finish(&self, seed: u64, index: u64, cells: &mut [[f32; 8]], plane: usize) {
        let mut rng = Rng::new(seed, 22, index);
        let mut through = [0f32; COLUMNS];
        for (row, cells) in self.tissue.chunks_exact(COLUMNS).zip(cells.chunks_exact_mut(COLUMNS)) {
            for ((t, cell), through) in row.iter().zip(cells).zip(&mut through) {
                *through -= t.loss + 0.012 * t.specular;
                let there = decibel(*through);
                let present = rng.chance(t.density);
                let count = if present { 1.0 / libm::sqrtf(t.density) } else { 0.0 };
                cell[plane] = there * decibel(t.echo) * count;
                cell[plane + 1] = there * t.specular;
            }
        }
    }

    /// Writes the nerve's outline: 0.5 on it, more inside.
    pub fn outline(&self, a: &Anatomy, pose: &Pose, mask: &mut [f32]) {
        let (x, y, rx, ry) = a.nerve.bounds();
        let (px, py) = pose.to_picture(x, y);
        let (columns, rows) = cells_around(px, py, rx + 30.0, ry + 30.0);
        for row in rows {
            for column in columns.clone() {
                let (px, py) = cell_position(column, row);
                let (x, y) = pose.to_tissue(px, py);
                let edge = 4.0 * PITCH as f32;
                mask[row * COLUMNS + column] = (0.5 - a.nerve.outline(x, y) / edge).clamp(0.0, 1.0);
            }
        }
    }
}

/// Muscle or not (0..1), the fibres' slope, and the fascia there facing the beam (0..1).
fn muscles(a: &Anatomy, scalenes: &[Muscle; 2], x: f32, y: f32) -> (f32, f32, f32) {
    let (mut muscle, mut slope, mut surface) = (0.0f32, 0.0, 0.0f32);
    for m in [&scalenes[0], &scalenes[1], &a.mastoid] {
        let (u, v) = ((x - m.x) / m.rx, (y - m.y) / m.ry);
        let (gx, gy) = (2.0 * u / m.rx, 2.0 * v / m.ry);
        let steep = libm::sqrtf(gx * gx + gy * gy).max(1e-4);
        let d = (u * u + v * v - 1.0) / steep;
        let cover = smoothstep(2.0, -2.0, d);
        muscle = muscle.max(cover);
        slope = lerp(slope, m.slope, cover);
        let facing = gy / steep;
        surface = (surface * (1.0 - cover)).max(facing * facing * line(d, 1.6));
    }
    (muscle, slope, surface)
}

/// Amplitude of a level in dB.
fn decibel(level: f32) -> f32 {
    libm::exp2f(level * (std::f32::consts::LOG2_10 / 20.0))
}
