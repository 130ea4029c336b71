//! Generates the wire types of `proto/`.

fn main() -> std::io::Result<()> {
    tonic_prost_build::configure()
        // Written by hand in src/join.rs: the derived one would print the token.
        .skip_debug(["selvage.node.v1.JoinRequest"])
        // Sent to many nodes, from one buffer.
        .bytes(".selvage.node.v1.Upsert.fragment")
        .compile_protos(&["proto/selvage/node/v1/node.proto"], &["proto"])
}
