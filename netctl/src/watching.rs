//! How a command that watches ends: by Ctrl-C, after `--timeout`, or when nobody reads on.

use std::time::Duration;

use crate::fault::Fault;

/// The option `--timeout`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Timeout {
    /// End the watch after so long: 30s, 5m, 1h.
    #[arg(long, requires = "watch", value_parser = duration, value_name = "TIME")]
    timeout: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number with a unit, like 30s, 5m or 1h".to_owned();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u32 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    match unit {
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(60 * u64::from(number))),
        "h" => Ok(Duration::from_secs(3600 * u64::from(number))),
        _ => Err(wrong()),
    }
}

/// Runs a watch until it ends; Ctrl-C and the time that was given are an end as good as any.
pub async fn until_ended(
    timeout: Timeout,
    watch: impl Future<Output = Result<(), Fault>>,
) -> Result<(), Fault> {
    let late = async {
        match timeout.timeout {
            Some(time) => tokio::time::timeout(time, std::future::pending()).await.unwrap_or(()),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = watch => done,
        pressed = tokio::signal::ctrl_c() => pressed.map_err(|e| Fault::usage(format!("cannot wait for Ctrl-C: {e}"))),
        () = late => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("2h", 7200), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "30", "s", "-1s", "1.5s", "5 m", "5mm", "9999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
