//! Datagrams in a byte stream: each behind its length in two octets (RFC 4571 section 2).

/// Longest datagram taken; anything longer is no media of ours.
pub const MAX_FRAME: usize = 2048;
const LENGTH: usize = 2;

/// A frame longer than we take: the stream cannot be believed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub usize);

/// Cuts a stream into datagrams.  Holds less than one frame and what was pushed last.
#[derive(Debug, Default)]
pub struct Deframer {
    octets: Vec<u8>,
    /// Start of what has not been given out.
    at: usize,
}

impl Deframer {
    /// Take octets off the stream, in order.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.drain(..self.at);
        self.at = 0;
        self.octets.extend_from_slice(octets);
    }

    /// The next whole datagram, empty ones passed over; None until more has come.
    ///
    /// # Errors
    /// `TooLong`, for ever.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            let rest = self.octets.get(self.at..).unwrap_or(&[]);
            let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else {
                return Ok(None);
            };
            let size = usize::from(u16::from_be_bytes(*length));
            if size > MAX_FRAME {
                return Err(TooLong(size));
            }
            let Some(datagram) = rest.get(..size) else {
                return Ok(None);
            };
            self.at += LENGTH + size;
            if size > 0 {
                return Ok(Some(datagram.to_vec()));
            }
        }
    }

    /// Whether a frame has begun and is not whole.
    pub fn partial(&self) -> bool {
        self.at < self.octets.len()
    }
}

/// Append `datagram`, at most 65,535 octets, as one frame; false when it is longer.
pub fn frame(datagram: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(size) = u16::try_from(datagram.len()) else {
        return false;
    };
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(datagram);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_longer_than_we_take_is_an_error_before_it_has_come() {
        let mut deframer = Deframer::default();
        deframer.push(&[0x08, 0x01]);
        assert_eq!(deframer.take(), Err(TooLong(2049)));
        assert_eq!(deframer.take(), Err(TooLong(2049)));
    }

    #[test]
    fn empty_frames_are_passed_over() {
        let mut deframer = Deframer::default();
        deframer.push(&[0, 0, 0, 0, 0, 1, 7, 0]);
        assert_eq!(deframer.take(), Ok(Some(vec![7])));
        assert_eq!(deframer.take(), Ok(None));
        assert!(deframer.partial());
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_out_whole_however_the_stream_is_cut(
            sizes in proptest::collection::vec(1usize..2048, 1..20),
            cuts in proptest::collection::vec(1usize..3000, 1..60),
        ) {
            let sent: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, s)| vec![n as u8; *s]).collect();
            let mut stream = Vec::new();
            for datagram in &sent {
                prop_assert!(frame(datagram, &mut stream));
            }
            let (mut deframer, mut found, mut rest) = (Deframer::default(), Vec::new(), stream.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                deframer.push(now);
                while let Ok(Some(datagram)) = deframer.take() {
                    found.push(datagram);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, sent);
            prop_assert!(!deframer.partial());
        }

        #[test]
        fn hostile_octets_never_panic_and_are_never_hoarded(data in proptest::collection::vec(any::<u8>(), 0..6000)) {
            let mut deframer = Deframer::default();
            for piece in data.chunks(700) {
                deframer.push(piece);
                while let Ok(Some(datagram)) = deframer.take() {
                    prop_assert!(datagram.len() <= MAX_FRAME);
                }
                if deframer.take().is_err() {
                    break;
                }
                prop_assert!(deframer.octets.len() - deframer.at <= LENGTH + MAX_FRAME);
            }
        }
    }
}
