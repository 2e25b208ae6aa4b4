//! Refused requests, some of which are written down and the others counted.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// So many are written down in an hour: 16 MiB of audit log hold months of guessing.
const MOST: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);

/// Those of the present hour.
pub struct Refusals {
    begun: Instant,
    /// What was written down: once for an address and a reason.
    seen: HashSet<(IpAddr, String)>,
    others: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { begun: Instant::now(), seen: HashSet::new(), others: 0 }
    }
}

impl Refusals {
    /// Counts one; true when it is to be written down.
    pub fn add(&mut self, address: IpAddr, why: &str) -> bool {
        let is_new = self.seen.len() < MOST && self.seen.insert((address, why.to_owned()));
        self.others += u64::from(!is_new);
        is_new
    }

    /// At the end of an hour: how many were not written down, if any.
    pub fn look(&mut self) -> Option<String> {
        if self.begun.elapsed() < HOUR {
            return None;
        }
        let others = std::mem::take(self).others;
        (others > 0).then(|| format!("{others} more requests in the last hour"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_is_counted() {
        let mut refusals = Refusals::default();
        let written = (0..1000u32).filter(|n| refusals.add((n % 100).into_ip(), "invalid_token")).count();
        assert_eq!(written, MOST);
        assert!(refusals.look().is_none());
        refusals.begun = Instant::now().checked_sub(HOUR).unwrap();
        assert_eq!(refusals.look().unwrap(), "980 more requests in the last hour");
        assert!(refusals.add(1.into_ip(), "invalid_token") && !refusals.add(1.into_ip(), "invalid_token"));
    }

    trait IntoIp {
        fn into_ip(self) -> IpAddr;
    }

    impl IntoIp for u32 {
        fn into_ip(self) -> IpAddr {
            std::net::Ipv4Addr::from_bits(self).into()
        }
    }
}
