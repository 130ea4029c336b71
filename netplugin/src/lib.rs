//! netplugin, the agent of a node.

pub mod netlink;

/// Whether a named defect is switched on. Always false without feature `failpoints`: the macro expands to nothing.
/// The names and what each breaks are listed in docs/testing.md.
#[allow(unused_variables, reason = "the name is used by the macro only with feature failpoints")]
pub(crate) fn defect(name: &str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}
