//! Network profiles: no fragment of their own; groups carry what they say.

use model::NetProfileSpec;
use node_state::Qos;

pub(crate) fn qos(spec: &NetProfileSpec) -> Qos {
    Qos { egress: spec.egress, ingress: spec.ingress, dscp: spec.dscp, share: spec.share }
}
