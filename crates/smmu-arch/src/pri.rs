//! Records of the PRI queue: page requests of endpoints.
//!
//! Architecture: section "PRI queue". A record is two 64-bit words.

use std::fmt;

use modular_bitfield::specifiers::*;

use crate::field_types::{Address63To12, Number9, StreamIdField, SubstreamIdField};
use crate::layout::{self, layout};
use crate::{FieldInfo, Iova, StreamId, SubstreamId};

layout! {
    PageRequestWords(128) as [u64; 2] {
        StreamID stream: StreamIdField;
        SubstreamID substream: SubstreamIdField [B6];
        Priv privileged: bool;
        X execute: bool;
        R read: bool;
        W write: bool;
        Last last: bool;
        SSV ssv: bool;
        PRGIndex group: Number9 [B3];
        Address address: Address63To12;
    }
}

/// A page request of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageRequest {
    /// Requester.
    pub stream: StreamId,
    /// PASID, if the request has one (SSV = 1).
    pub substream: Option<SubstreamId>,
    /// Privileged access wanted.
    pub privileged: bool,
    /// Execute wanted.
    pub execute: bool,
    /// Read wanted.
    pub read: bool,
    /// Write wanted.
    pub write: bool,
    /// Last request of its group.
    pub last: bool,
    /// Page request group, 9 bits.
    pub group: u16,
    /// Page, address bits 63:12.
    pub address: Iova,
}

impl PageRequest {
    /// Decodes a record. Every two words are one.
    #[must_use]
    pub fn decode(words: &[u64; 2]) -> Self {
        let words = PageRequestWords::from_words(words);
        Self {
            stream: words.stream(),
            substream: words.ssv().then(|| words.substream()),
            privileged: words.privileged(),
            execute: words.execute(),
            read: words.read(),
            write: words.write(),
            last: words.last(),
            group: words.group(),
            address: Iova(words.address()),
        }
    }

    /// The words of the record.
    #[must_use]
    pub fn encode(&self) -> [u64; 2] {
        PageRequestWords::new()
            .with_stream(self.stream)
            .with_substream(self.substream.unwrap_or_default())
            .with_privileged(self.privileged)
            .with_execute(self.execute)
            .with_read(self.read)
            .with_write(self.write)
            .with_last(self.last)
            .with_ssv(self.substream.is_some())
            .with_group(self.group)
            .with_address(self.address.0)
            .into_words()
    }

    /// The named fields of the record and their bits, lowest bit first.
    #[must_use]
    pub fn fields(&self) -> Vec<(FieldInfo, u64)> {
        layout::read(PageRequestWords::FIELDS, &self.encode())
    }

    /// A PCI Express Stop Marker: the endpoint is done with a PASID. It is never answered.
    #[must_use]
    pub const fn is_stop_marker(&self) -> bool {
        self.last && !self.read && !self.write && self.substream.is_some()
    }
}

impl fmt::Display for PageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page request stream={}", self.stream)?;
        if let Some(substream) = self.substream {
            write!(f, " substream={substream}")?;
        }
        let letter = |set, letter| if set { letter } else { "-" };
        let (r, w, x) =
            (letter(self.read, "r"), letter(self.write, "w"), letter(self.execute, "x"));
        write!(f, " {r}{w}{x} address={} group={:#x}", self.address, self.group)?;
        f.write_str(if self.last { " last" } else { "" })
    }
}
