//! Agreeing on permessage-deflate (RFC 7692 §7.1).
//!
//! **Invariants**: the server takes the first offer it can keep; an offer with a parameter that is unknown, repeated or
//! out of its range is passed over. The client accepts only an answer that keeps its offer.

use super::super::deflate::{DeflateAgreement, Direction, WINDOW_BITS_MAX};
use super::extensions::{Extension, Malformed, extensions};

const NAME: &str = "permessage-deflate";

/// What this side is ready for: a server accepts it, a client offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflatePolicy {
    /// The server may keep its window between messages; costs it about 300 KiB per connection.
    pub server_takeover: bool,
    /// The client may keep its window between messages; costs the server about 50 KiB per connection.
    pub client_takeover: bool,
    /// The server's largest window, as a power of two, 9 to 15.
    pub server_window_bits_max: u8,
    /// The client's largest window, 9 to 15. A server can ask for it only of a client that offers the parameter, and
    /// otherwise has to expect 15.
    pub client_window_bits_max: u8,
}

impl Default for DeflatePolicy {
    /// No memory between messages.
    fn default() -> Self {
        Self {
            server_takeover: false,
            client_takeover: false,
            server_window_bits_max: WINDOW_BITS_MAX,
            client_window_bits_max: WINDOW_BITS_MAX,
        }
    }
}

/// The parameters of one offer or answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: without a value.
    client_max_window_bits: Option<Option<u8>>,
}

/// An offer that cannot be kept, or an answer that does not fit the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unacceptable;

impl Parameters {
    fn read(extension: Extension<'_>) -> Result<Self, Unacceptable> {
        let mut read = Self::default();
        let set = |flag: &mut bool| if std::mem::replace(flag, true) { Err(Unacceptable) } else { Ok(()) };
        for parameter in extension.parameters() {
            match parameter.map_err(|Malformed| Unacceptable)? {
                ("server_no_context_takeover", None) => set(&mut read.server_no_context_takeover)?,
                ("client_no_context_takeover", None) => set(&mut read.client_no_context_takeover)?,
                ("server_max_window_bits", Some(value)) if read.server_max_window_bits.is_none() => {
                    read.server_max_window_bits = Some(window_bits(value)?);
                }
                ("client_max_window_bits", value) if read.client_max_window_bits.is_none() => {
                    read.client_max_window_bits = Some(value.map(window_bits).transpose()?);
                }
                _ => return Err(Unacceptable),
            }
        }
        Ok(read)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME.as_bytes());
        if self.server_no_context_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        let mut number = |name: &[u8], value: u8| {
            out.extend_from_slice(name);
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        };
        if let Some(bits) = self.server_max_window_bits {
            number(b"; server_max_window_bits=", bits);
        }
        if let Some(Some(bits)) = self.client_max_window_bits {
            number(b"; client_max_window_bits=", bits);
        }
    }
}

/// 8 to 15, in decimal without leading zeros.
fn window_bits(text: &str) -> Result<u8, Unacceptable> {
    match text.as_bytes() {
        [digit @ (b'8' | b'9')] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Ok(10 + digit - b'0'),
        _ => Err(Unacceptable),
    }
}

impl DeflatePolicy {
    /// Panics when a window is out of its range.
    pub(super) fn check(&self) {
        for bits in [self.server_window_bits_max, self.client_window_bits_max] {
            assert!((9..=WINDOW_BITS_MAX).contains(&bits), "a window of {bits} bits cannot be had");
        }
    }

