//! Frames per second on one core: `cargo bench -p nervelight-phantom`.

use std::time::Instant;

use nervelight_phantom::{HEIGHT, Phantom, WIDTH, WrongSize};

fn main() -> Result<(), WrongSize> {
    let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);

    let start = Instant::now();
    let mut phantom = Phantom::new(1);
    phantom.frame(0, &mut luma, &mut mask)?;
    println!("patient and first frame  {:>6.1} ms", 1e3 * start.elapsed().as_secs_f64());

    let start = Instant::now();
    for n in 0..300 {
        phantom.frame(n, &mut luma, &mut mask)?;
    }
    println!("clip                     {:>6.1} frames/s", 300.0 / start.elapsed().as_secs_f64());

    let start = Instant::now();
    for n in 0..50 {
        phantom.still(n, &mut luma, &mut mask)?;
    }
    println!("stills                   {:>6.1} frames/s", 50.0 / start.elapsed().as_secs_f64());
    Ok(())
}
