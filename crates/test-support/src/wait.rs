//! Waiting on state, level-triggered.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often the state is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// The state did not come in time.
#[derive(Debug)]
pub struct TimedOut {
    what: String,
    after: Duration,
    last: String,
}

impl Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waited {:.1} s for {}; last seen: {}", self.after.as_secs_f32(), self.what, self.last)
    }
}

impl std::error::Error for TimedOut {}

/// Waits until `check` gives a value. It is asked again and again for the state **as it is now**, never for "has
/// something happened", so a change between two looks cannot be missed. Its error is what is seen instead; the
/// last one is part of the failure.
///
/// # Errors
/// [`TimedOut`] with the last state seen.
pub async fn wait_for<T, E: Display>(
    what: &str,
    timeout: Duration,
    mut check: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, TimedOut> {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() >= timeout => return Err(timed_out(what, start, &last)),
            Err(_) => pause().await,
        }
    }
}

/// [`wait_for`] for code without a runtime.
///
/// # Errors
/// [`TimedOut`] with the last state seen.
pub fn wait_for_blocking<T, E: Display>(
    what: &str,
    timeout: Duration,
    mut check: impl FnMut() -> Result<T, E>,
) -> Result<T, TimedOut> {
    let start = Instant::now();
    loop {
        match check() {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() >= timeout => return Err(timed_out(what, start, &last)),
            Err(_) => pause_blocking(),
        }
    }
}

fn timed_out(what: &str, start: Instant, last: &dyn Display) -> TimedOut {
    TimedOut { what: what.to_owned(), after: start.elapsed(), last: last.to_string() }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests sleep between two looks at the state"
)]
async fn pause() {
    tokio::time::sleep(INTERVAL).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests sleep between two looks at the state"
)]
fn pause_blocking() {
    std::thread::sleep(INTERVAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_the_value_as_soon_as_it_is_there() {
        let mut looks = 0;
        let got = wait_for("three looks", Duration::from_secs(5), async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
        });
        assert_eq!(got.await.unwrap(), 3);
    }

    #[test]
    fn failure_names_what_and_the_last_state() {
        let got = wait_for_blocking("the moon", Duration::ZERO, || Err::<(), _>("still day"));
        let text = got.unwrap_err().to_string();
        assert!(text.contains("for the moon") && text.ends_with("last seen: still day"), "{text}");
    }
}
