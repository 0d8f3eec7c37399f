//! Nodes in network namespaces of their own, and what networks do: packets are lost, directions are cut, links are slow, connections are
//! killed, peers stand still.
//!
//! Needs root, `ip`, `tc` and `ss` (Debian package iproute2) and `nft` (nftables); where one is missing the tests fail and say so.

mod cuts;
mod faults;
mod network;
