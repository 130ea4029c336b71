//! When to probe, when to give up, when to try again. The clock is the caller's.

use std::time::{Duration, Instant};

/// Notices a peer that went silent: probes after `interval` without input, gives up after another.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    interval: Duration,
    last_input: Instant,
    probed: bool,
}

/// What an idle connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vital {
    /// Nothing until then.
    Wait(Instant),
    /// Send a probe.
    Probe,
    /// The peer is dead.
    Dead,
}

impl Liveness {
    /// Starts counting now.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, last_input: now, probed: false }
    }

    /// Bytes came in.
    pub fn received(&mut self, now: Instant) {
        self.last_input = now;
        self.probed = false;
    }

    /// What to do now; a [`Vital::Probe`] is returned once per silence.
    pub fn poll(&mut self, now: Instant) -> Vital {
        let probe_at = self.last_input + self.interval;
        let dead_at = probe_at + self.interval;
        if now < probe_at {
            Vital::Wait(probe_at)
        } else if !self.probed {
            // A process that was itself stopped must not blame the peer: the peer gets its answer time.
            self.probed = true;
            self.last_input = now - self.interval;
            Vital::Probe
        } else if now < dead_at {
            Vital::Wait(dead_at)
        } else {
            Vital::Dead
        }
    }
}

/// Delays between attempts to connect: 100 ms, then 1, 2, 4, 8, 8, ... seconds with jitter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    attempt: u32,
}

impl Backoff {
    /// The delay before the first retry.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The longest delay; a connection that lasted longer than this starts anew.
    pub const MAX: Duration = Duration::from_secs(8);

    /// The next delay. `jitter` in 0..1 spreads clients that lost the same server.
    pub fn next_delay(&mut self, jitter: f64) -> Duration {
        let attempt = self.attempt;
        self.attempt = (attempt + 1).min(5);
        let Some(exponent) = attempt.checked_sub(1) else { return Self::FIRST };
        let base = Duration::from_secs(1 << exponent);
        base.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0)).clamp(Duration::from_secs(1), Self::MAX)
    }

    /// The connection proved good.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn probes_once_then_declares_death() {
        let start = Instant::now();
        let mut liveness = Liveness::new(5 * SEC, start);
        assert_eq!(liveness.poll(start), Vital::Wait(start + 5 * SEC));
        assert_eq!(liveness.poll(start + 5 * SEC), Vital::Probe);
        assert_eq!(liveness.poll(start + 6 * SEC), Vital::Wait(start + 10 * SEC));
        assert_eq!(liveness.poll(start + 10 * SEC), Vital::Dead);
    }

    #[test]
    fn any_input_revives() {
        let start = Instant::now();
        let mut liveness = Liveness::new(5 * SEC, start);
        assert_eq!(liveness.poll(start + 5 * SEC), Vital::Probe);
        liveness.received(start + 6 * SEC);
        assert_eq!(liveness.poll(start + 10 * SEC), Vital::Wait(start + 11 * SEC));
        assert_eq!(liveness.poll(start + 11 * SEC), Vital::Probe);
    }

    #[test]
    fn waking_up_late_still_gives_the_peer_its_answer_time() {
        let start = Instant::now();
        let mut liveness = Liveness::new(5 * SEC, start);
        assert_eq!(liveness.poll(start + 60 * SEC), Vital::Probe);
        assert_eq!(liveness.poll(start + 61 * SEC), Vital::Wait(start + 65 * SEC));
    }

    #[test]
    fn backoff_starts_at_once_and_stays_between_one_and_eight_seconds() {
        for jitter in [0.0, 0.5, 1.0] {
            let mut backoff = Backoff::default();
            assert_eq!(backoff.next_delay(jitter), Backoff::FIRST);
            let delays: Vec<_> = (0..8).map(|_| backoff.next_delay(jitter)).collect();
            assert!(delays.iter().all(|d| (SEC..=Backoff::MAX).contains(d)), "{delays:?}");
            assert!(delays[7] >= 6 * SEC);
            backoff.reset();
            assert_eq!(backoff.next_delay(jitter), Backoff::FIRST);
        }
    }
}
