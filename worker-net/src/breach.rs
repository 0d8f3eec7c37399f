//! What ends a connection for its peer's fault, in classes: what is counted, and all that is said of strangers.

/// Which rule or limit a peer has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breach {
    /// There were too many without a `Hello`, and it was the oldest.
    Crowded,
    /// It said no `Hello` within [`Settings::hello_max`](crate::Settings::hello_max).
    HelloLate,
    /// The handshake was not done within [`Settings::handshake_max`](crate::Settings::handshake_max).
    HandshakeLate,
    /// A frame was begun and not ended in its time.
    FrameLate,
    /// What it sent is no frame, or none that may come.
    Frame,
    /// Its certificate does not count here, or not any more, or it has none.
    Certificate,
}

impl Breach {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Crowded,
        Self::HelloLate,
        Self::HandshakeLate,
        Self::FrameLate,
        Self::Frame,
        Self::Certificate,
    ];

    /// Its name in metrics and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::HelloLate => "hello_late",
            Self::HandshakeLate => "handshake_late",
            Self::FrameLate => "frame_late",
            Self::Frame => "frame",
            Self::Certificate => "certificate",
        }
    }
}
