//! What the table of reasons ([`super::reasons`]) is made of.

use serde::{Deserialize, Serialize};

/// What is said of a reason to wait, wherever it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// In JSON and in metrics.
    pub name: &'static str,
    /// What it says of a task, in a sentence.
    pub meaning: &'static str,
    /// What else is said of it in JSON.
    pub figures: &'static [&'static str],
    pub class: WaitClass,
    pub scope: Scope,
    pub side: Side,
    /// In at most ten characters.
    pub word: &'static str,
    /// To be read behind "waited for".
    pub phrase: &'static str,
    /// As the name of a state.
    pub title: &'static str,
    /// What can be done where it is a root; `{on}` and `{node}` are what is waited for, and where that runs, `{stage}` who waits.
    pub advice: Option<&'static str>,
}

/// What kind of thing a wait is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitClass {
    /// Something is in the way.
    Blocked,
    /// Work is being done: others wait for its end.
    Working,
    /// There is nothing to do.
    Idle,
    /// The user holds it up, and lets it go on when he likes: nothing is wrong.
    Paused,
}

impl WaitClass {
    /// Whether something stands in the way, whoever wants that.
    #[must_use]
    pub fn is_in_the_way(self) -> bool {
        match self {
            WaitClass::Blocked | WaitClass::Paused => true,
            WaitClass::Working | WaitClass::Idle => false,
        }
    }
}

/// How much of a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Task,
    /// Only what goes over one link.
    Link,
}

/// Where what is waited for is, as seen from the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is no wait: its program or its write is under way.
    Work,
    /// In the task itself, or around it.
    Here,
    /// Behind it: those who take what it gives.
    Receiver,
    /// Before it: what it is to work on.
    Input,
}

/// Makes [`Why`](super::Why), [`WaitKind`](super::WaitKind) and each kind's [`Row`] of one table.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $kind:ident $name:literal $class:ident $scope:ident $side:ident
        $word:literal $phrase:literal $title:literal $(=> $advice:literal)?
        { $($(#[$($field_attr:tt)*])* $field:ident: $type:ty),* $(,)? })*) => {
        /// A reason to wait, with its figures: `kind` in JSON says which.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum Why {
            $($(#[doc = $doc])* $kind { $($(#[$($field_attr)*])* $field: $type),* },)*
        }

        /// Which reason, without its figures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum WaitKind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl Why {
            #[must_use]
            pub fn kind(&self) -> WaitKind {
                match self { $(Why::$kind { .. } => WaitKind::$kind,)* }
            }

            /// One of each.
            #[cfg(test)]
            pub(crate) fn examples() -> Vec<Why> {
                vec![$(Why::$kind { $($field: Default::default()),* }),*]
            }
        }

        impl WaitKind {
            pub const ALL: &'static [WaitKind] = &[$(WaitKind::$kind),*];

            /// What is said of it.
            #[must_use]
            pub fn row(self) -> Row {
                match self {
                    $(WaitKind::$kind => Row {
                        name: $name,
                        meaning: concat!("", $($doc),*),
                        figures: &[$(stringify!($field)),*],
                        class: WaitClass::$class,
                        scope: Scope::$scope,
                        side: Side::$side,
                        word: $word,
                        phrase: $phrase,
                        title: $title,
                        advice: None$(.or(Some($advice)))?,
                    },)*
                }
            }
        }
    };
}

pub(super) use reasons;
