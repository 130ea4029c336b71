//! Certificate validity at the granularity of days, which no clock skew among nodes gets near.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::CertificateParams;

/// Sets validity from the day before `now`, to be good on machines whose clock is behind, for `days` days.
pub(super) fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    days: i32,
) -> Result<(), jiff::Error> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let date = |offset: i32| -> Result<_, jiff::Error> {
        let d = today.checked_add(jiff::Span::new().try_days(offset)?)?;
        // jiff's months and days are within the ranges rcgen asks for.
        Ok(rcgen::date_time_ymd(d.year().into(), d.month().unsigned_abs(), d.day().unsigned_abs()))
    };
    params.not_before = date(-1)?;
    params.not_after = date(days)?;
    Ok(())
}
