//! Whether a device is there to be opened.

use anyhow::{Result, bail};

use crate::config::Source;

/// Looks for the source's device, without opening it. Any other source is there, as far as this can be said.
///
/// # Errors
/// When the device is absent.
pub fn look(source: &Source) -> Result<()> {
    if let Source::V4l2 { device, .. } = source
        && !device.exists()
    {
        bail!(
            "{} does not exist. Plug the capture card in; `v4l2-ctl --list-devices` shows its name",
            device.display()
        );
    }
    Ok(())
}
