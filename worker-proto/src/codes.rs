//! The numbers that stand for frame kinds and reasons on the wire. A number is never given a second meaning.

use crate::frame::{GoAwayWhy, RefusedWhy};

/// Numbers of the frame kinds.
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const WELCOME: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const OPENED: u8 = 4;
    pub(crate) const REFUSED: u8 = 5;
    pub(crate) const BATCH: u8 = 6;
    pub(crate) const ACK: u8 = 7;
    pub(crate) const END: u8 = 8;
    pub(crate) const BYE: u8 = 9;
    pub(crate) const PING: u8 = 10;
    pub(crate) const PONG: u8 = 11;
    pub(crate) const GO_AWAY: u8 = 12;
}

/// An enum that travels as a number.
pub(crate) trait Code: Sized + Copy {
    /// The numbers in use, for messages.
    const EXPECTED: &'static str;

    /// The number on the wire.
    fn code(self) -> u8;

    /// The value of a number; `None` if it has none.
    fn from_code(code: u8) -> Option<Self>;
}

macro_rules! codes {
    ($name:ident, $expected:literal, { $($variant:ident = $code:literal),+ $(,)? }) => {
        impl Code for $name {
            const EXPECTED: &'static str = $expected;

            fn code(self) -> u8 {
                match self {
                    $($name::$variant => $code,)+
                }
            }

            fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

codes!(RefusedWhy, "1 to 6", {
    StaleEpoch = 1,
    UnknownJournal = 2,
    Position = 3,
    UnknownLink = 4,
    NotReady = 5,
    Done = 6,
});

codes!(GoAwayWhy, "1 to 13", {
    Superseded = 1,
    NameInUse = 2,
    Protocol = 3,
    WrongPeer = 4,
    UnknownNode = 5,
    Pipeline = 6,
    Placement = 7,
    Violation = 8,
    Timeout = 9,
    Leaving = 10,
    Failed = 11,
    Fenced = 12,
    Busy = 13,
});
