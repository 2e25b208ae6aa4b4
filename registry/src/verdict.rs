//! What a cart says about a bundle, for the others that wait for it: a tag beside the bundle, `verdict-DIGEST-CART`.

use nervelight_engines::digest::sha256;
use oci_client::manifest::OciDescriptor;

use crate::artifact::{OciManifest, descriptor, named};
use crate::place::is_tag;

/// Kind of the artifact.
const VERDICT: &str = "application/vnd.nervelight.verdict.v1";
/// What an artifact without content holds, as the image specification has it.
pub(crate) const EMPTY: &[u8] = b"{}";
const EMPTY_KIND: &str = "application/vnd.oci.empty.v1+json";
/// Digits of a bundle's digest in a tag.
const SHORT: usize = 12;
/// The most that is kept of the words.
const LONGEST: usize = 1000;
/// Names of the annotations.
const DIGEST: &str = "vnd.nervelight.digest";
const CART: &str = "vnd.nervelight.cart";
const OUTCOME: &str = "vnd.nervelight.outcome";
const MESSAGE: &str = "vnd.nervelight.message";

/// What became of a bundle on a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It passed its probation.
    Kept,
    /// It did not get that far, or went back.
    Rejected,
}

/// What a cart says about a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The bundle's digest.
    pub digest: String,
    /// The cart's name.
    pub cart: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The same for people.
    pub message: String,
}

impl Verdict {
    /// Whether a cart of this name can give one: the name is part of a tag.
    pub fn is_cart(name: &str) -> bool {
        !name.is_empty() && name.len() <= 64 && is_tag(&tag("0", name))
    }

    /// The tag it has.
    pub(crate) fn tag(&self) -> String {
        tag(&self.digest, &self.cart)
    }

    /// It as an artifact's manifest, whose configuration and layer are empty.
    pub(crate) fn manifest(&self) -> OciManifest {
        let mut manifest = OciManifest::new(VERDICT, empty(), vec![empty()]);
        let outcome = match self.outcome {
            Outcome::Kept => "kept",
            Outcome::Rejected => "rejected",
        };
        let message = self.message.chars().take(LONGEST).collect();
        for (name, value) in [
            (DIGEST, self.digest.clone()),
            (CART, self.cart.clone()),
            (OUTCOME, outcome.into()),
            (MESSAGE, message),
        ] {
            manifest.annotations.insert(name.into(), value);
        }
        manifest
    }

    /// Reads what is under the tag of a verdict of `cart` about `digest`; none if it is something else.
    pub(crate) fn read(manifest: &[u8], digest: &str, cart: &str) -> Option<Self> {
        let mut manifest: OciManifest = serde_json::from_slice(manifest).ok()?;
        let mut said = |name: &str| manifest.annotations.remove(name);
        let outcome = match said(OUTCOME)?.as_str() {
            "kept" => Outcome::Kept,
            "rejected" => Outcome::Rejected,
            _ => return None,
        };
        let is_own = said(DIGEST)? == digest && said(CART)? == cart;
        let message = said(MESSAGE).unwrap_or_default();
        let message = message.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        is_own.then(|| Self { digest: digest.into(), cart: cart.into(), outcome, message })
    }
}

/// The tag of a verdict.
pub(crate) fn tag(digest: &str, cart: &str) -> String {
    format!("verdict-{}-{cart}", digest.get(..SHORT).unwrap_or(digest))
}

fn empty() -> OciDescriptor {
    descriptor(EMPTY_KIND, &empty_digest(), EMPTY.len() as u64)
}

/// As registries write it.
pub(crate) fn empty_digest() -> String {
    named(&sha256(EMPTY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_as_it_was_written_and_only_under_its_own_name() {
        let digest = "ab".repeat(32);
        let verdict = Verdict {
            digest: digest.clone(),
            cart: "cart-7".into(),
            outcome: Outcome::Rejected,
            message: "golden frame 3: Dice 0.2".into(),
        };
        assert_eq!(verdict.tag(), "verdict-abababababab-cart-7");
        let bytes = serde_json::to_vec(&verdict.manifest()).unwrap();
        assert_eq!(Verdict::read(&bytes, &digest, "cart-7"), Some(verdict.clone()));
        assert_eq!(Verdict::read(&bytes, &digest, "cart-8"), None);
        // The tag has the beginning of the digest only.
        assert_eq!(Verdict::read(&bytes, &format!("{}00", &digest[..62]), "cart-7"), None);
        assert_eq!(Verdict::read(b"{}", &digest, "cart-7"), None);
        assert_eq!(empty_digest(), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }

    #[test]
    fn names_of_carts_fit_into_tags() {
        assert!(Verdict::is_cart("cart-7.ward_b"));
        for bad in ["", "cart 7", "cart/7", "kärtchen", &"x".repeat(65)] {
            assert!(!Verdict::is_cart(bad), "{bad}");
        }
    }
}
