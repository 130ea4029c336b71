//! How often an endpoint changed its groups.
//!
//! A connection was judged by the groups its ends were in. Who sees that one of them changed since can judge it again;
//! what an endpoint was in from the beginning needs no telling, because its connections are as old as itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{GroupId, Invalid};

/// For each group that an endpoint entered or left after it was made: how often it did either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<GroupId, u32>", into = "BTreeMap<GroupId, u32>")]
pub struct GroupMoves(BTreeMap<GroupId, u32>);

impl GroupMoves {
    /// More groups than this an endpoint does not remember: it cannot go through more of them.
    pub const MAX: usize = 64;

    /// Whether it is in the group it was made in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Groups in order, and how often each was entered or left.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, u32)> + '_ {
        self.0.iter().map(|(group, times)| (*group, *times))
    }

    /// One more move, out of one group or none into another or none.
    ///
    /// # Errors
    /// [`Invalid`] when it went through too many groups already.
    pub fn moved(mut self, from: Option<GroupId>, to: Option<GroupId>) -> Result<Self, Invalid> {
        if from != to {
            for group in from.into_iter().chain(to) {
                let times = self.0.entry(group).or_default();
                *times = times.saturating_add(1);
            }
        }
        Self::try_from(self.0)
    }
}

impl TryFrom<BTreeMap<GroupId, u32>> for GroupMoves {
    type Error = Invalid;
    fn try_from(moves: BTreeMap<GroupId, u32>) -> Result<Self, Invalid> {
        if moves.len() > Self::MAX {
            let reason = format!("an endpoint goes through {} groups at most", Self::MAX);
            return Err(Invalid::new("group moves", moves.len(), reason));
        }
        match moves.iter().find(|(_, times)| **times == 0) {
            Some((group, _)) => Err(Invalid::new("group moves", group, "has not moved")),
            None => Ok(Self(moves)),
        }
    }
}

impl From<GroupMoves> for BTreeMap<GroupId, u32> {
    fn from(moves: GroupMoves) -> Self {
        moves.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;

    fn group(n: u64) -> GroupId {
        GroupId::new(n).unwrap()
    }

    #[test]
    fn both_groups_of_a_move_count_it() {
        let moves = GroupMoves::default().moved(Some(group(1)), Some(group(2))).unwrap();
        let moves = moves.moved(Some(group(2)), None).unwrap().moved(None, None).unwrap();
        assert_eq!(moves.iter().collect::<Vec<_>>(), [(group(1), 1), (group(2), 2)]);
        assert_eq!(serde_json::to_string(&moves).unwrap(), r#"{"1":1,"2":2}"#);
        assert_eq!(serde_json::from_str::<GroupMoves>(r#"{"1":1,"2":2}"#).unwrap(), moves);
    }

    #[test]
    fn an_endpoint_goes_through_so_many_groups_only() {
        let all = (1..64)
            .try_fold(GroupMoves::default(), |moves, n| moves.moved(Some(group(n)), Some(group(n + 1))));
        let all = all.unwrap();
        assert_eq!(all.iter().count(), GroupMoves::MAX);
        assert!(all.clone().moved(Some(group(64)), Some(group(65))).is_err());
        assert!(all.moved(Some(group(64)), Some(group(1))).is_ok(), "a group it knows");
        assert!(serde_json::from_str::<GroupMoves>(r#"{"1":0}"#).is_err());
        assert!(serde_json::from_str::<GroupMoves>(r#"{"0":1}"#).is_err());
    }
}
