//! Frames whose masks a model drew: they wait in a data set's folder `drafts` until a person reviewed them, and then lie in
//! its folder `train`. So what nobody reviewed is not trained on.
//!
//! ```text
//! drafts/drafts.json           what is known of each draft; written by `import --harvest`
//! drafts/S_N.tif               a frame
//! drafts/S_N_mask.tif          the mask that the model drew; never changed
//! drafts/masks/SHA256.tif      masks that people drew, by the digest of their pixels
//! drafts/review.jsonl          every decision, in its order; only ever added to
//! train/S_N.tif, S_N_mask.tif  what was accepted or corrected
//! ```
//!
//! Patient S is a case: what a cart kept without a long pause. A split by patients never divides one.

mod apply;
mod list;
mod mask;
mod review;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use apply::{apply, reconcile};
pub use list::{DRAFTS, Draft, Drafts, MadeBy};
pub use mask::{DraftMask, frame_of_crop};
pub use review::{Decision, Review, ReviewError, Verdict};

/// What to say before training on `directory`: drafts that nobody reviewed are left out, or are what is trained on.
///
/// # Errors
/// When what is known of them cannot be read.
pub fn notice(directory: &Path) -> anyhow::Result<Option<String>> {
    if directory.join(list::NAME).is_file() {
        return Ok(Some(format!(
            "warning: {}: these masks are a model's own drafts, which nobody reviewed; a network that learns them learns \
             their mistakes",
            directory.display()
        )));
    }
    let Some(drafts) = Drafts::find(directory)? else { return Ok(None) };
    let decided = review::decided(directory)?;
    let open = drafts.drafts.iter().filter(|draft| !decided.contains(&draft.name)).count();
    Ok((open > 0).then(|| {
        let directory = directory.display();
        format!(
            "{open} drafts in {directory}/drafts are not reviewed, and are left out. Review them with `nervelight-train \
             analyze review --data {directory} --reviewer NAME`; to train on drafts as they are, name {directory}/drafts \
             as the data"
        )
    }))
}
