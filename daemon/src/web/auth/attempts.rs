//! How often an address may come with a token that is not known yet.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use nervelight_web::network;

/// So many at once, and then one in each interval.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(10).unwrap();
const INTERVAL: Duration = Duration::from_secs(6);

/// Counts by address.
pub struct Attempts(DefaultKeyedRateLimiter<IpAddr>);

impl Attempts {
    /// Nobody has tried.
    pub fn new() -> Self {
        let quota = Quota::with_period(INTERVAL).unwrap_or(Quota::per_minute(AT_ONCE)).allow_burst(AT_ONCE);
        Self(RateLimiter::keyed(quota))
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// In how many seconds this address may try again.
    pub fn count(&self, address: IpAddr) -> Result<(), u64> {
        let wait = |not_until: governor::NotUntil<_>| not_until.wait_time_from(DefaultClock::default().now());
        self.0.check_key(&network(address)).map_err(|not_until| 1 + wait(not_until).as_secs())
    }

    /// Forgets addresses that have not tried for long.
    pub fn look(&self) {
        self.0.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_guesses_waits_and_others_do_not() {
        let attempts = Attempts::new();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..AT_ONCE.get() {
            attempts.count(address("10.0.0.1")).unwrap();
        }
        let wait = attempts.count(address("10.0.0.1")).unwrap_err();
        assert!((1..=7).contains(&wait), "{wait}");
        attempts.count(address("::ffff:10.0.0.1")).unwrap_err();
        attempts.count(address("10.0.0.2")).unwrap();
        for last in 0..AT_ONCE.get() {
            attempts.count(address(&format!("2001:db8::{last:x}"))).unwrap();
        }
        attempts.count(address("2001:db8::ffff")).unwrap_err();
        attempts.count(address("2001:db8:0:1::")).unwrap();
    }
}
