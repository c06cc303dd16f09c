//! One connection after its handshake.
//!
//! **Runs on**: the thread that owns the connection.
//! **Owns**: the message under way (at most [`Limits`]), and a compression context where one was agreed on.
//! **Invariants**: a text is delivered only when it is UTF-8; after a close frame was sent no data frame is; after one was
//! received, or a fault, input is ignored.
//! **Bounds**: [`Limits`]. Pongs answer pings one by one; each is at most 4 bytes longer than its ping, so output grows no
//! faster than three times the input, and a peer that does not read is the connection's matter.
//! **Never** allocates for a message that arrives whole, once the buffers have grown; holds no heap memory while idle
//! unless a compression context was agreed on.

use std::rc::Rc;

use super::assembly::{Assembly, Kind, Taken};
use super::close::{REASON_BYTES_MAX, fitting};
use super::deflate::MessageDeflate;
use super::frame::{self, CONTROL_BYTES_MAX, Expected, FrameHeader, HEADER_BYTES_MAX, Opcode};
use super::{CloseCode, Deflate, Event, Fault, Inbox, Limits, Message, Step};

/// Where a client's masking keys come from. RFC 6455 §10.3: the next key must not be predictable from former ones, or a
/// page could choose the bytes that proxies on the way see. Use a cryptographic generator with a fresh key.
pub type MaskSource = Box<dyn FnMut() -> [u8; 4]>;

/// A message or ping was not sent, because the session is closing or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket session is no longer open")]
pub struct NotOpen;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// A close frame was sent, none received.
    CloseSent,
    /// Nothing is read or written any more.
    Ended,
}

/// One end of a connection. See the module's contract.
pub struct Session {
    limits: Limits,
    phase: Phase,
    assembly: Option<Assembly>,
    deflate: Option<Box<MessageDeflate>>,
    /// A client's; a server has none.
    masks: Option<MaskSource>,
}

/// Ten thousand idle connections hold one each.
const _: () = assert!(size_of::<Session>() <= 96);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("client", &self.masks.is_some())
            .field("phase", &self.phase)
            .field("assembly", &self.assembly.is_some())
            .field("deflate", &self.deflate.is_some())
            .finish_non_exhaustive()
    }
}

/// What one frame, or a piece of one, led to.
enum Found {
    /// Bytes are missing.
    Missing,
    /// Nothing to tell yet.
    Progress,
    /// In the inbox.
    Message(Kind),
    /// A whole payload that needs no unmasking: this part of the bytes looked at.
    InPlace(Kind, std::ops::Range<usize>),
    /// Its payload is in the inbox.
    Ping,
    Pong,
    Closed,
}

impl Session {
    /// The server's end.
    ///
    /// # Panics
    /// When a limit is out of its range.
    #[must_use]
    pub fn server(limits: Limits, deflate: Option<Deflate>) -> Self {
        let deflate = deflate.map(|Deflate { agreement, codecs }| {
            Box::new(MessageDeflate::new(codecs, agreement.server, agreement.client))
        });
        Self::new(limits, deflate, None)
    }

    /// The client's end.
    ///
    /// # Panics
    /// When a limit is out of its range.
    #[must_use]
    pub fn client(limits: Limits, deflate: Option<Deflate>, masks: MaskSource) -> Self {
        let deflate = deflate.map(|Deflate { agreement, codecs }| {
            Box::new(MessageDeflate::new(codecs, agreement.client, agreement.server))
        });
        Self::new(limits, deflate, Some(masks))
    }

    fn new(limits: Limits, deflate: Option<Box<MessageDeflate>>, masks: Option<MaskSource>) -> Self {
        limits.check();
        Self { limits, phase: Phase::Open, assembly: None, deflate, masks }
    }

