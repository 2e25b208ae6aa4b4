//! Where the ultrasound picture lies in a screen: the largest area that keeps changing. A clock, a cursor or a menu changes
//! now and then, or is small; what does not change says nothing, so that a frozen picture keeps its place.

use std::time::Duration;

use crate::frame::Sector;
use crate::path::observer::{CHANGE, Grid};

/// Evidence is weighed so often.
const WINDOW: Duration = Duration::from_secs(1);
/// Windows that must agree: for the first place, for another, and for a part of the present one, which may be a probe
/// that has half lost its contact.
const AGREE: (u32, u32, u32) = (3, 4, 15);
/// Frames that moved in a window, at least.
const FRAMES: u32 = 6;
/// Part of the grid that moves in a frame that counts.
const MOVES: f32 = 0.003;
/// Part of the frames that moved in which a point of the picture changes, at least: 1 in 6.
const OFTEN: u32 = 6;
/// Points that changed often are joined in tiles of so many pixels, and tiles that are so many apart to areas: there is dark
/// tissue between bright.
const TILE: usize = 32;
const REACH: usize = 2;
/// Points of the grid by which edges of one place differ from window to window.
const SLACK: usize = 2;
/// Least size of a picture in pixels: half of what the model sees.
const LEAST: (usize, usize) = (288, 208);

/// Watches the grid of frames of one size.
pub struct SectorFinder {
    step: usize,
    columns: usize,
    /// Changes of each point in this window.
    counts: Vec<u16>,
    /// Frames of this window that moved.
    frames: u32,
    began: Option<Duration>,
    /// What the last windows agree on, in points of the grid, and how many do.
    candidate: Option<(Area, u32)>,
    found: Option<Area>,
    /// Points that changed often, and the area they take, tile by tile.
    tiles: Vec<Option<(usize, Area)>>,
    /// Tiles whose neighbours are to be looked at.
    queue: Vec<usize>,
}

/// Points of the grid from the first to the last, both in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Area {
    fn point(at: usize, columns: usize) -> Self {
        let (x, y) = (at % columns, at / columns);
        Self { left: x, top: y, right: x, bottom: y }
    }

    fn joined(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    fn is_near(self, other: Self) -> bool {
        let edges = |area: Self| [area.left, area.top, area.right, area.bottom];
        edges(self).into_iter().zip(edges(other)).all(|(a, b)| a.abs_diff(b) <= SLACK)
    }

    fn is_in(self, other: Self) -> bool {
        self.joined(other).is_near(other)
    }
}

impl SectorFinder {
    /// For the grids of frames of one size.
    pub fn new(grid: &Grid<'_>) -> Self {
        let Grid { step, columns, rows, .. } = *grid;
        let cells = TILE / step;
        let tiles = columns.div_ceil(cells) * rows.div_ceil(cells);
        Self {
            step,
            columns,
            counts: vec![0; columns * rows],
            frames: 0,
            began: None,
            candidate: None,
            found: None,
            tiles: vec![None; tiles],
            queue: Vec::with_capacity(tiles),
        }
    }

    /// A frame came `at`. Returns the picture's place when it was found, or has changed for good.
    pub fn look(&mut self, at: Duration, grid: &Grid<'_>) -> Option<Sector> {
        let mut changes = 0;
        for (count, (a, b)) in self.counts.iter_mut().zip(grid.fresh.iter().zip(grid.last)) {
            let change = u16::from(a.abs_diff(*b) > CHANGE);
            *count += change;
            changes += u32::from(change);
        }
        self.frames += u32::from(changes as f32 >= MOVES * self.counts.len() as f32);
        let began = *self.began.get_or_insert(at);
        // Times that go back are of another run of the source.
        if at >= began && at - began < WINDOW && self.frames < u32::from(u16::MAX) {
            return None;
        }
        let found = self.weigh();
        self.counts.fill(0);
        (self.frames, self.began) = (0, Some(at));
        found.map(|area| self.sector(area))
    }

    /// Weighs a window's evidence.
    fn weigh(&mut self) -> Option<Area> {
        if self.frames < FRAMES {
            return None;
        }
        let area = self.largest()?;
        if self.found.is_some_and(|found| area.is_near(found)) {
            self.candidate = None;
            return None;
        }
        self.candidate = match self.candidate {
            Some((candidate, agree)) if area.is_near(candidate) => Some((candidate.joined(area), agree + 1)),
            _ => Some((area, 1)),
        };
        let (candidate, agree) = self.candidate?;
        let needed = match self.found {
            None => AGREE.0,
            Some(found) if candidate.is_in(found) => AGREE.2,
            Some(_) => AGREE.1,
        };
        if agree < needed {
            return None;
        }
        self.candidate = None;
        self.found = Some(candidate);
        self.found
    }

    /// The largest component of points that changed often, if it is large enough for a picture.
    fn largest(&mut self) -> Option<Area> {
        let often = (self.frames / OFTEN).max(2);
        let (cells, across) = (TILE / self.step, self.tiles_across());
        self.tiles.fill(None);
        for (at, _) in self.counts.iter().enumerate().filter(|(_, count)| u32::from(**count) >= often) {
            let point = Area::point(at, self.columns);
            let tile = &mut self.tiles[point.top / cells * across + point.left / cells];
            *tile = Some(tile.map_or((1, point), |(size, area)| (size + 1, area.joined(point))));
        }
        let mut largest: Option<(usize, Area)> = None;
        for start in 0..self.tiles.len() {
            let Some(mut component) = self.tiles[start].take() else { continue };
            self.queue.push(start);
            while let Some(at) = self.queue.pop() {
                let (x, y) = (at % across, at / across);
                for near_y in y.saturating_sub(REACH)..(y + REACH + 1).min(self.tiles.len() / across) {
                    for near_x in x.saturating_sub(REACH)..(x + REACH + 1).min(across) {
                        let near = near_y * across + near_x;
                        if let Some((size, area)) = self.tiles[near].take() {
                            component = (component.0 + size, component.1.joined(area));
                            self.queue.push(near);
                        }
                    }
                }
            }
            if largest.is_none_or(|(most, _)| component.0 > most) {
                largest = Some(component);
            }
        }
        let Sector { width, height, .. } = self.sector(largest?.1);
        largest.map(|(_, area)| area).filter(|_| width >= LEAST.0 && height >= LEAST.1)
    }

    fn tiles_across(&self) -> usize {
        self.columns.div_ceil(TILE / self.step)
    }

    /// In pixels. An edge lies somewhere between two points of the grid: half way, as far as is known.
    fn sector(&self, area: Area) -> Sector {
        let first = |point: usize| (point * self.step).saturating_sub(self.step / 2);
        let span = |first_point: usize, last: usize| last * self.step + self.step / 2 - first(first_point);
        Sector {
            x: first(area.left),
            y: first(area.top),
            width: span(area.left, area.right),
            height: span(area.top, area.bottom),
        }
    }
}

#[cfg(test)]
mod tests;
