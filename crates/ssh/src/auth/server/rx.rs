//! What a server may hear from a client that logs in. There is no variant for anything that only
//! servers send: a USERAUTH_SUCCESS from a client has nothing that it could become.

use crate::error::Violation;
use crate::limits;
use crate::message;
use crate::secret::Secret;
use crate::wire::Reader;

use super::super::{METHOD_HOSTBOUND, METHOD_NONE, Method, SERVICE_CONNECTION, SERVICE_USERAUTH};

/// A message from the client.
#[derive(Debug)]
pub(super) enum ServerRx<'a> {
    /// It wants the login to begin.
    ServiceRequest,
    /// It wants to log in.
    Request(Request<'a>),
    /// It answers our questions (RFC 4256 section 3.4); the rest of the payload, which only means
    /// something while questions are open.
    InfoResponse(Reader<'a>),
}

/// USERAUTH_REQUEST: the fields that every method has.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) user: &'a str,
    pub(super) method: Asked,
    /// The fields of the method, not looked at yet.
    pub(super) fields: Reader<'a>,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The question which methods there are.
    None,
    /// A method of ours.
    Known(Method),
    /// `publickey` bound to the host key.
    Hostbound,
    /// One that is not ours; its fields are never looked at.
    Unknown,
}

impl Asked {
    fn from_name(name: &[u8]) -> Self {
        if name == METHOD_NONE.as_bytes() {
            Self::None
        } else if name == METHOD_HOSTBOUND.as_bytes() {
            Self::Hostbound
        } else {
            Method::from_name(name).map_or(Self::Unknown, Self::Known)
        }
    }

    /// The method whose permission it needs, if it is one that is listed.
    pub(super) const fn listed(self) -> Option<Method> {
        match self {
            Self::None | Self::Unknown => None,
            Self::Known(method) => Some(method),
            Self::Hostbound => Some(Method::PublicKey),
        }
    }
}

impl<'a> ServerRx<'a> {
    /// Reads a payload, message number first.
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload);
        match reader.byte()? {
            message::SERVICE_REQUEST => {
                let service = reader.string()?;
                reader.finish()?;
                if service != SERVICE_USERAUTH {
                    return Err(Violation::protocol("client asks for a service not offered"));
                }
                Ok(Self::ServiceRequest)
            }
            message::USERAUTH_REQUEST => {
                let user = reader.text(limits::TEXT)?;
                if reader.string()? != SERVICE_CONNECTION {
                    return Err(Violation::protocol(
                        "client logs in to a service not offered",
                    ));
                }
                let method = Asked::from_name(reader.string_up_to(limits::TEXT)?);
                Ok(Self::Request(Request {
                    user,
                    method,
                    fields: reader,
                }))
            }
            message::USERAUTH_INFO_RESPONSE => Ok(Self::InfoResponse(reader)),
            _ => Err(Violation::protocol("message does not belong in a login")),
        }
    }
}

/// The fields of `publickey` (RFC 4252 section 7).
#[derive(Debug)]
pub(super) struct PublicKeyFields<'a> {
    pub(super) algorithm: &'a [u8],
    pub(super) key: &'a [u8],
    /// The host key that the client bound its request to.
    pub(super) host_key: Option<&'a [u8]>,
    pub(super) signature: Option<Signature<'a>>,
}

/// A signature and what it was made over.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub(super) blob: &'a [u8],
    /// The payload up to the signature, as received.
    pub(super) signed: &'a [u8],
}

impl<'a> PublicKeyFields<'a> {
    /// Reads the fields of a request whose whole payload is `payload`.
    pub(super) fn decode(request: Request<'a>, payload: &'a [u8]) -> Result<Self, Violation> {
        let is_hostbound = request.method == Asked::Hostbound;
        let mut fields = request.fields;
        let is_signed = fields.boolean()?;
        let algorithm = fields.string_up_to(limits::TEXT)?;
        let key = fields.string()?;
        let host_key = if is_hostbound {
            Some(fields.string()?)
        } else {
            None
        };
        let signature = if is_signed {
            let length = payload.len().saturating_sub(fields.rest().len());
            Some(Signature {
                signed: payload.get(..length).unwrap_or_default(),
                blob: fields.string()?,
            })
        } else {
            None
        };
        fields.finish()?;
        Ok(Self {
            algorithm,
            key,
            host_key,
            signature,
        })
    }
}

/// Reads the fields of `password`. `None` if the password cannot be right whoever asks: it is
/// empty, over its limit, no text, or comes with a wish to change it.
pub(super) fn decode_password(mut fields: Reader<'_>) -> Result<Option<Secret<String>>, Violation> {
    let wants_change = fields.boolean()?;
    let password = fields.string()?;
    if wants_change {
        fields.string()?;
    }
    fields.finish()?;
    let is_possible = !wants_change && !password.is_empty() && password.len() <= limits::PASSWORD;
    Ok(std::str::from_utf8(password)
        .ok()
        .filter(|_| is_possible)
        .map(|password| Secret::new(password.to_owned())))
}

/// Reads the fields of `keyboard-interactive`. The language and the submethods that the client
/// would like are not ours to follow (RFC 4256 section 3.1 leaves both to the server).
pub(super) fn decode_keyboard(mut fields: Reader<'_>) -> Result<(), Violation> {
    fields.string_up_to(limits::TEXT)?;
    fields.string_up_to(limits::KBDINT_TEXT)?;
    Ok(fields.finish()?)
}

/// Reads answers to exactly `wanted` questions. An answer that is no text comes out empty, which
/// is never right.
pub(super) fn decode_answers(
    mut fields: Reader<'_>,
    wanted: usize,
) -> Result<Vec<Secret<String>>, Violation> {
    let count = fields.uint32()?;
    if usize::try_from(count) != Ok(wanted) {
        return Err(Violation::protocol(
            "answers and questions differ in number",
        ));
    }
    let mut answers = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let answer = fields.string_up_to(limits::KBDINT_TEXT)?;
        let answer = std::str::from_utf8(answer).unwrap_or_default();
        answers.push(Secret::new(answer.to_owned()));
    }
    fields.finish()?;
    Ok(answers)
}
