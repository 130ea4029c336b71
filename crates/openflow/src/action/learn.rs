//! `learn(...)`: makes a flow of the packet that is being processed, ovs-actions(7).

use crate::SubField;

/// `learn(...)`: adds or changes a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Learn {
    /// The flow's table.
    pub table: u8,
    /// The flow's priority.
    pub priority: u16,
    /// The flow's cookie.
    pub cookie: u64,
    /// The flow's idle timeout.
    pub idle_timeout: u16,
    /// The flow's hard timeout.
    pub hard_timeout: u16,
    /// Its idle timeout after the end of a TCP connection; 0 unchanged.
    pub fin_idle_timeout: u16,
    /// Its hard timeout after the end of a TCP connection; 0 unchanged.
    pub fin_hard_timeout: u16,
    /// Whether the end of the flow is told.
    pub send_flow_rem: bool,
    /// Whether the flows learned go with the flow that learned them.
    pub delete_learned: bool,
    /// How many flows of this table and cookie there may be, and where it is written whether there was room.
    pub limit: Option<LearnLimit>,
    /// What the flow matches and does.
    pub specs: Vec<LearnSpec>,
}

impl Default for Learn {
    fn default() -> Learn {
        Learn {
            table: 1,
            priority: 0x8000,
            cookie: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            fin_idle_timeout: 0,
            fin_hard_timeout: 0,
            send_flow_rem: false,
            delete_learned: false,
            limit: None,
            specs: Vec::new(),
        }
    }
}

/// The most flows a `learn` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnLimit {
    /// How many; not 0.
    pub limit: u32,
    /// One bit: 1 if the flow was learned.
    pub result: Option<SubField>,
}

/// One thing that the flow learned matches or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnSpec {
    /// It matches these bits.
    Match {
        /// The value.
        src: LearnSource,
        /// The bits matched.
        dst: SubField,
    },
    /// It writes these bits.
    Load {
        /// The value.
        src: LearnSource,
        /// The bits written.
        dst: SubField,
    },
    /// It outputs to the port whose number these bits hold now.
    Output(SubField),
}

/// Where a value of a learned flow comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnSource {
    /// From the packet; as many bits as the destination.
    Packet(SubField),
    /// This value.
    Value(u128),
}