    /// Messages may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Nothing more will come of this session: the close handshake is done, or a fault ended it.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// A message is under way: part of it has arrived and the rest is awaited.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.assembly.is_some()
    }

    /// Reads `input` up to the first event and appends what is due at once (pongs, the echo of a close, the close frame
    /// after a fault) to `out`. `inbox` lends the buffers, and what it delivered last is forgotten.
    ///
    /// ```
    /// use net::ws::{Event, Fault, Inbox, Session};
    ///
    /// /// Answers each message with itself; returns how much of the input was used.
    /// fn echo(
    ///     session: &mut Session,
    ///     input: &[u8],
    ///     inbox: &mut Inbox,
    ///     out: &mut Vec<u8>,
    /// ) -> Result<usize, Fault> {
    ///     let mut used = 0;
    ///     loop {
    ///         let step = session.step(&input[used..], inbox, out)?;
    ///         used += step.consumed_bytes;
    ///         match step.event {
    ///             Some(Event::Message(message)) => drop(session.send(message, out)),
    ///             Some(Event::Ping(_) | Event::Pong(_) | Event::Closed { .. }) => {}
    ///             None => return Ok(used),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Fault`]: the rest of the input is void, and the session has ended.
    pub fn step<'a>(
        &mut self,
        input: &'a [u8],
        inbox: &'a mut Inbox,
        out: &mut Vec<u8>,
    ) -> Result<Step<'a>, Fault> {
        inbox.clear();
        let mut consumed_bytes = 0;
        let (found, rest) = loop {
            if self.phase == Phase::Ended {
                return Ok(Step { consumed_bytes: input.len(), event: None });
            }
            let rest = &input[consumed_bytes..];
            let (bytes, found) = self.advance(rest, inbox).map_err(|fault| self.end_with(fault, out))?;
            consumed_bytes += bytes;
            match found {
                Found::Missing => return Ok(Step { consumed_bytes, event: None }),
                Found::Progress => {}
                found => break (found, rest),
            }
        };
        let message = |kind, payload: &'a [u8]| match kind {
            Kind::Binary => Ok(Event::Message(Message::Binary(payload))),
            Kind::Text => match std::str::from_utf8(payload) {
                Ok(text) => Ok(Event::Message(Message::Text(text))),
                Err(_) => Err(Fault::Utf8),
            },
        };
        let event = match found {
            Found::Missing | Found::Progress => unreachable!("these do not end the loop"),
            Found::Message(kind) => message(kind, &inbox.message),
            Found::InPlace(kind, range) => message(kind, &rest[range]),
            Found::Pong => Ok(Event::Pong(&inbox.control)),
            Found::Ping => {
                if self.phase == Phase::Open {
                    self.append(Opcode::Pong, &inbox.control, out);
                }
                Ok(Event::Ping(&inbox.control))
            }
            Found::Closed => self.answer_close(&inbox.control, out),
        };
        match event {
            Ok(event) => Ok(Step { consumed_bytes, event: Some(event) }),
            Err(fault) => Err(self.end_with(fault, out)),
        }
    }

    /// Handles the frame, or the piece of a payload, at the beginning of `input`, and says how many bytes it took.
    fn advance(&mut self, input: &[u8], inbox: &mut Inbox) -> Result<(usize, Found), Fault> {
        if self.assembly.as_ref().is_some_and(Assembly::in_frame) {
            return if input.is_empty() { Ok((0, Found::Missing)) } else { self.take_payload(input, inbox) };
        }
        let expected = Expected { masked: self.masks.is_none(), deflate: self.deflate.is_some() };
        let Some((header, header_bytes)) = FrameHeader::decode(input, expected)? else {
            return Ok((0, Found::Missing));
        };
        let arrived = &input[header_bytes..];
        let payload = usize::try_from(header.payload_bytes).ok().and_then(|length| arrived.get(..length));
        if header.opcode.is_control() {
            let Some(payload) = payload else { return Ok((0, Found::Missing)) };
            inbox.control.clear();
            frame::append_masked(&mut inbox.control, payload, header.mask.unwrap_or_default());
            let found = match header.opcode {
                Opcode::Ping => Found::Ping,
                Opcode::Pong => Found::Pong,
                _ => Found::Closed,
            };
            return Ok((header_bytes + payload.len(), found));
        }
        Assembly::check_frame(self.assembly.as_ref(), &header, self.limits)?;
        let kind = if header.opcode == Opcode::Text { Kind::Text } else { Kind::Binary };
        if let Some(payload) = payload
            && header.is_final
            && header.opcode != Opcode::Continuation
            && !header.compressed
        {
            let end = header_bytes + payload.len();
            let Some(key) = header.mask else {
                return Ok((end, Found::InPlace(kind, header_bytes..end)));
            };
            frame::append_masked(&mut inbox.message, payload, key);
            return Ok((end, Found::Message(kind)));
        }
        self.assembly
            .get_or_insert_with(|| Assembly::new(kind, header.compressed, inbox.lend()))
            .begin_frame(&header);
        let (bytes, found) = self.take_payload(arrived, inbox)?;
        Ok((header_bytes + bytes, found))
    }

    /// Takes what has arrived of the current frame's payload.
    fn take_payload(&mut self, input: &[u8], inbox: &mut Inbox) -> Result<(usize, Found), Fault> {
        let assembly = self.assembly.as_mut().expect("a frame is under way");
        let Taken { bytes, is_complete } = assembly.take(input, self.deflate.as_deref_mut(), self.limits)?;
        let Some(complete) = self.assembly.take_if(|_| is_complete) else {
            return Ok((bytes, Found::Progress));
        };
        let kind = complete.kind();
        inbox.deliver(complete.into_buffer());
        Ok((bytes, Found::Message(kind)))
    }

    fn answer_close<'a>(&mut self, payload: &'a [u8], out: &mut Vec<u8>) -> Result<Event<'a>, Fault> {
        let (code, reason) = match payload {
            [] => (None, ""),
            [_] => return Err(Fault::Close),
            [high, low, reason @ ..] => {
                let code = CloseCode::new(u16::from_be_bytes([*high, *low])).ok_or(Fault::Close)?;
                (Some(code), std::str::from_utf8(reason).map_err(|_| Fault::Utf8)?)
            }
        };
        if self.phase == Phase::Open {
            self.append(Opcode::Close, &payload[..payload.len().min(2)], out);
        }
        self.end();
        Ok(Event::Closed { code, reason })
    }

    fn end_with(&mut self, fault: Fault, out: &mut Vec<u8>) -> Fault {
        if self.phase == Phase::Open {
            self.append(Opcode::Close, &fault.close_code().get().to_be_bytes(), out);
        }
        self.end();
        fault
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.assembly = None;
        self.deflate = None;
    }

    /// Sends a message, compressed where that was agreed on and is worth it.
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn send(&mut self, message: Message<'_>, out: &mut Vec<u8>) -> Result<(), NotOpen> {
        if self.phase != Phase::Open {
            return Err(NotOpen);
        }
        let (opcode, payload) = (message.opcode(), message.payload());
        if let Some(deflate) = &mut self.deflate {
            let masks = &mut self.masks;
            if deflate.compress(payload, |bytes| append_frame(opcode, true, bytes, masks.as_mut(), out)) {
                return Ok(());
            }
        }
        self.append(opcode, payload, out);
        Ok(())
    }

    /// As [`Session::send`].
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn send_text(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), NotOpen> {
        self.send(Message::Text(text), out)
    }

    /// As [`Session::send`].
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn send_binary(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NotOpen> {
        self.send(Message::Binary(bytes), out)
    }

    /// Sends a frame made by [`encode_shared`].
    ///
    /// # Errors
    /// [`NotOpen`].
    ///
    /// # Panics
    /// On a client's session: its frames must be masked, each with its own key, so they cannot be shared.
    pub fn send_shared(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), NotOpen> {
        assert!(self.masks.is_none(), "a client's frames cannot be shared");
        if self.phase != Phase::Open {
            return Err(NotOpen);
        }
        out.extend_from_slice(frame);
        Ok(())
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// [`NotOpen`].
    ///
    /// # Panics
    /// When the payload exceeds [`CONTROL_BYTES_MAX`].
    pub fn ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), NotOpen> {
        assert!(payload.len() <= CONTROL_BYTES_MAX, "a ping has at most 125 bytes");
        if self.phase != Phase::Open {
            return Err(NotOpen);
        }
        self.append(Opcode::Ping, payload, out);
        Ok(())
    }

    /// Begins the close handshake: sends a close frame, with as much of `reason` as fits 123 bytes. Messages still
    /// arrive until the peer's close; give it a deadline and then close the connection all the same.
    ///
    /// # Errors
    /// [`NotOpen`].
    pub fn close(&mut self, code: CloseCode, reason: &str, out: &mut Vec<u8>) -> Result<(), NotOpen> {
        if self.phase != Phase::Open {
            return Err(NotOpen);
        }
        let reason = fitting(reason);
        let mut payload = [0; 2 + REASON_BYTES_MAX];
        payload[..2].copy_from_slice(&code.get().to_be_bytes());
        payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
        self.append(Opcode::Close, &payload[..2 + reason.len()], out);
        self.phase = Phase::CloseSent;
        Ok(())
    }

    fn append(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        append_frame(opcode, false, payload, self.masks.as_mut(), out);
    }
}

fn append_frame(
    opcode: Opcode,
    compressed: bool,
    payload: &[u8],
    masks: Option<&mut MaskSource>,
    out: &mut Vec<u8>,
) {
    let mask = masks.map(|next| next());
    let payload_bytes = u64::try_from(payload.len()).expect("an address fits 64 bits");
    let header = FrameHeader { is_final: true, compressed, opcode, mask, payload_bytes };
    out.reserve(HEADER_BYTES_MAX + payload.len());
    header.encode(out);
    match mask {
        Some(key) => frame::append_masked(out, payload, key),
        None => out.extend_from_slice(payload),
    }
}

/// A server's frame with this message, unmasked and uncompressed: one encoding for all receivers of a broadcast, sent with
/// [`Session::send_shared`]. Only a server may share frames. A connection with permessage-deflate takes it too: RSV1 says
/// of each message whether it is compressed (RFC 7692 §6), and the context is left as it is.
#[must_use]
pub fn encode_shared(message: Message<'_>) -> Rc<[u8]> {
    let mut frame = Vec::with_capacity(HEADER_BYTES_MAX + message.payload().len());
    append_frame(message.opcode(), false, message.payload(), None, &mut frame);
    frame.into()
}
