//! The time, from the system or from a test.

use std::sync::Arc;
use std::time::Duration;

use store::change::Timestamp;

/// Tells the time.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::new(jiff::Timestamp::now)
    }

    /// A clock that says what `now` says.
    pub fn new(now: impl Fn() -> jiff::Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now) }
    }

    /// The time.
    pub fn now(&self) -> jiff::Timestamp {
        (self.now)()
    }

    /// When a point in time will have come, at most a year ahead.
    pub fn deadline(&self, at: jiff::Timestamp) -> tokio::time::Instant {
        const YEAR: Duration = Duration::from_secs(366 * 86_400);
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        tokio::time::Instant::now() + left.min(YEAR)
    }

    /// The time as the store writes it.
    pub fn stamp(&self) -> Timestamp {
        stamp(self.now())
    }

    /// The time this long ago, as the store writes it.
    pub fn stamp_before(&self, ago: Duration) -> Timestamp {
        stamp(self.now().checked_sub(ago).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

fn stamp(at: jiff::Timestamp) -> Timestamp {
    // Years beyond 9999 have no such form; a clock that far off is no use for a record either.
    let at = at.clamp(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    let text = at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    Timestamp::new(text).unwrap_or_else(|_| Timestamp::epoch())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_the_stores_form() {
        let clock = Clock::new(|| "2026-05-04T03:02:01.1239Z".parse().unwrap());
        assert_eq!(clock.stamp().as_str(), "2026-05-04T03:02:01.123Z");
        assert_eq!(clock.stamp_before(Duration::from_secs(61)).as_str(), "2026-05-04T03:01:00.123Z");
        let far = Clock::new(|| jiff::Timestamp::MAX);
        assert!(far.stamp().as_str().starts_with("9999-"));
    }
}
