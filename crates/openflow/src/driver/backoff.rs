//! Pauses between attempts to connect.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

use super::{Config, Connection, Events};

/// Exponential back-off with jitter, so that a thousand agents do not knock at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(8))
    }
}

impl Backoff {
    /// Pauses from `min`, doubling to `max`.
    pub fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max: max.max(min), attempt: 0 }
    }

    /// The next pause: between half and all of the current step. `random` is any number.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let step = self.min.saturating_mul(1u32.checked_shl(self.attempt).unwrap_or(u32::MAX)).min(self.max);
        self.attempt = self.attempt.saturating_add(1).min(31);
        let half = step / 2;
        half + half.mul_f64(random as f64 / u64::MAX as f64)
    }

    /// An attempt worked: the next pause is the shortest again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// Connects, however many attempts it takes. Drop the future to give up.
pub async fn reconnect(
    path: impl AsRef<Path>,
    config: &Config,
    backoff: &mut Backoff,
) -> (Connection, Events) {
    let path = path.as_ref();
    loop {
        match Connection::open(path, config.clone()).await {
            Ok(opened) => {
                backoff.reset();
                return opened;
            }
            Err(error) => {
                let delay = backoff.next_delay(RandomState::new().build_hasher().finish());
                tracing::info!(path = %path.display(), %error, delay_ms = delay.as_millis() as u64, "will retry");
                #[expect(clippy::disallowed_methods, reason = "a back-off really sleeps")]
                tokio::time::sleep(delay).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_no_further() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(min, max);
        let longest: Vec<u128> = (0..40).map(|_| backoff.next_delay(u64::MAX).as_millis()).collect();
        assert_eq!(longest[..5], [100, 200, 400, 800, 1000]);
        assert!(longest[5..].iter().all(|ms| *ms == 1000));
        backoff.reset();
        assert_eq!(backoff.next_delay(0).as_millis(), 50);
    }
}
