//! What a viewer has use for, and how much of that its path has room for.

use crate::layers::Step;

/// What whoever looks at the sink has use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Lines of picture; 0: as many as there are.
    pub height: u16,
    /// Lower is served first when not everybody can be.
    pub priority: u8,
    /// The sink that brings the same viewer the same source larger: nothing is sent twice.
    pub beside: Option<u32>,
}

impl Default for Want {
    fn default() -> Self {
        Want {
            height: 0,
            priority: 100,
            beside: None,
        }
    }
}

/// How much of a picture its path has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    #[default]
    Free,
    UpTo(Step),
    /// Single key frames of the least there is, now and then (`thumbnails`).
    Thumbnails,
    /// Nothing, until allowed again; it goes on at a key frame.
    Paused,
}

/// How a picture comes, as far as whoever looks at it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    Flows,
    Thumbnails,
    Paused,
}

impl Coming {
    /// The name Python uses.
    pub const fn name(self) -> &'static str {
        match self {
            Coming::Flows => "flows",
            Coming::Thumbnails => "thumbnails",
            Coming::Paused => "paused",
        }
    }
}

impl Allowed {
    pub fn coming(self) -> Coming {
        match self {
            Allowed::Free | Allowed::UpTo(_) => Coming::Flows,
            Allowed::Thumbnails => Coming::Thumbnails,
            Allowed::Paused => Coming::Paused,
        }
    }

    /// Whether packets go on as they come.
    pub fn flows(self) -> bool {
        self.coming() == Coming::Flows
    }
}
