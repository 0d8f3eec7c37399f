//! The admin address, asked by the client.
