//! Wires the core to children, sockets, files and the clock.
