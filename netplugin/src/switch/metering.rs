//! Whether the switch keeps rates: tried, not believed.
//!
//! A switch takes meters that its datapath does not keep (an old kernel module, hardware that takes the flows off it), and
//! there is nothing in the answer to tell it by. So a meter of one packet a second is made, a few packets are sent through
//! it, and it is asked how many it dropped. They go nowhere: the meter is all that is done with them. Tried on every new
//! connection: a switch that was restarted may be another one.
//!
//! # Failure
//! What cannot be tried counts as not enforced, with the reason: groups that have a rate are then refused, and say so.
//! A meter that is refused for want of room lowers the limit until the next connection, also when others make room before.

use openflow::driver::{Connection, RequestError};
use openflow::{Action, Message, Meter, MeterCommand, MeterMod, MeterStats, PacketOut, Port};
use pipeline::{MeterId, MeterPlan, Metering};

use crate::report::Mechanism;

/// So many packets, of which one may pass.
const PACKETS: u64 = 8;
/// IEEE 802 local experimental ethertype 1, in a frame of the least length.
const FRAME: [u8; 60] = {
    let mut frame = [0; 60];
    (frame[0], frame[6]) = (0x02, 0x02);
    (frame[12], frame[13]) = (0x88, 0xb5);
    frame
};

/// What a switch does with meters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It keeps rates.
    Enforced {
        /// It has room for so many meters beside those of others.
        limit: u32,
    },
    /// It does not, for this reason.
    Missing(String),
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Enforced { limit: u32::MAX }
    }
}

impl Verdict {
    /// A meter was refused, and there is room for so many. Never more than was said before, or what does not fit would
    /// come and go; a new connection starts anew.
    pub fn make_do(&mut self, left: u32) {
        if let Self::Enforced { limit } = self {
            *limit = left.min(*limit);
        }
    }

    /// As people read it.
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Enforced { .. } => Mechanism::Meters,
            Self::Missing(_) => Mechanism::None,
        }
    }

    /// As the pipeline takes it.
    pub fn metering(&self) -> Metering {
        match self {
            Self::Enforced { limit } => Metering::Enforced { limit: *limit },
            Self::Missing(_) => Metering::Missing,
        }
    }
}

/// What to make of what the meter counted, on a switch with room for so many.
fn judge(stats: &[MeterStats], limit: u32) -> Verdict {
    let Some(stats) = stats.iter().find(|s| s.id == MeterId::PROBE.get()) else {
        return Verdict::Missing("the switch does not tell what its meters count".to_owned());
    };
    let dropped: u64 = stats.banded.iter().sum();
    match (stats.packets, dropped) {
        // The bucket is full at first, and a second may go by while we look.
        (seen, dropped) if seen >= PACKETS && dropped >= PACKETS / 2 => Verdict::Enforced { limit },
        (seen, dropped) => Verdict::Missing(format!(
            "of {PACKETS} packets at once a meter of 1 packet a second saw {seen} and dropped {dropped}"
        )),
    }
}

/// Tries it.
pub(super) async fn probe(connection: &Connection) -> Verdict {
    let tried = attempt(connection).await;
    // One that was refused is not there; the one of a probe that was cut off may be.
    let gone = connection.apply(&[delete()]).await;
    if let Err(e) = gone {
        tracing::debug!(error = %e, "meter of the probe not deleted");
    }
    tried.unwrap_or_else(|e| Verdict::Missing(e.to_string()))
}

async fn attempt(connection: &Connection) -> Result<Verdict, RequestError> {
    let id = MeterId::PROBE.get();
    let add = MeterMod { command: MeterCommand::Add, meter: Meter::pktps(id, 1, 1) };
    connection.apply(&[delete(), Message::MeterMod(Box::new(add))]).await?;
    let packet = || PacketOut::new(Port::CONTROLLER, vec![Action::Meter(id)], FRAME.to_vec());
    let packets: Vec<Message> = (0..PACKETS).map(|_| Message::PacketOut(Box::new(packet()))).collect();
    connection.apply(&packets).await?;
    let stats = connection.meter_stats(id).await?;
    let max_meters = connection.meter_features().await?.max_meters;
    Ok(judge(&stats, room(max_meters, &connection.meters().await?)))
}

/// How many meters are left for us.
fn room(max_meters: u32, there: &[Meter]) -> u32 {
    let foreign =
        there.iter().filter(|meter| !MeterId::is_ours(meter.id) && meter.id != MeterId::PROBE.get());
    // The probe, which is made at the next connection too, needs one.
    let taken = u32::try_from(foreign.count()).unwrap_or(u32::MAX).saturating_add(1);
    max_meters.saturating_sub(taken)
}

/// For how many of our meters there is room on a switch that refused one of a plan's, now that those it deletes are gone.
///
/// Bridges of one datapath share its meters, and what others took is not to be seen from here: so once a plan that frees
/// none was refused, what there is of ours is what fits.
pub fn left(max_meters: u32, there: &[Meter], plan: &MeterPlan) -> u32 {
    let room = room(max_meters, there);
    if !plan.delete.is_empty() {
        return room;
    }
    let ours = there.iter().filter(|meter| MeterId::is_ours(meter.id)).count();
    room.min(u32::try_from(ours).unwrap_or(u32::MAX))
}

fn delete() -> Message {
    Message::MeterMod(Box::new(MeterMod::delete(MeterId::PROBE.get())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(id: u32, packets: u64, dropped: u64) -> MeterStats {
        MeterStats { id, packets, bytes: packets * 60, banded: vec![dropped] }
    }

    #[test]
    fn only_a_meter_that_drops_is_one() {
        let probe = MeterId::PROBE.get();
        let enforced = Verdict::Enforced { limit: 5 };
        assert_eq!(judge(&[counted(1, 0, 0), counted(probe, 8, 7)], 5), enforced);
        for stats in [vec![], vec![counted(1, 8, 7)], vec![counted(probe, 8, 0)], vec![counted(probe, 0, 0)]]
        {
            assert!(matches!(judge(&stats, 5), Verdict::Missing(_)), "{stats:?}");
        }
    }

    #[test]
    fn meters_of_others_and_the_probe_take_room() {
        let ours = MeterId::endpoint(types::Direction::Egress, types::OfPort::new(5).unwrap()).get();
        let there = [7, ours, MeterId::PROBE.get()].map(|id| Meter::kbps(id, 1, 1));
        assert_eq!(room(10, &there), 8);
        assert_eq!(room(1, &there), 0);
    }

    #[test]
    fn what_fits_is_what_is_there_once_nothing_is_left_to_free() {
        let of = |port| MeterId::endpoint(types::Direction::Egress, types::OfPort::new(port).unwrap()).get();
        let there = [7, of(5), of(6)].map(|id| Meter::kbps(id, 1, 1));
        let frees = MeterPlan { delete: vec![of(4)], ..MeterPlan::default() };
        assert_eq!(left(10, &there, &frees), 8);
        assert_eq!(left(10, &there, &MeterPlan::default()), 2);
        assert_eq!(left(3, &there, &MeterPlan::default()), 1);
    }

    #[test]
    fn a_refused_meter_never_makes_the_limit_larger() {
        let mut verdict = Verdict::Enforced { limit: 5 };
        verdict.make_do(8);
        assert_eq!(verdict, Verdict::Enforced { limit: 5 });
        verdict.make_do(3);
        assert_eq!(verdict, Verdict::Enforced { limit: 3 });
    }
}
