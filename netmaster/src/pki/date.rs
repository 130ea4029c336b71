//! Certificate validity: from some time ago, so that clocks of machines may differ.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::CertificateParams;

/// How far behind a machine's clock may be.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// Sets validity to this life from `now` on; and before, for machines whose clock is behind: a day, or as long as the
/// certificate lives when that is less, so that a third of its whole validity is a part of its life.
pub(super) fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    life: SignedDuration,
) -> Result<(), jiff::Error> {
    let date = |at: Timestamp| {
        let at = at.to_zoned(TimeZone::UTC).datetime();
        // jiff's months and days are within the ranges rcgen asks for.
        let day = rcgen::date_time_ymd(at.year().into(), at.month().unsigned_abs(), at.day().unsigned_abs());
        let second = |n: i8, of: u64| u64::from(n.unsigned_abs()) * of;
        day + std::time::Duration::from_secs(
            second(at.hour(), 3600) + second(at.minute(), 60) + second(at.second(), 1),
        )
    };
    params.not_before = date(now.checked_sub(SKEW.min(life))?);
    params.not_after = date(now.checked_add(life)?);
    Ok(())
}
