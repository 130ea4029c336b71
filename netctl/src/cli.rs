//! The command line: nouns, each with its verbs.

use clap::{Parser, Subcommand};

use crate::cmd::{
    apply, audit, completion, diag, endpoint, explain, get, group, help, netprofile, network, node, policy,
    status, tenant,
};
use crate::setting::Connection;

/// Declares what a multi-tenant Open vSwitch fabric should be, and shows what it is.
#[derive(Debug, Parser)]
#[command(name = "netctl", version, disable_help_subcommand = true)]
#[command(after_help = "Examples:
  netctl apply -f deploy/examples/two-tenants.yaml
  netctl network ls --tenant blue
  netctl status

netctl help exit-codes lists the exit statuses.")]
pub struct Cli {
    /// Where to connect.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tenants: address spaces that never meet.
    #[command(subcommand)]
    Tenant(tenant::Verb),
    /// Networks: a subnet per family and a VXLAN segment.
    #[command(subcommand, visible_alias = "net")]
    Network(network::Verb),
    /// Endpoint groups: what policies apply to.
    #[command(subcommand)]
    Group(group::Verb),
    /// Policies and their rules.
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Network profiles: rates and marks of a group's endpoints.
    #[command(subcommand)]
    Netprofile(netprofile::Verb),
    /// Endpoints: interfaces of containers.
    #[command(subcommand, visible_alias = "ep")]
    Endpoint(endpoint::Verb),
    /// Nodes: machines that run netplugin.
    #[command(subcommand)]
    Node(node::Verb),
    /// Create or replace everything in files, all or nothing, in one revision.
    Apply(apply::Args),
    /// What policy makes of a connection between two endpoints, rule by rule, and whether the switches do that.
    Explain(explain::Args),
    /// What is wrong, on which node or object, and why.
    Status(status::StatusArgs),
    /// Whether the switches do what intent says: reads the flows of all of them.
    Audit(audit::Args),
    /// One archive of what is known about the cluster, and about this node, without secrets.
    Diag(diag::Args),
    /// Versions of netctl and of the server.
    Version(status::VersionArgs),
    /// Show objects of a kind, or one of them; with --watch go on as they change.
    Get(get::Args),
    /// A script that lets a shell complete commands, options and names of objects.
    Completion(completion::Args),
    /// What such a script asks.
    #[command(name = "__complete", hide = true)]
    Complete(completion::Question),
    /// Help on a command, or on what every command shares.
    Help(help::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Commands without subcommands, with their full names.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            command.get_subcommands().for_each(|c| leaves(c, &path, found));
        } else {
            found.push((path, command.clone()));
        }
    }

    #[test]
    fn every_command_has_examples_that_name_it() {
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        for (path, command) in all.into_iter().filter(|(_, c)| !c.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("Examples:\n {path}")), "{path}: {help:?}");
        }
    }

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
