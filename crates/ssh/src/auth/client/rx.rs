//! What a client may hear from a server while it logs in. There is no variant for anything that
//! only clients send.

use crate::error::Violation;
use crate::limits;
use crate::message;
use crate::printable::Printable;
use crate::wire::{Reader, WireError};

use super::super::{Method, SERVICE_USERAUTH};

/// A message from the server.
#[derive(Debug)]
pub(super) enum ClientRx<'a> {
    /// The login may begin.
    ServiceAccept,
    /// The request was refused, or was good and is not enough.
    Failure {
        /// What can go on, in the server's order.
        methods: MethodList,
        /// The request was good and more is wanted.
        is_partial: bool,
    },
    /// The login has succeeded.
    Success,
    /// Text for the person who logs in.
    Banner(&'a [u8]),
    /// Number 60, which means one thing to each method; the rest of the payload.
    MethodSpecific(Reader<'a>),
}

impl<'a> ClientRx<'a> {
    /// Reads a payload, message number first.
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload);
        let decoded = match reader.byte()? {
            message::SERVICE_ACCEPT => {
                // Some old servers leave the name out; OpenSSH takes that too.
                if !reader.is_empty() && reader.string()? != SERVICE_USERAUTH {
                    return Err(Violation::protocol("server accepts another service"));
                }
                Self::ServiceAccept
            }
            message::USERAUTH_FAILURE => Self::Failure {
                methods: MethodList::parse(reader.string_up_to(limits::AUTH_METHOD_LIST)?),
                is_partial: reader.boolean()?,
            },
            message::USERAUTH_SUCCESS => Self::Success,
            message::USERAUTH_BANNER => {
                let text = reader.string_up_to(limits::BANNER_BYTES)?;
                // The language tag says nothing that we could use.
                reader.string_up_to(limits::TEXT)?;
                Self::Banner(text)
            }
            message::USERAUTH_PK_OK => return Ok(Self::MethodSpecific(reader)),
            _ => return Err(Violation::protocol("message does not belong in a login")),
        };
        reader.finish()?;
        Ok(decoded)
    }
}

/// The methods that a server says can go on.
#[derive(Debug, Clone, Default)]
pub(super) struct MethodList {
    names: Vec<Vec<u8>>,
}

impl MethodList {
    fn parse(list: &[u8]) -> Self {
        Self {
            names: list
                .split(|byte| *byte == b',')
                .filter(|name| !name.is_empty())
                .map(<[u8]>::to_vec)
                .collect(),
        }
    }

    /// Whether that method is named.
    pub(super) fn contains(&self, method: Method) -> bool {
        self.names
            .iter()
            .any(|name| name == method.name().as_bytes())
    }

    /// The names for a person to read.
    pub(super) fn printable(&self) -> Vec<Printable> {
        self.names.iter().map(|name| Printable::new(name)).collect()
    }
}

/// PK_OK: the algorithm and the key that the server would take a signature of.
pub(super) fn decode_pk_ok(mut reader: Reader<'_>) -> Result<(&[u8], &[u8]), WireError> {
    let algorithm = reader.string()?;
    let key = reader.string()?;
    reader.finish()?;
    Ok((algorithm, key))
}

/// PASSWD_CHANGEREQ: only its shape matters, since passwords are not changed here.
pub(super) fn decode_change_request(mut reader: Reader<'_>) -> Result<(), WireError> {
    reader.string_up_to(limits::KBDINT_TEXT)?;
    reader.string_up_to(limits::TEXT)?;
    reader.finish()
}

/// INFO_REQUEST (RFC 4256 section 3.2) as received.
#[derive(Debug)]
pub(super) struct InfoRequest<'a> {
    pub(super) name: &'a [u8],
    pub(super) instruction: &'a [u8],
    /// Text, and whether what is typed may be seen.
    pub(super) prompts: Vec<(&'a [u8], bool)>,
}

impl<'a> InfoRequest<'a> {
    pub(super) fn decode(mut reader: Reader<'a>) -> Result<Self, Violation> {
        let name = reader.string_up_to(limits::KBDINT_TEXT)?;
        let instruction = reader.string_up_to(limits::KBDINT_TEXT)?;
        reader.string_up_to(limits::TEXT)?;
        let count = reader.uint32()?;
        if count > limits::KBDINT_PROMPTS {
            return Err(Violation::protocol(
                "server asks too many questions at once",
            ));
        }
        let prompts = (0..count)
            .map(|_| Ok((reader.string_up_to(limits::KBDINT_TEXT)?, reader.boolean()?)))
            .collect::<Result<_, WireError>>()?;
        reader.finish()?;
        Ok(Self {
            name,
            instruction,
            prompts,
        })
    }
}
