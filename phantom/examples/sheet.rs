//! Writes a contact sheet of stills of several patients, the nerve outlined:
//! `cargo run --release -p nervelight-phantom --example sheet -- sheet.png [first-seed]`

use std::{env, error::Error};

use image::{GenericImage, Rgb, RgbImage};
use nervelight_phantom::{HEIGHT, Phantom, WIDTH};

const ACROSS: u64 = 2;
const DOWN: u64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let path = args.next().ok_or("usage: sheet OUT.png [first-seed]")?;
    let first: u64 = args.next().map_or(Ok(1), |s| s.parse())?;

    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    let mut sheet = RgbImage::new(width * ACROSS as u32, height * DOWN as u32);
    let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
    for i in 0..ACROSS * DOWN {
        Phantom::new(first + i).still(i, &mut luma, &mut mask)?;
        let picture = RgbImage::from_fn(width, height, |x, y| {
            let at = |x: u32, y: u32| (y * width + x) as usize;
            let inside = |x: u32, y: u32| mask[at(x.min(width - 1), y.min(height - 1))] > 0;
            let edge = inside(x, y) != inside(x + 1, y) || inside(x, y) != inside(x, y + 1);
            let grey = luma[at(x, y)];
            if edge { Rgb([255, 60, 60]) } else { Rgb([grey; 3]) }
        });
        sheet.copy_from(&picture, width * (i % ACROSS) as u32, height * (i / ACROSS) as u32)?;
    }
    sheet.save(path)?;
    Ok(())
}
