//! The packet engine as a pure machine.
//!
//! Datagrams, operations and the time come in; batches of datagrams and events go out.  There is
//! no socket, thread, clock or Python here, so everything can be tested in virtual time.  Nothing
//! that arrives from the network can make it panic: what is malformed is counted and dropped.
#![forbid(unsafe_code)]

pub mod allowed;
pub mod av1;
pub mod bandwidth;
pub mod batch;
pub mod bits;
pub mod bundle;
pub mod cache;
pub mod congestion;
pub mod contexts;
pub mod counters;
pub mod crossing;
pub mod demux;
pub mod dependency;
pub mod descriptor;
pub mod engine;
pub mod epoch;
pub mod ext;
pub mod fanout;
pub mod feedback;
pub mod follow;
pub mod framing;
pub mod guard;
pub mod handing;
pub mod ice;
pub mod ingress;
pub mod keyframe;
pub mod layers;
pub mod levels;
pub mod mirrors;
pub mod nack;
pub mod naps;
pub mod paths;
pub mod place;
pub mod reading;
pub mod reception;
pub mod red;
pub mod repair;
pub mod reports;
pub mod routing;
pub mod rtcp;
pub mod rtp;
pub mod seqmap;
pub mod sink;
pub mod source;
pub mod sps;
pub mod srtp;
pub mod steering;
pub mod strain;
pub mod stun;
pub mod table;
pub mod telling;
mod templates;
pub mod thinning;
pub mod thumbnails;
pub mod transport;
pub mod twcc;
pub mod types;
pub mod vp8;
pub mod vp9;
mod writing;

pub use allowed::{Allowed, Coming, Want};
pub use batch::Batch;
pub use counters::{Counters, SinkStats, SourceStats, Stats, TransportStats};
pub use crossing::Crossing;
pub use engine::Engine;
pub use layers::Step;
pub use types::*;
