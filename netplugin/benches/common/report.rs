//! How the agent's benchmarks count and print.

use anyhow::{Context, Result};
use serde_json::Value;

/// Milliseconds, to a tenth.
pub fn ms(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The smallest value that so many percent do not exceed.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// How many processes wait for a processor, over the last minute: a figure measured on a busy machine says so.
pub fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().context("/proc/loadavg is empty")?.parse()?)
}

/// Prints a result: one JSON object a line, or words.
pub fn say(json: bool, line: &Value) {
    if json {
        println!("{line}");
        return;
    }
    let fields = line.as_object().into_iter().flatten().filter(|(k, _)| *k != "bench");
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let text: Vec<String> = fields.map(|(k, v)| format!("{k} {}", text(v))).collect();
    println!("{}", text.join(", "));
}
