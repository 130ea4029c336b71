//! The tables, in the order packets go through them.
//!
//! A table's number is its place in this list: nothing else may spell a number. To add a table, put it where a packet
//! should meet it, add a module under `tables`, and raise [`crate::cookie`]'s layout version if cookies change meaning.

/// Declares the tables with their purposes; numbers follow from the order.
macro_rules! declare_tables {
    ($($name:ident $purpose:literal;)*) => {
        /// A flow table of the pipeline.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table { $(#[doc = $purpose] $name,)* }

        impl Table {
            /// Every table, in packet order.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// The name: the contract in logs, documentation and OVSDB.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// One sentence on what it does.
            pub const fn purpose(self) -> &'static str {
                match self { $(Self::$name => $purpose,)* }
            }
        }
    };
}

declare_tables! {
    Classifier "Where a packet comes from: input port to source kind, VRF and network; what is not known is dropped.";
    SpoofGuard "An endpoint sends only from its own MAC and addresses, ARP and neighbour discovery included.";
    EgressQos "What a local endpoint sends, metered and marked (DSCP) as its group's network profile says.";
    ArpNd "Answers ARP, neighbour solicitations and gateway pings on behalf of everybody in the network.";
    NdReply "Second half of a neighbour advertisement: flags, option, addresses.";
    ConntrackZone "Looks the packet up in its VRF's conntrack zone; group addresses go round it.";
    LocalDst "Destination address to local endpoint.";
    SenderState "Whether the connection was judged, at the local end the packet comes from, by what holds now.";
    ReceiverState "The same at the local end the packet goes to.";
    Decide "What conntrack said: invalid drops, new is judged by policy, established goes on, or is judged again if it was by what held before.";
    SrcClass "Source address to class; an address that is no known endpoint's is dropped.";
    DstClass "Destination address to class by longest prefix.";
    Turn "Lets a reply that is judged again look like what opened its connection.";
    EgressTenant "Rules about connections that local endpoints open.";
    EgressDefault "The tenant's default for connections that no egress rule decides.";
    IngressTenant "Rules about connections opened to local endpoints.";
    IngressDefault "The tenant's default for connections that no ingress rule decides.";
    Verdict "Drops what policy denied, counted by the rule that did; a turned reply is itself again.";
    EgressCount "Counts what passes by the rule that allowed its connection at the source.";
    IngressCount "The same at the destination.";
    L3Forward "Routes between networks of a VRF: packets for the gateway's MAC.";
    L2Forward "Unicast by MAC to a local port or a tunnel.";
    Flood "Group addresses to the network's local ports and member nodes.";
    ConntrackCommit "Commits an allowed connection that was judged, with the rules and generations it was allowed by.";
    Output "Sends the packet out, tunnel metadata set, or metered if its receiver has a rate.";
}

/// A table as lists and documents show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name.
    pub name: &'static str,
    /// Its OpenFlow number.
    pub number: u8,
    /// What it does.
    pub purpose: &'static str,
}

impl Table {
    /// The OpenFlow table number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The table with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether flows here may name meters.
    pub const fn names_meters(self) -> bool {
        matches!(self, Self::EgressQos | Self::Output)
    }

    /// Whether flows here match IP addresses, so that the switch should track prefixes of them
    /// (`Flow_Table.prefixes`, ovs-vswitchd.conf.db(5)). Without, each IPv6 destination costs a datapath flow.
    pub const fn matches_addresses(self) -> bool {
        matches!(
            self,
            Self::SpoofGuard
                | Self::ArpNd
                | Self::NdReply
                | Self::ConntrackZone
                | Self::LocalDst
                | Self::SrcClass
                | Self::DstClass
                | Self::L3Forward
        )
    }
}

/// All tables: name, number, purpose.
pub fn tables() -> [TableInfo; Table::ALL.len()] {
    Table::ALL.map(|t| TableInfo { name: t.name(), number: t.number(), purpose: t.purpose() })
}