    /// The server's choice among the offers in these values of Sec-WebSocket-Extensions; its answer is appended to `out`.
    pub(super) fn accept<'a>(
        &self,
        values: impl Iterator<Item = &'a str>,
        out: &mut Vec<u8>,
    ) -> Option<DeflateAgreement> {
        let mut offers = values.flat_map(extensions).filter(|offer| offer.name().eq_ignore_ascii_case(NAME));
        let (agreement, answer) = offers.find_map(|offer| self.answer(Parameters::read(offer).ok()?))?;
        answer.write(out);
        Some(agreement)
    }

    fn answer(&self, offer: Parameters) -> Option<(DeflateAgreement, Parameters)> {
        let server = Direction {
            window_bits: self
                .server_window_bits_max
                .min(offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX)),
            takeover: self.server_takeover && !offer.server_no_context_takeover,
        };
        // zlib cannot write with a window of 256 bytes.
        if server.window_bits < 9 {
            return None;
        }
        let client_bits_max = match offer.client_max_window_bits {
            Some(bits) => self.client_window_bits_max.min(bits.unwrap_or(WINDOW_BITS_MAX)),
            None => WINDOW_BITS_MAX,
        };
        let client = Direction {
            window_bits: client_bits_max,
            takeover: self.client_takeover && !offer.client_no_context_takeover,
        };
        let answer = Parameters {
            server_no_context_takeover: !server.takeover,
            client_no_context_takeover: !client.takeover,
            server_max_window_bits: (offer.server_max_window_bits.is_some()
                || server.window_bits < WINDOW_BITS_MAX)
                .then_some(server.window_bits),
            client_max_window_bits: offer.client_max_window_bits.map(|_| Some(client.window_bits)),
        };
        Some((DeflateAgreement { server, client }, answer))
    }

    /// Appends the client's offer.
    pub(super) fn offer(&self, out: &mut Vec<u8>) {
        self.offered().write(out);
    }

    fn offered(&self) -> Parameters {
        let below_max = |bits: u8| (bits < WINDOW_BITS_MAX).then_some(bits);
        Parameters {
            server_no_context_takeover: !self.server_takeover,
            client_no_context_takeover: !self.client_takeover,
            server_max_window_bits: below_max(self.server_window_bits_max),
            // Offered only when it says something: it allows the server to choose 8, which zlib cannot write.
            client_max_window_bits: below_max(self.client_window_bits_max).map(Some),
        }
    }

    /// The agreement of the server's answer, `None` when it accepted no extension.
    pub(super) fn agree<'a>(
        &self,
        values: impl Iterator<Item = &'a str>,
    ) -> Result<Option<DeflateAgreement>, Unacceptable> {
        let mut answers = values.flat_map(extensions);
        let Some(answer) = answers.next() else { return Ok(None) };
        if answers.next().is_some() || !answer.name().eq_ignore_ascii_case(NAME) {
            return Err(Unacceptable);
        }
        let (answer, offered) = (Parameters::read(answer)?, self.offered());
        if offered.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err(Unacceptable);
        }
        let server_bits = match (offered.server_max_window_bits, answer.server_max_window_bits) {
            (Some(_), None) => return Err(Unacceptable),
            (Some(offered), Some(bits)) if bits > offered => return Err(Unacceptable),
            (_, bits) => bits.unwrap_or(WINDOW_BITS_MAX),
        };
        let client_bits = match (offered.client_max_window_bits, answer.client_max_window_bits) {
            (None, Some(_)) | (_, Some(None)) => return Err(Unacceptable),
            (_, Some(Some(bits))) if bits > self.client_window_bits_max => return Err(Unacceptable),
            (_, Some(Some(bits))) => bits,
            (_, None) => self.client_window_bits_max,
        };
        Ok(Some(DeflateAgreement {
            server: Direction {
                window_bits: server_bits,
                takeover: self.server_takeover && !answer.server_no_context_takeover,
            },
            client: Direction {
                window_bits: client_bits,
                takeover: self.client_takeover && !answer.client_no_context_takeover,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENEROUS: DeflatePolicy = DeflatePolicy {
        server_takeover: true,
        client_takeover: true,
        server_window_bits_max: 15,
        client_window_bits_max: 15,
    };

    fn accept(policy: DeflatePolicy, offer: &str) -> Option<(String, DeflateAgreement)> {
        let mut out = Vec::new();
        let agreement = policy.accept([offer].into_iter(), &mut out);
        assert_eq!(agreement.is_none(), out.is_empty());
        agreement.map(|agreement| (String::from_utf8(out).unwrap(), agreement))
    }

    fn direction(window_bits: u8, takeover: bool) -> Direction {
        Direction { window_bits, takeover }
    }

    #[test]
    fn the_server_answers_what_it_can_keep() {
        for (policy, offer, answer, server, client) in [
            (GENEROUS, "permessage-deflate", "", (15, true), (15, true)),
            (
                GENEROUS,
                "Permessage-Deflate; client_max_window_bits",
                "; client_max_window_bits=15",
                (15, true),
                (15, true),
            ),
            (
                GENEROUS,
                "x, permessage-deflate; server_no_context_takeover; client_max_window_bits=\"10\"",
                "; server_no_context_takeover; client_max_window_bits=10",
                (15, false),
                (10, true),
            ),
            (
                DeflatePolicy::default(),
                "permessage-deflate; server_max_window_bits=12",
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
                (12, false),
                (15, false),
            ),
            (
                DeflatePolicy { server_window_bits_max: 11, client_window_bits_max: 9, ..GENEROUS },
                "permessage-deflate; client_max_window_bits",
                "; server_max_window_bits=11; client_max_window_bits=9",
                (11, true),
                (9, true),
            ),
            // A client with a window of 256 bytes can be read.
            (
                GENEROUS,
                "permessage-deflate; client_max_window_bits=8",
                "; client_max_window_bits=8",
                (15, true),
                (8, true),
            ),
            // One that wants such a window from us cannot be served; its next offer can.
            (
                GENEROUS,
                "permessage-deflate; server_max_window_bits=8, permessage-deflate; client_no_context_takeover",
                "; client_no_context_takeover",
                (15, true),
                (15, false),
            ),
        ] {
            let agreement = DeflateAgreement {
                server: direction(server.0, server.1),
                client: direction(client.0, client.1),
            };
            assert_eq!(accept(policy, offer), Some((format!("{NAME}{answer}"), agreement)), "{offer}");
        }
    }

    #[test]
    fn the_server_passes_over_what_it_does_not_understand() {
        for parameters in [
            "server_no_context_takeover=1",
            "client_no_context_takeover=",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=8",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "server_max_window_bits=+9",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits=16",
            "client_max_window_bits=1",
            "client_max_window_bits; client_max_window_bits",
            "unknown",
            "=",
            "",
        ] {
            assert_eq!(accept(GENEROUS, &format!("{NAME}; {parameters}")), None, "{parameters}");
        }
        assert_eq!(accept(GENEROUS, "x-webkit-deflate-frame"), None);
        assert_eq!(accept(GENEROUS, ""), None);
    }

    #[test]
    fn the_client_accepts_what_it_offered() {
        let small = DeflatePolicy { server_window_bits_max: 10, client_window_bits_max: 11, ..GENEROUS };
        let agreed = |server, client| Ok(Some(DeflateAgreement { server, client }));
        for (policy, answer, expected) in [
            (GENEROUS, "", Ok(None)),
            (GENEROUS, NAME, agreed(direction(15, true), direction(15, true))),
            (
                GENEROUS,
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=8",
                agreed(direction(8, true), direction(15, false)),
            ),
            (GENEROUS, "permessage-deflate; client_max_window_bits=12", Err(Unacceptable)),
            (GENEROUS, "permessage-deflate, permessage-deflate", Err(Unacceptable)),
            (GENEROUS, "permessage-deflate; unknown", Err(Unacceptable)),
            (GENEROUS, "other", Err(Unacceptable)),
            (DeflatePolicy::default(), NAME, Err(Unacceptable)),
            (
                DeflatePolicy::default(),
                "permessage-deflate; server_no_context_takeover",
                agreed(direction(15, false), direction(15, false)),
            ),
            (small, NAME, Err(Unacceptable)),
            (small, "permessage-deflate; server_max_window_bits=11", Err(Unacceptable)),
            (
                small,
                "permessage-deflate; server_max_window_bits=9",
                agreed(direction(9, true), direction(11, true)),
            ),
            (
                small,
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",
                agreed(direction(9, true), direction(8, true)),
            ),
            (
                small,
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits",
                Err(Unacceptable),
            ),
            (
                small,
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=12",
                Err(Unacceptable),
            ),
        ] {
            assert_eq!(policy.agree([answer].into_iter()), expected, "{answer}");
        }
    }

    #[test]
    fn both_sides_come_to_the_same_agreement() {
        for index in 0..64_u8 {
            let flag = |bit: u8| index >> bit & 1 == 1;
            let policy = |shift: u8, bits: u8| DeflatePolicy {
                server_takeover: flag(shift),
                client_takeover: flag(shift + 1),
                server_window_bits_max: if flag(shift + 2) { bits } else { 15 },
                client_window_bits_max: if flag(shift + 2) { bits + 1 } else { 15 },
            };
            let (server, client) = (policy(0, 11), policy(3, 9));
            let (mut offer, mut answer) = (Vec::new(), Vec::new());
            client.offer(&mut offer);
            let accepted = server.accept([std::str::from_utf8(&offer).unwrap()].into_iter(), &mut answer);
            let agreed = client.agree([std::str::from_utf8(&answer).unwrap()].into_iter());
            assert_eq!(agreed, Ok(accepted), "{server:?} {client:?}");
        }
    }
}
