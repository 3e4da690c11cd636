//! Netlink messages as bytes: a batch to send, an answer to take apart. PURE.
//!
//! rtnetlink's messages come encoded by `netlink-packet-route`; nf_tables' and conntrack's are written here, attribute by
//! attribute. Answers are read by attribute number, so a newer kernel that says more cannot break us.

use std::io;

use netlink_packet_core::{
    NLA_F_NESTED, NLA_TYPE_MASK, NLM_F_ACK, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;

/// Length of `struct nlmsghdr`: length, type, flags, sequence number, port (netlink(7)).
const HEADER: usize = 16;

/// Messages that leave in one `send`, numbered from 0 by their sequence numbers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
    /// How many acknowledgements the kernel owes when all goes well.
    pub(crate) acks: usize,
}

impl Batch {
    /// Adds an rtnetlink message that is to be acknowledged; `flags` beside REQUEST and ACK.
    pub(crate) fn route(&mut self, message: RouteNetlinkMessage, flags: u16) {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        message.header.sequence_number = self.count;
        message.finalize();
        let at = self.bytes.len();
        self.bytes.resize(at + message.buffer_len(), 0);
        message.serialize(&mut self.bytes[at..]);
        self.pad();
        self.count += 1;
        self.acks += 1;
    }

    /// Adds a message of a protocol that is encoded here; `flags` beside REQUEST.
    pub(crate) fn raw(&mut self, kind: u16, flags: u16, body: &[u8]) {
        let length = u32::try_from(HEADER + body.len()).expect("messages are far smaller than 4 GiB");
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        self.bytes.extend([0; 4]); // the sender's port: the kernel knows it
        self.bytes.extend(body);
        self.pad();
        self.count += 1;
        self.acks += usize::from(flags & NLM_F_ACK != 0);
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A message's attributes, being written: `struct nlattr` and its value, each padded to four bytes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Attributes(pub(crate) Vec<u8>);

impl Attributes {
    /// Begins with a message's fixed header.
    pub(crate) fn after(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(4 + value.len()).expect("attributes are far smaller than 64 KiB");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A number in network byte order, as netfilter wants them.
    pub(crate) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A name, with the zero byte that ends it.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }
}

/// What the kernel says back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// What was asked for: the message behind netlink's header.
    Body(&'a [u8]),
    /// An acknowledgement (0), a refusal (an error number), or the end of a list.
    Status(i32),
}

/// The messages of one datagram, with the number of the message that each answers.
pub(crate) fn answers(datagram: &[u8]) -> impl Iterator<Item = io::Result<(usize, Answer<'_>)>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let Some(message) = rest.get(..length).filter(|message| message.len() >= HEADER) else {
            rest = &[];
            return Some(Err(io::ErrorKind::InvalidData.into()));
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let number = u32::from_ne_bytes([message[8], message[9], message[10], message[11]]);
        let body = &message[HEADER..];
        let answer = match kind {
            NLMSG_ERROR | NLMSG_DONE => {
                Answer::Status(-body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)))
            }
            _ => Answer::Body(body),
        };
        Some(Ok((number as usize, answer)))
    })
}

/// The attributes behind a fixed header of `header` bytes: number and value.
pub(crate) fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(header..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [length, kind] =
            [rest.get(..2)?, rest.get(2..4)?].map(|two| u16::from_ne_bytes([two[0], two[1]]));
        let value = rest.get(4..length.into())?;
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        Some((kind & NLA_TYPE_MASK, value))
    })
}

/// The value of one attribute.
pub(crate) fn attribute(body: &[u8], header: usize, kind: u16) -> Option<&[u8]> {
    attributes(body, header).find(|(number, _)| *number == kind).map(|(_, value)| value)
}

/// A name: it ends with a zero byte.
pub(crate) fn name(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut inner = Attributes::after(&[2, 0, 0, 0]);
        inner.text(1, "mini0").number(2, 7).nest(3, |nested| {
            nested.bytes(4, &[1, 2, 3]);
        });
        let mut batch = Batch::default();
        batch.raw(0x1234, NLM_F_ACK, &inner.0);
        batch.raw(0x1235, 0, &[9; 5]);
        assert_eq!((batch.count, batch.acks, batch.bytes.len() % 4), (2, 1, 0));

        let read: Vec<_> = answers(&batch.bytes).map(Result::unwrap).collect();
        assert_eq!(read, [(0, Answer::Body(&inner.0[..])), (1, Answer::Body(&[9; 5]))]);
        assert_eq!(name(attribute(&inner.0, 4, 1).unwrap()), "mini0");
        assert_eq!(attribute(&inner.0, 4, 2), Some(&[0, 0, 0, 7][..]));
        let nested = attribute(&inner.0, 4, 3).unwrap();
        assert_eq!(attribute(nested, 0, 4), Some(&[1, 2, 3][..]));
        assert_eq!(attribute(nested, 0, 5), None);
    }

    #[test]
    fn refusals_and_ends_are_told_from_answers() {
        let message = |kind: u16, number: u8, body: &[u8]| {
            let length = u8::try_from(16 + body.len()).unwrap();
            [&[length, 0, 0, 0][..], &kind.to_ne_bytes(), &[0, 0, number, 0, 0, 0, 0, 0, 0, 0], body].concat()
        };
        let datagram = [
            message(NLMSG_ERROR, 0, &0_i32.to_ne_bytes()),
            message(NLMSG_ERROR, 1, &(-17_i32).to_ne_bytes()),
            message(NLMSG_DONE, 2, &[]),
        ];
        let read: Vec<_> = datagram.iter().flat_map(|bytes| answers(bytes)).map(Result::unwrap).collect();
        assert_eq!(read, [(0, Answer::Status(0)), (1, Answer::Status(17)), (2, Answer::Status(0))]);
    }

    #[test]
    fn what_is_cut_off_ends_the_reading() {
        let whole = [24_u8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 1, 2, 3, 4];
        for length in 1..whole.len() {
            assert!(answers(&whole[..length]).all(|answer| answer.is_err()), "{length}");
        }
        assert!(answers(&[8, 0, 0, 0, 0, 0, 0, 0]).all(|answer| answer.is_err()), "shorter than its header");
        assert_eq!(attributes(&[8, 0, 1, 0, 1, 2], 0).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0], 0).count(), 0, "shorter than its header");
        assert_eq!(attributes(&[], 4).count(), 0);
    }
}
